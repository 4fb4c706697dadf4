"""Outbox → targets: at least once, in the order of each key, with back-off.

Invariants kept here:
- An event leaves the outbox only after its target took it, or after it was tried for `retry_s`; then it
  counts as dead, and the log has it.
- The events of a key go one after the other, oldest first: each look at the outbox begins at its oldest
  event, and a key whose event failed is not gone on with.
- A target that fails is left alone for growing pauses and holds up no other target.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore import clock, metrics
from objstore.events.records import document_of
from objstore.events.targets import Target, TargetError
from objstore.meta import queries
from objstore.meta.commands import ForgetEvents
from objstore.meta.queries import Event

log = logging.getLogger(__name__)

PAGE_EVENTS: Final = 200
KEYS_AT_ONCE: Final = 16
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


class Dispatcher:
    """Delivers what waits in the outbox."""

    def __init__(self, outbox: Outbox, targets: Mapping[str, Target], retry_s: float) -> None:
        self._outbox = outbox
        self._targets = targets
        self._retry_s = retry_s
        self._troubles: dict[str, _Trouble] = {}

    async def deliver(self) -> bool:
        """Try once to deliver what waits; whether there may be more that can be delivered at once."""
        names: Sequence[str] = await self._outbox.read(queries.event_targets)
        return any([*await asyncio.gather(*map(self._deliver_to, names))])

    async def _deliver_to(self, name: str) -> bool:
        trouble = self._troubles.setdefault(name, _Trouble())
        if clock.monotonic_s() < trouble.again_s:
            return False
        events: Sequence[Event] = await self._outbox.read(queries.events_for, name, PAGE_EVENTS)
        target = self._targets.get(name)
        by_key: dict[tuple[int, str], list[Event]] = {}
        for event in events:
            by_key.setdefault((event.bucket_id, event.key), []).append(event)
        gate = asyncio.Semaphore(KEYS_AT_ONCE)
        outcomes = await asyncio.gather(*(self._send_all(target, each, gate) for each in by_key.values()))
        done = [event.sequence for outcome in outcomes for event in outcome]
        if done:
            await self._outbox.write(ForgetEvents(tuple(done)))
        if len(done) == len(events):
            self._troubles.pop(name, None)
            return len(events) == PAGE_EVENTS
        trouble.failures += 1
        pause_s = min(BACK_OFF_S_MAX, BACK_OFF_S * 2.0 ** min(trouble.failures - 1, 16))
        trouble.again_s = clock.monotonic_s() + pause_s
        log.warning(
            "target %s did not take %d events; again in %.0f s", name, len(events) - len(done), pause_s
        )
        return False

    async def _send_all(
        self, target: Target | None, events: Iterable[Event], gate: asyncio.Semaphore
    ) -> list[Event]:
        """Those of one key's events that are done with, from the oldest on to the first that is not."""
        done: list[Event] = []
        for event in events:
            async with gate:
                if not await self._send(target, event):
                    break
            done.append(event)
        return done

    async def _send(self, target: Target | None, event: Event) -> bool:
        document = json.dumps(document_of(event), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            if target is None:
                raise TargetError("no target of this name is configured")
            await target.send(document)
        except TargetError as exc:
            if clock.now_ms() - event.time_ms <= self._retry_s * 1000:
                metrics.EVENTS_SENT.labels("failed").inc()
                return False
            metrics.EVENTS_SENT.labels("dead").inc()
            log.error(
                "event given up, target %s did not take it (%s): %s", event.target, exc, document.decode()
            )
            return True
        metrics.EVENTS_SENT.labels("delivered").inc()
        return True

    async def close(self) -> None:
        """Let go of all targets."""
        await asyncio.gather(*(target.close() for target in self._targets.values()))
