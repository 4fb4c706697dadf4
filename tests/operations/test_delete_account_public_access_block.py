"""DeleteAccountPublicAccessBlock: S3 Control's DeletePublicAccessBlock, for all buckets of an account."""

from contextlib import closing

import pytest

from objstore.iam.principals import account_id
from tests.operations.control import client
from tests.operations.refusals import refused


@pytest.fixture
def control(server, other_user):
    with closing(client(server, other_user["access_key"], other_user["secret_key"])) as made:
        yield made


def test_it_is_gone_and_deleting_it_again_is_no_error(control, other_id):
    account = account_id(other_id)
    wanted = {"BlockPublicAcls": True}
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration=wanted)
    for _ in range(2):
        answer = control.delete_public_access_block(AccountId=account)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    call = control.get_public_access_block
    assert refused(call, AccountId=account) == (404, "NoSuchPublicAccessBlockConfiguration")


def test_of_another_account(control, root_id):
    call = control.delete_public_access_block
    assert refused(call, AccountId=account_id(root_id)) == (403, "AccessDenied")
