"""Where the index lies and whether it may be trusted. Only the ledger uses this: SQLite through apsw.

The index is a copy of what the journal says, kept for reading. SQLite runs with synchronous=OFF, so
after the machine went down without a clean stop its file may be anything: it is thrown away and
rebuilt. `index.state` in the index's directory names the file and says how it was left:

- clean: closed in order and synced; its digest is in the state and is checked before it is used;
- in use, and the machine has not restarted since: the page cache kept every write, whatever became of
  the process, unless writing it back failed, which index_sync.py finds out; SQLite's own check is run
  when the file is not too large;
- anything else is not trusted.

A rebuilt index always gets a new name, so that a reader never mixes two files.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from objstore import durable
from objstore.meta import snapshot
from objstore.meta.interface import Row

logger: Final = logging.getLogger(__name__)

STATE_NAME: Final = "index.state"
INDEX_DIRECTORY: Final = "index"
QUICK_CHECK_BYTES_MAX: Final = 256 << 20
"""An index left in use is checked at the start up to this size: about a second."""
PAGE_CACHE_KIB: Final = 64 << 10
BUSY_WAIT_MS: Final = 2000
"""For readers that hold SQLite's locks for an instant while they open the index."""
_BOOT_ID_PATH: Final = Path("/proc/sys/kernel/random/boot_id")
_PREFIX: Final = "metadata-"
_GENERATION_BYTES: Final = 7


class LedgerDatabase:
    """The write connection in the shape of Database."""

    def __init__(self, connection: apsw.Connection, issued: int) -> None:
        self.connection = connection
        self.issued = issued
        self.told: list[Row] = []
        """What commands told since it was last emptied, committed or not."""
        self._execute = connection.execute
        self._changes = connection.changes

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        self._execute(sql, parameters)
        return self._changes()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self._execute(sql, parameters).fetchone()
        return row

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._execute(sql, parameters).fetchall()

    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        self.connection.executemany(sql, parameters)

    def next_sequence(self) -> int:
        self.issued += 1
        return self.issued

    def tell(self, event: Row) -> None:
        self.told.append(event)


@dataclass(frozen=True, slots=True)
class IndexState:
    """How an index directory was left."""

    file: str
    boot_id: str
    is_clean: bool
    digests: dict[str, tuple[int, str]]
    """Of a clean index: length and xxh3_128 of its database file, and of its WAL if it kept one."""


def generation_of(path: Path) -> int:
    """The number that stands for an index file: no other ever has it."""
    return int(path.stem.removeprefix(_PREFIX), 16)


def boot_id() -> str:
    """What tells one run of the machine from the next; empty where the system does not say."""
    with suppress(OSError):
        return _BOOT_ID_PATH.read_text().strip()
    return ""


def connect(path: Path, *, is_new: bool = False) -> apsw.Connection:
    """The write connection to the index at `path`. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if is_new else 0)
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=500)
    connection.set_busy_timeout(BUSY_WAIT_MS)
    for pragma in (
        "journal_mode = WAL",
        "synchronous = OFF",
        "wal_autocheckpoint = 0",
        "trusted_schema = OFF",
        "temp_store = MEMORY",
        f"cache_size = -{PAGE_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


class IndexDirectory:
    """One directory in which an index may lie."""

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        """Opens the directory, made unless it must exist if its parent does. Raises OSError."""
        self.path = path
        if not must_exist:
            parent = durable.open_root(str(path.parent))
            try:
                durable.make_directory(parent, path.name)
                durable.sync_directory(parent)
            finally:
                durable.close(parent)
        self._descriptor = durable.open_root(str(path))

    @property
    def descriptor(self) -> int:
        """For file operations relative to this directory."""
        return self._descriptor

    def close(self) -> None:
        """Release the descriptor."""
        durable.close(self._descriptor)

    def read_state(self) -> IndexState | None:
        """How the directory was left; None when nothing says so."""
        try:
            fields = json.loads(durable.read_file(self._descriptor, STATE_NAME))
            digests = {name: (length, digest) for name, (length, digest) in fields.pop("digests").items()}
            return IndexState(**fields, digests=digests)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            logger.warning("index state cannot be read", extra={"directory": str(self.path)})
            return None

    def write_state(self, state: IndexState) -> None:
        """Durable on return."""
        durable.write_file(self._descriptor, STATE_NAME, json.dumps(asdict(state), indent=1).encode())

    def find_trusted(self, current_boot_id: str) -> Path | None:
        """The index that lies here if it may be opened; None, with a line in the log, if it may not."""
        state = self.read_state()
        if state is None:
            return None
        reason = self._reason_for_distrust(state, current_boot_id)
        if reason is None:
            return self.path / state.file
        logger.warning("index is not trusted", extra={"index": str(self.path / state.file), "reason": reason})
        return None

    def _reason_for_distrust(self, state: IndexState, current_boot_id: str) -> str | None:
        if not state.file.startswith(_PREFIX) or state.file not in durable.names(self._descriptor):
            return "the file is gone"
        if not state.is_clean:
            is_same_boot = bool(current_boot_id) and state.boot_id == current_boot_id
            return None if is_same_boot else "the machine restarted while it was in use"
        if self._digests(state.file) != state.digests:
            return "the file changed since it was closed"
        return None

    def begin_use(self, path: Path, current_boot_id: str) -> None:
        """From now on the file is written to: until `end_use` it is trusted within this boot only."""
        self.write_state(IndexState(path.name, current_boot_id, False, {}))

    def end_use(self, path: Path, current_boot_id: str) -> None:
        """The file was closed: make it durable and say so."""
        for name in self._files(path.name):
            descriptor = durable.open_file(self._descriptor, name, writable=True)
            try:
                durable.sync(descriptor)
            finally:
                durable.close(descriptor)
        durable.sync_directory(self._descriptor)
        self.write_state(IndexState(path.name, current_boot_id, True, self._digests(path.name)))

    def distrust(self) -> None:
        """Never open what lies here again. Best effort: a drive that fails may refuse even this."""
        with suppress(OSError):
            durable.unlink(self._descriptor, STATE_NAME)
            durable.sync_directory(self._descriptor)

    def new_path(self) -> Path:
        """A path no index ever had."""
        return self.path / f"{_PREFIX}{os.urandom(_GENERATION_BYTES).hex()}.db"

    def drop_others(self, path: Path | None) -> None:
        """Remove every index here but the one at `path`."""
        if path is None:
            self.distrust()
        keep = path.name if path is not None else "\0"
        with suppress(OSError):
            self._remove(lambda found: found.startswith(_PREFIX) and not found.startswith(keep))

    def remove(self, name: str) -> None:
        """Remove a file of this directory; absent is fine."""
        with suppress(FileNotFoundError):
            durable.unlink(self._descriptor, name)

    def _remove(self, is_unneeded: Callable[[str], bool]) -> None:
        for name in durable.names(self._descriptor):
            if is_unneeded(name):
                self.remove(name)

    def _files(self, name: str) -> list[str]:
        present = set(durable.names(self._descriptor))
        return [found for found in (name, f"{name}-wal") if found in present]

    def _digests(self, name: str) -> dict[str, tuple[int, str]]:
        found = {}
        for file_name in self._files(name):
            length = durable.length_of(self._descriptor, file_name)
            descriptor = durable.open_file(self._descriptor, file_name)
            try:
                digest = snapshot.digest_of(descriptor, 0, length)
            finally:
                durable.close(descriptor)
            found[file_name] = (length, "" if digest is None else digest.hex())
        return found


def is_sound(connection: apsw.Connection) -> bool:
    """SQLite's own check of an index that was left in use, where it does not take too long."""
    size = "SELECT page_count * page_size > ? FROM pragma_page_count, pragma_page_size"
    try:
        if connection.execute(size, (QUICK_CHECK_BYTES_MAX,)).fetchall() == [(1,)]:
            return True
        return connection.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)]
    except apsw.Error:
        return False


def schema_version(connection: apsw.Connection) -> int | None:
    """The schema version an index says it has."""
    row = connection.execute("SELECT value FROM state WHERE name = 'schema_version'").fetchone()
    return None if row is None else int(str(row[0], "ascii") if isinstance(row[0], bytes) else str(row[0]))


def unjournalable_tables(connection: apsw.Connection) -> list[str]:
    """Tables whose changes SQLite's session extension would not record: without a declared primary key,
    or with NULL allowed in one; and sqlite_sequence, which it never records."""
    bad: list[str] = []
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for name in (str(row[0]) for row in tables):
        columns = connection.execute('SELECT pk, "notnull" FROM pragma_table_info(?)', (name,)).fetchall()
        keys = [not_null for pk, not_null in columns if pk]
        is_ours = not name.startswith("sqlite_") or name == "sqlite_sequence"
        if is_ours and (not keys or not all(keys)):
            bad.append(name)
    return bad
