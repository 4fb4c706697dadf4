"""What all brokers have in common: one connection, opened when an event is there, replaced after a failure.

The client libraries' own ways of reconnecting are turned off: the outbox is the one place where an event
waits, so that none is sent a second time out of a buffer that nobody sees, and none is overtaken.
"""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final, Generic, TypeVar

from objstore.events.target_url import TargetUrl
from objstore.events.targets import Message, TargetError

C = TypeVar("C")

CONNECT_S: Final = 5.0
SEND_S: Final = 10.0
"""How long handing over one event may take, with connecting if need be."""
CLOSE_S: Final = 2.0


class Broker(ABC, Generic[C]):
    """A `Target` behind one connection `C`, which carries several events at once.

    Whatever a client library raises means that the event was not taken, and costs the connection.
    """

    def __init__(self, url: TargetUrl) -> None:
        self.url = url
        self._connection: C | None = None
        self._opening = asyncio.Lock()

    @abstractmethod
    async def open(self) -> C:
        """A new connection, ready for `hand_over`. May be cancelled."""

    @abstractmethod
    async def hand_over(self, connection: C, message: Message) -> None:
        """Send one event; the broker has acknowledged it when this returns. May be cancelled."""

    @abstractmethod
    async def shut(self, connection: C) -> None:
        """Close a connection, which may be broken."""

    async def send(self, message: Message) -> None:
        """See `Target.send`. A failure costs the connection: the next event gets a new one."""
        connection: C | None = None
        try:
            async with asyncio.timeout(SEND_S):
                connection = await self._connected()
                await self.hand_over(connection, message)
        except Exception as exc:  # libraries raise more than their documents say: RuntimeError, KeyError
            if connection is not None:
                await self._drop(connection)
            reason = self.url.redact(f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__)
            raise TargetError(reason) from None  # what it came from may hold the URL

    async def close(self) -> None:
        """See `Target.close`."""
        if self._connection is not None:
            await self._drop(self._connection)

    async def _connected(self) -> C:
        async with self._opening:
            if self._connection is None:
                self._connection = await self.open()
            return self._connection

    async def _drop(self, connection: C) -> None:
        if self._connection is connection:  # else somebody else has seen to it
            self._connection = None
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_S):
                    await self.shut(connection)
