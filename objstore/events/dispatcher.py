"""Outbox → targets: at least once, in the order of each key, with back-off.

Invariants kept here:
- An event leaves the outbox only after its target took it, or after it was tried for `retry_s`; then it
  counts as dead, and the log has it.
- The events of a key go one after the other, oldest first: a key whose event failed is not gone on with
  before that event was taken or given up.
- A target that fails or hangs is left alone for growing pauses and holds up no other target.
- Keys whose events a target does not take hold up no other key: they are tried again after all others,
  in turn, and have pauses of their own.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from objstore import clock, metrics
from objstore.events.records import document_of
from objstore.events.targets import Message, Target, TargetError
from objstore.meta import queries
from objstore.meta.commands import ForgetEvents
from objstore.meta.queries import Event

log = logging.getLogger(__name__)

PAGE_EVENTS: Final = 200
PAGES_MAX: Final = 20
"""How far the oldest events of keys that failed are looked for."""
STUCK_MAX: Final = 10_000
"""Keys that failed and are remembered; past it all are as if they had not."""
KEYS_AT_ONCE: Final = 16
FAILURES_MAX: Final = 3
"""A target that fails so often in a row is down; before that, it may be about the one event."""
STUCK_FAILURES_MAX: Final = 32
"""The same among those that failed before, which may well fail again by themselves."""
PATIENCE_S: Final = 0.5
ID_DIGITS: Final = 32
BACK_OFF_S: Final = 1.0
BACK_OFF_S_MAX: Final = 60.0


class Outbox(Protocol):
    """What is needed of the metadata."""

    async def write(self, command: Any) -> Any: ...

    @property
    def read(self) -> Callable[..., Awaitable[Any]]: ...


Key = tuple[int, str]
"""Bucket and key."""


@dataclass(slots=True)
class _Pause:
    """How often in a row something failed, and when it is tried again."""

    failures: int = 0
    again_s: float = 0.0

    @property
    def is_over(self) -> bool:
        return clock.monotonic_s() >= self.again_s

    def lengthen(self) -> float:
        """Begin the next one; how long it is."""
        pause_s = min(BACK_OFF_S_MAX, BACK_OFF_S * 2.0 ** min(self.failures, 16))
        self.failures += 1
        self.again_s = clock.monotonic_s() + pause_s
        return pause_s


@dataclass(slots=True)
class _Line:
    """What is known of a target from one pass to the next."""

    pause: _Pause = field(default_factory=_Pause)
    """Nothing at all is tried before it is over."""
    stuck: dict[Key, None] = field(default_factory=dict)
    """Keys whose oldest event was not taken, the one that was tried last at the end."""
    stuck_pause: _Pause = field(default_factory=_Pause)
    seen_to: int = 0
    """Up to this sequence nothing waits but events of stuck keys."""


@dataclass(slots=True)
class _Pass:
    """Events on their way to a target. `failures` are those since it last took one."""

    target: Target | None
    gate: asyncio.Semaphore
    failures_max: int = FAILURES_MAX
    failures: int = 0
    taken: int = 0
    reason: str = ""
    failed: dict[Key, None] = field(default_factory=dict)
    """The keys that it is not gone on with."""

    @property
    def is_down(self) -> bool:
        """Whether the target seems to take nothing at all, so that the rest need not be tried now."""
        return self.failures >= self.failures_max


class Dispatcher:
    """Delivers what waits in the outbox. Holds at most PAGE_EVENTS events of each target."""

    def __init__(self, outbox: Outbox, targets: Mapping[str, Target], retry_s: float) -> None:
        self._outbox = outbox
        self._targets = targets
        self._retry_s = retry_s
        self._lines: dict[str, _Line] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def deliver(self) -> None:
        """Deliver what waits for each target, as far as it takes it.

        A target that is slow is not waited for longer than PATIENCE_S; its deliveries go on meanwhile.
        Raises what the outbox raises.
        """
        for name in await self._outbox.read(queries.event_targets):
            if name not in self._under_way:
                self._under_way[name] = asyncio.create_task(self._deliver_to(name))
        if not self._under_way:
            return
        done, _ = await asyncio.wait(self._under_way.values(), timeout=PATIENCE_S)
        self._under_way = {name: task for name, task in self._under_way.items() if task not in done}
        for failed in [task for task in done if task.exception() is not None]:
            await failed

    async def _deliver_to(self, name: str) -> None:
        line = self._lines.setdefault(name, _Line())
        while line.pause.is_over and await self._deliver_pass(name, line):
            pass

    async def _deliver_pass(self, name: str, line: _Line) -> bool:
        """Send what waits for a target and, if it is time to, the oldest event of keys that failed before;
        whether there is more to send now."""
        run = _Pass(self._targets.get(name), asyncio.Semaphore(KEYS_AT_ONCE))
        had_stuck, has_more = bool(line.stuck), False
        await self._send_new(name, line, run)
        if run.taken:
            line.pause = _Pause()
        elif run.failed:
            line.pause.lengthen()
        if not had_stuck:
            if line.stuck:
                line.stuck_pause = _Pause()
                line.stuck_pause.lengthen()
        elif line.stuck_pause.is_over:
            if not run.is_down:
                run.failures_max = STUCK_FAILURES_MAX
            has_more = await self._send_stuck(name, line, run)
        if run.failed:
            pause_s = max(line.pause.again_s, line.stuck_pause.again_s) - clock.monotonic_s()
            keys = len(run.failed)
            log.warning(
                "target %s did not take events of %d keys (%s); again in %.0f s",
                name,
                keys,
                run.reason,
                pause_s,
            )
        if len(line.stuck) > STUCK_MAX:
            line.stuck.clear()
            line.seen_to = 0
        return has_more

    async def _send_new(self, name: str, line: _Line, run: _Pass) -> None:
        """Send the events past those that were seen, but for keys that failed, as long as any are taken."""
        while True:
            events: Sequence[Event] = await self._outbox.read(
                queries.events_for, name, PAGE_EVENTS, line.seen_to
            )
            new = [event for event in events if _key(event) not in line.stuck]
            done = await self._send_some(run, new)
            line.stuck |= run.failed
            if run.is_down and len(done) < len(new):  # else all were given up, and more may be
                line.seen_to = 0
                break
            if events:
                line.seen_to = events[-1].sequence
            if len(events) < PAGE_EVENTS:
                break
        if not line.stuck:
            line.seen_to = 0

    async def _send_stuck(self, name: str, line: _Line, run: _Pass) -> bool:
        """Try the oldest event of each key that failed, the key first that was not tried for longest;
        whether there may be more of theirs that is taken now."""
        oldest, is_whole = await self._oldest(name, line)
        if is_whole:
            line.stuck = {key: None for key in line.stuck if key in oldest}
        turn = {key: number for number, key in enumerate(line.stuck)}
        events = sorted(oldest.values(), key=lambda event: turn[_key(event)])
        done = await self._send_some(run, events)
        for key in run.failed:
            line.stuck.pop(key, None)
            line.stuck[key] = None
        for event in done:
            del line.stuck[_key(event)]
        if done:
            line.stuck_pause = _Pause()
        line.seen_to = 0  # more of the keys that were taken may wait
        if line.stuck:
            line.stuck_pause.lengthen()
        return bool(done) and not run.is_down

    async def _oldest(self, name: str, line: _Line) -> tuple[dict[Key, Event], bool]:
        """The oldest event of each key that failed, up to PAGE_EVENTS; whether these are all of them."""
        found: dict[Key, Event] = {}
        after = 0
        for _ in range(PAGES_MAX):
            events: Sequence[Event] = await self._outbox.read(queries.events_for, name, PAGE_EVENTS, after)
            for event in events:
                if _key(event) in line.stuck and len(found) < PAGE_EVENTS:
                    found.setdefault(_key(event), event)
            if len(events) < PAGE_EVENTS:
                return found, len(found) < PAGE_EVENTS
            if len(found) == PAGE_EVENTS:
                break
            after = events[-1].sequence
        return found, False

    async def _send_some(self, run: _Pass, events: Iterable[Event]) -> list[Event]:
        """Send events, those of a key one after the other; those that are done with now, and forgotten."""
        by_key: dict[Key, list[Event]] = {}
        for event in events:
            by_key.setdefault(_key(event), []).append(event)
        outcomes = await asyncio.gather(*(self._send_all(run, each) for each in by_key.values()))
        done = [event for outcome in outcomes for event in outcome]
        if done:
            await self._outbox.write(ForgetEvents(tuple(event.sequence for event in done)))
        return done

    async def _send_all(self, run: _Pass, events: Iterable[Event]) -> list[Event]:
        """Those of one key's events that are done with, from the oldest on to the first that is not."""
        done: list[Event] = []
        for event in events:
            async with run.gate:
                if not await self._send(run, event):
                    break
            done.append(event)
        return done

    async def _send(self, run: _Pass, event: Event) -> bool:
        """Whether the event is done with: taken, or given up."""
        is_late = clock.now_ms() - event.time_ms > self._retry_s * 1000
        if run.is_down and not is_late:
            return False
        message = message_of(event)
        try:
            if run.target is None:
                raise TargetError("no target of this name is configured")
            if run.is_down:
                raise TargetError(run.reason)
            await run.target.send(message)
        except TargetError as exc:
            run.failures += 1
            run.reason = str(exc)
            if not is_late:
                run.failed[_key(event)] = None
                metrics.EVENTS_SENT.labels(event.target, "failed").inc()
                return False
            metrics.EVENTS_SENT.labels(event.target, "dead").inc()
            text = message.document.decode()
            log.error("event given up, target %s did not take it (%s): %s", event.target, exc, text)
            return True
        run.failures = 0
        run.taken += 1
        metrics.EVENTS_SENT.labels(event.target, "delivered").inc()
        return True

    async def close(self) -> None:
        """Let go of all targets. What was under way is sent again another time."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await asyncio.gather(*(target.close() for target in self._targets.values()))


def _key(event: Event) -> Key:
    return event.bucket_id, event.key


def message_of(event: Event) -> Message:
    """An event as targets are given it."""
    described = document_of(event)
    document = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    bucket = json.loads(event.about)["bucket"]
    return Message(document, f"{bucket}/{event.key}", hashlib.sha256(document).hexdigest()[:ID_DIGITS])
