"""GetBucketEncryption."""

from tests.operations.refusals import refused

ABSENT = (404, "ServerSideEncryptionConfigurationNotFoundError")
RULE = {
    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
    "BucketKeyEnabled": False,
}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [RULE]})
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"] == [RULE]


def test_where_there_is_none(s3, bucket):
    assert refused(s3.get_bucket_encryption, Bucket=bucket) == (
        404,
        "ServerSideEncryptionConfigurationNotFoundError",
    )
    assert refused(s3.get_bucket_encryption, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_encryption, Bucket=bucket) == (403, "AccessDenied")
