"""AbortMultipartUpload."""

import datetime
from typing import Any

import pytest

from tests.operations.multipart import begin, complete, put_parts
from tests.operations.requests import refused


def test_an_aborted_upload_is_gone(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, b"data")
    answer = s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, upload_id, parts)
    with refused("NoSuchUpload", 404):
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)
    with refused("NoSuchUpload", 404):
        put_parts(s3, bucket, upload_id, b"data")
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize("upload_id", ["0" * 32, "nonsense"])
def test_an_unknown_upload(s3: Any, bucket: str, upload_id: str) -> None:
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)


def test_a_completed_upload_cannot_be_aborted(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    complete(s3, bucket, upload_id, put_parts(s3, bucket, upload_id, b"data"))
    with refused("NoSuchUpload", 404):
        s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload_id)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


def test_an_abort_leaves_the_object_and_other_uploads(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"object")
    first, second = begin(s3, bucket), begin(s3, bucket)
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=first)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"object"
    complete(s3, bucket, second, put_parts(s3, bucket, second, b"second"))


def test_another_user_may_not_abort(s3: Any, other: Any, bucket: str) -> None:
    with refused("AccessDenied", 403):
        other.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=begin(s3, bucket))


def test_only_if_begun_at_that_time(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    (upload,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    asked = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    with refused("PreconditionFailed", 412):
        s3.abort_multipart_upload(
            **asked, IfMatchInitiatedTime=upload["Initiated"] - datetime.timedelta(seconds=2)
        )
    s3.abort_multipart_upload(**asked, IfMatchInitiatedTime=upload["Initiated"])
    asked["UploadId"] = begin(s3, bucket)  # a time to come says nothing
    s3.abort_multipart_upload(
        **asked, IfMatchInitiatedTime=upload["Initiated"] + datetime.timedelta(days=365)
    )
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
