"""RenameObject: another key for an object, in one step."""

import datetime
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import versioned

HOUR = datetime.timedelta(hours=1)


def keys(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_a_rename_keeps_everything(s3: Any, bucket: str) -> None:
    put = s3.put_object(
        Bucket=bucket,
        Key="old",
        Body=b"0123456789" * 20_000,
        Metadata={"a": "1"},
        ContentType="text/plain",
        Tagging="t=1",
        StorageClass="STANDARD_IA",
    )
    s3.rename_object(Bucket=bucket, Key="new/name", RenameSource="old")
    assert keys(s3, bucket) == ["new/name"]
    got = s3.get_object(Bucket=bucket, Key="new/name", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"0123456789" * 20_000
    assert (got["ETag"], got["Metadata"], got["ContentType"]) == (put["ETag"], {"a": "1"}, "text/plain")
    assert (got["StorageClass"], got["ChecksumCRC32"]) == ("STANDARD_IA", put["ChecksumCRC32"])
    tags = s3.get_object_tagging(Bucket=bucket, Key="new/name")["TagSet"]
    assert tags == [{"Key": "t", "Value": "1"}]


@pytest.mark.parametrize("key", ["ü+ ?%&", "a/b", "bucket/x"])
def test_names_of_the_source(s3: Any, bucket: str, key: str) -> None:
    for named in (quote(key), quote(f"/{bucket}/{key}"), quote(f"/{key}")):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
        s3.rename_object(Bucket=bucket, Key="new", RenameSource=named)
        assert keys(s3, bucket) == ["new"]


def test_multipart_objects(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="old")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="old", UploadId=upload_id, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = s3.complete_multipart_upload(Bucket=bucket, Key="old", UploadId=upload_id, MultipartUpload=parts)
    s3.rename_object(Bucket=bucket, Key="new", RenameSource="old")
    got = s3.get_object(Bucket=bucket, Key="new", PartNumber=1)
    assert (got["ETag"], got["PartsCount"], got["Body"].read()) == (done["ETag"], 1, b"part")


def test_over_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    s3.put_object(Bucket=bucket, Key="new", Body=b"new")
    assert refused(
        s3.rename_object, Bucket=bucket, Key="new", RenameSource="old", DestinationIfNoneMatch="*"
    ) == (
        412,
        "PreconditionFailed",
    )
    s3.rename_object(Bucket=bucket, Key="new", RenameSource="old")
    assert s3.get_object(Bucket=bucket, Key="new")["Body"].read() == b"old"
    assert keys(s3, bucket) == ["new"]


def test_in_a_versioned_bucket_both_keys_keep_their_history(s3: Any, bucket_name: str) -> None:
    versioned(s3, bucket_name)
    first = s3.put_object(Bucket=bucket_name, Key="old", Body=b"old")["VersionId"]
    below = s3.put_object(Bucket=bucket_name, Key="new", Body=b"new")["VersionId"]
    made = s3.rename_object(Bucket=bucket_name, Key="new", RenameSource="old")
    found = s3.list_object_versions(Bucket=bucket_name)
    latest = {entry["Key"]: entry["VersionId"] for entry in found["Versions"] if entry["IsLatest"]}
    assert latest == {"new": made["ResponseMetadata"]["HTTPHeaders"]["x-amz-version-id"]}
    assert [marker["Key"] for marker in found["DeleteMarkers"]] == ["old"]
    for key, version_id, body in (
        ("old", first, b"old"),
        ("new", below, b"new"),
        ("new", latest["new"], b"old"),
    ):
        assert s3.get_object(Bucket=bucket_name, Key=key, VersionId=version_id)["Body"].read() == body


def test_in_a_suspended_bucket(s3: Any, bucket_name: str) -> None:
    s3.create_bucket(Bucket=bucket_name)
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": status})
    s3.put_object(Bucket=bucket_name, Key="old", Body=b"old")
    s3.put_object(Bucket=bucket_name, Key="new", Body=b"new")
    s3.rename_object(Bucket=bucket_name, Key="new", RenameSource="old")
    found = s3.list_object_versions(Bucket=bucket_name)
    assert [(entry["Key"], entry["VersionId"]) for entry in found["Versions"]] == [("new", "null")]
    assert [(entry["Key"], entry["VersionId"]) for entry in found["DeleteMarkers"]] == [("old", "null")]
    assert s3.get_object(Bucket=bucket_name, Key="new")["Body"].read() == b"old"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"SourceIfMatch": "etag"}, True),
        ({"SourceIfMatch": '"other"'}, False),
        ({"SourceIfNoneMatch": '"other"'}, True),
        ({"SourceIfNoneMatch": "etag"}, False),
        ({"SourceIfNoneMatch": "*"}, False),
        ({"SourceIfModifiedSince": -HOUR}, True),
        ({"SourceIfModifiedSince": HOUR}, False),
        ({"SourceIfUnmodifiedSince": HOUR}, True),
        ({"SourceIfUnmodifiedSince": -HOUR}, False),
        ({"DestinationIfMatch": "etag"}, True),
        ({"DestinationIfMatch": '"other"'}, False),
        ({"DestinationIfModifiedSince": -HOUR}, True),
        ({"DestinationIfModifiedSince": HOUR}, False),
        ({"DestinationIfUnmodifiedSince": HOUR}, True),
        ({"DestinationIfUnmodifiedSince": -HOUR}, False),
    ],
)
def test_conditions(s3: Any, bucket: str, condition: dict[str, Any], holds: bool) -> None:
    etag = s3.put_object(Bucket=bucket, Key="old", Body=b"same")["ETag"]
    s3.put_object(Bucket=bucket, Key="new", Body=b"same")
    ((name, value),) = condition.items()
    if isinstance(value, datetime.timedelta):
        value = datetime.datetime.now(datetime.UTC) + value
    asked = {name: etag if value == "etag" else value, "Bucket": bucket, "Key": "new", "RenameSource": "old"}
    if holds:
        s3.rename_object(**asked)
    else:
        assert refused(s3.rename_object, **asked) == (412, "PreconditionFailed")
    assert keys(s3, bucket) == (["new"] if holds else ["new", "old"])


def test_conditions_that_want_an_object_at_the_new_key(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="old", Body=b"x")["ETag"]
    asked = {"Bucket": bucket, "Key": "new", "RenameSource": "old"}
    assert refused(s3.rename_object, **asked, DestinationIfMatch=etag) == (412, "PreconditionFailed")
    s3.rename_object(**asked, DestinationIfNoneMatch="*")


def test_a_client_token_makes_it_happen_once(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="old", Body=b"first")
    asked = {"Bucket": bucket, "Key": "new", "RenameSource": "old", "ClientToken": "token-1"}
    s3.rename_object(**asked)
    s3.rename_object(**asked)
    s3.put_object(Bucket=bucket, Key="old", Body=b"second")
    s3.rename_object(**asked)
    assert s3.get_object(Bucket=bucket, Key="new")["Body"].read() == b"first"
    other = {**asked, "Key": "elsewhere"}
    assert refused(s3.rename_object, **other) == (400, "IdempotencyParameterMismatch")
    assert refused(s3.rename_object, **{**asked, "ClientToken": "a b"}) == (400, "InvalidArgument")
    assert refused(s3.rename_object, **{**asked, "ClientToken": "x" * 65}) == (400, "InvalidArgument")


def test_what_cannot_be_renamed(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="old", Body=b"x")
    for named, answer in (
        ("absent", (404, "NoSuchKey")),
        ("old", (400, "InvalidRequest")),
        ("", (400, "InvalidArgument")),
        ("%FF", (400, "InvalidArgument")),
        ("x" * 1025, (400, "KeyTooLongError")),
    ):
        assert refused(s3.rename_object, Bucket=bucket, Key="old", RenameSource=named) == answer, named
    assert keys(s3, bucket) == ["old"]


def test_a_locked_object_moves_with_its_lock(s3: Any, bucket_name: str) -> None:
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    until = datetime.datetime.now(datetime.UTC) + HOUR
    s3.put_object(
        Bucket=bucket_name, Key="old", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until
    )
    s3.rename_object(Bucket=bucket_name, Key="new", RenameSource="old")
    retention = s3.get_object_retention(Bucket=bucket_name, Key="new")["Retention"]
    assert retention["Mode"] == "COMPLIANCE"
    version_id = s3.head_object(Bucket=bucket_name, Key="new")["VersionId"]
    assert refused(s3.delete_object, Bucket=bucket_name, Key="new", VersionId=version_id) == (
        403,
        "AccessDenied",
    )


@pytest.mark.parametrize("withheld", ["s3:GetObject", "s3:DeleteObject", "s3:PutObject"])
def test_who_may(s3: Any, other: Any, other_id: str, bucket: str, withheld: str) -> None:
    s3.put_object(Bucket=bucket, Key="old", Body=b"x")
    actions = [one for one in ("s3:GetObject", "s3:DeleteObject", "s3:PutObject") if one != withheld]

    def allow(actions: list[str]) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"CanonicalUser": other_id},
            "Action": actions,
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))

    allow(actions)
    assert refused(other.rename_object, Bucket=bucket, Key="new", RenameSource="old") == (403, "AccessDenied")
    allow([*actions, withheld])
    other.rename_object(Bucket=bucket, Key="new", RenameSource="old")
    assert keys(s3, bucket) == ["new"]
