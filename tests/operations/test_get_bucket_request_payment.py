"""GetBucketRequestPayment."""

from tests.operations.refusals import refused

PAYER = {"Payer": "Requester"}


def told(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_of_a_new_bucket(s3, bucket):
    assert told(s3.get_bucket_request_payment(Bucket=bucket)) == {"Payer": "BucketOwner"}


def test_what_was_put_comes_back(s3, bucket):
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration=PAYER)
    assert told(s3.get_bucket_request_payment(Bucket=bucket)) == PAYER


def test_of_no_bucket(s3):
    assert refused(s3.get_bucket_request_payment, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_request_payment, Bucket=bucket) == (403, "AccessDenied")
