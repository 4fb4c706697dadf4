"""Object lock: a bucket's default retention, and what protects one version.

Every decision over a version that exists is made by the ledger, by a clock that cannot be set forward
(`meta/commands/locks.py`). Here is what the dialect adds: which buckets have locks, and what a new version
gets by default.
"""

from typing import Final

from objstore import clock
from objstore.events.records import Origin
from objstore.meta.commands import EnableObjectLock, ReplaceAttributes
from objstore.meta.interface import BucketStateInvalid
from objstore.model import Bucket, ObjectLock, ObjectVersion
from objstore.s3 import tokens, xml
from objstore.s3.documents import locking
from objstore.s3.documents.locking import ObjectLockConfiguration
from objstore.s3.errors import InvalidBucketState, InvalidRequest, ObjectLockConfigurationNotFound
from objstore.service.facts import Facts
from objstore.service.notifications import Notifications
from objstore.service.subresources import Subresources

KIND: Final = "object-lock"


class Locks:
    """The object locks of all buckets."""

    def __init__(self, facts: Facts, subresources: Subresources, notifications: Notifications) -> None:
        self._facts = facts
        self._notifications = notifications
        self._subresources = subresources

    def configuration(self, bucket: Bucket) -> ObjectLockConfiguration:
        """What the bucket was configured with. Raises ObjectLockConfigurationNotFound."""
        if not bucket.object_lock:
            raise ObjectLockConfigurationNotFound(BucketName=bucket.name)
        found: ObjectLockConfiguration | None = self._subresources.find(bucket, KIND)
        return found or ObjectLockConfiguration(object_lock_enabled="Enabled")

    async def configure(self, bucket: Bucket, wanted: ObjectLockConfiguration) -> None:
        """Let the bucket's objects be locked, for ever, and by default as the document says.

        Raises MalformedXML, InvalidArgument; InvalidBucketState while versioning is not enabled; Refusal,
        MetadataError.
        """
        locking.check(wanted)
        try:
            await self._facts.write(EnableObjectLock(bucket.id))
        except BucketStateInvalid as exc:
            raise InvalidBucketState(
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
            ) from exc
        await self._subresources.set(bucket, KIND, xml.dumps(wanted))

    def default(self, bucket: Bucket) -> ObjectLock | None:
        """The retention that a version made now gets unless it brings its own. Raises Unavailable."""
        if not bucket.object_lock:
            return None
        return locking.default_lock(self.configuration(bucket), clock.now_ms())

    async def retain(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None,
        retention: ObjectLock,
        *,
        bypass_governance: bool,
        origin: Origin | None = None,
        is_replicated: bool = False,
    ) -> ObjectVersion:
        """Give a version this retention; its legal hold stays.

        Raises InvalidRequest (the bucket has no locks), Refusal (Locked: it would be loosened),
        MetadataError.
        """
        check_has_locks(bucket)
        command = ReplaceAttributes(
            bucket.id, key, version_id, lock=retention, bypass_governance=bypass_governance
        )
        return await self._replace(bucket, command, origin, is_replicated)

    async def hold(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None,
        *,
        is_held: bool,
        is_replicated: bool = False,
    ) -> ObjectVersion:
        """Put a legal hold on a version, or take it away; its retention stays.

        Raises InvalidRequest (the bucket has no locks), Refusal, MetadataError.
        """
        check_has_locks(bucket)
        command = ReplaceAttributes(bucket.id, key, version_id, legal_hold=is_held)
        return await self._replace(bucket, command, None, is_replicated)

    async def _replace(
        self, bucket: Bucket, command: ReplaceAttributes, origin: Origin | None, is_replicated: bool
    ) -> ObjectVersion:
        if command.version_id is not None:
            tokens.check_version_id(command.version_id)
        announced = self._notifications.announced(
            command, bucket, command.key, origin, is_replicated=is_replicated
        )
        return await self._facts.write(announced)


def check_has_locks(bucket: Bucket) -> None:
    """Raise InvalidRequest for a bucket whose objects cannot be locked."""
    if not bucket.object_lock:
        raise InvalidRequest("Bucket is missing Object Lock Configuration")
