"""Annotations: named texts on versions.

Invariants kept here: a version's annotations are one set, made with the first of them and told by the
version's row, so that it goes wherever the version goes. When the version's row goes, the same transaction
drops the set, whose annotations are then released in slices; a set that is dropped never comes back.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from objstore.meta import queries
from objstore.meta.commands.blobs import acquire, release
from objstore.meta.commands.conditions import etag_matches
from objstore.meta.commands.locks import check_removable
from objstore.meta.commands.versions import find_version
from objstore.meta.interface import (
    ConditionFailed,
    Conflict,
    Database,
    TooManyAnnotations,
)
from objstore.meta.rows import pack_attributes, pack_lock
from objstore.model import Annotation, ObjectVersion

ANNOTATIONS_MAX: Final = 1000
"""Annotations of one version."""

_HAS: Final = "SELECT blob_id, modified_ms FROM annotations WHERE annotation_set = ? AND name = ?"
_COUNT: Final = "SELECT COUNT(*) FROM annotations WHERE annotation_set = ?"
_PUT: Final = (
    "INSERT INTO annotations (annotation_set, name, size, etag, modified_ms, attributes, blob_id) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (annotation_set, name) DO UPDATE SET size = excluded.size, "
    "etag = excluded.etag, modified_ms = excluded.modified_ms, attributes = excluded.attributes, "
    "blob_id = excluded.blob_id"
)
_REMOVE: Final = "DELETE FROM annotations WHERE annotation_set = ? AND name = ?"
_NAME_SET: Final = (
    "UPDATE objects SET annotation_set = ? WHERE bucket_id = ? AND key = ? AND version_id = ?",
    "UPDATE history SET annotation_set = ? WHERE bucket_id = ? AND key = ? AND version_id = ?",
)
_COPY: Final = (
    "INSERT INTO annotations (annotation_set, name, size, etag, modified_ms, attributes, blob_id) "
    "SELECT CAST(? AS BIGINT), name, size, etag, modified_ms, attributes, blob_id "
    "FROM annotations WHERE annotation_set = ?"
)
_SHARE: Final = (
    "UPDATE blobs SET refs = refs + 1 WHERE id IN (SELECT blob_id FROM annotations WHERE annotation_set = ?)"
)
_DROP: Final = "INSERT INTO dropped_annotations (annotation_set, since_ms) VALUES (?, ?)"
_IS_DROPPED: Final = "SELECT 1 FROM dropped_annotations WHERE annotation_set = ?"
_SLICE: Final = "SELECT name, blob_id FROM annotations WHERE annotation_set = ? ORDER BY name LIMIT ?"


def drop_annotations(db: Database, annotation_set: int, now_ms: int) -> None:
    """The version of this set is gone."""
    db.execute(_DROP, (annotation_set, now_ms))


def copy_annotations(db: Database, annotation_set: int) -> int:
    """A set for another version, with the same annotations. Raises Conflict when there are none any more."""
    made = db.next_sequence()
    is_gone = db.one(_IS_DROPPED, (annotation_set,)) is not None
    if is_gone or db.execute(_COPY, (made, annotation_set)) == 0:
        raise Conflict("the annotations to be copied are gone")
    db.execute(_SHARE, (annotation_set,))
    return made


def _look(
    db: Database, bucket_id: int, key: str, version_id: str | None, if_match: str | None
) -> ObjectVersion:
    """The version an annotation is about.

    Raises BucketMissing, KeyMissing or VersionMissing, IsDeleteMarker, ConditionFailed.
    """
    version = find_version(db, bucket_id, key, version_id)
    if if_match is not None and not etag_matches(if_match, version.etag):
        raise ConditionFailed(condition="x-amz-object-if-match", key=key)
    return version


@dataclass(frozen=True, slots=True)
class PutAnnotation:
    """Put an annotation whose bytes are durable already on a version (None: the current one), in place of
    one of its name; the version. Neither its time nor its ETag changes.

    Raises BucketMissing, KeyMissing or VersionMissing, IsDeleteMarker, ConditionFailed (the version's ETag
    is not `if_match`), TooManyAnnotations; Conflict when the version is no longer `sequence`, which the
    caller encrypted for.
    """

    bucket_id: int
    key: str
    version_id: str | None
    sequence: int
    annotation: Annotation
    if_match: str | None = None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        version = _look(db, self.bucket_id, self.key, self.version_id, self.if_match)
        if version.sequence != self.sequence:
            raise Conflict("the object was replaced meanwhile")
        annotation, name = self.annotation, self.annotation.name.encode()
        annotation_set = queries.annotation_set(db, version)
        if annotation_set is None:
            annotation_set = db.next_sequence()
            where = self.bucket_id, self.key.encode(), version.version_id
            for statement in _NAME_SET:
                if db.execute(statement, (annotation_set, *where)):
                    break
        old = db.one(_HAS, (annotation_set, name))
        if old is None:
            count = db.one(_COUNT, (annotation_set,))
            assert count is not None
            if count[0] >= ANNOTATIONS_MAX:
                raise TooManyAnnotations(key=self.key)
        acquire(db, annotation.blob, shares=False)
        modified_ms = now_ms if old is None else max(now_ms, old[1] + 1)
        packed = pack_attributes(annotation.attributes)
        db.execute(
            _PUT,
            (
                annotation_set,
                name,
                annotation.size,
                annotation.etag,
                modified_ms,
                packed,
                annotation.blob.id,
            ),
        )
        if old is not None:
            release(db, old[0], now_ms)
        return version


@dataclass(frozen=True, slots=True)
class DeleteAnnotation:
    """Take an annotation off a version (None: the current one); the version, None when it has no such.

    Raises BucketMissing, KeyMissing or VersionMissing, IsDeleteMarker, ConditionFailed, Locked.
    """

    bucket_id: int
    key: str
    version_id: str | None
    name: str
    if_match: str | None = None
    bypass_governance: bool = False
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion | None:
        version = _look(db, self.bucket_id, self.key, self.version_id, self.if_match)
        annotation_set = queries.annotation_set(db, version)
        where = annotation_set, self.name.encode()
        old = None if annotation_set is None else db.one(_HAS, where)
        if old is None:
            return None
        if version.lock is not None:
            check_removable(
                db,
                now_ms,
                pack_lock(version.lock),
                bypass_governance=self.bypass_governance,
                key=self.key,
                version_id=version.version_id,
            )
        db.execute(_REMOVE, where)
        release(db, old[0], now_ms)
        return version


@dataclass(frozen=True, slots=True)
class ReleaseAnnotations:
    """Let go of up to `limit` annotations of a dropped set, their blobs becoming garbage.

    Returns whether the set is done with; an unknown one is.
    """

    annotation_set: int
    limit: int = 250
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> bool:
        if db.one(_IS_DROPPED, (self.annotation_set,)) is None:
            return True
        rows = db.rows(_SLICE, (self.annotation_set, self.limit))
        for name, blob_id in rows:
            db.execute(_REMOVE, (self.annotation_set, name))
            release(db, blob_id, now_ms)
        if len(rows) == self.limit:
            return False
        db.execute("DELETE FROM dropped_annotations WHERE annotation_set = ?", (self.annotation_set,))
        return True
