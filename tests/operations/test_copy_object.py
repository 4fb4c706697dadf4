"""CopyObject."""

import datetime
import hashlib
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from tests.operations.requests import refused, send, versioned
from tests.operations.test_put_object import pattern

MIB = 1024 * 1024
HOUR = datetime.timedelta(hours=1)
GIVEN = {
    "Metadata": {"a": "1"},
    "ContentType": "text/plain",
    "CacheControl": "no-store",
    "Tagging": "t=1",
    "StorageClass": "STANDARD_IA",
}


@pytest.fixture
def source(s3: Any, bucket: str) -> dict[str, str]:
    """An object with attributes of every kind, as a copy source."""
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789", **GIVEN)
    return {"Bucket": bucket, "Key": "source"}


def test_a_copy_has_bytes_metadata_and_tags_of_its_source(s3: Any, bucket: str, source: Any) -> None:
    result = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)["CopyObjectResult"]
    got = s3.get_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"0123456789"
    assert result["ETag"] == got["ETag"] == f'"{hashlib.md5(b"0123456789").hexdigest()}"'
    assert result["LastModified"] == got["LastModified"]
    assert result["ChecksumCRC32"] == got["ChecksumCRC32"]
    assert (got["Metadata"], got["ContentType"], got["CacheControl"]) == (
        {"a": "1"},
        "text/plain",
        "no-store",
    )
    assert got["TagCount"] == 1
    assert "StorageClass" not in got


def test_replaced_metadata_replaces_all_of_it(s3: Any, bucket: str, source: Any) -> None:
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
        ContentType="text/x",
    )
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["Metadata"], head["ContentType"]) == ({"b": "2"}, "text/x")
    assert "CacheControl" not in head
    assert head["TagCount"] == 1


def test_metadata_without_the_directive_is_ignored(s3: Any, bucket: str, source: Any) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, Metadata={"b": "2"}, Tagging="u=1&v=2")
    head = s3.head_object(Bucket=bucket, Key="copy")
    assert (head["Metadata"], head["TagCount"]) == ({"a": "1"}, 1)


def test_replaced_tags(s3: Any, bucket: str, source: Any) -> None:
    s3.copy_object(
        Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE", Tagging="u=1&v=2"
    )
    assert s3.head_object(Bucket=bucket, Key="copy")["TagCount"] == 2


@pytest.mark.parametrize("directive", ["MetadataDirective", "TaggingDirective"])
def test_an_unknown_directive_is_refused(s3: Any, bucket: str, source: Any, directive: str) -> None:
    with refused("InvalidArgument", 400):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **{directive: "MERGE"})


def test_onto_itself_something_must_change(s3: Any, bucket: str, source: Any) -> None:
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="source", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="source", CopySource=source, MetadataDirective="REPLACE", Metadata={"m": "2"}
    )
    got = s3.get_object(Bucket=bucket, Key="source")
    assert (got["Body"].read(), got["Metadata"]) == (b"0123456789", {"m": "2"})
    s3.copy_object(Bucket=bucket, Key="source", CopySource=source, StorageClass="GLACIER_IR")
    assert s3.head_object(Bucket=bucket, Key="source")["StorageClass"] == "GLACIER_IR"
    s3.copy_object(Bucket=bucket, Key="source", CopySource=source, StorageClass="GLACIER_IR")
    kms = {"Bucket": bucket, "Key": "kms"}
    s3.put_object(**kms, Body=b"secret", ServerSideEncryption="aws:kms")
    s3.copy_object(**kms, CopySource=kms)
    assert "ServerSideEncryption" not in s3.head_object(**kms)


def test_the_source_may_go_and_the_copy_stays(s3: Any, bucket: str, source: Any) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"0123456789"


@pytest.mark.parametrize("size", [0, 1, 100_000, 9 * MIB])
def test_objects_of_every_size_are_copied(s3: Any, bucket: str, size: int) -> None:
    data = pattern(size)
    s3.put_object(Bucket=bucket, Key="source", Body=data)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    s3.delete_object(Bucket=bucket, Key="source")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == data


def test_a_multipart_object_is_copied(s3: Any, bucket: str) -> None:
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="source")["UploadId"]
    parts = []
    for number, data in enumerate([bytes(5 * MIB), b"end"], 1):
        put = s3.upload_part(Bucket=bucket, Key="source", UploadId=upload_id, PartNumber=number, Body=data)
        parts.append({"PartNumber": number, "ETag": put["ETag"]})
    s3.complete_multipart_upload(
        Bucket=bucket, Key="source", UploadId=upload_id, MultipartUpload={"Parts": parts}
    )
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    s3.delete_object(Bucket=bucket, Key="source")
    whole = bytes(5 * MIB) + b"end"
    got = s3.get_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert got["Body"].read() == whole
    assert got["ETag"] == f'"{hashlib.md5(whole).hexdigest()}"'  # a copy is one part, whatever its source was
    assert got["ChecksumType"] == "FULL_OBJECT"
    assert "PartsCount" not in s3.head_object(Bucket=bucket, Key="copy", PartNumber=1)
    assert s3.head_object(Bucket=bucket, Key="copy", PartNumber=1)["ContentLength"] == len(whole)


def test_another_checksum_may_be_asked_for(s3: Any, bucket: str, source: Any) -> None:
    result = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ChecksumAlgorithm="SHA256")
    expected = b64encode(hashlib.sha256(b"0123456789").digest()).decode()
    assert result["CopyObjectResult"]["ChecksumSHA256"] == expected
    head = s3.head_object(Bucket=bucket, Key="copy", ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (expected, "FULL_OBJECT")
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ChecksumAlgorithm="CRC33")


@pytest.mark.parametrize(
    "key", ["a b+c%25", "ünï/日本", "q?versionId=x", "x&y=z", "trailing/", "//double", "100%"]
)
@pytest.mark.parametrize("form", ["/{}/{}", "{}/{}"])
def test_source_keys_of_any_text(s3: Any, bucket: str, key: str, form: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=b"data")
    header = form.format(bucket, quote(key))
    answer = send(s3, "PUT", bucket, "copy", headers={"x-amz-copy-source": header})
    assert answer.status == 200, answer
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"data"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "InvalidArgument"),
        ("/", "InvalidArgument"),
        ("bucket", "InvalidArgument"),
        ("bucket/", "InvalidArgument"),
        ("{bucket}/%ff", "InvalidArgument"),
        ("{bucket}/source?versionId=", "InvalidArgument"),
        ("{bucket}/source?versionId=nonsense", "InvalidArgument"),
        ("{bucket}/source?versionId=" + "0" * 32, "NoSuchVersion"),
        ("{bucket}/absent", "NoSuchKey"),
        ("there-is-no-such-bucket/k", "NoSuchBucket"),
    ],
)
def test_sources_that_are_none(s3: Any, bucket: str, source: Any, header: str, code: str) -> None:
    answer = send(s3, "PUT", bucket, "copy", headers={"x-amz-copy-source": header.format(bucket=bucket)})
    assert answer.code == code, answer


def test_source_conditions(s3: Any, bucket: str, source: Any) -> None:
    head = s3.head_object(Bucket=bucket, Key="source")
    etag, modified = head["ETag"], head["LastModified"]

    def copy(**conditions: Any) -> None:
        named = {f"CopySource{name}": value for name, value in conditions.items()}
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **named)

    copy(IfMatch=etag, IfUnmodifiedSince=modified - HOUR)
    copy(IfNoneMatch='"other"')
    copy(IfModifiedSince=modified - HOUR)
    copy(IfUnmodifiedSince=modified)
    for conditions in (
        {"IfMatch": '"other"'},
        {"IfNoneMatch": etag},
        {"IfModifiedSince": modified},
        {"IfUnmodifiedSince": modified - HOUR},
    ):
        with refused("PreconditionFailed", 412) as caught:
            copy(**conditions)
        (name,) = conditions
        told = caught.value.response["Error"]["Condition"].replace("-", "")
        assert told == f"xamzcopysource{name}"


def test_target_conditions(s3: Any, bucket: str, source: Any) -> None:
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, IfMatch='"other"')


def test_another_users_object_cannot_be_copied(
    s3: Any, other: Any, bucket: str, source: Any, bucket_name: str
) -> None:
    mine = f"{bucket_name}-other"
    other.create_bucket(Bucket=mine)
    with refused("AccessDenied", 403):
        other.copy_object(Bucket=mine, Key="copy", CopySource=source)
    with refused("AccessDenied", 403):
        other.copy_object(Bucket=mine, Key="copy", CopySource={"Bucket": bucket, "Key": "absent"})
    with refused("AccessDenied", 403):
        other.copy_object(Bucket=bucket, Key="copy", CopySource=source)


def test_the_owner_of_the_source_may_be_named(s3: Any, bucket: str, source: Any) -> None:
    with refused("AccessDenied", 403):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ExpectedSourceBucketOwner="111122223333")


def test_versions(s3: Any, bucket_name: str) -> None:
    bucket = versioned(s3, bucket_name)
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    source = {"Bucket": bucket, "Key": "k", "VersionId": old}
    made = s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    assert made["CopySourceVersionId"] == old and made["VersionId"] not in ("null", old)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
    marker = s3.delete_object(Bucket=bucket, Key="k")["VersionId"]
    with refused("NoSuchKey", 404):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    with refused("InvalidRequest", 400):
        source = {"Bucket": bucket, "Key": "k", "VersionId": marker}
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
