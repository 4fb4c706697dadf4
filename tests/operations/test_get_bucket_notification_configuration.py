"""GetBucketNotificationConfiguration. (What is put and comes back needs a target: see its PUT.)"""

from tests.operations.refusals import refused


def test_a_new_bucket_tells_nobody(s3, bucket):
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert set(answer) == {"ResponseMetadata"}


def test_the_older_operation_is_the_same_request(s3, bucket):
    assert set(s3.get_bucket_notification(Bucket=bucket)) == {"ResponseMetadata"}


def test_of_no_bucket(s3):
    call = s3.get_bucket_notification_configuration
    assert refused(call, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        call = client.get_bucket_notification_configuration
        assert refused(call, Bucket=bucket) == (403, "AccessDenied")
