"""GetPublicAccessBlock."""

from tests.operations.refusals import refused

NAMES = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def test_a_new_bucket_is_blocked_in_every_way(s3, bucket):
    answer = s3.get_public_access_block(Bucket=bucket)
    assert answer["PublicAccessBlockConfiguration"] == dict.fromkeys(NAMES, True)


def test_what_is_not_said_is_not_blocked(s3, bucket):
    wanted = {"BlockPublicPolicy": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=wanted)
    answer = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert answer == {**dict.fromkeys(NAMES, False), **wanted}


def test_where_there_is_none(s3, bucket):
    s3.delete_public_access_block(Bucket=bucket)
    call = s3.get_public_access_block
    assert refused(call, Bucket=bucket) == (404, "NoSuchPublicAccessBlockConfiguration")
    assert refused(call, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_public_access_block, Bucket=bucket) == (403, "AccessDenied")
