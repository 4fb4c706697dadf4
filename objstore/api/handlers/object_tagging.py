"""GetObjectTagging, PutObjectTagging, DeleteObjectTagging."""

from collections.abc import Mapping

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, find, version_header
from objstore.api.handlers.replication import is_replicated
from objstore.s3.documents.tagging import tagging_of, tags_of
from objstore.s3.errors import MethodNotAllowed, NoSuchKey, S3Error


async def get(call: Call) -> Reply:
    """GetObjectTagging: by key; an empty set for a version without tags."""
    bucket = bucket_of(call)
    try:
        version = await find(call, bucket)
    except NoSuchKey as exc:
        raise await _refusal(call, exc) from None
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
    replicated = await is_replicated(call, "s3:ReplicateTags")
    try:
        version = await call.services.objects.replace_tags(
            bucket, call.key, version_id, tags, call.origin, is_replicated=replicated
        )
    except NoSuchKey as exc:
        raise await _refusal(call, exc) from None
    return Reply(status, version_header(bucket, version.version_id))


async def _refusal(call: Call, missing: NoSuchKey) -> S3Error:
    """What S3 says of a key without an object: of one with a delete marker on top, as if that had been
    named, though only to those who may know of it."""
    if "x-amz-delete-marker" not in missing.headers:
        return missing
    await call.require("s3:ListBucket", call.bucket_name)
    return MethodNotAllowed(headers={**missing.headers, "allow": "DELETE"}, ResourceType="DeleteMarker")
