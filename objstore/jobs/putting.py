"""Objects that this server itself puts into its users' buckets: access logs and inventories."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from objstore.events.records import Origin
from objstore.iam.permissions import NewObjectAccess
from objstore.model import Attributes, Bucket, ObjectVersion
from objstore.s3.encryption import Wanted
from objstore.s3.errors import EntityTooLarge
from objstore.service import Services
from objstore.service.objects import NewObject, with_default

CREATED: Final = "s3:ObjectCreated:Put"


class WholeBody:
    """Bytes as the body of an object."""

    trailers: Mapping[str, str] = {}

    def __init__(self, data: bytes) -> None:
        self.length: int | None = len(data)
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data

    async def read(self, limit: int) -> bytes:
        """All of it. Raises EntityTooLarge."""
        if len(self._data) > limit:
            raise EntityTooLarge(ProposedSize=len(self._data), MaxSizeAllowed=limit)
        return self._data


class StreamedBody:
    """The body of an object of which nobody knows yet how long it gets."""

    trailers: Mapping[str, str] = {}
    length: int | None = None

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def read(self, limit: int) -> bytes:
        """All of it. Raises EntityTooLarge."""
        data = b"".join([piece async for piece in self._pieces])
        if len(data) > limit:
            raise EntityTooLarge(ProposedSize=len(data), MaxSizeAllowed=limit)
        return data


async def put(
    services: Services,
    bucket: Bucket,
    key: str,
    body: WholeBody | StreamedBody,
    access: NewObjectAccess,
    *,
    content_type: str,
    service: str,
    encryption: Wanted | None = None,
) -> ObjectVersion:
    """Put an object in the name of a service; durable when this returns.

    The bucket's default retention holds, its default encryption where none is asked for, and who wants to
    be told of new objects is. Raises what `Objects.put` raises.
    """
    new = NewObject(
        access.added_to(Attributes(headers={"content-type": content_type})),
        lock=with_default(None, services.locks.default(bucket)),
        owner_id=access.owner_id,
        encryption=encryption,
        origin=Origin(CREATED, service, service, "", ""),
    )
    return await services.objects.put(bucket, key, body, new)
