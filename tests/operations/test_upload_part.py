"""UploadPart."""

import hashlib
from base64 import b64encode
from typing import Any

import pytest

from tests.operations.multipart import FIVE_MIB, begin, complete, put_parts
from tests.operations.requests import refused, send

SHA256 = b64encode(hashlib.sha256(b"data").digest()).decode()


def test_a_part_has_the_md5_of_its_bytes_as_etag(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    put = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=7, Body=b"data")
    assert put["ETag"] == f'"{hashlib.md5(b"data").hexdigest()}"'
    assert put["ChecksumCRC32"]


def test_the_same_number_again_replaces_the_part(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    put_parts(s3, bucket, upload_id, b"first")
    parts = put_parts(s3, bucket, upload_id, b"second")
    complete(s3, bucket, upload_id, parts)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "1.5", "99999999999"])
def test_part_numbers_are_1_to_10000(s3: Any, bucket: str, number: str) -> None:
    query = {"partNumber": number, "uploadId": begin(s3, bucket)}
    answer = send(s3, "PUT", bucket, "k", query=query, body=b"data")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("upload_id", ["0" * 32, "nonsense", "../x"])
def test_an_unknown_upload(s3: Any, bucket: str, upload_id: str) -> None:
    with refused("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"data")


def test_an_upload_belongs_to_its_key(s3: Any, bucket: str) -> None:
    with refused("NoSuchUpload", 404):
        s3.upload_part(Bucket=bucket, Key="other", UploadId=begin(s3, bucket), PartNumber=1, Body=b"data")


def test_a_part_above_5_gib_is_refused_unread(s3: Any, bucket: str) -> None:
    headers = {
        "content-length": str(5 * 1024**3 + 1),
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "expect": "100-continue",
    }
    query = {"partNumber": "1", "uploadId": begin(s3, bucket)}
    answer = send(s3, "PUT", bucket, "k", query=query, headers=headers)
    assert (answer.status, answer.code) == (400, "EntityTooLarge")


@pytest.mark.parametrize("size", [4, FIVE_MIB])
def test_a_wrong_digest_keeps_the_part_before(s3: Any, bucket: str, size: int) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, b"good")
    for headers, code in [
        ({"content-md5": b64encode(bytes(16)).decode()}, "BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-content-sha256": hashlib.sha256(b"other").hexdigest()}, "XAmzContentSHA256Mismatch"),
    ]:
        query = {"partNumber": "1", "uploadId": upload_id}
        answer = send(s3, "PUT", bucket, "k", query=query, headers=headers, body=b"x" * size)
        assert (answer.status, answer.code) == (400, code)
    complete(s3, bucket, upload_id, parts)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"good"


def test_a_content_md5_that_is_none(s3: Any, bucket: str) -> None:
    query = {"partNumber": "1", "uploadId": begin(s3, bucket)}
    answer = send(s3, "PUT", bucket, "k", query=query, headers={"content-md5": "?"}, body=b"data")
    assert (answer.status, answer.code) == (400, "InvalidDigest")


def test_the_checksum_must_be_the_uploads(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    query = {"partNumber": "1", "uploadId": upload_id}
    for headers, expected in [
        ({"x-amz-checksum-sha256": SHA256}, ""),
        ({"x-amz-checksum-crc32": "rfPzYw=="}, "InvalidRequest"),
        ({}, "InvalidRequest"),
    ]:
        answer = send(s3, "PUT", bucket, "k", query=query, headers=headers, body=b"data")
        assert answer.code == expected
        assert answer.headers.get("x-amz-checksum-sha256") == (None if expected else SHA256)


def test_another_user_may_not_add_parts(s3: Any, other: Any, bucket: str) -> None:
    with refused("AccessDenied", 403):
        other.upload_part(Bucket=bucket, Key="k", UploadId=begin(s3, bucket), PartNumber=1, Body=b"data")
