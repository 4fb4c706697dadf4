"""The notification configuration of a bucket, and who stands behind a request in an event."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.buckets import flag
from objstore.api.handlers.objects import bucket_of


async def put(call: Call) -> Reply:
    """PutBucketNotificationConfiguration."""
    await call.services.notifications.put(
        bucket_of(call),
        call.document,
        call.origin,
        is_unchecked=flag(call, "x-amz-skip-destination-validation"),
    )
    return Reply()
