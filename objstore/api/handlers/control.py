"""S3 Control: the tags of a bucket by its ARN, which is how Terraform asks for them."""

import re
from typing import Final

from objstore.api.call import Call, Reply
from objstore.model import Bucket
from objstore.s3 import errors
from objstore.s3.documents.control import ListTagsForResourceResult, TagResourceRequest
from objstore.s3.documents.tagging import Tagging, bucket_tags_of, tagging_of

_BUCKET: Final = re.compile(r"tags/arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]*[a-z0-9])")


async def list_tags(call: Call) -> Reply:
    """ListTagsForResource: empty for a bucket without tags."""
    bucket = await _bucket(call)
    found: Tagging | None = call.services.subresources.find(bucket, "tagging")
    return Reply(document=ListTagsForResourceResult(tags=() if found is None else found.tags))


async def tag(call: Call) -> Reply:
    """TagResource: tags of other keys stay."""
    wanted: TagResourceRequest = call.document
    added = bucket_tags_of(Tagging(tags=wanted.tags))
    await _change(call, added, ())
    return Reply(204)


async def untag(call: Call) -> Reply:
    """UntagResource: keys that no tag has are no error."""
    await _change(call, {}, call.query["tagKeys"].split(","))
    return Reply(204)


async def _change(call: Call, added: dict[str, str], removed: tuple[str, ...] | list[str]) -> None:
    def change(before: Tagging | None) -> Tagging | None:
        tags = {} if before is None else {tag.key: tag.value for tag in before.tags}
        tags.update(added)
        kept = {key: value for key, value in tags.items() if key not in removed}
        return tagging_of(kept) if kept else None

    await call.services.subresources.change(await _bucket(call), "tagging", change)


async def _bucket(call: Call) -> Bucket:
    """The bucket that the path's ARN names, if the sender may do to it what is asked.

    Raises NotImplemented for what is no bucket; AccessDenied, NoSuchBucket.
    """
    named = _BUCKET.fullmatch(call.key)
    if named is None:
        raise errors.NotImplemented("Only the tags of buckets are known here.")
    return await call.require(f"s3:{call.operation.name}", named[1])
