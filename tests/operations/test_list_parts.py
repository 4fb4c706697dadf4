"""ListParts."""

import hashlib
from typing import Any

import pytest

from tests.operations.multipart import begin, complete, put_parts
from tests.operations.requests import refused, send


def test_parts_are_listed_by_number(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket, StorageClass="STANDARD_IA", ChecksumAlgorithm="SHA256")
    bodies = {7: b"seven", 2: b"two", 10_000: b"last"}
    for number, body in bodies.items():
        s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm="SHA256",
        )
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    assert [part["PartNumber"] for part in listed["Parts"]] == [2, 7, 10_000]
    for part in listed["Parts"]:
        body = bodies[part["PartNumber"]]
        assert (part["Size"], part["ETag"]) == (len(body), f'"{hashlib.md5(body).hexdigest()}"')
        assert part["ChecksumSHA256"] and part["LastModified"]
    assert (listed["Bucket"], listed["Key"], listed["UploadId"]) == (bucket, "k", upload_id)
    assert (listed["StorageClass"], listed["ChecksumAlgorithm"]) == ("STANDARD_IA", "SHA256")
    assert (listed["ChecksumType"], listed["IsTruncated"], listed["MaxParts"]) == ("COMPOSITE", False, 1000)
    assert listed["Owner"]["ID"] == listed["Initiator"]["ID"]


def test_checksums_that_were_not_chosen_are_not_listed(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    put_parts(s3, bucket, upload_id, b"data")
    (part,) = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)["Parts"]
    assert set(part) == {"PartNumber", "LastModified", "ETag", "Size"}


def test_pages(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    put_parts(s3, bucket, upload_id, *[b"%d" % number for number in range(5)])
    found, marker = [], 0
    while True:
        page = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id, MaxParts=2, PartNumberMarker=marker)
        assert page["PartNumberMarker"] == marker
        found.append([part["PartNumber"] for part in page["Parts"]])
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert found == [[1, 2], [3, 4], [5]]
    paginator = s3.get_paginator("list_parts").paginate(
        Bucket=bucket, Key="k", UploadId=upload_id, PaginationConfig={"PageSize": 3}
    )
    assert [part["PartNumber"] for page in paginator for part in page["Parts"]] == [1, 2, 3, 4, 5]


def test_an_upload_without_parts(s3: Any, bucket: str) -> None:
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=begin(s3, bucket))
    assert "Parts" not in listed and listed["IsTruncated"] is False
    assert listed["NextPartNumberMarker"] == 0


@pytest.mark.parametrize(
    "query", [{"max-parts": "x"}, {"max-parts": "-1"}, {"part-number-marker": "x"}, {"max-parts": str(2**63)}]
)
def test_numbers_that_are_none(s3: Any, bucket: str, query: dict[str, str]) -> None:
    answer = send(s3, "GET", bucket, "k", query={"uploadId": begin(s3, bucket), **query})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_more_than_1000_is_1000_and_0_is_none(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    put_parts(s3, bucket, upload_id, b"data")
    assert s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id, MaxParts=5000)["MaxParts"] == 1000
    none = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id, MaxParts=0)
    assert "Parts" not in none and none["IsTruncated"] is False


def test_refusals(s3: Any, other: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    with refused("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="k", UploadId="0" * 32)
    with refused("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="other", UploadId=upload_id)
    with refused("AccessDenied", 403):
        other.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    complete(s3, bucket, upload_id, put_parts(s3, bucket, upload_id, b"data"))
    with refused("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
