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


def test_anonymous_callers_do_not_learn_which_buckets_exist(anonymous, bucket, bucket_name):
    assert refused(anonymous.head_bucket, Bucket=bucket)[0] == 403
    assert refused(anonymous.head_bucket, Bucket=f"{bucket_name}-not-there")[0] == 403
