"""DeleteBucketPolicy."""

from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement


def test_a_deleted_policy_allows_nothing_from_the_next_request_on(s3, bucket, other, other_id):
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    document = policy(statement(bucket, "s3:GetObject", {"CanonicalUser": other_id}))
    for _ in range(5):  # by whichever worker
        s3.put_bucket_policy(Bucket=bucket, Policy=document)
        assert other.get_object(Bucket=bucket, Key="key")["Body"].read() == b"body"
        s3.delete_bucket_policy(Bucket=bucket)
        assert refused(other.get_object, Bucket=bucket, Key="key") == (403, "AccessDenied")
    assert refused(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")


def test_deleting_none_is_no_error(s3, bucket):
    assert s3.delete_bucket_policy(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_others_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.delete_bucket_policy, Bucket=bucket) == (403, "AccessDenied")
