"""Every document against botocore: what its serializer writes we read, what we write its parser reads."""

import importlib
import pkgutil
import re
from typing import Any

import pytest

from objstore.api.operations import OPERATIONS
from objstore.model import Checksum
from objstore.s3 import documents, xml
from objstore.s3.documents import (
    acceleration,
    access,
    acl,
    analytics,
    attributes,
    buckets,
    control,
    copying,
    cors,
    deleting,
    encryption,
    inventory,
    lifecycle,
    listing,
    locking,
    logging,
    metrics,
    multipart,
    notification,
    payment,
    replication,
    restoring,
    select,
    tagging,
    tiering,
    versioning,
    website,
)
from objstore.s3.documents.checksums import FIELD_OF, ChecksumElements, checksum_elements
from objstore.s3.documents.error import error_document
from objstore.s3.documents.owner import Initiator, Owner
from tests.support import botocore_model
from tests.support.botocore_model import MODEL

WRITTEN_AND_READ_BACK = [
    ("PutBucketAbac", "GetBucketAbac", access.AbacStatus),
    (
        "PutBucketAccelerateConfiguration",
        "GetBucketAccelerateConfiguration",
        acceleration.AccelerateConfiguration,
    ),
    ("PutBucketAcl", "GetBucketAcl", acl.AccessControlPolicy),
    ("PutObjectAcl", "GetObjectAcl", acl.AccessControlPolicy),
    ("PutBucketAnalyticsConfiguration", "GetBucketAnalyticsConfiguration", analytics.AnalyticsConfiguration),
    ("PutBucketCors", "GetBucketCors", cors.CORSConfiguration),
    ("PutBucketEncryption", "GetBucketEncryption", encryption.ServerSideEncryptionConfiguration),
    (
        "PutBucketIntelligentTieringConfiguration",
        "GetBucketIntelligentTieringConfiguration",
        tiering.IntelligentTieringConfiguration,
    ),
    ("PutBucketInventoryConfiguration", "GetBucketInventoryConfiguration", inventory.InventoryConfiguration),
    ("PutBucketLifecycleConfiguration", "GetBucketLifecycleConfiguration", lifecycle.LifecycleConfiguration),
    ("PutBucketLogging", "GetBucketLogging", logging.BucketLoggingStatus),
    ("PutBucketMetricsConfiguration", "GetBucketMetricsConfiguration", metrics.MetricsConfiguration),
    (
        "PutBucketNotificationConfiguration",
        "GetBucketNotificationConfiguration",
        notification.NotificationConfiguration,
    ),
    ("PutBucketOwnershipControls", "GetBucketOwnershipControls", access.OwnershipControls),
    ("PutBucketReplication", "GetBucketReplication", replication.ReplicationConfiguration),
    ("PutBucketRequestPayment", "GetBucketRequestPayment", payment.RequestPaymentConfiguration),
    ("PutBucketTagging", "GetBucketTagging", tagging.Tagging),
    ("PutObjectTagging", "GetObjectTagging", tagging.Tagging),
    ("PutBucketVersioning", "GetBucketVersioning", versioning.VersioningConfiguration),
    ("PutBucketWebsite", "GetBucketWebsite", website.WebsiteConfiguration),
    ("PutObjectLockConfiguration", "GetObjectLockConfiguration", locking.ObjectLockConfiguration),
    ("PutObjectLegalHold", "GetObjectLegalHold", locking.LegalHold),
    ("PutObjectRetention", "GetObjectRetention", locking.Retention),
    ("PutPublicAccessBlock", "GetPublicAccessBlock", access.PublicAccessBlockConfiguration),
]


def leaves(value: Any) -> list[Any]:
    """All scalars of a nested value."""
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)] or [{}]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def bodies(put: str) -> tuple[bytes, bytes]:
    """The body botocore writes with all members and with the required ones alone."""
    shape = MODEL.operation_model(put).input_shape
    full = botocore_model.request(put, botocore_model.sample(shape, full=True))["body"]
    payload = shape.serialization["payload"]
    required = botocore_model.sample(shape)
    required.setdefault(payload, botocore_model.sample(shape.members[payload]))
    return full, botocore_model.request(put, required)["body"]


@pytest.mark.parametrize(("put", "get", "cls"), WRITTEN_AND_READ_BACK, ids=lambda value: str(value))
def test_configuration_goes_through_without_loss(put: str, get: str, cls: type[Any]) -> None:
    for body in bodies(put):
        expected = botocore_model.parse(get, 200, body)
        read = xml.parse(cls, body)
        assert botocore_model.parse(get, 200, xml.dumps(read)) == expected
        assert xml.parse(cls, xml.dumps(read)) == read


@pytest.mark.parametrize(("put", "get", "cls"), WRITTEN_AND_READ_BACK, ids=lambda value: str(value))
def test_every_member_botocore_knows_is_declared(put: str, get: str, cls: type[Any]) -> None:
    shape = MODEL.operation_model(put).input_shape
    sample = botocore_model.sample(shape, full=True)
    payload = sample[shape.serialization["payload"]]
    read = botocore_model.parse(get, 200, xml.dumps(xml.parse(cls, bodies(put)[0])))
    assert len(leaves(read)) == len(leaves(payload)), (read, payload)


READ_ALONE = [
    ("CreateBucket", buckets.CreateBucketConfiguration),
    ("CompleteMultipartUpload", multipart.CompleteMultipartUpload),
    ("DeleteObjects", deleting.Delete),
    ("RestoreObject", restoring.RestoreRequest),
    ("SelectObjectContent", select.SelectObjectContentRequest),
    ("UpdateObjectEncryption", encryption.ObjectEncryption),
]
"""Documents of requests that no answer gives back."""


@pytest.mark.parametrize(("name", "cls"), READ_ALONE)
def test_request_document_is_read(name: str, cls: type[Any]) -> None:
    shape = MODEL.operation_model(name).input_shape
    request = botocore_model.request(name, botocore_model.sample(shape, full=True))
    read = xml.parse(cls, request["body"])
    again = xml.dumps(read).decode()
    for tag in set(re.findall(r"<([A-Za-z0-9-]+)>", request["body"].decode())):
        assert f"<{tag}>" in again


def test_every_document_of_a_row_is_tested_here() -> None:
    told = {cls for *_, cls in WRITTEN_AND_READ_BACK} | {cls for _, cls in READ_ALONE}
    of_rows = {row.document for row in OPERATIONS} - {None, bytes}
    assert of_rows - told == {control.TagResourceRequest}, "S3 Control is not in botocore's model of S3"


AT = 1_700_000_000_000
OWNER = Owner(id="o" * 64, display_name="owner")
SUM = checksum_elements(Checksum("CRC64NVME", "AAAAAAAAAAA="))

RESULTS = [
    (
        "ListBuckets",
        buckets.ListAllMyBucketsResult(
            owner=OWNER,
            buckets=(buckets.Bucket(name="b", creation_date=AT, bucket_region="r", bucket_arn="a"),),
            continuation_token="t",
            prefix="p",
        ),
    ),
    ("ListBuckets", buckets.ListAllMyBucketsResult(owner=OWNER, buckets=())),
    (
        "ListObjects",
        listing.ListObjectsResult(
            name="b",
            marker="m",
            next_marker="n",
            max_keys=2,
            delimiter="/",
            is_truncated=True,
            encoding_type="url",
            contents=(
                listing.Contents(
                    key="k",
                    last_modified=AT,
                    etag="e-1",
                    checksum_algorithm=("SHA1",),
                    checksum_type="COMPOSITE",
                    size=5,
                    owner=OWNER,
                    restore_status=listing.RestoreStatus(
                        is_restore_in_progress=False, restore_expiry_date=AT
                    ),
                ),
            ),
            common_prefixes=(listing.CommonPrefixes(prefix="p/"), listing.CommonPrefixes(prefix="q/")),
        ),
    ),
    (
        "ListObjectsV2",
        listing.ListObjectsV2Result(
            name="b",
            continuation_token="c",
            next_continuation_token="n",
            start_after="s",
            key_count=1,
            max_keys=1,
            is_truncated=True,
            contents=(listing.Contents(key="k", last_modified=AT, etag="e", size=0),),
        ),
    ),
    (
        "ListObjectVersions",
        listing.ListVersionsResult(
            name="b",
            max_keys=1000,
            is_truncated=True,
            next_key_marker="k",
            next_version_id_marker="2",
            entries=(
                listing.DeleteMarker(key="k", version_id="3", is_latest=True, last_modified=AT, owner=OWNER),
                listing.Version(key="k", version_id="2", is_latest=False, last_modified=AT, etag="e", size=1),
            ),
        ),
    ),
    ("CreateMultipartUpload", multipart.InitiateMultipartUploadResult(bucket="b", key="k", upload_id="u")),
    (
        "CompleteMultipartUpload",
        multipart.CompleteMultipartUploadResult(
            location="l", bucket="b", key="k", etag="e-1", checksum_type="FULL_OBJECT", **SUM
        ),
    ),
    (
        "ListParts",
        multipart.ListPartsResult(
            bucket="b",
            key="k",
            upload_id="u",
            initiator=Initiator(id="i"),
            owner=OWNER,
            next_part_number_marker=1,
            max_parts=1,
            is_truncated=True,
            checksum_algorithm="CRC64NVME",
            checksum_type="FULL_OBJECT",
            parts=(multipart.Part(part_number=1, last_modified=AT, etag="e", size=5, **SUM),),
        ),
    ),
    (
        "ListMultipartUploads",
        multipart.ListMultipartUploadsResult(
            bucket="b",
            next_key_marker="k",
            next_upload_id_marker="u",
            max_uploads=1,
            is_truncated=True,
            uploads=(
                multipart.Upload(
                    key="k",
                    upload_id="u",
                    initiator=Initiator(id="i", display_name="n"),
                    owner=OWNER,
                    initiated=AT,
                    checksum_algorithm="SHA256",
                    checksum_type="COMPOSITE",
                ),
            ),
            common_prefixes=(listing.CommonPrefixes(prefix="p/"),),
        ),
    ),
    ("CopyObject", copying.CopyObjectResult(last_modified=AT, etag="e", checksum_type="FULL_OBJECT", **SUM)),
    ("UploadPartCopy", copying.CopyPartResult(last_modified=AT, etag="e", **SUM)),
    (
        "DeleteObjects",
        deleting.DeleteResult(
            entries=(
                deleting.Deleted(key="a", delete_marker=True, delete_marker_version_id="1"),
                deleting.DeleteError(key="b", version_id="2", code="AccessDenied", message="Access Denied"),
            )
        ),
    ),
    (
        "GetObjectAttributes",
        attributes.GetObjectAttributesResponse(
            etag="e",
            checksum=attributes.Checksum(checksum_type="FULL_OBJECT", **SUM),
            object_parts=attributes.ObjectParts(
                total_parts_count=2,
                part_number_marker=0,
                next_part_number_marker=1,
                max_parts=1,
                is_truncated=True,
                parts=(attributes.ObjectPart(part_number=1, size=5, **SUM),),
            ),
            storage_class="STANDARD",
            object_size=10,
        ),
    ),
    ("GetBucketPolicyStatus", access.PolicyStatus(is_public=True)),
    (
        "ListBucketAnalyticsConfigurations",
        analytics.ListAnalyticsConfigurationsResult(
            configurations=(
                analytics.AnalyticsConfiguration(
                    id="i", storage_class_analysis=analytics.StorageClassAnalysis()
                ),
            )
        ),
    ),
    (
        "ListBucketMetricsConfigurations",
        metrics.ListMetricsConfigurationsResult(configurations=(metrics.MetricsConfiguration(id="i"),)),
    ),
]


def fields_given(value: Any) -> int:
    """How many scalars a document holds."""
    if hasattr(value, "__document__"):
        return sum(fields_given(getattr(value, name)) for name in value.__dataclass_fields__)
    if isinstance(value, tuple):
        return sum(map(fields_given, value))
    return value is not None


@pytest.mark.parametrize(("name", "result"), RESULTS, ids=[name for name, _ in RESULTS])
def test_result_is_read_by_botocore_whole(name: str, result: Any) -> None:
    parsed = botocore_model.parse(name, 200, xml.dumps(result))
    assert len([leaf for leaf in leaves(parsed) if leaf != {}]) == fields_given(result), parsed
    assert xml.parse(type(result), xml.dumps(result)) == result


def test_location_is_the_text_of_the_root() -> None:
    assert xml.dumps(buckets.LocationConstraint(region="eu-west-1")).endswith(
        b">eu-west-1</LocationConstraint>"
    )
    assert xml.dumps(buckets.LocationConstraint()).endswith(b"></LocationConstraint>")


def test_etag_is_quoted_everywhere_but_in_attributes() -> None:
    assert b"<ETag>&quot;e&quot;</ETag>" in xml.dumps(copying.CopyPartResult(last_modified=AT, etag="e"))
    assert b"<ETag>e</ETag>" in xml.dumps(attributes.GetObjectAttributesResponse(etag="e"))


def test_entries_of_a_listing_keep_their_order() -> None:
    result = dict(RESULTS)["ListObjectVersions"]
    written = xml.dumps(result)
    assert written.index(b"<DeleteMarker>") < written.index(b"<Version>")


def test_names_in_urls_are_encoded_as_botocore_decodes_them() -> None:
    from urllib.parse import unquote

    name = "a b+c/d%ü\x01?&'~*"
    assert listing.url_encoded("a b+c/d") == "a%20b%2Bc/d"
    assert unquote(listing.url_encoded(name)) == name


def test_every_checksum_of_botocore_has_its_element() -> None:
    shape = MODEL.shape_for("ChecksumAlgorithm")
    assert set(FIELD_OF) == set(shape.enum)
    assert set(FIELD_OF.values()) == set(ChecksumElements.__dataclass_fields__)
    assert checksum_elements(None) == {}
    assert ChecksumElements(**SUM).checksums == {"CRC64NVME": "AAAAAAAAAAA="}


def test_error_document_is_read_by_botocore() -> None:
    body = error_document(
        code="NoSuchKey",
        message="<gone>",
        elements={"Key": "a&b"},
        resource="/b/a&b",
        request_id="R",
        host_id="H",
    )
    parsed = botocore_model.parse("GetObject", 404, body)
    assert parsed["Error"] == {"Code": "NoSuchKey", "Message": "<gone>", "Key": "a&b", "Resource": "/b/a&b"}
    assert b"xmlns" not in body


def test_every_document_of_every_module_has_a_plan() -> None:
    count = 0
    for module in pkgutil.iter_modules(documents.__path__):
        for value in vars(importlib.import_module(f"{documents.__name__}.{module.name}")).values():
            if isinstance(value, type) and hasattr(value, "__document__"):
                xml._plan(value)
                count += 1
    assert count > 100
