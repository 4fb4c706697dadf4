"""The generic handlers of a bucket's configuration: what they are about is the first flag of their row."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of
from objstore.s3 import tokens
from objstore.s3.documents import logging
from objstore.s3.documents.logging import BucketLoggingStatus
from objstore.s3.errors import CrossLocationLoggingProhibited, InvalidTargetBucketForLogging
from objstore.service.buckets import US_EAST_1
from objstore.service.subresources import FAMILIES, SUBRESOURCES


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


async def put_logging(call: Call) -> Reply:
    """PutBucketLogging: the log goes to a bucket of the same owner, in the same region.

    Where ACLs count, that bucket must let logs be delivered already. Where they are turned off, its policy
    may come later: without one nothing is delivered.
    """
    document: BucketLoggingStatus = call.document
    bucket = bucket_of(call)
    wanted = document.logging_enabled
    if wanted is None:
        return await put(call)
    logging.check(document, bucket)
    target = call.services.buckets.find(wanted.target_bucket)
    shown = ascii(wanted.target_bucket)[1:-1]
    if target is None:
        raise InvalidTargetBucketForLogging(TargetBucket=shown)
    if target.owner_id != bucket.owner_id:
        raise InvalidTargetBucketForLogging(
            "The owner for the bucket to be logged and the target bucket must be the same.",
            TargetBucket=shown,
        )
    if target.region != bucket.region:
        prohibited = CrossLocationLoggingProhibited(TargetBucketLocation=target.region)
        if bucket.region != US_EAST_1:
            prohibited.elements["SourceBucketLocation"] = bucket.region
        raise prohibited
    await call.permissions.check_log_target(bucket, target, wanted)
    return await put(call)


# One of a family: configurations that a bucket has many of, each under an id.


async def get_one(call: Call) -> Reply:
    """GetBucket<Kind>Configuration."""
    document = call.services.subresources.get_one(bucket_of(call), _kind(call), call.query["id"])
    return Reply(document=document)


async def put_one(call: Call) -> Reply:
    """PutBucket<Kind>Configuration."""
    kind, configuration_id = _kind(call), call.query["id"]
    await call.services.subresources.put_one(bucket_of(call), kind, configuration_id, call.document)
    return Reply(204)


async def delete_one(call: Call) -> Reply:
    """DeleteBucket<Kind>Configuration."""
    await call.services.subresources.remove_one(bucket_of(call), _kind(call), call.query["id"])
    return Reply(204)


async def list_family(call: Call) -> Reply:
    """ListBucket<Kind>Configurations: 100 at a time."""
    bucket, kind = bucket_of(call), _kind(call)
    purpose = f"list-{kind}:{bucket.id}"
    token = call.query.get("continuation-token")
    after = str(tokens.decode_token(purpose, token)[0]) if token else ""
    found, is_truncated = await call.services.subresources.list_family(bucket, kind, after)
    return Reply(
        document=FAMILIES[kind].listing(
            configurations=tuple(found),
            is_truncated=is_truncated,
            continuation_token=token or None,
            next_continuation_token=tokens.encode_token(purpose, [found[-1].id]) if is_truncated else None,
        )
    )


def _kind(call: Call) -> str:
    return call.operation.query[0]
