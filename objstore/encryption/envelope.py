"""From what is asked to a sealed data key, and back.

Every object (for a multipart upload: all its parts) has a random data key. What seals it:

- SSE-S3: the server's master key `sse-s3` of the keyring;
- SSE-KMS: a named key of a KeyProvider; or, with a bucket key, a key of the bucket's that the KMS key sealed
  once and that serves all objects written within a few minutes;
- SSE-C: the key that the client sends, which is kept nowhere.

Method, name of the key and the client's context are bound to what is sealed. Bucket and key are not: a
version that is renamed keeps its row as it is, and a copy shares its source's bytes, its data key sealed
anew. Wrong keys do not open (AES-GCM), so that they are an error and never garbage.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from objstore import clock
from objstore.encryption import wrapping
from objstore.encryption.keyring import Keyring
from objstore.encryption.provider import KeyProvider, KmsKeyMissing, KmsKeyUnfit
from objstore.encryption.stream import KEY_BYTES, SALT_BYTES, BlobCipher
from objstore.encryption.wrapping import WrapBroken
from objstore.model import Encryption, EncryptionMethod

S3_KEY: Final = "sse-s3"
"""The master key of SSE-S3. No client can name it."""
LOCAL: Final = "local"
"""The provider that is the server's own keyring."""
BUCKET_KEY_S: Final = 300.0
"""How long a process seals with one bucket key, and remembers one that it opened: a KMS key that is
disabled elsewhere may go on opening for so long."""
BUCKET_KEYS_MAX: Final = 10_000
_ETAG: Final = b"objstore etag 1"
_BUCKET_KEY: Final = b"bucket key\0"


class CustomerKeyWrong(Exception):
    """The key sent along is not the one that the object was encrypted with."""


@dataclass(frozen=True, slots=True)
class BlobSeal:
    """What one blob is to be sealed with; used once."""

    method: EncryptionMethod
    data_key: bytes = field(repr=False)
    salt: bytes = b""
    part_number: int = 0

    def cipher(self) -> BlobCipher:
        return BlobCipher(self.data_key, self.salt, self.part_number)

    def etag(self, md5: bytes) -> str:
        """The ETag of the plain bytes with this MD5: see `etag_of`."""
        return etag_of(self.method, self.data_key, md5)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A data key, and how it stands in the metadata."""

    encryption: Encryption
    data_key: bytes = field(repr=False)

    def for_object(self) -> BlobSeal:
        """For the only blob of an object whose data key is new."""
        return BlobSeal(self.encryption.method, self.data_key)


def for_part(method: EncryptionMethod, data_key: bytes, part_number: int) -> BlobSeal:
    """For one part of an upload, 1-based; each time with a salt of its own."""
    return BlobSeal(method, data_key, os.urandom(SALT_BYTES), part_number)


def etag_of(method: EncryptionMethod, data_key: bytes, md5: bytes) -> str:
    """32 hexadecimal digits. With SSE-S3 the MD5, as on AWS; else what tells nobody about the bytes who
    has not their key, and is the same for the same bytes of one object."""
    if method is EncryptionMethod.S3:
        return md5.hex()
    return hmac.digest(data_key, _ETAG + md5, "sha256")[:16].hex()


@dataclass(frozen=True, slots=True)
class _BucketKey:
    key: bytes = field(repr=False)
    wrapped: bytes
    until_s: float


class Envelopes:
    """Makes and opens envelopes. Errors are those of the providers."""

    def __init__(
        self, keyring: Keyring, providers: Mapping[str, KeyProvider], new: str, default_key: str
    ) -> None:
        """`providers` by name, the keyring among them as LOCAL; `new` is whose keys new objects get.

        `default_key` is the one that serves where none is named; the keyring makes it when it is needed.
        """
        self._keyring = keyring
        self._providers = providers
        self._new = new
        self.default_key = default_key
        self._sealing: dict[tuple[int, str], _BucketKey] = {}
        self._opened: OrderedDict[bytes, _BucketKey] = OrderedDict()
        self._renewed: dict[bytes, bytes] = {}

    async def under_s3(self, data_key: bytes | None = None) -> Envelope:
        """SSE-S3. `data_key` is one there is already (a copy shares its bytes); None: a new one."""
        key = data_key or os.urandom(KEY_BYTES)
        context = _context(EncryptionMethod.S3, S3_KEY, "")
        try:
            wrapped = self._keyring.wrap_now(S3_KEY, key, context)
        except KmsKeyMissing:  # the first encrypted object of this deployment
            await self._keyring.provide(S3_KEY)
            wrapped = self._keyring.wrap_now(S3_KEY, key, context)
        return Envelope(Encryption(EncryptionMethod.S3, wrapped), key)

    async def under_kms(
        self, name: str, key_id: str, context: str, bucket_id: int | None, data_key: bytes | None = None
    ) -> Envelope:
        """SSE-KMS under the key `name`, which clients know as `key_id`; with `bucket_id` by a bucket key.

        Raises KmsKeyMissing, KmsKeyDisabled, KmsUnavailable.
        """
        if name == S3_KEY:
            raise KmsKeyMissing(f"Key '{name}' does not exist")
        if name == self.default_key and self._new == LOCAL:
            await self._provide(name)
        key = data_key or os.urandom(KEY_BYTES)
        bound = _context(EncryptionMethod.KMS, name, context)
        provider = self._providers[self._new]
        if bucket_id is None:
            wrapped, wrapped_bucket_key = await provider.wrap(name, key, bound), b""
        else:
            bucket_key = await self._bucket_key(provider, bucket_id, name)
            wrapped, wrapped_bucket_key = wrapping.wrap(key, bucket_key.key, bound), bucket_key.wrapped
        encryption = Encryption(EncryptionMethod.KMS, wrapped, self._new, key_id, context, wrapped_bucket_key)
        return Envelope(encryption, key)

    def under_customer_key(self, customer_key: bytes, data_key: bytes | None = None) -> Envelope:
        """SSE-C."""
        key = data_key or os.urandom(KEY_BYTES)
        wrapped = wrapping.wrap(key, customer_key, _context(EncryptionMethod.CUSTOMER, "", ""))
        return Envelope(Encryption(EncryptionMethod.CUSTOMER, wrapped), key)

    async def open(self, encryption: Encryption, name: str, customer_key: bytes | None) -> bytes:
        """The data key. `name` is the KMS key's own. Raises CustomerKeyWrong; KmsError."""
        key = self.open_now(encryption, name, customer_key)
        if key is not None:
            return key
        provider = self._provider(encryption)
        bound = _context(encryption.method, name, encryption.context)
        if not encryption.wrapped_bucket_key:
            return await provider.unwrap(name, encryption.wrapped_key, bound)
        bucket_key = await provider.unwrap(name, encryption.wrapped_bucket_key, _BUCKET_KEY + name.encode())
        self._remember(_BucketKey(bucket_key, encryption.wrapped_bucket_key, _until_s()))
        return _unwrapped(encryption.wrapped_key, bucket_key, bound)

    def open_now(self, encryption: Encryption, name: str, customer_key: bytes | None) -> bytes | None:
        """The same where it takes no waiting, else None."""
        bound = _context(encryption.method, name, encryption.context)
        if encryption.method is EncryptionMethod.S3:
            return self._keyring.unwrap_now(S3_KEY, encryption.wrapped_key, bound)
        if encryption.method is EncryptionMethod.CUSTOMER:
            assert customer_key is not None, "who reads an SSE-C object sends the key along"
            try:
                return wrapping.unwrap(encryption.wrapped_key, customer_key, bound)
            except WrapBroken:
                raise CustomerKeyWrong from None
        provider = self._provider(encryption)
        if not encryption.wrapped_bucket_key:
            return provider.unwrap_now(name, encryption.wrapped_key, bound)
        bucket_key = provider.unwrap_now(
            name, encryption.wrapped_bucket_key, _BUCKET_KEY + name.encode()
        ) or self._remembered(encryption.wrapped_bucket_key)
        return None if bucket_key is None else _unwrapped(encryption.wrapped_key, bucket_key, bound)

    async def renewed(self, encryption: Encryption, name: str) -> Encryption | None:
        """The same data key sealed under the newest version of its key; None where it is already.

        SSE-C's never change. The sealed key is opened to see that it can be. Raises KmsError.
        """
        if encryption.method is EncryptionMethod.CUSTOMER:
            return None
        provider = self._provider(encryption)
        if encryption.method is EncryptionMethod.S3:
            name = S3_KEY
        sealed = encryption.wrapped_bucket_key or encryption.wrapped_key
        if provider.version_of(sealed) == await provider.newest_version(name):
            return None
        bound = _context(encryption.method, name, encryption.context)
        if encryption.wrapped_bucket_key:
            bound = _BUCKET_KEY + name.encode()
            if sealed in self._renewed:  # which many objects share
                return replace(encryption, wrapped_bucket_key=self._renewed[sealed])
        key = await provider.unwrap(name, sealed, bound)
        wrapped = await provider.wrap(name, key, bound)
        if not encryption.wrapped_bucket_key:
            return replace(encryption, wrapped_key=wrapped)
        if len(self._renewed) >= BUCKET_KEYS_MAX:
            self._renewed.clear()
        self._renewed[sealed] = wrapped
        return replace(encryption, wrapped_bucket_key=wrapped)

    async def close(self) -> None:
        """Release what the providers hold."""
        for provider in self._providers.values():
            await provider.close()

    def _provider(self, encryption: Encryption) -> KeyProvider:
        if encryption.method is EncryptionMethod.S3:
            return self._keyring
        provider = self._providers.get(encryption.provider)
        if provider is None:
            raise KmsKeyMissing(f"its key is in {encryption.provider}, which this server is not told of")
        return provider

    async def _provide(self, name: str) -> None:
        try:
            await self._keyring.newest_version(name)
        except KmsKeyMissing:
            await self._keyring.provide(name)

    async def _bucket_key(self, provider: KeyProvider, bucket_id: int, name: str) -> _BucketKey:
        slot = (bucket_id, name)
        bound = _BUCKET_KEY + name.encode()
        there = self._sealing.get(slot)
        if there is not None and there.until_s > clock.monotonic_s():
            provider.unwrap_now(name, there.wrapped, bound)  # raises where it is known to be disabled
            return there
        key = os.urandom(KEY_BYTES)
        made = _BucketKey(key, await provider.wrap(name, key, bound), _until_s())
        if len(self._sealing) >= BUCKET_KEYS_MAX:
            self._sealing.clear()
        self._sealing[slot] = made
        self._remember(made)
        return made

    def _remember(self, bucket_key: _BucketKey) -> None:
        self._opened[bucket_key.wrapped] = bucket_key
        if len(self._opened) > BUCKET_KEYS_MAX:
            self._opened.popitem(last=False)

    def _remembered(self, wrapped: bytes) -> bytes | None:
        there = self._opened.get(wrapped)
        return there.key if there is not None and there.until_s > clock.monotonic_s() else None


def _until_s() -> float:
    return clock.monotonic_s() + BUCKET_KEY_S


def _context(method: EncryptionMethod, name: str, context: str) -> bytes:
    """What is bound to a sealed data key."""
    return f"{method.value}\0{S3_KEY if method is EncryptionMethod.S3 else name}\0{context}".encode()


def _unwrapped(wrapped: bytes, bucket_key: bytes, bound: bytes) -> bytes:
    try:
        return wrapping.unwrap(wrapped, bucket_key, bound)
    except WrapBroken as exc:
        raise KmsKeyUnfit(f"the bucket key does not open the data key: {exc}") from None
