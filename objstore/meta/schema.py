"""Bring a database to this version's tables: whole when it is new, step by step when it is older."""

from pathlib import Path
from typing import Final

from objstore.meta.interface import Database, MetadataError

VERSION: Final = 1
_HERE: Final = Path(__file__).parent


class SchemaUnknown(MetadataError):
    """The database was written by a newer version of this program."""


def statements(script: str) -> list[str]:
    """The statements of an SQL script in which each ends with a semicolon at the end of a line."""
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip(" \n;") for statement in code.split(";\n") if statement.strip(" \n;")]


def install(db: Database, directory: Path = _HERE, version: int = VERSION) -> int:
    """Give the database the tables of `version`; returns the version it had (0: it was new).

    Runs inside the transaction the caller opened; nothing to do is no error. `directory` holds
    `schema.sql` (that version whole) and `migrations/NNNN.sql` (from the version before to NNNN).
    Raises SchemaUnknown when the database is newer than `version`.
    """
    state_table, *tables = statements((directory / "schema.sql").read_text())
    db.execute(state_table)  # IF NOT EXISTS: the one statement every version can begin with
    row = db.one("SELECT value FROM state WHERE name = ?", ("schema_version",))
    before = int(row[0]) if row else 0
    if before > version:
        raise SchemaUnknown(f"metadata has schema version {before}; this program knows up to {version}")
    if before == 0:
        for statement in tables:
            db.execute(statement)
    else:
        for number in range(before + 1, version + 1):
            for statement in statements((directory / "migrations" / f"{number:04}.sql").read_text()):
                db.execute(statement)
    if before != version:
        db.execute(
            "INSERT INTO state (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            ("schema_version", str(version).encode()),
        )
    return before
