"""DeleteBucketEncryption."""

from tests.operations.refusals import refused

ABSENT = (404, "ServerSideEncryptionConfigurationNotFoundError")
RULE = {
    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
    "BucketKeyEnabled": False,
}


def test_it_is_gone_and_deleting_it_again_is_no_error(s3, bucket):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [RULE]})
    for _ in range(2):
        assert s3.delete_bucket_encryption(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_encryption, Bucket=bucket) == (
        404,
        "ServerSideEncryptionConfigurationNotFoundError",
    )


def test_objects_written_before_stay_encrypted_and_readable(s3, bucket):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [RULE]})
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    s3.delete_bucket_encryption(Bucket=bucket)
    answer = s3.get_object(Bucket=bucket, Key="key")
    assert (answer["Body"].read(), answer["ServerSideEncryption"]) == (b"body", "AES256")


def test_other_people_may_not(s3, other, anonymous, bucket):
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [RULE]})
    for client in (other, anonymous):
        assert refused(client.delete_bucket_encryption, Bucket=bucket) == (403, "AccessDenied")
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"] == [RULE]
