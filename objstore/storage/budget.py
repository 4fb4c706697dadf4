"""One bound, in bytes, for all bodies a process holds; past it, callers wait and so do their clients.

And the buffers themselves, used over and over: memory touched for the first time costs more CPU than
all that is done with it here (8 µs a page on a virtual machine, against 0.1 for copying it).
"""

import asyncio
import mmap
import threading
from collections import deque
from contextlib import suppress
from sys import getrefcount
from typing import Final

ALIGNED_STEP_BYTES: Final = 1 << 20
ALIGNED_EXTRA_BYTES: Final = 64 << 10
"""Aligned buffers are of a multiple of the first and the second: few sizes, so that they fit one another's
uses, with room for a header and for what lies in the same pages."""


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


class AlignedBuffers:
    """Page-aligned buffers for bodies on their way to and from the drives. Any thread may take one.

    Nobody gives them back: a piece of a body may wait as a view in a socket, or be read by a thread that
    hangs, and who holds it last is not known. A buffer is used again when nothing views it any more,
    which its reference count tells.
    """

    def __init__(self, kept_bytes_max: int) -> None:
        self._kept_bytes_max = kept_bytes_max
        self.kept_bytes = 0
        """Of the buffers that are, or will be, used again."""
        self._kept: dict[int, list[mmap.mmap]] = {}
        self._lock = threading.Lock()
        self._is_idle = True

    def take(self, length: int) -> mmap.mmap:
        """A buffer of at least `length` bytes, with whatever was in it; the caller's while it is viewed."""
        steps = -(-(length - ALIGNED_EXTRA_BYTES) // ALIGNED_STEP_BYTES)
        size = max(1, steps) * ALIGNED_STEP_BYTES + ALIGNED_EXTRA_BYTES
        with self._lock:
            self._is_idle = False
            kept = self._kept.setdefault(size, [])
            for buffer in kept:
                if getrefcount(buffer) == _UNUSED_REFERENCES:
                    return buffer
            buffer = mmap.mmap(-1, size)
            if self.kept_bytes + size <= self._kept_bytes_max:
                kept.append(buffer)
                self.kept_bytes += size
            return buffer

    def trim(self) -> None:
        """Let go of those that nothing views if none was taken since this was called last."""
        with self._lock:
            was_idle, self._is_idle = self._is_idle, True
            if not was_idle:
                return
            for size, kept in self._kept.items():
                used = [buffer for buffer in kept if getrefcount(buffer) != _UNUSED_REFERENCES]
                self.kept_bytes -= size * (len(kept) - len(used))
                self._kept[size] = used


def _unused_references() -> int:
    """What `getrefcount` says in a loop over a list of something that nothing else refers to."""
    for only in [object()]:
        return getrefcount(only)
    raise AssertionError


_UNUSED_REFERENCES: Final = _unused_references()
