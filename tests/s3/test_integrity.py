"""Digests as clients announce them."""

import hashlib
from base64 import b64encode

import pytest

from objstore.model import Checksum
from objstore.s3.errors import BadDigest, InvalidDigest, InvalidRequest, MalformedTrailer, S3Error
from objstore.s3.integrity import NO_INTEGRITY, Integrity, check, checksum_in, parse_integrity

MD5 = hashlib.md5(b"data").digest()
CRC32 = "rfPzYw=="
SHA256 = b64encode(hashlib.sha256(b"data").digest()).decode()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, NO_INTEGRITY),
        ({"x-amz-checksum-mode": "ENABLED", "x-amz-checksum-type": "COMPOSITE"}, NO_INTEGRITY),
        ({"content-md5": b64encode(MD5).decode()}, Integrity(content_md5=MD5)),
        ({"x-amz-checksum-crc32": CRC32}, Integrity(algorithm="CRC32", value=CRC32)),
        ({"x-amz-sdk-checksum-algorithm": "sha256"}, Integrity(algorithm="SHA256")),
        (
            {"x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-crc32": CRC32},
            Integrity(algorithm="CRC32", value=CRC32),
        ),
        (
            {"x-amz-sdk-checksum-algorithm": "SHA256", "x-amz-checksum-crc32": CRC32},
            Integrity(algorithm="CRC32", value=CRC32),
        ),
        (
            {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm": "CRC32"},
            Integrity(algorithm="CRC32", trailer="x-amz-checksum-crc32"),
        ),
        (
            {"x-amz-trailer": "other, X-Amz-Checksum-SHA1"},
            Integrity(algorithm="SHA1", trailer="x-amz-checksum-sha1"),
        ),
        ({"x-amz-trailer": "other"}, NO_INTEGRITY),
        ({"content-md5": ""}, InvalidDigest),
        ({"content-md5": "rfPzYw=="}, InvalidDigest),
        ({"content-md5": "%"}, InvalidDigest),
        ({"x-amz-checksum-crc32": ""}, InvalidRequest),
        ({"x-amz-checksum-crc32": SHA256}, InvalidRequest),
        ({"x-amz-checksum-crc32": CRC32 + "-2"}, InvalidRequest),
        ({"x-amz-checksum-other": CRC32}, InvalidRequest),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-sha256": SHA256}, InvalidRequest),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-trailer": "x-amz-checksum-crc32"}, InvalidRequest),
        ({"x-amz-trailer": "x-amz-checksum-crc32,x-amz-checksum-sha1"}, InvalidRequest),
        ({"x-amz-trailer": "x-amz-checksum-other"}, InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "other"}, InvalidRequest),
    ],
)
def test_announcements(headers: dict[str, str], expected: Integrity | type[S3Error]) -> None:
    if isinstance(expected, Integrity):
        assert parse_integrity(headers) == expected
        assert expected.is_given == bool(expected.content_md5 or expected.value or expected.trailer)
    else:
        with pytest.raises(expected):
            parse_integrity(headers)


TRAILER = "x-amz-checksum-crc32"
TRAILED = Integrity(algorithm="CRC32", trailer=TRAILER)


@pytest.mark.parametrize(
    ("announced", "trailers", "expected"),
    [
        (NO_INTEGRITY, {}, None),
        (Integrity(content_md5=MD5), {}, None),
        (Integrity(content_md5=bytes(16)), {}, BadDigest),
        (Integrity(algorithm="CRC32"), {}, None),
        (Integrity(algorithm="CRC32", value=CRC32), {}, None),
        (Integrity(algorithm="CRC32", value="AAAAAA=="), {}, BadDigest),
        (TRAILED, {TRAILER: CRC32}, None),
        (TRAILED, {TRAILER: "AAAAAA=="}, BadDigest),
        (TRAILED, {TRAILER: "AAAA"}, InvalidRequest),
        (TRAILED, {}, MalformedTrailer),
    ],
)
def test_judgement(announced: Integrity, trailers: dict[str, str], expected: type[S3Error] | None) -> None:
    if expected is None:
        check(announced, MD5, CRC32, trailers)
    else:
        with pytest.raises(expected):
            check(announced, MD5, CRC32, trailers)


def test_the_checksum_of_a_whole_object_may_count_its_parts() -> None:
    headers = {"x-amz-checksum-crc32": CRC32 + "-2"}
    assert checksum_in(headers, composite=True) == Checksum("CRC32", CRC32 + "-2")
    with pytest.raises(InvalidRequest):
        checksum_in(headers)


def test_what_is_told_of_a_wrong_content_md5() -> None:
    with pytest.raises(BadDigest) as caught:
        check(Integrity(content_md5=bytes(16)), b"\xff" * 16, None, {})
    assert caught.value.elements == {"ExpectedDigest": "0" * 32, "CalculatedDigest": "/" * 21 + "w=="}
    with pytest.raises(InvalidDigest) as invalid:
        parse_integrity({"content-md5": "none"})
    assert invalid.value.elements == {"Content-MD5": "none"}
