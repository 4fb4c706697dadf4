"""The supervisor's children: names the concrete classes, puts them together, and runs each process.

Each is told what to do by an `Order` on standard input. A process imports only what its part needs: the
ledger's SQLite library and that of the others must not meet over one file in one process.
"""

import asyncio
import gc
import json
import logging
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from objstore import deployment, log, metrics, supervisor
from objstore.config import Config, ConfigError
from objstore.events.kinds import kinds_of
from objstore.iam.sealing import Sealer
from objstore.model import BlobRef
from objstore.shared_state import JOBS_READER, SharedState
from objstore.spool import ACCESS_LOGS, Spool
from objstore.storage.drive import DriveSet, open_drives
from objstore.storage.interface import BlobStore
from objstore.supervisor import Runtime
from objstore.tls import tls_context

if TYPE_CHECKING:
    from objstore.api.server import HttpServer
    from objstore.meta.client import Metadata
    from objstore.service import Services

LEDGER_WAIT_S: Final = 5.0
"""How long a worker that starts waits for the ledger before it takes requests."""
REPAIR_RETRY_S: Final = 1.0
REPAIRS_CLOSE_S: Final = 2.0
REPAIRS_WAITING_MAX: Final = 100_000
"""Blobs known to need repair that the ledger has not yet taken; further ones are left to the scrub."""

COLLECT_AFTER: Final = (10_000, 20, 20)
"""New objects, and collections of the younger generation, after which each generation is collected."""
_log = logging.getLogger("objstore.children")


@dataclass(frozen=True, slots=True)
class Order:
    """What a child process is told."""

    role: str
    config: Config
    runtime: Runtime
    directories: tuple[Path, ...]
    sealer: Sealer
    number: int
    ready_descriptor: int
    listen_descriptor: int | None
    rebuild_index: bool

    @classmethod
    def receive(cls) -> Self:
        """Read the order, start the log, and tie this process's life to the supervisor's."""
        document = json.load(sys.stdin)
        supervisor.die_with_parent(document["parent"])
        config = Config(**document["config"])
        log.start(level=config.log_level, format=config.log_format, access=config.access_log)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the supervisor decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if document["restarts"]:
            metrics.PROCESS_RESTARTS.labels(document["role"].split("-")[0]).inc()
        return cls(
            role=document["role"],
            config=config,
            runtime=Runtime(Path(document["runtime"])),
            directories=tuple(map(Path, document["directories"])),
            sealer=Sealer.from_text(document["key"]),
            number=document.get("number", 0),
            rebuild_index=document.get("rebuild_index", False),
            ready_descriptor=document["ready_descriptor"],
            listen_descriptor=document["listen_descriptor"],
        )

    def report_ready(self) -> None:
        """Tell the supervisor that this process does its work."""
        _spare_collector()
        supervisor.report_ready(self.ready_descriptor)

    def open_drives(self) -> DriveSet:
        """The drives as this process sees them; the supervisor has them locked."""
        return open_drives(self.directories, reserve_bytes=self.config.reserve_bytes)


def _spare_collector() -> None:
    """Keep what was loaded so far out of the garbage collector's sight, and have it look less often.

    Modules and tables are never garbage, and walking them stops the event loop for 40 ms; requests make
    few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def run(role: str) -> None:
    """Be the child of that role, as the order on standard input says. What ends it goes to the log."""
    order = Order.receive()
    lives = {"ledger": run_ledger, "worker": run_worker, "jobs": run_jobs}
    try:
        lives[role](order)
    except Exception:
        _log.exception("%s cannot go on", order.role)
        sys.exit(1)


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


def _stop_on_sigterm() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def _open_store(order: Order, drives: DriveSet, repairs: "RepairReports") -> BlobStore:
    from objstore.remote.client import RemoteS3
    from objstore.remote.endpoint import Endpoint
    from objstore.remote.tier_store import Tier, TierStore
    from objstore.storage.erasure_store import ErasureBlobStore

    config = order.config
    local = await ErasureBlobStore.open(
        drives,
        config.erasure.data_shards,
        config.erasure.parity_shards,
        chunk_bytes=config.chunk_bytes,
        memory_bytes=config.memory_budget_bytes,
        on_degraded=repairs.report,
    )
    # Without tiers too: blobs may lie at one that the settings name no more, and must not look lost.
    remotes = {remote.name: RemoteS3(Endpoint.of(remote)) for remote in config.remotes}
    return TierStore(local, remotes, list(map(Tier.parse, config.tiers)))


def _services(
    order: Order, metadata: "Metadata", store: BlobStore, shared: SharedState, reader: int
) -> "Services":
    """What S3 operations mean, over this process's stores; `reader` is its own among those who read."""
    from objstore.keepers import envelopes_of, keyring_of
    from objstore.meta.live import LiveFeed
    from objstore.service import build_services
    from objstore.service.buckets import BucketRules
    from objstore.service.encryption import EncryptionRules
    from objstore.service.selections import SelectLimits

    config = order.config
    return build_services(
        metadata,
        store,
        shared,
        reader,
        BucketRules(accepted_regions(config), per_owner_max=config.buckets_max),
        envelopes_of(config, keyring_of(metadata, order.sealer, shared)),
        EncryptionRules(
            encrypts_by_default=config.default_encryption == "AES256",
            blocks_customer_keys=config.sse_c_blocked,
            takes_customer_keys_over_http=config.sse_c_over_http,
            regions=accepted_regions(config),
        ),
        targets=kinds_of(target.get_secret_value() for target in config.targets),
        lifecycle_day_s=config.lifecycle_debug_day_s,
        remotes={remote.name: remote.users for remote in config.remotes},
        feed=LiveFeed(str(order.runtime.ledger_socket)),
        select=SelectLimits(config.select_concurrency, config.select_memory_bytes, config.select_time_s),
    )


def _spool_directories(drives: DriveSet) -> tuple[Path, ...]:
    """Where lines of access logs can wait for their delivery."""
    online = sorted((drive.number, drive.path) for drive in drives if drive.session is not None)
    return tuple(Path(path) / deployment.SYSTEM_DIRECTORY for _, path in online)


class RepairReports:
    """Passes on to the ledger which blobs have fewer than all shards good, until it has taken it."""

    def __init__(self, metadata: "Metadata") -> None:
        self._metadata = metadata
        self._waiting: dict[bytes, str] = {}
        self._sending: asyncio.Task[None] | None = None

    def report(self, ref: BlobRef, reason: str) -> None:
        """Queue the blob for repair. Does not wait."""
        if len(self._waiting) >= REPAIRS_WAITING_MAX:
            return
        self._waiting[ref.id] = reason
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        from objstore.meta.commands import QueueRepair
        from objstore.meta.interface import MetadataError

        while self._waiting:
            batch = list(self._waiting.items())[:100]
            commands = [QueueRepair(blob_id, reason) for blob_id, reason in batch]
            try:
                await asyncio.gather(*map(self._metadata.write, commands))
            except MetadataError as exc:  # queueing again what was queued is no error
                _log.warning("%d repairs wait for the ledger: %s", len(self._waiting), exc)
                await asyncio.sleep(REPAIR_RETRY_S)
                continue
            for blob_id, _ in batch:
                self._waiting.pop(blob_id, None)

    async def close(self) -> None:
        """Give what still waits one last chance; the scrub finds what is not taken."""
        if self._sending is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._sending, REPAIRS_CLOSE_S)


# The worker


def run_worker(order: Order) -> None:
    """Answer S3 requests until SIGTERM, then finish what runs."""
    _run(_work(order))


async def _work(order: Order) -> None:
    from objstore import health
    from objstore.api.pipeline import S3Door
    from objstore.api.server import HttpServer, Limits
    from objstore.iam.credentials import Credentials
    from objstore.iam.mfa import MfaDevices
    from objstore.iam.permissions import AccessRules, Permissions
    from objstore.meta.client import Metadata
    from objstore.service.failures import translate

    config = order.config
    stop = _stop_on_sigterm()
    shared = SharedState(order.runtime.state)
    drives = order.open_drives()
    metadata = Metadata.begin(str(order.runtime.ledger_socket), shared)
    repairs = RepairReports(metadata)
    store = await _open_store(order, drives, repairs)
    services = _services(order, metadata, store, shared, order.number)
    spool = Spool(
        _spool_directories(drives),
        ACCESS_LOGS,
        config.bucket_logs_every_s,
        metrics.ACCESS_LOG_LINES.labels("dropped").inc,
    )
    door = S3Door(
        services,
        services.buckets,
        Credentials(metadata, order.sealer, shared),
        Permissions(
            metadata,
            shared,
            AccessRules(
                blocks_new_buckets=config.new_buckets == "blocked",
                shows_display_names=config.display_names,
            ),
        ),
        MfaDevices(metadata, order.sealer),
        translate,
        regions=accepted_regions(config),
        domains=config.domains,
        website_domains=config.website_domains,
        spool=spool,
        index=metadata,
    )
    token = config.metrics_token.get_secret_value() if config.metrics_token else None
    limits = Limits(config.connections_max, config.idle_timeout_s, config.stall_timeout_s)
    server = HttpServer(
        door, limits, health.pages(metadata, store, health.Readers(config.metrics_public, token))
    )
    await order.runtime.wait_prepared()
    await metadata.wait_ready(LEDGER_WAIT_S)  # meanwhile connections wait in the queue
    assert order.listen_descriptor is not None
    server.start(socket.socket(fileno=order.listen_descriptor), tls_context(config))
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload_certificate, config, server)
    observing = asyncio.create_task(health.observe(store))
    order.report_ready()
    try:
        await stop.wait()
    finally:
        services.listeners.close()  # they would stay for as long as they are let
        await server.drain(config.drain_s)
        observing.cancel()
        await asyncio.get_running_loop().run_in_executor(None, spool.close)
        await services.drain()
        await repairs.close()
        await store.close()
        await metadata.close()
        drives.close()


def accepted_regions(config: Config) -> tuple[str, ...]:
    """The server's own region first, then the others; us-east-1 is always accepted."""
    return tuple(dict.fromkeys((config.region, *config.other_regions, "us-east-1")))


def _reload_certificate(config: Config, server: "HttpServer") -> None:
    try:
        context = tls_context(config)
    except ConfigError as exc:
        _log.error("certificate not reloaded, the old one stays in use: %s", exc)
        return
    if context is not None:
        server.use_certificate(context)
        _log.info("certificate reloaded")


# The ledger


def run_ledger(order: Order) -> None:
    """Commit metadata until SIGTERM. Exit status 1 when it must start anew or cannot start now."""
    from objstore.meta.interface import MetaDrive
    from objstore.meta.ledger import LedgerFailed, LedgerSettings
    from objstore.meta.ledger import run_ledger as commit

    drives = order.open_drives()
    try:
        online = [drive for drive in drives if drive.session is not None]
        settings = LedgerSettings(
            drives=tuple(MetaDrive(drive.number, drive.path) for drive in online),
            deployment=tuple(sorted(drives.membership.drives)),
            copies=order.config.erasure.parity_shards + 1,
            socket_path=str(order.runtime.ledger_socket),
            index_directory=str(order.config.index_directory) if order.config.index_directory else None,
            is_new=len(online) == len(drives.membership.drives)
            and not deployment.holds_bytes([Path(drive.path) for drive in online]),
            rebuild_index=order.rebuild_index,
        )
    finally:
        drives.close()
    try:
        commit(settings, SharedState(order.runtime.state), on_ready=order.report_ready)
    except LedgerFailed as exc:
        _log.error("the ledger starts anew: %s", exc)
        sys.exit(1)


# The jobs process


def run_jobs(order: Order) -> None:
    """Run the background jobs until SIGTERM."""
    from objstore.jobs.job import lower_priority

    lower_priority()
    _run(_do_jobs(order))


async def _do_jobs(order: Order) -> None:
    from objstore.jobs.job import JobSettings
    from objstore.jobs.runner import run_jobs as work_off
    from objstore.meta.client import Metadata

    stop = _stop_on_sigterm()
    shared = SharedState(order.runtime.state)
    drives = order.open_drives()
    metadata = Metadata.begin(str(order.runtime.ledger_socket), shared)
    repairs = RepairReports(metadata)
    store = await _open_store(order, drives, repairs)
    services = _services(order, metadata, store, shared, JOBS_READER)
    order.report_ready()
    try:
        settings = replace(JobSettings.of(order.config), spool_directories=_spool_directories(drives))
        await work_off(metadata, store, shared, services, settings, stop)
    finally:
        await services.drain()
        await repairs.close()
        await store.close()
        await metadata.close()
        drives.close()
