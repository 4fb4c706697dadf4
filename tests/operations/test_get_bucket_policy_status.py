"""GetBucketPolicyStatus."""

import pytest

from tests.operations.refusals import refused
from tests.operations.sharing import open_up, policy, statement


@pytest.mark.parametrize(
    ("more", "is_public"),
    [
        ({}, True),
        ({"Condition": {"StringEquals": {"s3:prefix": "a"}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, True),
        ({"Principal": {"AWS": "111122223333"}}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_a_policy_is_public_if_it_lets_in_strangers(s3, bucket, more, is_public):
    open_up(s3, bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, "s3:ListBucket", **more)))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": is_public}


def test_without_a_policy_there_is_no_status(s3, bucket):
    assert refused(s3.get_bucket_policy_status, Bucket=bucket) == (404, "NoSuchBucketPolicy")


def test_others_do_not_see_it(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_policy_status, Bucket=bucket) == (403, "AccessDenied")
