"""GetAccountPublicAccessBlock: S3 Control's GetPublicAccessBlock, for all buckets of an account."""

from contextlib import closing

import pytest

from objstore.iam.principals import account_id
from tests.operations.control import client
from tests.operations.refusals import refused


@pytest.fixture
def control(server, other_user):
    with closing(client(server, other_user["access_key"], other_user["secret_key"])) as made:
        yield made


@pytest.fixture
def account(control, other_id):
    account = account_id(other_id)
    yield account
    control.delete_public_access_block(AccountId=account)


def test_every_switch_is_told(control, account):
    wanted = {"RestrictPublicBuckets": True}
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=wanted)
    assert control.get_public_access_block(AccountId=account)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": False,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True,
    }


def test_where_there_is_none(control, account):
    call = control.get_public_access_block
    assert refused(call, AccountId=account) == (404, "NoSuchPublicAccessBlockConfiguration")


def test_of_another_account(control, root_id):
    call = control.get_public_access_block
    assert refused(call, AccountId=account_id(root_id)) == (403, "AccessDenied")
