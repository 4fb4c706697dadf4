"""Put-, Get-, List- and DeleteObjectAnnotation: named texts on versions of objects."""

import base64
import datetime
import json
import zlib
from typing import Any

import pytest

from tests.operations.refusals import refused

HOUR = datetime.timedelta(hours=1)
MIB = 1024 * 1024


def put(
    s3: Any, bucket: str, name: str, payload: bytes | str = b"text", key: str = "key", **more: Any
) -> Any:
    return s3.put_object_annotation(
        Bucket=bucket, Key=key, AnnotationName=name, AnnotationPayload=payload, **more
    )


def text(s3: Any, bucket: str, name: str, key: str = "key", **more: Any) -> bytes:
    got = s3.get_object_annotation(Bucket=bucket, Key=key, AnnotationName=name, **more)
    data: bytes = got["AnnotationPayload"].read()
    assert got["ContentLength"] == len(data)
    return data


def names(s3: Any, bucket: str, key: str = "key", **more: Any) -> list[str]:
    found = s3.list_object_annotations(Bucket=bucket, Key=key, **more)
    return [entry["AnnotationName"] for entry in found.get("Annotations", [])]


@pytest.fixture
def annotated(s3: Any, bucket: str) -> str:
    """A bucket with an object that has no annotation yet."""
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    return bucket


def test_put_and_get(s3: Any, annotated: str) -> None:
    before = s3.head_object(Bucket=annotated, Key="key")
    made = put(s3, annotated, "review", '{"ok": "ü"}', ChecksumAlgorithm="CRC32")
    assert (made["Key"], made["AnnotationName"]) == ("key", "review")
    got = s3.get_object_annotation(
        Bucket=annotated, Key="key", AnnotationName="review", ChecksumMode="ENABLED"
    )
    payload = got["AnnotationPayload"].read()
    assert payload == '{"ok": "ü"}'.encode()
    crc = base64.b64encode(zlib.crc32(payload).to_bytes(4)).decode()
    assert (got["ETag"], got["ChecksumCRC32"], made["ChecksumCRC32"]) == (made["ETag"], crc, crc)
    after = s3.head_object(Bucket=annotated, Key="key")
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])


@pytest.mark.parametrize("size", [1, 65536, 65537, MIB])
def test_sizes(s3: Any, annotated: str, size: int) -> None:
    put(s3, annotated, "large", b"x" * size)
    assert text(s3, annotated, "large") == b"x" * size


def test_a_later_text_replaces_an_earlier_one(s3: Any, annotated: str) -> None:
    put(s3, annotated, "note", b"one")
    put(s3, annotated, "note", b"two")
    assert text(s3, annotated, "note") == b"two"
    assert names(s3, annotated) == ["note"]


@pytest.mark.parametrize("name", ["a", "Größe_1.2-x", "日本", "x" * 512])
def test_names(s3: Any, annotated: str, name: str) -> None:
    put(s3, annotated, name)
    assert names(s3, annotated) == [name]
    assert text(s3, annotated, name) == b"text"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("aws-x", "InvalidAnnotationName"),
        ("S3note", "InvalidAnnotationName"),
        ("a b", "InvalidAnnotationName"),
        (" ", "InvalidAnnotationName"),
        ("a/b", "InvalidAnnotationName"),
        ("", "InvalidAnnotationName"),
        ("x" * 513, "AnnotationNameTooLong"),
        ("ü" * 257, "AnnotationNameTooLong"),
    ],
)
def test_names_that_are_none(s3: Any, annotated: str, name: str, code: str) -> None:
    assert refused(put, s3=s3, bucket=annotated, name=name) == (400, code)


def test_texts_that_are_none(s3: Any, annotated: str) -> None:
    wanted = {"s3": s3, "bucket": annotated, "name": "note"}
    assert refused(put, **wanted, payload=b"") == (400, "InvalidRequest")
    assert refused(put, **wanted, payload=b"x" * (MIB + 1)) == (400, "EntityTooLarge")
    assert refused(put, **wanted, payload=b"\xff\xfe") == (415, "UnsupportedMediaType")
    assert refused(put, **wanted, payload=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==") == (400, "BadDigest")
    assert refused(put, **wanted, payload=b"x", ChecksumCRC32="AAAAAA==") == (400, "BadDigest")
    assert names(s3, annotated) == []


def test_what_is_not_there(s3: Any, annotated: str) -> None:
    assert refused(text, s3=s3, bucket=annotated, name="none") == (404, "NoSuchAnnotation")
    for call in (text, put):
        assert refused(call, s3=s3, bucket=annotated, name="none", key="absent") == (404, "NoSuchKey")
    assert refused(names, s3=s3, bucket=annotated, key="absent") == (404, "NoSuchKey")
    s3.delete_object_annotation(Bucket=annotated, Key="key", AnnotationName="none")


def test_list(s3: Any, annotated: str) -> None:
    wanted = sorted(["b", "a", "ab.1", "ab.2", "ü", "ab-3"], key=str.encode)
    for name in wanted:
        put(s3, annotated, name, name.encode())
    found = s3.list_object_annotations(Bucket=annotated, Key="key")
    assert [entry["AnnotationName"] for entry in found["Annotations"]] == wanted
    assert (found["AnnotationCount"], found["MaxAnnotationResults"]) == (6, 1000)
    entry = found["Annotations"][0]
    assert (entry["Size"], entry["ChecksumAlgorithm"]) == (1, ["CRC32"])
    assert names(s3, annotated, AnnotationPrefix="ab") == ["ab-3", "ab.1", "ab.2"]
    pages, token = [], {}
    while True:
        page = s3.list_object_annotations(
            Bucket=annotated, Key="key", MaxAnnotationResults=2, AnnotationPrefix="a", **token
        )
        pages.append([entry["AnnotationName"] for entry in page["Annotations"]])
        if "NextContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert pages == [["a", "ab-3"], ["ab.1", "ab.2"]]


def test_listings_that_cannot_be(s3: Any, annotated: str) -> None:
    wanted = {"s3": s3, "bucket": annotated}
    assert refused(names, **wanted, MaxAnnotationResults=1001) == (400, "InvalidArgument")
    assert refused(names, **wanted, ContinuationToken="junk") == (400, "InvalidArgument")
    assert refused(names, **wanted, AnnotationPrefix="x" * 513) == (400, "InvalidPrefix")


def test_a_thousand_is_the_most(s3: Any, annotated: str) -> None:
    for number in range(1000):
        put(s3, annotated, f"n{number}", b"x")
    assert refused(put, s3=s3, bucket=annotated, name="one-more") == (400, "AnnotationLimitExceeded")
    put(s3, annotated, "n5", b"y")
    s3.delete_object_annotation(Bucket=annotated, Key="key", AnnotationName="n7")
    put(s3, annotated, "one-more")
    s3.copy_object(Bucket=annotated, Key="copy", CopySource={"Bucket": annotated, "Key": "key"})
    assert len(names(s3, annotated, "copy")) == 1000


def test_conditions_on_the_object(s3: Any, annotated: str) -> None:
    etag = s3.head_object(Bucket=annotated, Key="key")["ETag"]
    put(s3, annotated, "note", ObjectIfMatch=etag)
    other = '"00000000000000000000000000000000"'
    failed = (412, "PreconditionFailed")
    assert refused(put, s3=s3, bucket=annotated, name="note", ObjectIfMatch=other) == failed
    delete = {"Bucket": annotated, "Key": "key", "AnnotationName": "note"}
    assert refused(s3.delete_object_annotation, **delete, ObjectIfMatch=other) == failed
    s3.delete_object_annotation(**delete, ObjectIfMatch=etag)
    assert names(s3, annotated) == []


def test_an_overwritten_object_has_none(s3: Any, annotated: str) -> None:
    put(s3, annotated, "note")
    s3.put_object(Bucket=annotated, Key="key", Body=b"another")
    assert names(s3, annotated) == []


def test_they_belong_to_one_version(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="key", Body=b"1")["VersionId"]
    assert put(s3, bucket, "note", b"of one")["ObjectVersionId"] == first
    second = s3.put_object(Bucket=bucket, Key="key", Body=b"2")["VersionId"]
    assert names(s3, bucket) == []
    put(s3, bucket, "note", b"of two")
    put(s3, bucket, "late", b"late", VersionId=first)
    assert text(s3, bucket, "note", VersionId=first) == b"of one"
    marker = s3.delete_object(Bucket=bucket, Key="key")["VersionId"]
    assert refused(text, s3=s3, bucket=bucket, name="note") == (404, "NoSuchKey")
    assert refused(put, s3=s3, bucket=bucket, name="note", VersionId=marker) == (405, "MethodNotAllowed")
    assert text(s3, bucket, "note", VersionId=second) == b"of two"
    s3.delete_object(Bucket=bucket, Key="key", VersionId=marker)
    s3.delete_object(Bucket=bucket, Key="key", VersionId=second)
    assert names(s3, bucket) == ["late", "note"]
    assert text(s3, bucket, "note") == b"of one"


def test_copies_take_them_along(s3: Any, annotated: str) -> None:
    put(s3, annotated, "note", b"old")
    source = {"Bucket": annotated, "Key": "key"}
    s3.copy_object(Bucket=annotated, Key="copy", CopySource=source)
    s3.copy_object(Bucket=annotated, Key="bare", CopySource=source, AnnotationDirective="EXCLUDE")
    put(s3, annotated, "note", b"new")
    s3.delete_object(Bucket=annotated, Key="key")
    assert text(s3, annotated, "note", "copy") == b"old"
    assert names(s3, annotated, "bare") == []


def test_renames_take_them_along(s3: Any, annotated: str) -> None:
    put(s3, annotated, "note")
    s3.rename_object(Bucket=annotated, Key="new", RenameSource="key")
    assert text(s3, annotated, "note", "new") == b"text"


@pytest.mark.parametrize("encryption", ["AES256", "aws:kms"])
def test_encrypted_as_the_object_is(s3: Any, bucket: str, encryption: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", ServerSideEncryption=encryption)
    assert put(s3, bucket, "note", b"sealed" * 20_000)["ServerSideEncryption"] == encryption
    assert text(s3, bucket, "note") == b"sealed" * 20_000
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "key"})
    assert text(s3, bucket, "note", "copy") == b"sealed" * 20_000


def test_a_locked_object_keeps_its_annotations(s3: Any, bucket_name: str) -> None:
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    s3.put_object(
        Bucket=bucket_name,
        Key="key",
        Body=b"x",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=datetime.datetime.now(datetime.UTC) + HOUR,
    )
    put(s3, bucket_name, "note")
    assert refused(s3.delete_object_annotation, Bucket=bucket_name, Key="key", AnnotationName="note") == (
        403,
        "AccessDenied",
    )


def test_who_may(s3: Any, other: Any, other_id: str, annotated: str) -> None:
    put(s3, annotated, "note")
    assert refused(text, s3=other, bucket=annotated, name="note") == (403, "AccessDenied")
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": other_id},
        "Action": ["s3:GetObjectAnnotation", "s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{annotated}/*", f"arn:aws:s3:::{annotated}"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=annotated, Policy=json.dumps(policy))
    assert text(other, annotated, "note") == b"text"
    assert refused(put, s3=other, bucket=annotated, name="note") == (403, "AccessDenied")
    assert refused(names, s3=other, bucket=annotated) == (403, "AccessDenied")
    mine = f"{annotated}-copies"
    other.create_bucket(Bucket=mine)
    source = {"Bucket": annotated, "Key": "key"}
    other.copy_object(Bucket=mine, Key="copy", CopySource=source)
    assert text(other, mine, "note", "copy") == b"text"
    statement["Action"] = ["s3:GetObject"]
    s3.put_bucket_policy(Bucket=annotated, Policy=json.dumps(policy))
    assert refused(other.copy_object, Bucket=mine, Key="copy", CopySource=source) == (403, "AccessDenied")
    other.copy_object(Bucket=mine, Key="bare", CopySource=source, AnnotationDirective="EXCLUDE")
