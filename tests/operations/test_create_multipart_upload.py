"""CreateMultipartUpload."""

from typing import Any

import pytest

from tests.operations.multipart import begin, complete, put_parts
from tests.operations.requests import refused, send
from tests.operations.sharing import open_up, policy, statement


def test_an_upload_shows_nothing_before_it_is_completed(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    put_parts(s3, bucket, upload_id, b"data")
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="k")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_two_uploads_of_one_key_are_two(s3: Any, bucket: str) -> None:
    first, second = begin(s3, bucket), begin(s3, bucket)
    assert first != second
    for upload_id, data in ((first, b"first"), (second, b"second")):
        complete(s3, bucket, upload_id, put_parts(s3, bucket, upload_id, data))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"second"


def test_attributes_are_those_of_the_object(s3: Any, bucket: str) -> None:
    upload_id = begin(
        s3,
        bucket,
        ContentType="text/plain",
        Metadata={"a": "1"},
        StorageClass="STANDARD_IA",
        Tagging="t=1&u=2",
        WebsiteRedirectLocation="/x",
    )
    complete(s3, bucket, upload_id, put_parts(s3, bucket, upload_id, b"data"))
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentType"], head["Metadata"]) == ("text/plain", {"a": "1"})
    assert (head["StorageClass"], head["TagCount"]) == ("STANDARD_IA", 2)
    assert head["WebsiteRedirectLocation"] == "/x"


@pytest.mark.parametrize(
    ("algorithm", "asked", "expected"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC32C", "COMPOSITE", "COMPOSITE"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("SHA1", None, "COMPOSITE"),
        ("SHA256", "COMPOSITE", "COMPOSITE"),
        ("XXHASH128", None, "COMPOSITE"),
    ],
)
def test_checksum_algorithm_and_type(
    s3: Any, bucket: str, algorithm: str, asked: str | None, expected: str
) -> None:
    arguments = {} if asked is None else {"ChecksumType": asked}
    made = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, **arguments)
    assert (made["ChecksumAlgorithm"], made["ChecksumType"]) == (algorithm, expected)
    assert (made["Bucket"], made["Key"]) == (bucket, "k")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-algorithm": "CRC33"},
        {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT"},
        {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "PARTIAL"},
        {"x-amz-checksum-type": "COMPOSITE"},
    ],
)
def test_checksums_that_are_none(s3: Any, bucket: str, headers: dict[str, str]) -> None:
    answer = send(s3, "POST", bucket, "k", query={"uploads": ""}, headers=headers)
    assert (answer.status, answer.code) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"Metadata": {"a": "x" * 2048}}, "MetadataTooLarge"),
        ({"StorageClass": "COLD"}, "InvalidStorageClass"),
        ({"Tagging": "a=1&a=2"}, "InvalidArgument"),
        ({"ObjectLockLegalHoldStatus": "ON"}, "InvalidRequest"),
    ],
)
def test_bad_attributes_are_refused(s3: Any, bucket: str, arguments: dict[str, Any], code: str) -> None:
    with refused(code, 400):
        begin(s3, bucket, **arguments)


def test_refusals_by_bucket_and_user(s3: Any, other: Any, bucket: str) -> None:
    with refused("NoSuchBucket", 404):
        begin(s3, "there-is-no-such-bucket")
    with refused("AccessDenied", 403):
        begin(other, bucket)


def test_whoever_did_not_sign_uploads_no_parts_and_copies_nothing(
    s3: Any, anonymous: Any, bucket: str
) -> None:
    open_up(s3, bucket)
    s3.put_object(Bucket=bucket, Key="source", Body=b"data")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, "s3:*")))
    anonymous.put_object(Bucket=bucket, Key="k", Body=b"data")
    with refused("AccessDenied", 403) as caught:
        begin(anonymous, bucket)
    assert "cannot initiate multipart uploads" in str(caught.value)
    copy = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/source"}
    with refused("AccessDenied", 403) as caught:
        anonymous.copy_object(**copy)
    assert "cannot copy objects" in str(caught.value)
    with refused("AccessDenied", 403):
        anonymous.upload_part_copy(**copy, UploadId=begin(s3, bucket), PartNumber=1)
