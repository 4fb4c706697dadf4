"""Tiers: versions whose bytes go to another S3 endpoint, and come back for a while.

A blob that lies at a tier is a blob like any other: its locator says where, and when the last reference goes
it becomes garbage and is deleted by the garbage job. What is special is decided here.

Invariants kept here:
- Nothing is sent to a tier before its place is written down (`tier_intents`): whatever happens then, the
  place is either referred to, or garbage, or still an intent that is found and made garbage of.
- A version changes over to its copy in one command, and only if it is still the very version that was
  judged, with the very bytes that were copied. Only then are the bytes it had before let go.
- A restored copy is referred to by the row in `restores` alone; the version refers to the bytes at the tier
  all the time. So the end of a restore, or of the version, never touches the other's bytes.
- A copy of a multipart object has parts of its own, under an upload id of its own, which is the business of
  the row in `transitions` or `restores` until it is whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from objstore.meta import queries
from objstore.meta.commands.blobs import acquire, release
from objstore.meta.commands.lifecycle import stands
from objstore.meta.commands.objects import release_upload
from objstore.meta.commands.versions import find_version, with_extra
from objstore.meta.interface import (
    Conflict,
    Database,
    NotArchived,
    RestoreUnderWay,
)
from objstore.meta.rows import pack_attributes, pack_checksum
from objstore.model import (
    ARCHIVE_CLASSES,
    RESTORE,
    RESTORE_UNDER_WAY,
    TIER,
    BlobRef,
    ObjectVersion,
    Part,
)

_ADD_INTENT: Final = "INSERT INTO tier_intents (blob_id, size, locator, since_ms) VALUES (?, ?, ?, ?)"
_FORGET_INTENT: Final = "DELETE FROM tier_intents WHERE blob_id = ?"
_INTENT_TO_GARBAGE: Final = (
    "INSERT INTO garbage (blob_id, size, locator, since_ms) "
    "SELECT blob_id, size, locator, CAST(? AS BIGINT) FROM tier_intents WHERE blob_id = ?"
)
_DROP: Final = "INSERT INTO dropped_uploads (upload_id, since_ms) VALUES (?, ?)"
_ADD_PART: Final = (
    "INSERT INTO parts (upload_id, part_number, size, etag, modified_ms, checksum, blob_id, salt) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_COPY_MANIFEST: Final = (
    "INSERT INTO manifests (upload_id, bucket_id, key, version_id, digest, layout, refs) "
    "SELECT CAST(? AS TEXT), bucket_id, key, version_id, digest, layout, 1 FROM manifests WHERE upload_id = ?"
)
_RESTORE: Final = (
    "SELECT sequence, expires_ms, blob_id, upload_id FROM restores "
    "WHERE bucket_id = ? AND key = ? AND version_id = ?"
)
_FORGET_RESTORE: Final = "DELETE FROM restores WHERE bucket_id = ? AND key = ? AND version_id = ?"
_FORGET_TRANSITION: Final = (
    "DELETE FROM transitions WHERE bucket_id = ? AND key = ? AND version_id = ? AND upload_id = ?"
)


@dataclass(frozen=True, slots=True)
class IntendTierBlobs:
    """Bytes are about to be sent to these places."""

    blobs: tuple[BlobRef, ...]
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.many(_ADD_INTENT, [(blob.id, blob.size, blob.locator, now_ms) for blob in self.blobs])


@dataclass(frozen=True, slots=True)
class AbandonTierBlobs:
    """Nothing will come of these intents: whatever lies there is garbage. Those that are none any more are
    left alone."""

    blob_ids: tuple[bytes, ...]
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        for blob_id in self.blob_ids:
            if db.execute(_INTENT_TO_GARBAGE, (now_ms, blob_id)):
                db.execute(_FORGET_INTENT, (blob_id,))


def _refer_to_intended(db: Database, blob: BlobRef) -> None:
    """From now on something refers to an intended blob. Raises Conflict if it was given up."""
    if db.execute(_FORGET_INTENT, (blob.id,)) == 0:
        raise Conflict(f"tier blob {blob.id.hex()} was given up meanwhile")
    acquire(db, blob, shares=False)


@dataclass(frozen=True, slots=True)
class BeginTransition:
    """A multipart version's parts are about to be copied. Returns the upload id of the copy: `staging_id`, or
    that of a copy of the same version begun before; None when the version is gone."""

    bucket_id: int
    key: str
    version_id: str
    sequence: int
    staging_id: str
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> str | None:
        slot = (self.bucket_id, self.key.encode(), self.version_id)
        row = db.one(
            "SELECT sequence, upload_id FROM transitions WHERE bucket_id = ? AND key = ? AND version_id = ?",
            slot,
        )
        if row is not None and row[0] == self.sequence:
            return str(row[1])
        if row is not None:
            _drop_transition(db, now_ms, slot, row[1])
        version = queries.version(db, self.bucket_id, self.key, self.version_id)
        if version is None or version.sequence != self.sequence:
            return None
        db.execute(
            "INSERT INTO transitions (bucket_id, key, version_id, sequence, upload_id, since_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*slot, self.sequence, self.staging_id, now_ms),
        )
        return self.staging_id


def _drop_transition(db: Database, now_ms: int, slot: tuple[int, bytes, str], upload_id: str) -> bool:
    if db.execute(_FORGET_TRANSITION, (*slot, upload_id)) == 0:
        return False
    db.execute(_DROP, (upload_id, now_ms))
    return True


@dataclass(frozen=True, slots=True)
class AbandonTransition:
    """Nothing will come of the copy with this upload id: its parts are dropped."""

    bucket_id: int
    key: str
    version_id: str
    staging_id: str
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        slot = (self.bucket_id, self.key.encode(), self.version_id)
        _drop_transition(db, now_ms, slot, self.staging_id)


@dataclass(frozen=True, slots=True)
class StagePart:
    """A part of a copy that is being made, its bytes durable where its blob says. `is_at_tier`: the blob was
    intended. Raises Conflict when nobody makes that copy any more, or the part is there already."""

    staging_id: str
    part: Part
    is_at_tier: bool
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        is_wanted = db.one(
            "SELECT 1 FROM transitions WHERE upload_id = ? UNION ALL "
            "SELECT 1 FROM restores WHERE upload_id = ? AND expires_ms = 0",
            (self.staging_id, self.staging_id),
        )
        part = self.part
        known = db.one(
            "SELECT 1 FROM parts WHERE upload_id = ? AND part_number = ?", (self.staging_id, part.part_number)
        )
        if is_wanted is None or known is not None:
            raise Conflict(f"part {part.part_number} of copy {self.staging_id} is not waited for")
        if part.blob is not None and self.is_at_tier:
            _refer_to_intended(db, part.blob)
        elif part.blob is not None:
            acquire(db, part.blob, shares=False)
        db.execute(
            _ADD_PART,
            (
                self.staging_id,
                part.part_number,
                part.size,
                part.etag,
                part.modified_ms,
                pack_checksum(part.checksum),
                None if part.blob is None else part.blob.id,
                part.salt,
            ),
        )


def _complete_copy(db: Database, upload_id: str, staging_id: str) -> None:
    """The copy's parts are all there. Raises Conflict where they are not."""
    layout = queries.manifest(db, upload_id)
    staged = db.rows(
        "SELECT part_number, size FROM parts WHERE upload_id = ? ORDER BY part_number", (staging_id,)
    )
    if layout is None or list(layout.parts()) != [(number, size) for number, size in staged]:
        raise Conflict(f"copy {staging_id} of upload {upload_id} is not whole")
    db.execute(_COPY_MANIFEST, (staging_id, upload_id))


def _write(db: Database, version: ObjectVersion) -> None:
    """Attributes and bytes of a version, whose sequence, time and all else stay."""
    for table in ("objects", "history"):
        db.execute(
            f"UPDATE {table} SET attributes = ?, blob_id = ?, upload_id = ? "
            "WHERE bucket_id = ? AND key = ? AND version_id = ?",
            (
                pack_attributes(version.attributes),
                None if version.blob is None else version.blob.id,
                version.upload_id,
                version.bucket_id,
                version.key.encode(),
                version.version_id,
            ),
        )


@dataclass(frozen=True, slots=True)
class TransitionVersion:
    """A lifecycle rule moves a version to another storage class, if all is as it was judged (ExpireVersion).

    With `moves_bytes` its bytes change over to a copy at a tier: `blob`, an intended one, in place of the one
    with id `source_blob_id`; or the parts staged under `staging_id` in place of those of `source_upload_id`.
    Without it only the class changes. Returns the version as it is now; None when something is no longer so,
    or it is being restored. Raises Conflict when the copy is not whole or was given up.
    """

    bucket_id: int
    key: str
    version_id: str
    sequence: int
    tags: Mapping[str, str]
    rules: bytes
    storage_class: str
    successor: int = 0
    newer_kept: int = 0
    moves_bytes: bool = False
    source_blob_id: bytes | None = None
    source_upload_id: str | None = None
    blob: BlobRef | None = None
    staging_id: str | None = None
    advances_epoch: ClassVar[bool] = False

    @property
    def is_marker(self) -> bool:
        """Delete markers have no storage class."""
        return False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion | None:
        if not stands(db, self):
            return None
        version = queries.version(db, self.bucket_id, self.key, self.version_id)
        if version is None or RESTORE in version.attributes.extra:
            return None
        attributes = replace(version.attributes, storage_class=self.storage_class)
        if not self.moves_bytes:
            moved = replace(version, attributes=attributes)
            _write(db, moved)
            return moved
        blob_id = None if version.blob is None else version.blob.id
        if (blob_id, version.upload_id) != (self.source_blob_id, self.source_upload_id):
            return None
        attributes = with_extra(attributes, TIER, self.storage_class)
        moved = replace(version, attributes=attributes, blob=self.blob, upload_id=self.staging_id)
        if self.blob is not None:
            _refer_to_intended(db, self.blob)
        if self.staging_id is not None:
            slot = (self.bucket_id, self.key.encode(), self.version_id)
            if version.upload_id is None or not db.execute(_FORGET_TRANSITION, (*slot, self.staging_id)):
                raise Conflict(f"copy {self.staging_id} was given up meanwhile")
            _complete_copy(db, version.upload_id, self.staging_id)
        _write(db, moved)
        if blob_id is not None:
            release(db, blob_id, now_ms)
        if version.upload_id is not None:
            release_upload(db, version.upload_id, now_ms)
        return moved


@dataclass(frozen=True, slots=True)
class RestoreVersion:
    """RestoreObject: an archived version is wanted back for a while. Without version id: the current one.

    Where there is no restored copy yet, one is to be made, to stay `days` days from then (`staging_id` for
    its parts, if it has parts); where there is one, it stays until `expires_ms` from now on. A version of an
    archive class whose bytes lie here, the class being a label, is restored without a copy. Returns the
    version, whose attributes tell what is so. Raises BucketMissing, KeyMissing or VersionMissing,
    IsDeleteMarker, NotArchived, RestoreUnderWay.
    """

    bucket_id: int
    key: str
    version_id: str | None
    days: int
    expires_ms: int
    staging_id: str
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        version = find_version(db, self.bucket_id, self.key, self.version_id)
        attributes = version.attributes
        if attributes.storage_class not in ARCHIVE_CLASSES:
            raise NotArchived(storage_class=attributes.storage_class)
        has_parts = attributes.is_archived and version.upload_id is not None
        slot = (self.bucket_id, self.key.encode(), version.version_id)
        row = db.one(_RESTORE, slot)
        if row is not None and row[0] != version.sequence:
            _forget_restore(db, now_ms, slot, *row[1:])
            row = None
        if row is None:
            db.execute(
                "INSERT INTO restores (bucket_id, key, version_id, sequence, days, requested_ms, expires_ms, "
                "upload_id) VALUES (?, ?, ?, ?, ?, ?, 0, ?)",
                (
                    *slot,
                    version.sequence,
                    self.days,
                    now_ms,
                    self.staging_id if has_parts else None,
                ),
            )
            state = RESTORE_UNDER_WAY
        elif row[1] == 0:
            raise RestoreUnderWay()
        else:
            db.execute(
                "UPDATE restores SET days = ?, expires_ms = ? "
                "WHERE bucket_id = ? AND key = ? AND version_id = ?",
                (self.days, self.expires_ms, *slot),
            )
            state = str(self.expires_ms)
        restored = replace(version, attributes=with_extra(version.attributes, RESTORE, state))
        _write(db, restored)
        return restored


def _forget_restore(
    db: Database,
    now_ms: int,
    slot: tuple[int, bytes, str],
    expires_ms: int,
    blob_id: bytes | None,
    upload_id: str | None,
) -> None:
    """The row and its references go."""
    db.execute(_FORGET_RESTORE, slot)
    if blob_id is not None:
        release(db, blob_id, now_ms)
    if upload_id is not None and expires_ms:
        release_upload(db, upload_id, now_ms)
    elif upload_id is not None:
        db.execute(_DROP, (upload_id, now_ms))


@dataclass(frozen=True, slots=True)
class FinishRestore:
    """The restored copy of a version is durable: `blob`, or the parts staged for it, or nothing where it has
    no bytes. It stays until `expires_ms`. Returns the version; None when it is gone, or no longer wanted.

    Raises Conflict when its parts are not all there.
    """

    bucket_id: int
    key: str
    version_id: str
    sequence: int
    expires_ms: int
    blob: BlobRef | None = None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion | None:
        slot = (self.bucket_id, self.key.encode(), self.version_id)
        row = db.one(_RESTORE, slot)
        version = queries.version(db, self.bucket_id, self.key, self.version_id)
        if row is None or version is None or row[0] != self.sequence or version.sequence != self.sequence:
            return None
        _, expires_ms, _, staging_id = row
        if expires_ms:
            return None
        if self.blob is not None:
            acquire(db, self.blob, shares=False)
        if staging_id is not None:
            assert version.upload_id is not None
            _complete_copy(db, version.upload_id, staging_id)
        db.execute(
            "UPDATE restores SET expires_ms = ?, blob_id = ? "
            "WHERE bucket_id = ? AND key = ? AND version_id = ?",
            (self.expires_ms, None if self.blob is None else self.blob.id, *slot),
        )
        attributes = with_extra(version.attributes, RESTORE, str(self.expires_ms))
        restored = replace(version, attributes=attributes)
        _write(db, restored)
        return restored


@dataclass(frozen=True, slots=True)
class EndRestore:
    """A restored copy's time was over at `until_ms`, or its version is gone: the copy goes. Returns the
    version where it is there still; None where it is not, or the copy stays."""

    bucket_id: int
    key: str
    version_id: str
    until_ms: int
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion | None:
        slot = (self.bucket_id, self.key.encode(), self.version_id)
        row = db.one(_RESTORE, slot)
        if row is None:
            return None
        sequence, expires_ms, _, _ = row
        version = queries.version(db, self.bucket_id, self.key, self.version_id)
        if version is None or version.sequence != sequence:
            _forget_restore(db, now_ms, slot, *row[1:])
            return None
        if not expires_ms or expires_ms > self.until_ms:
            return None
        _forget_restore(db, now_ms, slot, *row[1:])
        archived = replace(version, attributes=with_extra(version.attributes, RESTORE, None))
        _write(db, archived)
        return archived
