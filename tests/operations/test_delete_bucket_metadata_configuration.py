"""DeleteBucketMetadataConfiguration: there is never one, and deleting none is no error."""

from tests.operations.refusals import refused


def test_deleting_none_is_no_error(s3, bucket):
    answer = s3.delete_bucket_metadata_configuration(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    call = s3.delete_bucket_metadata_configuration
    assert refused(call, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.delete_bucket_metadata_configuration, Bucket=bucket) == (403, "AccessDenied")
