"""Orphans: what a crash left goes, and every doubt saves a blob."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from objstore import clock
from objstore.jobs import orphans
from objstore.jobs.moving import Turns
from objstore.jobs.orphans import ALLOW_STATE, ORPHANS_FREE, ORPHANS_MAX, Orphans, allowance
from objstore.meta import queries
from objstore.meta.commands import SetState
from objstore.model import BlobRef
from objstore.storage.interface import DriveState, StoreUnavailable
from tests.jobs.fakes import QUICK, START_MS, FakeStore, LocalMetadata, at_full_speed, shared_state

DAY_S = 86_400.0


class Scene:
    def __init__(self, path: Path, advance: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clock, "monotonic_s", lambda: clock.now_ms() / 1000)
        self.metadata = LocalMetadata()
        self.store = FakeStore()
        self.shared = shared_state(path / "state")
        self._advance = advance
        self.turns = Turns()
        self.job = self.new_job()
        self.scan()

    def new_job(self) -> Orphans:
        return Orphans(self.metadata.metadata, self.store, self.shared, QUICK, at_full_speed(), self.turns)

    def scan(self) -> None:
        self.wait(asyncio.run(self.job.run()))

    def wait(self, seconds: float) -> None:
        self._advance(int(seconds * 1000))

    def orphan(self, age_s: float = 2 * DAY_S) -> BlobRef:
        return self.store.blob(age_s=age_s)

    def known(self, count: int) -> list[BlobRef]:
        refs = [self.store.blob(age_s=3 * DAY_S) for _ in range(count)]
        for ref in refs:
            self.metadata.name(ref)
        return refs


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        yield Scene(tmp_path, advance, monkeypatch)


def test_an_old_orphan_goes_in_the_second_scan(scene: Scene) -> None:
    orphan, known = scene.orphan(), scene.known(5)
    scene.scan()
    assert scene.store.good_shards(orphan) == 6
    scene.scan()
    assert scene.store.good_shards(orphan) == 0
    assert all(scene.store.good_shards(ref) == 6 for ref in known)


def test_a_young_one_is_left_alone_since_its_commit_may_be_on_its_way(scene: Scene) -> None:
    young = scene.orphan(age_s=DAY_S - 13 * 3600)
    for _ in range(4):  # when it is 11, 17, 23 and 29 hours old
        scene.scan()
    assert scene.store.good_shards(young) == 6
    scene.scan()
    assert scene.store.good_shards(young) == 0


def test_garbage_is_not_an_orphan(scene: Scene) -> None:
    ref = scene.orphan()
    scene.metadata.drop(scene.metadata.name(ref))
    scene.scan()
    scene.scan()
    assert scene.store.good_shards(ref) == 6


def test_scans_too_close_together_are_one(scene: Scene) -> None:
    orphan = scene.orphan()
    asyncio.run(scene.job.run())
    scene.wait(60)
    asyncio.run(scene.job.run())
    assert scene.store.good_shards(orphan) == 6
    scene.wait(3600)
    scene.scan()
    assert scene.store.good_shards(orphan) == 0


def test_a_restart_forgets_the_first_scan(scene: Scene) -> None:
    orphan = scene.orphan()
    scene.scan()
    scene.job = scene.new_job()
    scene.scan()
    scene.scan()
    assert scene.store.good_shards(orphan) == 6
    scene.scan()
    assert scene.store.good_shards(orphan) == 0


def test_one_that_became_known_in_between_is_saved(scene: Scene) -> None:
    orphan = scene.orphan()
    scene.scan()
    scene.metadata.name(orphan)
    scene.scan()
    scene.scan()
    assert scene.store.good_shards(orphan) == 6


def test_the_metadata_is_asked_once_more_right_before_the_deletion(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = scene.orphan()
    scene.scan()
    monkeypatch.setattr(queries, "blobs_known", lambda db, ids: {orphan.id})
    scene.scan()
    assert scene.store.good_shards(orphan) == 6


def test_too_many_orphans_are_a_sign_of_lost_facts_and_none_is_deleted(scene: Scene) -> None:
    scene.known(300)
    orphans = [scene.orphan() for _ in range(11)]
    for _ in range(4):
        scene.scan()
    assert all(scene.store.good_shards(orphan) == 6 for orphan in orphans)


def test_an_operator_may_allow_more_once(scene: Scene) -> None:
    orphans = [scene.orphan() for _ in range(20)]
    scene.scan()
    scene.metadata.apply(SetState(ALLOW_STATE, b"20"))
    scene.scan()
    assert not any(map(scene.store.good_shards, orphans))
    more = [scene.orphan() for _ in range(20)]
    for _ in range(3):
        scene.scan()
    assert all(scene.store.good_shards(orphan) == 6 for orphan in more)


@pytest.mark.parametrize(
    ("blobs", "expected"),
    [(0, ORPHANS_FREE), (500, ORPHANS_FREE), (5_000, 50), (10_000, ORPHANS_MAX), (10**9, ORPHANS_MAX)],
)
def test_allowance_is_a_hundredth_and_never_above_a_hundred(blobs: int, expected: int) -> None:
    assert allowance(blobs) == expected


def test_a_scan_during_which_a_drive_goes_says_nothing(scene: Scene) -> None:
    orphan = scene.orphan()
    listing = scene.store.list

    async def list_and_lose() -> AsyncIterator[BlobRef]:
        async for ref in listing():
            yield ref
        scene.store.drives[5].state = DriveState.OFFLINE

    scene.store.list = list_and_lose  # type: ignore[method-assign]
    scene.scan()
    scene.store.list = listing  # type: ignore[method-assign]
    scene.scan()
    assert scene.store.good_shards(orphan) == 6
    scene.scan()
    assert scene.store.good_shards(orphan) == 1  # on the drive that is away


def test_a_scan_during_which_the_index_is_replaced_says_nothing(scene: Scene) -> None:
    orphan = scene.orphan()
    listing = scene.store.list

    async def list_and_replace() -> AsyncIterator[BlobRef]:
        async for ref in listing():
            yield ref
        scene.shared.set_index_generation(scene.shared.index_generation + 1)

    scene.store.list = list_and_replace  # type: ignore[method-assign]
    for _ in range(4):
        scene.scan()
    assert scene.store.good_shards(orphan) == 6


def test_a_listing_that_fails_deletes_nothing(scene: Scene) -> None:
    orphan = scene.orphan()
    scene.scan()
    listing = scene.store.list

    async def list_and_fail() -> AsyncIterator[BlobRef]:
        async for ref in listing():
            yield ref
        raise StoreUnavailable("stopping")

    scene.store.list = list_and_fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        asyncio.run(scene.job.run())
    assert scene.store.good_shards(orphan) == 6


def surplus(scene: Scene) -> BlobRef:
    """A blob that was mended elsewhere while a drive was away which is back now."""
    extra = scene.store.add_drive()
    (ref,) = scene.known(1)
    extra.shards[ref.id, 2] = True
    return ref


def test_shards_too_many_go_when_the_blob_is_whole_without_them(scene: Scene) -> None:
    ref = surplus(scene)
    scene.scan()
    assert (ref.id, 2) in scene.store.drives[6].shards
    scene.scan()
    assert not scene.store.drives[6].shards and scene.store.good_shards(ref) == 6


def test_shards_too_many_stay_while_their_blob_is_being_mended(scene: Scene) -> None:
    """The mender may be putting a shard just where the one too many lies, and have the metadata name it."""
    ref = surplus(scene)
    scene.scan()

    def shards() -> int:
        return sum(
            (ref.id, shard) in drive.shards for drive in scene.store.drives.values() for shard in range(6)
        )

    async def scan_while_mended() -> None:
        before = shards()
        async with scene.turns.of(ref.id):
            scanning = asyncio.create_task(scene.job.run())
            for _ in range(100):
                await asyncio.sleep(0)
            assert shards() == before
        await scanning
        assert shards() == before - 1

    asyncio.run(scan_while_mended())


def test_shards_too_many_stay_while_they_may_be_needed(scene: Scene) -> None:
    ref = surplus(scene)
    scene.store.drives[2].shards[ref.id, 2] = False
    for _ in range(3):
        scene.scan()
    assert (ref.id, 2) in scene.store.drives[6].shards


def test_the_memory_of_a_scan_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "SUSPECTS_MAX", 5)
    found = [scene.orphan() for _ in range(8)]
    for _ in range(5):
        scene.scan()
    assert not any(map(scene.store.good_shards, found))
