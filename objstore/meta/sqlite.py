"""Reading the index: read-only connections that a worker keeps, on its event loop and in threads.

Invariants kept here:
- Opened `mode=ro`: these connections never write a page and never checkpoint; the ledger alone does.
- Every query function sees one snapshot, however many statements it runs.
- No statement stays half read: an open snapshot would keep the ledger's checkpoints from finishing.
- One SQLite library per process and file. This is the standard library's; the ledger's own is
  another one and lives in another process. (POSIX locks belong to the process: two libraries that do
  not know of each other would drop each other's.)
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import quote

from objstore.meta.interface import Database, Row, Unavailable, is_one_statement

P = ParamSpec("P")
R = TypeVar("R")

Query = Callable[Concatenate[Database, P], R]
"""A read of queries.py: the database first, then its arguments."""

READER_THREADS: Final = 3
STATEMENTS_CACHED: Final = 256
PAGE_CACHE_KIB: Final = 8 << 10
LOCK_WAIT_S: Final = 2.0
"""How long a read waits for SQLite's locks, held only while an index is opened or recovered."""


_DAMAGE_CODES: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)
_ABSENCE_CODES: Final = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)


class IndexDamaged(Unavailable):
    """The index cannot be read as it should: the ledger must look at it and may have to rebuild it."""


class Reader:
    """One read-only connection in the shape of Database. For one thread at a time."""

    def __init__(self, path: str) -> None:
        """Opens the index at `path`. Raises IndexDamaged, Unavailable."""
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(path)}?mode=ro",
                uri=True,
                isolation_level=None,
                timeout=LOCK_WAIT_S,
                cached_statements=STATEMENTS_CACHED,
                check_same_thread=False,
            )
            for pragma in ("query_only = ON", f"cache_size = -{PAGE_CACHE_KIB}", "temp_store = MEMORY"):
                self._connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as exc:
            raise _translated(exc) from exc
        self._execute = self._connection.execute

    def run(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `query` finds, in one snapshot. Raises IndexDamaged, Unavailable, whatever `query` raises."""
        try:
            if is_one_statement(query):
                return query(self, *args, **kwargs)
            self._execute("BEGIN")
            try:
                return query(self, *args, **kwargs)
            finally:
                self._execute("COMMIT")
        except sqlite3.Error as exc:
            raise _translated(exc) from exc

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self._execute(sql, parameters).fetchone()
        return row

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._execute(sql, parameters).fetchall()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        raise AssertionError("queries do not write")

    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        raise AssertionError("queries do not write")

    def next_sequence(self) -> int:
        raise AssertionError("queries do not write")

    def tell(self, event: Row) -> None:
        raise AssertionError("queries do not write")

    def close(self) -> None:
        """Give the connection back. Idempotent."""
        self._connection.close()


def _translated(error: sqlite3.Error) -> Exception:
    """What a failure of SQLite means; a defect in a query stays what it is."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code
    if code in _DAMAGE_CODES:
        return IndexDamaged(f"index is damaged: {error}")
    if code in _ABSENCE_CODES:
        return Unavailable(f"index cannot be read: {error}")
    return error


class Readers:
    """All connections of one process to one index file: one for the event loop, one in each thread."""

    def __init__(self, path: str, threads: int = READER_THREADS) -> None:
        self.path = path
        self.inline = Reader(path)
        self._local = threading.local()
        self._opened: list[Reader] = [self.inline]
        self._lock = threading.Lock()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="index-reader")

    def run_in_thread(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`Reader.run` on the calling pool thread's own connection."""
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = Reader(self.path)
            with self._lock:
                self._opened.append(reader)
        return reader.run(query, *args, **kwargs)

    def close(self) -> None:
        """Wait for the reads under way and close every connection."""
        self.pool.shutdown(wait=True)
        for reader in self._opened:
            reader.close()
