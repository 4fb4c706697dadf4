"""Changes as they happen: what the ledger tells those who listen, on a connection of its own.

Nothing is kept for anybody: who was not connected, or was too slow, has missed it.
"""

import asyncio
from asyncio import Future, Task, Transport
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, cast

from objstore.meta import wire
from objstore.meta.interface import Unavailable
from objstore.meta.queries import Event, event_of

RETRY_S: Final = 0.2
ANSWER_S: Final = 5.0


class LiveFeed:
    """One process's ear at the ledger: open it while somebody wants to hear. Belongs to one event loop."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._listening: Task[None] | None = None
        self._is_heard: Future[None] | None = None

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Have `receive` called with each event that is committed from now on, in commit order.

        A ledger that went away is listened to again when it is back. Idempotent while open.
        Raises Unavailable when no ledger answers in time.
        """
        if self._listening is None:
            self._is_heard = asyncio.get_running_loop().create_future()
            self._listening = asyncio.create_task(self._listen(receive))
        assert self._is_heard is not None
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.shield(self._is_heard)
        except TimeoutError:
            raise Unavailable("no ledger answers") from None

    def close(self) -> None:
        """Hear no more. Idempotent."""
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None

    async def _listen(self, receive: Callable[[Event], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            make = partial(_Ear, self._heard, receive, loop.create_future())
            with suppress(OSError):
                transport, ear = await loop.create_unix_connection(make, self._socket_path)
                try:
                    await ear.lost
                finally:
                    transport.close()
            await asyncio.sleep(RETRY_S)

    def _heard(self) -> None:
        if self._is_heard is not None and not self._is_heard.done():
            self._is_heard.set_result(None)


class _Ear(asyncio.Protocol):
    """One connection: asks once it is greeted, then hands on what comes."""

    def __init__(
        self, heard: Callable[[], None], receive: Callable[[Event], None], lost: "Future[None]"
    ) -> None:
        self.lost = lost
        self._heard = heard
        self._receive = receive
        self._frames = wire.FrameReader()
        self._is_greeted = False
        self._transport: Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        for value in self._frames.feed(data):
            if not self._is_greeted:
                self._is_greeted = True
                self._transport.write(wire.frame([(0, wire.LISTEN)]))
                continue
            for _, _, payload in value:
                if payload is None:
                    self._heard()
                else:
                    self._receive(event_of(payload))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
