"""The tables: new, migrated, fit for the session extension, and the same words as in the docs."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import apsw
import pytest

from objstore.meta import commands, queries, schema
from objstore.meta.interface import Row
from objstore.model import Attributes, BlobRef, Part, Versioning
from tests.meta.support.sqlite_database import SqliteDatabase

REPOSITORY = Path(__file__).parents[2]


def tables(db: SqliteDatabase) -> list[str]:
    return [row[0] for row in db.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def test_a_new_database_has_the_newest_version() -> None:
    db = SqliteDatabase()
    assert queries.state(db, "schema_version") == str(schema.VERSION).encode()
    with db.transaction():
        assert schema.install(db) == schema.VERSION


def test_a_newer_database_is_refused() -> None:
    db = SqliteDatabase()
    db.write(commands.SetState("schema_version", str(schema.VERSION + 1).encode()), 0)
    with pytest.raises(schema.SchemaUnknown), db.transaction():
        schema.install(db)


def test_an_older_database_is_migrated_step_by_step(tmp_path: Path) -> None:
    state = "CREATE TABLE IF NOT EXISTS state (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL);\n"
    (tmp_path / "schema.sql").write_text(state + "-- a comment; with a semicolon\nCREATE TABLE a (x INT);\n")
    (tmp_path / "migrations").mkdir()
    db = SqliteDatabase.__new__(SqliteDatabase)
    db.connection = sqlite3.connect(":memory:", isolation_level=None)
    assert schema.install(db, tmp_path, version=1) == 0
    (tmp_path / "schema.sql").write_text(state + "CREATE TABLE a (x INT, y INT, z INT);\n")
    (tmp_path / "migrations" / "0002.sql").write_text("ALTER TABLE a ADD COLUMN y INT;\n")
    (tmp_path / "migrations" / "0003.sql").write_text(
        "ALTER TABLE a ADD COLUMN z INT;\nINSERT INTO a (x)\nVALUES (1);\n"
    )
    assert schema.install(db, tmp_path, version=3) == 1
    assert db.rows("SELECT x, y, z FROM a") == [(1, None, None)]
    assert schema.install(db, tmp_path, version=3) == 3


def test_every_version_since_the_first_has_its_migration() -> None:
    there = sorted(path.name for path in (Path(schema.__file__).parent / "migrations").glob("*.sql"))
    assert there == [f"{number:04}.sql" for number in range(2, schema.VERSION + 1)]


def test_every_table_has_a_primary_key_without_null() -> None:
    """The session extension records no change of a table without one, nor of a row with NULL in it."""
    db = SqliteDatabase()
    for table in tables(db):
        columns = db.rows(f"PRAGMA table_info({table})")
        key = [(name, not_null) for _, name, _, not_null, _, place in columns if place]
        assert key and all(not_null for _, not_null in key), table


def test_column_types_are_known_to_both_engines() -> None:
    db = SqliteDatabase()
    types = {row[2] for table in tables(db) for row in db.rows(f"PRAGMA table_info({table})")}
    assert types <= {"BIGINT", "INTEGER", "SMALLINT", "TEXT", "BLOB"}


def test_every_table_is_in_the_docs() -> None:
    text = (REPOSITORY / "docs" / "metadata_schema.md").read_text()
    db = SqliteDatabase()
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == set(tables(db))


class ApswDatabase(SqliteDatabase):
    """The same over apsw, as the ledger has it, with a session that sees every change."""

    def __init__(self) -> None:
        self.apsw = apsw.Connection(":memory:")
        self._sequence = 0
        schema.install(self)
        self.session = apsw.Session(self.apsw, "main")
        self.session.attach()

    def __del__(self) -> None:
        self.session.close()
        self.apsw.close()

    def execute(self, sql: str, parameters: Any = ()) -> int:
        self.apsw.execute(sql, parameters)
        return self.apsw.changes()

    def one(self, sql: str, parameters: Any = ()) -> Row | None:
        return next(iter(self.rows(sql, parameters)), None)

    def rows(self, sql: str, parameters: Any = ()) -> list[Row]:
        return list(self.apsw.execute(sql, parameters))

    def many(self, sql: str, parameters: Any) -> None:
        self.apsw.executemany(sql, parameters)


def test_changesets_of_commands_make_the_same_database_elsewhere() -> None:
    """What the journal records is enough to rebuild every row that commands wrote."""
    source, target = ApswDatabase(), ApswDatabase()
    bucket = commands.CreateBucket("bucket", "owner", "here").apply(source, 1)
    blobs = [BlobRef(b"%016d" % number, 3, b"there") for number in range(8)]
    steps: list[commands.PutVersion | commands.DeleteVersion] = []
    for number, blob in enumerate(blobs[:6]):
        steps.append(
            commands.PutVersion(
                bucket.id, f"k{number % 2}", 3, "e", "owner", Attributes(), blob=blob, version_id=f"v{number}"
            )
        )
    steps.insert(4, commands.DeleteVersion(bucket.id, "k0", "owner", new_version_id="m"))
    steps.append(commands.DeleteVersion(bucket.id, "k1", "owner", version_id="v5"))
    for number, step in enumerate(steps):
        if number == 2:
            commands.SetVersioning(bucket.id, Versioning.ENABLED).apply(source, 1)
        step.apply(source, 1)
    commands.CreateUpload(bucket.id, "up", "u", "owner", Attributes()).apply(source, 1)
    for number in (1, 2):
        part = Part(number, 3, "e", 0, blob=blobs[5 + number])
        commands.PutPart(bucket.id, "up", "u", part).apply(source, 1)
    named = (commands.NamedPart(1, blobs[6].id, 3),)
    complete = commands.CompleteUpload(bucket.id, "up", "u", named, "e", Attributes(), b"d", version_id="w")
    complete.apply(source, 1)
    commands.PutUser("id", "name", "Name").apply(source, 1)
    apsw.Changeset.apply(source.session.changeset(), target.apsw)
    for table in tables(source):
        assert target.rows(f"SELECT * FROM {table}") == source.rows(f"SELECT * FROM {table}"), table
    assert source.rows("SELECT * FROM garbage") and source.rows("SELECT * FROM history")
