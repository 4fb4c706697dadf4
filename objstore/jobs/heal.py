"""Makes blobs whole again: those in the repair queue, and all of them when drives came or went.

Invariants kept here:
- What cannot be decided is never decided: a blob that cannot be read now is tried again later, and
  nothing is ever deleted here.
- New shards are durable and read back before the metadata names them (`Mender`); the ledger refuses
  the move if the blob was moved or let go of meanwhile.
- A drive counts as healed only after a walk over all blobs that found nothing to mend.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final

from objstore import clock, metrics
from objstore.jobs import walk
from objstore.jobs.job import JobSettings, Pace, all_of
from objstore.jobs.moving import Turns, move
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import FinishRepair, PostponeRepair, QueueRepair
from objstore.meta.interface import Conflict
from objstore.meta.queries import Repair
from objstore.model import BlobRef
from objstore.storage.interface import (
    BlobStore,
    DriveState,
    Health,
    StorageError,
    StoreUnavailable,
    Verification,
)

log = logging.getLogger(__name__)

BATCH_BLOBS: Final = 64
PARALLEL: Final = 8
LARGE_BYTES: Final = 8 << 20
"""Blobs above this are mended one at a time: each needs several chunks in memory."""
UNNAMED_S: Final = 900.0
"""So long after a repair was queued its blob may still be on its way to being named by a commit."""
UNNAMED_RETRY_S: Final = 60.0
HOPELESS_EVERY: Final = 8
"""Of a blob whose shards are missing because drives are away, only each so-manieth attempt reads it."""
SAVE_S: Final = 30.0
COUNT_EVERY_S: Final = 3600.0
COUNT_AT_RISK_EVERY_S: Final = 300.0
"""The same while there are blobs at risk."""
_READABLE: Final = (DriveState.ONLINE, DriveState.READ_ONLY)


class Mender:
    """Makes single blobs as whole as the drives allow, a few at a time. Shared by the jobs that mend."""

    def __init__(self, metadata: Metadata, store: BlobStore, turns: Turns) -> None:
        self._metadata = metadata
        self._store = store
        self._gate = asyncio.Semaphore(PARALLEL)
        self._large = asyncio.Lock()
        self._turns = turns

    async def mend(self, ref: BlobRef) -> Verification:
        """Verify and repair the blob, and have the metadata name where it lies afterwards.

        Raises Conflict when it was moved or let go of meanwhile: look at it again. Raises StorageError as
        `verify` does.
        """
        async with self._gate:
            if ref.size <= LARGE_BYTES:
                return await self._mend(ref)
            async with self._large:
                return await self._mend(ref)

    async def _mend(self, ref: BlobRef) -> Verification:
        async with self._turns.of(ref.id):
            known = (await self._metadata.read(queries.blobs_lying, [ref.id])).get(ref.id)
            if known is None or known.locator != ref.locator:
                raise Conflict(f"blob {ref.id.hex()} was moved or let go of before its turn came")
            return await self._mend_alone(ref)

    async def _mend_alone(self, ref: BlobRef) -> Verification:
        verification = await self._store.verify(ref, repair=True)
        if verification.ref.locator != ref.locator:
            await move(self._metadata, self._store, ref, verification.ref)
        metrics.REPAIRED_BLOBS.labels(_outcome(verification)).inc()
        if verification.repaired_shards:
            log.debug(
                "repaired %d shards of blob %s, now %s",
                verification.repaired_shards,
                ref.id.hex(),
                verification.health,
            )
        return verification


def _outcome(verification: Verification) -> str:
    if verification.health == Health.HEALTHY:
        return "repaired" if verification.repaired_shards else "was-healthy"
    return "partly" if verification.repaired_shards else str(verification.health)


class RepairQueue:
    """Works off the repair queue: what writers, readers and the scrub found with shards missing or bad."""

    name = "repair"

    def __init__(
        self, metadata: Metadata, store: BlobStore, mender: Mender, settings: JobSettings, pace: Pace
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._mender = mender
        self._settings = settings
        self._pace = pace

    async def run(self) -> float:
        """Try every repair that is due now, the most endangered blobs of each batch first."""
        now_ms = clock.now_ms()
        while due := await self._metadata.read(queries.repairs_due, now_ms, BATCH_BLOBS):
            began_s = clock.monotonic_s()
            await all_of(map(self._settle, self._by_danger(due)))
            if len(due) < BATCH_BLOBS:
                break
            await self._pace.rest(clock.monotonic_s() - began_s)
        return self._settings.repair_every_s

    def _by_danger(self, due: Iterable[Repair]) -> list[Repair]:
        def missing(repair: Repair) -> int:
            return self._store.exposure(repair.blob).missing_shards if repair.blob is not None else 0

        return sorted(due, key=missing, reverse=True)

    async def _settle(self, repair: Repair) -> None:
        """Every repair leaves here finished or postponed, so that one that cannot be done blocks none."""
        if repair.blob is None:
            if clock.now_ms() - repair.queued_ms > UNNAMED_S * 1000:
                await self._metadata.write(FinishRepair(repair.blob_id, repair.report))
            else:
                await self._postpone(repair, UNNAMED_RETRY_S)
            return
        try:
            health = await self._attempt(repair, repair.blob)
        except Conflict:
            await self._postpone(repair, self._settings.repair_every_s)
            return
        if health == Health.HEALTHY:
            await self._metadata.write(FinishRepair(repair.blob_id, repair.report))
        else:
            await self._postpone(repair, self._retry_s(repair.attempts))

    async def _attempt(self, repair: Repair, ref: BlobRef) -> Health:
        exposure = self._store.exposure(ref)
        is_hopeless = exposure.missing_shards > 0 and not exposure.is_mendable
        if is_hopeless and repair.attempts % HOPELESS_EVERY:
            return Health.DEGRADED
        try:
            health = (await self._mender.mend(ref)).health
        except StoreUnavailable:
            raise
        except (StorageError, OSError) as exc:
            log.warning("blob %s not repaired: %s: %s", ref.id.hex(), type(exc).__name__, exc)
            return Health.UNREADABLE
        if health in (Health.UNREADABLE, Health.MISSING):
            log.error("blob %s (%d bytes) is %s: %s", ref.id.hex(), ref.size, health, repair.reason)
        return health

    def _retry_s(self, attempts: int) -> float:
        settings = self._settings
        return min(settings.repair_retry_s_max, settings.repair_retry_s * 2.0 ** min(attempts, 16))

    async def _postpone(self, repair: Repair, seconds: float) -> None:
        await self._metadata.write(PostponeRepair(repair.blob_id, clock.now_ms() + int(seconds * 1000)))


class Heal:
    """Walks all blobs when drives came or went.

    A drive that appeared (new, in place of another, or back after an absence) calls for a walk at once:
    blobs that should lie on it, or have shards nowhere, are verified and mended, and a further walk must
    find nothing to mend. When a drive vanishes, the blobs at risk are counted; when it stays away, its
    shards are made again on other drives, as far as there are any that could take them.

    What it knows is kept in the metadata, where `objstore heal status` reads it: `healed`, the drives a
    complete walk vouches for; `away`, those that vanished, and when (0: made up for); `at_risk`; and the
    walk under way.
    """

    name = "heal"
    STATE: Final = "jobs.heal"

    def __init__(
        self, metadata: Metadata, store: BlobStore, mender: Mender, settings: JobSettings, pace: Pace
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._mender = mender
        self._settings = settings
        self._pace = pace
        self._state: dict[str, Any] = {}
        self._is_loaded = False
        self._online: dict[str, int] = {}
        self._changed_s = clock.monotonic_s()
        self._counted_s = float("-inf")
        self._mendable = 0
        self._saved_s = 0.0
        self.at_risk = 0
        """Blobs with shards on drives that cannot be read, or on none, when last counted."""

    async def run(self) -> float:
        """Look at the drives; walk if they call for it."""
        if not self._is_loaded:
            self._state = await walk.load(self._metadata, self.STATE)
            self._is_loaded = True
        online = await self._drives()
        if online != self._online:
            self._online, self._changed_s, self._counted_s = online, clock.monotonic_s(), float("-inf")
        count_every_s = COUNT_AT_RISK_EVERY_S if self.at_risk else COUNT_EVERY_S
        if clock.monotonic_s() - self._counted_s > count_every_s:
            await self._count_at_risk()
        is_settled = clock.monotonic_s() - self._changed_s >= self._settings.heal_settle_s
        if is_settled or "healed" not in self._state:
            await self._note_absences()
        if is_settled:
            await self._heal_if_due()
        return self._settings.heal_every_s

    async def _drives(self) -> dict[str, int]:
        """The drives that can be read now, by uuid, with their numbers."""
        status = await self._store.status()
        return {drive.uuid: drive.number for drive in status.drives if drive.state in _READABLE}

    async def _count_at_risk(self) -> None:
        at_risk = mendable = 0
        async for ref in walk.blobs(self._metadata):
            exposure = self._store.exposure(ref)
            at_risk += bool(exposure.missing_shards)
            mendable += bool(exposure.missing_shards and exposure.is_mendable)
        self.at_risk, self._mendable, self._counted_s = at_risk, mendable, clock.monotonic_s()
        if at_risk:
            log.warning("%d blobs have shards missing or on drives that are away", at_risk)
        if at_risk != self._state.get("at_risk"):
            self._state["at_risk"] = at_risk
            await self._save()

    async def _note_absences(self) -> None:
        """Bring `healed` and `away` up to date: a drive that was away is no longer vouched for."""
        before = dict(self._state)
        if "healed" not in before:  # the first start of all; with no blobs, nothing can be missing
            has_blobs = await self._metadata.read(queries.blobs_after, b"", 1)
            before |= {"healed": [] if has_blobs else sorted(self._online), "away": {}}
        vanished = set(before["healed"]) - set(self._online)
        now_ms = clock.now_ms()
        away = {
            uuid: min(since, now_ms)  # noted while the clock was set ahead, it would never be long ago
            for uuid, since in before["away"].items()
            if uuid not in self._online
        }
        state = before | {
            "healed": sorted(set(before["healed"]) - vanished),
            "away": away | dict.fromkeys(vanished, now_ms),
        }
        if state != self._state:
            self._state = state
            await self._save()

    async def _heal_if_due(self) -> None:
        healed, away = self._state["healed"], self._state["away"]
        appeared = set(self._online) - set(healed)
        lost_before_ms = clock.now_ms() - self._settings.heal_loss_s * 1000
        lost = {uuid for uuid, since_ms in away.items() if 0 < since_ms < lost_before_ms}
        numbers: frozenset[int] = frozenset()
        if appeared:
            numbers = frozenset(self._online[uuid] for uuid in appeared)
            healed = sorted(self._online)
        elif lost:
            away = away | dict.fromkeys(lost, 0)
        elif away or not self._mendable:  # else written with a drive missing, and a crash lost the repair
            return
        if await self._walk_until_clean(numbers):
            self._state = {"healed": healed, "away": away, "at_risk": self.at_risk}
            await self._save()

    async def _walk_until_clean(self, numbers: frozenset[int]) -> bool:
        """Walk until a whole walk finds nothing to mend; False when the drives changed meanwhile.

        Verified are the blobs with shards on the drives `numbers`, or with shards missing that could be
        made now.
        """
        key = f"{sorted(numbers)} of {sorted(self._online.values())}"
        if self._state.get("walk_of") != key:
            self._state |= {"walk_of": key, "walk": 1, "after": "", "mended": 0, "unmended": 0}
            await self._save()
        log.info("heal walk %d begins: drives %s", self._state["walk"], key)
        while await self._walk(numbers):
            mended, unmended = self._state["mended"], self._state["unmended"]
            log.info("heal walk %d: %d blobs mended, %d not", self._state["walk"], mended, unmended)
            if not mended:
                await self._count_at_risk()
                log.info("healing complete: nothing left to mend; %d blobs at risk", self.at_risk)
                return True
            self._state |= {"walk": self._state["walk"] + 1, "after": "", "mended": 0, "unmended": 0}
            await self._save()
        return False

    async def _walk(self, numbers: frozenset[int]) -> bool:
        """One walk, from where it stopped; False when it was cut short because the drives changed."""
        after = bytes.fromhex(self._state["after"])
        async for page in walk.pages(self._metadata, after, BATCH_BLOBS):
            began_s = clock.monotonic_s()
            await all_of(self._visit(ref, numbers) for ref in page)
            if await self._drives() != self._online:
                return False
            self._state["after"] = page[-1].id.hex()
            if clock.monotonic_s() - self._saved_s > SAVE_S:
                await self._save()
            await self._pace.rest(clock.monotonic_s() - began_s)
        return True

    async def _visit(self, ref: BlobRef, numbers: frozenset[int]) -> None:
        exposure = self._store.exposure(ref)
        if not exposure.drives & numbers and not (exposure.missing_shards and exposure.is_mendable):
            return
        try:
            verification = await self._mender.mend(ref)
        except Conflict:  # moved or let go of since the page was read
            await self._metadata.write(QueueRepair(ref.id, "moved while it was healed"))
            self._state["mended"] += 1  # not known: a further walk must say
            return
        except StoreUnavailable:
            raise
        except (StorageError, OSError) as exc:
            log.warning("blob %s not healed: %s: %s", ref.id.hex(), type(exc).__name__, exc)
            await self._metadata.write(QueueRepair(ref.id, f"heal: {type(exc).__name__}"))
            self._state["unmended"] += 1
            return
        self._state["mended"] += bool(verification.repaired_shards)
        if verification.health != Health.HEALTHY:
            self._state["unmended"] += 1
            if verification.bad_shards - verification.repaired_shards > exposure.missing_shards:
                await self._metadata.write(QueueRepair(ref.id, f"heal: {verification.health}"))

    async def _save(self) -> None:
        self._saved_s = clock.monotonic_s()
        await walk.save(self._metadata, self.STATE, self._state)
