"""What a worker holds of the metadata: send a command to the ledger, read the index.

Commands issued in one turn of the event loop leave in one frame. A command has one of four ends: its
result; a Refusal (an answer: nothing was written); Conflict, Busy or Unavailable (certainly not
written); OutcomeUnknown (sent, and the ledger was lost or silent: it may be written or not).

While the ledger is away, commands wait for it up to a bound and reads go on: nobody can write what
they would miss. A ledger that starts again may have rebuilt the index elsewhere; from the moment it
is ready (`SharedState.index_generation`) readers of an earlier one refuse to answer until its hello
has named the index, so no read misses what was acknowledged before it.
"""

import asyncio
import importlib
from asyncio import Future, Task, TimerHandle, Transport
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, Self, TypeVar, cast

from objstore import clock
from objstore.meta import wire
from objstore.meta.interface import Busy, Command, CommandTooLong, OutcomeUnknown, Unavailable
from objstore.meta.sqlite import IndexDamaged, Query, Readers
from objstore.shared_state import SharedState

P = ParamSpec("P")
R = TypeVar("R")

FRAME_QUESTIONS_BYTES: Final = 32 << 20
"""Encoded commands in one frame; what waits beyond goes into the next."""
assert FRAME_QUESTIONS_BYTES + 4096 * 16 < wire.FRAME_BYTES_MAX >= 2 * wire.COMMAND_BYTES_MAX


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Bounds of one client."""

    waiting_max: int = 4096
    """Commands sent or waiting to be sent; past it, write raises Busy."""
    connect_s: float = 30.0
    """How long `connect` waits for the ledger's first hello."""
    unsent_s: float = 5.0
    """How long a command waits for a ledger to come back before it is given up unsent."""
    answer_s: float = 60.0
    """How long a sent command waits for its answer before it is given up as unknown."""
    verify_s: float = 24 * 3600.0
    """The same for `verify_journal`."""
    retry_s: float = 0.05
    """Between two attempts to reach the ledger."""
    sweep_s: float = 0.25
    """Between two looks for commands that waited too long."""


class _Waiting:
    """One command under way: where its answer goes, and when it is given up."""

    __slots__ = ("answer_s", "deadline_s", "future", "is_sent")

    def __init__(self, future: "Future[Any]", deadline_s: float, answer_s: float) -> None:
        self.future = future
        self.deadline_s = deadline_s
        self.answer_s = answer_s
        self.is_sent = False


class Metadata:
    """One process's access to the metadata. Made by `connect`; belongs to one event loop."""

    def __init__(
        self, socket_path: str, shared: SharedState | None, codec: wire.Codec | None, limits: ClientLimits
    ) -> None:
        self._socket_path = socket_path
        self._shared = shared
        self._codec = codec or cast(wire.Codec, importlib.import_module("objstore.meta.commands"))
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._readers: Readers | None = None
        self._generation = -1
        self._next_number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: list[tuple[int, bytes | str]] = []
        self._is_flush_due = False
        self._is_closed = False
        self._is_ready = asyncio.Event()
        self._connecting: Task[None] | None = None
        self._sweep: TimerHandle = self._loop.call_later(limits.sweep_s, self._give_up_late)

    @classmethod
    async def connect(
        cls,
        socket_path: str,
        shared: SharedState | None = None,
        *,
        codec: wire.Codec | None = None,
        limits: ClientLimits | None = None,
    ) -> Self:
        """A client that has heard the ledger's hello and opened its index.

        Raises Unavailable when no ledger answers in time. Otherwise as `begin`.
        """
        self = cls.begin(socket_path, shared, codec=codec, limits=limits)
        if not await self.wait_ready(self._limits.connect_s):
            await self.close()
            raise Unavailable(f"no ledger answers at {socket_path}")
        return self

    @classmethod
    def begin(
        cls,
        socket_path: str,
        shared: SharedState | None = None,
        *,
        codec: wire.Codec | None = None,
        limits: ClientLimits | None = None,
    ) -> Self:
        """A client that tries to reach the ledger from now on; until it has, reads raise Unavailable.

        `shared` lets it notice at once that the index was rebuilt; without it (tools, tests) reads
        may lag behind in the instant a restarted ledger has a new index.
        """
        self = cls(socket_path, shared, codec, limits or ClientLimits())
        self._reconnect()
        return self

    async def wait_ready(self, timeout_s: float) -> bool:
        """Wait until a ledger has named the index; whether one has. Until then reads raise Unavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_ready.wait()
        return self._readers is not None

    async def write(self, command: Command[R]) -> R:
        """Have `command` decided and committed; its result. Durable and visible to reads on return.

        Raises what the command refuses, Conflict, Busy, CommandTooLong, Unavailable, OutcomeUnknown.
        Cancelling the caller does not recall the command.
        """
        encoded = self._codec.encode(command)
        if len(encoded) > wire.COMMAND_BYTES_MAX:
            raise CommandTooLong(
                f"{type(command).__name__} of {len(encoded)} bytes; {wire.COMMAND_BYTES_MAX} are allowed"
            )
        result: R = self._codec.decode_result(await self._ask(encoded))
        return result

    @property
    def is_anyone_listening(self) -> bool:
        """Whether word of changes is wanted by those who listen now."""
        return self._shared is not None and self._shared.listener_count > 0

    async def ledger_status(self) -> dict[str, Any]:
        """How the ledger stands (see LedgerStatus). Raises Busy, Unavailable."""
        status: dict[str, Any] = await self._ask(wire.STATUS)
        return status

    async def verify_journal(self, *, is_deep: bool = False) -> list[str]:
        """Have every byte of every journal and snapshot read, and mended where another drive has it; what
        was found, in sentences: nothing where all is well. Takes as long as reading that takes.

        Deep: the index is compared, row by row, with what snapshot and journal make of it, which takes
        as long and as much room as building it anew; where it differs it is built anew at once.

        Raises Busy, Unavailable; OutcomeUnknown after the ledger was lost.
        """
        word = wire.VERIFY_ALL if is_deep else wire.VERIFY
        findings: list[str] = await self._ask(word, self._limits.verify_s)
        return findings

    async def rebuild_index(self) -> None:
        """Have the ledger stop, and the one that follows build the index anew. Raises Busy, Unavailable."""
        await self._ask(wire.REBUILD)

    async def read(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `query` finds, run off the event loop. Sees every write acknowledged before the call.

        Waits for the ledger (bounded) where an index was rebuilt. Raises Unavailable.
        """
        if self._is_outdated() or self._readers is None:
            await self.wait_readable()
        readers = self._current_readers()
        try:
            return await self._loop.run_in_executor(
                readers.pool, lambda: readers.run_in_thread(query, *args, **kwargs)
            )
        except IndexDamaged:
            self._report_damage()
            raise

    def read_now(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same, inline: for point lookups of a few tens of microseconds."""
        if self._is_outdated():
            raise Unavailable("the index moved; the ledger has not yet said where")
        try:
            return self._current_readers().inline.run(query, *args, **kwargs)
        except IndexDamaged:
            self._report_damage()
            raise

    async def close(self) -> None:
        """Give up what waits (sent: unknown; unsent: unavailable) and release everything. Idempotent."""
        self._is_closed = True
        self._sweep.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        if self._transport is not None:
            self._transport.close()
        for number in list(self._waiting):
            self._fail(number, "the client was closed")
        if self._readers is not None:
            readers, self._readers = self._readers, None
            await self._loop.run_in_executor(None, readers.close)

    # Commands

    def _ask(self, question: bytes | str, answer_s: float | None = None) -> "Future[Any]":
        """The payload that will come back for an encoded command or a word of the wire's own."""
        if len(self._waiting) >= self._limits.waiting_max:
            raise Busy(f"{self._limits.waiting_max} commands are waiting for the ledger")
        if self._is_closed:
            raise Unavailable("the client is closed")
        future: Future[Any] = self._loop.create_future()
        number = self._next_number
        self._next_number = number + 1
        deadline_s = clock.monotonic_s() + self._limits.unsent_s
        self._waiting[number] = _Waiting(future, deadline_s, answer_s or self._limits.answer_s)
        self._unsent.append((number, question))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._transport is None or not self._unsent:
            return  # sent when the hello comes
        questions = [(number, data) for number, data in self._unsent if number in self._waiting]
        self._unsent.clear()
        now_s = clock.monotonic_s()
        for number, _ in questions:
            waiting = self._waiting[number]
            waiting.is_sent = True
            waiting.deadline_s = now_s + waiting.answer_s
        for some in _in_frames(questions):
            self._transport.write(wire.frame(some))

    def _take_answers(self, answers: list[tuple[int, int, Any]]) -> None:
        for number, outcome, payload in answers:
            waiting = self._waiting.pop(number, None)
            if waiting is None or waiting.future.done():  # given up before
                continue
            if outcome == wire.OK:
                waiting.future.set_result(payload)
            else:
                waiting.future.set_exception(wire.raised(outcome, payload))

    def _fail(self, number: int, reason: str) -> None:
        waiting = self._waiting.pop(number)
        if not waiting.future.done():
            waiting.future.set_exception((OutcomeUnknown if waiting.is_sent else Unavailable)(reason))

    def _give_up_late(self) -> None:
        now_s = clock.monotonic_s()
        for number in [number for number, waiting in self._waiting.items() if waiting.deadline_s <= now_s]:
            self._fail(number, "no answer from the ledger in time")
        self._unsent = [question for question in self._unsent if question[0] in self._waiting]
        self._sweep = self._loop.call_later(self._limits.sweep_s, self._give_up_late)

    # The connection

    def _reconnect(self) -> None:
        if not self._is_closed and self._connecting is None:
            self._connecting = self._loop.create_task(self._try_until_connected())

    async def _try_until_connected(self) -> None:
        try:
            while True:
                with suppress(OSError):
                    await self._loop.create_unix_connection(lambda: _Connection(self), self._socket_path)
                    return
                await asyncio.sleep(self._limits.retry_s)
        finally:
            self._connecting = None

    def _greeted(self, transport: Transport, hello: wire.Hello) -> None:
        if hello.generation != self._generation:
            try:
                fresh = Readers(hello.index_path)
            except Unavailable:
                transport.abort()  # its index went away since: ask again
                return
            if self._readers is not None:
                self._loop.run_in_executor(None, self._readers.close)
            self._readers = fresh
            self._generation = hello.generation
        self._transport = transport
        self._is_ready.set()
        self._flush()

    def _lost(self, transport: Transport) -> None:
        if self._transport is transport:
            self._transport = None
            self._is_ready.clear()
            for number in [number for number, waiting in self._waiting.items() if waiting.is_sent]:
                self._fail(number, "the ledger went away before it answered")
        self._loop.call_later(self._limits.retry_s, self._reconnect)

    # Reads

    def _is_outdated(self) -> bool:
        """Whether a ledger is ready whose index may be another than the one open here."""
        shared = self._shared
        return shared is not None and shared.index_generation != self._generation

    def _current_readers(self) -> Readers:
        if self._readers is None:
            raise Unavailable("the client is closed" if self._is_closed else "no ledger has answered yet")
        return self._readers

    @property
    def is_readable(self) -> bool:
        """Whether `read_now` has an index to read. Costs nothing."""
        return self._readers is not None and not self._is_outdated()

    async def wait_readable(self) -> None:
        """Wait (bounded) for a ledger to name the index. Raises Unavailable."""
        deadline_s = clock.monotonic_s() + self._limits.unsent_s
        while self._is_outdated() or self._readers is None:
            if self._is_closed or clock.monotonic_s() >= deadline_s:
                raise Unavailable("no ledger says where the index is")
            await asyncio.sleep(self._limits.retry_s / 2)  # the number is in shared memory: nobody can notify

    def _report_damage(self) -> None:
        with suppress(Busy, Unavailable):
            self._ask(wire.SUSPECT).add_done_callback(lambda future: future.cancelled() or future.exception())


def _in_frames(questions: list[tuple[int, bytes | str]]) -> Iterator[list[tuple[int, bytes | str]]]:
    """The questions in order, cut so that each list fits one frame; nearly always all in one."""
    if sum(len(question) for _, question in questions) <= FRAME_QUESTIONS_BYTES:
        yield questions
        return
    some: list[tuple[int, bytes | str]] = []
    length = 0
    for number, question in questions:
        if some and length + len(question) > FRAME_QUESTIONS_BYTES:
            yield some
            some, length = [], 0
        some.append((number, question))
        length += len(question)
    yield some


class _Connection(asyncio.Protocol):
    """One connection to the ledger: frames in, handed to the client."""

    def __init__(self, client: Metadata) -> None:
        self._client = client
        self._frames = wire.FrameReader()
        self._transport: Transport | None = None
        self._is_greeted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        for value in self._frames.feed(data):
            if self._is_greeted:
                self._client._take_answers(value)
            else:
                self._is_greeted = True
                self._client._greeted(self._transport, wire.Hello(**value))

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._client._lost(self._transport)
