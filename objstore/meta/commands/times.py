"""Times that lie ahead, because the wall clock was set far ahead for a while: brought back to now.

The ledger's time never goes back, so after such a while it stands still until the clock has caught up, years
perhaps, and all that is written gets that time. Whoever waits for a time by the wall clock would wait as
long: garbage for its grace, a repair for its turn. Objects keep the times they were given.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from objstore import clock
from objstore.meta import queries
from objstore.meta.commands.replication import NOT_YET_MS
from objstore.meta.interface import Database

PAST_AHEAD_MS: Final = 60_000
"""How far what has happened may seem to lie ahead: the clock may be set back by so much as clocks are."""
DUE_AHEAD_MS: Final = 3_600_000
"""How far ahead something may be put off; nothing ever is for so long."""


class _Time(NamedTuple):
    table: str
    id: str
    column: str
    ahead_ms: int


_TIMES: Final = (
    _Time("garbage", "blob_id", "since_ms", PAST_AHEAD_MS),
    _Time("dropped_uploads", "upload_id", "since_ms", PAST_AHEAD_MS),
    _Time("tier_intents", "blob_id", "since_ms", PAST_AHEAD_MS),
    _Time("transitions", "upload_id", "since_ms", PAST_AHEAD_MS),
    _Time("repairs", "blob_id", "due_ms", DUE_AHEAD_MS),
)
_REPLICATIONS: Final = (
    "SELECT sequence FROM replications WHERE target = ? AND due_ms > ? AND due_ms < ? LIMIT ?"
)


def lie_ahead(db: Database, now_ms: int) -> bool:
    """Whether there are such times, by a wall clock that says `now_ms`. Quick where there are none."""
    for table, _, column, ahead_ms in _TIMES:
        if db.one(f"SELECT 1 FROM {table} WHERE {column} > ? LIMIT 1", (now_ms + ahead_ms,)) is not None:
            return True
    return any(_put_off(db, target, now_ms, 1) for target in queries.replication_targets(db))


def _put_off(db: Database, target: str, now_ms: int, limit: int) -> list[tuple[int]]:
    rows = db.rows(_REPLICATIONS, (target, now_ms + DUE_AHEAD_MS, NOT_YET_MS, limit))
    return [(row[0],) for row in rows]


@dataclass(frozen=True, slots=True)
class CorrectTimes:
    """Bring times back that lie ahead of the wall clock, up to `limit` of each kind."""

    limit: int = 1000
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        wall_ms = min(now_ms, clock.now_ms())
        for table, id_, column, ahead_ms in _TIMES:
            db.execute(
                f"UPDATE {table} SET {column} = ? WHERE {id_} IN "
                f"(SELECT {id_} FROM {table} WHERE {column} > ? LIMIT ?)",
                (wall_ms, wall_ms + ahead_ms, self.limit),
            )
        for target in queries.replication_targets(db):
            db.many(
                "UPDATE replications SET due_ms = ? WHERE sequence = ?",
                [(wall_ms, *row) for row in _put_off(db, target, wall_ms, self.limit)],
            )
