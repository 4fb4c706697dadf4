"""PutObjectLegalHold, GetObjectLegalHold."""

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send


@pytest.fixture
def lockable(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=bucket_name, Key="key", Body=b"x")
    return bucket_name


def test_on_and_off(s3, lockable):
    here = {"Bucket": lockable, "Key": "key"}
    version = s3.head_object(**here)["VersionId"]
    assert refused(s3.get_object_legal_hold, **here) == (404, "NoSuchObjectLockConfiguration")
    assert "ObjectLockLegalHoldStatus" not in s3.head_object(**here)
    s3.put_object_legal_hold(**here, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**here)["LegalHold"] == {"Status": "ON"}
    delete = {**here, "VersionId": version, "BypassGovernanceRetention": True}
    assert refused(s3.delete_object, **delete) == (403, "AccessDenied")
    s3.put_object_legal_hold(**here, VersionId=version, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**here)["LegalHold"] == {"Status": "OFF"}
    assert s3.head_object(**here)["ObjectLockLegalHoldStatus"] == "OFF"
    s3.delete_object(**delete)


@pytest.mark.parametrize("wanted", [{}, {"Status": "on"}])
def test_a_document_that_cannot_be(s3, lockable, wanted):
    refusal = refused(s3.put_object_legal_hold, Bucket=lockable, Key="key", LegalHold=wanted)
    assert refusal == (400, "MalformedXML")


def test_a_document_without_digest_is_refused(s3, lockable):
    body = b"<LegalHold><Status>ON</Status></LegalHold>"
    answer = send(s3, "PUT", lockable, "key", query={"legal-hold": ""}, body=body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_a_bucket_without_locks(s3, bucket):
    here = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**here, Body=b"")
    assert refused(s3.get_object_legal_hold, **here) == (400, "InvalidRequest")
    refusal = refused(s3.put_object_legal_hold, **here, LegalHold={"Status": "ON"})
    assert refusal == (400, "InvalidRequest")


def test_other_people_may_not(other, lockable):
    here = {"Bucket": lockable, "Key": "key"}
    assert refused(other.get_object_legal_hold, **here) == (403, "AccessDenied")
    assert refused(other.put_object_legal_hold, **here, LegalHold={"Status": "OFF"}) == (403, "AccessDenied")
