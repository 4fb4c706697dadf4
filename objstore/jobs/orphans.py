"""Finds what lies on the drives and nothing needs: blobs the metadata never heard of, and shards too many.

The first are what a crash leaves between storing bytes and naming them; the second are left when a
blob was mended elsewhere and the drive it had lain on came back. Code like this has lost more data than
disks have, so:
- Only a blob unknown to the metadata (not even as garbage) counts, older than the grace period (no put
  takes half as long: PUT_S_MAX), in two scans at least SCANS_APART_S apart, and asked for once more right
  before it is deleted.
- A scan that failed half-way counts for nothing; nor does one during which drives came or went or the
  index was replaced.
- A pass that would delete more than `allowance` deletes nothing and says so until an operator looks:
  then it is far likelier that facts were lost than that so many bytes are left over.
- A shard too many goes only after its blob was read and found whole where the metadata says it lies.
- Every deletion is logged by itself.
"""

import logging
from dataclasses import dataclass, field
from typing import Final

from objstore import clock, metrics
from objstore.jobs.job import JobSettings, Pace
from objstore.jobs.moving import Turns
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import SetState
from objstore.model import BlobRef
from objstore.shared_state import SharedState
from objstore.storage.interface import BlobStore, DriveState, Health, StorageError, StoreUnavailable

log = logging.getLogger(__name__)

BATCH_BLOBS: Final = 500
ORPHANS_MAX: Final = 100
"""A pass that wants to delete more stops."""
ORPHANS_SHARE: Final = 0.01
"""… and so does one that wants to delete more than this part of all blobs found."""
ORPHANS_FREE: Final = 10
"""… but so few are deleted whatever their share, or small stores would never be clean."""
SUSPECTS_MAX: Final = 10_000
"""So many are remembered of one scan; further ones wait for a later scan."""
SCANS_APART_S: Final = 3600.0
ALLOW_STATE: Final = "jobs.orphans.allow"
"""An operator's word: the next pass may delete up to this many (decimal digits). Used once."""


def allowance(blob_count: int) -> int:
    """How many orphans a pass may delete of a store where it found `blob_count` blobs."""
    return max(ORPHANS_FREE, min(ORPHANS_MAX, int(blob_count * ORPHANS_SHARE)))


@dataclass(slots=True)
class _Scan:
    """What one walk over the drives found, of blobs that are old enough."""

    blobs: int = 0
    """All of them, young ones too."""
    unknown: dict[bytes, BlobRef] = field(default_factory=dict)
    """Blobs that the metadata does not know, as found on the drives; no more than SUSPECTS_MAX."""
    unknown_count: int = 0
    surplus: dict[bytes, BlobRef] = field(default_factory=dict)
    """Blobs with shards on drives where the metadata does not say they lie; no more than SUSPECTS_MAX."""


class _Suspects:
    """Since when (on the clock that never jumps) something was seen in every scan. In memory alone: a
    restart is a fresh start."""

    def __init__(self) -> None:
        self._since_s: dict[bytes, float] = {}

    def seen(self, found: dict[bytes, BlobRef], began_s: float, apart_s: float) -> dict[bytes, BlobRef]:
        """Those of a scan that began at `began_s` which one at least `apart_s` before had found as well."""
        self._since_s = {blob_id: self._since_s.get(blob_id, began_s) for blob_id in found}
        return {blob_id: ref for blob_id, ref in found.items() if began_s - self._since_s[blob_id] >= apart_s}


class Orphans:
    """The orphans job."""

    name = "orphans"

    def __init__(
        self,
        metadata: Metadata,
        store: BlobStore,
        shared: SharedState,
        settings: JobSettings,
        pace: Pace,
        turns: Turns,
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._shared = shared
        self._settings = settings
        self._pace = pace
        self._turns = turns
        self._unknown = _Suspects()
        self._surplus = _Suspects()
        self._is_first = True

    async def run(self) -> float:
        """Scan the drives; delete what two scans agree on."""
        if self._is_first:
            self._is_first = False
            return self._settings.orphan_first_s
        began_s = clock.monotonic_s()
        apart_s = min(SCANS_APART_S, self._settings.orphan_every_s / 2)
        scan = await self._scan()
        metrics.ORPHAN_BLOBS.set(scan.unknown_count)
        await self._delete(self._unknown.seen(scan.unknown, began_s, apart_s), scan)
        for found in self._surplus.seen(scan.surplus, began_s, apart_s).values():
            await self._prune(found)
        return self._settings.orphan_every_s

    async def _scan(self) -> _Scan:
        ground = await self._ground()
        scan = _Scan()
        batch: dict[bytes, BlobRef] = {}
        began_s = clock.monotonic_s()
        async for ref in self._store.list():
            scan.blobs += 1
            if clock.now_ms() - clock.id_ms(ref.id) > self._settings.orphan_grace_s * 1000:
                batch[ref.id] = ref
            if len(batch) >= BATCH_BLOBS:
                await self._judge(batch, scan)
                batch = {}
                await self._pace.rest(clock.monotonic_s() - began_s)
                began_s = clock.monotonic_s()
        await self._judge(batch, scan)
        if await self._ground() != ground:
            log.info("scan for orphans abandoned: drives came or went, or the index is another")
            return _Scan()
        return scan

    async def _ground(self) -> tuple[int, frozenset[str]]:
        """What a scan stands on: if it moves, the scan says nothing."""
        readable = (DriveState.ONLINE, DriveState.READ_ONLY)
        drives = (await self._store.status()).drives
        return self._shared.index_generation, frozenset(d.uuid for d in drives if d.state in readable)

    async def _judge(self, batch: dict[bytes, BlobRef], scan: _Scan) -> None:
        lying = await self._metadata.read(queries.blobs_lying, list(batch))
        for blob_id, found in batch.items():
            known = lying.get(blob_id)
            if known is None:
                scan.unknown_count += 1
                _remember(scan.unknown, found)
            elif self._store.exposure(found).drives - self._store.exposure(known).drives:
                _remember(scan.surplus, found)

    async def _delete(self, orphans: dict[bytes, BlobRef], scan: _Scan) -> None:
        if not orphans:
            metrics.ORPHANS_HELD.set(0)
            return
        allowed = max(allowance(scan.blobs), await self._allowed_by_operator())
        if scan.unknown_count > allowed:
            metrics.ORPHANS_HELD.set(scan.unknown_count)
            log.error(
                "%d of %d blobs on the drives are unknown to the metadata, more than the %d that may be "
                "deleted unasked: nothing was deleted; make sure that no metadata was lost",
                scan.unknown_count,
                scan.blobs,
                allowed,
            )
            return
        metrics.ORPHANS_HELD.set(0)
        known = await self._metadata.read(queries.blobs_known, list(orphans))
        for blob_id in orphans.keys() - known:
            await self._delete_one(orphans[blob_id])

    async def _prune(self, found: BlobRef) -> None:
        """Give back shards of a blob that is whole without them."""
        began_s = clock.monotonic_s()
        async with self._turns.of(found.id):
            await self._prune_alone(found)
        await self._pace.rest(clock.monotonic_s() - began_s)

    async def _prune_alone(self, found: BlobRef) -> None:
        known = (await self._metadata.read(queries.blobs_lying, [found.id])).get(found.id)
        if known is None:
            return
        try:
            if (await self._store.verify(known, repair=False)).health == Health.HEALTHY:
                log.warning("giving back shards of blob %s that nothing refers to", found.id.hex())
                await self._store.prune(found, keep=known)
        except StoreUnavailable:
            raise
        except (StorageError, OSError) as exc:
            log.warning("shards of blob %s not given back: %s", found.id.hex(), exc)

    async def _delete_one(self, ref: BlobRef) -> None:
        age_s = (clock.now_ms() - clock.id_ms(ref.id)) // 1000
        log.warning(
            "deleting orphan blob %s (%d bytes): unknown to the metadata in two scans, %d s old",
            ref.id.hex(),
            ref.size,
            age_s,
        )
        try:
            await self._store.delete(ref)
        except (StorageError, OSError) as exc:
            log.warning("orphan blob %s not deleted: %s", ref.id.hex(), exc)
            return
        metrics.DELETED_BLOBS.labels("orphan").inc()
        metrics.DELETED_BYTES.labels("orphan").inc(ref.size)

    async def _allowed_by_operator(self) -> int:
        value = await self._metadata.read(queries.state, ALLOW_STATE)
        if value is None or not value.isdigit():
            return 0
        await self._metadata.write(SetState(ALLOW_STATE, b""))
        return int(value)


def _remember(suspects: dict[bytes, BlobRef], ref: BlobRef) -> None:
    if len(suspects) < SUSPECTS_MAX:
        suspects[ref.id] = ref
