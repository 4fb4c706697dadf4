"""GetObjectAnnotation: named texts on versions of objects."""

import json
from typing import Any

import pytest

from tests.operations.annotations import annotated, names, put, text
from tests.operations.refusals import refused


@pytest.fixture
def noted(s3: Any, bucket: str) -> str:
    return annotated(s3, bucket)


def test_what_is_not_there(s3: Any, noted: str) -> None:
    assert refused(text, s3=s3, bucket=noted, name="none") == (404, "NoSuchAnnotation")
    for call in (text, put):
        assert refused(call, s3=s3, bucket=noted, name="none", key="absent") == (404, "NoSuchKey")
    assert refused(names, s3=s3, bucket=noted, key="absent") == (404, "NoSuchKey")
    s3.delete_object_annotation(Bucket=noted, Key="key", AnnotationName="none")


def test_they_belong_to_one_version(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="key", Body=b"1")["VersionId"]
    assert put(s3, bucket, "note", b"of one")["ObjectVersionId"] == first
    second = s3.put_object(Bucket=bucket, Key="key", Body=b"2")["VersionId"]
    assert names(s3, bucket) == []
    put(s3, bucket, "note", b"of two")
    put(s3, bucket, "late", b"late", VersionId=first)
    assert text(s3, bucket, "note", VersionId=first) == b"of one"
    marker = s3.delete_object(Bucket=bucket, Key="key")["VersionId"]
    assert refused(text, s3=s3, bucket=bucket, name="note") == (404, "NoSuchKey")
    assert refused(put, s3=s3, bucket=bucket, name="note", VersionId=marker) == (405, "MethodNotAllowed")
    assert text(s3, bucket, "note", VersionId=second) == b"of two"
    s3.delete_object(Bucket=bucket, Key="key", VersionId=marker)
    s3.delete_object(Bucket=bucket, Key="key", VersionId=second)
    assert names(s3, bucket) == ["late", "note"]
    assert text(s3, bucket, "note") == b"of one"


@pytest.mark.parametrize("encryption", ["AES256", "aws:kms"])
def test_encrypted_as_the_object_is(s3: Any, bucket: str, encryption: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", ServerSideEncryption=encryption)
    assert put(s3, bucket, "note", b"sealed" * 20_000)["ServerSideEncryption"] == encryption
    assert text(s3, bucket, "note") == b"sealed" * 20_000
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "key"})
    assert text(s3, bucket, "note", "copy") == b"sealed" * 20_000


def test_who_may(s3: Any, other: Any, other_id: str, noted: str) -> None:
    put(s3, noted, "note")
    assert refused(text, s3=other, bucket=noted, name="note") == (403, "AccessDenied")
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": other_id},
        "Action": ["s3:GetObjectAnnotation", "s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{noted}/*", f"arn:aws:s3:::{noted}"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=noted, Policy=json.dumps(policy))
    assert text(other, noted, "note") == b"text"
    assert refused(put, s3=other, bucket=noted, name="note") == (403, "AccessDenied")
    assert refused(names, s3=other, bucket=noted) == (403, "AccessDenied")
    mine = f"{noted}-copies"
    other.create_bucket(Bucket=mine)
    source = {"Bucket": noted, "Key": "key"}
    other.copy_object(Bucket=mine, Key="copy", CopySource=source)
    assert text(other, mine, "note", "copy") == b"text"
    statement["Action"] = ["s3:GetObject"]
    s3.put_bucket_policy(Bucket=noted, Policy=json.dumps(policy))
    assert refused(other.copy_object, Bucket=mine, Key="copy", CopySource=source) == (403, "AccessDenied")
    other.copy_object(Bucket=mine, Key="bare", CopySource=source, AnnotationDirective="EXCLUDE")
