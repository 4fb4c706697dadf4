"""GetObjectLockConfiguration."""

from tests.operations.refusals import refused

RULE = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}


def test_of_a_bucket_made_for_locks(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    answer = s3.get_object_lock_configuration(Bucket=bucket_name)["ObjectLockConfiguration"]
    assert answer == {"ObjectLockEnabled": "Enabled"}
    wanted = {"ObjectLockEnabled": "Enabled", "Rule": RULE}
    s3.put_object_lock_configuration(Bucket=bucket_name, ObjectLockConfiguration=wanted)
    assert s3.get_object_lock_configuration(Bucket=bucket_name)["ObjectLockConfiguration"] == wanted


def test_of_a_bucket_without_locks(s3, bucket):
    call = s3.get_object_lock_configuration
    assert refused(call, Bucket=bucket) == (404, "ObjectLockConfigurationNotFoundError")
    assert refused(call, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        call = client.get_object_lock_configuration
        assert refused(call, Bucket=bucket) == (403, "AccessDenied")
