"""Outbox → targets: at least once, in the order of each key, with back-off.

Invariants kept here:
- An event leaves the outbox only after its target took it, or after it was tried for `retry_s`; then it
  counts as dead, and the log has it.
- The events of a key go one after the other, oldest first: each look at the outbox begins at its oldest
  event, and a key whose event failed is not gone on with.
- A target that fails or hangs is left alone for growing pauses and holds up no other target.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore import clock, metrics
from objstore.events.records import document_of
from objstore.events.targets import Message, Target, TargetError
from objstore.meta import queries
from objstore.meta.commands import ForgetEvents
from objstore.meta.queries import Event

log = logging.getLogger(__name__)

PAGE_EVENTS: Final = 200
KEYS_AT_ONCE: Final = 16
FAILURES_MAX: Final = 3
"""A target that fails so often in a row is down; before that, it may be about the one event."""
PATIENCE_S: Final = 0.5
ID_DIGITS: Final = 32
BACK_OFF_S: Final = 1.0
BACK_OFF_S_MAX: Final = 60.0


class Outbox(Protocol):
    """What is needed of the metadata."""

    async def write(self, command: Any) -> Any: ...

    @property
    def read(self) -> Callable[..., Awaitable[Any]]: ...


@dataclass(slots=True)
class _Trouble:
    """A target that failed: how often in a row, and when it is tried again."""

    failures: int = 0
    again_s: float = 0.0


@dataclass(slots=True)
class _Pass:
    """One page of events on its way to a target. `failures` are those since it last took one."""

    target: Target | None
    gate: asyncio.Semaphore
    failures: int = 0
    taken: int = 0
    reason: str = ""

    @property
    def is_down(self) -> bool:
        """Whether the target seems to take nothing at all, so that the rest need not be tried now."""
        return self.failures >= FAILURES_MAX


class Dispatcher:
    """Delivers what waits in the outbox. Holds at most PAGE_EVENTS events of each target."""

    def __init__(self, outbox: Outbox, targets: Mapping[str, Target], retry_s: float) -> None:
        self._outbox = outbox
        self._targets = targets
        self._retry_s = retry_s
        self._troubles: dict[str, _Trouble] = {}
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
        while await self._deliver_page(name):
            pass

    async def _deliver_page(self, name: str) -> bool:
        """Send the oldest events of a target; whether there may be more that it takes now."""
        trouble = self._troubles.setdefault(name, _Trouble())
        if clock.monotonic_s() < trouble.again_s:
            return False
        events: Sequence[Event] = await self._outbox.read(queries.events_for, name, PAGE_EVENTS)
        by_key: dict[tuple[int, str], list[Event]] = {}
        for event in events:
            by_key.setdefault((event.bucket_id, event.key), []).append(event)
        page = _Pass(self._targets.get(name), asyncio.Semaphore(KEYS_AT_ONCE))
        outcomes = await asyncio.gather(*(self._send_all(page, each) for each in by_key.values()))
        done = [event.sequence for outcome in outcomes for event in outcome]
        if done:
            await self._outbox.write(ForgetEvents(tuple(done)))
        if len(done) == len(events):
            self._troubles.pop(name, None)
            return len(events) == PAGE_EVENTS
        trouble.failures = 1 if page.taken else trouble.failures + 1
        pause_s = min(BACK_OFF_S_MAX, BACK_OFF_S * 2.0 ** min(trouble.failures - 1, 16))
        trouble.again_s = clock.monotonic_s() + pause_s
        log.warning(
            "target %s did not take %d events (%s); again in %.0f s",
            name,
            len(events) - len(done),
            page.reason,
            pause_s,
        )
        return False

    async def _send_all(self, page: _Pass, events: Iterable[Event]) -> list[Event]:
        """Those of one key's events that are done with, from the oldest on to the first that is not."""
        done: list[Event] = []
        for event in events:
            async with page.gate:
                if not await self._send(page, event):
                    break
            done.append(event)
        return done

    async def _send(self, page: _Pass, event: Event) -> bool:
        """Whether the event is done with: taken, or given up."""
        is_late = clock.now_ms() - event.time_ms > self._retry_s * 1000
        if page.is_down and not is_late:
            return False
        message = message_of(event)
        try:
            if page.target is None:
                raise TargetError("no target of this name is configured")
            if page.is_down:
                raise TargetError(page.reason)
            await page.target.send(message)
        except TargetError as exc:
            page.failures += 1
            page.reason = str(exc)
            if not is_late:
                metrics.EVENTS_SENT.labels(event.target, "failed").inc()
                return False
            metrics.EVENTS_SENT.labels(event.target, "dead").inc()
            text = message.document.decode()
            log.error("event given up, target %s did not take it (%s): %s", event.target, exc, text)
            return True
        page.failures = 0
        page.taken += 1
        metrics.EVENTS_SENT.labels(event.target, "delivered").inc()
        return True

    async def close(self) -> None:
        """Let go of all targets. What was under way is sent again another time."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await asyncio.gather(*(target.close() for target in self._targets.values()))


def message_of(event: Event) -> Message:
    """An event as targets are given it."""
    described = document_of(event)
    document = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    bucket = json.loads(event.about)["bucket"]
    return Message(document, f"{bucket}/{event.key}", hashlib.sha256(document).hexdigest()[:ID_DIGITS])
