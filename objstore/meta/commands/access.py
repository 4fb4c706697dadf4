"""Who may do what, where it is kept neither in the bucket's row nor in its configuration."""

from dataclasses import dataclass
from typing import ClassVar

from objstore.meta.commands.users import SetState
from objstore.meta.commands.versions import find_version, replace_attributes, with_extra
from objstore.meta.interface import Database
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
        version = find_version(db, self.bucket_id, self.key, self.version_id)
        return replace_attributes(db, version, with_extra(version.attributes, self.name, self.value))
