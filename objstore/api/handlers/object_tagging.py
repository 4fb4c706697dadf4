"""GetObjectTagging, PutObjectTagging, DeleteObjectTagging."""

from collections.abc import Mapping

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, find, version_header
from objstore.api.handlers.replication import is_replicated
from objstore.s3.documents.tagging import tagging_of, tags_of


async def get(call: Call) -> Reply:
    """GetObjectTagging: by key; an empty set for a version without tags."""
    bucket = bucket_of(call)
    version = await find(call, bucket)
    tags = dict(sorted(version.tags.items()))
    return Reply(headers=version_header(bucket, version.version_id), document=tagging_of(tags))


async def put(call: Call) -> Reply:
    """PutObjectTagging: the whole set is replaced."""
    return await _replace(call, 200, tags_of(call.document))


async def delete(call: Call) -> Reply:
    """DeleteObjectTagging."""
    return await _replace(call, 204, {})


async def _replace(call: Call, status: int, tags: Mapping[str, str]) -> Reply:
    bucket = bucket_of(call)
    version_id = call.query.get("versionId")
    version = await call.services.objects.replace_tags(
        bucket,
        call.key,
        version_id,
        tags,
        call.origin,
        is_replicated=await is_replicated(call, "s3:ReplicateTags"),
    )
    return Reply(status, version_header(bucket, version.version_id))
