"""ListMultipartUploads."""

from typing import Any

import pytest

from tests.operations.multipart import begin, complete, put_parts
from tests.operations.requests import refused, send


def keys_of(page: Any) -> list[str]:
    return [upload["Key"] for upload in page.get("Uploads", [])]


def test_uploads_under_way_are_listed_by_key_and_age(s3: Any, bucket: str) -> None:
    made = [(key, begin(s3, bucket, key)) for key in ("b", "a", "b", "ä", "a/b")]
    done = begin(s3, bucket, "done")
    complete(s3, bucket, done, put_parts(s3, bucket, done, b"data", key="done"), "done")
    listed = s3.list_multipart_uploads(Bucket=bucket)
    assert [(upload["Key"], upload["UploadId"]) for upload in listed["Uploads"]] == sorted(
        made, key=lambda pair: pair[0].encode()
    )
    assert (listed["Bucket"], listed["IsTruncated"], listed["MaxUploads"]) == (bucket, False, 1000)
    assert "Delimiter" not in listed
    first = listed["Uploads"][0]
    assert first["StorageClass"] == "STANDARD" and first["Initiated"]
    assert first["Owner"]["ID"] == first["Initiator"]["ID"]


def test_the_checksum_that_was_chosen_is_told(s3: Any, bucket: str) -> None:
    begin(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload = s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]
    assert (upload["ChecksumAlgorithm"], upload["ChecksumType"]) == ("CRC32", "FULL_OBJECT")


def test_prefix_and_delimiter(s3: Any, bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "b/c/3", "d/4"):
        begin(s3, bucket, key)
    listed = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert keys_of(listed) == ["a"]
    assert [each["Prefix"] for each in listed["CommonPrefixes"]] == ["b/", "d/"]
    assert listed["Delimiter"] == "/"
    listed = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert keys_of(listed) == ["b/1", "b/2"]
    assert [each["Prefix"] for each in listed["CommonPrefixes"]] == ["b/c/"]
    assert keys_of(s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")) == ["b/1", "b/2", "b/c/3"]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages(s3: Any, bucket: str, size: int) -> None:
    made = [(key, begin(s3, bucket, key)) for key in ("a", "b", "b", "b", "c/1", "c/2", "d")]
    for delimiter, expected in [
        ("", [*made]),
        ("/", [pair for pair in made if "/" not in pair[0]]),
    ]:
        found, prefixes = [], []
        for page in s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        ):
            uploads, folded = page.get("Uploads", []), page.get("CommonPrefixes", [])
            assert len(uploads) + len(folded) <= size
            found += [(upload["Key"], upload["UploadId"]) for upload in uploads]
            prefixes += [each["Prefix"] for each in folded]
        assert found == expected
        assert prefixes == (["c/"] if delimiter else [])


def test_markers(s3: Any, bucket: str) -> None:
    ids = [begin(s3, bucket, "k") for _ in range(3)]
    begin(s3, bucket, "l")
    after_key = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="k")
    assert keys_of(after_key) == ["l"]
    after_first = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="k", UploadIdMarker=ids[0])
    assert keys_of(after_first) == ["k", "k", "l"]
    ignored = send(s3, "GET", bucket, query={"uploads": "", "upload-id-marker": ids[0]})
    assert ignored.body.count(b"<Upload>") == 4


def test_encoded_keys(s3: Any, bucket: str) -> None:
    key = "a b+c/\u00fc\n?"
    begin(s3, bucket, key)
    assert keys_of(s3.list_multipart_uploads(Bucket=bucket, EncodingType="url")) == ["a%20b%2Bc/%C3%BC%0A%3F"]
    assert keys_of(s3.list_multipart_uploads(Bucket=bucket)) == [key]
    answer = send(s3, "GET", bucket, query={"uploads": "", "encoding-type": "latin-1"})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


@pytest.mark.parametrize("number", ["x", "-1", str(2**63)])
def test_numbers_that_are_none(s3: Any, bucket: str, number: str) -> None:
    answer = send(s3, "GET", bucket, query={"uploads": "", "max-uploads": number})
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_none_at_all(s3: Any, bucket: str) -> None:
    empty = s3.list_multipart_uploads(Bucket=bucket)
    assert (empty["NextKeyMarker"], empty["NextUploadIdMarker"], empty.get("Prefix")) == ("", "", None)
    upload_id = begin(s3, bucket, "last")
    whole = s3.list_multipart_uploads(Bucket=bucket, Prefix="l")
    assert (whole["NextKeyMarker"], whole["NextUploadIdMarker"], whole["Prefix"]) == ("last", upload_id, "l")
    with refused("InvalidArgument", 400):
        s3.list_multipart_uploads(Bucket=bucket, KeyMarker="k", UploadIdMarker="none")
    page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=0)
    assert keys_of(page) == [] and page["IsTruncated"] is False
    assert s3.list_multipart_uploads(Bucket=bucket, MaxUploads=9999)["MaxUploads"] == 1000


def test_refusals(s3: Any, other: Any, bucket: str) -> None:
    with refused("NoSuchBucket", 404):
        s3.list_multipart_uploads(Bucket="there-is-no-such-bucket")
    with refused("AccessDenied", 403):
        other.list_multipart_uploads(Bucket=bucket)
