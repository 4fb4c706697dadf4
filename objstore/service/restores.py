"""Archived versions: who may be read, and how one is asked back."""

from dataclasses import replace
from typing import Final

from objstore import clock
from objstore.events.records import Origin
from objstore.meta import tiering
from objstore.meta.commands import RestoreVersion
from objstore.model import Bucket, ObjectVersion
from objstore.s3 import tokens
from objstore.s3.errors import InvalidArgument, InvalidObjectState
from objstore.s3.expiry import Calendar
from objstore.service.facts import Facts
from objstore.service.notifications import Notifications

DEEP: Final = "DEEP_ARCHIVE"
"""The class that has no expedited retrieval."""


def check_readable(version: ObjectVersion, message: str | None = None) -> None:
    """Refuse to read an archived version that has no restored copy. Raises InvalidObjectState."""
    attributes = version.attributes
    if attributes.extra and attributes.is_archived and attributes.restored_until_ms is None:
        raise InvalidObjectState(message, StorageClass=attributes.storage_class)


class Restores:
    """RestoreObject."""

    def __init__(self, facts: Facts, notifications: Notifications, calendar: Calendar) -> None:
        self._facts = facts
        self._notifications = notifications
        self._calendar = calendar

    async def restore(
        self,
        bucket: Bucket,
        version: ObjectVersion,
        version_id: str | None,
        days: int,
        retrieval: str,
        origin: Origin,
    ) -> bool:
        """Ask for a copy of an archived version, to stay `days` days; whether there was one already, which
        now stays so long from now on.

        `version` is what `version_id` (None: the current one) was found to be. Raises InvalidArgument,
        InvalidObjectState (not archived), RestoreAlreadyInProgress; Refusal, MetadataError.
        """
        attributes = version.attributes
        if attributes.storage_class == DEEP and retrieval == "Expedited":
            raise InvalidArgument(
                "Retrieval option is not supported by this storage class",
                ArgumentName="Tier",
                ArgumentValue=retrieval,
            )
        command = RestoreVersion(
            bucket.id,
            version.key,
            version_id,
            days,
            self._calendar.after(clock.now_ms(), days),
            tokens.new_upload_id(),
        )
        is_first = attributes.restored_until_ms is None
        announced = self._notifications.announced(command, bucket, version.key, origin if is_first else None)
        restored = await self._facts.write(announced)
        return restored.attributes.restored_until_ms is not None


async def with_readable_bytes(facts: Facts, version: ObjectVersion) -> ObjectVersion:
    """The version with the bytes to read: those of its restored copy where it is archived.

    Raises InvalidObjectState when it has none.
    """
    check_readable(version)
    if not version.attributes.extra or not version.attributes.is_archived:
        return version
    copy = await facts.read(tiering.restored_copy, version)
    if copy is None:  # its time was over a moment ago
        raise InvalidObjectState(StorageClass=version.attributes.storage_class)
    blob, upload_id = copy
    return replace(version, blob=blob, upload_id=upload_id)
