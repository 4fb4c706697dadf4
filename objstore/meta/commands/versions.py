"""One version that a command is about, and what may be said anew of it while its sequence and time stay."""

from dataclasses import replace

from objstore.meta import queries
from objstore.meta.interface import BucketMissing, Database, IsDeleteMarker, KeyMissing, VersionMissing
from objstore.meta.rows import pack_attributes
from objstore.model import Attributes, ObjectVersion


def find_version(db: Database, bucket_id: int, key: str, version_id: str | None) -> ObjectVersion:
    """The version with this id, or (None) the current one.

    Raises BucketMissing, KeyMissing or VersionMissing, IsDeleteMarker.
    """
    if queries.bucket(db, bucket_id) is None:
        raise BucketMissing()
    if version_id is None:
        latest = queries.top(db, bucket_id, key)
        if latest is None:
            raise KeyMissing(key=key)
        if latest.is_delete_marker:
            raise KeyMissing(key=key, marker_id=latest.version_id)
        return latest
    version = queries.version(db, bucket_id, key, version_id)
    if version is None:
        raise VersionMissing(key=key, version_id=version_id)
    if version.is_delete_marker:
        raise IsDeleteMarker(key=key, version_id=version_id, modified_ms=version.modified_ms)
    return version


def replace_attributes(db: Database, version: ObjectVersion, attributes: Attributes) -> ObjectVersion:
    """Give a version other attributes, wherever it stands; the version as it is now."""
    for table in ("objects", "history"):
        db.execute(
            f"UPDATE {table} SET attributes = ? WHERE bucket_id = ? AND key = ? AND version_id = ?",
            (pack_attributes(attributes), version.bucket_id, version.key.encode(), version.version_id),
        )
    return replace(version, attributes=attributes)


def with_extra(attributes: Attributes, name: str, value: str | None) -> Attributes:
    """The same attributes with one of the extra ones set, or (None) without it."""
    extra = {known: said for known, said in attributes.extra.items() if known != name}
    if value is not None:
        extra[name] = value
    return replace(attributes, extra=extra)
