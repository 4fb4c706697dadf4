"""GetBucketLocation."""

from tests.operations.refusals import refused


def test_a_bucket_in_us_east_1_has_an_empty_location(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_a_bucket_that_is_not_there(s3, bucket_name):
    assert refused(s3.get_bucket_location, Bucket=bucket_name) == (404, "NoSuchBucket")


def test_other_peoples_buckets_are_closed(other, bucket):
    assert refused(other.get_bucket_location, Bucket=bucket) == (403, "AccessDenied")
