"""Rows as nouns: the columns a noun is read from, and how mappings are packed into one column.

Packed columns are MessagePack arrays. Fields are only ever added at the end, so that a newer program
reads what an older one wrote: absent fields take the noun's defaults.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from objstore.model import (
    AccessKey,
    Annotation,
    Attributes,
    BlobRef,
    Bucket,
    Checksum,
    ChecksumType,
    Encryption,
    EncryptionMethod,
    MasterKey,
    MfaDelete,
    ObjectLock,
    ObjectVersion,
    Part,
    Upload,
    User,
    Versioning,
)

_pack = msgpack.packb
_unpack = msgpack.unpackb
_ENCRYPTION_METHODS: Final = {method.value: method for method in EncryptionMethod}
_CHECKSUM_TYPES: Final = {type_.value: type_ for type_ in ChecksumType}
_NO_TAGS: Final[Mapping[str, str]] = {}

OBJECT_COLUMNS: Final = (
    "{0}.key, {0}.version_id, {0}.sequence, {0}.modified_ms, {0}.owner_id, {0}.size, {0}.etag, "
    "{0}.attributes, {0}.tags, {0}.lock, {0}.upload_id, {0}.parts_count"
)
"""What `version_of` reads from `objects` under an alias; the blob's id, size and locator may follow."""

HISTORY_COLUMNS: Final = OBJECT_COLUMNS.replace("{0}.sequence", "-{0}.reverse_sequence")

BUCKET_COLUMNS: Final = "id, name, owner_id, region, created_ms, versioning, object_lock, mfa_delete"
UPLOAD_COLUMNS: Final = "key, upload_id, initiated_ms, owner_id, attributes, tags, lock"
PART_COLUMNS: Final = (
    "p.part_number, p.size, p.etag, p.modified_ms, p.checksum, p.salt, p.blob_id, b.size, b.locator"
)
USER_COLUMNS: Final = "id, name, display_name, email, created_ms, is_root, is_enabled"
MASTER_KEY_COLUMNS: Final = "name, version, secret_sealed, created_ms, is_enabled"
MFA_DEVICE_COLUMNS: Final = "serial, user_id, secret_sealed, created_ms, last_step, failures, failed_ms"
ACCESS_KEY_COLUMNS: Final = "access_key, user_id, secret_sealed, created_ms, is_enabled"


def pack_attributes(attributes: Attributes) -> bytes:
    """Attributes as one column: [headers, metadata, checksum, storage class, extra(, encryption)]."""
    array: tuple[Any, ...] = (
        attributes.headers,
        attributes.metadata,
        _checksum_array(attributes.checksum),
        attributes.storage_class,
        attributes.extra,
    )
    if attributes.encryption is not None:
        array = (*array, _encryption_array(attributes.encryption))
    packed: bytes = _pack(array)
    return packed


def unpack_attributes(column: bytes) -> Attributes:
    """The inverse of `pack_attributes`."""
    headers, metadata, checksum, storage_class, extra, *rest = _unpack(column)
    return Attributes(
        headers,
        metadata,
        None if checksum is None else _checksum_of(checksum),
        storage_class,
        extra,
        _encryption_of(rest[0]) if rest else None,
    )


class ListedAttributes(NamedTuple):
    """What listings show of an object's attributes."""

    checksum_algorithm: str | None
    checksum_type: str | None
    storage_class: str
    extra: Mapping[str, str]


def listed_attributes(column: bytes) -> ListedAttributes:
    """The same from the column, for a fraction of the cost."""
    _, _, checksum, storage_class, extra, *_ = _unpack(column)
    if checksum is None:
        return ListedAttributes(None, None, storage_class, extra)
    return ListedAttributes(checksum[0], checksum[2], storage_class, extra)


def _encryption_array(encryption: Encryption) -> Sequence[Any]:
    return (
        encryption.method,
        encryption.wrapped_key,
        encryption.provider,
        encryption.key_id,
        encryption.context,
        encryption.wrapped_bucket_key,
    )


def _encryption_of(array: Sequence[Any]) -> Encryption:
    method, *rest = array
    return Encryption(_ENCRYPTION_METHODS[method], *rest)


def _checksum_array(checksum: Checksum | None) -> Sequence[str] | None:
    if checksum is None:
        return None
    return (checksum.algorithm, checksum.value, checksum.type)


def _checksum_of(array: Sequence[str]) -> Checksum:
    algorithm, value, type_ = array
    return Checksum(algorithm, value, _CHECKSUM_TYPES[type_])


def pack_checksum(checksum: Checksum | None) -> bytes | None:
    """One checksum as a column: [algorithm, value, type], NULL for none."""
    return None if checksum is None else _pack(_checksum_array(checksum))


def unpack_checksum(column: bytes | None) -> Checksum | None:
    """The inverse of `pack_checksum`."""
    return None if column is None else _checksum_of(_unpack(column))


def pack_tags(tags: Mapping[str, str]) -> bytes | None:
    """A tag set as a column; NULL for the empty one."""
    return _pack(tags) if tags else None


def unpack_tags(column: bytes | None) -> Mapping[str, str]:
    """The inverse of `pack_tags`."""
    return _NO_TAGS if column is None else _unpack(column)


def pack_lock(lock: ObjectLock | None) -> bytes | None:
    """A lock as a column: [mode, retain_until_ms, legal_hold]; NULL when nothing was ever said."""
    if lock is None or (lock.mode is None and lock.legal_hold is None):
        return None
    packed: bytes = _pack((lock.mode, lock.retain_until_ms, lock.legal_hold))
    return packed


def unpack_lock(column: bytes | None) -> ObjectLock | None:
    """The inverse of `pack_lock`."""
    return None if column is None else ObjectLock(*_unpack(column))


def blob_of(blob_id: bytes | None, size: int | None, locator: bytes | None) -> BlobRef | None:
    """A blob from the columns of a LEFT JOIN with `blobs`."""
    if blob_id is None or size is None or locator is None:
        return None
    return BlobRef(blob_id, size, locator)


def version_of(
    bucket_id: int, row: Sequence[Any], *, is_delete_marker: bool = False, is_latest: bool = True
) -> ObjectVersion:
    """A version from OBJECT_COLUMNS or HISTORY_COLUMNS, with its blob if blob columns follow."""
    return ObjectVersion(
        bucket_id,
        row[0].decode(),
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        unpack_attributes(row[7]),
        _NO_TAGS if row[8] is None else _unpack(row[8]),
        None if row[9] is None else unpack_lock(row[9]),
        blob_of(row[12], row[13], row[14]) if len(row) > 12 else None,
        row[10],
        row[11],
        is_delete_marker,
        is_latest,
    )


def annotation_of(row: Sequence[Any]) -> Annotation:
    """An annotation from its columns and those of its blob."""
    name, size, etag, modified_ms, attributes, *blob = row
    return Annotation(name.decode(), size, etag, modified_ms, unpack_attributes(attributes), BlobRef(*blob))


def bucket_of(row: Sequence[Any]) -> Bucket:
    """A bucket from BUCKET_COLUMNS."""
    id_, name, owner_id, region, created_ms, versioning, object_lock, mfa_delete = row
    return Bucket(
        id_,
        name,
        owner_id,
        region,
        created_ms,
        Versioning(versioning),
        bool(object_lock),
        MfaDelete(mfa_delete),
    )


def upload_of(bucket_id: int, row: Sequence[Any]) -> Upload:
    """An upload from UPLOAD_COLUMNS."""
    key, upload_id, initiated_ms, owner_id, attributes, tags, lock = row
    return Upload(
        upload_id,
        bucket_id,
        key.decode(),
        initiated_ms,
        owner_id,
        unpack_attributes(attributes),
        unpack_tags(tags),
        unpack_lock(lock),
    )


def part_of(row: Sequence[Any]) -> Part:
    """A part from PART_COLUMNS."""
    number, size, etag, modified_ms, checksum, salt, *blob = row
    return Part(number, size, etag, modified_ms, unpack_checksum(checksum), blob_of(*blob), salt)


def user_of(row: Sequence[Any]) -> User:
    """A user from USER_COLUMNS."""
    id_, name, display_name, email, created_ms, is_root, is_enabled = row
    return User(id_, name, display_name, email, created_ms, bool(is_root), bool(is_enabled))


def access_key_of(row: Sequence[Any]) -> AccessKey:
    """An access key from ACCESS_KEY_COLUMNS."""
    access_key, user_id, secret_sealed, created_ms, is_enabled = row
    return AccessKey(access_key, user_id, secret_sealed, created_ms, bool(is_enabled))


def master_key_of(row: Sequence[Any]) -> MasterKey:
    """One version of a master key from MASTER_KEY_COLUMNS."""
    name, version, secret_sealed, created_ms, is_enabled = row
    return MasterKey(name, version, secret_sealed, created_ms, bool(is_enabled))
