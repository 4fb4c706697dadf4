"""GetBucketReplication."""

import pytest

from tests.operations.refusals import refused
from tests.operations.test_put_bucket_replication import enable, put, rule

ABSENT = (404, "ReplicationConfigurationNotFoundError")


@pytest.fixture
def source(s3, bucket, bucket_name):
    """A bucket that is replicated into another one."""
    target = f"{bucket_name}-to"
    s3.create_bucket(Bucket=target)
    for name in (bucket, target):
        enable(s3, name)
    put(s3, bucket, rule(target))
    return bucket


def test_what_was_put_comes_back(s3, source):
    told = s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    (kept,) = told["Rules"]
    assert (kept["ID"], kept["Status"], kept["Priority"]) == ("mine", "Enabled", 1)
    assert kept["Destination"]["Bucket"] == f"arn:aws:s3:::{source}-to"


def test_where_there_is_none(s3, bucket):
    assert refused(s3.get_bucket_replication, Bucket=bucket) == ABSENT
    assert refused(s3.get_bucket_replication, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, source):
    for client in (other, anonymous):
        assert refused(client.get_bucket_replication, Bucket=source) == (403, "AccessDenied")
