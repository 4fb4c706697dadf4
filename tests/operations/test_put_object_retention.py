"""PutObjectRetention, GetObjectRetention."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.operations.sharing import open_up, policy, statement


@pytest.fixture
def lockable(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket=bucket_name, Key="key", Body=b"x")
    return bucket_name


def days(count):
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=count)


def retention(mode, until):
    return {"Mode": mode, "RetainUntilDate": until}


def retain(s3, bucket, wanted, **more):
    return s3.put_object_retention(Bucket=bucket, Key="key", Retention=wanted, **more)


def retained(s3, bucket):
    return s3.get_object_retention(Bucket=bucket, Key="key")["Retention"]


def test_what_was_put_comes_back_and_holds(s3, lockable):
    absent = (404, "NoSuchObjectLockConfiguration")
    assert refused(s3.get_object_retention, Bucket=lockable, Key="key") == absent
    wanted = retention("GOVERNANCE", days(1))
    version = s3.head_object(Bucket=lockable, Key="key")["VersionId"]
    retain(s3, lockable, wanted, VersionId=version)
    assert retained(s3, lockable) == wanted
    here = {"Bucket": lockable, "Key": "key", "VersionId": version}
    assert refused(s3.delete_object, **here) == (403, "AccessDenied")
    failed = s3.delete_objects(Bucket=lockable, Delete={"Objects": [{"Key": "key", "VersionId": version}]})[
        "Errors"
    ]
    assert [error["Code"] for error in failed] == ["AccessDenied"]
    assert s3.delete_object(**here, BypassGovernanceRetention=True)["VersionId"] == version


def test_a_new_version_and_a_delete_marker_may_come_on_top(s3, lockable):
    retain(s3, lockable, retention("COMPLIANCE", days(1)))
    s3.put_object(Bucket=lockable, Key="key", Body=b"new")
    assert s3.delete_object(Bucket=lockable, Key="key")["DeleteMarker"] is True


STEPS = [  # from, to, with bypass, allowed
    (("GOVERNANCE", 2), ("GOVERNANCE", 3), False, True),
    (("GOVERNANCE", 2), ("GOVERNANCE", 1), False, False),
    (("GOVERNANCE", 2), ("GOVERNANCE", 1), True, True),
    (("GOVERNANCE", 2), ("COMPLIANCE", 2), False, False),
    (("GOVERNANCE", 2), ("COMPLIANCE", 2), True, True),
    (("GOVERNANCE", 2), None, False, False),
    (("GOVERNANCE", 2), None, True, True),
    (("COMPLIANCE", 2), ("COMPLIANCE", 3), False, True),
    (("COMPLIANCE", 2), ("COMPLIANCE", 1), True, False),
    (("COMPLIANCE", 2), ("GOVERNANCE", 3), True, False),
    (("COMPLIANCE", 2), None, True, False),
]


@pytest.mark.parametrize(("old", "new", "bypass", "is_allowed"), STEPS)
def test_retention_may_grow_and_shrinks_only_by_bypass(s3, lockable, old, new, bypass, is_allowed):
    before = retention(old[0], days(old[1]))
    retain(s3, lockable, before)
    wanted = retention(new[0], days(new[1])) if new else {}
    arguments = {"Retention": wanted, **({"BypassGovernanceRetention": True} if bypass else {})}
    if is_allowed:
        s3.put_object_retention(Bucket=lockable, Key="key", **arguments)
        if new:
            assert retained(s3, lockable) == wanted
        else:
            absent = (404, "NoSuchObjectLockConfiguration")
            assert refused(s3.get_object_retention, Bucket=lockable, Key="key") == absent
    else:
        refusal = refused(s3.put_object_retention, Bucket=lockable, Key="key", **arguments)
        assert refusal == (403, "AccessDenied")
        assert retained(s3, lockable) == before


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
        ({"RetainUntilDate": days(1)}, "MalformedXML"),
        (retention("governance", days(1)), "MalformedXML"),
        (retention("GOVERNANCE", days(-1)), "InvalidArgument"),
    ],
)
def test_a_document_that_cannot_be(s3, lockable, wanted, code):
    refusal = refused(s3.put_object_retention, Bucket=lockable, Key="key", Retention=wanted)
    assert refusal == (400, code)


def test_a_document_without_digest_is_refused(s3, lockable):
    until = b"<RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate>"
    body = b"<Retention><Mode>GOVERNANCE</Mode>" + until + b"</Retention>"
    answer = send(s3, "PUT", lockable, "key", query={"retention": ""}, body=body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_a_bucket_without_locks(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    put = {"Bucket": bucket, "Key": "key", "Retention": retention("GOVERNANCE", days(1))}
    assert refused(s3.put_object_retention, **put) == (400, "InvalidRequest")
    assert refused(s3.get_object_retention, Bucket=bucket, Key="key") == (400, "InvalidRequest")
    s3.delete_object(Bucket=bucket, Key="key", BypassGovernanceRetention=True)  # nothing to bypass


def test_nothing_to_retain(s3, lockable):
    put = {"Bucket": lockable, "Retention": retention("GOVERNANCE", days(1))}
    assert refused(s3.put_object_retention, **put, Key="none") == (404, "NoSuchKey")
    marker = s3.delete_object(Bucket=lockable, Key="gone")["VersionId"]
    refusal = refused(s3.put_object_retention, **put, Key="gone", VersionId=marker)
    assert refusal == (405, "MethodNotAllowed")


def test_legal_hold_stays_when_retention_changes(s3, lockable):
    s3.put_object_legal_hold(Bucket=lockable, Key="key", LegalHold={"Status": "ON"})
    retain(s3, lockable, retention("GOVERNANCE", days(1)))
    head = s3.head_object(Bucket=lockable, Key="key")
    assert (head["ObjectLockLegalHoldStatus"], head["ObjectLockMode"]) == ("ON", "GOVERNANCE")


def test_governance_is_bypassed_only_by_those_who_may(s3, other, lockable):
    open_up(s3, lockable)
    retain(s3, lockable, retention("GOVERNANCE", days(2)))
    rights = ["s3:PutObjectRetention", "s3:DeleteObjectVersion"]
    version = s3.head_object(Bucket=lockable, Key="key")["VersionId"]
    shorter = {"Bucket": lockable, "Key": "key", "Retention": retention("GOVERNANCE", days(1))}
    deletion = {"Bucket": lockable, "Key": "key", "VersionId": version}
    bypass = {"BypassGovernanceRetention": True}
    s3.put_bucket_policy(Bucket=lockable, Policy=policy(statement(lockable, rights)))
    for arguments in ({}, bypass):
        assert refused(other.put_object_retention, **shorter, **arguments) == (403, "AccessDenied")
        assert refused(other.delete_object, **deletion, **arguments) == (403, "AccessDenied")
    rights.append("s3:BypassGovernanceRetention")
    s3.put_bucket_policy(Bucket=lockable, Policy=policy(statement(lockable, rights)))
    other.put_object_retention(**shorter, **bypass)
    assert refused(other.delete_object, **deletion) == (403, "AccessDenied")
    other.delete_object(**deletion, **bypass)


def test_a_policy_may_bound_how_long_others_lock_objects(s3, other, other_id, lockable):
    most = {"NumericLessThanEquals": {"s3:object-lock-remaining-retention-days": "10"}}
    here = statement(lockable, "s3:PutObjectRetention", {"CanonicalUser": other_id}, Condition=most)
    s3.put_bucket_policy(Bucket=lockable, Policy=policy(here))
    wanted = {"Bucket": lockable, "Key": "key", "Retention": retention("GOVERNANCE", days(20))}
    assert refused(other.put_object_retention, **wanted) == (403, "AccessDenied")
    retain(other, lockable, retention("GOVERNANCE", days(5)))
