"""DeleteBucketCors."""

from tests.operations.refusals import refused

RULES = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"]}]}


def test_it_is_gone_and_deleting_it_again_is_no_error(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    for _ in range(2):
        assert s3.delete_bucket_cors(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")


def test_of_no_bucket(s3):
    assert refused(s3.delete_bucket_cors, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(s3, other, anonymous, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=RULES)
    for client in (other, anonymous):
        assert refused(client.delete_bucket_cors, Bucket=bucket) == (403, "AccessDenied")
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == RULES["CORSRules"]
