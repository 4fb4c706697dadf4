"""Reads and verifies every stored byte once in a published time, and queues what is damaged for repair.

A pass walks all blobs by id and spreads them over the cycle, so the drives feel it little; where it
is survives a restart in the metadata. The scrub itself changes nothing on a drive.
"""

import logging
from typing import Any, Final

from objstore import clock, metrics
from objstore.jobs import walk
from objstore.jobs.job import JobSettings, Pace
from objstore.meta.client import Metadata
from objstore.meta.commands import QueueRepair
from objstore.model import BlobRef
from objstore.storage.interface import BlobStore, Health, StorageError, StoreUnavailable

log = logging.getLogger(__name__)

BLOB_WORK_BYTES: Final = 64 << 10
"""What visiting a blob costs besides its bytes, for spreading a pass over the cycle."""
CYCLE_PART: Final = 0.9
"""A pass is to be done in this part of the cycle, so that what is written meanwhile fits as well."""
SAVE_S: Final = 60.0


def _work(ref: BlobRef) -> int:
    return ref.size + BLOB_WORK_BYTES


class Scrub:
    """The scrub job."""

    name = "scrub"
    STATE: Final = "jobs.scrub"

    def __init__(self, metadata: Metadata, store: BlobStore, settings: JobSettings, pace: Pace) -> None:
        self._metadata = metadata
        self._store = store
        self._settings = settings
        self._pace = pace
        self._state: dict[str, Any] | None = None
        self._saved_s = 0.0
        metrics.SCRUB_CYCLE_SECONDS.set(settings.scrub_cycle_s)

    async def run(self) -> float:
        """Verify as many blobs as are due by now."""
        cycle_s = self._settings.scrub_cycle_s
        if not cycle_s:
            return 3600.0
        if self._state is None:
            self._state = await walk.load(self._metadata, self.STATE)
        if not self._state.get("is_running"):
            if self._state and clock.now_ms() < self._state["started_ms"] + cycle_s * 1000:
                return min(60.0, cycle_s)
            await self._begin()
        await self._go_on()
        return self._settings.scrub_every_s

    async def _begin(self) -> None:
        assert self._state is not None
        total = 0
        async for ref in walk.blobs(self._metadata):
            total += _work(ref)
        self._state |= {
            "pass": self._state.get("pass", 0) + 1,
            "is_running": True,
            "started_ms": clock.now_ms(),
            "after": "",
            "done": 0,
            "total": total,
            "blobs": 0,
            "bad": 0,
        }
        await self._save()
        log.info("scrub pass %d begins: %d bytes", self._state["pass"], total)

    def _due(self) -> int:
        """How much of the pass should be done by now."""
        assert self._state is not None
        elapsed_ms = clock.now_ms() - self._state["started_ms"]
        part = elapsed_ms / (self._settings.scrub_cycle_s * 1000 * CYCLE_PART)
        return int(self._state["total"] * min(1.0, max(0.0, part)))

    async def _go_on(self) -> None:
        assert self._state is not None
        state = self._state
        async for ref in walk.blobs(self._metadata, bytes.fromhex(state["after"])):
            if state["done"] >= self._due() and state["done"] < state["total"]:
                await self._save_if_due()
                return
            await self._verify(ref)
            state |= {"after": ref.id.hex(), "done": state["done"] + _work(ref), "blobs": state["blobs"] + 1}
            metrics.SCRUB_PROGRESS_RATIO.set(min(1.0, state["done"] / max(1, state["total"])))
            await self._save_if_due()
        await self._end()

    async def _verify(self, ref: BlobRef) -> None:
        """Read one blob's shards; damage beyond what the drives' states explain goes to the repair queue."""
        assert self._state is not None
        began_s = clock.monotonic_s()
        try:
            verification = await self._store.verify(ref, repair=False)
        except StoreUnavailable:
            raise
        except (StorageError, OSError) as exc:
            health, reason = Health.UNREADABLE, type(exc).__name__
        else:
            health, reason = verification.health, f"{verification.bad_shards} bad shards"
            if (
                health != Health.HEALTHY
                and verification.bad_shards <= self._store.exposure(ref).missing_shards
            ):
                reason = ""  # a drive is away, and whoever looks after drives knows
        if health != Health.HEALTHY and reason:
            self._state["bad"] += 1
            log.warning("scrub found blob %s %s: %s", ref.id.hex(), health, reason)
            await self._metadata.write(QueueRepair(ref.id, f"scrub: {reason}"))
        metrics.SCRUBBED_BLOBS.labels(health).inc()
        metrics.SCRUBBED_BYTES.inc(ref.size)
        await self._pace.rest(clock.monotonic_s() - began_s)

    async def _end(self) -> None:
        assert self._state is not None
        self._state |= {"is_running": False, "ended_ms": clock.now_ms()}
        await self._save()
        metrics.SCRUB_PASSES.inc()
        metrics.SCRUB_PROGRESS_RATIO.set(1)
        metrics.SCRUB_ENDED_SECONDS.set(self._state["ended_ms"] / 1000)
        log.info(
            "scrub pass %d ended: %d blobs, %d damaged",
            self._state["pass"],
            self._state["blobs"],
            self._state["bad"],
        )

    async def _save_if_due(self) -> None:
        if clock.monotonic_s() - self._saved_s > SAVE_S:
            await self._save()

    async def _save(self) -> None:
        assert self._state is not None
        self._saved_s = clock.monotonic_s()
        await walk.save(self._metadata, self.STATE, self._state)
