"""Transitions: bytes go to a tier, and whatever is cut off where, they are never in no place at all."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from objstore import clock
from objstore.meta import queries
from objstore.meta.commands import DeleteVersion, ReplaceAttributes, SetSubresource, SetVersioning
from objstore.meta.interface import Command, OutcomeUnknown, Unavailable
from objstore.model import TIER, Attributes, ObjectLock, ObjectVersion, Versioning
from objstore.remote.tier_store import is_at_tier
from objstore.s3 import xml
from objstore.s3.documents.lifecycle import (
    Expiration,
    Filter,
    LifecycleConfiguration,
    LifecycleRule,
    NoncurrentVersionExpiration,
    NoncurrentVersionTransition,
)
from tests.jobs.fakes import OWNER, START_MS
from tests.jobs.tier_scene import TierScene

BODY = Random(5).randbytes(200_000)
PARTS = (b"1" * 70_000, b"", b"2" * 66_000, b"3" * 10)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[TierScene]:
    monkeypatch.setattr(clock, "monotonic_s", lambda: clock.now_ms() / 1000)
    with clock.held(START_MS) as advance:
        yield TierScene(advance)


def test_a_version_goes_to_the_tier_of_its_class(scene: TierScene) -> None:
    scene.rule("GLACIER", 2)
    before = scene.put("a", BODY)
    scene.days(1)
    scene.move()
    assert scene.version() == before
    scene.days(2)
    scene.move()
    after = scene.version()
    assert after.blob is not None and is_at_tier(after.blob)
    assert after.attributes.storage_class == after.attributes.extra[TIER] == "GLACIER"
    assert (after.sequence, after.modified_ms, after.etag) == (
        before.sequence,
        before.modified_ms,
        before.etag,
    )
    scene.clean()
    assert scene.bytes_of(after) == BODY
    assert not scene.lying()[0]
    scene.assert_nothing_left_over()
    scene.metadata.apply(DeleteVersion(scene.bucket_id, "a", OWNER))
    assert scene.lying()[1], "within the grace"
    scene.clean()
    assert not scene.lying()[1]


def test_parts_go_one_by_one_and_a_copy_that_shares_them_stays(scene: TierScene) -> None:
    scene.rule("GLACIER", filter=Filter(prefix="a"))
    before = scene.put_parts("a", *PARTS)
    scene.put("b", b"", upload_id=before.upload_id)
    scene.days(2)
    scene.move()
    after = scene.version()
    assert after.upload_id not in (None, before.upload_id) and after.parts_count == before.parts_count
    assert scene.bytes_of(after) == b"".join(PARTS)
    scene.clean()
    assert scene.bytes_of(scene.version("b")) == b"".join(PARTS)
    assert len(scene.lying()[0]) == len(scene.lying()[1]) == 3
    scene.metadata.apply(DeleteVersion(scene.bucket_id, "b", OWNER))
    scene.clean()
    scene.clean()
    scene.assert_nothing_left_over()
    assert not scene.lying()[0]


def test_a_class_without_a_tier_is_a_label(scene: TierScene) -> None:
    scene.rule("DEEP_ARCHIVE")
    before = scene.put("a", BODY)
    scene.days(2)
    scene.move()
    after = scene.version()
    assert after.attributes.storage_class == "DEEP_ARCHIVE" and TIER not in after.attributes.extra
    assert after.blob == before.blob and not after.attributes.is_archived
    assert not scene.remote.asked


def test_from_tier_to_tier(scene: TierScene) -> None:
    scene.put("a", BODY)
    scene.rule("STANDARD_IA", 30)
    scene.days(32)
    scene.move()
    first = scene.version()
    assert first.attributes.extra[TIER] == "STANDARD_IA" and not first.attributes.is_archived
    scene.rule("GLACIER", 34)
    scene.days(3)
    scene.move()
    scene.clean()
    after = scene.version()
    assert after.attributes.is_archived and scene.bytes_of(after) == BODY
    assert len(scene.lying()[1]) == 1
    scene.assert_nothing_left_over()


def test_what_was_put_with_a_class_goes_there_too(scene: TierScene) -> None:
    scene.rule("GLACIER")
    scene.put("a", BODY, attributes=Attributes(storage_class="GLACIER"))
    scene.put("b", BODY, attributes=Attributes(storage_class="DEEP_ARCHIVE"))
    assert not scene.version().attributes.is_archived
    scene.days(2)
    scene.move()
    assert scene.version().attributes.is_archived
    assert not scene.version("b").attributes.is_archived
    asked = len(scene.remote.asked)
    scene.restart()
    scene.move()
    assert len(scene.remote.asked) == asked


def test_an_empty_object_has_nothing_to_send(scene: TierScene) -> None:
    scene.rule("GLACIER", filter=Filter(object_size_less_than=10))
    scene.put("a", b"")
    scene.days(2)
    scene.move()
    assert scene.version().attributes.is_archived and not scene.remote.asked


def test_locks_hinder_no_transition_and_expiry_comes_first(scene: TierScene) -> None:
    lock = ObjectLock("COMPLIANCE", START_MS + 10**12)
    scene.put("locked", BODY, lock=lock)
    scene.put("expired", BODY)
    scene.rule("GLACIER", filter=Filter(prefix="locked"))
    scene.days(2)
    scene.move()
    assert scene.version("locked").attributes.is_archived and scene.version("locked").lock == lock
    puts = scene.remote.asked.count("put")
    scene.rule("GLACIER", 1, expiration=Expiration(days=2), filter=Filter(prefix="expired"))
    scene.days(2)
    scene.move()
    assert scene.remote.asked.count("put") == puts


def test_what_is_locked_and_cannot_expire_is_moved(scene: TierScene) -> None:
    scene.metadata.apply(SetVersioning(scene.bucket_id, Versioning.ENABLED))
    lock = ObjectLock("COMPLIANCE", START_MS + 10**12)
    old, free = scene.put("a", BODY, lock=lock), scene.put("a", BODY)
    scene.put("a", BODY)
    rule = LifecycleRule(
        id="r",
        filter=Filter(),
        status="Enabled",
        noncurrent_version_transitions=(
            NoncurrentVersionTransition(noncurrent_days=1, storage_class="GLACIER"),
        ),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=1),
    )
    document = xml.dumps(LifecycleConfiguration(rules=(rule,)))
    scene.metadata.apply(SetSubresource(scene.bucket_id, "lifecycle", document))
    scene.days(3)
    scene.move()
    scene.clean()
    versions = scene.metadata.ask(queries.list_versions, scene.bucket_id).versions
    assert free.version_id not in {version.version_id for version in versions}
    (kept,) = [version for version in versions if version.version_id == old.version_id]
    assert kept.attributes.is_archived and kept.lock == lock


def test_what_changed_meanwhile_stays_and_nothing_is_left_at_the_tier(scene: TierScene) -> None:
    scene.rule("GLACIER")
    scene.put("a", BODY)
    scene.put_parts("b", *PARTS)
    scene.days(2)

    def tagged(data: bytes) -> bytes:
        for key in ("a", "b"):
            new = {"puts": str(scene.remote.asked.count("put"))}
            scene.metadata.apply(ReplaceAttributes(scene.bucket_id, key, tags=new))
        return data

    scene.remote.spoil = tagged
    scene.move()
    assert not scene.version("a").attributes.is_archived and not scene.version("b").attributes.is_archived
    scene.clean()
    scene.clean()
    assert not scene.lying()[1]
    scene.assert_nothing_left_over()
    scene.remote.spoil = lambda data: data
    scene.move()
    assert scene.version("a").attributes.is_archived and scene.version("b").attributes.is_archived


def test_while_the_tier_is_down_versions_wait(scene: TierScene) -> None:
    scene.rule("GLACIER")
    scene.put("a", BODY)
    scene.put_parts("b", *PARTS)
    scene.days(2)
    scene.remote.is_down = True
    for _ in range(1200):
        scene.move()
        scene.advance(1000)
    assert 9 <= scene.remote.asked.count("put") <= 12, "after 2, 4, 8 … 300 seconds"
    assert scene.bytes_of(scene.version("a")) == BODY
    scene.remote.is_down = False
    scene.rule("GLACIER", filter=Filter())  # other rules, so that nothing is waited for
    scene.move()
    scene.rule("GLACIER")
    scene.move()
    assert scene.version("a").attributes.is_archived and scene.version("b").attributes.is_archived
    # What never arrived is known all the same, and given up later.
    scene.advance(2 * 3_600_000)
    scene.restart()
    scene.move()
    scene.clean()
    scene.clean()
    scene.assert_nothing_left_over()


def test_what_was_deleted_while_the_tier_is_down_goes_when_it_is_back(scene: TierScene) -> None:
    scene.rule("GLACIER")
    scene.put("a", BODY)
    scene.days(2)
    scene.move()
    scene.metadata.apply(DeleteVersion(scene.bucket_id, "a", OWNER))
    scene.remote.is_down = True
    scene.clean()
    assert not scene.lying()[0] and len(scene.lying()[1]) == 1
    scene.remote.is_down = False
    scene.clean()
    assert not scene.lying()[1]
    scene.assert_nothing_left_over()


def test_bytes_that_arrive_otherwise_are_not_taken(scene: TierScene) -> None:
    scene.rule("GLACIER")
    scene.put("a", BODY)
    scene.days(2)
    scene.remote.spoil = lambda data: data[:-9]
    scene.move()
    assert not scene.version().attributes.is_archived and scene.bytes_of(scene.version()) == BODY


def test_noncurrent_versions_are_moved_and_their_successor_stays(scene: TierScene) -> None:
    scene.metadata.apply(SetVersioning(scene.bucket_id, Versioning.ENABLED))
    made = [scene.put("a", BODY + bytes([number])) for number in range(3)]
    move = NoncurrentVersionTransition(
        noncurrent_days=1, storage_class="GLACIER", newer_noncurrent_versions=1
    )
    rule = LifecycleRule(id="r", filter=Filter(), status="Enabled", noncurrent_version_transitions=(move,))
    document = xml.dumps(LifecycleConfiguration(rules=(rule,)))
    scene.metadata.apply(SetSubresource(scene.bucket_id, "lifecycle", document))
    scene.days(3)
    scene.move()
    found = [
        scene.metadata.ask(queries.version, scene.bucket_id, "a", version.version_id) for version in made
    ]
    assert [one is not None and one.attributes.is_archived for one in found] == [True, False, False]
    assert found[0] is not None and scene.bytes_of(found[0]) == BODY + b"\0"


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("is_in_parts", [False, True])
def test_cut_off_at_any_command_nothing_is_lost_and_nothing_is_left_over(
    scene: TierScene, is_in_parts: bool, is_committed: bool
) -> None:
    """Each command in turn fails as when the ledger dies, before or after it was committed."""
    step = 0
    while True:
        key = f"k{step}"
        expected = b"".join(PARTS) if is_in_parts else BODY
        scene.rule("GLACIER", filter=Filter(prefix=key))
        version: ObjectVersion = scene.put_parts(key, *PARTS) if is_in_parts else scene.put(key, BODY)
        scene.days(2)
        judge_by_now(scene)
        sent = 0
        was_cut = False

        def fail(command: Command[Any], at: int = step) -> None:
            nonlocal sent, was_cut
            sent += 1
            if sent - 1 < at:
                return
            if not was_cut and is_committed:
                scene.metadata.fail = dead
                scene.metadata.apply(command)
            scene.metadata.fail = dead
            was_cut = True
            raise OutcomeUnknown("cut") if is_committed else Unavailable("cut")

        def dead(command: Command[Any]) -> None:
            raise Unavailable("dead")

        scene.metadata.fail = fail
        try:
            scene.move()
        except (Unavailable, OutcomeUnknown):
            assert was_cut
        scene.metadata.fail = lambda command: None
        scene.check()
        assert scene.bytes_of(scene.version(key)) == expected
        scene.restart()
        scene.move()
        moved = scene.version(key)
        assert moved.attributes.is_archived and moved.sequence == version.sequence
        scene.advance(25 * 3_600_000)
        scene.restart()
        scene.move()
        scene.clean()
        scene.clean()
        assert scene.bytes_of(scene.version(key)) == expected
        scene.assert_nothing_left_over()
        if not was_cut:
            break
        step += 1
    assert step >= (9 if is_in_parts else 2)


def judge_by_now(scene: TierScene) -> None:
    """The lifecycle's own commands are not what is cut off here."""
    asyncio.run(scene.lifecycle.run())
