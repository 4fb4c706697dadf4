"""The form of encrypted bytes: AES-256-GCM chunk by chunk, so that any range opens by itself.

A blob's plain bytes are cut into chunks of 64 KiB, the last one of 1 byte to 64 KiB. Each becomes its
ciphertext, of the same length, and 16 bytes of tag; the sealed chunks follow one another and nothing else
is stored. The blob's key comes from the object's data key and a salt (HKDF-Expand, RFC 5869); the nonce of
a chunk is its number, 11 bytes big-endian, and one byte that is 1 for the last chunk and 0 for all others
(the STREAM construction: Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015).

So whatever is changed, cut off, put in another order or taken from another blob does not open. What holds
for that: one data key and salt never seal two different blobs. A data key is random and made for one
object; the object's only blob has no salt, and each part of a multipart object has 16 random bytes. The
number of the part goes into its key as well.
"""

import hmac
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
CHUNK_BYTES: Final = 64 * 1024
TAG_BYTES: Final = 16
SEALED_BYTES: Final = CHUNK_BYTES + TAG_BYTES
_BLOB: Final = b"objstore blob 1"
_COUNTER_BYTES: Final = 11


class ChunkDamaged(Exception):
    """A chunk that was not sealed as this chunk of this blob, under this key."""


def derived_key(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    """32 bytes that `secret` alone determines, for one purpose and salt.

    HKDF-Expand with SHA-256, one block; `secret` is a uniformly random key already, so that there is
    nothing to extract (RFC 5869, 2.3 and 3.3).
    """
    return hmac.digest(secret, purpose + salt + b"\x01", "sha256")


def chunk_count(size: int) -> int:
    """How many chunks `size` plain bytes make."""
    return -(-size // CHUNK_BYTES)


def sealed_size(size: int) -> int:
    """How long `size` plain bytes are once they are sealed."""
    return size + TAG_BYTES * chunk_count(size)


class Window(NamedTuple):
    """The sealed chunks that hold a range of the plain bytes, and where in them it lies."""

    first_chunk: int
    offset: int
    """Of the first chunk's ciphertext in the blob."""
    length: int
    """Bytes of ciphertext, of whole chunks."""
    skip: int
    """Plain bytes of the first chunk before the range."""
    has_last: bool
    """Whether the blob's last chunk is among them."""


def window(size: int, offset: int, length: int) -> Window:
    """Where the range of `length` bytes (at least one) from `offset` of a blob of `size` plain bytes lies."""
    assert length > 0 and 0 <= offset <= size - length, (size, offset, length)
    first, last = offset // CHUNK_BYTES, (offset + length - 1) // CHUNK_BYTES
    end = min(sealed_size(size), (last + 1) * SEALED_BYTES)
    return Window(
        first_chunk=first,
        offset=first * SEALED_BYTES,
        length=end - first * SEALED_BYTES,
        skip=offset - first * CHUNK_BYTES,
        has_last=last == chunk_count(size) - 1,
    )


class BlobCipher:
    """Seals and opens the chunks of one blob."""

    __slots__ = ("_aead",)

    def __init__(self, data_key: bytes, salt: bytes = b"", part_number: int = 0) -> None:
        """`salt` and `part_number` (1-based) are a part's; the only blob of an object has neither."""
        assert len(data_key) == KEY_BYTES
        self._aead = AESGCM(derived_key(data_key, salt, _BLOB + part_number.to_bytes(4)))

    def seal(self, plain: memoryview, first_chunk: int, *, has_last: bool) -> memoryview:
        """The sealed chunks of `plain`, which begins with chunk `first_chunk` (0-based).

        Whole chunks, but for the last one where `has_last` says that the blob ends here; at least a byte.
        """
        count = chunk_count(len(plain))
        assert count and (has_last or len(plain) % CHUNK_BYTES == 0)
        into = memoryview(bytearray(sealed_size(len(plain))))
        for index in range(count):
            chunk = plain[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
            start = index * SEALED_BYTES
            nonce = _nonce(first_chunk + index, is_last=has_last and index == count - 1)
            self._aead.encrypt_into(nonce, chunk, None, into[start : start + len(chunk) + TAG_BYTES])
        return into

    def open(self, sealed: memoryview, first_chunk: int, *, has_last: bool) -> memoryview:
        """The inverse of `seal`. Raises ChunkDamaged; nothing that is not authentic is ever returned."""
        count = -(-len(sealed) // SEALED_BYTES)
        size = len(sealed) - count * TAG_BYTES
        if size < 1 or sealed_size(size) != len(sealed) or not (has_last or size % CHUNK_BYTES == 0):
            raise ChunkDamaged(f"{len(sealed)} bytes are no sealed chunks")
        if count == 1:  # most objects are this small
            try:
                nonce = _nonce(first_chunk, is_last=has_last)
                return memoryview(self._aead.decrypt(nonce, sealed, None))
            except InvalidTag:
                raise ChunkDamaged(f"chunk {first_chunk} is not what was sealed") from None
        into = memoryview(bytearray(size))
        for index in range(count):
            chunk = sealed[index * SEALED_BYTES : (index + 1) * SEALED_BYTES]
            start = index * CHUNK_BYTES
            nonce = _nonce(first_chunk + index, is_last=has_last and index == count - 1)
            try:
                self._aead.decrypt_into(nonce, chunk, None, into[start : start + len(chunk) - TAG_BYTES])
            except InvalidTag:
                raise ChunkDamaged(f"chunk {first_chunk + index} is not what was sealed") from None
        return into


def _nonce(chunk: int, *, is_last: bool) -> bytes:
    return chunk.to_bytes(_COUNTER_BYTES) + (b"\x01" if is_last else b"\x00")
