"""What clients say about objects in headers, and what they are told."""

from typing import Any

import pytest

from objstore.model import Attributes, Checksum, ChecksumType, ObjectLock, ObjectVersion
from objstore.s3.errors import (
    InvalidArgument,
    InvalidRedirectLocation,
    InvalidRequest,
    InvalidStorageClass,
    InvalidTag,
    MetadataTooLarge,
    NotImplemented,
    RequestHeaderSectionTooLarge,
    S3Error,
    TooManyTags,
)
from objstore.s3.object_headers import (
    STORAGE_CLASSES,
    checksum_headers,
    http_date,
    object_headers,
    parse_attributes,
    parse_lock,
    parse_overrides,
    parse_tagging,
)

NOW_MS = 1_800_000_000_000
VERSION = ObjectVersion(1, "k", "v1", 1, 1_700_000_000_999, "owner", 3, "etag", Attributes())


def test_system_headers_and_metadata_are_kept_and_others_ignored() -> None:
    attributes = parse_attributes(
        {
            "content-type": "text/plain",
            "expires": "whenever",
            "content-encoding": "gzip, aws-chunked",
            "x-amz-meta-a": "1",
            "x-amz-meta-b-c": "ü",
            "x-amz-date": "ignored",
            "host": "ignored",
            "cache-control": "",
            "x-amz-website-redirect-location": "/elsewhere",
        }
    )
    assert attributes.headers == {
        "content-type": "text/plain",
        "expires": "whenever",
        "content-encoding": "gzip",
        "x-amz-website-redirect-location": "/elsewhere",
    }
    assert attributes.metadata == {"a": "1", "b-c": "ü"}
    assert (attributes.storage_class, attributes.checksum) == ("STANDARD", None)


@pytest.mark.parametrize("name", ["content-type", "cache-control", "content-disposition", "expires"])
@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\0b", "ü", "\x7f", "\x1b[0m", "\udcff"])
def test_what_would_break_a_response_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_attributes({name: value})


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\0b", "\x7f", "\x1b[0m", "\udcff"])
def test_metadata_that_would_break_a_response_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_attributes({"x-amz-meta-a": value})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ü", "a\r\nx", "A"])
def test_metadata_names_are_header_names(name: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_attributes({f"x-amz-meta-{name}": "1"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-meta-a": "x" * 2047}, None),
        ({"x-amz-meta-a": "x" * 2048}, MetadataTooLarge),
        ({"x-amz-meta-a": "ü" * 1024}, MetadataTooLarge),
        ({"x-amz-meta-a": "x" * 1000, "x-amz-meta-b": "x" * 1047}, MetadataTooLarge),
        ({"cache-control": "x" * 9000}, RequestHeaderSectionTooLarge),
        ({"x-amz-storage-class": "standard"}, InvalidStorageClass),
        ({"x-amz-storage-class": ""}, InvalidStorageClass),
        ({"x-amz-website-redirect-location": "ftp://x"}, InvalidRedirectLocation),
        ({"x-amz-website-redirect-location": "/" + "x" * 2048}, InvalidArgument),
        ({"x-amz-website-redirect-location": "/\r\n"}, InvalidArgument),
        ({"x-amz-acl": "public-read"}, None),
        ({"x-amz-acl": "everybody"}, InvalidArgument),
        ({"x-amz-write-offset-bytes": "0"}, NotImplemented),
    ],
)
def test_limits_and_refusals(headers: dict[str, str], expected: type[S3Error] | None) -> None:
    if expected is None:
        parse_attributes(headers)
    else:
        with pytest.raises(expected):
            parse_attributes(headers)


@pytest.mark.parametrize("name", sorted(STORAGE_CLASSES))
def test_storage_classes(name: str) -> None:
    assert parse_attributes({"x-amz-storage-class": name}).storage_class == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a+b=c%2Bd", {"a b": "c+d"}),
        ("a=", {"a": ""}),
        ("a", {"a": ""}),
        ("%C3%BC=%E6%97%A5", {"ü": "日"}),
        ("k" * 128 + "=" + "v" * 256, {"k" * 128: "v" * 256}),
        ("a=1&b", {"a": "1", "b": ""}),
        ("a=1&a=2", InvalidArgument),
        ("a=%ff", InvalidArgument),
        ("&", {}),
        ("&&a&b=1&", {"a": "", "b": "1"}),
        ("=1", InvalidArgument),
        ("a%", InvalidArgument),
        ("a=%2", InvalidArgument),
        ("a=%00", InvalidTag),
        ("a=1%0A", InvalidTag),
        ("a=%3Cb%3E", InvalidTag),
        ("k" * 129 + "=", InvalidTag),
        ("a=" + "v" * 257, InvalidTag),
        ("aws:a=1", InvalidTag),
        ("&".join(f"{n}={n}" for n in range(10)), {str(n): str(n) for n in range(10)}),
        ("&".join(f"{n}={n}" for n in range(11)), TooManyTags),
        ("&".join(f"{n}={n}" for n in range(1000)), InvalidArgument),
    ],
)
def test_tagging(value: str, expected: Any) -> None:
    if isinstance(expected, dict):
        assert parse_tagging(value) == expected
    else:
        with pytest.raises(expected):
            parse_tagging(value)


@pytest.mark.parametrize(
    ("mode", "until", "hold", "expected"),
    [
        (None, None, None, None),
        (None, None, "ON", ObjectLock(legal_hold=True)),
        (None, None, "OFF", ObjectLock(legal_hold=False)),
        ("GOVERNANCE", "2027-01-15T08:00:01Z", None, ObjectLock("GOVERNANCE", NOW_MS + 1000)),
        ("COMPLIANCE", "2027-01-15T08:00:01.500Z", "ON", ObjectLock("COMPLIANCE", NOW_MS + 1500, True)),
        (
            "GOVERNANCE",
            "9999-12-31T23:59:59.9999999Z",
            None,
            ObjectLock("GOVERNANCE", 253_402_300_799_999),
        ),
        ("GOVERNANCE", "2027-01-15T08:00:00Z", None, InvalidArgument),
        ("GOVERNANCE", "2020-01-01T00:00:00Z", None, InvalidArgument),
        ("GOVERNANCE", "tomorrow", None, InvalidArgument),
        ("GOVERNANCE", "9999-12-31T23:00:00-14:00", None, InvalidArgument),
        ("governance", "2027-02-01T00:00:00Z", None, InvalidArgument),
        ("GOVERNANCE", None, None, InvalidArgument),
        (None, "2027-02-01T00:00:00Z", None, InvalidArgument),
        (None, None, "on", InvalidArgument),
    ],
)
def test_locks(mode: str | None, until: str | None, hold: str | None, expected: Any) -> None:
    given = {
        "x-amz-object-lock-mode": mode,
        "x-amz-object-lock-retain-until-date": until,
        "x-amz-object-lock-legal-hold": hold,
    }
    headers = {name: value for name, value in given.items() if value is not None}
    if isinstance(expected, type):
        with pytest.raises(expected):
            parse_lock(headers, NOW_MS)
    else:
        assert parse_lock(headers, NOW_MS) == expected


def test_overrides_need_a_signature_and_sendable_values() -> None:
    query = {"response-content-type": "text/x", "response-expires": "", "versionId": "v"}
    assert parse_overrides(query, is_signed=True) == {"content-type": "text/x"}
    with pytest.raises(InvalidRequest):
        parse_overrides(query, is_signed=False)
    assert parse_overrides({"versionId": "v"}, is_signed=False) == {}
    for value in ("a\r\nb", "ü", "\0"):
        with pytest.raises(InvalidArgument):
            parse_overrides({"response-content-disposition": value}, is_signed=True)


def test_an_answer_names_what_there_is() -> None:
    assert object_headers(VERSION, shows_version_id=False) == {
        "etag": '"etag"',
        "last-modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "accept-ranges": "bytes",
        "content-type": "binary/octet-stream",
    }
    rich = ObjectVersion(
        1,
        "k",
        "v1",
        1,
        0,
        "owner",
        3,
        "etag",
        Attributes({"content-type": "text/plain"}, {"a": "1", "b": "grün"}, storage_class="GLACIER"),
        tags={"t": "1", "u": "2"},
        lock=ObjectLock("GOVERNANCE", NOW_MS + 7, legal_hold=True),
    )
    assert object_headers(rich, shows_version_id=True) == {
        "etag": '"etag"',
        "last-modified": "Thu, 01 Jan 1970 00:00:00 GMT",
        "accept-ranges": "bytes",
        "content-type": "text/plain",
        "x-amz-meta-a": "1",
        "x-amz-meta-b": "=?UTF-8?B?Z3LDvG4=?=",
        "x-amz-version-id": "v1",
        "x-amz-storage-class": "GLACIER",
        "x-amz-tagging-count": "2",
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": "2027-01-15T08:00:00.007Z",
        "x-amz-object-lock-legal-hold": "ON",
    }


def test_dates_are_rounded_down() -> None:
    assert http_date(1_999) == http_date(1_000) == "Thu, 01 Jan 1970 00:00:01 GMT"


def test_checksum_headers() -> None:
    assert checksum_headers(None) == {}
    assert checksum_headers(Checksum("SHA256", "value-2", ChecksumType.COMPOSITE)) == {
        "x-amz-checksum-sha256": "value-2",
        "x-amz-checksum-type": "COMPOSITE",
    }
