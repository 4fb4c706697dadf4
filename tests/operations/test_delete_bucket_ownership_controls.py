"""DeleteBucketOwnershipControls."""

from tests.operations.refusals import refused

CONTROLS = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}


def test_it_is_gone_and_deleting_it_again_is_no_error(s3, bucket):
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=CONTROLS)
    for _ in range(2):
        assert s3.delete_bucket_ownership_controls(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_ownership_controls, Bucket=bucket) == (404, "OwnershipControlsNotFoundError")


def test_of_no_bucket(s3):
    assert refused(s3.delete_bucket_ownership_controls, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(s3, other, anonymous, bucket):
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=CONTROLS)
    for client in (other, anonymous):
        assert refused(client.delete_bucket_ownership_controls, Bucket=bucket) == (403, "AccessDenied")
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == CONTROLS
