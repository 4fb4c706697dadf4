"""How far an index is: the one row in which the ledger says which journal record it has applied last."""

from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

from objstore.meta.interface import Database
from objstore.meta.segment import LINK_BYTES, START, Point, Record

STATE_NAME: Final = "ledger"
"""The row's name in table `state`. It is written in the transaction of the batch it speaks of, outside
the changeset: replaying a record writes it anew from the record."""

_PACKED: Final = Struct(f">Q{LINK_BYTES}sQQ")
_READ: Final = "SELECT value FROM state WHERE name = 'ledger'"
_WRITE: Final = """
    INSERT INTO state (name, value) VALUES ('ledger', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


@dataclass(frozen=True, slots=True)
class Position:
    """Where an index stands."""

    point: Point
    issued: int
    """The last sequence number given to a command."""
    clock_ms: int
    """The time of the last batch; the next one's is not before it."""

    @classmethod
    def after(cls, record: Record) -> Self:
        """Where an index stands that has applied this record."""
        return cls(record.point, record.issued, record.clock_ms)


ORIGIN: Final = Position(START, 0, 0)


def read(db: Database) -> Position | None:
    """Where this index stands; None when it does not say."""
    row = db.one(_READ)
    if row is None or len(row[0]) != _PACKED.size:
        return None
    sequence, checksum, issued, clock_ms = _PACKED.unpack(row[0])
    return Position(Point(sequence, checksum), issued, clock_ms)


def write(db: Database, position: Position) -> None:
    """Say where this index stands, in the transaction that brings it there."""
    point = position.point
    db.execute(_WRITE, (_PACKED.pack(point.sequence, point.checksum, position.issued, position.clock_ms),))
