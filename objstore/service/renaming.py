"""Renaming objects within a bucket: facts alone change."""

from dataclasses import replace
from typing import Final

from objstore.events.records import Origin
from objstore.meta import commands, queries
from objstore.meta.commands import DeleteVersion, PutVersion, RenameConditions, RenameToken, RenameVersion
from objstore.meta.interface import Conflict
from objstore.model import RESTORE, Attributes, Bucket, ObjectVersion
from objstore.s3 import replication, tokens
from objstore.s3.errors import NoSuchKey
from objstore.service.facts import Facts
from objstore.service.notifications import Notifications

__all__ = ["RenameConditions", "RenameToken", "Renames"]

RENAME_ATTEMPTS: Final = 5
_NOT_KEPT: Final = frozenset((replication.EXTRA, RESTORE))
REMOVED: Final = "s3:ObjectRemoved:Delete"


class Renames:
    """Renames objects."""

    def __init__(self, facts: Facts, notifications: Notifications) -> None:
        self._facts = facts
        self._notifications = notifications

    async def rename(
        self,
        bucket: Bucket,
        source_key: str,
        target_key: str,
        *,
        source_conditions: RenameConditions,
        target_conditions: RenameConditions,
        token: RenameToken | None,
        origin: Origin,
    ) -> ObjectVersion | None:
        """Give the object at `source_key` another key; both is durable when this returns, or neither.

        In a bucket with versioning that is a new version at the new key and a delete marker at the old one.
        Returns the version made; None where `token` says that this was done before. Raises NoSuchKey,
        Refusal, MetadataError.
        """
        for _ in range(RENAME_ATTEMPTS - 1):
            try:
                return await self._once(
                    bucket, source_key, target_key, source_conditions, target_conditions, token, origin
                )
            except Conflict:
                continue
        return await self._once(
            bucket, source_key, target_key, source_conditions, target_conditions, token, origin
        )

    async def _once(
        self,
        bucket: Bucket,
        source_key: str,
        target_key: str,
        source_conditions: RenameConditions,
        target_conditions: RenameConditions,
        token: RenameToken | None,
        origin: Origin,
    ) -> ObjectVersion | None:
        source = await self._facts.read(queries.current, bucket.id, source_key)
        if source is None:
            if token is None:
                raise NoSuchKey(Key=source_key)
            source = _absent(bucket, source_key)
        annotation_set = await self._facts.read(queries.annotations_to_copy, source)
        put = PutVersion(
            bucket.id,
            target_key,
            source.size,
            source.etag,
            source.owner_id,
            _kept(source.attributes),
            tags=source.tags,
            lock=source.lock,
            blob=source.blob,
            shares_blob=True,
            version_id=tokens.new_version_id(),
            upload_id=source.upload_id,
            parts_count=source.parts_count,
            annotations_of=annotation_set,
        )
        delete = DeleteVersion(bucket.id, source_key, bucket.owner_id, new_version_id=tokens.new_version_id())
        removal = replace(origin, event=REMOVED)
        rename = RenameVersion(
            bucket.id,
            source_key,
            target_key,
            source,
            commands.encode(self._notifications.announced(put, bucket, target_key, origin)),
            commands.encode(self._notifications.announced(delete, bucket, source_key, removal)),
            source_conditions,
            target_conditions,
            token,
            annotation_set,
        )
        return await self._facts.write(rename)


def _kept(attributes: Attributes) -> Attributes:
    """What the new version keeps: all but how far the old one was on its way elsewhere, or back. A restored
    copy is the old version's; bytes at a tier go along as all others do."""
    if not attributes.extra.keys() & _NOT_KEPT:
        return attributes
    extra = {name: value for name, value in attributes.extra.items() if name not in _NOT_KEPT}
    return replace(attributes, extra=extra)


def _absent(bucket: Bucket, key: str) -> ObjectVersion:
    """Stands for no object, where only the token can tell whether this is an error."""
    return ObjectVersion(bucket.id, key, "", 0, 0, bucket.owner_id, 0, "", Attributes())
