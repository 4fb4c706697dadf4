"""Whether the index holds what the journal says: a copy of it against one built from the journal alone."""

from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

import apsw
import xxhash

from objstore.meta import index, position, snapshot
from objstore.meta.drive_journal import DriveJournal
from objstore.meta.index import LedgerDatabase
from objstore.meta.recovery import Chain
from objstore.meta.roster import Roster
from objstore.meta.start import Index, replay

REBUILT_TEMPORARY: Final = "comparison.tmp"
ROWS_AT_ONCE: Final = 1000


def differences(live: Index, copy: Path, told: Roster, members: Mapping[int, DriveJournal]) -> list[str]:
    """The tables in which a copy of the live index differs from what snapshot and journal make of it.

    `members` are handles of the journal's drives. Takes as long, and as much room beside the index, as
    building it anew. Raises OSError, apsw.Error; JournalDamaged where the journal does not suffice.
    """
    directory = live.directory
    name = REBUILT_TEMPORARY
    for leftover in (name, f"{name}-wal", f"{name}-shm"):
        directory.remove(leftover)
    with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)) as found:
        stands = position.read(LedgerDatabase(found, 0))
        assert stands is not None
        for drive, taken in _sources(told, members, stands.point.sequence):
            restored = snapshot.restore(drive, taken, directory.descriptor, name)
            if restored is not None:
                break
        else:
            return ["no snapshot is left to compare the index with"]
        path = directory.path / name
        with closing(index.connect(path)) as connection:
            made = Index(directory, path, connection, restored)
            replay(made, Chain(told, members), stands.point)
            bad = [table for table in _tables(found) if _digest(found, table) != _digest(connection, table)]
    for leftover in (name, f"{name}-wal", f"{name}-shm"):
        directory.remove(leftover)
    return [f"the index differs from the journal in table {table}" for table in bad]


def _sources(
    told: Roster, members: Mapping[int, DriveJournal], until: int
) -> list[tuple[DriveJournal, snapshot.SnapshotName]]:
    """Snapshots at or before a sequence, newest first, on each member that has it."""
    found = [
        (drive, name)
        for drive in members.values()
        for name in snapshot.names(drive)
        if name.schema == told.schema and name.sequence <= until
    ]
    return sorted(found, key=lambda each: (-each[1].sequence, each[0].number))


def _tables(connection: apsw.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    return [str(row[0]) for row in rows if not str(row[0]).startswith("sqlite_")]


def _digest(connection: apsw.Connection, table: str) -> bytes:
    """Over every row in the order of the primary key; independent of how the rows are stored."""
    columns = connection.execute(
        "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,)
    ).fetchall()
    key = ", ".join(f'"{name}"' for (name,) in columns)
    digest = xxhash.xxh3_128()
    rows = connection.execute(f'SELECT * FROM "{table}" ORDER BY {key}')
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        digest.update(repr(batch).encode())
    return digest.digest()
