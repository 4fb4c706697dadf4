"""PutObjectLockConfiguration, GetObjectLockConfiguration, and default retention."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.operations.test_post_object import send as send_form


@pytest.fixture
def lockable(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def configuration(mode="GOVERNANCE", **period):
    return {
        "ObjectLockEnabled": "Enabled",
        "Rule": {"DefaultRetention": {"Mode": mode, **(period or {"Days": 1})}},
    }


def configure(s3, bucket, wanted):
    return s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=wanted)


def test_what_was_put_comes_back(s3, lockable):
    bare = s3.get_object_lock_configuration(Bucket=lockable)["ObjectLockConfiguration"]
    assert bare == {"ObjectLockEnabled": "Enabled"}
    for wanted in (configuration(), configuration("COMPLIANCE", Years=1), {"ObjectLockEnabled": "Enabled"}):
        configure(s3, lockable, wanted)
        assert s3.get_object_lock_configuration(Bucket=lockable)["ObjectLockConfiguration"] == wanted


def test_a_bucket_without_locks(s3, bucket):
    absent = (404, "ObjectLockConfigurationNotFoundError")
    assert refused(s3.get_object_lock_configuration, Bucket=bucket) == absent
    call = s3.put_object_lock_configuration
    refusal = refused(call, Bucket=bucket, ObjectLockConfiguration=configuration())
    assert refusal == (409, "InvalidBucketState")


def test_a_versioned_bucket_can_get_locks_later_and_then_keeps_its_versions(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    configure(s3, bucket, {"ObjectLockEnabled": "Enabled"})
    suspended = {"Status": "Suspended"}
    refusal = refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=suspended)
    assert refusal == (409, "InvalidBucketState")


BAD = [
    ({"Rule": configuration()["Rule"]}, "MalformedXML"),
    ({**configuration(), "ObjectLockEnabled": "Disabled"}, "MalformedXML"),
    (configuration("governance"), "MalformedXML"),
    (configuration(Days=1, Years=1), "MalformedXML"),
    ({"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE"}}}, "MalformedXML"),
    ({"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Days": 1}}}, "MalformedXML"),
    ({"ObjectLockEnabled": "Enabled", "Rule": {}}, "MalformedXML"),
    (configuration(Days=0), "InvalidArgument"),
    (configuration(Years=-1), "InvalidArgument"),
    (configuration(Days=36501), "InvalidArgument"),
    (configuration(Years=101), "InvalidArgument"),
]


@pytest.mark.parametrize(("wanted", "code"), BAD)
def test_a_document_that_cannot_be(s3, lockable, wanted, code):
    call = s3.put_object_lock_configuration
    assert refused(call, Bucket=lockable, ObjectLockConfiguration=wanted) == (400, code)


def test_a_document_without_digest_is_refused(s3, lockable):
    body = (
        b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
    )
    answer = send(s3, "PUT", lockable, query={"object-lock": ""}, body=body)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


def test_other_people_may_not(other, lockable):
    assert refused(other.get_object_lock_configuration, Bucket=lockable) == (403, "AccessDenied")
    call = other.put_object_lock_configuration
    refusal = refused(call, Bucket=lockable, ObjectLockConfiguration=configuration())
    assert refusal == (403, "AccessDenied")


def days_kept(s3, bucket, key="key"):
    """Mode, and days from now on that the object is retained."""
    head = s3.head_object(Bucket=bucket, Key=key)
    until = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
    return head["ObjectLockMode"], round(until / timedelta(days=1), 2)


def test_every_way_to_make_an_object_gives_it_the_default_retention(s3, server, lockable):
    configure(s3, lockable, configuration("GOVERNANCE", Days=2))
    here = {"Bucket": lockable, "Key": "key"}
    s3.put_object(**here, Body=b"put")
    assert days_kept(s3, lockable) == ("GOVERNANCE", 2)
    s3.copy_object(Bucket=lockable, Key="copy", CopySource=here)
    assert days_kept(s3, lockable, "copy") == ("GOVERNANCE", 2)
    upload = s3.create_multipart_upload(**here)["UploadId"]
    part = s3.upload_part(**here, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    configure(s3, lockable, configuration("GOVERNANCE", Years=1))  # what holds when it is completed
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(**here, UploadId=upload, MultipartUpload=parts)
    assert days_kept(s3, lockable) == ("GOVERNANCE", 365)
    form = s3.generate_presigned_post(lockable, "form")
    assert send_form(server, lockable, form["fields"])[0] == 204
    assert days_kept(s3, lockable, "form") == ("GOVERNANCE", 365)


def test_what_an_object_brings_itself_goes_before_the_default(s3, lockable):
    configure(s3, lockable, configuration("COMPLIANCE", Days=2))
    until = datetime.now(UTC) + timedelta(days=1)
    own = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    s3.put_object(Bucket=lockable, Key="key", Body=b"", **own)
    assert days_kept(s3, lockable) == ("GOVERNANCE", 1)
    s3.put_object(Bucket=lockable, Key="held", Body=b"", ObjectLockLegalHoldStatus="ON")
    head = s3.head_object(Bucket=lockable, Key="held")
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("COMPLIANCE", "ON")


def test_what_will_be_locked_must_come_with_a_digest(s3, lockable):
    configure(s3, lockable, configuration("GOVERNANCE", Days=1))
    answer = send(s3, "PUT", lockable, "key", body=b"x")
    assert (answer.status, answer.code) == (400, "InvalidRequest")
