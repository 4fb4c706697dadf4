"""GetObjectAttributes."""

from typing import Any

import pytest

from tests.operations.multipart import FIVE_MIB, begin, complete, upload
from tests.operations.requests import refused, send, versioned
from tests.operations.sharing import policy, statement

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def attributes(s3: Any, bucket: str, names: list[str] = ALL, **arguments: Any) -> Any:
    return s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=names, **arguments)


def test_all_of_an_object_put_whole(s3: Any, bucket: str) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm="SHA256")
    found = attributes(s3, bucket)
    assert found["ETag"] == put["ETag"].strip('"')
    assert found["Checksum"] == {"ChecksumSHA256": put["ChecksumSHA256"], "ChecksumType": "FULL_OBJECT"}
    assert (found["StorageClass"], found["ObjectSize"]) == ("STANDARD", 4)
    assert found["LastModified"] and "ObjectParts" not in found


@pytest.mark.parametrize("name", ["ETag", "Checksum", "StorageClass", "ObjectSize"])
def test_only_what_is_asked_for(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    assert set(attributes(s3, bucket, [name])) & set(ALL) == {name}


def test_parts_in_pages(s3: Any, bucket: str) -> None:
    upload(s3, bucket, bytes(FIVE_MIB), bytes(FIVE_MIB), b"end")
    parts = attributes(s3, bucket, ["ObjectParts"])["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"], parts["MaxParts"]) == (3, False, 1000)
    assert [part["Size"] for part in parts["Parts"]] == [FIVE_MIB, FIVE_MIB, 3]
    page = attributes(s3, bucket, ["ObjectParts"], MaxParts=2)["ObjectParts"]
    assert [part["PartNumber"] for part in page["Parts"]] == [1, 2]
    assert (page["IsTruncated"], page["NextPartNumberMarker"]) == (True, 2)
    rest = attributes(s3, bucket, ["ObjectParts"], MaxParts=2, PartNumberMarker=2)["ObjectParts"]
    assert [part["PartNumber"] for part in rest["Parts"]] == [3]
    assert rest["IsTruncated"] is False


def test_checksums_of_parts(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    put = s3.upload_part(
        Bucket=bucket, Key="k", UploadId=upload_id, PartNumber=1, Body=b"data", ChecksumAlgorithm="SHA256"
    )
    claimed = {"PartNumber": 1, "ETag": put["ETag"], "ChecksumSHA256": put["ChecksumSHA256"]}
    done = complete(s3, bucket, upload_id, [claimed])
    found = attributes(s3, bucket)
    assert found["Checksum"] == {"ChecksumSHA256": done["ChecksumSHA256"], "ChecksumType": "COMPOSITE"}
    assert found["ObjectParts"]["Parts"] == [
        {"PartNumber": 1, "Size": 4, "ChecksumSHA256": put["ChecksumSHA256"]}
    ]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "InvalidRequest"),
        ({"x-amz-object-attributes": ""}, "InvalidRequest"),
        ({"x-amz-object-attributes": "Size"}, "InvalidArgument"),
        ({"x-amz-object-attributes": "ETag,Nonsense"}, "InvalidArgument"),
    ],
)
def test_attributes_that_are_none(s3: Any, bucket: str, headers: dict[str, str], code: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    answer = send(s3, "GET", bucket, "k", query={"attributes": ""}, headers=headers)
    assert (answer.status, answer.code) == (400, code)


def test_versions_and_markers(s3: Any, bucket_name: str) -> None:
    bucket = versioned(s3, bucket_name)
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    found = attributes(s3, bucket, VersionId=old)
    assert (found["ObjectSize"], found["VersionId"]) == (3, old)
    s3.delete_object(Bucket=bucket, Key="k")
    with refused("NoSuchKey", 404):
        attributes(s3, bucket)
    assert send(s3, "GET", bucket, "k", query={"attributes": ""}, headers={
        "x-amz-object-attributes": "ETag"
    }).headers["x-amz-delete-marker"] == "true"  # fmt: skip


def test_refusals(s3: Any, other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    with refused("AccessDenied", 403):
        attributes(other, bucket)
    with refused("NoSuchKey", 404):
        s3.get_object_attributes(Bucket=bucket, Key="absent", ObjectAttributes=ALL)


def test_who_may_not_read_the_object_learns_nothing_of_it(
    s3: Any, other: Any, other_id: str, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    one = ["s3:GetObjectAttributes", "s3:GetObjectVersion", "s3:GetObjectVersionAttributes"]
    for actions, is_allowed in ((one, False), (["s3:GetObject"], False), ([*one, "s3:GetObject"], True)):
        allow = statement(bucket, actions, {"CanonicalUser": other_id})
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow))
        if is_allowed:
            assert attributes(other, bucket)["ObjectSize"] == 4
        else:
            with refused("AccessDenied", 403):
                attributes(other, bucket)
