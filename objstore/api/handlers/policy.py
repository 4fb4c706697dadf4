"""The policy of a bucket, what of it is blocked, and who owns what is put into it."""

from objstore.api.call import Call, Reply
from objstore.api.handlers import bucket_subresources
from objstore.api.handlers.objects import bucket_of
from objstore.s3.documents.access import PolicyStatus, PublicAccessBlockConfiguration
from objstore.s3.errors import MethodNotAllowed


async def get(call: Call) -> Reply:
    """GetBucketPolicy: as it was put."""
    _refuse_nobody(call)
    document = call.permissions.policy(bucket_of(call))
    return Reply(headers={"content-type": "application/json"}, body=document)


async def put(call: Call) -> Reply:
    """PutBucketPolicy."""
    _refuse_nobody(call)
    await call.permissions.put_policy(bucket_of(call), call.document)
    return Reply(204)


async def delete(call: Call) -> Reply:
    """DeleteBucketPolicy."""
    _refuse_nobody(call)
    await call.permissions.delete_policy(bucket_of(call))
    return Reply(204)


async def status(call: Call) -> Reply:
    """GetBucketPolicyStatus."""
    is_public = call.permissions.policy_is_public(bucket_of(call))
    return Reply(document=PolicyStatus(is_public=is_public))


async def get_public_access_block(call: Call) -> Reply:
    """GetPublicAccessBlock."""
    configured: PublicAccessBlockConfiguration = call.services.subresources.get(
        bucket_of(call), "publicAccessBlock"
    )
    return Reply(document=configured.told())


def _refuse_nobody(call: Call) -> None:
    """A policy that lets everybody in lets nobody at itself who did not sign. Raises MethodNotAllowed."""
    if call.identity.is_anonymous:
        raise MethodNotAllowed(Method=call.method, ResourceType="BUCKETPOLICY")


async def put_ownership(call: Call) -> Reply:
    """PutBucketOwnershipControls."""
    call.permissions.check_ownership(bucket_of(call), call.document)
    return await bucket_subresources.put(call)
