"""PutPublicAccessBlock, GetPublicAccessBlock and DeletePublicAccessBlock, and what they block."""

from tests.operations.refusals import refused
from tests.operations.sharing import open_up, policy, statement, with_acls

DENIED = (403, "AccessDenied")
NOTHING = {
    "BlockPublicAcls": False,
    "IgnorePublicAcls": False,
    "BlockPublicPolicy": False,
    "RestrictPublicBuckets": False,
}


def block(s3, bucket, *names):
    configuration = {**NOTHING, **dict.fromkeys(names, True)}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=configuration)
    return configuration


def test_what_is_put_comes_back(s3, bucket):
    wanted = block(s3, bucket, "IgnorePublicAcls", "RestrictPublicBuckets")
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == wanted
    assert s3.delete_public_access_block(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_public_access_block, Bucket=bucket) == (404, "NoSuchPublicAccessBlockConfiguration")
    s3.delete_public_access_block(Bucket=bucket)


def test_a_public_policy_lets_only_the_owner_in_while_buckets_are_restricted(
    s3, bucket, other, anonymous, other_id
):
    open_up(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    public = statement(bucket, "s3:GetObject")
    named = statement(bucket, "s3:GetObject", {"CanonicalUser": other_id})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(public, named))
    for client in (s3, other, anonymous):
        client.get_object(Bucket=bucket, Key="key")["Body"].read()
    block(s3, bucket, "RestrictPublicBuckets")
    s3.get_object(Bucket=bucket, Key="key")["Body"].read()
    for client in (other, anonymous):
        assert refused(client.get_object, Bucket=bucket, Key="key") == DENIED
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(named))
    other.get_object(Bucket=bucket, Key="key")["Body"].read()


def test_public_acls_count_for_nothing_while_they_are_ignored(s3, bucket, other, anonymous, other_id):
    with_acls(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="theirs", Body=b"body", GrantRead=f'id="{other_id}"')
    anonymous.get_object(Bucket=bucket, Key="key")["Body"].read()
    block(s3, bucket, "IgnorePublicAcls")
    assert refused(anonymous.get_object, Bucket=bucket, Key="key") == DENIED
    assert refused(other.get_object, Bucket=bucket, Key="key") == DENIED
    other.get_object(Bucket=bucket, Key="theirs")["Body"].read()


def test_what_was_public_before_stays_so_while_only_new_grants_are_blocked(s3, bucket, anonymous):
    with_acls(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body", ACL="public-read")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, "s3:ListBucket")))
    block(s3, bucket, "BlockPublicAcls", "BlockPublicPolicy")
    anonymous.get_object(Bucket=bucket, Key="key")["Body"].read()
    anonymous.list_objects_v2(Bucket=bucket)
    document = policy(statement(bucket, "s3:ListBucket"))
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=document) == DENIED


def test_others_may_neither_see_nor_change_it(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_public_access_block, Bucket=bucket) == DENIED
        assert refused(client.delete_public_access_block, Bucket=bucket) == DENIED
        assert (
            refused(client.put_public_access_block, Bucket=bucket, PublicAccessBlockConfiguration=NOTHING)
            == DENIED
        )
