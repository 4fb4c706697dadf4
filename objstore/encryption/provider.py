"""The seam to whoever keeps master keys: the server's own keyring, or a key management service.

A master key never leaves its provider. It has a name and versions; what is sealed says by itself under
which version, and the newest seals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class KmsError(Exception):
    """What a provider can say went wrong; the message may be shown to whoever named the key."""


class KmsKeyMissing(KmsError):
    """There is no key of this name."""


class KmsKeyDisabled(KmsError):
    """An operator disabled the key: nothing is sealed or opened with it until it is enabled again."""


class KmsKeyUnfit(KmsError):
    """The key does not open what it is asked to open: another key or context, or damage."""


class KmsUnavailable(KmsError):
    """The provider cannot be asked now. Nothing is known of the key."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A master key as operators see it."""

    name: str
    newest_version: int
    created_ms: int
    is_enabled: bool


class KeyProvider(Protocol):
    """Seals and opens data keys under named master keys. Every method may raise KmsUnavailable.

    `context` is bound to what is sealed: with another one it does not open.
    """

    async def wrap(self, name: str, key: bytes, context: bytes) -> bytes:
        """`key` (32 bytes) sealed under the newest version. Raises KmsKeyMissing, KmsKeyDisabled."""
        ...

    async def unwrap(self, name: str, wrapped: bytes, context: bytes) -> bytes:
        """The key that was sealed. Raises KmsKeyMissing, KmsKeyDisabled, KmsKeyUnfit."""
        ...

    def unwrap_now(self, name: str, wrapped: bytes, context: bytes) -> bytes | None:
        """The same where it takes no waiting, else None."""
        ...

    async def newest_version(self, name: str) -> int:
        """The version that seals now. Raises KmsKeyMissing."""
        ...

    def version_of(self, wrapped: bytes) -> int:
        """The version that `wrapped` was sealed under. Raises KmsKeyUnfit for what is nothing of ours."""
        ...

    async def close(self) -> None:
        """Release what it holds. Idempotent."""
        ...


class KeyKeeper(KeyProvider, Protocol):
    """A provider whose keys are made and managed here."""

    async def create(self, name: str) -> KeyStatus:
        """Make a key. Raises KmsKeyExists."""
        ...

    async def rotate(self, name: str) -> KeyStatus:
        """Make a new version, which seals from now on; older ones still open. Raises KmsKeyMissing."""
        ...

    async def set_enabled(self, name: str, is_enabled: bool) -> None:
        """Raises KmsKeyMissing."""
        ...

    async def list(self) -> Sequence[KeyStatus]:
        """All keys, by name."""
        ...


class KmsKeyExists(KmsError):
    """The name is taken."""
