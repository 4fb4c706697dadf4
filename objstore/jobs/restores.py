"""Fetches archived versions back that RestoreObject was asked for, and lets go of the copies in time.

Invariants kept here:
- The bytes at the tier stay what the version refers to; the copy here is referred to by its row in `restores`
  alone. So whatever is cut off where leaves the version as it was, and at most bytes here that nothing refers
  to, which the scan for orphans finds.
- Bytes are verified as they come from the tier, and durable here before a version counts as restored.
- What cannot be fetched now is tried again, after growing pauses, until the version is gone.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from objstore import clock, metrics
from objstore.jobs.job import JobSettings
from objstore.jobs.telling import announced
from objstore.meta import queries, tiering
from objstore.meta.client import Metadata
from objstore.meta.commands import EndRestore, FinishRestore, StagePart
from objstore.meta.interface import Conflict, MetadataError, OutcomeUnknown, Refusal
from objstore.meta.tiering import Restore
from objstore.model import BlobRef, ObjectVersion, Part
from objstore.s3.expiry import Calendar
from objstore.s3.xml import write_instant
from objstore.storage.interface import BlobStore, StorageError

log = logging.getLogger(__name__)

COMPLETED: Final = "s3:ObjectRestore:Completed"
DELETED: Final = "s3:ObjectRestore:Delete"
LOOK_EVERY_S: Final = 1.0
RESTORES_AT_ONCE: Final = 16
"""Versions fetched together."""
LARGE_BYTES: Final = 8 << 20
LARGE_AT_ONCE: Final = 4
"""So many of them may be larger than that, so that small ones need not wait for them."""
FETCHING_MAX: Final = 1000
"""So many wait for their turn or have it; further ones wait in the metadata."""
PAGE_ROWS: Final = 100
PARTS_PAGE: Final = 500
SWEEP_EVERY_S: Final = 60.0
"""How often copies are looked for whose versions are gone."""
BACK_OFF_S: Final = 2.0
BACK_OFF_S_MAX: Final = 600.0

Slot = tuple[int, str, str]


def _slot(restore: Restore) -> Slot:
    return restore.bucket_id, restore.key, restore.version_id


@dataclass(slots=True)
class _Trouble:
    """A version that could not be fetched: how often in a row, and when it is tried again."""

    failures: int = 0
    again_s: float = 0.0


class Restores:
    """The restores job."""

    name = "restores"

    def __init__(self, metadata: Metadata, store: BlobStore, settings: JobSettings) -> None:
        self._metadata = metadata
        self._store = store
        self._calendar = Calendar.of(settings.lifecycle_day_s)
        self._gate = asyncio.Semaphore(RESTORES_AT_ONCE)
        self._large_gate = asyncio.Semaphore(LARGE_AT_ONCE)
        self._fetching: dict[Slot, asyncio.Task[None]] = {}
        self._troubles: dict[Slot, _Trouble] = {}
        self._swept_s = clock.monotonic_s()

    async def run(self) -> float:
        """Fetch what is wanted, and let go of what has had its time; ends when nothing is being fetched."""
        try:
            while True:
                await self._end()
                await self._begin()
                if not self._fetching:
                    return LOOK_EVERY_S
                tasks = self._fetching.values()
                await asyncio.wait(tasks, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                self._reap()
        finally:
            for task in self._fetching.values():
                task.cancel()
            await asyncio.gather(*self._fetching.values(), return_exceptions=True)
            self._fetching.clear()

    # Fetching

    async def _begin(self) -> None:
        """Begin to fetch what is wanted, is not being fetched, and did not fail a moment ago."""
        wanted: set[Slot] = set()
        after: Slot | None = None
        while page := await self._metadata.read(tiering.restores_under_way, after, PAGE_ROWS):
            for restore in page:
                slot = _slot(restore)
                trouble = self._troubles.get(slot)
                is_resting = trouble is not None and clock.monotonic_s() < trouble.again_s
                if slot not in self._fetching and not is_resting and len(self._fetching) < FETCHING_MAX:
                    self._fetching[slot] = asyncio.create_task(self._fetch(restore))
                wanted.add(slot)
            after = _slot(page[-1])
        self._troubles = {slot: one for slot, one in self._troubles.items() if slot in wanted}

    def _reap(self) -> None:
        """Forget the tasks that have ended. Raises what one of them raised."""
        ended = [slot for slot, task in self._fetching.items() if task.done()]
        for task in [self._fetching.pop(slot) for slot in ended]:
            task.result()

    async def _fetch(self, restore: Restore) -> None:
        try:
            outcome = await self._restore(restore)
        except (StorageError, OSError, Conflict) as exc:
            outcome = "failed"
            trouble = self._troubles.setdefault(_slot(restore), _Trouble())
            trouble.failures += 1
            pause_s = min(BACK_OFF_S_MAX, BACK_OFF_S * 2.0 ** min(trouble.failures - 1, 16))
            trouble.again_s = clock.monotonic_s() + pause_s
            log.warning(
                "version %s of %s not restored: %s: %s; again in %.0f s",
                restore.version_id,
                restore.key,
                type(exc).__name__,
                exc,
                pause_s,
            )
        else:
            self._troubles.pop(_slot(restore), None)
        metrics.RESTORES.labels(outcome).inc()

    async def _restore(self, restore: Restore) -> str:
        """What came of it: "done", or "gone" where nobody wants it any more."""
        version = await self._metadata.read(queries.version, *_slot(restore))
        if version is None or version.sequence != restore.sequence:
            await self._metadata.write(EndRestore(*_slot(restore), clock.now_ms()))
            return "gone"
        async with self._large_gate if version.size > LARGE_BYTES else self._gate:
            blob = None
            if restore.upload_id is not None:
                assert version.upload_id is not None
                await self._fetch_parts(version.upload_id, restore.upload_id)
            elif version.blob is not None and version.attributes.is_archived:
                blob = await self._copied(version.blob)
            return await self._finish(restore, version, blob)

    async def _finish(self, restore: Restore, version: ObjectVersion, blob: BlobRef | None) -> str:
        bucket = await self._metadata.read(queries.bucket, restore.bucket_id)
        expires_ms = self._calendar.after(clock.now_ms(), restore.days)
        command = FinishRestore(*_slot(restore), restore.sequence, expires_ms, blob)
        data = {
            "glacierEventData": {
                "restoreEventData": {
                    "lifecycleRestorationExpiryTime": write_instant(expires_ms),
                    "lifecycleRestoreStorageClass": version.attributes.storage_class,
                }
            }
        }
        restored = None
        try:
            if bucket is not None:
                whose = f"AmazonCustomer:{bucket.owner_id}"  # so S3 says, of this event alone
                told = await announced(self._metadata, bucket, restore.key, command, COMPLETED, data, whose)
                restored = await self._metadata.write(told)
        except OutcomeUnknown:
            raise  # it may be referred to; so it may when this is cancelled
        except (Refusal, MetadataError):
            await self._discard(blob)
            raise
        if restored is None:
            await self._discard(blob)
            return "gone"
        metrics.RESTORED_BYTES.inc(version.size)
        log.info("version %s of %s is restored", restore.version_id, restore.key)
        return "done"

    async def _fetch_parts(self, upload_id: str, staging_id: str) -> None:
        after = 0  # those that an earlier attempt fetched, in their order, are there
        while there := (await self._metadata.read(queries.list_parts, staging_id, after, PARTS_PAGE)).parts:
            after = there[-1].part_number
        while parts := (await self._metadata.read(queries.list_parts, upload_id, after, PARTS_PAGE)).parts:
            for part in parts:
                await self._fetch_part(part, staging_id)
            after = parts[-1].part_number

    async def _fetch_part(self, part: Part, staging_id: str) -> None:
        copied = part if part.blob is None else replace(part, blob=await self._copied(part.blob))
        try:
            await self._metadata.write(StagePart(staging_id, copied, is_at_tier=False))
        except Conflict:
            await self._discard(copied.blob)
            raise

    async def _copied(self, source: BlobRef) -> BlobRef:
        """A blob here with the same bytes, durable."""
        return await self._store.put(self._pieces(source), source.size)

    async def _pieces(self, source: BlobRef) -> AsyncIterator[memoryview]:
        async for piece in self._store.get(source):
            yield piece

    async def _discard(self, blob: BlobRef | None) -> None:
        if blob is not None:
            try:
                await self._store.delete(blob)
            except StorageError as exc:
                log.warning("blob %s is left to the scan for orphans: %s", blob.id.hex(), exc)

    # Letting go

    async def _end(self) -> None:
        """Let go of the copies whose time is over, and now and then of those whose version is gone."""
        now_ms = clock.now_ms()
        while over := await self._metadata.read(tiering.restores_over, now_ms, PAGE_ROWS):
            for restore in over:
                await self._end_one(restore, now_ms)
        if clock.monotonic_s() - self._swept_s < SWEEP_EVERY_S:
            return
        self._swept_s = clock.monotonic_s()
        after: Slot | None = None
        while page := await self._metadata.read(tiering.restores_after, after):
            for restore, is_gone in page:
                if is_gone:
                    await self._end_one(restore, now_ms)
            after = _slot(page[-1][0])

    async def _end_one(self, restore: Restore, now_ms: int) -> None:
        command = EndRestore(*_slot(restore), now_ms)
        bucket = await self._metadata.read(queries.bucket, restore.bucket_id)
        if bucket is None:
            await self._metadata.write(command)
        else:
            told = await announced(self._metadata, bucket, restore.key, command, DELETED)
            await self._metadata.write(told)
        metrics.RESTORES.labels("ended").inc()
