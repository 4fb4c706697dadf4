"""The server's own master keys: in the metadata, each version sealed under the deployment's key file.

So they share the metadata's fate (every surviving drive brings them back) and are worth nothing without
the key file. Looked up once per name and configuration epoch: a key that is rotated or disabled is so for
every process with its next request.

What is sealed: 4 bytes big-endian with the version, and what `wrapping.wrap` makes.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore.encryption import wrapping
from objstore.encryption.provider import (
    KeyStatus,
    KmsKeyDisabled,
    KmsKeyExists,
    KmsKeyMissing,
    KmsKeyUnfit,
)
from objstore.encryption.stream import KEY_BYTES
from objstore.encryption.wrapping import WrapBroken
from objstore.meta import queries
from objstore.meta.commands import AddMasterKey, SetMasterKeyEnabled
from objstore.meta.interface import MasterKeyExists, MasterKeyMissing
from objstore.model import MasterKey

CACHE_MAX: Final = 1000
"""Master keys remembered per process; past it the cache starts anew."""
ROTATE_ATTEMPTS: Final = 5
KEYS_LISTED_MAX: Final = 10_000
KEY_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
KEY_NAME_RULE: Final = "1 to 128 letters, digits, dots, underscores and hyphens are allowed"
_VERSION_BYTES: Final = 4


class KeyNameInvalid(Exception):
    """A key may not be called so; the message says what is allowed."""


class Facts(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def write(self, command: Any) -> Any: ...
    async def read(self, query: Any, *args: Any) -> Any: ...
    def read_now(self, query: Any, *args: Any) -> Any: ...


class Epoch(Protocol):
    """The part of `SharedState` that is used here."""

    @property
    def epoch(self) -> int: ...


class Sealer(Protocol):
    """What seals under the key file: `iam.sealing.Sealer`."""

    def seal(self, secret: str, owner: str) -> bytes: ...
    def open(self, sealed: bytes, owner: str) -> str: ...


@dataclass(frozen=True, slots=True)
class _Key:
    """All versions of one master key, opened; the n-th is version n."""

    secrets: tuple[bytes, ...]
    is_enabled: bool

    def __repr__(self) -> str:
        return f"_Key({len(self.secrets)} versions)"


class Keyring:
    """The master keys of one deployment, as one process sees them: a KeyKeeper."""

    def __init__(self, facts: Facts, sealer: Sealer, shared: Epoch) -> None:
        self._facts = facts
        self._sealer = sealer
        self._shared = shared
        self._known: dict[str, _Key] = {}
        self._epoch = -1

    # Sealing and opening: nothing of it waits.

    async def wrap(self, name: str, key: bytes, context: bytes) -> bytes:
        """See KeyProvider. Raises Unavailable, and SealBroken when the key file is not the deployment's."""
        return self.wrap_now(name, key, context)

    def wrap_now(self, name: str, key: bytes, context: bytes) -> bytes:
        """The same, without waiting."""
        secrets = self._usable(name).secrets
        return len(secrets).to_bytes(_VERSION_BYTES) + wrapping.wrap(key, secrets[-1], context)

    async def unwrap(self, name: str, wrapped: bytes, context: bytes) -> bytes:
        """See KeyProvider."""
        return self.unwrap_now(name, wrapped, context)

    def unwrap_now(self, name: str, wrapped: bytes, context: bytes) -> bytes:
        """The same, without waiting."""
        secrets = self._usable(name).secrets
        version = self.version_of(wrapped)
        if not 1 <= version <= len(secrets):
            raise KmsKeyUnfit(f"key {name} has no version {version}")
        try:
            return wrapping.unwrap(wrapped[_VERSION_BYTES:], secrets[version - 1], context)
        except WrapBroken as exc:
            raise KmsKeyUnfit(f"key {name}: {exc}") from None

    async def newest_version(self, name: str) -> int:
        """See KeyProvider."""
        return len(self._usable(name).secrets)

    def version_of(self, wrapped: bytes) -> int:
        """See KeyProvider."""
        if len(wrapped) != _VERSION_BYTES + wrapping.WRAPPED_BYTES:
            raise KmsKeyUnfit("not a sealed key")
        return int.from_bytes(wrapped[:_VERSION_BYTES])

    async def close(self) -> None:
        """Nothing is held."""

    def _usable(self, name: str) -> _Key:
        key = self._find(name)
        if key is None:
            raise KmsKeyMissing(f"Key '{name}' does not exist")
        if not key.is_enabled:
            raise KmsKeyDisabled(f"{name} is disabled.")
        return key

    def _find(self, name: str) -> _Key | None:
        epoch = self._shared.epoch  # read before the rows: what is read later can only be newer
        if epoch != self._epoch or len(self._known) >= CACHE_MAX:
            self._known.clear()
            self._epoch = epoch
        key = self._known.get(name)
        if key is None:
            versions: Sequence[MasterKey] = self._facts.read_now(queries.master_key, name)
            if not versions:
                return None
            secrets = tuple(self._opened(version) for version in versions)
            key = self._known[name] = _Key(secrets, versions[-1].is_enabled)
        return key

    def _opened(self, key: MasterKey) -> bytes:
        return bytes.fromhex(self._sealer.open(key.secret_sealed, seal_owner(key.name, key.version)))

    # Keeping: what operators do, and the server itself for the keys it needs.

    async def create(self, name: str) -> KeyStatus:
        """Make a key of random bits. Raises KmsKeyExists, KeyNameInvalid; Unavailable."""
        check_key_name(name)
        try:
            return _status([await self._add_version(name, 1)])
        except MasterKeyExists:
            raise KmsKeyExists(f"there is a key {name} already") from None

    async def provide(self, name: str) -> None:
        """See to it that there is a key of this name."""
        try:
            await self._add_version(name, 1)
        except MasterKeyExists:
            self._known.pop(name, None)

    async def rotate(self, name: str) -> KeyStatus:
        """See KeyKeeper. What is sealed under older versions stays so until it is sealed anew."""
        for _ in range(ROTATE_ATTEMPTS):
            versions: Sequence[MasterKey] = await self._facts.read(queries.master_key, name)
            if not versions:
                break
            try:
                return _status([*versions, await self._add_version(name, len(versions) + 1)])
            except MasterKeyExists:  # someone else rotated it meanwhile
                continue
        raise KmsKeyMissing(f"there is no key {name}")

    async def set_enabled(self, name: str, is_enabled: bool) -> None:
        """See KeyKeeper: the next request anywhere sees it."""
        try:
            await self._facts.write(SetMasterKeyEnabled(name, is_enabled))
        except MasterKeyMissing:
            raise KmsKeyMissing(f"there is no key {name}") from None

    async def list(self) -> Sequence[KeyStatus]:
        """See KeyKeeper: up to 10,000 versions of keys."""
        found: Sequence[MasterKey] = await self._facts.read(queries.master_keys, "", KEYS_LISTED_MAX)
        by_name: dict[str, list[MasterKey]] = {}
        for version in found:
            by_name.setdefault(version.name, []).append(version)
        return [_status(versions) for versions in by_name.values()]

    async def _add_version(self, name: str, version: int) -> MasterKey:
        secret = os.urandom(KEY_BYTES)
        sealed = self._sealer.seal(secret.hex(), seal_owner(name, version))
        added: MasterKey = await self._facts.write(AddMasterKey(name, version, sealed))
        self._known.pop(name, None)
        return added


def check_key_name(name: str) -> None:
    """Raise KeyNameInvalid for what no key may be called."""
    if not KEY_NAME.fullmatch(name):
        raise KeyNameInvalid(f"{name!r} is no name of a key; {KEY_NAME_RULE}")


def seal_owner(name: str, version: int) -> str:
    """What the sealed secret of a version is bound to."""
    return f"master key {name} {version}"


def _status(versions: Sequence[MasterKey]) -> KeyStatus:
    return KeyStatus(versions[0].name, versions[-1].version, versions[0].created_ms, versions[-1].is_enabled)
