"""The ledger: the one process that writes the metadata. Its socket, its queue, its loop.

One thread does everything in turn: take what the sockets brought, commit all of it as one batch, send
the answers, see to upkeep. While a batch is being synced, frames wait in the sockets' buffers and
become the next batch: so batches grow with the load, and a command alone never waits for company.
"""

import asyncio
import importlib
import logging
import signal
import sys
from asyncio import Transport
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import uvloop

from objstore import metrics
from objstore.meta import schema as tables
from objstore.meta import wire
from objstore.meta.interface import Busy, Command, MetadataError, Refusal, Row
from objstore.meta.ledger_core import LedgerCore
from objstore.meta.start import LedgerSettings, Schema
from objstore.shared_state import SharedState

__all__ = ["LedgerFailed", "LedgerSettings", "run_ledger"]

logger: Final = logging.getLogger(__name__)

BATCH_COMMANDS_MAX: Final = 256
BATCH_BYTES_MAX: Final = 8 << 20
"""Encoded commands in one batch; a single one may be longer."""
WAITING_COMMANDS_MAX: Final = 8192
"""Commands that wait for the next batch; past it they are answered Busy at once."""
WAITING_BYTES_MAX: Final = 64 << 20
TELLING_BYTES_MAX: Final = 1 << 20
"""A listener that has not taken so much of what it was told misses what comes next."""
UPKEEP_S: Final = 1.0
SWITCH_S: Final = 0.0005
"""How long upkeep in a thread may hold up a commit (the interpreter's default is ten times that)."""


class LedgerFailed(Exception):
    """The ledger cannot go on and must be started anew; what it had to answer has been answered."""


def run_ledger(
    settings: LedgerSettings,
    shared: SharedState,
    *,
    codec: wire.Codec | None = None,
    schema: Schema = tables,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Be the ledger until SIGTERM or SIGINT: then finish the batch, close the index cleanly, return.

    `on_ready` is called once clients can connect.
    Raises LedgerFailed when it must be started anew (at once), and what recovery raises
    (JournalMissing, JournalDamaged, UnknownFormat, SchemaUnknown, OSError) when it cannot start.
    """
    core = LedgerCore.open(settings, shared, schema)
    sys.setswitchinterval(SWITCH_S)
    try:
        chosen = codec or cast(wire.Codec, importlib.import_module("objstore.meta.commands"))
        Path(settings.socket_path).unlink(missing_ok=True)  # of a ledger that was killed
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(core, settings.socket_path, chosen, shared, on_ready))
    finally:
        core.close()
    if core.failure is not None:
        raise LedgerFailed(core.failure)


async def _serve(
    core: LedgerCore,
    socket_path: str,
    codec: wire.Codec,
    shared: SharedState,
    on_ready: Callable[[], None] | None,
) -> None:
    server = LedgerServer(core, codec, shared)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError, RuntimeError):  # not in the main thread: tests
            loop.add_signal_handler(number, server.stop)
    shared.set_index_generation(core.generation)
    # The ledger before may have committed configuration and died before it said so. From here on nobody reads
    # an index that lacks it, so what was cached under the old number is all that can be stale.
    shared.advance_epoch()
    shared.set_listener_count(0)
    await server.serve(socket_path, on_ready)


class LedgerServer:
    """Commands in, answers out, over a Unix socket."""

    def __init__(self, core: LedgerCore, codec: wire.Codec, shared: SharedState) -> None:
        self._core = core
        self._codec = codec
        self._shared = shared
        self._listeners: dict[_Session, int] = {}
        """With the number of their question."""
        self._waiting: list[tuple[_Session, int, bytes]] = []
        self._waiting_bytes = 0
        self._is_batch_due = False
        self._stopping = asyncio.Event()
        self._sessions: set[_Session] = set()

    async def serve(self, socket_path: str, on_ready: Callable[[], None] | None = None) -> None:
        """Answer until `stop` is called or the ledger fails."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(lambda: _Session(self), socket_path)
        logger.info(
            "ledger ready", extra={"index": self._core.index_path, "generation": self._core.generation}
        )
        if on_ready is not None:
            on_ready()
        try:
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(UPKEEP_S):
                        await self._stopping.wait()
                self._maintain()
        finally:
            server.close()
            while self._waiting and self._core.failure is None:
                self._commit_batch()
            for session in list(self._sessions):
                session.end()
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Take no more commands and end."""
        self._stopping.set()

    def greet(self, session: "_Session") -> None:
        """A client has connected."""
        self._sessions.add(session)
        session.send(wire.frame(asdict(wire.Hello(self._core.index_path, self._core.generation))))

    def forget(self, session: "_Session") -> None:
        """A client has gone. What it sent is committed all the same."""
        self._sessions.discard(session)
        if self._listeners.pop(session, None) is not None:
            self._shared.set_listener_count(len(self._listeners))

    def take(self, session: "_Session", questions: list[tuple[int, bytes | str]]) -> None:
        """A frame of commands has come."""
        refused: list[tuple[int, int, Any]] = []
        for number, question in questions:
            if question in (wire.VERIFY, wire.VERIFY_ALL):
                self._verify(session, number, is_deep=question == wire.VERIFY_ALL)
            elif question == wire.LISTEN:
                self._listeners[session] = number
                self._shared.set_listener_count(len(self._listeners))
                session.send(wire.frame([(number, wire.OK, None)]))
            elif isinstance(question, str):
                refused.append((number, wire.OK, self._answer_word(question)))
            elif len(self._waiting) >= WAITING_COMMANDS_MAX or self._waiting_bytes >= WAITING_BYTES_MAX:
                refused.append((number, *wire.failure(Busy("too many commands are waiting"))))
            else:
                self._waiting.append((session, number, question))
                self._waiting_bytes += len(question)
        if refused:
            session.send(wire.frame(refused))
        if self._waiting and not self._is_batch_due:
            self._is_batch_due = True
            asyncio.get_running_loop().call_soon(self._commit_batch)

    def _verify(self, session: "_Session", number: int, *, is_deep: bool) -> None:
        def answer(findings: list[str]) -> None:
            session.send(wire.frame([(number, wire.OK, findings)]))

        self._core.verify_journal(answer, is_deep=is_deep)
        self._maintain()

    def _answer_word(self, word: str) -> Any:
        if word == wire.STATUS:
            return asdict(self._core.status())
        if word == wire.REBUILD:
            self._core.rebuild_index()
            self._stop_on_failure()
        if word == wire.SUSPECT:
            self._core.inspect_index()
            self._stop_on_failure()
        return None

    def _commit_batch(self) -> None:
        """Commit what waits, as one record; what is too much for one becomes the next."""
        batch = self._take_batch()
        self._is_batch_due = bool(self._waiting)
        if self._is_batch_due:
            asyncio.get_running_loop().call_soon(self._commit_batch)
        answers: dict[_Session, list[tuple[int, int, Any]]] = {}
        askers: list[tuple[_Session, int]] = []
        commands: list[Command[Any]] = []
        for session, number, data in batch:
            try:
                commands.append(self._codec.decode(data))
            except Exception as exc:
                logger.exception("a command cannot be decoded")
                failure = wire.failure(MetadataError(f"not a command: {type(exc).__name__}"))
                answers.setdefault(session, []).append((number, *failure))
            else:
                askers.append((session, number))
        outcomes = self._core.commit(commands) if commands else []
        for (session, number), outcome in zip(askers, outcomes, strict=True):
            answers.setdefault(session, []).append((number, *self._encoded(outcome)))
        for session, found in answers.items():
            session.send(wire.frame(found))
        if self._core.told and self._listeners:
            self._tell(self._core.told)
        _count(commands, outcomes)
        metrics.LEDGER_WAITING.set(len(self._waiting))
        self._stop_on_failure()
        if self._core.is_upkeep_due:
            self._maintain()

    def _tell(self, events: Sequence[Row]) -> None:
        for session, number in self._listeners.items():
            if session.waiting_bytes > TELLING_BYTES_MAX:
                metrics.LIVE_EVENTS_DROPPED.inc(len(events))
            else:
                session.send(wire.frame([(number, wire.OK, event) for event in events]))

    def _take_batch(self) -> "list[tuple[_Session, int, bytes]]":
        count = length = 0
        for _, _, data in self._waiting[:BATCH_COMMANDS_MAX]:
            if count and length + len(data) > BATCH_BYTES_MAX:
                break
            count += 1
            length += len(data)
        batch = self._waiting[:count]
        del self._waiting[:count]
        self._waiting_bytes -= length
        return batch

    def _encoded(self, outcome: Any) -> tuple[int, Any]:
        if isinstance(outcome, Exception):
            return wire.failure(outcome)
        return wire.OK, self._codec.encode_result(outcome)

    def _maintain(self) -> None:
        self._core.maintain()
        self._stop_on_failure()

    def _stop_on_failure(self) -> None:
        if self._core.failure is not None:
            self._stopping.set()


def _count(commands: list[Command[Any]], outcomes: list[Any]) -> None:
    counted = Counter(
        (type(command).__name__, _outcome_name(outcome))
        for command, outcome in zip(commands, outcomes, strict=True)
    )
    for labels, count in counted.items():
        metrics.LEDGER_COMMANDS.labels(*labels).inc(count)


def _outcome_name(outcome: Any) -> str:
    if isinstance(outcome, Refusal):
        return "refused"
    return "failed" if isinstance(outcome, Exception) else "committed"


class _Session(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: LedgerServer) -> None:
        self._server = server
        self._frames = wire.FrameReader()
        self._transport: Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(Transport, transport)
        self._server.greet(self)

    def data_received(self, data: bytes) -> None:
        try:
            for questions in self._frames.feed(data):
                self._server.take(self, questions)
        except Exception:
            logger.exception("a client speaks otherwise than it should")
            self.end(at_once=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.forget(self)

    @property
    def waiting_bytes(self) -> int:
        """Sent, and not taken by the other side."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)

    def end(self, *, at_once: bool = False) -> None:
        if self._transport is not None:
            if at_once:
                self._transport.abort()
            else:
                self._transport.close()
