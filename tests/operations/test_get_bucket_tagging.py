"""GetBucketTagging."""

from tests.operations.refusals import refused

TAGS = {"TagSet": [{"Key": "team", "Value": "a"}]}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging=TAGS)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == TAGS["TagSet"]


def test_where_there_is_none(s3, bucket):
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    assert refused(s3.get_bucket_tagging, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_tagging, Bucket=bucket) == (403, "AccessDenied")
