"""GetBucketPolicy."""

from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement


def test_a_policy_comes_back_as_it_was_put(s3, bucket, other_id):
    document = policy(statement(bucket, "s3:GetObject", {"CanonicalUser": other_id}))
    answer = s3.put_bucket_policy(Bucket=bucket, Policy=document)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == document


def test_there_is_none_at_first(s3, bucket):
    assert refused(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")


def test_others_do_not_see_it(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_policy, Bucket=bucket) == (403, "AccessDenied")
