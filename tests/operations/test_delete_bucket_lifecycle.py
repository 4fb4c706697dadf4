"""DeleteBucketLifecycle."""

from tests.operations.refusals import refused

RULE = {"ID": "old", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 30}}


def test_it_is_gone_and_deleting_it_again_is_no_error(s3, bucket):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [RULE]})
    put = s3.put_object(Bucket=bucket, Key="logs/a", Body=b"")
    assert "Expiration" in put
    for _ in range(2):
        assert s3.delete_bucket_lifecycle(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    call = s3.get_bucket_lifecycle_configuration
    assert refused(call, Bucket=bucket) == (404, "NoSuchLifecycleConfiguration")
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="logs/a")


def test_of_no_bucket(s3):
    assert refused(s3.delete_bucket_lifecycle, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.delete_bucket_lifecycle, Bucket=bucket) == (403, "AccessDenied")
