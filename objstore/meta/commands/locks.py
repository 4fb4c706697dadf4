"""Object lock: who may remove or loosen what, by a clock that cannot be set forward.

A retention period must not end because someone, or a broken time server, sets the wall clock to next
year. So retention is judged by the *lock clock*, kept in `state`: it never goes back, never runs ahead
of the wall clock, and moves only by AdvanceLockClock, at most twice as fast as time that a running
process measured on its monotonic clock. A wrong wall clock gains an attacker at most that factor while
it is wrong; after the server was down for a week, the lock clock has caught up a week later, and until
then retention lasts longer, never shorter. It starts with the first lock that is set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from objstore import clock
from objstore.meta.commands.versions import find_version
from objstore.meta.interface import (
    Database,
    Locked,
)
from objstore.meta.rows import pack_lock, pack_tags, unpack_lock
from objstore.model import ObjectLock, ObjectVersion

LOCK_CLOCK: Final = "lock_clock_ms"
LOCK_CLOCK_SLACK_MS: Final = 5 * 60_000
"""How far the wall clock may be ahead of the lock clock and still be believed: the ticks lag a little."""
CATCH_UP: Final = 2
"""How many times as fast as measured time the lock clock may move towards the wall clock."""


def _wall_ms(now_ms: int) -> int:
    """What the wall clock says. A command's time never goes back: had the clock once been set far ahead,
    locks would go by that from then on."""
    return min(now_ms, clock.now_ms())


def lock_now_ms(db: Database, now_ms: int) -> int:
    """The time by which retention is judged."""
    now_ms = _wall_ms(now_ms)
    row = db.one("SELECT value FROM state WHERE name = ?", (LOCK_CLOCK,))
    if row is None:
        return now_ms
    seen_ms = int(row[0])
    return max(seen_ms, min(now_ms, seen_ms + LOCK_CLOCK_SLACK_MS))


def start_lock_clock(db: Database, now_ms: int) -> None:
    """A lock is being set: from now on its clock runs."""
    db.execute(
        "INSERT INTO state (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
        (LOCK_CLOCK, b"%d" % _wall_ms(now_ms)),
    )


def check_removable(
    db: Database, now_ms: int, column: bytes | None, *, bypass_governance: bool, key: str, version_id: str
) -> None:
    """Refuse to destroy a version whose lock column is `column` while it is protected. Raises Locked.

    A legal hold and COMPLIANCE retention hold against everyone; GOVERNANCE unless bypassed.
    """
    lock = unpack_lock(column)
    if lock is None:
        return
    if lock.legal_hold:
        raise Locked(key=key, version_id=version_id)
    if lock.mode is None or (lock.mode == "GOVERNANCE" and bypass_governance):
        return
    if lock.retain_until_ms > lock_now_ms(db, now_ms):
        raise Locked(key=key, version_id=version_id)


def loosens(old: ObjectLock, new: ObjectLock) -> bool:
    """Whether `new` changes more of `old` than to retain longer: another mode, earlier, not at all.

    From GOVERNANCE to COMPLIANCE is another mode, too: it takes from those who may bypass what they may.
    """
    if old.mode is None:
        return False
    return new.mode != old.mode or new.retain_until_ms < old.retain_until_ms


def with_default(lock: ObjectLock | None, default: ObjectLock | None) -> ObjectLock | None:
    """A new version's own lock, with the bucket's default retention where it has no retention itself."""
    if lock is None or default is None:
        return lock or default
    return replace(default, legal_hold=lock.legal_hold) if lock.mode is None else lock


@dataclass(frozen=True, slots=True)
class AdvanceLockClock:
    """`elapsed_ms` have passed on the sender's monotonic clock since it last said so. Send one a minute.

    Writes nothing while no lock was ever set.
    """

    elapsed_ms: int
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        row = db.one("SELECT value FROM state WHERE name = ?", (LOCK_CLOCK,))
        if row is None:
            return
        seen_ms = int(row[0])
        moved_ms = min(_wall_ms(now_ms), seen_ms + CATCH_UP * max(0, self.elapsed_ms))
        if moved_ms > seen_ms:
            db.execute("UPDATE state SET value = ? WHERE name = ?", (b"%d" % moved_ms, LOCK_CLOCK))


@dataclass(frozen=True, slots=True)
class ReplaceAttributes:
    """Replace tags, retention or legal hold of one version; what is None stays. Without version id: the
    current one. `lock` is the retention, and the legal hold where it says one.

    Returns the version as it is now; neither its sequence nor its time changes. Raises BucketMissing,
    KeyMissing or VersionMissing, IsDeleteMarker, and Locked when retention would be loosened: COMPLIANCE
    never, GOVERNANCE only with `bypass_governance`. Legal hold comes and goes freely.
    """

    bucket_id: int
    key: str
    version_id: str | None = None
    tags: Mapping[str, str] | None = None
    lock: ObjectLock | None = None
    legal_hold: bool | None = None
    bypass_governance: bool = False
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion:
        version = find_version(db, self.bucket_id, self.key, self.version_id)
        if self.lock is not None:
            self._check_lock(db, now_ms, version)
        lock = self._new_lock(version.lock)
        where: tuple[object, ...] = (self.bucket_id, self.key.encode(), version.version_id)
        for column, value, is_wanted in (
            ("tags", pack_tags(self.tags or {}), self.tags is not None),
            ("lock", pack_lock(lock), lock != version.lock),
        ):
            for table in ("objects", "history") if is_wanted else ():
                db.execute(
                    f"UPDATE {table} SET {column} = ? WHERE bucket_id = ? AND key = ? AND version_id = ?",
                    (value, *where),
                )
        return find_version(db, self.bucket_id, self.key, version.version_id)

    def _new_lock(self, old: ObjectLock | None) -> ObjectLock | None:
        lock = old or ObjectLock()
        if self.lock is not None:
            hold = lock.legal_hold if self.lock.legal_hold is None else self.lock.legal_hold
            lock = replace(self.lock, legal_hold=hold)
        if self.legal_hold is not None:
            lock = replace(lock, legal_hold=self.legal_hold)
        return None if lock == ObjectLock() else lock

    def _check_lock(self, db: Database, now_ms: int, version: ObjectVersion) -> None:
        assert self.lock is not None
        if self.lock.mode is not None:
            start_lock_clock(db, now_ms)
        old = version.lock
        if old is None or not loosens(old, self.lock):
            return
        if old.mode == "GOVERNANCE" and self.bypass_governance:
            return
        if old.retain_until_ms > lock_now_ms(db, now_ms):
            raise Locked(key=self.key, version_id=version.version_id)
