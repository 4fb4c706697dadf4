"""Lines of access logs, and what operations are called in them."""

import pytest

from objstore.api.operations import OPERATIONS
from objstore.s3 import access_log
from objstore.s3.access_log import BatchRecord, Deletion, Record

NAMES = {
    "AbortMultipartUpload": "REST.DELETE.UPLOAD",
    "CompleteMultipartUpload": "REST.POST.UPLOAD",
    "CopyObject": "REST.COPY.OBJECT",
    "CreateMultipartUpload": "REST.POST.UPLOADS",
    "DeleteBucket": "REST.DELETE.BUCKET",
    "DeleteObject": "REST.DELETE.OBJECT",
    "DeleteObjects": "REST.POST.MULTI_OBJECT_DELETE",
    "GetBucketAcl": "REST.GET.ACL",
    "GetBucketCors": "REST.GET.CORS",
    "GetBucketEncryption": "REST.GET.ENCRYPTION",
    "GetBucketLifecycleConfiguration": "REST.GET.LIFECYCLE",
    "GetBucketLocation": "REST.GET.LOCATION",
    "GetBucketLogging": "REST.GET.LOGGING_STATUS",
    "GetBucketNotificationConfiguration": "REST.GET.NOTIFICATION",
    "GetBucketOwnershipControls": "REST.GET.OWNERSHIP_CONTROLS",
    "GetBucketPolicy": "REST.GET.BUCKETPOLICY",
    "GetBucketReplication": "REST.GET.REPLICATION",
    "GetBucketRequestPayment": "REST.GET.REQUEST_PAYMENT",
    "GetBucketTagging": "REST.GET.TAGGING",
    "GetBucketVersioning": "REST.GET.VERSIONING",
    "GetBucketWebsite": "REST.GET.WEBSITE",
    "GetObject": "REST.GET.OBJECT",
    "GetObjectAttributes": "REST.GET.OBJECT_ATTRIBUTES",
    "GetObjectTagging": "REST.GET.OBJECT_TAGGING",
    "RestoreObject": "REST.POST.RESTORE",
    "SelectObjectContent": "REST.POST.SELECT",
    "GetBucketPolicyStatus": "REST.GET.POLICY_STATUS",
    "GetObjectLockConfiguration": "REST.GET.OBJECT_LOCK_CONFIGURATION",
    "GetPublicAccessBlock": "REST.GET.PUBLIC_ACCESS_BLOCK",
    "HeadBucket": "REST.HEAD.BUCKET",
    "HeadObject": "REST.HEAD.OBJECT",
    "ListMultipartUploads": "REST.GET.UPLOADS",
    "ListObjects": "REST.GET.BUCKET",
    "ListObjectsV2": "REST.GET.BUCKET",
    "ListObjectVersions": "REST.GET.BUCKETVERSIONS",
    "ListParts": "REST.GET.UPLOAD",
    "PreflightObject": "REST.OPTIONS.PREFLIGHT",
    "PutObject": "REST.PUT.OBJECT",
    "PutObjectAcl": "REST.PUT.ACL",
    "UploadPart": "REST.PUT.PART",
    "UploadPartCopy": "REST.COPY.PART",
}


@pytest.mark.parametrize(("operation", "expected"), NAMES.items())
def test_what_operations_are_called(operation, expected):
    (row,) = [row for row in OPERATIONS if row.name == operation]
    flag = row.query[0] if row.query else ""
    is_object = row.scope == "object"
    assert access_log.operation_name(row.name, row.method, flag, is_object=is_object) == expected


def test_a_line_of_which_little_is_known():
    line = Record(owner_id="o", bucket="b", time_ms=0, operation="S3.EXPIRE.OBJECT", request_id="R").line
    assert line == "o b [01/Jan/1970:00:00:00 +0000] - - R S3.EXPIRE.OBJECT" + " -" * 20


def test_the_fields_are_in_aws_s_order():
    record = Record(
        owner_id="owner",
        bucket="bucket",
        time_ms=1_549_411_238_500,
        operation="REST.GET.OBJECT",
        request_id="REQUEST",
        remote="192.0.2.3",
        requester="requester",
        key="a/b c",
        request_line="GET /bucket/a/b%20c?versionId=v HTTP/1.1",
        status=404,
        code="NoSuchKey",
        sent_bytes=297,
        object_bytes=5,
        total_ms=38,
        turn_around_ms=37,
        referer="http://www.example.com/",
        agent="curl/7.15.1",
        version_id="v",
        host_id="HOST+/=",
        signature_version="SigV4",
        cipher="ECDHE-RSA-AES128-GCM-SHA256",
        auth_type="AuthHeader",
        host="s3.example.org",
        tls_version="TLSv1.2",
        needed_acl=True,
    )
    assert record.line == (
        "owner bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.3 requester REQUEST REST.GET.OBJECT a/b%2520c "
        '"GET /bucket/a/b%20c?versionId=v HTTP/1.1" 404 NoSuchKey 297 5 38 37 "http://www.example.com/" '
        '"curl/7.15.1" v HOST+/= SigV4 ECDHE-RSA-AES128-GCM-SHA256 AuthHeader s3.example.org TLSv1.2 - Yes -'
    )
    assert access_log.unstamped(next(record.lines())) == (1_549_411_238_500, record.line)
    (batch,) = BatchRecord(record, [Deletion("k", "", 204, "")]).lines()
    assert " BATCH.DELETE.OBJECT k - 204 - - - - - - - - HOST+/= " in batch


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("GET /b/k?X-Amz-Signature=abc&x=1 HTTP/1.1", '"GET /b/k?X-Amz-Signature=REDACTED&x=1 HTTP/1.1"'),
        ("GET /b/k?x=1&Signature=a%2B HTTP/1.1", '"GET /b/k?x=1&Signature=REDACTED HTTP/1.1"'),
        ("GET /b/k?x-amz-security-token=t HTTP/1.1", '"GET /b/k?x-amz-security-token=REDACTED HTTP/1.1"'),
        ('GET /b/"k\u00fc HTTP/1.1', '"GET /b/\\x22k\\xc3\\xbc HTTP/1.1"'),
        ("GET /b/\r\n HTTP/1.1", '"GET /b/\\x0d\\x0a HTTP/1.1"'),
    ],
)
def test_no_secret_and_no_forged_end_in_a_request_line(sent, shown):
    record = Record(owner_id="o", bucket="b", time_ms=0, operation="X", request_id="R", request_line=sent)
    assert shown in record.line and record.line.isascii() and record.line.isprintable()
