"""One bound, in bytes, for all bodies a process holds; past it, callers wait and so do their clients.

And the buffers themselves, used over and over: memory touched for the first time costs more CPU than
all that is done with it here (8 µs a page on a virtual machine, against 0.1 for copying it).
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

BUFFER_BYTES_MIN: Final = 1 << 20


class MemoryBudget:
    """Bytes that may be held at once. First come, first served; one event loop.

    Whoever waits here should hold nothing another one waits for, or nothing that will not be given
    back by itself: then there is no deadlock.
    """

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = total_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return len(self._waiting)

    def try_take(self, length: int) -> bool:
        """Take `length` bytes if they are free and nobody waits for them."""
        if self._waiting or length > self.free_bytes:
            return False
        self.free_bytes -= length
        return True

    async def take(self, length: int) -> None:
        """Take `length` bytes, at most all there are, when they are free. Cancelled: nothing is taken."""
        length = min(length, self.total_bytes)
        if self.try_take(length):
            return
        future = asyncio.get_running_loop().create_future()
        entry = (length, future)
        self._waiting.append(entry)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.give(length)
            else:
                with suppress(ValueError):  # already passed over
                    self._waiting.remove(entry)
                self.give(0)
            raise

    def give(self, length: int) -> None:
        """Give back what was taken (`length` as given to `take`)."""
        self.free_bytes += min(length, self.total_bytes)
        while self._waiting and self._waiting[0][0] <= self.free_bytes:
            wanted, future = self._waiting.popleft()
            if not future.cancelled():
                self.free_bytes -= wanted
                future.set_result(None)


class BufferPool:
    """Buffers of powers of two, kept when given back as long as they are few. One event loop."""

    def __init__(self, kept_bytes_max: int) -> None:
        self._kept_bytes_max = kept_bytes_max
        self._kept_bytes = 0
        self._kept: dict[int, list[bytearray]] = {}

    def take(self, length: int) -> bytearray:
        """A buffer of at least `length` bytes, with whatever was in it."""
        size = max(BUFFER_BYTES_MIN, 1 << (length - 1).bit_length())
        kept = self._kept.get(size)
        if kept:
            self._kept_bytes -= size
            return kept.pop()
        return bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """Give a buffer back; nobody, no thread either, may use it any more."""
        size = len(buffer)
        if self._kept_bytes + size <= self._kept_bytes_max:
            self._kept.setdefault(size, []).append(buffer)
            self._kept_bytes += size
