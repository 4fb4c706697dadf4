"""How a bucket's new objects are encrypted."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of


async def get(call: Call) -> Reply:
    """GetBucketEncryption."""
    return Reply(document=call.services.encryptions.configuration(bucket_of(call)))


async def put(call: Call) -> Reply:
    """PutBucketEncryption."""
    await call.services.encryptions.configure(bucket_of(call), call.document)
    return Reply()
