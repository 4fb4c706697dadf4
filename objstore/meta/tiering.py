"""Reads of what goes to tiers and comes back: see commands/tiers.py for what the rows mean."""

from dataclasses import dataclass

from objstore.meta import queries
from objstore.meta.interface import Database
from objstore.meta.rows import blob_of
from objstore.model import BlobRef, ObjectVersion


@dataclass(frozen=True, slots=True)
class Restore:
    """A version that RestoreObject was asked for. `expires_ms` is 0 while its bytes are fetched."""

    bucket_id: int
    key: str
    version_id: str
    sequence: int
    days: int
    requested_ms: int
    expires_ms: int
    upload_id: str | None
    """Of the copy's parts."""


_BEFORE_ALL = (-1, "", "")
_RESTORE_COLUMNS = "bucket_id, key, version_id, sequence, days, requested_ms, expires_ms, upload_id"


def _restores(rows: list[tuple[object, ...]]) -> list[Restore]:
    found = []
    for bucket_id, key, *rest in rows:
        assert isinstance(key, bytes)
        found.append(Restore(bucket_id, key.decode(), *rest))  # type: ignore[arg-type]
    return found


def restores_under_way(
    db: Database, after: tuple[int, str, str] | None = None, limit: int = 100
) -> list[Restore]:
    """Versions whose bytes are to be fetched back, by bucket, key and version id, after `after`."""
    bucket_id, key, version_id = after or _BEFORE_ALL
    return _restores(
        db.rows(
            f"SELECT {_RESTORE_COLUMNS} FROM restores "
            "WHERE expires_ms = 0 AND (bucket_id, key, version_id) > (?, ?, ?) "
            "ORDER BY bucket_id, key, version_id LIMIT ?",
            (bucket_id, key.encode(), version_id, limit),
        )
    )


def restores_over(db: Database, now_ms: int, limit: int = 100) -> list[Restore]:
    """Versions whose restored copies have had their time, longest over first."""
    return _restores(
        db.rows(
            f"SELECT {_RESTORE_COLUMNS} FROM restores WHERE expires_ms > 0 AND expires_ms <= ? "
            "ORDER BY expires_ms, bucket_id, key, version_id LIMIT ?",
            (now_ms, limit),
        )
    )


def restores_after(
    db: Database, after: tuple[int, str, str] | None, limit: int = 500
) -> list[tuple[Restore, bool]]:
    """Restores by bucket, key and version id, after `after`; and whether the version of each is gone."""
    bucket_id, key, version_id = after or _BEFORE_ALL
    rows = db.rows(
        f"SELECT {_RESTORE_COLUMNS} FROM restores WHERE (bucket_id, key, version_id) > (?, ?, ?) "
        "ORDER BY bucket_id, key, version_id LIMIT ?",
        (bucket_id, key.encode(), version_id, limit),
    )
    found = []
    for restore in _restores(rows):
        version = queries.version(db, restore.bucket_id, restore.key, restore.version_id)
        found.append((restore, version is None or version.sequence != restore.sequence))
    return found


def restored_copy(db: Database, version: ObjectVersion) -> tuple[BlobRef | None, str | None] | None:
    """Blob or upload id of a version's restored copy; None when it has none (any more)."""
    row = db.one(
        "SELECT r.blob_id, b.size, b.locator, r.upload_id "
        "FROM restores r LEFT JOIN blobs b ON b.id = r.blob_id "
        "WHERE r.bucket_id = ? AND r.key = ? AND r.version_id = ? AND r.sequence = ? AND r.expires_ms > 0",
        (version.bucket_id, version.key.encode(), version.version_id, version.sequence),
    )
    return None if row is None else (blob_of(*row[:3]), row[3])


def tier_intents(db: Database, before_ms: int, limit: int = 1000) -> list[BlobRef]:
    """Blobs that somebody meant, before `before_ms`, to send to a tier, and that nothing refers to yet."""
    rows = db.rows(
        "SELECT blob_id, size, locator FROM tier_intents WHERE since_ms < ? ORDER BY blob_id LIMIT ?",
        (before_ms, limit),
    )
    return [BlobRef(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Staged:
    """A multipart version whose parts are being copied to a tier."""

    bucket_id: int
    key: str
    version_id: str
    upload_id: str
    """Of the copy."""


def transitions_before(db: Database, before_ms: int, limit: int = 1000) -> list[Staged]:
    """Copies to a tier that were begun before `before_ms` and are not done yet."""
    rows = db.rows(
        "SELECT bucket_id, key, version_id, upload_id FROM transitions WHERE since_ms < ? "
        "ORDER BY bucket_id, key, version_id LIMIT ?",
        (before_ms, limit),
    )
    return [
        Staged(bucket_id, key.decode(), version_id, upload_id)
        for bucket_id, key, version_id, upload_id in rows
    ]


def counts(db: Database) -> tuple[int, int]:
    """How many versions are being restored, and how many intents there are: scans of small tables."""
    row = db.one(
        "SELECT (SELECT COUNT(*) FROM restores WHERE expires_ms = 0), (SELECT COUNT(*) FROM tier_intents)"
    )
    assert row is not None
    return row[0], row[1]
