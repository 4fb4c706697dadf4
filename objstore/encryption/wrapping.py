"""Sealing one key under another: 32 bytes under 32 bytes, bound to what they are for.

Each time under a key of its own, derived from the sealing one and 16 random bytes, so that how often it
may seal is no question (with random nonces AES-GCM ends at 2^32). Layout: salt (16), ciphertext (32),
tag (16).
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from objstore.encryption.stream import KEY_BYTES, SALT_BYTES, TAG_BYTES, derived_key

WRAPPED_BYTES: Final = SALT_BYTES + KEY_BYTES + TAG_BYTES
_WRAP: Final = b"objstore wrap 1"
_NONCE: Final = bytes(12)
"""Each derived key seals once, so that its nonce need not change."""


class WrapBroken(Exception):
    """Sealed under another key, for something else, or damaged."""


def wrap(key: bytes, under: bytes, context: bytes) -> bytes:
    """`key`, to be had again only with `under` and `context`."""
    salt = os.urandom(SALT_BYTES)
    return salt + AESGCM(derived_key(under, salt, _WRAP)).encrypt(_NONCE, key, context)


def unwrap(wrapped: bytes, under: bytes, context: bytes) -> bytes:
    """The key that was sealed. Raises WrapBroken."""
    if len(wrapped) != WRAPPED_BYTES:
        raise WrapBroken("not a sealed key")
    salt, sealed = wrapped[:SALT_BYTES], wrapped[SALT_BYTES:]
    try:
        return AESGCM(derived_key(under, salt, _WRAP)).decrypt(_NONCE, sealed, context)
    except InvalidTag:
        raise WrapBroken("sealed under another key, for something else, or damaged") from None
