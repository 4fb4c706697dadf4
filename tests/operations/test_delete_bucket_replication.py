"""DeleteBucketReplication."""

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


def test_it_is_gone_and_deleting_it_again_is_no_error(s3, source):
    for _ in range(2):
        assert s3.delete_bucket_replication(Bucket=source)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_replication, Bucket=source) == ABSENT


def test_what_is_written_then_is_not_replicated(s3, source):
    s3.delete_bucket_replication(Bucket=source)
    s3.put_object(Bucket=source, Key="key", Body=b"")
    assert "ReplicationStatus" not in s3.head_object(Bucket=source, Key="key")


def test_other_people_may_not(s3, other, anonymous, source):
    for client in (other, anonymous):
        assert refused(client.delete_bucket_replication, Bucket=source) == (403, "AccessDenied")
    s3.get_bucket_replication(Bucket=source)
