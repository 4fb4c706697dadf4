"""PutBucketTagging and DeleteBucketTagging, which end where tags decide who may do what."""

from objstore.api.call import Call, Reply
from objstore.api.handlers import bucket_subresources
from objstore.api.handlers.objects import bucket_of
from objstore.s3.documents.access import AbacStatus
from objstore.s3.documents.tagging import Tagging
from objstore.s3.errors import InvalidRequest


async def put(call: Call) -> Reply:
    """PutBucketTagging; an empty set is none. Raises InvalidRequest where the bucket has ABAC enabled."""
    _refuse_with_abac(call)
    wanted: Tagging = call.document
    if not wanted.tags:
        return await bucket_subresources.delete(call)
    return await bucket_subresources.put(call)


async def delete(call: Call) -> Reply:
    """DeleteBucketTagging. Raises InvalidRequest where the bucket has ABAC enabled."""
    _refuse_with_abac(call)
    return await bucket_subresources.delete(call)


def _refuse_with_abac(call: Call) -> None:
    """The right to put tags that mean nothing must not become one to grant access by them."""
    abac: AbacStatus | None = call.services.subresources.find(bucket_of(call), "abac")
    if abac is not None and abac.status == "Enabled":
        raise InvalidRequest(
            "Attribute-based access control is enabled on this bucket. Use TagResource and UntagResource to "
            "manage its tags."
        )
