"""GetObjectRetention."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.operations.refusals import refused


@pytest.fixture
def lockable(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def test_of_each_version(s3, lockable):
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    wanted = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    here = {"Bucket": lockable, "Key": "key"}
    own = {"ObjectLockMode": wanted["Mode"], "ObjectLockRetainUntilDate": until}
    first = s3.put_object(**here, Body=b"1", **own)["VersionId"]
    s3.put_object(**here, Body=b"2")
    assert s3.get_object_retention(**here, VersionId=first)["Retention"] == wanted
    assert refused(s3.get_object_retention, **here) == (404, "NoSuchObjectLockConfiguration")


def test_of_nothing(s3, lockable):
    here = {"Bucket": lockable, "Key": "none"}
    assert refused(s3.get_object_retention, **here) == (404, "NoSuchKey")
    marker = s3.delete_object(**here)["VersionId"]
    assert refused(s3.get_object_retention, **here, VersionId=marker) == (405, "MethodNotAllowed")
    assert refused(s3.get_object_retention, **here, VersionId="0" * 32) == (404, "NoSuchVersion")


def test_in_a_bucket_without_locks(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    assert refused(s3.get_object_retention, Bucket=bucket, Key="key") == (400, "InvalidRequest")


def test_other_people_may_not(s3, other, anonymous, lockable):
    s3.put_object(Bucket=lockable, Key="key", Body=b"")
    for client in (other, anonymous):
        assert refused(client.get_object_retention, Bucket=lockable, Key="key") == (403, "AccessDenied")
