"""Users, their access keys, and single values that live as long as the deployment."""

from dataclasses import dataclass
from typing import ClassVar

from objstore.meta import queries
from objstore.meta.interface import (
    AccessKeyMissing,
    Database,
    KeyExists,
    UserExists,
    UserMissing,
    UserNotEmpty,
)
from objstore.model import AccessKey, User


@dataclass(frozen=True, slots=True)
class PutUser:
    """Add a user, or give the user of that id these properties. Returns the user.

    A user that was there keeps `created_ms` and being root. Raises UserExists when another user has
    the name, or the e-mail address (unless empty).
    """

    id: str
    name: str
    display_name: str
    email: str = ""
    is_root: bool = False
    is_enabled: bool = True
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> User:
        for there in (queries.user_by_name(db, self.name), queries.user_by_email(db, self.email)):
            if there is not None and there.id != self.id:
                raise UserExists(name=there.name)
        db.execute(
            "INSERT INTO users (id, name, display_name, email, created_ms, is_root, is_enabled) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, "
            "display_name = excluded.display_name, email = excluded.email, is_enabled = excluded.is_enabled",
            (
                self.id,
                self.name,
                self.display_name,
                self.email,
                now_ms,
                int(self.is_root),
                int(self.is_enabled),
            ),
        )
        user = queries.user_by_id(db, self.id)
        assert user is not None
        return user


@dataclass(frozen=True, slots=True)
class RemoveUser:
    """Remove a user who owns no bucket, with all keys and devices. Raises UserMissing, UserNotEmpty."""

    user_id: str
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        user = queries.user_by_id(db, self.user_id)
        if user is None:
            raise UserMissing(user=self.user_id)
        owned = db.one("SELECT COUNT(*) FROM buckets WHERE owner_id = ?", (self.user_id,))
        assert owned is not None
        if owned[0]:
            raise UserNotEmpty(name=user.name, buckets=owned[0])
        db.execute("DELETE FROM access_keys WHERE user_id = ?", (self.user_id,))
        db.execute("DELETE FROM mfa_devices WHERE user_id = ?", (self.user_id,))
        db.execute("DELETE FROM users WHERE id = ?", (self.user_id,))


@dataclass(frozen=True, slots=True)
class SetUserEnabled:
    """Let a user's keys work, or not. Raises UserMissing."""

    user_id: str
    is_enabled: bool
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        change = (int(self.is_enabled), self.user_id)
        if db.execute("UPDATE users SET is_enabled = ? WHERE id = ?", change) == 0:
            raise UserMissing(user=self.user_id)


@dataclass(frozen=True, slots=True)
class PutAccessKey:
    """Give a user an access key; with `replaces`, the user's own key of that name gets a new secret.

    Returns the key. Raises UserMissing, KeyExists (someone has it, or without `replaces` the user).
    """

    access_key: str
    user_id: str
    secret_sealed: bytes
    replaces: bool = False
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> AccessKey:
        if queries.user_by_id(db, self.user_id) is None:
            raise UserMissing(user=self.user_id)
        there = queries.access_key(db, self.access_key)
        if there is not None and not (self.replaces and there.user_id == self.user_id):
            raise KeyExists(access_key=self.access_key)
        db.execute(
            "INSERT INTO access_keys (access_key, user_id, secret_sealed, created_ms, is_enabled) "
            "VALUES (?, ?, ?, ?, 1) ON CONFLICT (access_key) DO UPDATE SET "
            "secret_sealed = excluded.secret_sealed, is_enabled = 1",
            (self.access_key, self.user_id, self.secret_sealed, now_ms),
        )
        key = queries.access_key(db, self.access_key)
        assert key is not None
        return key


@dataclass(frozen=True, slots=True)
class SetAccessKeyEnabled:
    """Let one access key work, or not. Raises AccessKeyMissing."""

    access_key: str
    is_enabled: bool
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        change = (int(self.is_enabled), self.access_key)
        if db.execute("UPDATE access_keys SET is_enabled = ? WHERE access_key = ?", change) == 0:
            raise AccessKeyMissing(access_key=self.access_key)


@dataclass(frozen=True, slots=True)
class RemoveAccessKey:
    """Remove one access key. Raises AccessKeyMissing."""

    access_key: str
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        if db.execute("DELETE FROM access_keys WHERE access_key = ?", (self.access_key,)) == 0:
            raise AccessKeyMissing(access_key=self.access_key)


@dataclass(frozen=True, slots=True)
class SetState:
    """Keep one small value of the deployment under a name; None removes it (absent is fine)."""

    name: str
    value: bytes | None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        if self.value is None:
            db.execute("DELETE FROM state WHERE name = ?", (self.name,))
            return
        db.execute(
            "INSERT INTO state (name, value) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (self.name, self.value),
        )
