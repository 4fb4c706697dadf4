"""GetBucketAbac."""

from tests.operations.refusals import refused

STATUS = {"Status": "Enabled"}


def told(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_of_a_new_bucket(s3, bucket):
    assert told(s3.get_bucket_abac(Bucket=bucket)) == {"AbacStatus": {"Status": "Disabled"}}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_abac(Bucket=bucket, AbacStatus=STATUS)
    assert told(s3.get_bucket_abac(Bucket=bucket)) == {"AbacStatus": STATUS}


def test_of_no_bucket(s3):
    assert refused(s3.get_bucket_abac, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_abac, Bucket=bucket) == (403, "AccessDenied")
