"""Buckets and their configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from objstore.meta import queries
from objstore.meta.interface import (
    BucketExists,
    BucketMissing,
    BucketNotEmpty,
    BucketStateInvalid,
    Conflict,
    Database,
    MfaRequired,
    TooManyBuckets,
)
from objstore.model import Bucket, MfaDelete, Versioning

REPLICATION: Final = "replication"
"""The kind of subresource that says where versions are replicated to."""
LIFECYCLE: Final = "lifecycle"
"""The kind of subresource that holds a bucket's lifecycle rules."""
OBJECT_LOCK: Final = "object-lock"
MFA_DELETE: Final = "mfa-delete"
"""With the two kinds above: what can stand in the way of a change, as BucketStateInvalid tells it."""


@dataclass(frozen=True, slots=True)
class CreateBucket:
    """Create a bucket, with versioning if it is to have object lock. Returns it; its id is new for ever.

    `limit` is how many buckets the owner may have; `subresources` is the configuration it has from the
    first moment, by kind. Raises BucketExists, TooManyBuckets.
    """

    name: str
    owner_id: str
    region: str
    object_lock: bool = False
    limit: int = 10_000
    subresources: Mapping[str, bytes] = field(default_factory=dict)
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> Bucket:
        there = queries.bucket_by_name(db, self.name)
        if there is not None:
            raise BucketExists(bucket=self.name, owner_id=there.owner_id)
        row = db.one("SELECT COUNT(*) FROM buckets WHERE owner_id = ?", (self.owner_id,))
        assert row is not None
        if row[0] >= self.limit:
            raise TooManyBuckets(limit=self.limit)
        bucket = Bucket(
            id=db.next_sequence(),
            name=self.name,
            owner_id=self.owner_id,
            region=self.region,
            created_ms=now_ms,
            versioning=Versioning.ENABLED if self.object_lock else Versioning.NEVER,
            object_lock=self.object_lock,
        )
        db.execute(
            "INSERT INTO buckets (id, name, owner_id, region, created_ms, versioning, object_lock, "
            "mfa_delete) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bucket.id,
                bucket.name,
                bucket.owner_id,
                bucket.region,
                bucket.created_ms,
                int(bucket.versioning),
                int(bucket.object_lock),
                int(bucket.mfa_delete),
            ),
        )
        for kind, document in self.subresources.items():
            SetSubresource(bucket.id, kind, document).apply(db, now_ms)
        return bucket


@dataclass(frozen=True, slots=True)
class DeleteBucket:
    """Remove a bucket without any version or delete marker in it, and its configuration.

    Uploads under way do not keep a bucket (nor do they in S3's general purpose buckets): they are
    dropped. Raises BucketMissing, BucketNotEmpty.
    """

    name: str
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        bucket = queries.bucket_by_name(db, self.name)
        if bucket is None:
            raise BucketMissing(bucket=self.name)
        here = (bucket.id,)
        for anything in (
            "SELECT 1 FROM objects WHERE bucket_id = ? LIMIT 1",
            "SELECT 1 FROM history WHERE bucket_id = ? LIMIT 1",
        ):
            if db.one(anything, here) is not None:
                raise BucketNotEmpty(bucket=self.name, versioned=bucket.versioning != Versioning.NEVER)
        db.execute(
            "INSERT INTO dropped_uploads (upload_id, since_ms) "
            "SELECT upload_id, CAST(? AS BIGINT) FROM uploads WHERE bucket_id = ?",
            (now_ms, bucket.id),
        )
        db.execute("DELETE FROM uploads WHERE bucket_id = ?", here)
        db.execute("DELETE FROM bucket_subresources WHERE bucket_id = ?", here)
        db.execute("DELETE FROM rename_tokens WHERE bucket_id = ?", here)
        db.execute("DELETE FROM buckets WHERE id = ?", here)


@dataclass(frozen=True, slots=True)
class SetVersioning:
    """Enable or suspend versioning, which never returns to NEVER; enable MFA delete or disable it. Returns
    the bucket.

    Raises BucketMissing; MfaRequired where MFA delete is enabled or is to be, unless `has_mfa`: the caller
    proved that a device of the bucket's owner is at hand; BucketStateInvalid for NEVER, for SUSPENDED where
    objects can be locked or are replicated, and for MFA delete where there are lifecycle rules (detail:
    `because`, the kind of configuration).
    """

    bucket_id: int
    state: Versioning
    mfa_delete: MfaDelete | None = None
    """None: as it is."""
    has_mfa: bool = False
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> Bucket:
        bucket = queries.bucket(db, self.bucket_id)
        if bucket is None:
            raise BucketMissing()
        is_about_mfa = MfaDelete.ENABLED in (bucket.mfa_delete, self.mfa_delete)
        if is_about_mfa and not self.has_mfa:
            raise MfaRequired()
        if self.state == Versioning.NEVER or (bucket.object_lock and self.state != Versioning.ENABLED):
            raise BucketStateInvalid(bucket=bucket.name, because=OBJECT_LOCK)
        if self.state != Versioning.ENABLED and queries.subresource(db, bucket.id, REPLICATION) is not None:
            raise BucketStateInvalid(bucket=bucket.name, because=REPLICATION)
        if self.mfa_delete is not None:
            has_rules = queries.subresource(db, bucket.id, LIFECYCLE) is not None
            if self.mfa_delete == MfaDelete.ENABLED and has_rules:
                raise BucketStateInvalid(bucket=bucket.name, because=LIFECYCLE)
            _update(db, self.bucket_id, "mfa_delete", int(self.mfa_delete))
        return _update(db, self.bucket_id, "versioning", int(self.state))


@dataclass(frozen=True, slots=True)
class EnableObjectLock:
    """Let objects of a bucket be locked, for ever. Returns the bucket.

    Raises BucketMissing; BucketStateInvalid while versioning is not enabled.
    """

    bucket_id: int
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> Bucket:
        bucket = queries.bucket(db, self.bucket_id)
        if bucket is None:
            raise BucketMissing()
        if bucket.versioning != Versioning.ENABLED:
            raise BucketStateInvalid(bucket=bucket.name)
        return _update(db, self.bucket_id, "object_lock", 1)


def _update(db: Database, bucket_id: int, column: str, value: int) -> Bucket:
    db.execute(f"UPDATE buckets SET {column} = ? WHERE id = ?", (value, bucket_id))
    bucket = queries.bucket(db, bucket_id)
    assert bucket is not None
    return bucket


@dataclass(frozen=True, slots=True)
class SetSubresource:
    """Replace one piece of a bucket's configuration, or remove it (`document` None; absent is fine).

    Raises BucketMissing, Conflict; BucketStateInvalid for lifecycle rules where MFA delete is enabled: they
    would delete what is to go only with the code of a device (detail: `because`).
    """

    bucket_id: int
    kind: str
    document: bytes | None
    replaces: bytes | None = None
    """What must be there now, so that a change made meanwhile is not undone, else Conflict. None: anything;
    empty: nothing."""
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        if self.replaces is not None:
            there = queries.subresource(db, self.bucket_id, self.kind)
            if there != (self.replaces or None):
                raise Conflict(f"{self.kind} of bucket {self.bucket_id} has changed")
        bucket = db.one("SELECT mfa_delete, name FROM buckets WHERE id = ?", (self.bucket_id,))
        if bucket is None:
            raise BucketMissing()
        is_guarded = bucket[0] == MfaDelete.ENABLED
        if self.kind == LIFECYCLE and self.document is not None and is_guarded:
            raise BucketStateInvalid(bucket=bucket[1], because=MFA_DELETE)
        if self.document is None:
            db.execute(
                "DELETE FROM bucket_subresources WHERE bucket_id = ? AND kind = ?",
                (self.bucket_id, self.kind),
            )
            return
        db.execute(
            "INSERT INTO bucket_subresources (bucket_id, kind, document) VALUES (?, ?, ?) "
            "ON CONFLICT (bucket_id, kind) DO UPDATE SET document = excluded.document",
            (self.bucket_id, self.kind, self.document),
        )
