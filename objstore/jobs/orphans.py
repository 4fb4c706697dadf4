"""Finds blobs on the drives that the metadata never heard of, and deletes them, in doubt not.

They are what a crash leaves between storing bytes and naming them. Code like this has lost more data
than disks have, so:
- Only a blob unknown to the metadata (not even as garbage) counts, older than the grace period (no put
  takes half as long: PUT_S_MAX), in two scans at least SCANS_APART_S apart, and asked for once more right
  before it is deleted.
- A scan that failed half-way counts for nothing; nor does one during which drives came or went or the
  index was replaced.
- A pass that would delete more than `allowance` deletes nothing and says so until an operator looks:
  then it is far likelier that facts were lost than that so many bytes are left over.
- Every deletion is logged by itself.
"""

import logging
from typing import Final

from objstore import clock, metrics
from objstore.jobs.job import JobSettings, Pace
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import SetState
from objstore.model import BlobRef
from objstore.shared_state import SharedState
from objstore.storage.interface import BlobStore, StorageError

log = logging.getLogger(__name__)

BATCH_BLOBS: Final = 500
ORPHANS_MAX: Final = 100
"""A pass that wants to delete more stops."""
ORPHANS_SHARE: Final = 0.01
"""… and so does one that wants to delete more than this part of all blobs found."""
ORPHANS_FREE: Final = 10
"""… but so few are deleted whatever their share, or small stores would never be clean."""
SCANS_APART_S: Final = 3600.0
ALLOW_STATE: Final = "jobs.orphans.allow"
"""An operator's word: the next pass may delete up to this many (decimal digits). Used once."""


def allowance(blob_count: int) -> int:
    """How many orphans a pass may delete of a store where it found `blob_count` blobs."""
    return max(ORPHANS_FREE, min(ORPHANS_MAX, int(blob_count * ORPHANS_SHARE)))


class Orphans:
    """The orphans job. What it suspects it remembers in memory alone: a restart is a fresh start."""

    name = "orphans"

    def __init__(
        self,
        metadata: Metadata,
        store: BlobStore,
        shared: SharedState,
        settings: JobSettings,
        pace: Pace,
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._shared = shared
        self._settings = settings
        self._pace = pace
        self._suspects: dict[bytes, float] = {}
        """Ids unknown in an earlier scan, and when that one began (on the clock that never jumps)."""
        self._is_first = True

    async def run(self) -> float:
        """Scan the drives; delete what two scans agree on."""
        if self._is_first:
            self._is_first = False
            return self._settings.orphan_first_s
        began_s = clock.monotonic_s()
        unknown, blob_count = await self._scan()
        seen_before = {
            blob_id: ref
            for blob_id, ref in unknown.items()
            if began_s - self._suspects.get(blob_id, began_s) >= self._apart_s()
        }
        self._suspects = {blob_id: self._suspects.get(blob_id, began_s) for blob_id in unknown}
        metrics.ORPHAN_BLOBS.set(len(unknown))
        if seen_before:
            await self._delete(seen_before, blob_count)
        return self._settings.orphan_every_s

    def _apart_s(self) -> float:
        return min(SCANS_APART_S, self._settings.orphan_every_s / 2)

    async def _scan(self) -> tuple[dict[bytes, BlobRef], int]:
        """The old blobs on the drives that the metadata does not know, and how many there are in all."""
        ground = await self._ground()
        unknown: dict[bytes, BlobRef] = {}
        batch: dict[bytes, BlobRef] = {}
        count = 0
        began_s = clock.monotonic_s()
        async for ref in self._store.list():
            count += 1
            if self._is_old(ref):
                batch[ref.id] = ref
            if len(batch) >= BATCH_BLOBS:
                unknown |= await self._unknown(batch)
                batch = {}
                await self._pace.rest(clock.monotonic_s() - began_s)
                began_s = clock.monotonic_s()
        unknown |= await self._unknown(batch)
        if await self._ground() != ground:
            log.info("scan for orphans abandoned: drives came or went, or the index is another")
            return {}, count
        return unknown, count

    async def _ground(self) -> tuple[int, list[tuple[str, str]]]:
        """What a scan stands on: if it moves, the scan says nothing."""
        status = await self._store.status()
        return self._shared.index_generation, [(drive.uuid, drive.state) for drive in status.drives]

    def _is_old(self, ref: BlobRef) -> bool:
        return clock.now_ms() - clock.id_ms(ref.id) > self._settings.orphan_grace_s * 1000

    async def _unknown(self, refs: dict[bytes, BlobRef]) -> dict[bytes, BlobRef]:
        known = await self._metadata.read(queries.blobs_known, list(refs))
        return {blob_id: ref for blob_id, ref in refs.items() if blob_id not in known}

    async def _delete(self, orphans: dict[bytes, BlobRef], blob_count: int) -> None:
        allowed = max(allowance(blob_count), await self._allowed_by_operator())
        if len(orphans) > allowed:
            metrics.ORPHANS_HELD.set(len(orphans))
            log.error(
                "%d of %d blobs on the drives are unknown to the metadata, more than the %d that may be "
                "deleted unasked: nothing was deleted; make sure that no metadata was lost",
                len(orphans),
                blob_count,
                allowed,
            )
            return
        metrics.ORPHANS_HELD.set(0)
        for ref in (await self._unknown(orphans)).values():
            await self._delete_one(ref)

    async def _delete_one(self, ref: BlobRef) -> None:
        age_s = (clock.now_ms() - clock.id_ms(ref.id)) // 1000
        log.warning(
            "deleting orphan blob %s (%d bytes): unknown to the metadata in two scans, %d s old",
            ref.id.hex(),
            ref.size,
            age_s,
        )
        try:
            is_gone = await self._store.delete(ref)
        except StorageError as exc:
            log.warning("orphan blob %s not deleted: %s", ref.id.hex(), exc)
            return
        metrics.DELETED_BLOBS.labels("orphan").inc()
        metrics.DELETED_BYTES.labels("orphan").inc(ref.size)
        if is_gone:
            self._suspects.pop(ref.id, None)

    async def _allowed_by_operator(self) -> int:
        value = await self._metadata.read(queries.state, ALLOW_STATE)
        if value is None or not value.isdigit():
            return 0
        await self._metadata.write(SetState(ALLOW_STATE, b""))
        return int(value)
