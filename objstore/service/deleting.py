"""Deleting objects and versions: one, or many at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from objstore.events.records import Origin
from objstore.meta.commands import Deleted
from objstore.model import Bucket, Replica
from objstore.s3 import names, tokens
from objstore.s3.errors import NoSuchVersion, S3Error
from objstore.service.failures import translate
from objstore.service.objects import DeleteConditions, Objects

__all__ = ["DeleteConditions", "Deleted", "Deletion", "Deletions"]

DELETES_AT_ONCE: Final = 100
"""Keys of one DeleteObjects under way together: enough to fill the ledger's batches."""


UNCONDITIONAL: Final = DeleteConditions()


@dataclass(frozen=True, slots=True)
class Deletion:
    """What to delete: a key (without version id: its current object), under these conditions."""

    key: str
    version_id: str | None = None
    conditions: DeleteConditions = UNCONDITIONAL


class Deletions:
    """Deletes from all buckets."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def delete(
        self,
        bucket: Bucket,
        deletion: Deletion,
        *,
        owner_id: str,
        bypass_governance: bool = False,
        has_mfa: bool = False,
        origin: Origin | None = None,
        replica: Replica | None = None,
    ) -> Deleted:
        """Delete a key (in a versioned bucket: put a delete marker on it), or one version for good.

        What is not there is deleted already. `has_mfa`: a device of the bucket's owner proved to be at hand,
        without which no version goes where MFA delete is enabled. Raises KeyTooLong, InvalidArgument (no
        such version id); Refusal, MetadataError.
        """
        names.check_key(deletion.key)
        if deletion.version_id is not None:
            tokens.check_version_id(deletion.version_id)
        return await self._objects.delete(
            bucket,
            deletion.key,
            deletion.version_id,
            owner_id=owner_id,
            conditions=deletion.conditions,
            bypass_governance=bypass_governance,
            has_mfa=has_mfa,
            origin=origin,
            replica=replica,
        )

    async def delete_many(
        self,
        bucket: Bucket,
        deletions: Sequence[Deletion],
        allow: Callable[[Deletion], Awaitable[object]],
        *,
        owner_id: str,
        bypass_governance: bool = False,
        has_mfa: bool = False,
        origin: Origin | None = None,
    ) -> list[Deleted | S3Error]:
        """What became of each, in the order given; each is committed (or refused) by itself.

        `allow` raises the S3 error of a deletion that the caller may not make. What could be no version's id
        is NoSuchVersion here. The same key twice is deleted twice, in order. Raises only what nobody foresaw.
        """
        turn = asyncio.Semaphore(DELETES_AT_ONCE)

        async def one(deletion: Deletion) -> Deleted | S3Error:
            async with turn:
                try:
                    await allow(deletion)
                    _check_version(deletion)
                    return await self.delete(
                        bucket,
                        deletion,
                        owner_id=owner_id,
                        bypass_governance=bypass_governance,
                        has_mfa=has_mfa,
                        origin=origin,
                    )
                except Exception as exc:
                    error = translate(exc)
                    if error is None:
                        raise
                    return error

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(deletion)) for deletion in deletions]
        return [task.result() for task in tasks]


def _check_version(deletion: Deletion) -> None:
    version_id = deletion.version_id
    if version_id is not None and not tokens.is_version_id(version_id):
        raise NoSuchVersion(Key=deletion.key, VersionId=version_id)
