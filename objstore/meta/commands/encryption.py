"""Keys that seal data keys, and sealing a version's data key anew."""

from dataclasses import dataclass, replace
from typing import ClassVar

from objstore.meta import queries
from objstore.meta.commands.locks import check_removable
from objstore.meta.commands.versions import find_version, replace_attributes
from objstore.meta.interface import (
    Conflict,
    Database,
    MasterKeyExists,
    MasterKeyMissing,
)
from objstore.meta.rows import pack_attributes, pack_lock, unpack_attributes
from objstore.model import Encryption, MasterKey, ObjectVersion


@dataclass(frozen=True, slots=True)
class AddMasterKey:
    """Add a version of a master key: the first makes the key, each further one is the newest from then on.

    Returns it. Raises MasterKeyExists unless `version` is the next one; then the caller looks again.
    """

    name: str
    version: int
    secret_sealed: bytes
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> MasterKey:
        there = queries.master_key(db, self.name)
        if self.version != len(there) + 1:
            raise MasterKeyExists(name=self.name)
        is_enabled = there[-1].is_enabled if there else True
        db.execute(
            "INSERT INTO master_keys (name, version, secret_sealed, created_ms, is_enabled) "
            "VALUES (?, ?, ?, ?, ?)",
            (self.name, self.version, self.secret_sealed, now_ms, int(is_enabled)),
        )
        return MasterKey(self.name, self.version, self.secret_sealed, now_ms, is_enabled)


@dataclass(frozen=True, slots=True)
class SetMasterKeyEnabled:
    """Let a master key be used, or not: all its versions. Raises MasterKeyMissing."""

    name: str
    is_enabled: bool
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        change = (int(self.is_enabled), self.name)
        if db.execute("UPDATE master_keys SET is_enabled = ? WHERE name = ?", change) == 0:
            raise MasterKeyMissing(name=self.name)


@dataclass(frozen=True, slots=True)
class ReplaceEncryption:
    """Say anew how a version's data key is sealed; its bytes, sequence and time stay as they are.

    `replaces` is the sealed key that the caller opened: raises Conflict when it is another by now. With
    `heeds_lock`, raises Locked while object lock protects the version. Without version id: the current
    one. Returns the version. Raises BucketMissing, KeyMissing or VersionMissing, IsDeleteMarker.
    """

    bucket_id: int
    key: str
    version_id: str | None
    replaces: bytes
    encryption: Encryption
    heeds_lock: bool = False
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        version = find_version(db, self.bucket_id, self.key, self.version_id)
        before = version.attributes.encryption
        if before is None or before.wrapped_key != self.replaces:
            raise Conflict(f"the data key of {version.version_id} was sealed anew meanwhile")
        lock = pack_lock(version.lock)
        if self.heeds_lock and lock is not None:
            check_removable(
                db, now_ms, lock, bypass_governance=False, key=self.key, version_id=version.version_id
            )
        return replace_attributes(db, version, replace(version.attributes, encryption=self.encryption))


@dataclass(frozen=True, slots=True)
class ReplaceAnnotationEncryption:
    """The same for an annotation; one that is gone by now is no error."""

    annotation_set: int
    name: str
    replaces: bytes
    encryption: Encryption
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        where = (self.annotation_set, self.name.encode())
        row = db.one("SELECT attributes FROM annotations WHERE annotation_set = ? AND name = ?", where)
        if row is None:
            return
        attributes = unpack_attributes(row[0])
        if attributes.encryption is None or attributes.encryption.wrapped_key != self.replaces:
            raise Conflict(f"the annotation {self.name} was replaced meanwhile")
        packed = pack_attributes(replace(attributes, encryption=self.encryption))
        db.execute(
            "UPDATE annotations SET attributes = ? WHERE annotation_set = ? AND name = ?", (packed, *where)
        )


@dataclass(frozen=True, slots=True)
class ReplaceUploadEncryption:
    """The same for a multipart upload under way; one that is gone by now is no error."""

    bucket_id: int
    key: str
    upload_id: str
    replaces: bytes
    encryption: Encryption
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        upload = queries.upload(db, self.bucket_id, self.key, self.upload_id)
        if upload is None:
            return
        before = upload.attributes.encryption
        if before is None or before.wrapped_key != self.replaces:
            raise Conflict(f"the data key of upload {self.upload_id} was sealed anew meanwhile")
        db.execute(
            "UPDATE uploads SET attributes = ? WHERE bucket_id = ? AND key = ? AND upload_id = ?",
            (
                pack_attributes(replace(upload.attributes, encryption=self.encryption)),
                self.bucket_id,
                self.key.encode(),
                self.upload_id,
            ),
        )
