"""Syncs the index beside the commits, to learn of write-backs that failed.

SQLite runs with synchronous=OFF, so the kernel writes the index back when it likes, and where that fails
it says so to nobody: the pages count as clean, and once they are dropped from memory the file reads as it
was before. A sync on a descriptor that was open all the time reports such a failure, whenever it was
(Linux keeps an error sequence for each file; descriptors opened later may miss it). So the index is
synced every few seconds, in a thread of its own, on descriptors kept for this alone. Nothing waits for
it; a failure makes the ledger build the index anew from the journal.

Invariant kept here: the descriptors stay open as long as the write connection does. Closing any
descriptor of the file would drop the POSIX locks that SQLite holds on it in this process.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from objstore import clock, durable

SYNC_S: Final = 10.0
"""Between two syncs of an index that is being written to."""
CLOSE_S: Final = 3.0
"""How long a ledger that stops waits for a sync under way."""


class IndexNotWritten(Exception):
    """What was written to the index did not all reach its drive."""


class IndexSync:
    """The syncs of one index. `step` and `close` in the ledger's thread."""

    def __init__(self, path: Path, *, is_parallel: bool) -> None:
        """Opens the index's files. Raises OSError."""
        self._path = path
        self._is_parallel = is_parallel
        self._directory = durable.open_root(str(path.parent))
        self._descriptors: dict[str, int] = {}
        self._due_s = clock.monotonic_s() + SYNC_S
        self._synced_sequence = -1
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None
        self._open()

    def _open(self) -> None:
        """The database file and, as soon as there is one, its WAL."""
        for name in (self._path.name, f"{self._path.name}-wal"):
            if name not in self._descriptors:
                with suppress(FileNotFoundError):
                    self._descriptors[name] = durable.open_file(self._directory, name)

    def step(self, sequence: int) -> None:
        """Begin a sync if one is due and the index was written to since; `sequence` tells where it stands.

        Raises IndexNotWritten when one failed.
        """
        if self._error is not None:
            raise IndexNotWritten(str(self._error)) from self._error
        is_under_way = self._thread is not None and self._thread.is_alive()
        if is_under_way or sequence == self._synced_sequence or clock.monotonic_s() < self._due_s:
            return
        self._due_s = clock.monotonic_s() + SYNC_S
        self._synced_sequence = sequence
        try:
            self._open()
        except OSError as exc:
            raise IndexNotWritten(str(exc)) from exc
        if not self._is_parallel:
            self._sync()
            return self.step(sequence)
        self._thread = threading.Thread(target=self._sync, name="index-sync", daemon=True)
        self._thread.start()

    def _sync(self) -> None:
        try:
            for descriptor in tuple(self._descriptors.values()):
                durable.sync(descriptor)
        except OSError as exc:
            self._error = exc

    def close(self) -> None:
        """Release the files, after the connection was closed; those of a sync that hangs are left to it.

        Raises IndexNotWritten when the last sync failed.
        """
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if self._thread is None or not self._thread.is_alive():
            for descriptor in (*self._descriptors.values(), self._directory):
                with suppress(OSError):
                    durable.close(descriptor)
        if self._error is not None:
            raise IndexNotWritten(str(self._error)) from self._error
