"""The nouns every layer shares. Frozen values; no behaviour beyond what a noun knows of itself.

Times are milliseconds since the Unix epoch, UTC. ETags and checksums are without quotes. Names of
headers and of user metadata are lower case. Keys are text whose UTF-8 bytes are the key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

NULL_VERSION: Final = "null"


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where an immutable byte string lies. `locator` is the blob store's own and opaque to everyone else.

    `id` (16 bytes) is the blob's for ever; `locator` changes when a job moves or repairs it.
    """

    id: bytes
    size: int
    locator: bytes


class Versioning(IntEnum):
    """A bucket's versioning state. NEVER and SUSPENDED differ in what listings and headers show."""

    NEVER = 0
    ENABLED = 1
    SUSPENDED = 2


class MfaDelete(IntEnum):
    """Whether a bucket's versions go for good only with the code of a device. NEVER: nobody ever said."""

    NEVER = 0
    ENABLED = 1
    DISABLED = 2


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket. `id` is never reused, so a name created again is another bucket."""

    id: int
    name: str
    owner_id: str
    region: str
    created_ms: int
    versioning: Versioning = Versioning.NEVER
    object_lock: bool = False
    mfa_delete: MfaDelete = MfaDelete.NEVER


class ChecksumType(StrEnum):
    """Whether a multipart object's checksum covers its bytes or its parts' checksums."""

    COMPOSITE = "COMPOSITE"
    FULL_OBJECT = "FULL_OBJECT"


@dataclass(frozen=True, slots=True)
class Checksum:
    """One additional checksum: x-amz-checksum-algorithm's name, value in base64 (`…-N` if composite)."""

    algorithm: str
    value: str
    type: ChecksumType = ChecksumType.FULL_OBJECT


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """What protects one version. `mode` is GOVERNANCE, COMPLIANCE or None.

    `legal_hold` None: nobody ever said; it holds no more than False does.
    """

    mode: str | None = None
    retain_until_ms: int = 0
    legal_hold: bool | None = None


ARCHIVE_CLASSES: Final = frozenset(("GLACIER", "DEEP_ARCHIVE"))
"""Storage classes whose bytes, once moved to a tier, are read only after RestoreObject."""
INITIATOR: Final = "initiator"
"""The extra attribute of an upload that says who began it, where that is not the owner of the object."""
TIER: Final = "tier"
"""The extra attribute of a version whose bytes a rule moved to a tier: the storage class the tier is of."""
RESTORE: Final = "restore"
"""The extra attribute of an archived version that RestoreObject was asked for: RESTORE_UNDER_WAY, or until
when its restored copy stays, in milliseconds since the epoch (decimal)."""
RESTORE_UNDER_WAY: Final = "ongoing"


class EncryptionMethod(StrEnum):
    """Whose key protects the data key: the server's, one of the key management service, or the client's."""

    S3 = "AES256"
    KMS = "aws:kms"
    CUSTOMER = "SSE-C"


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the bytes of a version, or of the parts of an upload, are encrypted: see encryption/envelope.py.

    All of them under one random data key, which stands here sealed. Sizes are always those of the plain
    bytes; a blob's own size is that of the ciphertext.
    """

    method: EncryptionMethod
    wrapped_key: bytes
    """The data key as the one named by `key_id` sealed it; or the bucket key, or the client's key."""
    provider: str = ""
    """Who keeps the KMS key: "local" or "vault"."""
    key_id: str = ""
    """The KMS key, by the name it goes by towards clients."""
    context: str = ""
    """The encryption context that the client gave: base64 of a JSON object. Bound to the wrapped key."""
    wrapped_bucket_key: bytes = b""
    """The bucket key as the KMS key sealed it; empty where the KMS key sealed the data key itself."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a client gave with an object and gets back with it, unchanged."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """System headers stored as sent: content-type, cache-control, content-encoding, expires, …"""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """User metadata, names lower case and without `x-amz-meta-`."""
    checksum: Checksum | None = None
    storage_class: str = "STANDARD"
    extra: Mapping[str, str] = field(default_factory=dict)
    """Room for features to come (restore, replication status), by name."""
    encryption: Encryption | None = None
    """None: the bytes lie as they came."""

    @property
    def is_archived(self) -> bool:
        """Its bytes lie where they cannot be read before they are restored."""
        return self.extra.get(TIER) in ARCHIVE_CLASSES

    @property
    def is_restore_under_way(self) -> bool:
        """Its bytes are being fetched back."""
        return self.extra.get(RESTORE) == RESTORE_UNDER_WAY

    @property
    def restored_until_ms(self) -> int | None:
        """Until when its restored copy stays; None where there is none."""
        said = self.extra.get(RESTORE)
        return None if said is None or said == RESTORE_UNDER_WAY else int(said)


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object, or a delete marker (size 0, no ETag, no bytes).

    A version's bytes are: nothing (size 0), `blob`, or the parts of `upload_id` in part order.
    `sequence` orders versions by commit, never by clock.
    """

    bucket_id: int
    key: str
    version_id: str
    sequence: int
    modified_ms: int
    owner_id: str
    size: int
    etag: str
    attributes: Attributes
    tags: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None
    blob: BlobRef | None = None
    upload_id: str | None = None
    parts_count: int | None = None
    is_delete_marker: bool = False
    is_latest: bool = True


@dataclass(frozen=True, slots=True)
class Replica:
    """What a version that is replicated to here is called, and when it was made, where it comes from."""

    version_id: str
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Annotation:
    """A named text on one version of an object. Of `attributes`, checksum and encryption are its own."""

    name: str
    size: int
    etag: str
    modified_ms: int
    attributes: Attributes
    blob: BlobRef


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload under way. `attributes.checksum` names algorithm and type, with an empty value."""

    upload_id: str
    bucket_id: int
    key: str
    initiated_ms: int
    owner_id: str
    attributes: Attributes
    tags: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None

    @property
    def initiator_id(self) -> str:
        """The canonical id of who began it, who need not be who will own the object."""
        return self.attributes.extra.get(INITIATOR, self.owner_id)


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part; `part_number` is 1-based. `blob` is None when the part is empty."""

    part_number: int
    size: int
    etag: str
    modified_ms: int
    checksum: Checksum | None = None
    blob: BlobRef | None = None
    salt: bytes | None = None
    """What makes an encrypted part's key another one than that of every other part; None: as it came."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One version of a key that seals data keys; `secret_sealed` is encrypted under the key file."""

    name: str
    version: int
    secret_sealed: bytes
    created_ms: int
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class User:
    """An account that can own buckets. `id` is the canonical id: 64 hexadecimal digits unless chosen."""

    id: str
    name: str
    display_name: str
    email: str
    created_ms: int
    is_root: bool = False
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class AccessKey:
    """One access key of a user; `secret_sealed` is encrypted under the deployment's key file."""

    access_key: str
    user_id: str
    secret_sealed: bytes
    created_ms: int
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class MfaDevice:
    """A device that shows codes (RFC 6238); `secret_sealed` is encrypted under the deployment's key file.

    `serial` is the device's ARN. Of the codes tried: `last_step` is the time step of the newest that was
    taken, and `failures` how many were wrong since, the last one at `failed_ms`.
    """

    serial: str
    user_id: str
    secret_sealed: bytes
    created_ms: int
    last_step: int = 0
    failures: int = 0
    failed_ms: int = 0


ANONYMOUS_ID: Final = "65a011a29cdf8ec533ec3d1ccaae921c"
"""The canonical id that S3 shows as the owner of what anonymous callers write."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request, as far as authorisation cares."""

    user_id: str
    name: str
    display_name: str
    access_key: str | None = None
    is_root: bool = False

    @property
    def is_anonymous(self) -> bool:
        """Nobody signed the request."""
        return self.access_key is None


ANONYMOUS: Final = Identity(user_id=ANONYMOUS_ID, name="anonymous", display_name="")
