"""Blobs: counting references, garbage, repairs, moves.

Invariants kept here: a blob has a row in `blobs` exactly while something refers to it, with the number
of rows that do; the moment the last reference goes, the blob moves to `garbage`, where it stays until
its bytes are gone. A blob never comes back from garbage.
"""

from dataclasses import dataclass
from typing import ClassVar

from objstore.meta.interface import Conflict, Database
from objstore.model import BlobRef

_ADD = "INSERT INTO blobs (id, size, locator, refs) VALUES (?, ?, ?, 1)"
_SHARE = "UPDATE blobs SET refs = refs + 1 WHERE id = ?"
_TO_GARBAGE = (
    "INSERT INTO garbage (blob_id, size, locator, since_ms) "
    "SELECT id, size, locator, CAST(? AS BIGINT) FROM blobs WHERE id = ? AND refs = 1"
)
_FORGET = "DELETE FROM blobs WHERE id = ?"
_UNSHARE = "UPDATE blobs SET refs = refs - 1 WHERE id = ?"


def acquire(db: Database, blob: BlobRef, *, shares: bool) -> None:
    """One more row refers to `blob`: a new one, or with `shares` one that must still be there.

    Raises Conflict when the blob to share is gone.
    """
    if not shares:
        db.execute(_ADD, (blob.id, blob.size, blob.locator))
    elif db.execute(_SHARE, (blob.id,)) == 0:
        raise Conflict(f"blob {blob.id.hex()} is no longer referred to")


def release(db: Database, blob_id: bytes, now_ms: int) -> None:
    """One row less refers to the blob; garbage when it was the last."""
    if db.execute(_TO_GARBAGE, (now_ms, blob_id)):
        db.execute(_FORGET, (blob_id,))
    elif db.execute(_UNSHARE, (blob_id,)) == 0:
        raise AssertionError(f"blob {blob_id.hex()} was referred to but not known")


@dataclass(frozen=True, slots=True)
class MoveBlob:
    """A job moved or repaired a blob: from now on its shards lie where `new_locator` says.

    Garbage moves too, so that its bytes are found when their time comes. Raises Conflict if the blob
    is unknown or lies elsewhere than `old_locator`: then the new copy is the one to discard.
    """

    blob_id: bytes
    old_locator: bytes
    new_locator: bytes
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        change = (self.new_locator, self.blob_id, self.old_locator)
        if db.execute("UPDATE blobs SET locator = ? WHERE id = ? AND locator = ?", change):
            return
        if not db.execute("UPDATE garbage SET locator = ? WHERE blob_id = ? AND locator = ?", change):
            raise Conflict(f"blob {self.blob_id.hex()} is gone or was moved")


@dataclass(frozen=True, slots=True)
class ForgetGarbage:
    """The bytes of these garbage blobs are deleted, where they lay; how many are forgotten.

    Those that were moved meanwhile stay: there are bytes of them elsewhere.
    """

    blobs: tuple[BlobRef, ...]
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> int:
        return sum(
            db.execute("DELETE FROM garbage WHERE blob_id = ? AND locator = ?", (blob.id, blob.locator))
            for blob in self.blobs
        )


@dataclass(frozen=True, slots=True)
class ReleaseParts:
    """Let go of up to `limit` parts of a dropped upload, their blobs becoming garbage.

    In slices, so that giving up an upload of 10,000 parts never holds up the writers. Returns whether
    the upload is done with; an unknown one is.
    """

    upload_id: str
    limit: int = 250
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> bool:
        if db.one("SELECT 1 FROM dropped_uploads WHERE upload_id = ?", (self.upload_id,)) is None:
            return True
        parts = db.rows(
            "SELECT part_number, blob_id FROM parts WHERE upload_id = ? ORDER BY part_number LIMIT ?",
            (self.upload_id, self.limit),
        )
        for part_number, blob_id in parts:
            db.execute(
                "DELETE FROM parts WHERE upload_id = ? AND part_number = ?", (self.upload_id, part_number)
            )
            if blob_id is not None:
                release(db, blob_id, now_ms)
        if len(parts) == self.limit:
            return False
        db.execute("DELETE FROM dropped_uploads WHERE upload_id = ?", (self.upload_id,))
        return True


@dataclass(frozen=True, slots=True)
class QueueRepair:
    """Some shards of a blob are missing or bad. The blob need not be known yet: its bytes may have been
    written with too few drives and the command that names it be still on its way.

    Of a blob that is queued already the report is noted, and when it is due stays: a repair under way
    began before it and cannot vouch for it.
    """

    blob_id: bytes
    reason: str
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.execute(
            "INSERT INTO repairs (blob_id, reason, queued_ms, due_ms, attempts, report) "
            "VALUES (?, ?, ?, ?, 0, ?) ON CONFLICT (blob_id) DO UPDATE SET report = excluded.report",
            (self.blob_id, self.reason, now_ms, now_ms, db.next_sequence()),
        )


@dataclass(frozen=True, slots=True)
class FinishRepair:
    """A verifying pass found the blob whole, or it is long gone.

    `report` is that of the repair as it was read before the pass: what was reported since stays queued.
    """

    blob_id: bytes
    report: int
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.execute("DELETE FROM repairs WHERE blob_id = ? AND report = ?", (self.blob_id, self.report))


@dataclass(frozen=True, slots=True)
class PostponeRepair:
    """The blob could not be repaired now; try again from `until_ms` on."""

    blob_id: bytes
    until_ms: int
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.execute(
            "UPDATE repairs SET due_ms = ?, attempts = attempts + 1 WHERE blob_id = ?",
            (self.until_ms, self.blob_id),
        )
