"""Secrets at rest: AES-256-GCM under the deployment's key file.

A sealed secret is bound to its owner (the access key): moved to another row it does not open. Layout:
version 1, 4 bytes that name the key, 12 bytes of random nonce, ciphertext and 16 bytes of tag.
A key seals far fewer than the 2^32 secrets random 96-bit nonces are good for (NIST SP 800-38D, 8.3).
"""

import hashlib
import os
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NAME_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_PREFIX: Final = "objstore-secret-key-1:"


class SealBroken(Exception):
    """Sealed under another key, for another owner, or damaged."""


class Sealer:
    """Seals and opens under one key. The key never shows in its repr."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._aead = AESGCM(key)
        self._name = hashlib.sha256(b"objstore key name\0" + key).digest()[:_NAME_BYTES]
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """One with a new random key."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From the content of a key file. ValueError if it is none."""
        text = text.strip()
        if not text.startswith(_PREFIX):
            raise ValueError(f"a key file holds one line that begins with {_PREFIX}")
        return cls(bytes.fromhex(text.removeprefix(_PREFIX)))

    def to_text(self) -> str:
        """The content of a key file. Secret."""
        return f"{_PREFIX}{self._key.hex()}\n"

    def seal(self, secret: str, owner: str) -> bytes:
        """`secret`, readable only with this key and for this `owner`."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + self._name + nonce + self._aead.encrypt(nonce, secret.encode(), owner.encode())

    def open(self, sealed: bytes, owner: str) -> str:
        """The secret that was sealed for `owner`. Raises SealBroken."""
        body = len(_VERSION) + _NAME_BYTES
        if sealed[:1] != _VERSION or len(sealed) <= body + _NONCE_BYTES:
            raise SealBroken("not a sealed secret of a version this server knows")
        if sealed[1:body] != self._name:
            raise SealBroken("sealed under another key file")
        nonce, ciphertext = sealed[body : body + _NONCE_BYTES], sealed[body + _NONCE_BYTES :]
        try:
            return self._aead.decrypt(nonce, ciphertext, owner.encode()).decode()
        except InvalidTag:
            raise SealBroken("damaged, or sealed for another owner") from None
