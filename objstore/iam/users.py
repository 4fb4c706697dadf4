"""Accounts and their access keys, as an operator manages them: rules, generated values, the root user."""

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from objstore.iam.keys import Issued, UserInvalid
from objstore.iam.sealing import SealBroken, Sealer
from objstore.meta import commands, queries
from objstore.meta.interface import Refusal, UserMissing
from objstore.model import AccessKey, User

ROOT_NAME: Final = "root"
_ROOT_KEY_STATE: Final = "root-access-key"
"""The name in `state` of the access key the server gave root, so that a new one takes its place."""

_NAME: Final = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")
_USER_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}")
DISPLAY_NAME_MAX: Final = 256
USERS_MAX: Final = 100_000


class RootKeyTaken(Exception):
    """The root access key given to the server belongs to another user."""


class MetadataClient(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def write(self, command: Any) -> Any:
        """Have a command decided and committed; its result."""
        ...

    async def read(self, query: Callable[..., Any], *args: Any) -> Any:
        """What a query finds."""
        ...


def new_user_id() -> str:
    """A canonical id: 64 hexadecimal digits, random."""
    return secrets.token_hex(32)


class Users:
    """Manages users and keys through the ledger. Secrets are sealed before they leave the process."""

    def __init__(self, metadata: MetadataClient, sealer: Sealer) -> None:
        self._metadata = metadata
        self._sealer = sealer

    async def add(
        self,
        name: str,
        issued: Issued,
        *,
        user_id: str | None = None,
        display_name: str | None = None,
        email: str | None = None,
    ) -> User:
        """A new user with a first access key.

        Raises UserInvalid, UserExists (name, id or e-mail is taken), KeyExists; then there is no such user.
        """
        user_id = user_id or new_user_id()
        display_name = name if display_name is None else display_name
        _check("name", name, _NAME, "1 to 64 letters, digits and +=,.@_- are")
        _check("canonical id", user_id, _USER_ID, "1 to 128 letters, digits and ._- are")
        if email:
            _check("e-mail", email, _EMAIL, "an address such as alice@example.org is")
        if len(display_name) > DISPLAY_NAME_MAX or not display_name.isprintable():
            raise UserInvalid(f"display name: up to {DISPLAY_NAME_MAX} printable characters are allowed")
        if await self._metadata.read(queries.user_by_id, user_id) is not None:
            raise UserInvalid(f"canonical id: {user_id!r} is taken; one no other user has is allowed")
        user: User = await self._metadata.write(
            commands.PutUser(id=user_id, name=name, display_name=display_name, email=email or "")
        )
        try:
            await self._put_key(user, issued, replaces=False)
        except Refusal:
            await self._metadata.write(commands.RemoveUser(user_id=user.id))
            raise
        return user

    async def by_name(self, name: str) -> User:
        """The user of that name. Raises UserMissing."""
        user: User | None = await self._metadata.read(queries.user_by_name, name)
        if user is None:
            raise UserMissing(user=name)
        return user

    async def all(self) -> Sequence[User]:
        """Every user, by name."""
        users: Sequence[User] = await self._metadata.read(queries.users, "", USERS_MAX)
        return users

    async def remove(self, name: str) -> None:
        """Remove a user and all keys. Raises UserMissing, UserNotEmpty, UserInvalid for root."""
        user = await self.by_name(name)
        if user.is_root:
            raise UserInvalid("name: root cannot be removed")
        await self._metadata.write(commands.RemoveUser(user_id=user.id))

    async def add_key(self, name: str, issued: Issued) -> None:
        """A further access key for the user of that name. Raises UserMissing, KeyExists."""
        await self._put_key(await self.by_name(name), issued, replaces=False)

    async def keys(self, name: str) -> Sequence[AccessKey]:
        """The access keys of the user of that name. Raises UserMissing."""
        user = await self.by_name(name)
        keys: Sequence[AccessKey] = await self._metadata.read(queries.keys_of, user.id)
        return keys

    async def set_key_enabled(self, access_key: str, is_enabled: bool) -> None:
        """Let a key work, or not, from the next request on. Raises AccessKeyMissing."""
        await self._metadata.write(commands.SetAccessKeyEnabled(access_key=access_key, is_enabled=is_enabled))

    async def remove_key(self, access_key: str) -> None:
        """Remove a key. Raises AccessKeyMissing."""
        await self._metadata.write(commands.RemoveAccessKey(access_key=access_key))

    async def provide_root(self, access_key: str, secret_key: str) -> None:
        """See to it that root exists and has exactly this key of the server's; other keys of root stay.

        Idempotent; writes nothing when nothing changed. Raises RootKeyTaken.
        """
        root: User | None = await self._metadata.read(queries.user_by_name, ROOT_NAME)
        if root is None:
            command = commands.PutUser(
                id=new_user_id(), name=ROOT_NAME, display_name=ROOT_NAME, email="", is_root=True
            )
            root = await self._metadata.write(command)
            assert root is not None
        there: AccessKey | None = await self._metadata.read(queries.access_key, access_key)
        if there is not None and there.user_id != root.id:
            raise RootKeyTaken(f"root_access_key: {access_key!r} is the access key of another user")
        if there is None or not there.is_enabled or not self._opens_to(there, secret_key):
            await self._put_key(root, Issued(access_key, secret_key), replaces=True)
        before = await self._metadata.read(queries.state, _ROOT_KEY_STATE)
        if before == access_key.encode():
            return
        if before is not None and await self._metadata.read(queries.access_key, before.decode()) is not None:
            await self.remove_key(before.decode())
        await self._metadata.write(commands.SetState(name=_ROOT_KEY_STATE, value=access_key.encode()))

    async def _put_key(self, user: User, issued: Issued, *, replaces: bool) -> None:
        await self._metadata.write(
            commands.PutAccessKey(
                access_key=issued.access_key,
                user_id=user.id,
                secret_sealed=self._sealer.seal(issued.secret_key, issued.access_key),
                replaces=replaces,
            )
        )

    def _opens_to(self, key: AccessKey, secret_key: str) -> bool:
        try:
            return self._sealer.open(key.secret_sealed, key.access_key) == secret_key
        except SealBroken:  # sealed under a key file that was lost: it is sealed anew
            return False


def _check(what: str, value: str, pattern: re.Pattern[str], allowed: str) -> None:
    if not pattern.fullmatch(value):
        raise UserInvalid(f"{what}: {value!r} is not allowed; {allowed} allowed")
