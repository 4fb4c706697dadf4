"""PutBucketEncryption, GetBucketEncryption, DeleteBucketEncryption."""

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.operations.sse import KEY_A, customer


def rule(algorithm=None, key=None, *, bucket_key=None, blocked=None):
    made = {}
    if algorithm is not None:
        made["ApplyServerSideEncryptionByDefault"] = {"SSEAlgorithm": algorithm}
        if key is not None:
            made["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] = key
    if bucket_key is not None:
        made["BucketKeyEnabled"] = bucket_key
    if blocked is not None:
        made["BlockedEncryptionTypes"] = {"EncryptionType": blocked}
    return made


def put(s3, bucket, *rules):
    return s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": list(rules)})


def configured(s3, bucket):
    return s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]


@pytest.mark.parametrize(
    "given",
    [
        rule("AES256", bucket_key=False),
        rule("AES256", bucket_key=True),
        rule("aws:kms", bucket_key=True),
        rule("aws:kms", "some-key", bucket_key=False),
        rule("aws:kms", "arn:aws:kms:us-east-1:000000000000:key/some-key", bucket_key=True),
        rule("AES256", bucket_key=False, blocked=["SSE-C"]),
        rule("AES256", bucket_key=False, blocked=["NONE"]),
    ],
)
def test_what_is_put_is_answered(s3, bucket, given):
    assert put(s3, bucket, given)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert configured(s3, bucket) == [given]


def test_whether_there_is_a_bucket_key_is_always_said(s3, bucket):
    put(s3, bucket, rule("AES256"))
    assert configured(s3, bucket) == [rule("AES256", bucket_key=False)]


def test_delete_goes_back_to_the_default(s3, bucket):
    fresh = refused_or_configured(s3, bucket)
    put(s3, bucket, rule("aws:kms"))
    for _ in range(2):
        answer = s3.delete_bucket_encryption(Bucket=bucket)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused_or_configured(s3, bucket) == fresh


def refused_or_configured(s3, bucket):
    try:
        return configured(s3, bucket)
    except s3.exceptions.ClientError as exc:
        return exc.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ([rule("AES256", "some-key")], (400, "InvalidArgument")),
        ([rule("AES256"), rule("AES256")], (400, "MalformedXML")),
        ([rule()], (400, "MalformedXML")),
        ([rule("AES128")], (400, "MalformedXML")),
        ([rule("AES256", blocked=["SSE-S3"])], (400, "MalformedXML")),
        ([rule("AES256", blocked=["NONE", "SSE-C"])], (400, "MalformedXML")),
        ([rule("aws:kms:dsse")], (501, "NotImplemented")),
    ],
)
def test_what_cannot_be_configured(s3, bucket, rules, error):
    before = refused_or_configured(s3, bucket)
    with pytest.raises(s3.exceptions.ClientError) as caught:
        put(s3, bucket, *rules)
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == error
    assert refused_or_configured(s3, bucket) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<ServerSideEncryptionConfiguration/>",
        b"<Encryption/>",
        b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault/></Rule>"
        b"</ServerSideEncryptionConfiguration>",
        b"<ServerSideEncryptionConfiguration><Rule><BucketKeyEnabled>maybe</BucketKeyEnabled></Rule>"
        b"</ServerSideEncryptionConfiguration>",
    ],
)
def test_malformed_documents(s3, bucket, body):
    answer = send(s3, "PUT", bucket, query={"encryption": ""}, body=body)
    assert answer.status == 400
    assert answer.code in ("MalformedXML", "MissingRequestBodyError")


def test_of_no_bucket_and_of_someone_elses(s3, other, bucket, bucket_name):
    absent = f"{bucket_name}-absent"
    assert refused(s3.get_bucket_encryption, Bucket=absent) == (404, "NoSuchBucket")
    for call in (other.get_bucket_encryption, other.delete_bucket_encryption):
        assert refused(call, Bucket=bucket) == (403, "AccessDenied")


def test_objects_are_encrypted_as_the_bucket_says(s3, bucket):
    put(s3, bucket, rule("AES256"))
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"data")["ServerSideEncryption"] == "AES256"
    put(s3, bucket, rule("aws:kms", bucket_key=True))
    answer = s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert answer["ServerSideEncryption"] == "aws:kms"
    assert answer["BucketKeyEnabled"] is True
    assert answer["SSEKMSKeyId"].endswith(":key/default")
    asked = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ServerSideEncryption="AES256")
    assert asked["ServerSideEncryption"] == "AES256"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")
    assert upload["ServerSideEncryption"] == "aws:kms"
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload["UploadId"])
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert copied["ServerSideEncryption"] == "aws:kms"


def test_ssec_can_be_blocked(s3, bucket):
    s3.put_object(Bucket=bucket, Key="before", Body=b"data", **customer(KEY_A))
    put(s3, bucket, rule("AES256", blocked=["SSE-C"]))
    arguments = {"Bucket": bucket, "Key": "k", **customer(KEY_A)}
    assert refused(s3.put_object, Body=b"data", **arguments) == (403, "AccessDenied")
    assert refused(s3.create_multipart_upload, **arguments) == (403, "AccessDenied")
    assert refused(s3.copy_object, CopySource=f"{bucket}/before", **arguments)[0] in (400, 403)
    before = s3.get_object(Bucket=bucket, Key="before", **customer(KEY_A))
    assert before["Body"].read() == b"data"
    put(s3, bucket, rule("AES256", blocked=["NONE"]))
    s3.put_object(Body=b"data", **arguments)
