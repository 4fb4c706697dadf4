"""DeleteObjectTagging."""

from tests.operations.refusals import refused


def test_all_tags_go_and_deleting_them_again_is_no_error(s3, bucket):
    here = {"Bucket": bucket, "Key": "key"}
    before = s3.put_object(**here, Body=b"body", Tagging="a=1&b=2")
    for _ in range(2):
        assert s3.delete_object_tagging(**here)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_object_tagging(**here)["TagSet"] == []
    assert s3.head_object(**here)["ETag"] == before["ETag"]


def test_of_one_version_alone(s3, bucket):
    here = {"Bucket": bucket, "Key": "key"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(**here, Body=b"", Tagging="n=1")["VersionId"]
    s3.put_object(**here, Body=b"", Tagging="n=2")
    assert s3.delete_object_tagging(**here, VersionId=first)["VersionId"] == first
    assert s3.get_object_tagging(**here, VersionId=first)["TagSet"] == []
    assert s3.get_object_tagging(**here)["TagSet"] == [{"Key": "n", "Value": "2"}]


def test_of_nothing(s3, bucket):
    here = {"Bucket": bucket, "Key": "none"}
    assert refused(s3.delete_object_tagging, **here) == (404, "NoSuchKey")
    assert refused(s3.delete_object_tagging, **here, VersionId="0" * 32) == (404, "NoSuchVersion")


def test_other_people_may_not(s3, other, anonymous, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"", Tagging="a=1")
    for client in (other, anonymous):
        assert refused(client.delete_object_tagging, Bucket=bucket, Key="key") == (403, "AccessDenied")
    assert s3.get_object_tagging(Bucket=bucket, Key="key")["TagSet"] != []
