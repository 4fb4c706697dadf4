"""HeadObject."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.operations.requests import refused, send, versioned
from tests.operations.sharing import policy, statement


def test_a_head_says_what_a_get_would(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"0123456789",
        ContentType="text/plain",
        Metadata={"a": "1"},
        StorageClass="GLACIER",
        Tagging="t=1",
    )
    for arguments in ({}, {"range": "bytes=2-4"}, {"x-amz-checksum-mode": "ENABLED"}):
        head = send(s3, "HEAD", bucket, "k", headers=arguments)
        got = send(s3, "GET", bucket, "k", headers=arguments)
        assert head.status == got.status
        assert head.body == b""
        varying = ("date", "x-amz-request-id", "x-amz-id-2")
        assert {n: v for n, v in head.headers.items() if n not in varying} == {
            n: v for n, v in got.headers.items() if n not in varying
        }


@pytest.mark.parametrize(
    ("key", "arguments", "status"),
    [
        ("absent", {}, 404),
        ("k", {"IfMatch": '"other"'}, 412),
        ("k", {"IfNoneMatch": "*"}, 304),
        ("k", {"Range": "bytes=10-"}, 416),
        ("k", {"VersionId": "0" * 32}, 404),
        ("k", {"PartNumber": 2}, 416),
    ],
)
def test_an_error_is_its_status_alone(
    s3: Any, bucket: str, key: str, arguments: dict[str, Any], status: int
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    with refused(str(status), status):
        s3.head_object(Bucket=bucket, Key=key, **arguments)


def test_another_user_is_forbidden(s3: Any, other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    for key in ("k", "absent"):
        with refused("403", 403):
            other.head_object(Bucket=bucket, Key=key)


def test_an_absent_bucket_is_not_found(s3: Any) -> None:
    with refused("404", 404):
        s3.head_object(Bucket="there-is-no-such-bucket", Key="k")


def test_an_error_has_request_ids_and_no_body(s3: Any, bucket: str) -> None:
    answer = send(s3, "HEAD", bucket, "absent")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["x-amz-request-id"] and answer.headers["x-amz-id-2"]


def test_markers_are_told_of(s3: Any, bucket_name: str) -> None:
    bucket = versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    current = send(s3, "HEAD", bucket, "k")
    named = send(s3, "HEAD", bucket, "k", query={"versionId": marker})
    assert (current.status, named.status) == (404, 405)
    assert current.headers["x-amz-delete-marker"] == named.headers["x-amz-delete-marker"] == "true"


def test_an_empty_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="folder/", Body=b"")
    head = s3.head_object(Bucket=bucket, Key="folder/")
    assert (head["ContentLength"], head["ETag"]) == (0, '"d41d8cd98f00b204e9800998ecf8427e"')


def test_locks_and_the_number_of_tags_are_told_to_those_who_may_ask_for_them(
    s3: Any, other: Any, other_id: str, bucket_name: str
) -> None:
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(hours=1)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    here = {"Bucket": bucket_name, "Key": "k"}
    version = s3.put_object(**here, Tagging="a=1", **lock, ObjectLockLegalHoldStatus="OFF")["VersionId"]
    secrets = {
        "s3:GetObjectTagging": {"TagCount"},
        "s3:GetObjectRetention": {"ObjectLockMode", "ObjectLockRetainUntilDate"},
        "s3:GetObjectLegalHold": {"ObjectLockLegalHoldStatus"},
    }
    everything = set().union(*secrets.values())
    read = ["s3:GetObject", "s3:GetObjectVersion"]
    for actions, told in (([], set()), *(([action], told) for action, told in secrets.items())):
        allow = statement(bucket_name, read + actions, {"CanonicalUser": other_id})
        s3.put_bucket_policy(Bucket=bucket_name, Policy=policy(allow))
        assert everything & other.head_object(**here).keys() == told
        assert everything & other.get_object(**here).keys() == told
        assert everything & other.head_object(**here, VersionId=version).keys() == told - {"TagCount"}
    assert everything <= s3.head_object(**here).keys()
