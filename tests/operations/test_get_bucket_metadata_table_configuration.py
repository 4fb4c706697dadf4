"""GetBucketMetadataTableConfiguration: S3 Metadata is not offered, and its absence is told as S3 tells it."""

from tests.operations.refusals import refused


def test_there_is_none(s3, bucket):
    call = s3.get_bucket_metadata_table_configuration
    assert refused(call, Bucket=bucket) == (404, "MetadataConfigurationNotFound")
    assert refused(call, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_metadata_table_configuration, Bucket=bucket) == (403, "AccessDenied")
