"""Restores: a copy comes back and goes again, and the bytes at the tier are never touched by it."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from objstore import clock
from objstore.jobs import restores
from objstore.meta import tiering
from objstore.meta.commands import DeleteVersion, FinishRestore, PutVersion
from objstore.meta.interface import Command, NotArchived, OutcomeUnknown, RestoreUnderWay, Unavailable
from objstore.model import Attributes
from objstore.s3.documents.lifecycle import Filter
from tests.jobs.fakes import OWNER, START_MS
from tests.jobs.tier_scene import DAY_MS, TierScene

BODY = Random(6).randbytes(150_000)
PARTS = (b"1" * 70_000, b"", b"2" * 66_000, b"3" * 10)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[TierScene]:
    monkeypatch.setattr(clock, "monotonic_s", lambda: clock.now_ms() / 1000)
    with clock.held(START_MS) as advance:
        yield TierScene(advance)


def archive(scene: TierScene, key: str = "a", *, in_parts: bool = False) -> bytes:
    """An archived object, and nothing of it here; its bytes."""
    if in_parts:
        scene.put_parts(key, *PARTS)
    else:
        scene.put(key, BODY)
    scene.rule("GLACIER", filter=Filter(prefix=key))
    scene.days(2)
    scene.move()
    scene.clean()
    scene.clean()
    assert scene.version(key).attributes.is_archived
    return b"".join(PARTS) if in_parts else BODY


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_copy_comes_and_goes(scene: TierScene, in_parts: bool) -> None:
    expected = archive(scene, in_parts=in_parts)
    assert scene.ask_back("a", days=2).attributes.is_restore_under_way
    with pytest.raises(RestoreUnderWay):
        scene.ask_back("a")
    scene.check()
    scene.fetch()
    until_ms = scene.version().attributes.restored_until_ms
    assert until_ms is not None and until_ms % DAY_MS == 0
    assert 2 * DAY_MS < until_ms - clock.now_ms() <= 3 * DAY_MS
    assert scene.restored_bytes() == scene.bytes_of(scene.version()) == expected
    scene.assert_nothing_left_over()
    again = scene.ask_back("a", days=5)
    assert again.attributes.restored_until_ms == clock.now_ms() + 5 * DAY_MS
    scene.days(4.9)
    scene.fetch()
    assert scene.restored_bytes() == expected
    scene.days(0.2)
    scene.fetch()
    assert scene.version().attributes.restored_until_ms is None
    assert scene.metadata.ask(tiering.restored_copy, scene.version()) is None
    scene.clean()
    scene.clean()
    assert not scene.lying()[0] and scene.bytes_of(scene.version()) == expected
    scene.assert_nothing_left_over()


def test_only_what_has_an_archive_class_is_asked_back(scene: TierScene) -> None:
    scene.put("a", BODY, attributes=Attributes(storage_class="GLACIER_IR"))
    with pytest.raises(NotArchived):
        scene.ask_back("a")


@pytest.mark.parametrize("in_parts", [False, True])
def test_where_the_class_is_a_label_there_is_nothing_to_fetch(scene: TierScene, in_parts: bool) -> None:
    if in_parts:
        scene.put_parts("a", *PARTS)
    else:
        scene.put("a", BODY)
    scene.rule("DEEP_ARCHIVE", filter=Filter(prefix="a"))
    scene.days(2)
    scene.move()
    before = scene.version()
    scene.ask_back("a")
    scene.fetch()
    assert scene.version().attributes.restored_until_ms is not None
    assert (scene.version().blob, scene.version().upload_id) == (before.blob, before.upload_id)
    scene.assert_nothing_left_over()
    scene.days(4)
    scene.fetch()
    assert scene.version() == before
    scene.assert_nothing_left_over()
    assert not scene.remote.asked


def test_a_version_that_is_restored_is_not_moved_on(scene: TierScene) -> None:
    archive(scene)
    scene.ask_back("a")
    scene.rule("DEEP_ARCHIVE")
    scene.days(1)
    scene.move()
    assert scene.version().attributes.storage_class == "GLACIER"
    scene.fetch()
    scene.days(5)
    scene.fetch()
    scene.move()
    # A class without a tier: a label, and the bytes stay where they are.
    assert scene.version().attributes.storage_class == "DEEP_ARCHIVE"
    assert scene.version().attributes.is_archived and scene.bytes_of(scene.version()) == BODY


def test_a_tier_that_is_down_delays_a_restore(scene: TierScene) -> None:
    archive(scene)
    scene.ask_back("a")
    scene.remote.is_down = True
    for _ in range(5):
        scene.fetch()
        scene.advance(1000)
    assert scene.remote.asked.count("get") < 5, "left alone for a while"
    assert scene.version().attributes.is_restore_under_way
    scene.remote.is_down = False
    scene.days(1)
    scene.fetch()
    assert scene.restored_bytes() == BODY


def test_a_large_one_that_takes_its_time_holds_up_no_other(
    scene: TierScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restores, "LOOK_EVERY_S", 0.01)
    archive(scene)
    archive(scene, "b")
    scene.ask_back("a")
    real = scene.remote.get
    other_is_done = asyncio.Event()

    async def slow(*args: Any, **given: Any) -> Any:
        """The first one that is fetched ends after one that is asked for later."""
        if not scene.remote.asked:
            scene.remote.asked.append("slow")
            scene.ask_back("b")
            await other_is_done.wait()
        async for piece in real(*args, **given):
            yield piece

    def look(command: Command[Any]) -> None:
        if isinstance(command, FinishRestore) and command.key == "b":
            other_is_done.set()

    scene.remote.asked.clear()
    monkeypatch.setattr(scene.remote, "get", slow)
    scene.metadata.fail = look
    scene.fetch()
    monkeypatch.undo()
    assert scene.restored_bytes("a") == scene.restored_bytes("b") == BODY


@pytest.mark.parametrize("is_fetched", [False, True])
@pytest.mark.parametrize("in_parts", [False, True])
def test_the_copy_of_a_version_that_is_gone_goes_too(
    scene: TierScene, in_parts: bool, is_fetched: bool
) -> None:
    archive(scene, in_parts=in_parts)
    scene.ask_back("a")
    if is_fetched:
        scene.fetch()
    if in_parts:
        scene.metadata.apply(DeleteVersion(scene.bucket_id, "a", OWNER))
    else:
        scene.put("a", b"another")  # in its place, with the same version id
    scene.advance(61_000)
    scene.fetch()
    scene.clean()
    scene.clean()
    scene.assert_nothing_left_over()
    assert not scene.metadata.ask(tiering.restores_after, None)
    assert not scene.lying()[1]


def test_a_version_in_the_place_of_one_that_was_asked_back_is_asked_back_itself(scene: TierScene) -> None:
    archive(scene)
    scene.ask_back("a")
    scene.fetch()
    scene.put("a", BODY[::-1])
    scene.days(2)
    scene.move()
    assert scene.version().attributes.is_archived
    scene.ask_back("a")
    scene.check()
    scene.fetch()
    assert scene.restored_bytes() == BODY[::-1]
    scene.clean()
    scene.assert_nothing_left_over()


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_copy_made_of_a_restored_one_outlives_it(scene: TierScene, in_parts: bool) -> None:
    expected = archive(scene, in_parts=in_parts)
    scene.ask_back("a")
    scene.fetch()
    found = scene.metadata.ask(tiering.restored_copy, scene.version())
    assert found is not None
    blob, upload_id = found
    copy = PutVersion(
        scene.bucket_id,
        "copy",
        len(expected),
        "etag",
        OWNER,
        Attributes(),
        blob=blob,
        shares_blob=True,
        upload_id=upload_id,
    )
    scene.metadata.apply(copy)
    scene.check()
    scene.days(5)
    scene.fetch()
    scene.metadata.apply(DeleteVersion(scene.bucket_id, "a", OWNER))
    scene.clean()
    scene.clean()
    assert scene.bytes_of(scene.version("copy")) == expected
    scene.assert_nothing_left_over()


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("in_parts", [False, True])
def test_cut_off_at_any_command_a_restore_is_made_in_the_end(
    scene: TierScene, in_parts: bool, is_committed: bool
) -> None:
    step, was_cut = 0, True
    while was_cut:
        key = f"k{step}"
        expected = archive(scene, key, in_parts=in_parts)
        scene.ask_back(key)
        sent, was_cut = 0, False

        def fail(command: Command[Any], at: int = step) -> None:
            nonlocal sent, was_cut
            sent += 1
            if was_cut:
                raise Unavailable("dead")
            if sent > at:
                was_cut = True
                if is_committed:
                    scene.metadata.apply(command)
                    raise OutcomeUnknown("cut")
                raise Unavailable("cut")

        scene.metadata.fail = fail
        try:
            scene.fetch()
        except (Unavailable, OutcomeUnknown):
            assert was_cut
        scene.metadata.fail = lambda command: None
        scene.check()
        scene.restart()
        scene.fetch()
        assert scene.restored_bytes(key) == scene.bytes_of(scene.version(key)) == expected
        scene.check()
        step += 1
    assert step >= (4 if in_parts else 2)
