"""PutObjectAnnotation: named texts on versions of objects."""

import base64
import zlib
from typing import Any

import pytest

from tests.operations.annotations import annotated, names, put, text
from tests.operations.refusals import refused

MIB = 1024 * 1024


@pytest.fixture
def noted(s3: Any, bucket: str) -> str:
    return annotated(s3, bucket)


def test_put_and_get(s3: Any, noted: str) -> None:
    before = s3.head_object(Bucket=noted, Key="key")
    made = put(s3, noted, "review", '{"ok": "ü"}', ChecksumAlgorithm="CRC32")
    assert (made["Key"], made["AnnotationName"]) == ("key", "review")
    got = s3.get_object_annotation(Bucket=noted, Key="key", AnnotationName="review", ChecksumMode="ENABLED")
    payload = got["AnnotationPayload"].read()
    assert payload == '{"ok": "ü"}'.encode()
    crc = base64.b64encode(zlib.crc32(payload).to_bytes(4)).decode()
    assert (got["ETag"], got["ChecksumCRC32"], made["ChecksumCRC32"]) == (made["ETag"], crc, crc)
    after = s3.head_object(Bucket=noted, Key="key")
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])


@pytest.mark.parametrize("size", [1, 65536, 65537, MIB])
def test_sizes(s3: Any, noted: str, size: int) -> None:
    put(s3, noted, "large", b"x" * size)
    assert text(s3, noted, "large") == b"x" * size


def test_a_later_text_replaces_an_earlier_one(s3: Any, noted: str) -> None:
    put(s3, noted, "note", b"one")
    put(s3, noted, "note", b"two")
    assert text(s3, noted, "note") == b"two"
    assert names(s3, noted) == ["note"]


@pytest.mark.parametrize("name", ["a", "Größe_1.2-x", "日本", "x" * 512])
def test_names(s3: Any, noted: str, name: str) -> None:
    put(s3, noted, name)
    assert names(s3, noted) == [name]
    assert text(s3, noted, name) == b"text"


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
def test_names_that_are_none(s3: Any, noted: str, name: str, code: str) -> None:
    assert refused(put, s3=s3, bucket=noted, name=name) == (400, code)


def test_texts_that_are_none(s3: Any, noted: str) -> None:
    wanted = {"s3": s3, "bucket": noted, "name": "note"}
    assert refused(put, **wanted, payload=b"") == (400, "InvalidRequest")
    assert refused(put, **wanted, payload=b"x" * (MIB + 1)) == (400, "EntityTooLarge")
    assert refused(put, **wanted, payload=b"\xff\xfe") == (415, "UnsupportedMediaType")
    assert refused(put, **wanted, payload=b"x", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==") == (400, "BadDigest")
    assert refused(put, **wanted, payload=b"x", ChecksumCRC32="AAAAAA==") == (400, "BadDigest")
    assert names(s3, noted) == []


def test_a_thousand_is_the_most(s3: Any, noted: str) -> None:
    for number in range(1000):
        put(s3, noted, f"n{number}", b"x")
    assert refused(put, s3=s3, bucket=noted, name="one-more") == (400, "AnnotationLimitExceeded")
    put(s3, noted, "n5", b"y")
    s3.delete_object_annotation(Bucket=noted, Key="key", AnnotationName="n7")
    put(s3, noted, "one-more")
    s3.copy_object(Bucket=noted, Key="copy", CopySource={"Bucket": noted, "Key": "key"})
    assert len(names(s3, noted, "copy")) == 1000


def test_copies_take_them_along(s3: Any, noted: str) -> None:
    put(s3, noted, "note", b"old")
    source = {"Bucket": noted, "Key": "key"}
    s3.copy_object(Bucket=noted, Key="copy", CopySource=source)
    s3.copy_object(Bucket=noted, Key="bare", CopySource=source, AnnotationDirective="EXCLUDE")
    put(s3, noted, "note", b"new")
    s3.delete_object(Bucket=noted, Key="key")
    assert text(s3, noted, "note", "copy") == b"old"
    assert names(s3, noted, "bare") == []


def test_renames_take_them_along(s3: Any, noted: str) -> None:
    put(s3, noted, "note")
    s3.rename_object(Bucket=noted, Key="new", RenameSource="key")
    assert text(s3, noted, "note", "new") == b"text"
