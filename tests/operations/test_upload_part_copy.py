"""UploadPartCopy."""

import datetime
import hashlib
from typing import Any

import pytest

from tests.operations.multipart import FIVE_MIB, MIB, begin, complete, upload
from tests.operations.requests import refused, versioned
from tests.operations.test_put_object import pattern

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    """Ten bytes, as a copy source."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    return {"Bucket": bucket, "Key": "source"}


def copy_part(s3: Any, bucket: str, source: Any, number: int = 1, **arguments: Any) -> tuple[str, Any]:
    """Copy into a new upload; its id and boto3's answer."""
    upload_id = begin(s3, bucket)
    return upload_id, s3.upload_part_copy(
        Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=number, CopySource=source, **arguments
    )


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, b"0123456789"), ("bytes=0-9", b"0123456789"), ("bytes=2-4", b"234"), ("bytes=9-9", b"9")],
)
def test_a_source_or_a_range_of_it_becomes_a_part(
    s3: Any, bucket: str, source: Any, header: str | None, expected: bytes
) -> None:
    arguments = {} if header is None else {"CopySourceRange": header}
    upload_id, made = copy_part(s3, bucket, source, **arguments)
    etag = made["CopyPartResult"]["ETag"]
    assert etag == f'"{hashlib.md5(expected).hexdigest()}"'
    assert abs(made["CopyPartResult"]["LastModified"] - datetime.datetime.now(datetime.UTC)) < HOUR
    complete(s3, bucket, upload_id, [{"PartNumber": 1, "ETag": etag}])
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == expected


@pytest.mark.parametrize("header", ["bytes=0-10", "bytes=4-2", "bytes=0-", "bytes=-5", "0-1"])
def test_a_range_that_is_not_there_is_refused(s3: Any, bucket: str, source: Any, header: str) -> None:
    with refused("InvalidArgument", 400):
        copy_part(s3, bucket, source, CopySourceRange=header)
    with refused("InvalidRequest", 400):
        copy_part(s3, bucket, source, CopySourceRange="bytes=10-10")


def test_a_large_object_is_copied_part_by_part(s3: Any, bucket: str) -> None:
    data = pattern(12 * MIB + 3)
    upload(s3, bucket, data[:FIVE_MIB], data[FIVE_MIB : 2 * FIVE_MIB], data[2 * FIVE_MIB :], key="source")
    for step in (FIVE_MIB, FIVE_MIB + 1):
        upload_id = begin(s3, bucket)
        parts = []
        for number, start in enumerate(range(0, len(data), step), 1):
            made = s3.upload_part_copy(
                Bucket=bucket,
                Key="k",
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": bucket, "Key": "source"},
                CopySourceRange=f"bytes={start}-{min(start + step, len(data)) - 1}",
            )
            parts.append({"PartNumber": number, "ETag": made["CopyPartResult"]["ETag"]})
        complete(s3, bucket, upload_id, parts)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == data


def test_the_checksum_is_the_uploads(s3: Any, bucket: str, source: Any) -> None:
    upload_id = begin(s3, bucket, ChecksumAlgorithm="SHA1")
    arguments = {"Bucket": bucket, "Key": "k", "UploadId": upload_id, "CopySource": source}
    parts = []
    made = s3.upload_part_copy(PartNumber=1, **arguments)["CopyPartResult"]
    parts.append({"PartNumber": 1, "ETag": made["ETag"], "ChecksumSHA1": made["ChecksumSHA1"]})
    done = complete(s3, bucket, upload_id, parts)
    assert done["ChecksumSHA1"].endswith("-1") and done["ChecksumType"] == "COMPOSITE"


def test_refusals(s3: Any, other: Any, bucket: str, source: Any, bucket_name: str) -> None:
    with refused("NoSuchKey", 404):
        copy_part(s3, bucket, {"Bucket": bucket, "Key": "absent"})
    with refused("NoSuchBucket", 404):
        copy_part(s3, bucket, {"Bucket": "there-is-no-such-bucket", "Key": "k"})
    with refused("PreconditionFailed", 412):
        copy_part(s3, bucket, source, CopySourceIfMatch='"other"')
    with refused("InvalidArgument", 400):
        copy_part(s3, bucket, source, number=10_001)
    with refused("NoSuchUpload", 404):
        s3.upload_part_copy(Bucket=bucket, Key="k", UploadId="0" * 32, PartNumber=1, CopySource=source)
    other.create_bucket(Bucket=f"{bucket_name}-other")
    with refused("AccessDenied", 403):
        copy_part(other, f"{bucket_name}-other", source)


def test_a_version_is_copied(s3: Any, bucket_name: str) -> None:
    bucket = versioned(s3, bucket_name)
    old = s3.put_object(Bucket=bucket, Key="source", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="source", Body=b"new")
    _, made = copy_part(s3, bucket, {"Bucket": bucket, "Key": "source", "VersionId": old})
    assert made["CopyPartResult"]["ETag"] == f'"{hashlib.md5(b"old").hexdigest()}"'
    assert made["CopySourceVersionId"] == old
