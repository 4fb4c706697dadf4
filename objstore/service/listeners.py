"""Who listens to changes while they are connected: events straight from the ledger, kept for nobody.

A listener that does not keep up misses events; it slows nobody else, and what is kept for it has a bound.
"""

import asyncio
import json
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from objstore import metrics
from objstore.events.records import document_heard
from objstore.meta.queries import Event
from objstore.s3.documents.notification import Subscription, is_told
from objstore.s3.errors import SlowDown

LISTENERS_MAX: Final = 200
"""In one process."""
WAITING_EVENTS_MAX: Final = 1000
WAITING_BYTES_MAX: Final = 1024 * 1024
"""Of what waits for one listener; past one of the two it misses what comes."""


class Feed(Protocol):
    """Where events come from: `meta.live.LiveFeed`."""

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Raises Unavailable."""
        ...

    def close(self) -> None: ...


class _NoFeed:
    """Nothing ever comes."""

    async def open(self, receive: Callable[[Event], None]) -> None:
        pass

    def close(self) -> None:
        pass


NO_FEED: Final = _NoFeed()
"""For a process that no client is connected to."""


class Listener:
    """One who listens. Let go of it, and it is heard of no more."""

    def __init__(self, bucket: str | None, wanted: Subscription, may_hear: Callable[[str], bool]) -> None:
        self._bucket = bucket
        self._wanted = wanted
        self._may_hear = may_hear
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self.is_closed = False
        """The server is about to stop."""

    def wants(self, bucket: str, event: Event) -> bool:
        """Whether this event is one that was asked for, and may be heard as things stand now."""
        if self._bucket is not None and self._bucket != bucket:
            return False
        return is_told(self._wanted, event.event, event.key) and self._may_hear(bucket)

    def put(self, line: bytes) -> None:
        """Keep it until it is taken, if there is room."""
        is_full = self._waiting_bytes + len(line) > WAITING_BYTES_MAX
        if is_full or len(self._waiting) >= WAITING_EVENTS_MAX:
            metrics.LIVE_EVENTS_DROPPED.inc()
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._news.set()

    async def take(self, within_s: float) -> bytes:
        """The documents that came meanwhile, each on a line of its own; empty if none came within that time,
        or it is closed."""
        if not self._waiting and not self.is_closed:
            self._news.clear()
            try:
                async with asyncio.timeout(within_s):
                    await self._news.wait()
            except TimeoutError:
                return b""
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        return taken

    def close(self) -> None:
        """End it from the server's side."""
        self.is_closed = True
        self._news.set()


class Listeners:
    """All who listen at one process."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._is_closed = False

    async def open(
        self, bucket: str | None, wanted: Subscription, may_hear: Callable[[str], bool]
    ) -> Listener:
        """One who hears, from now on, of the events that are wanted, in one bucket or in all.

        `may_hear` is asked about the bucket of each event when it comes.
        Raises SlowDown where too many listen already, Unavailable.
        """
        if len(self._listeners) >= LISTENERS_MAX:
            raise SlowDown
        made = Listener(bucket, wanted, may_hear)
        self._listeners.add(made)  # before the wait: what comes during it finds somebody who listens
        await self._feed.open(self._receive)
        if self._is_closed:
            made.close()
        return made

    def _receive(self, event: Event) -> None:
        if not self._listeners:
            self._feed.close()
            return
        bucket = json.loads(event.about)["bucket"]
        wanting = [one for one in self._listeners if one.wants(bucket, event)]
        if not wanting:
            return
        line = json.dumps(document_heard(event), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        for one in wanting:
            one.put(line)

    def close(self) -> None:
        """End all: the server is about to stop."""
        self._is_closed = True
        self._feed.close()
        for one in self._listeners:
            one.close()
