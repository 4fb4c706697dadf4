"""Deletes the bytes of what was deleted: the only job that deletes because of a committed fact.

Invariants kept here:
- Only blobs in the table `garbage` are deleted: a committed transaction let go of the last reference.
- Their bytes stay for the grace period, and as long as a read that began before is under way. So do
  the rows of an upload's parts, which such a read looks up page by page.
- A blob leaves `garbage` only when every drive that held it has been cleared: until then the row is
  its tombstone, and a drive that was away is cleared when it returns. Garbage may be moved or mended while
  it is deleted: then the row stays, and what lies there now is deleted next.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from objstore import clock, metrics
from objstore.jobs.job import JobSettings, all_of
from objstore.jobs.moving import Turns
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import CorrectTimes, ForgetGarbage, ReleaseAnnotations, ReleaseParts
from objstore.meta.commands.times import lie_ahead
from objstore.model import BlobRef
from objstore.shared_state import SharedState
from objstore.storage.interface import BlobStore, DriveState, StorageError

log = logging.getLogger(__name__)

BATCH_BLOBS: Final = 256
PARALLEL_DELETES: Final = 64
PARTS_GRACE_S: Final = 5.0
"""How long the rows of dropped parts stay: for a read that has looked its object up and not begun yet.
Their bytes have the whole grace period after that."""
UPLOADS_PAGE: Final = 1000
RELEASED_PARTS: Final = 500
"""Parts of a dropped upload let go in one transaction."""
LOOK_AGAIN_S: Final = 600.0
"""After this long, rows that could not be cleared are looked at again though no drive came or went."""
READ_HONOURED_S: Final = 24 * 3600.0
"""A read that has been under way for longer no longer keeps bytes from being deleted."""
READ_MARGIN_MS: Final = 1000
_START: Final = (-1, b"")


def deletable_before_ms(shared: SharedState, grace_s: float) -> int:
    """What was let go of before this time may be deleted: the grace is over, no read can still want it."""
    now_ms = clock.now_ms()
    limit_ms = now_ms - int(grace_s * 1000)
    oldest_ms = shared.oldest_read_ms()
    if oldest_ms is None:
        return limit_ms
    # One read that hangs for ever must not take away what shields the younger ones behind it.
    honoured_ms = max(oldest_ms, now_ms - int(READ_HONOURED_S * 1000))
    return min(limit_ms, honoured_ms - READ_MARGIN_MS)


class Garbage:
    """The garbage job."""

    name = "garbage"

    def __init__(
        self,
        metadata: Metadata,
        store: BlobStore,
        shared: SharedState,
        settings: JobSettings,
        turns: Turns | None = None,
    ) -> None:
        """`turns` are those of whoever mends blobs."""
        self._turns = turns or Turns()
        self._metadata = metadata
        self._store = store
        self._shared = shared
        self._settings = settings
        self._after: tuple[int, bytes] = _START
        self._started_over_s = clock.monotonic_s()
        self._drives: frozenset[str] = frozenset()
        self._gate = asyncio.Semaphore(PARALLEL_DELETES)

    async def run(self) -> float:
        """Release the parts of dropped uploads and the annotations of removed versions, then delete what is
        due."""
        await self._correct_times()
        await self._release_parts()
        await self._release_annotations()
        await self._start_over_if_due()
        limit_ms = deletable_before_ms(self._shared, self._settings.garbage_grace_s)
        while rows := await self._metadata.read(queries.garbage_after, *self._after, limit_ms, BATCH_BLOBS):
            await self._delete([ref for _, ref in rows])
            since_ms, last = rows[-1]
            self._after = (since_ms, last.id)
        return self._settings.garbage_every_s

    async def _correct_times(self) -> None:
        """What was let go of while the clock was set far ahead has its grace from now on."""
        while await self._metadata.read(lie_ahead, clock.now_ms()):
            await self._metadata.write(CorrectTimes())
            self._after = _START

    async def _release_parts(self) -> None:
        after = ""
        limit_ms = deletable_before_ms(self._shared, min(PARTS_GRACE_S, self._settings.garbage_grace_s))
        while upload_ids := await self._metadata.read(queries.dropped_uploads, after, UPLOADS_PAGE, limit_ms):
            for upload_id in upload_ids:
                while not await self._metadata.write(ReleaseParts(upload_id, RELEASED_PARTS)):
                    pass
            after = upload_ids[-1]

    async def _release_annotations(self) -> None:
        after = 0
        while dropped := await self._metadata.read(queries.dropped_annotations, after, UPLOADS_PAGE):
            for annotation_set in dropped:
                while not await self._metadata.write(ReleaseAnnotations(annotation_set, RELEASED_PARTS)):
                    pass
            after = dropped[-1]

    async def _start_over_if_due(self) -> None:
        """Look at rows left behind again when a drive came back, and every LOOK_AGAIN_S."""
        status = await self._store.status()
        drives = frozenset(drive.uuid for drive in status.drives if drive.state == DriveState.ONLINE)
        now_s = clock.monotonic_s()
        if drives - self._drives or now_s - self._started_over_s > LOOK_AGAIN_S:
            self._after = _START
            self._started_over_s = now_s
        self._drives = drives

    async def _delete(self, refs: Sequence[BlobRef]) -> None:
        """Delete the bytes of these blobs, and forget those of which nothing is left."""
        outcomes = await all_of(map(self._delete_one, refs))
        gone = [ref for ref, is_gone in zip(refs, outcomes, strict=True) if is_gone]
        if not gone:
            return
        if await self._metadata.write(ForgetGarbage(tuple(gone))) < len(gone):
            self._started_over_s = float("-inf")  # some were moved meanwhile
        metrics.DELETED_BLOBS.labels("garbage").inc(len(gone))
        metrics.DELETED_BYTES.labels("garbage").inc(sum(ref.size for ref in gone))
        log.info(
            "deleted %d blobs that nothing refers to (%d bytes), %s to %s",
            len(gone),
            sum(ref.size for ref in gone),
            gone[0].id.hex(),
            gone[-1].id.hex(),
        )

    async def _delete_one(self, ref: BlobRef) -> bool:
        async with self._gate, self._turns.of(ref.id):
            try:
                return await self._store.delete(ref)
            except (StorageError, OSError) as exc:
                log.warning("garbage blob %s not deleted yet: %s", ref.id.hex(), exc)
                return False
