"""Gives back the space of deleted small blobs: packs of which less than half is wanted are rewritten.

Invariants kept here:
- What is wanted is decided by the metadata, blob by blob; the store's account of the deleted only
  says where to look, and that a blob the metadata does not know was deleted. Any other unknown blob may
  be one whose commit is on its way: its pack stays.
- A copy is durable before the ledger is asked to name it, and the old one stays until the pack goes.
- A pack is removed only after a pass over all of it found nothing wanted, at least the grace period
  and every read under way after it was found so for the first time.
- Damage decides nothing. What can still be told in a damaged pack is judged as in any other; for what
  cannot, every blob there is must say that it lies elsewhere, twice, a week after the last write.
"""

import logging
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from objstore import clock, metrics
from objstore.jobs import walk
from objstore.jobs.garbage import deletable_before_ms
from objstore.jobs.job import JobSettings, Pace, all_of
from objstore.jobs.moving import move
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import QueueRepair
from objstore.meta.interface import Conflict
from objstore.model import BlobRef
from objstore.shared_state import SharedState
from objstore.storage.interface import (
    PUT_S_MAX,
    Compactable,
    OutOfSpace,
    PackStatus,
    StorageError,
    StoreUnavailable,
)

log = logging.getLogger(__name__)

LIVE_SHARE_MAX: Final = 0.5
"""A pack is rewritten when less than this part of it is wanted."""
BATCH_BLOBS: Final = 64
DAMAGED_KEPT_S: Final = 7 * 24 * 3600.0
"""How long a pack with bytes that cannot be told stays after the last write to it."""
assert DAMAGED_KEPT_S > 2 * PUT_S_MAX  # no commit can be on its way to a blob in it
WALK_AGAIN_S: Final = 3600.0
"""Between two walks over all blobs for the sake of one damaged pack."""
FAR_MS: Final = 1 << 62


class _Found(Enum):
    """What became of one blob of a pack."""

    UNWANTED = auto()  # its shards lie elsewhere
    MOVED = auto()
    STUCK = auto()  # still wanted there


class Compaction:
    """The compaction job."""

    name = "compaction"

    def __init__(
        self,
        metadata: Metadata,
        store: Compactable,
        shared: SharedState,
        settings: JobSettings,
        pace: Pace,
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._shared = shared
        self._settings = settings
        self._pace = pace
        self._empty: dict[tuple[int, int], int] = {}
        """Packs in which a pass found nothing wanted, and when the first such pass began (ms)."""
        self._walk_again_s: dict[tuple[int, int], float] = {}

    async def run(self) -> float:
        """Empty and remove the packs that are mostly dead, the emptiest first."""
        packs = await self._store.packs()
        present = {(pack.drive, pack.pack) for pack in packs}
        self._empty = {key: since_ms for key, since_ms in self._empty.items() if key in present}
        self._walk_again_s = {key: at_s for key, at_s in self._walk_again_s.items() if key in present}
        for pack in sorted(filter(_is_worth_it, packs), key=lambda pack: pack.live_bytes):
            await self._compact(pack)
        return self._settings.compaction_every_s

    async def _compact(self, pack: PackStatus) -> None:
        began_ms = clock.now_ms()
        try:
            found = await self._empty_out(pack)
        except (StoreUnavailable, OutOfSpace):
            raise
        except (StorageError, OSError) as exc:
            log.warning("pack %016x of drive %d not compacted: %s", pack.pack, pack.drive, exc)
            found = {_Found.STUCK}
        key = (pack.drive, pack.pack)
        if found - {_Found.UNWANTED}:
            self._empty.pop(key, None)
        elif self._empty.setdefault(key, began_ms) < deletable_before_ms(
            self._shared, self._settings.garbage_grace_s
        ):
            log.info("removing pack %016x of drive %d: nothing in it is wanted", pack.pack, pack.drive)
            await self._store.remove_pack(pack.drive, pack.pack)
            metrics.COMPACTED_PACKS.inc()
            metrics.COMPACTED_BYTES.inc(pack.total_bytes)

    async def _empty_out(self, pack: PackStatus) -> set[_Found]:
        """Move every blob that is wanted out of the pack; what was found on the way."""
        contents = await self._store.blobs_in_pack(pack.drive, pack.pack)
        blob_ids = list(contents.is_deleted)
        found: set[_Found] = set()
        for start in range(0, len(blob_ids), BATCH_BLOBS):
            batch = blob_ids[start : start + BATCH_BLOBS]
            lying = await self._metadata.read(queries.blobs_lying, batch)
            found |= await self._move_all(pack, lying.values())
            if not all(blob_id in lying or contents.is_deleted[blob_id] for blob_id in batch):
                found.add(_Found.STUCK)
        if contents.untold_bytes and _Found.STUCK not in found:
            found |= await self._ask_all(pack, contents.untold_bytes)
        return found

    async def _ask_all(self, pack: PackStatus, untold_bytes: int) -> set[_Found]:
        """Move every blob there is out of a pack that does not tell of all who lie in it."""
        key = (pack.drive, pack.pack)
        now_s = clock.monotonic_s()
        if clock.now_ms() - pack.changed_ms < DAMAGED_KEPT_S * 1000 or now_s < self._walk_again_s.get(
            key, 0.0
        ):
            return {_Found.STUCK}
        log.warning(
            "pack %016x of drive %d holds %d bytes that no frame or account explains; asking all blobs",
            pack.pack,
            pack.drive,
            untold_bytes,
        )
        self._walk_again_s[key] = now_s + WALK_AGAIN_S
        found: set[_Found] = set()
        async for page in walk.pages(self._metadata):
            found |= await self._move_all(pack, page)
        after = (-1, b"")
        while garbage := await self._metadata.read(queries.garbage_after, *after, FAR_MS, walk.PAGE_BLOBS):
            found |= await self._move_all(pack, [ref for _, ref in garbage])
            after = (garbage[-1][0], garbage[-1][1].id)
        return found

    async def _move_all(self, pack: PackStatus, refs: Iterable[BlobRef]) -> set[_Found]:
        began_s = clock.monotonic_s()
        found = set(await all_of(self._move(pack, ref) for ref in refs))
        await self._pace.rest(clock.monotonic_s() - began_s)
        return found

    async def _move(self, pack: PackStatus, ref: BlobRef) -> _Found:
        try:
            moved = await self._store.move_from_pack(ref, pack.drive, pack.pack)
        except (StoreUnavailable, OutOfSpace):
            raise
        except (StorageError, OSError) as exc:
            await self._metadata.write(QueueRepair(ref.id, f"compaction: {type(exc).__name__}"))
            return _Found.STUCK
        if moved.locator == ref.locator:
            return _Found.UNWANTED
        try:
            await move(self._metadata, self._store, ref, moved)
        except Conflict:
            return _Found.STUCK
        return _Found.MOVED


def _is_worth_it(pack: PackStatus) -> bool:
    is_mostly_dead = pack.live_bytes < LIVE_SHARE_MAX * pack.total_bytes
    return pack.is_finished and (is_mostly_dead or not pack.live_bytes)
