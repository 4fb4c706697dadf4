"""GetObjectLegalHold."""

import pytest

from tests.operations.refusals import refused


@pytest.fixture
def lockable(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def test_of_each_version(s3, lockable):
    here = {"Bucket": lockable, "Key": "key"}
    first = s3.put_object(**here, Body=b"1", ObjectLockLegalHoldStatus="ON")["VersionId"]
    s3.put_object(**here, Body=b"2")
    assert s3.get_object_legal_hold(**here, VersionId=first)["LegalHold"] == {"Status": "ON"}
    assert refused(s3.get_object_legal_hold, **here) == (404, "NoSuchObjectLockConfiguration")


def test_of_nothing(s3, lockable):
    here = {"Bucket": lockable, "Key": "none"}
    assert refused(s3.get_object_legal_hold, **here) == (404, "NoSuchKey")
    assert refused(s3.get_object_legal_hold, **here, VersionId="0" * 32) == (404, "NoSuchVersion")


def test_in_a_bucket_without_locks(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    assert refused(s3.get_object_legal_hold, Bucket=bucket, Key="key") == (400, "InvalidRequest")


def test_other_people_may_not(s3, other, anonymous, lockable):
    s3.put_object(Bucket=lockable, Key="key", Body=b"")
    for client in (other, anonymous):
        assert refused(client.get_object_legal_hold, Bucket=lockable, Key="key") == (403, "AccessDenied")
