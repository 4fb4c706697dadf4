"""DeleteObjectAnnotation: named texts on versions of objects."""

import datetime
from typing import Any

import pytest

from tests.operations.annotations import annotated, names, put
from tests.operations.refusals import refused

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def noted(s3: Any, bucket: str) -> str:
    return annotated(s3, bucket)


def test_conditions_on_the_object(s3: Any, noted: str) -> None:
    etag = s3.head_object(Bucket=noted, Key="key")["ETag"]
    put(s3, noted, "note", ObjectIfMatch=etag)
    other = '"00000000000000000000000000000000"'
    failed = (412, "PreconditionFailed")
    assert refused(put, s3=s3, bucket=noted, name="note", ObjectIfMatch=other) == failed
    delete = {"Bucket": noted, "Key": "key", "AnnotationName": "note"}
    assert refused(s3.delete_object_annotation, **delete, ObjectIfMatch=other) == failed
    s3.delete_object_annotation(**delete, ObjectIfMatch=etag)
    assert names(s3, noted) == []


def test_an_overwritten_object_has_none(s3: Any, noted: str) -> None:
    put(s3, noted, "note")
    s3.put_object(Bucket=noted, Key="key", Body=b"another")
    assert names(s3, noted) == []


def test_a_locked_object_keeps_its_annotations(s3: Any, bucket_name: str) -> None:
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    s3.put_object(
        Bucket=bucket_name,
        Key="key",
        Body=b"x",
        ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=datetime.datetime.now(datetime.UTC) + HOUR,
    )
    put(s3, bucket_name, "note")
    assert refused(s3.delete_object_annotation, Bucket=bucket_name, Key="key", AnnotationName="note") == (
        403,
        "AccessDenied",
    )
