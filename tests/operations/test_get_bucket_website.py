"""GetBucketWebsite."""

from tests.operations.refusals import refused

SITE = {"IndexDocument": {"Suffix": "index.html"}}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=SITE)
    assert s3.get_bucket_website(Bucket=bucket)["IndexDocument"] == SITE["IndexDocument"]


def test_where_there_is_none(s3, bucket):
    assert refused(s3.get_bucket_website, Bucket=bucket) == (404, "NoSuchWebsiteConfiguration")
    assert refused(s3.get_bucket_website, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_website, Bucket=bucket) == (403, "AccessDenied")
