"""UpdateObjectEncryption: another KMS key for the data key of an object; its bytes stay."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.operations.sse import KEY_A, KMS, S3, customer

DEFAULT = "arn:aws:kms:us-east-1:000000000000:key/default"


def wanted(arn=DEFAULT, **more):
    return {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": arn, **more}}}


@pytest.mark.parametrize("before", [S3, KMS])
def test_everything_but_the_key_stays(s3, bucket, before):
    s3.put_object(Bucket=bucket, Key="k", Body=b"the bytes", Metadata={"a": "b"}, **before)
    old = s3.head_object(Bucket=bucket, Key="k")
    s3.update_object_encryption(Bucket=bucket, Key="k", **wanted(BucketKeyEnabled=True))
    new = s3.get_object(Bucket=bucket, Key="k")
    assert new["Body"].read() == b"the bytes"
    assert new["ServerSideEncryption"] == "aws:kms"
    assert new["SSEKMSKeyId"] == DEFAULT
    assert new["BucketKeyEnabled"] is True
    for name in ("ETag", "LastModified", "Metadata", "ContentLength"):
        assert new[name] == old[name]
    s3.update_object_encryption(Bucket=bucket, Key="k", **wanted())
    assert "BucketKeyEnabled" not in s3.head_object(Bucket=bucket, Key="k")


def test_of_one_version(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", **S3)["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", **S3)
    s3.update_object_encryption(Bucket=bucket, Key="k", VersionId=first, **wanted())
    assert s3.head_object(Bucket=bucket, Key="k", VersionId=first)["ServerSideEncryption"] == "aws:kms"
    assert s3.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == "AES256"


def test_what_cannot_be_updated(s3, server, bucket):
    call = s3.update_object_encryption
    arguments = {"Bucket": bucket, "Key": "k"}
    assert refused(call, **arguments, **wanted()) == (404, "NoSuchKey")
    s3.put_object(**arguments, Body=b"x", **customer(KEY_A))
    assert refused(call, **arguments, **wanted()) == (400, "InvalidRequest")
    s3.put_object(**arguments, Body=b"x", **S3)
    for arn in (
        "default-key-without-arn",
        "alias/aws/s3-not-an-arn",
        "arn:aws:kms:us-east-1:000000000000:alias/aws/s3",
    ):
        assert refused(call, **arguments, **wanted(arn)) == (400, "InvalidRequest"), arn
    absent = "arn:aws:kms:us-east-1:000000000000:key/absent"
    assert refused(call, **arguments, **wanted(absent)) == (400, "KMS.NotFoundException")
    assert s3.head_object(**arguments)["ServerSideEncryption"] == "AES256"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<ObjectEncryption/>", "InvalidRequest"),
        (b"<ObjectEncryption><SSE-KMS/></ObjectEncryption>", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (
            b"<ObjectEncryption><SSE-KMS><KMSKeyArn>a</KMSKeyArn><BucketKeyEnabled>2</BucketKeyEnabled>"
            b"</SSE-KMS></ObjectEncryption>",
            "MalformedXML",
        ),
    ],
)
def test_malformed_documents(s3, bucket, body, code):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **S3)
    answer = send(s3, "PUT", bucket, "k", query={"encryption": ""}, body=body)
    assert (answer.status, answer.code) == (400, code)


def test_a_locked_version_stays_as_it_is(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(minutes=5)
    made = s3.put_object(
        Bucket=bucket_name,
        Key="k",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        **S3,
    )
    call = s3.update_object_encryption
    assert refused(call, Bucket=bucket_name, Key="k", **wanted()) == (403, "AccessDenied")
    s3.delete_object(Bucket=bucket_name, Key="k", VersionId=made["VersionId"], BypassGovernanceRetention=True)


def test_it_needs_a_permission_of_its_own(s3, other, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **S3)
    assert refused(other.update_object_encryption, Bucket=bucket, Key="k", **wanted()) == (
        403,
        "AccessDenied",
    )
