"""DeleteBucket."""

import pytest
from botocore.exceptions import ClientError

from tests.operations.refusals import refused


def test_an_empty_bucket_is_deleted(s3, bucket):
    assert s3.delete_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for _ in range(10):  # whichever worker is asked
        assert refused(s3.head_bucket, Bucket=bucket)[0] == 404
    assert refused(s3.put_object, Bucket=bucket, Key="key") == (404, "NoSuchBucket")


def test_a_bucket_that_is_not_there(s3, bucket_name):
    assert refused(s3.delete_bucket, Bucket=bucket_name) == (404, "NoSuchBucket")


def test_a_bucket_with_an_object_stays(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    assert refused(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=bucket, Key="key")
    s3.delete_bucket(Bucket=bucket)


def test_a_bucket_with_nothing_but_a_delete_marker_stays(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    marker = s3.delete_object(Bucket=bucket_name, Key="key")["VersionId"]
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket=bucket_name)
    error = caught.value.response["Error"]
    assert error["Code"] == "BucketNotEmpty" and "all versions" in error["Message"]
    s3.delete_object(Bucket=bucket_name, Key="key", VersionId=marker)
    s3.delete_bucket(Bucket=bucket_name)


def test_an_upload_under_way_does_not_keep_a_bucket(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="key", UploadId=upload, PartNumber=1, Body=b"x" * 1000)
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_other_people_delete_nothing(s3, other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.delete_bucket, Bucket=bucket) == (403, "AccessDenied")
    s3.head_bucket(Bucket=bucket)
