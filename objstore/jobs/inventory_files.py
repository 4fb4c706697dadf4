"""What stands in the files of an inventory: columns, rows, and the manifest that names the files. Pure.

Sources: Amazon S3 User Guide, "Cataloging and analyzing your data with S3 Inventory" and "Locating your
inventory list".
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from objstore.iam.acl import Acl
from objstore.model import Bucket, EncryptionMethod, ObjectVersion
from objstore.s3 import replication
from objstore.s3.documents.inventory import InventoryConfiguration
from objstore.s3.xml import write_instant

VERSION: Final = "2016-11-30"
"""Of the manifest's form."""
ACL_VERSION: Final = "2022-11-10"
GZIP_LEVEL: Final = 6
_GZIP_WBITS: Final = 31

ParquetType = Literal["VARCHAR", "BOOLEAN", "BIGINT", "TIMESTAMP_MS"]
_PHYSICAL: Final[Mapping[ParquetType, tuple[str, str]]] = {
    "VARCHAR": ("binary", " (UTF8)"),
    "BOOLEAN": ("boolean", ""),
    "BIGINT": ("int64", ""),
    "TIMESTAMP_MS": ("int64", " (TIMESTAMP_MILLIS)"),
}
Value = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of an inventory: a version, and what else columns need to know."""

    bucket: Bucket
    version: ObjectVersion
    owner_id: str
    acl: Acl
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Times are milliseconds since the epoch; None is nothing."""

    name: str
    """AWS's, in CSV and in configurations."""
    parquet_name: str
    type: ParquetType
    value: Callable[[Listed], Value]


def _of_version(value: Callable[[ObjectVersion], Value]) -> Callable[[Listed], Value]:
    return lambda listed: value(listed.version)


def _of_object(value: Callable[[ObjectVersion], Value]) -> Callable[[Listed], Value]:
    """What delete markers do not have."""
    return lambda listed: None if listed.version.is_delete_marker else value(listed.version)


def _nothing(listed: Listed) -> Value:
    """Of what this server does not know of."""
    return None


def _encryption_status(version: ObjectVersion) -> str:
    encryption = version.attributes.encryption
    if encryption is None:
        return "NOT-SSE"
    return {
        EncryptionMethod.S3: "SSE-S3",
        EncryptionMethod.KMS: "SSE-KMS",
        EncryptionMethod.CUSTOMER: "SSE-C",
    }[encryption.method]


def _bucket_key_status(version: ObjectVersion) -> str:
    encryption = version.attributes.encryption
    return "ENABLED" if encryption is not None and encryption.wrapped_bucket_key else "DISABLED"


def _access_tier(version: ObjectVersion) -> str | None:
    return "FREQUENT" if version.attributes.storage_class == "INTELLIGENT_TIERING" else None


def _checksum_algorithm(version: ObjectVersion) -> str | None:
    checksum = version.attributes.checksum
    return None if checksum is None else checksum.algorithm


def _lock_mode(version: ObjectVersion) -> str | None:
    return None if version.lock is None else version.lock.mode


def _retained_until(version: ObjectVersion) -> int | None:
    return None if version.lock is None or version.lock.mode is None else version.lock.retain_until_ms


def _legal_hold(version: ObjectVersion) -> str | None:
    return None if version.lock is None or version.lock.legal_hold is None else _on(version.lock.legal_hold)


def _on(holds: bool) -> str:
    return "On" if holds else "Off"


def _acl(listed: Listed) -> str | None:
    """Base64 of JSON."""
    if listed.version.is_delete_marker:
        return None
    grants = [
        {
            ("canonicalId" if grant.kind == "user" else "uri"): grant.grantee,
            "type": "CanonicalUser" if grant.kind == "user" else "Group",
            "permission": grant.permission,
        }
        for grant in listed.acl.grants
    ]
    document = {"version": ACL_VERSION, "status": "AVAILABLE", "grants": grants}
    return base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode()


ALWAYS: Final = (
    Column("Bucket", "bucket", "VARCHAR", lambda listed: listed.bucket.name),
    Column("Key", "key", "VARCHAR", _of_version(lambda version: version.key)),
)
OF_VERSIONS: Final = (
    Column("VersionId", "version_id", "VARCHAR", _of_version(lambda version: version.version_id)),
    Column("IsLatest", "is_latest", "BOOLEAN", _of_version(lambda version: version.is_latest)),
    Column("IsDeleteMarker", "is_delete_marker", "BOOLEAN", _of_version(lambda one: one.is_delete_marker)),
)
"""Where all versions are listed."""
OPTIONAL: Final = (
    Column("Size", "size", "BIGINT", _of_object(lambda version: version.size)),
    Column(
        "LastModifiedDate", "last_modified_date", "TIMESTAMP_MS", _of_version(lambda one: one.modified_ms)
    ),
    Column("ETag", "e_tag", "VARCHAR", _of_object(lambda version: version.etag)),
    Column(
        "StorageClass",
        "storage_class",
        "VARCHAR",
        _of_object(lambda version: version.attributes.storage_class),
    ),
    Column(
        "IsMultipartUploaded", "is_multipart_uploaded", "BOOLEAN", _of_object(lambda one: "-" in one.etag)
    ),
    Column(
        "ReplicationStatus",
        "replication_status",
        "VARCHAR",
        _of_version(lambda version: replication.status_of(version.attributes)),
    ),
    Column("EncryptionStatus", "encryption_status", "VARCHAR", _of_object(_encryption_status)),
    Column(
        "ObjectLockRetainUntilDate",
        "object_lock_retain_until_date",
        "TIMESTAMP_MS",
        _of_object(_retained_until),
    ),
    Column("ObjectLockMode", "object_lock_mode", "VARCHAR", _of_object(_lock_mode)),
    Column("ObjectLockLegalHoldStatus", "object_lock_legal_hold_status", "VARCHAR", _of_object(_legal_hold)),
    Column(
        "IntelligentTieringAccessTier",
        "intelligent_tiering_access_tier",
        "VARCHAR",
        _of_object(_access_tier),
    ),
    Column("BucketKeyStatus", "bucket_key_status", "VARCHAR", _of_object(_bucket_key_status)),
    Column("ChecksumAlgorithm", "checksum_algorithm", "VARCHAR", _of_object(_checksum_algorithm)),
    Column("ObjectAccessControlList", "object_access_control_list", "VARCHAR", _acl),
    Column("ObjectOwner", "object_owner", "VARCHAR", lambda listed: listed.owner_id),
    Column(
        "LifecycleExpirationDate",
        "lifecycle_expiration_date",
        "TIMESTAMP_MS",
        lambda listed: listed.expires_ms,
    ),
    Column("ObjectLockEventHoldStatus", "object_lock_event_hold_status", "VARCHAR", _nothing),
    Column("ObjectLockEventHoldDuration", "object_lock_event_hold_duration", "BIGINT", _nothing),
    Column("IntelligentTieringReferenceDate", "intelligent_tiering_reference_date", "TIMESTAMP_MS", _nothing),
)
"""Where a configuration asks for them; always in this order."""


def columns_of(wanted: InventoryConfiguration) -> tuple[Column, ...]:
    """The columns of an inventory."""
    of_versions = OF_VERSIONS if wanted.included_object_versions == "All" else ()
    asked = frozenset(wanted.optional_fields or ())
    return (*ALWAYS, *of_versions, *(column for column in OPTIONAL if column.name in asked))


# Rows


def csv_rows(columns: Sequence[Column], page: Iterable[Listed]) -> bytes:
    """Lines of CSV as S3 writes them: every value quoted, keys percent-encoded, times in ISO 8601."""
    return "".join(
        ",".join([_quoted(_csv_value(column, listed)) for column in columns]) + "\n" for listed in page
    ).encode()


def _csv_value(column: Column, listed: Listed) -> str:
    value = column.value(listed)
    if column.name == "Key":
        return quote(str(value), safe="/")
    if column.type == "TIMESTAMP_MS" and isinstance(value, int):
        return write_instant(value)
    return _text(value)


def raw_rows(columns: Sequence[Column], page: Iterable[Listed]) -> bytes:
    """Lines of CSV on their way to Parquet: as `csv_rows`, but times in milliseconds."""
    return "".join(
        ",".join(
            [
                _quoted(quote(str(column.value(listed)), safe=""))
                if column.name == "Key"
                else _quoted(_text(column.value(listed)))
                for column in columns
            ]
        )
        + "\n"
        for listed in page
    ).encode()


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


class Gzip:
    """Compresses what it is given, piece by piece."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)

    def add(self, data: bytes) -> bytes:
        """What comes out now, often nothing."""
        return self._compressor.compress(data)

    def end(self) -> bytes:
        """The rest."""
        return self._compressor.flush()


# The manifest


@dataclass(frozen=True, slots=True)
class File:
    """One file of an inventory."""

    key: str
    size: int
    md5: str
    """In hexadecimal."""

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "File":
        """The file that `asdict` made this of."""
        return cls(state["key"], state["size"], state["md5"])

    def as_state(self) -> dict[str, Any]:
        """Plain values for `of`."""
        return asdict(self)


def schema(columns: Sequence[Column], form: str) -> str:
    """What the manifest says of the columns."""
    if form == "CSV":
        return ", ".join(column.name for column in columns)
    fields = []
    for column in columns:
        physical, logical = _PHYSICAL[column.type]
        repetition = "required" if column in ALWAYS else "optional"
        fields.append(f"  {repetition} {physical} {column.parquet_name}{logical};")
    return "message s3.inventory {" + "".join(fields) + "}"


def manifest(
    wanted: InventoryConfiguration, bucket: Bucket, destination: Bucket, began_ms: int, files: Sequence[File]
) -> bytes:
    """manifest.json."""
    form = wanted.destination.s3_bucket_destination.format
    document = {
        "sourceBucket": bucket.name,
        "destinationBucket": f"arn:aws:s3:::{destination.name}",
        "version": VERSION,
        "creationTimestamp": str(began_ms),
        "fileFormat": form,
        "fileSchema": schema(columns_of(wanted), form),
        "files": [{"key": file.key, "size": file.size, "MD5checksum": file.md5} for file in files],
    }
    return json.dumps(document, indent=2).encode()


def symlinks(destination: Bucket, files: Sequence[File]) -> bytes:
    """symlink.txt, by which Apache Hive finds the files."""
    return "".join(f"s3://{destination.name}/{file.key}\n" for file in files).encode()
