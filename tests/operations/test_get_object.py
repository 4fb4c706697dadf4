"""GetObject."""

import datetime
import hashlib
import urllib.request
from typing import Any

import pytest

from tests.operations.requests import refused, send, versioned
from tests.operations.test_put_object import pattern

MIB = 1024 * 1024
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def ten(s3: Any, bucket: str) -> Any:
    """An object of ten bytes under the key `k`, as a GET describes it."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    return s3.head_object(Bucket=bucket, Key="k")


def test_what_a_get_says_of_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ETag"] == f'"{hashlib.md5(b"data").hexdigest()}"'
    assert (got["ContentLength"], got["AcceptRanges"]) == (4, "bytes")
    assert got["ContentType"] == "binary/octet-stream"
    assert abs(got["LastModified"] - datetime.datetime.now(datetime.UTC)) < HOUR
    for absent in ("VersionId", "StorageClass", "TagCount", "PartsCount"):
        assert absent not in got
    unasked = send(s3, "GET", bucket, "k").headers
    assert not [name for name in unasked if name.startswith("x-amz-checksum")]


def test_an_absent_key_is_no_such_key(s3: Any, bucket: str) -> None:
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="absent")


def test_an_absent_bucket_is_no_such_bucket(s3: Any) -> None:
    with refused("NoSuchBucket", 404):
        s3.get_object(Bucket="there-is-no-such-bucket", Key="k")


def test_another_user_does_not_learn_what_is_there(s3: Any, other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    for key in ("k", "absent"):
        with refused("AccessDenied", 403):
            other.get_object(Bucket=bucket, Key=key)


# Ranges.


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-5", b"2345"),
        ("bytes=9-", b"9"),
        ("bytes=5-100", b"56789"),
        ("bytes=-3", b"789"),
        ("bytes=-100", b"0123456789"),
        ("bytes=0-9", b"0123456789"),
    ],
)
def test_a_range_is_partial_content(s3: Any, bucket: str, ten: Any, header: str, expected: bytes) -> None:
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == expected
    start = b"0123456789".index(expected)
    assert got["ContentRange"] == f"bytes {start}-{start + len(expected) - 1}/10"
    assert got["ContentLength"] == len(expected)


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "bytes=0-1,4-5", "chars=0-1", "bytes", "0-1"])
def test_what_is_no_single_range_gets_everything(s3: Any, bucket: str, ten: Any, header: str) -> None:
    got = s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, b"0123456789")


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", f"bytes={10**30}-"])
def test_a_range_beyond_the_end_is_refused(s3: Any, bucket: str, ten: Any, header: str) -> None:
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range=header)
    assert send(s3, "GET", bucket, "k", headers={"range": header}).headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("header", ["bytes=0-0", "bytes=0-", "bytes=-0"])
def test_an_empty_object_has_no_range(s3: Any, bucket: str, header: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range=header)


def test_the_last_bytes_of_an_empty_object_are_all_of_it(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    for method in ("GET", "HEAD"):
        answer = send(s3, method, bucket, "k", headers={"range": "bytes=-1"})
        assert (answer.status, answer.headers["content-length"]) == (200, "0")


@pytest.mark.parametrize("size", [100_000, 3 * MIB + 5, 17 * MIB + 1])
def test_ranges_of_objects_of_every_kind(s3: Any, bucket: str, size: int) -> None:
    data = pattern(size)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    edges = [0, 1, 65_535, 65_536, MIB, 2 * MIB - 1, 8 * MIB - 1, 8 * MIB, size // 2, size - 2]
    for start in [edge for edge in edges if edge < size]:
        for length in (1, 70_000, size):
            end = min(start + length, size)
            got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{end - 1}")
            assert got["Body"].read() == data[start:end]


def test_if_range_of_another_version_gets_everything(s3: Any, bucket: str, ten: Any) -> None:
    for condition, status in [(ten["ETag"], 206), ('"other"', 200)]:
        headers = {"range": "bytes=0-0", "if-range": condition}
        assert send(s3, "GET", bucket, "k", headers=headers).status == status


# Conditions.


def test_conditions(s3: Any, bucket: str, ten: Any) -> None:
    etag, modified = ten["ETag"], ten["LastModified"]
    fulfilled = [
        {"IfMatch": etag},
        {"IfMatch": etag.strip('"')},
        {"IfMatch": "*"},
        {"IfNoneMatch": '"other"'},
        {"IfModifiedSince": modified - HOUR},
        {"IfUnmodifiedSince": modified},
        {"IfMatch": etag, "IfUnmodifiedSince": modified - HOUR},
        {"IfNoneMatch": '"other"', "IfModifiedSince": modified},
    ]
    for conditions in fulfilled:
        assert s3.get_object(Bucket=bucket, Key="k", **conditions)["Body"].read() == b"0123456789"
    for conditions in [{"IfMatch": '"other"'}, {"IfUnmodifiedSince": modified - HOUR}]:
        with refused("PreconditionFailed", 412):
            s3.get_object(Bucket=bucket, Key="k", **conditions)
    unchanged = [
        {"IfNoneMatch": etag},
        {"IfNoneMatch": "*"},
        {"IfModifiedSince": modified},
        {"IfNoneMatch": etag, "IfModifiedSince": modified - HOUR},
    ]
    for conditions in unchanged:
        with refused("304", 304):
            s3.get_object(Bucket=bucket, Key="k", **conditions)


def test_not_modified_keeps_etag_and_date_and_has_no_body(s3: Any, bucket: str, ten: Any) -> None:
    answer = send(s3, "GET", bucket, "k", headers={"if-none-match": ten["ETag"]})
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == ten["ETag"] and "last-modified" in answer.headers


# What the query asks.


def test_response_headers_are_replaced(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789", ContentType="text/plain")
    wanted = {
        "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="x"',
        "ContentEncoding": "identity",
        "ContentLanguage": "en",
        "ContentType": "application/x-thing",
    }
    given = {f"Response{name}": value for name, value in wanted.items()}
    for arguments in ({}, {"Range": "bytes=0-1"}):
        got = s3.get_object(Bucket=bucket, Key="k", **given, **arguments)
        assert {name: got[name] for name in wanted} == wanted
    answer = send(s3, "GET", bucket, "k", query={"response-expires": "Thu, 01 Dec 1994 16:00:00 GMT"})
    assert answer.headers["expires"] == "Thu, 01 Dec 1994 16:00:00 GMT"


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\0", "ü", "\x7f"])
def test_a_response_header_cannot_smuggle(s3: Any, bucket: str, ten: Any, value: str) -> None:
    answer = send(s3, "GET", bucket, "k", query={"response-content-type": value})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_checksums_are_told_on_demand_and_not_with_ranges(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (got["ChecksumSHA256"], got["ChecksumType"]) == (put["ChecksumSHA256"], "FULL_OBJECT")
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", Range="bytes=0-1")
    assert "ChecksumSHA256" not in got


def test_an_object_put_whole_is_part_1_of_itself(s3: Any, bucket: str, ten: Any) -> None:
    got = s3.get_object(Bucket=bucket, Key="k", PartNumber=1)
    assert got["Body"].read() == b"0123456789"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert "PartsCount" not in got
    with refused("InvalidPartNumber", 416):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    with refused("InvalidRequest", 400):
        s3.get_object(Bucket=bucket, Key="k", PartNumber=1, Range="bytes=0-1")


@pytest.mark.parametrize("number", ["0", "-1", "10001", "one", ""])
def test_part_numbers_have_bounds(s3: Any, bucket: str, ten: Any, number: str) -> None:
    for key in ("k", "none"):
        answer = send(s3, "GET", bucket, key, query={"partNumber": number})
        assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_parts_of_a_multipart_object(s3: Any, bucket: str) -> None:
    parts = [pattern(5 * MIB), pattern(5 * MIB + 1), b"end"]
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    done = []
    for number, data in enumerate(parts, 1):
        put = s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=upload_id,
            PartNumber=number,
            Body=data,
            ChecksumAlgorithm="SHA256",
        )
        done.append({"PartNumber": number, "ETag": put["ETag"], "ChecksumSHA256": put["ChecksumSHA256"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id, MultipartUpload={"Parts": done})
    whole = b"".join(parts)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == whole
    offset = 0
    for number, data in enumerate(parts, 1):
        got = s3.get_object(Bucket=bucket, Key="k", PartNumber=number, ChecksumMode="ENABLED")
        assert got["Body"].read() == data
        assert got["PartsCount"] == 3
        assert got["ContentRange"] == f"bytes {offset}-{offset + len(data) - 1}/{len(whole)}"
        assert got["ChecksumSHA256"] == done[number - 1]["ChecksumSHA256"]
        assert got["ChecksumType"] == "COMPOSITE"  # the object's, as on S3
        offset += len(data)
    for start, end in [(0, 1), (5 * MIB - 1, 5 * MIB + 1), (10 * MIB, len(whole)), (7, len(whole) - 1)]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{end - 1}")
        assert got["Body"].read() == whole[start:end]


# Versions.


def test_versions_and_markers(s3: Any, bucket_name: str) -> None:
    bucket = versioned(s3, bucket_name)
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second")["VersionId"]
    assert s3.get_object(Bucket=bucket, Key="k")["VersionId"] == second
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"first"
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    answer = send(s3, "GET", bucket, "k")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert answer.headers["x-amz-delete-marker"] == "true"
    assert answer.headers["x-amz-version-id"] == marker
    answer = send(s3, "GET", bucket, "k", query={"versionId": marker})
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.headers["x-amz-delete-marker"] == "true"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId=second)["Body"].read() == b"second"


def test_a_version_that_is_none(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    with refused("NoSuchVersion", 404):
        s3.get_object(Bucket=bucket, Key="k", VersionId="0" * 32)
    with refused("InvalidArgument", 400):
        s3.get_object(Bucket=bucket, Key="k", VersionId="no version id")
    assert send(s3, "GET", bucket, "k", query={"versionId": ""}).code == "InvalidArgument"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"data"


# Bodies while the world changes.


def test_a_download_gets_one_whole_version_though_the_object_is_replaced(s3: Any, bucket: str) -> None:
    old, new = pattern(20 * MIB), bytes(MIB)
    s3.put_object(Bucket=bucket, Key="k", Body=old)
    body = s3.get_object(Bucket=bucket, Key="k")["Body"]
    begun = body.read(MIB)
    s3.put_object(Bucket=bucket, Key="k", Body=new)
    assert begun + body.read() == old


def test_a_presigned_url_downloads(server: Any, bucket: str, ten: Any) -> None:
    url = server.client(signature_version="s3v4").generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "k", "ResponseContentType": "text/x"}, ExpiresIn=60
    )
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"0123456789"
        assert answer.headers["content-type"] == "text/x"


def test_parts_of_an_object_with_a_checksum_of_the_whole_show_none(s3: Any, bucket: str) -> None:
    key = {"Bucket": bucket, "Key": "k"}
    upload = {**key, "UploadId": s3.create_multipart_upload(**key)["UploadId"]}
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"data")["ETag"]}
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    assert s3.head_object(**key, ChecksumMode="ENABLED")["ChecksumType"] == "FULL_OBJECT"
    assert "ChecksumType" not in s3.head_object(**key, PartNumber=1, ChecksumMode="ENABLED")
