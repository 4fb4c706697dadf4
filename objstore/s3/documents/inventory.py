"""Inventories: lists of a bucket's objects, written on a schedule."""

from typing import Final, Literal

from objstore.model import Bucket
from objstore.s3.documents.filtering import check_bucket_arn, check_id
from objstore.s3.errors import MalformedXML
from objstore.s3.xml import document, element

OPTIONAL_FIELDS: Final = frozenset(
    {
        "Size",
        "LastModifiedDate",
        "StorageClass",
        "ETag",
        "IsMultipartUploaded",
        "ReplicationStatus",
        "EncryptionStatus",
        "ObjectLockRetainUntilDate",
        "ObjectLockMode",
        "ObjectLockLegalHoldStatus",
        "IntelligentTieringAccessTier",
        "BucketKeyStatus",
        "ChecksumAlgorithm",
        "ObjectAccessControlList",
        "ObjectOwner",
        "LifecycleExpirationDate",
        "ObjectLockEventHoldStatus",
        "ObjectLockEventHoldDuration",
        "IntelligentTieringReferenceDate",
    }
)


@document
class SSES3:
    """Encrypted with the server's own keys."""


@document
class SSEKMS:
    key_id: str


@document
class Encryption:
    sse_s3: SSES3 | None = element("SSE-S3", default=None)
    sse_kms: SSEKMS | None = element("SSE-KMS", default=None)


@document
class S3BucketDestination:
    account_id: str | None = None
    bucket: str
    format: Literal["CSV", "ORC", "Parquet"]
    prefix: str | None = None
    encryption: Encryption | None = None


@document
class Destination:
    s3_bucket_destination: S3BucketDestination


@document
class Filter:
    prefix: str


@document
class Schedule:
    frequency: Literal["Daily", "Weekly"]


@document
class InventoryConfiguration:
    destination: Destination
    is_enabled: bool
    filter: Filter | None = None
    id: str
    included_object_versions: Literal["All", "Current"]
    optional_fields: tuple[str, ...] | None = element("Field", wrap="OptionalFields", default=None)
    schedule: Schedule


@document
class ListInventoryConfigurationsResult:
    configurations: tuple[InventoryConfiguration, ...] = element("InventoryConfiguration", default=())
    is_truncated: bool = False
    continuation_token: str | None = None
    next_continuation_token: str | None = None


def check(wanted: InventoryConfiguration, bucket: Bucket) -> None:
    """Raise the S3 error of a configuration that cannot be."""
    check_id(wanted.id)
    check_bucket_arn(wanted.destination.s3_bucket_destination.bucket)
    fields = wanted.optional_fields or ()
    if not OPTIONAL_FIELDS.issuperset(fields) or len(set(fields)) < len(fields):
        raise MalformedXML
    encryption = wanted.destination.s3_bucket_destination.encryption
    if encryption is not None and (encryption.sse_s3 is None) == (encryption.sse_kms is None):
        raise MalformedXML
