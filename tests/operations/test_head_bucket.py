"""HeadBucket."""

from tests.operations.refusals import refused
from tests.support.server import REGION


def test_a_bucket_tells_its_region(s3, bucket):
    answer = s3.head_bucket(Bucket=bucket)
    assert answer["BucketRegion"] == REGION
    assert answer["AccessPointAlias"] is False


def test_a_bucket_that_is_not_there(s3, bucket_name):
    assert refused(s3.head_bucket, Bucket=bucket_name)[0] == 404


def test_other_peoples_buckets_are_closed_and_tell_their_region(other, anonymous, bucket):
    for client in (other, anonymous):
        try:
            client.head_bucket(Bucket=bucket)
        except client.exceptions.ClientError as exc:
            answer = exc.response["ResponseMetadata"]
        assert answer["HTTPStatusCode"] == 403
        assert answer["HTTPHeaders"]["x-amz-bucket-region"] == REGION
        assert answer["HTTPHeaders"]["x-amz-request-id"]


def test_anonymous_callers_are_told_that_there_is_no_bucket(anonymous, bucket):
    assert refused(anonymous.head_bucket, Bucket=bucket)[0] == 403
    assert refused(anonymous.head_bucket, Bucket="no-such-bucket-here")[0] == 404
    absent = {"Bucket": "no-such-bucket-here", "Key": "key"}
    assert refused(anonymous.get_object, **absent) == (404, "NoSuchBucket")
    assert refused(anonymous.delete_object, **absent) == (404, "NoSuchBucket")
