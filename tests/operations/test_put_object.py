"""PutObject."""

import base64
import hashlib
import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from objstore.s3 import checksums
from tests.operations.requests import refused, send

MIB = 1024 * 1024
SIZES = [0, 1, 5, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 64 * 1024 + 1, MIB + 3, 9 * MIB + 1]
EMPTY_ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'


def pattern(size: int) -> bytes:
    """Bytes in which every run of eight occurs once."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_as_they_were_sent(s3: Any, bucket: str, size: int) -> None:
    data = pattern(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size
    assert got["Body"].read() == data


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a/b//c/../d/.",
        "/leading",
        "trailing/",
        "sp ace+plus%25%2F",
        "ünï©ode/日本語/🪣",
        "new\nline\ttab",
        "?query#fragment&a=b;c",
        "x" * 1024,
        "ü" * 512,
        "..",
        "xl.meta",
    ],
)
def test_keys_are_any_text(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()


def test_a_key_above_1024_bytes_is_refused(s3: Any, bucket: str) -> None:
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="ü" * 513, Body=b"")


def test_an_object_is_replaced_whole(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old", Metadata={"a": "1"}, ContentType="text/plain")
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"newer"
    assert got["Metadata"] == {} and got["ContentType"] == "binary/octet-stream"


def test_a_missing_bucket_is_no_such_bucket(s3: Any) -> None:
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket="there-is-no-such-bucket", Key="k", Body=b"data")


def test_another_user_may_not_write(other: Any, bucket: str) -> None:
    with refused("AccessDenied", 403):
        other.put_object(Bucket=bucket, Key="k", Body=b"data")


def test_nobody_may_write_unsigned(anonymous: Any, bucket: str) -> None:
    with refused("AccessDenied", 403):
        anonymous.put_object(Bucket=bucket, Key="k", Body=b"data")


# Attributes.


def test_system_headers_come_back_verbatim(s3: Any, bucket: str) -> None:
    given = {
        "cache-control": "max-age=60, public",
        "content-disposition": 'attachment; filename="a b.txt"',
        "content-encoding": "gzip",
        "content-language": "de-DE",
        "content-type": "text/plain; charset=utf-8",
        "expires": "next Tuesday, perhaps",
    }
    assert send(s3, "PUT", bucket, "k", headers=given, body=b"x").status == 200
    answer = send(s3, "GET", bucket, "k")
    assert {name: answer.headers[name] for name in given} == given


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip"), ("", None)],
)
def test_aws_chunked_is_no_encoding_to_store(s3: Any, bucket: str, sent: str, stored: str | None) -> None:
    answer = send(s3, "PUT", bucket, "k", headers={"content-encoding": sent}, body=b"x")
    assert answer.status == 200, answer
    assert send(s3, "GET", bucket, "k").headers.get("content-encoding") == stored


def test_user_metadata_comes_back_with_lower_case_names(s3: Any, bucket: str) -> None:
    given = {"Mixed-Case": "Value with  spaces", "number": "1"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata=given)
    expected = {name.lower(): value for name, value in given.items()}
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == expected


def test_user_metadata_that_is_not_ascii_comes_back_as_an_encoded_word(s3: Any, bucket: str) -> None:
    headers = {"x-amz-meta-name": "grün"}
    answer = send(s3, "PUT", bucket, "k", headers=headers, body=b"x")
    assert answer.status == 200, answer
    word = "=?UTF-8?B?" + base64.b64encode("grün".encode()).decode() + "?="
    assert send(s3, "GET", bucket, "k").headers["x-amz-meta-name"] == word


def test_user_metadata_has_2_kib(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2047})
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2048})


def test_storage_classes_are_kept_and_unknown_ones_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"
    s3.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass="STANDARD")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="k")
    with refused("InvalidStorageClass", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass="COLD")


def test_tags_are_counted(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=1&b=two+words&c=")
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 3


@pytest.mark.parametrize(
    ("tagging", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("&".join(f"t{n}=1" for n in range(11)), "BadRequest"),
        ("k" * 129 + "=1", "InvalidTag"),
        ("k=" + "v" * 257, "InvalidTag"),
        ("aws:k=1", "InvalidTag"),
        ("k=%3C", "InvalidTag"),
        ("%ff=1", "InvalidArgument"),
    ],
)
def test_bad_tags_are_refused(s3: Any, bucket: str, tagging: str, code: str) -> None:
    with refused(code, 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging=tagging)


@pytest.mark.parametrize("location", ["/other/page", "http://example.com/", "https://example.com/"])
def test_a_website_redirect_is_kept(s3: Any, bucket: str, location: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", WebsiteRedirectLocation=location)
    assert s3.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == location


def test_a_website_redirect_to_nowhere_is_refused(s3: Any, bucket: str) -> None:
    with refused("InvalidRedirectLocation", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", WebsiteRedirectLocation="other/page")


def test_encryption_is_not_promised_before_it_is_built(s3: Any, bucket: str) -> None:
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256")


@pytest.mark.parametrize("name", ["ObjectLockLegalHoldStatus", "ObjectLockMode"])
def test_a_lock_in_a_bucket_without_locks_is_refused(s3: Any, bucket: str, name: str) -> None:
    value = {"ObjectLockLegalHoldStatus": "ON", "ObjectLockMode": "GOVERNANCE"}[name]
    with refused("InvalidRequest", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", **{name: value})


# Digests.


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_a_checksum_is_verified_kept_and_returned(s3: Any, bucket: str, algorithm: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    field = f"Checksum{algorithm}"
    assert put[field] == head[field]
    assert put["ChecksumType"] == head["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize("algorithm", list(checksums.ALGORITHMS))
def test_a_checksum_by_value_is_verified(s3: Any, bucket: str, algorithm: str) -> None:
    chosen = checksums.ALGORITHMS[algorithm]
    hasher = chosen.new()
    hasher.update(b"data")
    value = checksums.encoded(hasher.digest())
    right = send(s3, "PUT", bucket, "k", headers={chosen.header: value}, body=b"data")
    assert (right.status, right.headers[chosen.header]) == (200, value)
    wrong = send(s3, "PUT", bucket, "wrong", headers={chosen.header: value}, body=b"date")
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    assert send(s3, "GET", bucket, "wrong").status == 404


def test_without_a_checksum_crc64nvme_is_taken(s3: Any, bucket: str) -> None:
    assert send(s3, "PUT", bucket, "k", body=b"data").headers["x-amz-checksum-crc64nvme"]
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"content-md5": ""}, "InvalidDigest"),
        ({"content-md5": "AAAA"}, "InvalidDigest"),
        ({"content-md5": "no base64 at all"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAA"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "?"}, "InvalidRequest"),
        ({"x-amz-checksum-crc33": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC33"}, "InvalidRequest"),
        ({"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}, "XAmzContentSHA256Mismatch"),
    ],
)
def test_a_wrong_digest_is_refused_and_the_old_object_stays(
    s3: Any, bucket: str, headers: dict[str, str], code: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    for body in (b"data", pattern(200_000)):
        answer = send(s3, "PUT", bucket, "k", headers=headers, body=body)
        assert (answer.status, answer.code) == (400, code)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_an_algorithm_alone_is_a_choice(s3: Any, bucket: str) -> None:
    answer = send(s3, "PUT", bucket, "k", headers={"x-amz-sdk-checksum-algorithm": "SHA256"}, body=b"data")
    assert (
        answer.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(b"data").digest()).decode()
    )


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_short_body_is_refused_and_the_old_object_stays(s3: Any, bucket: str, size: int) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    body = pattern(size)
    unsigned = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    answer = send(s3, "PUT", bucket, "k", headers=unsigned, body=body, body_sent=body[:-1])
    assert (answer.status, answer.code) == (400, "IncompleteBody")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_a_length_above_5_gib_is_refused_unread(s3: Any, bucket: str) -> None:
    headers = {"content-length": str(5 * 1024**3 + 1), "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    answer = send(s3, "PUT", bucket, "k", headers={**headers, "expect": "100-continue"})
    assert (answer.status, answer.code) == (400, "EntityTooLarge")


# Conditions.


def test_if_none_match_creates_only(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch='"etag"')


def test_if_match_replaces_only_what_was_seen(s3: Any, bucket: str) -> None:
    with refused("NoSuchKey", 404):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfMatch='"etag"')
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["ETag"]
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=etag)["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=etag.strip('"'))
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfMatch=EMPTY_ETAG)


def test_of_many_racing_creators_one_wins(s3: Any, bucket: str) -> None:
    def create(number: int) -> int | None:
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as exc:
            assert exc.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(create, range(16)) if number is not None]
    assert len(winners) == 1
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"%d" % winners[0]


# Bodies of other shapes.


def test_a_body_of_unknown_length_is_stored(s3: Any, bucket: str) -> None:
    data = pattern(300_000)

    class Stream(io.RawIOBase):
        source = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            piece = self.source.read(min(len(buffer), 7_000))
            buffer[: len(piece)] = piece
            return len(piece)

    s3.upload_fileobj(Stream(), bucket, "k")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == data


def test_a_gzip_body_is_stored_as_sent(s3: Any, bucket: str) -> None:
    data = zlib.compress(bytes(1_000_000))
    s3.put_object(Bucket=bucket, Key="k", Body=data, ContentEncoding="gzip")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["ContentEncoding"], got["Body"].read()) == ("gzip", data)
