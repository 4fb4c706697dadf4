"""The jobs process's body: starts each background job, spaces and reports it, and keeps it alive.

One of each job runs, in one process, so no two of them work on the same blob unknown to each other but
through the ledger, which decides. A job that fails is logged, counted and tried again with growing
pauses; it never takes another one down. Each may be cut off anywhere: what it has not committed is
done again.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final, cast

from objstore import clock, metrics
from objstore.iam.permissions import Permissions
from objstore.jobs.access_logs import AccessLogs, RulesLog, open_spool
from objstore.jobs.compaction import Compaction
from objstore.jobs.delivery import Delivery
from objstore.jobs.garbage import Garbage
from objstore.jobs.heal import Heal, Mender, RepairQueue
from objstore.jobs.inventories import Inventories
from objstore.jobs.job import Job, JobSettings, Pace
from objstore.jobs.lifecycle import Lifecycle
from objstore.jobs.lock_clock import LockClock
from objstore.jobs.moving import Turns
from objstore.jobs.orphans import Orphans
from objstore.jobs.replication import ReplicationQueue, Resync
from objstore.jobs.restores import Restores
from objstore.jobs.scrub import Scrub
from objstore.jobs.transitions import Transitions
from objstore.meta import queries, tiering
from objstore.meta.client import Metadata
from objstore.meta.interface import MetadataError
from objstore.remote.tier_store import TierStore
from objstore.service import Services
from objstore.shared_state import SharedState
from objstore.storage.interface import BlobStore, Compactable, StorageError

log = logging.getLogger(__name__)

BACK_OFF_S: Final = 1.0
BACK_OFF_S_MAX: Final = 300.0
REPORT_EVERY_S: Final = 15.0


async def run_jobs(
    metadata: Metadata,
    store: BlobStore,
    shared: SharedState,
    services: Services,
    settings: JobSettings,
    stop: asyncio.Event,
) -> None:
    """Run all background jobs until `stop` is set. Closes nothing it was given.

    `services` are for jobs that read and write objects as clients do.
    """
    pace = Pace(settings.busy_share)
    permissions = Permissions(metadata, shared)
    spool = open_spool(settings.spool_directories, settings.bucket_logs_every_s)
    turns = Turns()
    mender = Mender(metadata, store, turns)
    heal = Heal(metadata, store, mender, settings, pace)
    rules_log = RulesLog(services.watches, spool)
    lifecycle = Lifecycle(metadata, settings, pace, rules_log)
    delivery = Delivery(metadata, settings)
    replication = ReplicationQueue(metadata, services, settings)
    jobs: list[Job] = [
        LockClock(metadata),
        Garbage(metadata, store, shared, settings, turns),
        RepairQueue(metadata, store, mender, settings, pace),
        heal,
        Scrub(metadata, store, settings, pace),
        Orphans(metadata, store, shared, settings, pace, turns),
        lifecycle,
        Restores(metadata, store, settings),
        AccessLogs(services, permissions, settings),
        Inventories(metadata, services, permissions, settings, pace),
        delivery,
        replication,
        Resync(metadata, services),
        Report(metadata, heal, [target.partition("=")[0] for target in settings.targets]),
    ]
    local = store
    if isinstance(store, TierStore):
        local = store.local
        jobs.append(Transitions(metadata, store, lifecycle, settings, pace, rules_log))
    if hasattr(local, "move_from_pack"):  # a store without packs has nothing to compact
        jobs.append(Compaction(metadata, cast(Compactable, local), shared, settings, pace))
    try:
        await run_until(jobs, stop)
    finally:
        await delivery.close()
        spool.close()
        await replication.close()


class Report:
    """Keeps the gauges of what waits up to date."""

    name = "report"

    def __init__(self, metadata: Metadata, heal: Heal, targets: Iterable[str]) -> None:
        self._metadata = metadata
        self._heal = heal
        self._targets = set(targets)

    async def run(self) -> float:
        """Count."""
        counts = await self._metadata.read(queries.counts)
        metrics.REPAIR_QUEUE.set(counts.repairs)
        metrics.GARBAGE_QUEUE.set(counts.garbage)
        metrics.GARBAGE_BYTES.set(counts.garbage_bytes)
        restoring, intents = await self._metadata.read(tiering.counts)
        metrics.RESTORES_WAITING.set(restoring)
        metrics.TIER_INTENTS.set(intents)
        waiting = await self._metadata.read(queries.events_waiting)
        self._targets |= waiting.keys()
        for target in self._targets:
            metrics.EVENTS_WAITING.labels(target).set(waiting.get(target, 0))
        unsent, unsent_bytes, since_ms = await self._metadata.read(queries.replications_waiting)
        metrics.REPLICATIONS_WAITING.set(unsent)
        metrics.REPLICATION_WAITING_BYTES.set(unsent_bytes)
        metrics.REPLICATION_LAG_SECONDS.set(0 if since_ms is None else (clock.now_ms() - since_ms) / 1000)
        metrics.AT_RISK_BLOBS.set(max(counts.repairs, self._heal.at_risk))
        return REPORT_EVERY_S


async def keep_running(job: Job) -> None:
    """Run one job for ever: again when it says, with growing pauses while it fails."""
    failures = 0
    while True:
        began_s = clock.monotonic_s()
        try:
            rest_s = await job.run()
            outcome, failures = "ok", 0
        except (MetadataError, StorageError, OSError) as exc:
            outcome, failures = "failed", failures + 1
            rest_s = _back_off_s(failures)
            log.warning("%s stopped: %s: %s; again in %.0f s", job.name, type(exc).__name__, exc, rest_s)
        except Exception:
            outcome, failures = "failed", failures + 1
            rest_s = _back_off_s(failures)
            log.exception("%s failed; again in %.0f s", job.name, rest_s)
        metrics.JOB_RUNS.labels(job.name, outcome).inc()
        metrics.JOB_SECONDS.labels(job.name).observe(clock.monotonic_s() - began_s)
        await asyncio.sleep(rest_s)


def _back_off_s(failures: int) -> float:
    return min(BACK_OFF_S_MAX, BACK_OFF_S * 2.0 ** min(failures - 1, 16))


async def run_until(jobs: Sequence[Job], stop: asyncio.Event) -> None:
    """Keep all `jobs` running until `stop` is set; returns when the last has let go."""
    tasks = [asyncio.create_task(keep_running(job), name=f"job {job.name}") for job in jobs]
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
