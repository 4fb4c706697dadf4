"""Documents that must be refused, for every operation that has one: not well-formed, of another schema,
too many of something, a word that is none. What a document may say at all is tested with its operation.
"""

import base64
import hashlib
from typing import Any

import pytest

from objstore.api.operations import OPERATIONS, Operation
from objstore.s3 import xml
from objstore.s3.documents.acl import AccessControlPolicy
from tests.operations.multipart import begin
from tests.operations.requests import Answer, send

ACCOUNT = "123456789012"
WITH_XML = [
    row
    for row in OPERATIONS
    if row.handler is not None and row.document is not None and row.document is not bytes
]
BY_NAME = {row.name: row for row in WITH_XML}

LONG = {"CompleteMultipartUpload", "DeleteObjects"}
"""Their documents may be so long that a connection ends before all of one that is longer was sent."""

NO_ROOT = [
    b"not xml",
    b"<unclosed>",
    b"<a></b>",
    b"\xff\xfe\x00",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    b"<NeverHeardOf/>",
]


@pytest.fixture(scope="module")
def place(s3: Any) -> str:
    """A bucket with object lock, in which the object `key` is."""
    name = "test-documents-negative"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=name, Key="key", Body=b"body")
    return name


def put(s3: Any, place: str, row: Operation, body: bytes) -> Answer:
    """Send `body` as the document of this operation, with the digest that some of them need."""
    headers = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    query = {flag.partition("=")[0]: flag.partition("=")[2] for flag in row.query}
    if "id" in query:
        query["id"] = "one"
    if "uploadId" in query:
        query["uploadId"] = begin(s3, place, "key")
    match row.scope:
        case "bucket":
            name = f"{place}-new" if row.name == "CreateBucket" else place
            return send(s3, row.method, name, query=query, body=body, headers=headers)
        case "object":
            return send(s3, row.method, place, "key", query=query, body=body, headers=headers)
    path = "tags/" + f"arn:aws:s3:::{place}" if row.scope == "control" else "configuration/publicAccessBlock"
    headers["x-amz-account-id"] = ACCOUNT
    return send(s3, row.method, "v20180820", path, query=query, body=body, headers=headers)


def wrapped(row: Operation, inner: str) -> bytes:
    """The document of this operation with these elements in it."""
    root = row.document.__document__.root  # type: ignore[union-attr]
    return f'<{root} xmlns="{row.document.__document__.namespace}">{inner}</{root}>'.encode()  # type: ignore[union-attr]


def malformed(row: Operation) -> tuple[int, str]:
    return 400, "MalformedACLError" if row.document is AccessControlPolicy else "MalformedXML"


@pytest.mark.parametrize("row", WITH_XML, ids=lambda row: row.name)
@pytest.mark.parametrize("body", NO_ROOT, ids=range(len(NO_ROOT)))
def test_what_is_no_such_document(s3: Any, place: str, row: Operation, body: bytes) -> None:
    answer = put(s3, place, row, body)
    assert (answer.status, answer.code) == malformed(row)


@pytest.mark.parametrize("row", WITH_XML, ids=lambda row: row.name)
def test_an_element_that_s3_does_not_define(s3: Any, place: str, row: Operation) -> None:
    answer = put(s3, place, row, wrapped(row, "<NeverHeardOf>1</NeverHeardOf>"))
    assert (answer.status, answer.code) == malformed(row)


@pytest.mark.parametrize("row", [row for row in WITH_XML if row.name not in LONG], ids=lambda row: row.name)
def test_a_document_longer_than_any(s3: Any, place: str, row: Operation) -> None:
    assert row.document is not None
    answer = put(s3, place, row, wrapped(row, " " * xml.limit_of(row.document)))
    assert (answer.status, answer.code) == (400, "MalformedXML")


@pytest.mark.parametrize(
    "row", [row for row in WITH_XML if not row.is_document_optional], ids=lambda row: row.name
)
def test_no_document_at_all(s3: Any, place: str, row: Operation) -> None:
    answer = put(s3, place, row, b"")
    malformed = ("CompleteMultipartUpload", "PutObjectLegalHold", "PutObjectRetention")
    expected = "MalformedXML" if row.name in malformed else "MissingRequestBodyError"
    assert (answer.status, answer.code) == (400, expected)


def times(count: int, text: str) -> str:
    """`text` so many times, each `#` replaced by another number."""
    return "".join(text.replace("#", str(number)) for number in range(count))


XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
GRANT = (
    f'<Grant><Grantee {XSI} xsi:type="CanonicalUser"><ID>{"0" * 64}</ID></Grantee>'
    "<Permission>READ</Permission></Grant>"
)
INVENTORY = (
    "<Id>one</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>All</IncludedObjectVersions>"
    "<Schedule><Frequency>Daily</Frequency></Schedule><Destination><S3BucketDestination>"
    "<Bucket>arn:aws:s3:::b-b</Bucket><Format>CSV</Format></S3BucketDestination></Destination>"
)
LIFECYCLE = (
    "<Rule><ID>#</ID><Status>Enabled</Status><Filter><Prefix>#/</Prefix></Filter>"
    "<Expiration><Days>1</Days></Expiration></Rule>"
)
LIFECYCLE_ONE = LIFECYCLE.replace("#", "1")
CORS = "<CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule>"
QUEUE = (
    "<QueueConfiguration><Id>#</Id><Queue>arn:aws:sqs:us-east-1:000000000000:none</Queue>"
    "<Event>s3:ObjectCreated:Put</Event></QueueConfiguration>"
)
TIERING = (
    "<Id>one</Id><Status>Enabled</Status>"
    "<Tiering><Days>90</Days><AccessTier>ARCHIVE_ACCESS</AccessTier></Tiering>"
)
ANALYTICS = (
    "<Id>one</Id><StorageClassAnalysis><DataExport><OutputSchemaVersion>V_1</OutputSchemaVersion><Destination>"
    "<S3BucketDestination><Format>CSV</Format><Bucket>arn:aws:s3:::b-b</Bucket></S3BucketDestination>"
    "</Destination></DataExport></StorageClassAnalysis>"
)
TAG = "<Tag><Key>k#</Key><Value>v</Value></Tag>"
TWO_FILTERS = "<Filter><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></Filter>"

XML, ARGUMENT, REQUEST = "MalformedXML", "InvalidArgument", "InvalidRequest"

REFUSED = [
    # Buckets and objects.
    (
        "CreateBucket",
        "<LocationConstraint>nowhere-9</LocationConstraint>",
        "IllegalLocationConstraintException",
    ),
    ("CreateBucket", "<Tags><Tag><Key></Key><Value>v</Value></Tag></Tags>", "InvalidTag"),
    ("DeleteObjects", "", XML),
    ("DeleteObjects", "<Object></Object>", XML),
    ("DeleteObjects", times(1001, "<Object><Key>k#</Key></Object>"), XML),
    ("DeleteObjects", "<Quiet>perhaps</Quiet><Object><Key>k</Key></Object>", XML),
    ("CompleteMultipartUpload", "", XML),
    ("CompleteMultipartUpload", "<Part><PartNumber>one</PartNumber></Part>", XML),
    ("CompleteMultipartUpload", times(10_001, "<Part><PartNumber>#</PartNumber></Part>"), XML),
    # Access.
    ("PutBucketAcl", "<AccessControlList/>", "MalformedACLError"),
    ("PutObjectAcl", "<Owner><ID>me</ID></Owner>", "MalformedACLError"),
    (
        "PutObjectAcl",
        f"<Owner><ID>me</ID></Owner><AccessControlList>{GRANT.replace('READ', 'PEEK')}</AccessControlList>",
        "MalformedACLError",
    ),
    (
        "PutObjectAcl",
        f"<Owner><ID>me</ID></Owner><AccessControlList>{GRANT.replace('CanonicalUser', 'Nobody')}"
        "</AccessControlList>",
        "MalformedACLError",
    ),
    ("PutBucketOwnershipControls", "", XML),
    ("PutBucketOwnershipControls", "<Rule><ObjectOwnership>Mine</ObjectOwnership></Rule>", XML),
    (
        "PutBucketOwnershipControls",
        times(2, "<Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>"),
        XML,
    ),
    ("PutPublicAccessBlock", "<BlockPublicAcls>perhaps</BlockPublicAcls>", XML),
    ("PutAccountPublicAccessBlock", "<BlockPublicAcls>perhaps</BlockPublicAcls>", XML),
    ("PutBucketAbac", "<Status>Perhaps</Status>", XML),
    ("PutBucketAbac", "", XML),
    # Locks and versions.
    (
        "PutObjectRetention",
        "<Mode>FOREVER</Mode><RetainUntilDate>2999-01-01T00:00:00Z</RetainUntilDate>",
        XML,
    ),
    ("PutObjectRetention", "<Mode>GOVERNANCE</Mode>", XML),
    ("PutObjectRetention", "<Mode>GOVERNANCE</Mode><RetainUntilDate>tomorrow</RetainUntilDate>", XML),
    (
        "PutObjectRetention",
        "<Mode>GOVERNANCE</Mode><RetainUntilDate>2001-01-01T00:00:00Z</RetainUntilDate>",
        ARGUMENT,
    ),
    ("PutObjectLegalHold", "<Status>on</Status>", XML),
    ("PutObjectLegalHold", "", XML),
    ("PutObjectLockConfiguration", "", XML),
    ("PutObjectLockConfiguration", "<ObjectLockEnabled>Disabled</ObjectLockEnabled>", XML),
    *(
        (
            "PutObjectLockConfiguration",
            "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
            f"{retention}</DefaultRetention></Rule>",
            code,
        )
        for retention, code in [
            ("", XML),
            ("<Days>1</Days>", XML),
            ("<Mode>GOVERNANCE</Mode>", XML),
            ("<Mode>governance</Mode><Days>1</Days>", XML),
            ("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>", XML),
            ("<Mode>GOVERNANCE</Mode><Days>one</Days>", XML),
            ("<Mode>GOVERNANCE</Mode><Days>0</Days>", ARGUMENT),
            ("<Mode>COMPLIANCE</Mode><Years>-1</Years>", ARGUMENT),
            ("<Mode>COMPLIANCE</Mode><Days>36501</Days>", ARGUMENT),
            ("<Mode>COMPLIANCE</Mode><Years>101</Years>", ARGUMENT),
        ]
    ),
    ("PutBucketVersioning", "<Status>enabled</Status>", XML),
    ("PutBucketVersioning", "", "IllegalVersioningConfigurationException"),
    ("PutBucketVersioning", "<Status>Enabled</Status><MfaDelete>Perhaps</MfaDelete>", XML),
    ("PutBucketVersioning", "<Status>Suspended</Status>", "InvalidBucketState"),
    # Tags.
    ("PutObjectTagging", f"<TagSet>{times(11, TAG)}</TagSet>", "BadRequest"),
    ("PutObjectTagging", f"<TagSet>{TAG}{TAG}</TagSet>", "InvalidTag"),
    ("PutObjectTagging", "<TagSet><Tag><Key>k</Key></Tag></TagSet>", XML),
    ("PutObjectTagging", f"<TagSet><Tag><Key>{'k' * 129}</Key><Value/></Tag></TagSet>", "InvalidTag"),
    ("PutObjectTagging", f"<TagSet><Tag><Key>k</Key><Value>{'v' * 257}</Value></Tag></TagSet>", "InvalidTag"),
    ("PutObjectTagging", "<TagSet><Tag><Key>aws:k</Key><Value>v</Value></Tag></TagSet>", "InvalidTag"),
    ("PutBucketTagging", f"<TagSet>{times(51, TAG)}</TagSet>", "BadRequest"),
    ("PutBucketTagging", f"<TagSet>{TAG}{TAG}</TagSet>", "InvalidTag"),
    ("PutBucketTagging", f"<TagSet><Tag><Key>{'k' * 129}</Key><Value/></Tag></TagSet>", "InvalidTag"),
    ("PutBucketTagging", TAG, XML),
    # CORS, website, lifecycle.
    ("PutBucketCors", "", XML),
    ("PutBucketCors", times(101, CORS), XML),
    ("PutBucketCors", CORS.replace("GET", "PATCH"), REQUEST),
    ("PutBucketCors", CORS.replace("GET", "get"), REQUEST),
    ("PutBucketCors", CORS.replace("*", "http://*.*.com"), REQUEST),
    ("PutBucketCors", CORS.replace("</CORSRule>", "<ExposeHeader>x-*</ExposeHeader></CORSRule>"), REQUEST),
    ("PutBucketCors", CORS.replace("</CORSRule>", "<MaxAgeSeconds>soon</MaxAgeSeconds></CORSRule>"), XML),
    ("PutBucketCors", CORS.replace("</CORSRule>", f"<ID>{'i' * 256}</ID></CORSRule>"), REQUEST),
    ("PutBucketCors", "<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>", XML),
    ("PutBucketWebsite", "", ARGUMENT),
    ("PutBucketWebsite", "<IndexDocument><Suffix>a/b</Suffix></IndexDocument>", ARGUMENT),
    ("PutBucketWebsite", "<IndexDocument/>", XML),
    (
        "PutBucketWebsite",
        "<IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules>"
        + times(51, "<RoutingRule><Redirect><HostName>h#</HostName></Redirect></RoutingRule>")
        + "</RoutingRules>",
        REQUEST,
    ),
    (
        "PutBucketWebsite",
        "<RedirectAllRequestsTo><HostName>h</HostName><Protocol>gopher</Protocol></RedirectAllRequestsTo>",
        REQUEST,
    ),
    (
        "PutBucketWebsite",
        "<IndexDocument><Suffix>i</Suffix></IndexDocument><RoutingRules><RoutingRule><Redirect>"
        "<HttpRedirectCode>200</HttpRedirectCode></Redirect></RoutingRule></RoutingRules>",
        REQUEST,
    ),
    ("PutBucketLifecycleConfiguration", "", XML),
    ("PutBucketLifecycleConfiguration", times(1001, LIFECYCLE), XML),
    ("PutBucketLifecycleConfiguration", times(2, LIFECYCLE_ONE), ARGUMENT),
    ("PutBucketLifecycleConfiguration", LIFECYCLE_ONE.replace("Enabled", "enabled"), XML),
    ("PutBucketLifecycleConfiguration", LIFECYCLE_ONE.replace("<Days>1", "<Days>0"), ARGUMENT),
    ("PutBucketLifecycleConfiguration", LIFECYCLE_ONE.replace("<Days>1", "<Days>-1"), ARGUMENT),
    ("PutBucketLifecycleConfiguration", LIFECYCLE_ONE.replace("<Days>1", "<Days>soon"), XML),
    ("PutBucketLifecycleConfiguration", LIFECYCLE_ONE.replace("<Days>1</Days>", ""), XML),
    (
        "PutBucketLifecycleConfiguration",
        LIFECYCLE_ONE.replace("<Days>1</Days>", "<Date>2030-01-01T01:00:00Z</Date>"),
        ARGUMENT,
    ),
    ("PutBucketLifecycleConfiguration", LIFECYCLE_ONE.replace("<ID>1", f"<ID>{'i' * 256}"), ARGUMENT),
    (
        "PutBucketLifecycleConfiguration",
        LIFECYCLE_ONE.replace("<Filter><Prefix>1/</Prefix></Filter>", TWO_FILTERS),
        XML,
    ),
    (
        "PutBucketLifecycleConfiguration",
        LIFECYCLE_ONE.replace(
            "<Expiration><Days>1</Days></Expiration>",
            "<Transition><Days>1</Days><StorageClass>ATTIC</StorageClass></Transition>",
        ),
        XML,
    ),
    # What is told and counted.
    ("PutBucketLogging", "<LoggingEnabled/>", XML),
    (
        "PutBucketLogging",
        "<LoggingEnabled><TargetBucket>test-documents-negative</TargetBucket><TargetPrefix/><TargetGrants>"
        + GRANT.replace("READ", "WRITE_ACP")
        + "</TargetGrants></LoggingEnabled>",
        XML,
    ),
    ("PutBucketNotificationConfiguration", "<QueueConfiguration/>", XML),
    ("PutBucketNotificationConfiguration", times(101, QUEUE), ARGUMENT),
    ("PutBucketNotificationConfiguration", times(1, QUEUE.replace("Created", "Invented")), ARGUMENT),
    ("PutBucketNotificationConfiguration", times(1, QUEUE.replace("arn:", "arm:")), ARGUMENT),
    ("PutBucketInventoryConfiguration", "", XML),
    ("PutBucketInventoryConfiguration", INVENTORY.replace("<Id>one", "<Id>two"), "IdMismatch"),
    ("PutBucketInventoryConfiguration", INVENTORY.replace("Daily", "Hourly"), XML),
    ("PutBucketInventoryConfiguration", INVENTORY.replace("CSV", "TSV"), XML),
    ("PutBucketInventoryConfiguration", INVENTORY.replace("All", "Some"), XML),
    (
        "PutBucketInventoryConfiguration",
        INVENTORY.replace("arn:aws:s3:::b-b", "b-b"),
        "InvalidS3DestinationBucket",
    ),
    (
        "PutBucketInventoryConfiguration",
        INVENTORY + "<OptionalFields><Field>Colour</Field></OptionalFields>",
        XML,
    ),
    ("PutBucketMetricsConfiguration", "", XML),
    ("PutBucketMetricsConfiguration", "<Id>two</Id>", "IdMismatch"),
    ("PutBucketMetricsConfiguration", f"<Id>one</Id>{TWO_FILTERS}", XML),
    ("PutBucketAnalyticsConfiguration", "<Id>one</Id>", XML),
    ("PutBucketAnalyticsConfiguration", ANALYTICS.replace("V_1", "V_2"), XML),
    ("PutBucketAnalyticsConfiguration", ANALYTICS.replace("CSV", "Parquet"), XML),
    ("PutBucketAnalyticsConfiguration", ANALYTICS.replace("<Id>one", "<Id>two"), "MalformedXML"),
    ("PutBucketAnalyticsConfiguration", ANALYTICS.replace("</Id>", f"</Id>{TWO_FILTERS}"), XML),
    ("PutBucketIntelligentTieringConfiguration", "<Id>one</Id><Status>Enabled</Status>", XML),
    ("PutBucketIntelligentTieringConfiguration", TIERING.replace("Enabled", "On"), XML),
    ("PutBucketIntelligentTieringConfiguration", TIERING.replace("ARCHIVE_ACCESS", "ATTIC_ACCESS"), XML),
    ("PutBucketIntelligentTieringConfiguration", TIERING.replace("90", "10"), ARGUMENT),
    ("PutBucketIntelligentTieringConfiguration", TIERING.replace("<Id>one", "<Id>two"), "MalformedXML"),
    ("PutBucketAccelerateConfiguration", "<Status>On</Status>", XML),
    ("PutBucketAccelerateConfiguration", "", XML),
    ("PutBucketRequestPayment", "<Payer>Nobody</Payer>", XML),
    ("PutBucketRequestPayment", "", XML),
    ("TagResource", "", XML),
    ("TagResource", f"<Tags>{TAG.replace('k#', 'aws:k')}</Tags>", "InvalidTag"),
]


@pytest.mark.parametrize(
    ("name", "inner", "code"), REFUSED, ids=[f"{number}-{case[0]}" for number, case in enumerate(REFUSED)]
)
def test_documents_that_are_refused(s3: Any, place: str, name: str, inner: str, code: str) -> None:
    row = BY_NAME[name]
    answer = put(s3, place, row, wrapped(row, inner))
    assert answer.code == code, answer.body
    assert answer.status == (409 if code == "InvalidBucketState" else 400)


ELSEWHERE = {
    "PutBucketEncryption",
    "PutBucketReplication",
    "RestoreObject",
    "SelectObjectContent",
    "UpdateObjectEncryption",
}
"""Their own tests hold what of their documents is refused."""


def test_every_document_has_its_own_refusals() -> None:
    assert {row.name for row in WITH_XML} - ELSEWHERE == {name for name, _, _ in REFUSED}
