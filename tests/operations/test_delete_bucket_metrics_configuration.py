"""DeleteBucketMetricsConfiguration."""

from tests.operations.configurations import get, put
from tests.operations.refusals import refused


def test_the_one_of_that_id_goes(s3, bucket):
    put(s3, "metrics", bucket)
    put(s3, "metrics", bucket, Id="other")
    answer = s3.delete_bucket_metrics_configuration(Bucket=bucket, Id="report")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    call = s3.get_bucket_metrics_configuration
    assert refused(call, Bucket=bucket, Id="report") == (404, "NoSuchConfiguration")
    assert get(s3, "metrics", bucket, "other")["Id"] == "other"


def test_none_of_that_id(s3, bucket):
    call = s3.delete_bucket_metrics_configuration
    assert refused(call, Bucket=bucket, Id="none") == (404, "NoSuchConfiguration")


def test_other_people_may_not(s3, other, anonymous, bucket):
    put(s3, "metrics", bucket)
    for client in (other, anonymous):
        call = client.delete_bucket_metrics_configuration
        assert refused(call, Bucket=bucket, Id="report") == (403, "AccessDenied")
    assert get(s3, "metrics", bucket, "report")["Id"] == "report"
