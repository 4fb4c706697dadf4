"""GetBucketOwnershipControls."""

from tests.operations.refusals import refused

CONTROLS = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=CONTROLS)
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == CONTROLS


def test_where_there_is_none(s3, bucket):
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    assert refused(s3.get_bucket_ownership_controls, Bucket=bucket) == (404, "OwnershipControlsNotFoundError")
    assert refused(s3.get_bucket_ownership_controls, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_ownership_controls, Bucket=bucket) == (403, "AccessDenied")
