"""MFA delete in the metadata: what goes only with a device, and which codes count."""

import itertools
from typing import Any

import pytest

from objstore import clock
from objstore.meta import commands, invariants, queries
from objstore.meta.commands.buckets import LIFECYCLE
from objstore.meta.commands.lifecycle import digest_of
from objstore.meta.commands.mfa import DEVICES_MAX, FAILURES_FREE, PAUSE_MS, PAUSE_MS_MAX, pause_ms
from objstore.meta.interface import (
    BucketStateInvalid,
    Command,
    MfaDeviceExists,
    MfaDeviceMissing,
    MfaRequired,
    TooManyMfaDevices,
    UserMissing,
)
from objstore.model import Attributes, Bucket, MfaDelete, ObjectVersion, Versioning
from tests.meta.support.sqlite_database import SqliteDatabase

NOW = 1_000_000


class Facts:
    """A bucket whose owner has a device."""

    def __init__(self) -> None:
        self.db = SqliteDatabase()
        self._ids = map(str, itertools.count(1))
        self.write(commands.PutUser("owner", "olga", "Olga"))
        self.bucket: Bucket = self.write(commands.CreateBucket("bucket", "owner", "here"))
        self.write(commands.AddMfaDevice("serial", "owner", b"sealed"))

    def write(self, command: Command[Any], now_ms: int = NOW) -> Any:
        result = self.db.write(command, now_ms)
        assert not self.db.read(invariants.violations)
        return result

    def state(self) -> MfaDelete:
        bucket = self.db.read(queries.bucket_by_name, "bucket")
        assert bucket is not None
        return bucket.mfa_delete

    def set(self, mfa_delete: MfaDelete | None, *, has_mfa: bool = True) -> None:
        self.write(commands.SetVersioning(self.bucket.id, Versioning.ENABLED, mfa_delete, has_mfa=has_mfa))

    def put(self) -> ObjectVersion:
        version_id = next(self._ids)
        command = commands.PutVersion(
            self.bucket.id, "key", 0, "etag", "owner", Attributes(), version_id=version_id
        )
        version: ObjectVersion = self.write(command)
        return version

    def delete(self, version_id: str | None, *, has_mfa: bool = False) -> None:
        self.write(
            commands.DeleteVersion(
                self.bucket.id, "key", "owner", version_id, next(self._ids), has_mfa=has_mfa
            )
        )

    def set_rules(self, document: bytes | None = b"<rules/>") -> None:
        self.write(commands.SetSubresource(self.bucket.id, LIFECYCLE, document))

    def use(self, step: int | None, now_ms: int = NOW) -> bool:
        return self.write(commands.UseMfaCode("serial", step), now_ms) is True


@pytest.fixture
def facts() -> Facts:
    return Facts()


def test_mfa_delete_is_enabled_and_disabled_with_a_device_alone(facts: Facts) -> None:
    assert facts.state() == MfaDelete.NEVER
    facts.set(MfaDelete.DISABLED, has_mfa=False)
    assert facts.state() == MfaDelete.DISABLED
    with pytest.raises(MfaRequired):
        facts.set(MfaDelete.ENABLED, has_mfa=False)
    facts.set(MfaDelete.ENABLED)
    for mfa_delete in (None, MfaDelete.ENABLED, MfaDelete.DISABLED):
        with pytest.raises(MfaRequired):
            facts.set(mfa_delete, has_mfa=False)
    facts.set(None)
    assert facts.state() == MfaDelete.ENABLED
    facts.set(MfaDelete.DISABLED)
    facts.set(None, has_mfa=False)
    assert facts.state() == MfaDelete.DISABLED


def test_a_version_goes_with_a_device_and_a_marker_comes_without(facts: Facts) -> None:
    facts.set(MfaDelete.ENABLED)
    past, current = facts.put().version_id, facts.put().version_id
    for version_id in (past, current, "unknown"):
        with pytest.raises(MfaRequired):
            facts.delete(version_id)
    facts.delete(None)
    facts.delete(past, has_mfa=True)
    kept = {version.version_id for version in queries.list_versions(facts.db, facts.bucket.id).versions}
    assert current in kept and past not in kept


def test_no_job_deletes_what_only_a_device_lets_go(facts: Facts) -> None:
    facts.set(MfaDelete.ENABLED)
    past, current = facts.put(), facts.put()
    facts.db.execute(  # as no command would leave it
        "INSERT INTO bucket_subresources (bucket_id, kind, document) VALUES (?, 'lifecycle', ?)",
        (facts.bucket.id, b"<rules/>"),
    )
    expire = commands.ExpireVersion(
        facts.bucket.id,
        "key",
        past.version_id,
        past.sequence,
        {},
        digest_of(b"<rules/>"),
        "owner",
        successor=current.sequence,
    )
    with pytest.raises(MfaRequired):
        facts.db.write(expire, NOW)


def test_mfa_delete_and_lifecycle_rules_keep_each_other_out(facts: Facts) -> None:
    facts.set_rules()
    with pytest.raises(BucketStateInvalid):
        facts.set(MfaDelete.ENABLED)
    facts.set(MfaDelete.DISABLED)
    facts.set_rules(None)
    facts.set(MfaDelete.ENABLED)
    with pytest.raises(BucketStateInvalid):
        facts.set_rules()
    facts.set_rules(None)
    facts.write(commands.SetSubresource(facts.bucket.id, "cors", b"<cors/>"))
    assert facts.db.read(queries.subresource, facts.bucket.id, LIFECYCLE) is None


def test_a_code_counts_once_and_none_of_an_earlier_step_after_it(facts: Facts) -> None:
    assert facts.use(100)
    assert not facts.use(100)
    assert not facts.use(99)
    assert facts.use(101)


def test_wrong_codes_in_a_row_make_the_device_pause_longer_and_longer(facts: Facts) -> None:
    for _ in range(FAILURES_FREE):
        assert not facts.use(None)
    assert not facts.use(100, NOW + PAUSE_MS - 1), "not even the right one"
    assert not facts.use(None, NOW + PAUSE_MS)
    assert not facts.use(100, NOW + 3 * PAUSE_MS - 1)
    assert facts.use(100, NOW + 3 * PAUSE_MS)
    assert not facts.use(None, NOW + 3 * PAUSE_MS)
    assert facts.use(101, NOW + 3 * PAUSE_MS), "the count began anew"


def test_a_pause_ends_though_the_clock_was_set_far_ahead_for_a_while(facts: Facts) -> None:
    ahead_ms = NOW + 10**11
    with clock.held(ahead_ms) as advance:
        for _ in range(FAILURES_FREE):
            assert not facts.use(None, ahead_ms)
        advance(NOW - ahead_ms)
        assert not facts.use(None, ahead_ms), "the ledger's time never goes back"
        assert not facts.use(100, ahead_ms)
        advance(2 * PAUSE_MS)
        assert facts.use(100, ahead_ms)


def test_what_is_tried_while_a_device_pauses_does_not_prolong_it(facts: Facts) -> None:
    for _ in range(FAILURES_FREE + 100):
        assert not facts.use(None)
    assert facts.use(100, NOW + PAUSE_MS)


@pytest.mark.parametrize(
    ("failures", "expected_ms"),
    [(0, 0), (FAILURES_FREE - 1, 0), (FAILURES_FREE, PAUSE_MS), (FAILURES_FREE + 2, 4 * PAUSE_MS)]
    + [(FAILURES_FREE + further, PAUSE_MS_MAX) for further in (7, 100, 10**9)],
)
def test_pauses_double_up_to_a_bound(failures: int, expected_ms: int) -> None:
    assert pause_ms(failures) == expected_ms


def test_devices_are_added_and_removed(facts: Facts) -> None:
    with pytest.raises(MfaDeviceExists):
        facts.write(commands.AddMfaDevice("serial", "owner", b"sealed"))
    with pytest.raises(UserMissing):
        facts.write(commands.AddMfaDevice("other", "nobody", b"sealed"))
    for number in range(1, DEVICES_MAX):
        facts.write(commands.AddMfaDevice(f"serial-{number}", "owner", b"sealed"))
    with pytest.raises(TooManyMfaDevices):
        facts.write(commands.AddMfaDevice("one-more", "owner", b"sealed"))
    assert len(facts.db.read(queries.mfa_devices_of, "owner")) == DEVICES_MAX
    facts.write(commands.RemoveMfaDevice("serial"))
    for command in (commands.RemoveMfaDevice("serial"), commands.UseMfaCode("serial", 1)):
        with pytest.raises(MfaDeviceMissing):
            facts.write(command)


def test_devices_go_with_their_user(facts: Facts) -> None:
    facts.write(commands.DeleteBucket("bucket"))
    facts.write(commands.RemoveUser("owner"))
    assert facts.db.read(queries.mfa_device, "serial") is None
