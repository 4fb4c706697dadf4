"""A ledger over a few words: commands and tables small enough to keep a model of them in a dict."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import apsw
import msgpack

from objstore.meta.interface import ConditionFailed, Database, MetaDrive
from objstore.meta.ledger_core import LedgerCore
from objstore.meta.start import LedgerSettings


class Words:
    """The schema: one table of words."""

    VERSION = 1

    def install(self, db: Database) -> int:
        db.execute(
            "CREATE TABLE IF NOT EXISTS state "
            "(name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
        )
        row = db.one("SELECT value FROM state WHERE name = 'schema_version'")
        before = int(row[0]) if row else 0
        if before < 1:
            db.execute(
                "CREATE TABLE words (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, "
                "sequence INTEGER NOT NULL) WITHOUT ROWID"
            )
        if before < 2 <= self.VERSION:
            db.execute("ALTER TABLE words ADD COLUMN note TEXT")
        db.execute(
            "INSERT INTO state (name, value) VALUES ('schema_version', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (str(self.VERSION).encode(),),
        )
        return before


class MoreWords(Words):
    """The schema's next version."""

    VERSION = 2


@dataclass(frozen=True)
class Put:
    """Set a word; refused if `only_new` and it is there."""

    name: str
    value: str
    only_new: bool = False
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> int:
        if self.only_new and db.one("SELECT 1 FROM words WHERE name = ?", (self.name,)):
            raise ConditionFailed(condition="If-None-Match", key=self.name)
        sequence = db.next_sequence()
        db.execute(
            "INSERT INTO words (name, value, sequence) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value, sequence = excluded.sequence",
            (self.name, self.value, sequence),
        )
        return sequence


@dataclass(frozen=True)
class Remove:
    """Forget a word; how many there were."""

    name: str
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> int:
        return db.execute("DELETE FROM words WHERE name = ?", (self.name,))


@dataclass(frozen=True)
class Defective:
    """Writes something, then fails as only a defect fails."""

    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.execute("INSERT INTO words (name, value, sequence) VALUES ('half', 'done', 0)")
        raise ZeroDivisionError


@dataclass(frozen=True)
class Now:
    """What time the ledger says it is."""

    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> int:
        return now_ms


class WordsCodec:
    """These commands as bytes."""

    kinds: ClassVar[dict[str, type[Any]]] = {kind.__name__: kind for kind in (Put, Remove, Defective, Now)}

    def encode(self, command: Any) -> bytes:
        packed: bytes = msgpack.packb((type(command).__name__, list(vars(command).values())))
        return packed

    def decode(self, data: bytes) -> Any:
        name, values = msgpack.unpackb(data)
        return self.kinds[name](*values)

    def encode_result(self, result: Any) -> bytes:
        packed: bytes = msgpack.packb(result)
        return packed

    def decode_result(self, data: bytes) -> Any:
        return msgpack.unpackb(data)


def word(db: Database, name: str) -> str | None:
    """A query: one word's value."""
    row = db.one("SELECT value FROM words WHERE name = ?", (name,))
    return None if row is None else row[0]


def all_words(db: Database) -> dict[str, str]:
    """A query: all words."""
    return dict(db.rows("SELECT name, value FROM words"))


def settings_for(
    roots: Iterable[Path],
    *,
    copies: int = 3,
    boot_id: str = "this boot",
    deployment: int | None = None,
    **more: Any,
) -> LedgerSettings:
    """Settings for a ledger over drives 1..n at `roots` (those that exist), without threads."""
    listed = list(roots)
    return LedgerSettings(
        drives=tuple(MetaDrive(number, str(root)) for number, root in enumerate(listed, 1) if root.is_dir()),
        deployment=tuple(range(1, (deployment or len(listed)) + 1)),
        copies=copies,
        boot_id=boot_id,
        **({"is_parallel": False} | more),
    )


def make_roots(base: Path, count: int = 6) -> list[Path]:
    """Fresh drive directories."""
    roots = [base / f"d{number}" for number in range(1, count + 1)]
    for root in roots:
        root.mkdir(parents=True)
    return roots


def open_words(settings: LedgerSettings, schema: Any = None) -> LedgerCore:
    """A ledger over the words."""
    return LedgerCore.open(settings, schema=schema or Words())


def words_of(core: LedgerCore) -> dict[str, str]:
    """What its index holds."""
    return all_words(core._database)


def abandon(core: LedgerCore) -> None:
    """Let go of a ledger as a killed process would: its index stays marked as in use."""
    with suppress(apsw.Error):  # a fault injected into SQLite's last checkpoint
        core._connection.close(True)
    core._started.close(core._crew)
