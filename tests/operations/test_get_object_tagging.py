"""GetObjectTagging."""

from tests.operations.refusals import refused


def test_tags_come_by_their_keys(s3, bucket):
    here = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**here, Body=b"", Tagging="b=2&a=1&empty=&alone")
    tags = s3.get_object_tagging(**here)["TagSet"]
    pairs = [(tag["Key"], tag["Value"]) for tag in tags]
    assert pairs == [("a", "1"), ("alone", ""), ("b", "2"), ("empty", "")]


def test_an_object_without_tags_has_an_empty_set(s3, bucket):
    here = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**here, Body=b"")
    answer = s3.get_object_tagging(**here)
    assert answer["TagSet"] == []
    assert "VersionId" not in answer


def test_of_a_version(s3, bucket):
    here = {"Bucket": bucket, "Key": "key"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(**here, Body=b"", Tagging="n=1")["VersionId"]
    s3.put_object(**here, Body=b"", Tagging="n=2")
    answer = s3.get_object_tagging(**here, VersionId=first)
    assert (answer["VersionId"], answer["TagSet"]) == (first, [{"Key": "n", "Value": "1"}])


def test_of_nothing(s3, bucket):
    here = {"Bucket": bucket, "Key": "none"}
    assert refused(s3.get_object_tagging, **here) == (404, "NoSuchKey")
    assert refused(s3.get_object_tagging, **here, VersionId="0" * 32) == (404, "NoSuchVersion")


def test_other_people_may_not(s3, other, anonymous, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    for client in (other, anonymous):
        assert refused(client.get_object_tagging, Bucket=bucket, Key="key") == (403, "AccessDenied")
