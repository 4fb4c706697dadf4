"""Encryption of objects: what a bucket gives those who do not ask, and the way from a request to a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from objstore.encryption.envelope import BlobSeal, CustomerKeyWrong, Envelope, Envelopes, for_part
from objstore.model import Bucket, Encryption, EncryptionMethod, ObjectVersion, Upload
from objstore.s3 import encryption as dialect
from objstore.s3.documents.encryption import (
    BlockedEncryptionTypes,
    ServerSideEncryptionByDefault,
    ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
    check,
    completed,
)
from objstore.s3.encryption import BucketKey, CustomerKey, ManagedKey, Wanted
from objstore.s3.errors import (
    AccessDenied,
    InvalidRequest,
    ServerSideEncryptionConfigurationNotFound,
)
from objstore.service.subresources import Subresources

KIND: Final = "encryption"
S3: Final = "AES256"


@dataclass(frozen=True, slots=True)
class EncryptionRules:
    """What this server does where nobody says anything."""

    encrypts_by_default: bool = False
    """Whether buckets without configuration encrypt with SSE-S3, as all of AWS's do."""
    blocks_customer_keys: bool = False
    """Whether buckets without configuration refuse SSE-C, as AWS's new ones do."""
    takes_customer_keys_over_http: bool = False
    regions: Sequence[str] = ("us-east-1",)
    """Those that the ARN of a key may name, the server's own first."""

    def fresh(self) -> ServerSideEncryptionConfiguration | None:
        """The configuration of a bucket that has none; None where it encrypts nothing."""
        if not self.encrypts_by_default:
            return None
        return ServerSideEncryptionConfiguration(
            rules=(
                ServerSideEncryptionRule(
                    apply_server_side_encryption_by_default=ServerSideEncryptionByDefault(sse_algorithm=S3),
                    bucket_key_enabled=False,
                    blocked_encryption_types=BlockedEncryptionTypes(encryption_types=("SSE-C",))
                    if self.blocks_customer_keys
                    else None,
                ),
            )
        )


class Encryptions:
    """Data keys for what is written and for what is read."""

    def __init__(self, envelopes: Envelopes, subresources: Subresources, rules: EncryptionRules) -> None:
        self._envelopes = envelopes
        self._subresources = subresources
        self._rules = rules
        self._fresh = rules.fresh()

    def configuration(self, bucket: Bucket) -> ServerSideEncryptionConfiguration:
        """What the bucket encrypts with by default. Raises ServerSideEncryptionConfigurationNotFound."""
        found = self._find(bucket)
        if found is None:
            raise ServerSideEncryptionConfigurationNotFound(BucketName=bucket.name)
        return found

    def is_configured(self, bucket: Bucket) -> bool:
        """Whether the bucket itself says how its new objects are encrypted."""
        found: ServerSideEncryptionConfiguration | None = self._subresources.find(bucket, KIND)
        return found is not None and found.rules[0].apply_server_side_encryption_by_default is not None

    async def configure(self, bucket: Bucket, wanted: ServerSideEncryptionConfiguration) -> None:
        """Encrypt what is written from now on so. Raises what the document's check raises; Refusal."""
        fresh = None if self._fresh is None else self._fresh.rules[0].apply_server_side_encryption_by_default
        check(wanted, bucket)
        await self._subresources.put(bucket, KIND, completed(wanted, fresh))

    def check_transport(self, *, is_secure: bool) -> None:
        """Raise InvalidRequest where a customer's key came over a connection that others can read."""
        if not is_secure and not self._rules.takes_customer_keys_over_http:
            raise InvalidRequest(
                "Requests specifying Server Side Encryption with Customer provided keys must be made over a"
                " secure connection."
            )

    # What is written

    async def new(
        self, bucket: Bucket, wanted: Wanted | None, data_key: bytes | None = None
    ) -> Envelope | None:
        """The envelope of a new object or upload; None where it is not to be encrypted.

        `data_key` is one there is already, of bytes that are shared. Raises AccessDenied (the bucket
        blocks it), KmsNotFound; KmsError.
        """
        if isinstance(wanted, CustomerKey):
            if self._blocks_customer_keys(bucket):
                raise AccessDenied(
                    "Access Denied: this bucket blocks server-side encryption with customer-provided keys."
                )
            return self._envelopes.under_customer_key(wanted.key, data_key)
        found = self._find(bucket)
        if wanted is None and found is None:
            return None
        rule = None if found is None else found.rules[0]
        managed = wanted if isinstance(wanted, ManagedKey) else _of_rule(rule)
        if managed is None:
            return None
        if managed.method is EncryptionMethod.S3:
            return await self._envelopes.under_s3(data_key)
        name = dialect.key_name(managed.key_id, self._envelopes.default_key, self._rules.regions)
        key_id = managed.key_id
        if not key_id or "alias/" in key_id:
            key_id = dialect.key_arn(name, self._rules.regions[0])
        uses_bucket_key = wanted.is_used if isinstance(wanted, BucketKey) else managed.uses_bucket_key
        if uses_bucket_key is None:
            uses_bucket_key = rule is not None and bool(rule.bucket_key_enabled)
        return await self._envelopes.under_kms(
            name, key_id, managed.context, bucket.id if uses_bucket_key else None, data_key
        )

    async def for_part(
        self, upload: Upload, customer_key: CustomerKey | None, number: int
    ) -> BlobSeal | None:
        """What the upload's part of this number (1-based) is to be sealed with; None: with nothing.

        Raises InvalidRequest (the key is missing, another one, or one where none belongs); KmsError.
        """
        encryption = upload.attributes.encryption
        if encryption is None:
            if customer_key is not None:
                raise InvalidRequest(
                    "The multipart upload initiate did not request encryption. Please resend the request"
                    " without sending encryption parameters."
                )
            return None
        if (encryption.method is EncryptionMethod.CUSTOMER) is (customer_key is None):
            raise InvalidRequest(
                "The multipart upload initiate requested encryption. Subsequent part requests must include"
                " the appropriate encryption parameters."
            )
        try:
            data_key = await self._open(encryption, customer_key)
        except CustomerKeyWrong:
            raise InvalidRequest(
                "The provided encryption parameters did not match the ones used originally."
            ) from None
        return for_part(encryption.method, data_key, number)

    # What is read

    async def unlock(self, version: ObjectVersion, customer_key: CustomerKey | None) -> bytes | None:
        """The data key of a version; None where it is not encrypted.

        Raises InvalidRequest (the key is missing, or one where none belongs), AccessDenied (another key);
        KmsError.
        """
        encryption = version.attributes.encryption
        check_customer_key(encryption, customer_key)
        if encryption is None:
            return None
        try:
            return await self._open(encryption, customer_key)
        except CustomerKeyWrong:
            raise AccessDenied(dialect.WRONG_CUSTOMER_KEY) from None

    async def renewed(self, encryption: Encryption) -> Encryption | None:
        """See Envelopes.renewed."""
        return await self._envelopes.renewed(encryption, self._name(encryption))

    async def close(self) -> None:
        """Release what the keepers of keys hold."""
        await self._envelopes.close()

    async def _open(self, encryption: Encryption, customer_key: CustomerKey | None) -> bytes:
        key = None if customer_key is None else customer_key.key
        return await self._envelopes.open(encryption, self._name(encryption), key)

    def _name(self, encryption: Encryption) -> str:
        if encryption.method is not EncryptionMethod.KMS:
            return ""
        return dialect.key_name(encryption.key_id, self._envelopes.default_key)

    def _find(self, bucket: Bucket) -> ServerSideEncryptionConfiguration | None:
        found: ServerSideEncryptionConfiguration | None = self._subresources.find(bucket, KIND)
        return self._fresh if found is None else found

    def _blocks_customer_keys(self, bucket: Bucket) -> bool:
        found: ServerSideEncryptionConfiguration | None = self._subresources.find(bucket, KIND)
        if found is None:
            return self._rules.blocks_customer_keys
        blocked = found.rules[0].blocked_encryption_types
        return blocked is not None and "SSE-C" in blocked.encryption_types


def check_customer_key(encryption: Encryption | None, customer_key: CustomerKey | None) -> None:
    """Raise InvalidRequest unless a key came along exactly where one is needed."""
    if encryption is not None and encryption.method is EncryptionMethod.CUSTOMER:
        if customer_key is None:
            raise InvalidRequest(
                "The object was stored using a form of Server Side Encryption. The correct parameters must be"
                " provided to retrieve the object."
            )
    elif customer_key is not None:
        raise InvalidRequest("The encryption parameters are not applicable to this object.")


def _of_rule(rule: ServerSideEncryptionRule | None) -> ManagedKey | None:
    applied = None if rule is None else rule.apply_server_side_encryption_by_default
    if applied is None:
        return None
    if applied.sse_algorithm == S3:
        return ManagedKey(EncryptionMethod.S3)
    return ManagedKey(EncryptionMethod.KMS, applied.kms_master_key_id or "")
