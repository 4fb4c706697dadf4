"""A few numbers that all processes of one server see at once: a small file mapped by each of them.

Slot 0 is the configuration epoch: the ledger moves it on after each commit that changed a bucket, a
bucket's configuration, a user or a key, and when it starts (the one before may have died in between);
everyone else drops its cache when the number has moved.

Slot 1 is the index generation: a ledger that is ready to serve writes the number of its index here;
whoever reads another index opens this one first.

Slot 2 is how many connections listen to what changes, as the ledger counts them: whoever changes an object
looks here whether word of it is wanted.

The slots after these say, per worker and for the jobs process, when its oldest read under way began
(milliseconds, 0 for none). The garbage job keeps the bytes of an object that was deleted after that, so
that a download in progress is not cut off. Each slot has one writer; 8-byte aligned stores are atomic on
every CPU CPython supports here.
"""

import mmap
import os
from pathlib import Path
from typing import Final

from objstore import clock

MAX_READERS: Final = 255
JOBS_READER: Final = MAX_READERS - 1
"""The reader that the jobs process is: the workers are those from 0 on."""
_EPOCH: Final = 0
_INDEX_GENERATION: Final = 1
_LISTENERS: Final = 2
_READERS: Final = 3
_SIZE: Final = 8 * (_READERS + MAX_READERS)


class SharedState:
    """One process's view of the file; `create` once in the supervisor, `attach` in each child."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._slots = memoryview(self._map).cast("Q")

    @staticmethod
    def create(path: Path) -> None:
        """Make the file, all zero, readable by this user only."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
        finally:
            os.close(descriptor)

    @property
    def epoch(self) -> int:
        """The configuration epoch: compare for equality with the one a cache was filled under."""
        return self._slots[_EPOCH]

    def advance_epoch(self) -> None:
        """Tell every process that configuration changed. Only the ledger may call this."""
        self._slots[_EPOCH] = self._slots[_EPOCH] + 1

    @property
    def index_generation(self) -> int:
        """Which index the ledger that serves now writes to; 0 before the first ledger is ready."""
        return self._slots[_INDEX_GENERATION]

    def set_index_generation(self, generation: int) -> None:
        """Only the ledger may call this, once it is ready and before it takes a command."""
        self._slots[_INDEX_GENERATION] = generation

    @property
    def listener_count(self) -> int:
        """How many listen to the ledger's live events."""
        return self._slots[_LISTENERS]

    def set_listener_count(self, count: int) -> None:
        """Only the ledger may call this."""
        self._slots[_LISTENERS] = count

    def set_oldest_read(self, worker: int, began_ms: int) -> None:
        """Worker `worker` (0-based) has reads under way since `began_ms`; 0: none."""
        self._slots[_READERS + worker] = began_ms

    def oldest_read_ms(self) -> int | None:
        """When the oldest read under way in any worker began; None when there is none.

        One that seems to begin later than now began before the clock was set back, nobody knows how long ago:
        that is 1 ms after the epoch.
        """
        now_ms = clock.now_ms()
        return min(
            (began if began <= now_ms else 1 for began in self._slots[_READERS:] if began), default=None
        )
