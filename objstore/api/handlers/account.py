"""S3 Control: what is configured for all buckets of an account."""

from objstore.api.call import Call, Reply
from objstore.iam.principals import is_account
from objstore.s3.errors import AccessDenied


async def get_public_access_block(call: Call) -> Reply:
    """GetPublicAccessBlock."""
    return Reply(document=call.permissions.account_block(_owner_id(call)).told())


async def put_public_access_block(call: Call) -> Reply:
    """PutPublicAccessBlock."""
    await call.permissions.set_account_block(_owner_id(call), call.document)
    return Reply(201)


async def delete_public_access_block(call: Call) -> Reply:
    """DeletePublicAccessBlock: none there is no error."""
    await call.permissions.set_account_block(_owner_id(call), None)
    return Reply(204)


def _owner_id(call: Call) -> str:
    """The account that is meant, which is the caller's own. Raises AccessDenied."""
    if not is_account(call.headers["x-amz-account-id"], call.identity.user_id):
        raise AccessDenied
    return call.identity.user_id
