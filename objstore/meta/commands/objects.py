"""Objects: the commands that make and remove versions, in each of a bucket's versioning states.

Invariants kept here, per bucket and key:
- `objects` has the current version, if it is live; its sequence is above every one in `history`.
- `history` has all other versions and all delete markers. Where `objects` has no row, the newest of
  them, if any, is a delete marker.
- At most one version or marker, in both tables together, has the version id "null".
- A version's time is later than that of the version it was put upon, whatever the clock did. Replicas bring
  their own and lie where it belongs; of the same time, the greater version id is the newer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import ClassVar, Final, NamedTuple

from objstore.meta import queries
from objstore.meta.commands.annotations import copy_annotations, drop_annotations
from objstore.meta.commands.blobs import acquire, release
from objstore.meta.commands.conditions import WriteConditions, check_conditions
from objstore.meta.commands.locks import check_removable, start_lock_clock
from objstore.meta.interface import (
    BucketMissing,
    BucketStateInvalid,
    ConditionFailed,
    Conflict,
    Database,
    KeyMissing,
    MfaRequired,
)
from objstore.meta.rows import pack_attributes, pack_lock, pack_tags
from objstore.model import (
    NULL_VERSION,
    Attributes,
    BlobRef,
    MfaDelete,
    ObjectLock,
    ObjectVersion,
    Replica,
    Versioning,
)
from objstore.s3 import replication

_SLOT = (
    "SELECT b.versioning, o.version_id, o.modified_ms, o.size, o.etag, o.lock, o.blob_id, o.upload_id, "
    "o.annotation_set FROM buckets b LEFT JOIN objects o ON o.bucket_id = b.id AND o.key = ? WHERE b.id = ?"
)
_GUARDED = "SELECT 1 FROM buckets WHERE id = ? AND mfa_delete = ?"
_PUT = (
    "INSERT INTO objects (bucket_id, key, version_id, sequence, modified_ms, owner_id, size, etag, "
    "attributes, tags, lock, blob_id, upload_id, parts_count, annotation_set) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (bucket_id, key) DO UPDATE SET version_id = excluded.version_id, "
    "sequence = excluded.sequence, modified_ms = excluded.modified_ms, owner_id = excluded.owner_id, "
    "size = excluded.size, etag = excluded.etag, attributes = excluded.attributes, tags = excluded.tags, "
    "lock = excluded.lock, blob_id = excluded.blob_id, upload_id = excluded.upload_id, "
    "parts_count = excluded.parts_count, annotation_set = excluded.annotation_set"
)
_REMOVE = "DELETE FROM objects WHERE bucket_id = ? AND key = ?"
_COPY_TO_HISTORY = (
    "INSERT INTO history (bucket_id, key, reverse_sequence, version_id, is_delete_marker, modified_ms, "
    "owner_id, size, etag, attributes, tags, lock, blob_id, upload_id, parts_count, annotation_set) "
    "SELECT bucket_id, key, -sequence, version_id, 0, modified_ms, "
    "owner_id, size, etag, attributes, tags, lock, blob_id, upload_id, parts_count, annotation_set "
    "FROM objects WHERE bucket_id = ? AND key = ?"
)
_COPY_TO_OBJECTS = (
    "INSERT INTO objects (bucket_id, key, version_id, sequence, modified_ms, owner_id, size, etag, "
    "attributes, tags, lock, blob_id, upload_id, parts_count, annotation_set) "
    "SELECT bucket_id, key, version_id, -reverse_sequence, modified_ms, owner_id, size, etag, "
    "attributes, tags, lock, blob_id, upload_id, parts_count, annotation_set "
    "FROM history WHERE bucket_id = ? AND key = ? AND reverse_sequence = ?"
)
_PUT_MARKER = (
    "INSERT INTO history (bucket_id, key, reverse_sequence, version_id, is_delete_marker, modified_ms, "
    "owner_id, size, etag, attributes) VALUES (?, ?, ?, ?, 1, ?, ?, 0, '', ?)"
)
_OVERTAKE = "UPDATE uploads SET is_overtaken = 1 WHERE bucket_id = ? AND key = ? AND is_overtaken = 0"
_NEWEST_PAST = (
    "SELECT reverse_sequence, is_delete_marker, modified_ms FROM history "
    "WHERE bucket_id = ? AND key = ? ORDER BY reverse_sequence LIMIT 1"
)
_PAST_VERSION = (
    "SELECT reverse_sequence, is_delete_marker, lock, blob_id, upload_id, annotation_set FROM history "
    "WHERE bucket_id = ? AND key = ? AND version_id = ?"
)
_REMOVE_PAST = "DELETE FROM history WHERE bucket_id = ? AND key = ? AND reverse_sequence = ?"
_PUT_PAST = (
    "INSERT INTO history (bucket_id, key, reverse_sequence, version_id, is_delete_marker, modified_ms, "
    "owner_id, size, etag, attributes, tags, lock, blob_id, upload_id, parts_count) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_BEFORE = (
    "SELECT reverse_sequence, modified_ms, version_id FROM history "
    "WHERE bucket_id = ? AND key = ? AND reverse_sequence > ? ORDER BY reverse_sequence LIMIT ?"
)
_RAISE = "UPDATE history SET reverse_sequence = ? WHERE bucket_id = ? AND key = ? AND reverse_sequence = ?"
_RAISE_COPIES = (
    "UPDATE restores SET sequence = ? WHERE bucket_id = ? AND key = ? AND sequence = ?",
    "UPDATE transitions SET sequence = ? WHERE bucket_id = ? AND key = ? AND sequence = ?",
)
"""What is kept under a version's sequence: its restored copy, its copy on the way to a tier."""
_DROP_UPLOAD = (
    "INSERT INTO dropped_uploads (upload_id, since_ms, layout) "
    "SELECT upload_id, CAST(? AS BIGINT), layout FROM manifests WHERE upload_id = ? AND refs = 1"
)
RAISED_MAX: Final = 1000
"""How many newer versions of a key a replica that comes late is put beneath; it is put above any further."""
_NO_ATTRIBUTES: Final = pack_attributes(Attributes())


class Current(NamedTuple):
    """A key's current live version, as far as commands decide by it."""

    version_id: str
    modified_ms: int
    size: int
    etag: str
    lock: bytes | None
    blob_id: bytes | None
    upload_id: str | None
    annotation_set: int | None


def look(
    db: Database, bucket_id: int, key: str, conditions: WriteConditions | None
) -> tuple[int, Current | None]:
    """The bucket's versioning state and the key's current live version, `conditions` holding for it.

    Raises BucketMissing, KeyMissing, ConditionFailed.
    """
    row = db.one(_SLOT, (key.encode(), bucket_id))
    if row is None:
        raise BucketMissing()
    current = None if row[1] is None else Current._make(row[1:])
    if conditions is not None:
        facts = None if current is None else (current.etag, current.modified_ms, current.size)
        check_conditions(conditions, key, facts)
    return row[0], current


def put_current(
    db: Database,
    now_ms: int,
    versioning: int,
    current: Current | None,
    version: ObjectVersion,
    annotation_set: int | None = None,
) -> ObjectVersion:
    """Make `version` the key's current one; returns it with version id, sequence and time decided.

    `version.version_id` is a proposal that holds where versioning is enabled. What it replaces goes to
    history, or is let go. The version's own blob or parts must have been acquired already: it may share
    them with what it replaces. Raises Locked.
    """
    slot = (version.bucket_id, version.key.encode())
    version_id = _new_version_id(versioning, version.version_id)
    replaces_current = current is not None and current.version_id == version_id == NULL_VERSION
    if current is not None:
        last_ms = current.modified_ms
    elif versioning == Versioning.NEVER:
        last_ms = 0
    else:
        last_ms = _newest_past_ms(db, slot)
    if current is not None and not replaces_current:
        db.execute(_COPY_TO_HISTORY, slot)
    if versioning == Versioning.SUSPENDED and not replaces_current:
        _remove_null_from_history(db, now_ms, version.key, slot)
    modified_ms = max(now_ms, last_ms + 1)
    sequence = db.next_sequence()
    db.execute(
        _PUT,
        (
            *slot,
            version_id,
            sequence,
            modified_ms,
            version.owner_id,
            version.size,
            version.etag,
            pack_attributes(version.attributes),
            pack_tags(version.tags),
            pack_lock(version.lock),
            None if version.blob is None else version.blob.id,
            version.upload_id,
            version.parts_count,
            annotation_set,
        ),
    )
    if version.lock is not None:
        start_lock_clock(db, now_ms)
    if current is not None and replaces_current:
        _let_go(
            db,
            now_ms,
            version.key,
            current.version_id,
            current.lock,
            current.blob_id,
            current.upload_id,
            current.annotation_set,
        )
    return ObjectVersion(
        version.bucket_id,
        version.key,
        version_id,
        sequence,
        modified_ms,
        version.owner_id,
        version.size,
        version.etag,
        version.attributes,
        version.tags,
        version.lock,
        version.blob,
        version.upload_id,
        version.parts_count,
    )


def replica_there(
    db: Database, bucket_id: int, versioning: int, key: str, replica: Replica
) -> ObjectVersion | None:
    """The replica if it has come before: it may be sent more than once. A null version counts as the same
    unless it is older. Raises BucketStateInvalid where versioning is not enabled."""
    if versioning != Versioning.ENABLED:
        raise BucketStateInvalid(bucket=None)
    there = queries.version(db, bucket_id, key, replica.version_id)
    if there is None or (there.version_id == NULL_VERSION and there.modified_ms < replica.modified_ms):
        return None
    return there


def put_replica(
    db: Database, now_ms: int, current: Current | None, version: ObjectVersion, replica: Replica
) -> ObjectVersion:
    """Put a version or delete marker where it belongs by its time among those of its key; the version.

    It keeps id and time; what is newer stays above it. Of the same time, the greater id is the newer, so
    that two servers that send each other what they have end with the same order. The caller made sure
    that it is not there, and acquired its bytes. Raises Locked (an older null version is protected).
    """
    slot = (version.bucket_id, version.key.encode())
    if current is not None:
        db.execute(_COPY_TO_HISTORY, slot)
        db.execute(_REMOVE, slot)
    if replica.version_id == NULL_VERSION:
        _remove_null_from_history(db, now_ms, version.key, slot)
    attributes = replace(
        version.attributes, extra={**version.attributes.extra, replication.EXTRA: replication.REPLICA}
    )
    sequence = db.next_sequence()
    db.execute(
        _PUT_PAST,
        (
            *slot,
            -sequence,
            replica.version_id,
            int(version.is_delete_marker),
            replica.modified_ms,
            version.owner_id,
            version.size,
            version.etag,
            pack_attributes(attributes),
            pack_tags(version.tags),
            pack_lock(version.lock),
            None if version.blob is None else version.blob.id,
            version.upload_id,
            version.parts_count,
        ),
    )
    if version.lock is not None:
        start_lock_clock(db, now_ms)
    place = (replica.modified_ms, replica.version_id)
    before = db.rows(_BEFORE, (*slot, -sequence, RAISED_MAX))
    newer = [row[0] for row in takewhile(lambda row: (row[1], row[2]) > place, before)]
    for reverse_sequence in reversed(newer):
        raised = db.next_sequence()
        db.execute(_RAISE, (-raised, *slot, reverse_sequence))
        for statement in _RAISE_COPIES:
            db.execute(statement, (raised, *slot, -reverse_sequence))
    _promote(db, slot)
    return replace(
        version,
        version_id=replica.version_id,
        sequence=sequence,
        modified_ms=replica.modified_ms,
        attributes=attributes,
        is_latest=not newer,
    )


def _new_version_id(versioning: int, proposed: str) -> str:
    """Raises Conflict when versioning is enabled and no id was proposed: the caller did not know yet."""
    if versioning != Versioning.ENABLED:
        return NULL_VERSION
    if proposed == NULL_VERSION:
        raise Conflict("versioning was enabled meanwhile and the command proposes no version id")
    return proposed


def _newest_past_ms(db: Database, slot: tuple[int, bytes]) -> int:
    row = db.one(_NEWEST_PAST, slot)
    return 0 if row is None else int(row[2])


def _remove_null_from_history(db: Database, now_ms: int, key: str, slot: tuple[int, bytes]) -> None:
    row = db.one(_PAST_VERSION, (*slot, NULL_VERSION))
    if row is None:
        return
    reverse_sequence, _, lock, *refers_to = row
    db.execute(_REMOVE_PAST, (*slot, reverse_sequence))
    _let_go(db, now_ms, key, NULL_VERSION, lock, *refers_to)


def _let_go(
    db: Database,
    now_ms: int,
    key: str,
    version_id: str,
    lock: bytes | None,
    blob_id: bytes | None,
    upload_id: str | None,
    annotation_set: int | None,
    *,
    bypass_governance: bool = False,
) -> None:
    """A version's row is gone: no path may do so to a locked one; its bytes lose a reference, and its
    annotations are dropped."""
    if lock is not None:
        check_removable(db, now_ms, lock, bypass_governance=bypass_governance, key=key, version_id=version_id)
    if blob_id is not None:
        release(db, blob_id, now_ms)
    if upload_id is not None:
        release_upload(db, upload_id, now_ms)
    if annotation_set is not None:
        drop_annotations(db, annotation_set, now_ms)


def acquire_upload(db: Database, upload_id: str) -> None:
    """One more version has the parts of a completed upload as its bytes. Raises Conflict if they are gone."""
    if db.execute("UPDATE manifests SET refs = refs + 1 WHERE upload_id = ?", (upload_id,)) == 0:
        raise Conflict(f"upload {upload_id} is no longer referred to")


def release_upload(db: Database, upload_id: str, now_ms: int) -> None:
    """One version less has these parts as its bytes; when it was the last they are dropped.

    A read that has found the version before finds its parts for a while yet.
    """
    if db.execute(_DROP_UPLOAD, (now_ms, upload_id)):
        db.execute("DELETE FROM manifests WHERE upload_id = ?", (upload_id,))
    elif db.execute("UPDATE manifests SET refs = refs - 1 WHERE upload_id = ?", (upload_id,)) == 0:
        raise AssertionError(f"parts of upload {upload_id} were referred to but not known")


@dataclass(frozen=True, slots=True)
class PutVersion:
    """Make an object, or a new version of it, whose bytes are durable already. Returns the version.

    Its bytes are `blob`, none (size 0), or the parts of the completed `upload_id` (a copy by reference,
    `parts_count` as the copy should show it). With `shares_blob` the blob is one that an object or part
    has now (a copy by reference). `version_id` is taken where versioning is enabled; else it is "null".

    Raises BucketMissing, KeyMissing, ConditionFailed, Locked; Conflict when what it shares is gone, or
    when versioning is enabled and `version_id` proposes none.

    A `replica` keeps its own id and time; one that is there already is answered with, and its blob is not
    taken. Raises BucketStateInvalid for it where versioning is not enabled.
    """

    bucket_id: int
    key: str
    size: int
    etag: str
    owner_id: str
    attributes: Attributes
    tags: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None
    blob: BlobRef | None = None
    shares_blob: bool = False
    conditions: WriteConditions | None = None
    version_id: str = NULL_VERSION
    upload_id: str | None = None
    parts_count: int | None = None
    replica: Replica | None = None
    annotations_of: int | None = None
    """The set of annotations that the version gets a copy of. Conflict when it is gone."""
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        versioning, current = look(db, self.bucket_id, self.key, self.conditions)
        if self.replica is not None:
            there = replica_there(db, self.bucket_id, versioning, self.key, self.replica)
            if there is not None:
                return there
        if self.blob is not None:
            acquire(db, self.blob, shares=self.shares_blob)
        if self.upload_id is not None:
            acquire_upload(db, self.upload_id)
        version = ObjectVersion(
            self.bucket_id,
            self.key,
            self.version_id,
            0,
            0,
            self.owner_id,
            self.size,
            self.etag,
            replication.as_new(self.attributes),
            self.tags,
            self.lock,
            self.blob,
            self.upload_id,
            self.parts_count,
        )
        if self.replica is not None:
            return put_replica(db, now_ms, current, version, self.replica)
        annotation_set = None if self.annotations_of is None else copy_annotations(db, self.annotations_of)
        return put_current(db, now_ms, versioning, current, version, annotation_set)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What DeleteVersion did.

    `version_id` is that of the marker made or of the version removed, None in a bucket that was never
    versioned. `is_delete_marker`: a marker was made, or what was removed was one. `existed`: there was
    a live version (without version id) or that version (with it).
    """

    version_id: str | None
    is_delete_marker: bool
    existed: bool


@dataclass(frozen=True, slots=True)
class DeleteVersion:
    """Delete a key, or with `version_id` one version of it for good.

    Without version id: never versioned, the object goes; enabled, a delete marker `new_version_id` comes
    on top; suspended, the null version goes wherever it is and a null marker comes on top. Deleting
    what is not there is no refusal (and makes a marker all the same). With version id: that version or
    marker goes, and the newest one left becomes current.

    Conditions are judged against the current version, also with a version id (S3 does not take both).
    Raises BucketMissing, KeyMissing, ConditionFailed, Locked, MfaRequired (a version, without `has_mfa`);
    Conflict when versioning is enabled and `new_version_id` proposes none.
    """

    bucket_id: int
    key: str
    owner_id: str
    version_id: str | None = None
    new_version_id: str = NULL_VERSION
    conditions: WriteConditions | None = None
    bypass_governance: bool = False
    has_mfa: bool = False
    """A device of the bucket's owner proved to be at hand: with MFA delete, no version goes without."""
    replica: Replica | None = None
    """Of a delete marker that was put elsewhere: it keeps id and time, and is put once."""
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> Deleted:
        versioning, current = self._look(db)
        if self.replica is not None:
            return self._put_replica(db, now_ms, versioning, current, self.replica)
        if self.version_id is not None:
            return self._remove_version(db, now_ms, versioning, current, self.version_id)
        if versioning != Versioning.NEVER:
            return self._put_marker(db, now_ms, versioning, current)
        if current is not None:
            self._remove_current(db, now_ms, current)
        return Deleted(None, is_delete_marker=False, existed=current is not None)

    def _look(self, db: Database) -> tuple[int, Current | None]:
        """As `look`; a delete marker, which is no object, fails If-Match."""
        try:
            return look(db, self.bucket_id, self.key, self.conditions)
        except KeyMissing:
            if db.one(_NEWEST_PAST, self._slot) is None:
                raise
            raise ConditionFailed(condition="If-Match", key=self.key) from None

    def _put_replica(
        self, db: Database, now_ms: int, versioning: int, current: Current | None, replica: Replica
    ) -> Deleted:
        if replica_there(db, self.bucket_id, versioning, self.key, replica) is not None:
            return Deleted(replica.version_id, is_delete_marker=True, existed=False)
        marker = ObjectVersion(
            self.bucket_id,
            self.key,
            replica.version_id,
            0,
            0,
            self.owner_id,
            0,
            "",
            Attributes(),
            is_delete_marker=True,
        )
        put_replica(db, now_ms, current, marker, replica)
        return Deleted(replica.version_id, is_delete_marker=True, existed=current is not None)

    @property
    def _slot(self) -> tuple[int, bytes]:
        return self.bucket_id, self.key.encode()

    def _remove_current(self, db: Database, now_ms: int, current: Current) -> None:
        db.execute(_REMOVE, self._slot)
        db.execute(_OVERTAKE, self._slot)
        refers_to = current.blob_id, current.upload_id, current.annotation_set
        self._let_go(db, now_ms, current.version_id, current.lock, *refers_to)

    def _let_go(
        self,
        db: Database,
        now_ms: int,
        version_id: str,
        lock: bytes | None,
        blob_id: bytes | None,
        upload_id: str | None,
        annotation_set: int | None,
    ) -> None:
        _let_go(
            db,
            now_ms,
            self.key,
            version_id,
            lock,
            blob_id,
            upload_id,
            annotation_set,
            bypass_governance=self.bypass_governance,
        )

    def _put_marker(self, db: Database, now_ms: int, versioning: int, current: Current | None) -> Deleted:
        slot = self._slot
        version_id = _new_version_id(versioning, self.new_version_id)
        last_ms = _newest_past_ms(db, slot) if current is None else current.modified_ms
        if current is not None and current.version_id == version_id == NULL_VERSION:
            self._remove_current(db, now_ms, current)
        elif current is not None:
            db.execute(_COPY_TO_HISTORY, slot)
            db.execute(_REMOVE, slot)
        if versioning == Versioning.SUSPENDED:
            _remove_null_from_history(db, now_ms, self.key, slot)
        modified_ms = max(now_ms, last_ms + 1)
        marker = (*slot, -db.next_sequence(), version_id, modified_ms, self.owner_id, _NO_ATTRIBUTES)
        db.execute(_PUT_MARKER, marker)
        return Deleted(version_id, is_delete_marker=True, existed=current is not None)

    def _remove_version(
        self, db: Database, now_ms: int, versioning: int, current: Current | None, version_id: str
    ) -> Deleted:
        slot = self._slot
        if not self.has_mfa and db.one(_GUARDED, (self.bucket_id, MfaDelete.ENABLED)) is not None:
            raise MfaRequired(key=self.key, version_id=version_id)
        shown_id = None if versioning == Versioning.NEVER else version_id
        if current is not None and current.version_id == version_id:
            self._remove_current(db, now_ms, current)
            _promote(db, slot)
            return Deleted(shown_id, is_delete_marker=False, existed=True)
        row = db.one(_PAST_VERSION, (*slot, version_id))
        if row is None:
            return Deleted(shown_id, is_delete_marker=False, existed=False)
        reverse_sequence, is_delete_marker, lock, *refers_to = row
        db.execute(_REMOVE_PAST, (*slot, reverse_sequence))
        self._let_go(db, now_ms, version_id, lock, *refers_to)
        if current is None:
            _promote(db, slot)
        return Deleted(shown_id, is_delete_marker=bool(is_delete_marker), existed=True)


def _promote(db: Database, slot: tuple[int, bytes]) -> None:
    """The key's current version was removed: the newest one left, if it is live, becomes current."""
    newest = db.one(_NEWEST_PAST, slot)
    if newest is None or newest[1]:
        return
    db.execute(_COPY_TO_OBJECTS, (*slot, newest[0]))
    db.execute(_REMOVE_PAST, (*slot, newest[0]))
