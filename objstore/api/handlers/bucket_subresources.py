"""The generic handlers of a bucket's configuration: what they are about is the first flag of their row."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of
from objstore.service.subresources import SUBRESOURCES


async def get(call: Call) -> Reply:
    """GetBucket<Kind>."""
    return Reply(document=call.services.subresources.get(bucket_of(call), _kind(call)))


async def put(call: Call) -> Reply:
    """PutBucket<Kind>."""
    await call.services.subresources.put(bucket_of(call), _kind(call), call.document)
    return Reply(SUBRESOURCES[_kind(call)].put_status)


async def delete(call: Call) -> Reply:
    """DeleteBucket<Kind>: what was not configured is deleted already."""
    await call.services.subresources.set(bucket_of(call), _kind(call), None)
    return Reply(204)


def _kind(call: Call) -> str:
    return call.operation.query[0]
