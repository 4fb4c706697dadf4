"""GetBucketLogging."""

from tests.operations.refusals import refused


def wanted(bucket):
    return {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "logs/"}}


def told(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_of_a_new_bucket(s3, bucket):
    assert told(s3.get_bucket_logging(Bucket=bucket)) == {}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=wanted(bucket))
    assert told(s3.get_bucket_logging(Bucket=bucket)) == wanted(bucket)


def test_of_no_bucket(s3):
    assert refused(s3.get_bucket_logging, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_logging, Bucket=bucket) == (403, "AccessDenied")
