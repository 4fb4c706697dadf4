"""Multipart uploads: begin, put a part, complete, abort.

Invariants kept here: parts belong to exactly one of an upload under way (`uploads`), a completed one
that versions refer to (`manifests`), or a dropped one whose parts are being released (`dropped_uploads`).
Whatever order Complete, Abort and another Complete of one upload come in, the first decides and no part
that a version refers to is ever let go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from objstore.meta import queries
from objstore.meta.commands.blobs import acquire, release
from objstore.meta.commands.conditions import WriteConditions
from objstore.meta.commands.locks import with_default
from objstore.meta.commands.objects import look, put_current, put_replica, replica_there
from objstore.meta.interface import BucketMissing, Conflict, Database, Overtaken, Refusal, UploadMissing
from objstore.meta.layout import Layout
from objstore.meta.rows import pack_attributes, pack_checksum, pack_lock, pack_tags
from objstore.model import NULL_VERSION, Attributes, ObjectLock, ObjectVersion, Part, Replica, Upload

_IS_UNDER_WAY = "SELECT 1 FROM uploads WHERE bucket_id = ? AND key = ? AND upload_id = ?"
_BEGAN = "SELECT sequence, is_overtaken FROM uploads WHERE bucket_id = ? AND key = ? AND upload_id = ?"
_SEQUENCE = "SELECT sequence FROM objects WHERE bucket_id = ? AND key = ?"
_NEWEST_PAST = (
    "SELECT reverse_sequence FROM history WHERE bucket_id = ? AND key = ? ORDER BY reverse_sequence LIMIT 1"
)
_REMOVE = "DELETE FROM uploads WHERE bucket_id = ? AND key = ? AND upload_id = ?"


def _missing(db: Database, bucket_id: int, upload_id: str) -> Refusal:
    """Why there is no such upload under way."""
    return BucketMissing() if queries.bucket(db, bucket_id) is None else UploadMissing(upload_id=upload_id)


@dataclass(frozen=True, slots=True)
class CreateUpload:
    """Begin a multipart upload. `upload_id` is new, and ids made later sort later. Raises BucketMissing."""

    bucket_id: int
    key: str
    upload_id: str
    owner_id: str
    attributes: Attributes
    tags: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> Upload:
        if db.one("SELECT 1 FROM buckets WHERE id = ?", (self.bucket_id,)) is None:
            raise BucketMissing()
        db.execute(
            "INSERT INTO uploads (bucket_id, key, upload_id, initiated_ms, owner_id, attributes, tags, lock, "
            "sequence, is_overtaken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                self.bucket_id,
                self.key.encode(),
                self.upload_id,
                now_ms,
                self.owner_id,
                pack_attributes(self.attributes),
                pack_tags(self.tags),
                pack_lock(self.lock),
                db.next_sequence(),
            ),
        )
        return Upload(
            self.upload_id,
            self.bucket_id,
            self.key,
            now_ms,
            self.owner_id,
            self.attributes,
            self.tags,
            self.lock,
        )


@dataclass(frozen=True, slots=True)
class PutPart:
    """Add a part whose bytes are durable already, or replace the one of that number. Returns the part.

    With `shares_blob` its blob is one that an object or part has now (a copy by reference). The part's
    time is decided here. Raises BucketMissing, UploadMissing; Conflict when the blob to share is gone.
    """

    bucket_id: int
    key: str
    upload_id: str
    part: Part
    shares_blob: bool = False
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> Part:
        if db.one(_IS_UNDER_WAY, (self.bucket_id, self.key.encode(), self.upload_id)) is None:
            raise _missing(db, self.bucket_id, self.upload_id)
        part = self.part
        before = db.one(
            "SELECT modified_ms, blob_id FROM parts WHERE upload_id = ? AND part_number = ?",
            (self.upload_id, part.part_number),
        )
        modified_ms = now_ms if before is None else max(now_ms, before[0] + 1)
        if part.blob is not None:
            acquire(db, part.blob, shares=self.shares_blob)
        db.execute(
            "INSERT INTO parts (upload_id, part_number, size, etag, modified_ms, checksum, blob_id, salt) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (upload_id, part_number) DO UPDATE SET "
            "size = excluded.size, etag = excluded.etag, modified_ms = excluded.modified_ms, "
            "checksum = excluded.checksum, blob_id = excluded.blob_id, salt = excluded.salt",
            (
                self.upload_id,
                part.part_number,
                part.size,
                part.etag,
                modified_ms,
                pack_checksum(part.checksum),
                None if part.blob is None else part.blob.id,
                part.salt,
            ),
        )
        if before is not None and before[1] is not None:
            release(db, before[1], now_ms)
        return replace(part, modified_ms=modified_ms)


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part as Complete names it, after the caller looked it up: what its row must still say."""

    part_number: int
    blob_id: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class CompleteUpload:
    """Make the named parts, in this order, the bytes of a new version. Returns the version.

    The caller read the parts, checked the client's list against them and computed `etag` and
    `attributes` (with the checksum); here each part must still have the blob the caller saw, else
    Conflict: read again. Parts not named become garbage. Owner, tags and lock are the upload's;
    `default_lock` is what the bucket's default retention asks of a version without retention of its own.

    `digest` stands for the client's list: the same Complete again gets the same version while it
    stands, before conditions are judged. Raises BucketMissing, UploadMissing, KeyMissing,
    ConditionFailed, Overtaken, Locked; Conflict also when versioning is enabled and `version_id` proposes
    none.
    """

    bucket_id: int
    key: str
    upload_id: str
    parts: tuple[NamedPart, ...]
    etag: str
    attributes: Attributes
    digest: bytes
    conditions: WriteConditions | None = None
    version_id: str = NULL_VERSION
    default_lock: ObjectLock | None = None
    replica: Replica | None = None
    """As of PutVersion; where it is there already, the upload is dropped."""
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        upload = queries.upload(db, self.bucket_id, self.key, self.upload_id)
        if upload is None:
            return self._completed_before(db)
        if not self.parts:
            raise Conflict(f"upload {self.upload_id} is under way, and the caller thought it was completed")
        versioning, current = look(db, self.bucket_id, self.key, self.conditions)
        if self.conditions is not None:
            self._check_overtaken(db, self.conditions, is_there=current is not None)
        if self.replica is not None:
            there = replica_there(db, self.bucket_id, versioning, self.key, self.replica)
            if there is not None:
                AbortUpload(self.bucket_id, self.key, self.upload_id).apply(db, now_ms)
                return there
        unnamed = self._check_parts(db)
        made = ObjectVersion(
            bucket_id=self.bucket_id,
            key=self.key,
            version_id=self.version_id,
            sequence=0,
            modified_ms=0,
            owner_id=upload.owner_id,
            size=sum(part.size for part in self.parts),
            etag=self.etag,
            attributes=self.attributes,
            tags=upload.tags,
            lock=with_default(upload.lock, self.default_lock),
            upload_id=self.upload_id,
            parts_count=len(self.parts),
        )
        if self.replica is not None:
            version = put_replica(db, now_ms, current, made, self.replica)
        else:
            version = put_current(db, now_ms, versioning, current, made)
        key = self.key.encode()
        layout = Layout.of((part.part_number, part.size) for part in self.parts)
        db.execute(
            "INSERT INTO manifests (upload_id, bucket_id, key, version_id, digest, layout, refs) "
            "VALUES (?, ?, ?, ?, ?, ?, 1)",
            (self.upload_id, self.bucket_id, key, version.version_id, self.digest, layout.pack()),
        )
        db.execute(_REMOVE, (self.bucket_id, key, self.upload_id))
        for part_number, blob_id in unnamed:
            db.execute(
                "DELETE FROM parts WHERE upload_id = ? AND part_number = ?", (self.upload_id, part_number)
            )
            if blob_id is not None:
                release(db, blob_id, now_ms)
        return version

    def _check_overtaken(self, db: Database, conditions: WriteConditions, *, is_there: bool) -> None:
        """A condition that holds, though not for what there was when the upload began, is a conflict on S3:
        an object put since, or none because it was deleted since. Raises Overtaken."""
        condition = "If-Match" if conditions.if_match is not None else "If-None-Match"
        if conditions.if_match is None and conditions.if_none_match is None:
            return
        key = self.key.encode()
        found = db.one(_BEGAN, (self.bucket_id, key, self.upload_id))
        assert found is not None
        began, is_overtaken = found
        newest = db.one(_SEQUENCE if is_there else _NEWEST_PAST, (self.bucket_id, key))
        if (is_overtaken and not is_there) or (newest is not None and abs(newest[0]) > began):
            raise Overtaken(condition=condition, key=self.key)

    def _completed_before(self, db: Database) -> ObjectVersion:
        row = db.one(
            "SELECT version_id FROM manifests "
            "WHERE upload_id = ? AND bucket_id = ? AND key = ? AND digest = ?",
            (self.upload_id, self.bucket_id, self.key.encode(), self.digest),
        )
        version = None if row is None else queries.version(db, self.bucket_id, self.key, row[0])
        if version is None or version.upload_id != self.upload_id:
            raise _missing(db, self.bucket_id, self.upload_id)
        return version

    def _check_parts(self, db: Database) -> list[tuple[int, bytes | None]]:
        """The parts not named, as (part number, blob id). Raises Conflict if a named one has changed."""
        rows = db.rows("SELECT part_number, size, blob_id FROM parts WHERE upload_id = ?", (self.upload_id,))
        there = {part_number: (size, blob_id) for part_number, size, blob_id in rows}
        for part in self.parts:
            if there.pop(part.part_number, None) != (part.size, part.blob_id):
                raise Conflict(f"part {part.part_number} of upload {self.upload_id} has changed")
        return [(part_number, blob_id) for part_number, (_, blob_id) in there.items()]


@dataclass(frozen=True, slots=True)
class AbortUpload:
    """Give up an upload under way; its parts are released by and by.

    Raises BucketMissing, UploadMissing.
    """

    bucket_id: int
    key: str
    upload_id: str
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        if db.execute(_REMOVE, (self.bucket_id, self.key.encode(), self.upload_id)) == 0:
            raise _missing(db, self.bucket_id, self.upload_id)
        db.execute(
            "INSERT INTO dropped_uploads (upload_id, since_ms) VALUES (?, ?)", (self.upload_id, now_ms)
        )
