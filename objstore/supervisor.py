"""The process that starts the others, keeps them alive, and stops them in order.

One ledger, W workers, one jobs process; each is `python -m objstore _role`, told what to do by one JSON
document on its standard input. What holds here:

- A child that dies is started again: at once when it had worked, with a growing pause when it dies
  before it was ever ready. It is tried for ever: a ledger without a quorum of journals waits for drives.
- The listening sockets belong to the supervisor, one per worker (SO_REUSEPORT). A connection that
  arrives while its worker is restarted waits in the queue instead of being refused.
- Children die with the supervisor, even with one that was killed: PR_SET_PDEATHSIG.
- Stopping: no new connections, workers and jobs finish what runs (bounded), then the ledger, which
  answers workers to the end. A second signal stops without waiting; what was acknowledged is durable.
"""

import asyncio
import ctypes
import fcntl
import json
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from objstore import clock
from objstore.config import ENVIRONMENT_PREFIX
from objstore.log import ROLE_VARIABLE
from objstore.shared_state import SharedState

RESTART_S: Final = 0.1
"""Pause before a child that had worked is started again."""
SHORT_LIFE_S: Final = 5.0
SHORT_LIFE_PAUSE_S: Final = 0.5
"""Pause for one that was ready but lived less than SHORT_LIFE_S: a crash loop must not eat the CPU."""
FAILED_START_PAUSE_MAX_S: Final = 5.0
STOP_MARGIN_S: Final = 5.0
"""A child that has not ended so long after its own bound is killed."""
LEDGER_STOP_S: Final = 10.0
PREPARE_WAIT_S: Final = 5.0
"""How long workers wait for root's rows; without a quorum of journals they serve all the same, to read."""
PREPARE_POLL_S: Final = 0.01
BACKLOG: Final = 4096
ARENAS_VARIABLE: Final = "MALLOC_ARENA_MAX"
ARENAS: Final = "2"
"""glibc would give a heap of its own to each of a child's dozens of threads, which rarely run at once."""
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_PR_SET_PDEATHSIG: Final = 1
_PREFIX: Final = "objstore-"

_log = logging.getLogger("objstore.supervisor")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The server's directory for what only lives as long as it runs: socket, shared numbers, metrics."""

    path: Path

    @property
    def ledger_socket(self) -> Path:
        """Where the ledger takes commands."""
        return self.path / "ledger.sock"

    @property
    def state(self) -> Path:
        """The file behind `SharedState`."""
        return self.path / "state"

    @property
    def metrics(self) -> Path:
        """prometheus_client's multiprocess directory."""
        return self.path / "metrics"

    @property
    def lock(self) -> Path:
        """Locked by the supervisor: a directory whose lock is free is left over and may be removed."""
        return self.path / "lock"

    @property
    def prepared(self) -> Path:
        """Exists once root's key is stored: from then on requests find it."""
        return self.path / "prepared"

    async def wait_prepared(self) -> None:
        """Wait for that, but not for ever."""
        deadline_s = clock.monotonic_s() + PREPARE_WAIT_S
        while not self.prepared.exists() and clock.monotonic_s() < deadline_s:  # noqa: ASYNC110 - no event
            await asyncio.sleep(PREPARE_POLL_S)

    @property
    def is_alive(self) -> bool:
        """Its supervisor still runs."""
        try:
            with self.lock.open("rb") as file:
                return not _try_lock(file)
        except OSError:
            return False


class RuntimeDirectory:
    """Makes a Runtime and removes it again. In memory (/dev/shm) where there is one: the mapped metric
    files must not wait for a disk."""

    def __init__(self) -> None:
        base = _runtime_base()
        for stale in _stale(base):
            shutil.rmtree(stale, ignore_errors=True)
        self.runtime = Runtime(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base)))
        self.runtime.metrics.mkdir(0o700)
        SharedState.create(self.runtime.state)
        self._lock = self.runtime.lock.open("xb")
        assert _try_lock(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.runtime.path, ignore_errors=True)
        self._lock.close()


def _runtime_base() -> str:
    shared_memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a directory of our own in it
    return str(shared_memory) if os.access(shared_memory, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stale(base: str) -> Iterator[Path]:
    """Runtime directories of ours whose supervisor was killed. One just being made has no lock file yet."""
    for path in Path(base).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.stat().st_uid == os.getuid() and (path / "lock").exists() and not Runtime(path).is_alive:
                yield path


def listen(address: str, port: int, count: int) -> list[socket.socket]:
    """`count` listening sockets on one address, between which the kernel spreads connections.

    Raises OSError (address in use) also when the other user of the port would have shared it.
    """
    family, _, _, _, target = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )[0]
    with socket.socket(family, socket.SOCK_STREAM) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(target)
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(target)
            target = sock.getsockname()  # the port the system chose, for those that follow
            sock.listen(BACKLOG)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def die_with_parent(parent: int) -> None:
    """Called by a child first of all: SIGKILL for it when the supervisor's process ends, however."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def report_ready(descriptor: int) -> None:
    """Called by a child once it does its work: closes the descriptor it was given for this."""
    os.write(descriptor, b"1")
    os.close(descriptor)


@dataclass
class Child:
    """One process to keep alive. `document` is what it is told, besides who it is."""

    role: str
    command: str
    document: dict[str, Any]
    listener: socket.socket | None = None
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    started_s: float = 0.0
    failures: int = 0
    restarts: int = 0

    def pause_s(self) -> float:
        """How long to wait before it is started again, now that it ended."""
        if not self.ready.is_set():
            self.failures += 1
            return min(RESTART_S * 2.0**self.failures, FAILED_START_PAUSE_MAX_S)
        self.failures = 0
        lived_s = clock.monotonic_s() - self.started_s
        return RESTART_S if lived_s >= SHORT_LIFE_S else SHORT_LIFE_PAUSE_S


async def spawn(child: Child, runtime: Runtime) -> asyncio.subprocess.Process:
    """Start a child's process and tell it what to do; `child.ready` is set once it says so."""
    ready_read, ready_write = os.pipe()
    inherited = [ready_write] + ([child.listener.fileno()] if child.listener is not None else [])
    document = {
        **child.document,
        "role": child.role,
        "parent": os.getpid(),
        "restarts": child.restarts,
        "runtime": str(runtime.path),
        "ready_descriptor": ready_write,
        "listen_descriptor": child.listener.fileno() if child.listener is not None else None,
    }
    child.ready.clear()
    child.started_s = clock.monotonic_s()
    try:
        child.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "objstore",
            child.command,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=inherited,
            env={
                **_environment(),
                METRICS_VARIABLE: str(runtime.metrics),
                ROLE_VARIABLE: child.role,
            },
        )
        child.restarts += 1
    finally:
        os.close(ready_write)
    loop = asyncio.get_running_loop()
    loop.add_reader(ready_read, _on_ready, loop, ready_read, child.ready)
    assert child.process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it died already; _keep sees that
        child.process.stdin.write(json.dumps(document).encode())
        child.process.stdin.close()
        await child.process.stdin.wait_closed()
    return child.process


class Supervisor:
    """Runs the children until a signal says stop."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        document: dict[str, Any],
        sockets: Sequence[socket.socket],
        drain_s: float,
    ) -> None:
        self._runtime = runtime
        self._state = SharedState(runtime.state)
        self._drain_s = drain_s
        self._ledger = Child("ledger", "_ledger", document)
        self._workers = [
            Child(f"worker-{number}", "_worker", {**document, "number": number}, sock)
            for number, sock in enumerate(sockets)
        ]
        self._jobs = Child("jobs", "_jobs", document)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def _children(self) -> list[Child]:
        return [self._ledger, *self._workers, self._jobs]

    async def run(self, prepare: Callable[[], Awaitable[None]], announce: Callable[[], None]) -> None:
        """Start everything, `prepare` once the ledger answers, `announce` when all are ready; until stopped.

        `prepare` (the root user's rows) is tried again by itself until it succeeds.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        _raise_descriptor_limit()
        keepers = {child.role: loop.create_task(self._keep(child)) for child in self._children}
        starting = loop.create_task(self._announce_ready(prepare, announce))
        stopped = loop.create_task(self._stop.wait())
        try:
            await asyncio.wait([stopped, *keepers.values()], return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
            stopped.cancel()
            self._stop.set()
            await self._stop_all(keepers)
        for task in keepers.values():
            task.result()  # a fault of ours, not of a child's

    async def _announce_ready(
        self, prepare: Callable[[], Awaitable[None]], announce: Callable[[], None]
    ) -> None:
        await self._ledger.ready.wait()
        await prepare()
        self._runtime.prepared.touch()
        for child in self._children:
            await child.ready.wait()
        announce()

    def _on_stop(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _on_reload(self) -> None:
        _log.info("reloading certificates")
        for child in self._workers:
            _signal(child, signal.SIGHUP)

    async def _keep(self, child: Child) -> None:
        while not self._stop.is_set():
            ending = await self._live(child)
            if self._stop.is_set():
                return
            pause_s = child.pause_s()
            _log.error("%s %s; starting it again", child.role, ending)
            self._forget(child)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause_s)

    async def _live(self, child: Child) -> str:
        """One life of a child, from start to end; how it ended."""
        try:
            process = await spawn(child, self._runtime)
        except OSError as exc:  # no memory, no process slots: try again later
            return f"could not be started: {exc}"
        if self._stop.is_set():  # the signal to stop came while it was started
            _signal(child, signal.SIGTERM)
        return f"ended with {_ending(await process.wait())}"

    def _forget(self, child: Child) -> None:
        """Drop what a dead child said about the present: its gauges and its reads under way."""
        for path in self._runtime.metrics.glob(f"gauge_*_{child.role}.db"):
            path.unlink(missing_ok=True)
        if "number" in child.document:
            self._state.set_oldest_read(child.document["number"], 0)

    async def _stop_all(self, keepers: dict[str, asyncio.Task[None]]) -> None:
        """Workers and jobs first, at the same time; the ledger answers them until they are gone."""
        for child in self._workers:
            assert child.listener is not None
            child.listener.close()
        first = [*self._workers, self._jobs]
        await self._end(first, self._drain_s + STOP_MARGIN_S, keepers)
        await self._end([self._ledger], LEDGER_STOP_S, keepers)

    async def _end(
        self, children: Sequence[Child], within_s: float, keepers: dict[str, asyncio.Task[None]]
    ) -> None:
        for child in children:
            _signal(child, signal.SIGTERM)
        ending = [keepers[child.role] for child in children]
        hurry = asyncio.ensure_future(self._hurry.wait())
        deadline = clock.monotonic_s() + within_s
        while not all(task.done() for task in ending) and not hurry.done():
            left_s = deadline - clock.monotonic_s()
            if left_s <= 0:
                break
            pending = [task for task in ending if not task.done()]
            await asyncio.wait([*pending, hurry], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for child, task in zip(children, ending, strict=True):
            if not task.done():
                _log.warning("%s did not stop in time and is killed", child.role)
                _signal(child, signal.SIGKILL)
        await asyncio.wait(ending)


def _on_ready(loop: asyncio.AbstractEventLoop, descriptor: int, ready: asyncio.Event) -> None:
    if os.read(descriptor, 1):
        ready.set()
    loop.remove_reader(descriptor)
    os.close(descriptor)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.returncode is None:
        with suppress(ProcessLookupError):
            child.process.send_signal(number)


def _environment() -> dict[str, str]:
    """The children's environment: ours without settings, which they are told, and without credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    return {ARENAS_VARIABLE: ARENAS, **kept}


def _ending(status: int) -> str:
    if status < 0:
        with suppress(ValueError):
            return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"


def _raise_descriptor_limit() -> None:
    """As many descriptors as the system lets us have, for us and for the children."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
