"""RestoreObject."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, find
from objstore.s3.documents.restoring import checked


async def restore(call: Call) -> Reply:
    """RestoreObject: 202 when a copy is to be made, 200 when there is one, which now stays longer."""
    wanted = checked(call.document)
    assert wanted.days is not None
    version = await find(call, bucket_of(call))
    is_restored = await call.services.restores.restore(
        bucket_of(call), version, call.query.get("versionId"), wanted.days, wanted.retrieval, call.origin
    )
    return Reply(200 if is_restored else 202)
