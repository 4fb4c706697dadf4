"""DeletePublicAccessBlock."""

from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement


def test_it_is_gone_and_deleting_it_again_is_no_error(s3, bucket):
    for _ in range(2):
        assert s3.delete_public_access_block(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    call = s3.get_public_access_block
    assert refused(call, Bucket=bucket) == (404, "NoSuchPublicAccessBlockConfiguration")


def test_from_then_on_a_policy_may_let_everybody_in(s3, anonymous, bucket):
    document = policy(statement(bucket, "s3:ListBucket"))
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=document) == (403, "AccessDenied")
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(Bucket=bucket, Policy=document)
    assert anonymous.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_of_no_bucket(s3):
    assert refused(s3.delete_public_access_block, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(s3, other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.delete_public_access_block, Bucket=bucket) == (403, "AccessDenied")
    s3.get_public_access_block(Bucket=bucket)
