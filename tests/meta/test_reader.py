"""A reader's snapshots: one for each query, and none left open behind it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from objstore.meta import queries
from objstore.meta.interface import Database, is_one_statement, one_statement
from objstore.meta.sqlite import Reader


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "index.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE words (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL)")
    connection.execute("INSERT INTO words VALUES ('a', 1), ('b', 1)")
    yield connection
    connection.close()


@pytest.fixture
def reader(writer: sqlite3.Connection, tmp_path: Path) -> Iterator[Reader]:
    opened = Reader(str(tmp_path / "index.db"))
    yield opened
    opened.close()


def value_of(db: Database, name: str) -> int | None:
    row = db.one("SELECT value FROM words WHERE name >= ? ORDER BY name", (name,))
    return None if row is None else row[0]


value_at_once = one_statement(lambda db, name: value_of(db, name))


def test_a_query_of_two_statements_sees_one_snapshot(writer: sqlite3.Connection, reader: Reader) -> None:
    def both(db: Database) -> tuple[int | None, int | None]:
        first = value_of(db, "a")
        writer.execute("UPDATE words SET value = 2")
        return first, value_of(db, "b")

    assert reader.run(both) == (1, 1)
    assert reader.run(both) == (2, 2)


@pytest.mark.parametrize("query", [value_of, value_at_once])
def test_no_snapshot_is_left_open(writer: sqlite3.Connection, reader: Reader, query: object) -> None:
    """It would keep the ledger's checkpoints from finishing, and the next query from seeing what came."""
    assert reader.run(query, "a") == 1  # type: ignore[arg-type]
    writer.execute("UPDATE words SET value = 7")
    busy, _, _ = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy
    assert reader.run(query, "a") == 7  # type: ignore[arg-type]


def test_what_is_marked_as_one_statement_is_one() -> None:
    class Counting:
        calls = 0

        def one(self, sql: str, parameters: object = ()) -> None:
            self.calls += 1

        rows = one

    db = Counting()
    assert is_one_statement(queries.current) and not is_one_statement(queries.top)
    assert queries.current(db, 1, "key") is None  # type: ignore[arg-type]
    assert db.calls == 1
