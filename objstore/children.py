"""The supervisor's children: names the concrete classes, puts them together, and runs each process.

Each is told what to do by an `Order` on standard input. A process imports only what its part needs: the
ledger's SQLite library and that of the others must not meet over one file in one process.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from objstore import deployment, log, metrics, supervisor
from objstore.config import Config, ConfigError
from objstore.iam.sealing import Sealer
from objstore.model import BlobRef
from objstore.shared_state import SharedState
from objstore.storage.drive import DriveSet, open_drives
from objstore.storage.interface import BlobStore, DriveState
from objstore.supervisor import Runtime
from objstore.tls import tls_context

if TYPE_CHECKING:
    from objstore.api.server import HttpServer
    from objstore.meta.client import Metadata

OBSERVE_S: Final = 5.0
"""How often a worker says how the drives are."""
LEDGER_ANSWER_S: Final = 2.0
"""A ledger that has not answered a question about itself by then counts as away."""
REPAIR_RETRY_S: Final = 1.0
REPAIRS_WAITING_MAX: Final = 100_000
"""Blobs known to need repair that the ledger has not yet taken; further ones are left to the scrub."""

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
            ready_descriptor=document["ready_descriptor"],
            listen_descriptor=document["listen_descriptor"],
        )

    def report_ready(self) -> None:
        """Tell the supervisor that this process does its work."""
        supervisor.report_ready(self.ready_descriptor)

    def open_drives(self) -> DriveSet:
        """The drives as this process sees them; the supervisor has them locked."""
        return open_drives(self.directories, reserve_bytes=self.config.reserve_bytes)


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(main)


def _stop_on_sigterm() -> asyncio.Event:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return stop


async def _open_store(order: Order, drives: DriveSet, repairs: "RepairReports") -> BlobStore:
    from objstore.storage.erasure_store import ErasureBlobStore

    return await ErasureBlobStore.open(
        drives,
        order.config.erasure.data_shards,
        order.config.erasure.parity_shards,
        chunk_bytes=order.config.chunk_bytes,
        memory_bytes=order.config.memory_budget_bytes,
        on_degraded=repairs.report,
    )


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
                await asyncio.wait_for(self._sending, LEDGER_ANSWER_S)


# The worker


def run_worker(order: Order) -> None:
    """Answer S3 requests until SIGTERM, then finish what runs."""
    _run(_work(order))


async def _work(order: Order) -> None:
    from objstore.api.pipeline import S3Door
    from objstore.api.server import HttpServer, Limits
    from objstore.iam.credentials import Credentials
    from objstore.meta.client import Metadata
    from objstore.service import build_services
    from objstore.service.buckets import BucketRules
    from objstore.service.failures import translate

    config = order.config
    stop = _stop_on_sigterm()
    shared = SharedState(order.runtime.state)
    drives = order.open_drives()
    metadata = Metadata.begin(str(order.runtime.ledger_socket), shared)
    repairs = RepairReports(metadata)
    store = await _open_store(order, drives, repairs)
    regions = accepted_regions(config)
    services = build_services(
        metadata, store, shared, order.number, BucketRules(regions, per_owner_max=config.buckets_max)
    )
    door = S3Door(
        services,
        services.buckets,
        Credentials(metadata, order.sealer, shared),
        translate,
        regions=regions,
        domains=config.domains,
    )
    limits = Limits(config.connections_max, config.idle_timeout_s, config.stall_timeout_s)
    server = HttpServer(door, limits, health_pages(metadata, store))
    await order.runtime.wait_prepared()
    assert order.listen_descriptor is not None
    server.start(socket.socket(fileno=order.listen_descriptor), tls_context(config))
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload_certificate, config, server)
    observing = asyncio.create_task(_observe(store))
    order.report_ready()
    try:
        await stop.wait()
    finally:
        await server.drain(config.drain_s)
        observing.cancel()
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


def health_pages(
    metadata: "Metadata", store: BlobStore
) -> dict[str, Callable[[], Awaitable[tuple[int, str, bytes]]]]:
    """What answers the paths beside S3. No bucket has these names: they begin like `health/`, `metrics`."""

    async def live() -> tuple[int, str, bytes]:
        return 200, "application/json", b'{"status":"live"}\n'

    async def ready() -> tuple[int, str, bytes]:
        reasons = await _missing(metadata, store)
        said = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return 503 if reasons else 200, "application/json", json.dumps(said).encode() + b"\n"

    async def page() -> tuple[int, str, bytes]:
        content_type, body = await asyncio.get_running_loop().run_in_executor(None, metrics.page)
        return 200, content_type, body

    return {"/health/live": live, "/health/ready": ready, "/metrics": page}


async def _missing(metadata: "Metadata", store: BlobStore) -> list[str]:
    """Why the server cannot fully serve now; empty when it can."""
    from objstore.meta.interface import MetadataError

    reasons = []
    status = await store.status()
    if not (status.may_read and status.may_write):
        reasons.append(status.reason or "too few drives")
    try:
        ledger = await asyncio.wait_for(metadata.ledger_status(), LEDGER_ANSWER_S)
    except (TimeoutError, MetadataError) as exc:
        reasons.append(f"the ledger does not answer: {str(exc) or 'no answer in time'}")
    else:
        if not ledger["is_writable"]:
            reasons.append(str(ledger.get("reason") or "the ledger takes no commands"))
    return reasons


async def _observe(store: BlobStore) -> None:
    """Keep the gauges of the drives up to date. All workers say the same; the last one counts."""
    while True:
        for drive in (await store.status()).drives:
            label = str(drive.number) if drive.number >= 0 else drive.path
            metrics.DRIVE_TOTAL_BYTES.labels(label).set(drive.total_bytes)
            metrics.DRIVE_FREE_BYTES.labels(label).set(drive.free_bytes)
            for state in DriveState:
                metrics.DRIVE_STATE.labels(label, state.value).set(state is drive.state)
        await asyncio.sleep(OBSERVE_S)


# The ledger


def run_ledger(order: Order) -> None:
    """Commit metadata until SIGTERM. Exit status 1 when it must start anew or cannot start now."""
    from objstore.meta.interface import MetaDrive
    from objstore.meta.ledger import LedgerFailed, LedgerSettings
    from objstore.meta.ledger import run_ledger as run

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
        )
    finally:
        drives.close()
    try:
        run(settings, SharedState(order.runtime.state), on_ready=order.report_ready)
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
    from objstore.jobs.runner import run_jobs as run
    from objstore.meta.client import Metadata

    stop = _stop_on_sigterm()
    shared = SharedState(order.runtime.state)
    drives = order.open_drives()
    metadata = Metadata.begin(str(order.runtime.ledger_socket), shared)
    repairs = RepairReports(metadata)
    store = await _open_store(order, drives, repairs)
    order.report_ready()
    try:
        await run(metadata, store, shared, JobSettings.of(order.config), stop)
    finally:
        await repairs.close()
        await store.close()
        await metadata.close()
        drives.close()
