"""PutAccountPublicAccessBlock: S3 Control's PutPublicAccessBlock, for all buckets of an account."""

from contextlib import closing

import pytest

from objstore.iam.principals import account_id
from tests.operations.control import client
from tests.operations.refusals import refused
from tests.operations.sharing import open_up, policy, statement, with_acls

DENIED = (403, "AccessDenied")
EVERYTHING = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@pytest.fixture
def control(server, other_user):
    """The second user's client for S3 Control; the block is taken away at the end."""
    with closing(client(server, other_user["access_key"], other_user["secret_key"])) as made:
        yield made


@pytest.fixture
def account(control, other_id):
    account = account_id(other_id)
    yield account
    control.delete_public_access_block(AccountId=account)


def test_what_is_put_comes_back(control, account):
    nothing = (404, "NoSuchPublicAccessBlockConfiguration")
    assert refused(control.get_public_access_block, AccountId=account) == nothing
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=EVERYTHING)
    answer = control.get_public_access_block(AccountId=account)
    assert answer["PublicAccessBlockConfiguration"] == EVERYTHING
    control.delete_public_access_block(AccountId=account)
    assert refused(control.get_public_access_block, AccountId=account) == nothing


def test_it_blocks_in_all_buckets_of_the_account_and_in_no_other(
    control, account, other, s3, bucket, bucket_name, anonymous
):
    theirs = f"{bucket_name}-theirs"
    other.create_bucket(Bucket=theirs)
    for user, name in ((other, theirs), (s3, bucket)):
        with_acls(user, name)
        user.put_object(Bucket=name, Key="key", Body=b"body", ACL="public-read")
        user.put_bucket_policy(Bucket=name, Policy=policy(statement(name, "s3:ListBucket")))
        anonymous.get_object(Bucket=name, Key="key")["Body"].read()
        anonymous.list_objects_v2(Bucket=name)
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=EVERYTHING)
    assert refused(anonymous.get_object, Bucket=theirs, Key="key") == DENIED
    assert refused(anonymous.list_objects_v2, Bucket=theirs) == DENIED
    public = policy(statement(theirs, "s3:GetObject"))
    assert refused(other.put_bucket_policy, Bucket=theirs, Policy=public) == DENIED
    assert refused(other.put_object_acl, Bucket=theirs, Key="key", ACL="public-read") == DENIED
    anonymous.get_object(Bucket=bucket, Key="key")["Body"].read()
    anonymous.list_objects_v2(Bucket=bucket)
    control.delete_public_access_block(AccountId=account)
    anonymous.get_object(Bucket=theirs, Key="key")["Body"].read()


def test_of_another_account_nothing_is_told_or_changed(control, root_id):
    account = account_id(root_id)
    assert refused(control.get_public_access_block, AccountId=account) == DENIED
    assert refused(control.delete_public_access_block, AccountId=account) == DENIED
    wanted = {"AccountId": account, "PublicAccessBlockConfiguration": EVERYTHING}
    assert refused(control.put_public_access_block, **wanted) == DENIED


def test_a_bucket_may_be_called_like_the_path(s3):
    s3.create_bucket(Bucket="v20180820")
    open_up(s3, "v20180820")
    s3.put_object(Bucket="v20180820", Key="configuration/publicAccessBlock", Body=b"body")
    answer = s3.get_object(Bucket="v20180820", Key="configuration/publicAccessBlock")
    assert answer["Body"].read() == b"body"
