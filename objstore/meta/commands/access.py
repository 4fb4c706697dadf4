"""Who may do what, where it is kept neither in the bucket's row nor in its configuration."""

from dataclasses import dataclass, replace
from typing import ClassVar

from objstore.meta import queries
from objstore.meta.commands.users import SetState
from objstore.meta.interface import BucketMissing, Database, IsDeleteMarker, KeyMissing, VersionMissing
from objstore.meta.rows import pack_attributes
from objstore.model import ObjectVersion


@dataclass(frozen=True, slots=True)
class SetAccountPublicAccessBlock:
    """Block public access to all buckets of an owner by this document, or (None) no longer."""

    owner_id: str
    document: bytes | None
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        SetState(f"publicAccessBlock/{self.owner_id}", self.document).apply(db, now_ms)


@dataclass(frozen=True, slots=True)
class SetExtraAttribute:
    """Set one of the extra attributes of a version, or (`value` None) remove it.

    Without version id: of the current one. Returns the version as it is now; neither its sequence nor its
    time changes. Raises BucketMissing, KeyMissing or VersionMissing, IsDeleteMarker.
    """

    bucket_id: int
    key: str
    version_id: str | None
    name: str
    value: str | None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        version = self._find(db)
        extra = {name: value for name, value in version.attributes.extra.items() if name != self.name}
        if self.value is not None:
            extra[self.name] = self.value
        attributes = replace(version.attributes, extra=extra)
        for table in ("objects", "history"):
            db.execute(
                f"UPDATE {table} SET attributes = ? WHERE bucket_id = ? AND key = ? AND version_id = ?",
                (pack_attributes(attributes), self.bucket_id, self.key.encode(), version.version_id),
            )
        return replace(version, attributes=attributes)

    def _find(self, db: Database) -> ObjectVersion:
        if db.one("SELECT 1 FROM buckets WHERE id = ?", (self.bucket_id,)) is None:
            raise BucketMissing()
        if self.version_id is None:
            version = queries.current(db, self.bucket_id, self.key)
            if version is None:
                raise KeyMissing(key=self.key)
            return version
        version = queries.version(db, self.bucket_id, self.key, self.version_id)
        if version is None:
            raise VersionMissing(key=self.key, version_id=self.version_id)
        if version.is_delete_marker:
            raise IsDeleteMarker(key=self.key, version_id=self.version_id)
        return version
