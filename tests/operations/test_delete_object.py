"""DeleteObject."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement


@pytest.fixture
def versioned(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def exists(s3, bucket, key="key"):
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError as exc:
        assert exc.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        return False
    return True


def test_an_object_is_deleted(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    answer = s3.delete_object(Bucket=bucket, Key="key")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "VersionId" not in answer
    assert "DeleteMarker" not in answer
    assert refused(s3.get_object, Bucket=bucket, Key="key") == (404, "NoSuchKey")


def test_deleting_what_is_not_there_is_no_error(s3, bucket):
    assert s3.delete_object(Bucket=bucket, Key="key")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_a_missing_bucket_is_an_error(s3, bucket_name):
    assert refused(s3.delete_object, Bucket=bucket_name, Key="key") == (404, "NoSuchBucket")


@pytest.mark.parametrize("key", ["a/", "../x", "a//b", "ü😀", "%2F", "x" * 1024, "."])
def test_awkward_keys(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_versioned_bucket_gets_a_marker_and_keeps_the_version(s3, versioned):
    version = s3.put_object(Bucket=versioned, Key="key", Body=b"x")["VersionId"]
    answer = s3.delete_object(Bucket=versioned, Key="key")
    assert answer["DeleteMarker"] is True
    assert answer["VersionId"] != version
    assert not exists(s3, versioned)
    assert s3.get_object(Bucket=versioned, Key="key", VersionId=version)["Body"].read() == b"x"
    assert refused(s3.get_object, Bucket=versioned, Key="key", VersionId=answer["VersionId"]) == (
        405,
        "MethodNotAllowed",
    )
    removed = s3.delete_object(Bucket=versioned, Key="key", VersionId=answer["VersionId"])
    assert (removed["DeleteMarker"], removed["VersionId"]) == (True, answer["VersionId"])
    assert exists(s3, versioned)


def test_one_version_is_deleted_for_good_and_the_one_before_is_current(s3, versioned):
    first = s3.put_object(Bucket=versioned, Key="key", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="key", Body=b"2")["VersionId"]
    answer = s3.delete_object(Bucket=versioned, Key="key", VersionId=second)
    assert answer["VersionId"] == second
    assert "DeleteMarker" not in answer
    assert s3.get_object(Bucket=versioned, Key="key")["VersionId"] == first
    assert refused(s3.get_object, Bucket=versioned, Key="key", VersionId=second) == (404, "NoSuchVersion")


@pytest.mark.parametrize("version_id", ["junk", "0" * 31, "../..", "0" * 33])
def test_what_cannot_be_a_version_id_is_refused(s3, versioned, version_id):
    assert refused(s3.delete_object, Bucket=versioned, Key="key", VersionId=version_id) == (
        400,
        "InvalidArgument",
    )


def test_a_version_that_is_not_there_is_deleted_already(s3, versioned):
    s3.delete_object(Bucket=versioned, Key="key", VersionId="0" * 32)


def test_if_match(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"x")["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="key", IfMatch='"other"') == (
        412,
        "PreconditionFailed",
    )
    assert exists(s3, bucket)
    s3.delete_object(Bucket=bucket, Key="key", IfMatch=etag)
    assert not exists(s3, bucket)
    assert refused(s3.delete_object, Bucket=bucket, Key="key", IfMatch=etag)[0] in (404, 412)


def test_if_match_any(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="key", IfMatch="*")
    assert not exists(s3, bucket)


def test_if_match_where_there_is_no_object(s3, versioned):
    for condition in ("*", '"etag"'):
        there_is_none = refused(s3.delete_object, Bucket=versioned, Key="none", IfMatch=condition)
        assert there_is_none == (404, "NoSuchKey")
        s3.put_object(Bucket=versioned, Key="key", Body=b"x")
        s3.delete_object(Bucket=versioned, Key="key", IfMatch="*")
        deleted = refused(s3.delete_object, Bucket=versioned, Key="key", IfMatch=condition)
        assert deleted == (412, "PreconditionFailed")
    found = s3.list_object_versions(Bucket=versioned)
    assert (len(found["Versions"]), len(found["DeleteMarkers"])) == (2, 2)


def test_if_size_and_time_match(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    modified = s3.head_object(Bucket=bucket, Key="key")["LastModified"]
    before = datetime.now(UTC) - timedelta(days=1)
    for condition in ({"IfMatchSize": 2}, {"IfMatchLastModifiedTime": before}):
        assert refused(s3.delete_object, Bucket=bucket, Key="key", **condition) == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="key", IfMatchSize=1, IfMatchLastModifiedTime=modified)
    assert not exists(s3, bucket)


def test_a_locked_version_stays(s3, versioned):
    until = datetime.now(UTC) + timedelta(days=1)
    version = s3.put_object(
        Bucket=versioned,
        Key="key",
        Body=b"x",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )["VersionId"]
    assert refused(s3.delete_object, Bucket=versioned, Key="key", VersionId=version) == (403, "AccessDenied")
    s3.delete_object(Bucket=versioned, Key="key")  # a marker on top is no harm
    s3.delete_object(Bucket=versioned, Key="key", VersionId=version, BypassGovernanceRetention=True)


def test_other_people_delete_nothing(s3, other, anonymous, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    for client in (other, anonymous):
        assert refused(client.delete_object, Bucket=bucket, Key="key") == (403, "AccessDenied")
    assert exists(s3, bucket)


def test_who_compares_an_etag_must_be_allowed_to_read(s3, other, other_id, bucket):
    etag = s3.put_object(Bucket=bucket, Key="key", Body=b"body")["ETag"]
    actions = ["s3:PutObject", "s3:DeleteObject"]
    s3.put_bucket_policy(
        Bucket=bucket, Policy=policy(statement(bucket, actions, {"CanonicalUser": other_id}))
    )
    here, denied = {"Bucket": bucket, "Key": "key"}, (403, "AccessDenied")
    for condition in (etag, "wrong"):
        assert refused(other.put_object, **here, Body=b"", IfMatch=condition) == denied
        assert refused(other.delete_object, **here, IfMatch=condition) == denied
        doomed = {"Objects": [{"Key": "key", "ETag": condition}]}
        (error,) = other.delete_objects(Bucket=bucket, Delete=doomed)["Errors"]
        assert error["Code"] == "AccessDenied"
    other.delete_object(**here, IfMatch="*")


def test_with_mfa_delete_a_version_goes_with_a_code_alone(s3, bucket, devices):
    first = s3.put_object(Bucket=bucket, Key="key", Body=b"before")["ETag"]
    enabled = {"Status": "Enabled", "MFADelete": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled, MFA=devices.proof())
    second = s3.put_object(Bucket=bucket, Key="key", Body=b"after")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="key")["VersionId"]
    for version_id in ("null", second, marker):
        named = {"Bucket": bucket, "Key": "key", "VersionId": version_id}
        with pytest.raises(ClientError, match="Mfa Authentication must be used for this request"):
            s3.delete_object(**named)
        assert refused(s3.delete_object, **named, MFA=devices.wrong()) == (400, "TokenCodeInvalidError")
        assert refused(s3.delete_object, **named, MFA="x 123456") == (400, "NotDeviceOwnerError")
        assert refused(s3.delete_object, **named, MFA="x") == (400, "InvalidArgument")
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2
    assert s3.get_object(Bucket=bucket, Key="key", VersionId="null")["ETag"] == first
    proof = devices.proof()
    gone = s3.delete_object(Bucket=bucket, Key="key", VersionId=marker, MFA=proof)
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker)
    again = {"Bucket": bucket, "Key": "key", "VersionId": second, "MFA": proof}
    assert refused(s3.delete_object, **again) == (400, "TokenCodeInvalidError")
    assert s3.get_object(Bucket=bucket, Key="key")["VersionId"] == second
