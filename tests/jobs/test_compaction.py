"""Compaction: packs that are mostly dead are rewritten, and no wanted byte goes with them."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from objstore import clock
from objstore.jobs.compaction import Compaction
from objstore.meta import queries
from objstore.meta.interface import Conflict
from objstore.model import BlobRef
from objstore.storage.interface import Compactable
from tests.jobs.fakes import QUICK, START_MS, FakePacks, LocalMetadata, at_full_speed, shared_state


class Scene:
    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        self.metadata = LocalMetadata()
        self.store = FakePacks()
        self.shared = shared_state(path / "state")
        self._advance = advance
        self.job = self.new_job()

    def new_job(self) -> Compaction:
        return Compaction(
            self.metadata.metadata, cast(Compactable, self.store), self.shared, QUICK, at_full_speed()
        )

    def run(self, times: int = 1) -> None:
        for _ in range(times):
            asyncio.run(self.job.run())
            self._advance(31_000)

    def wait(self, seconds: int) -> None:
        self._advance(seconds * 1000)

    def pack(self, pack: int, *, live: int, dead: int) -> list[BlobRef]:
        """A pack with so many blobs that objects refer to, and so many deleted ones."""
        refs = [self.store.blob(pack) for _ in range(live)]
        for ref in refs:
            self.metadata.name(ref)
        for _ in range(dead):
            self.store.blob(pack, is_dead=True)
        return refs

    def where(self, refs: list[BlobRef]) -> set[int]:
        lying = self.metadata.ask(queries.blobs_lying, [ref.id for ref in refs])
        assert len(lying) == len(refs)
        packs = {ref.locator[0] for ref in lying.values()}
        assert all(ref.id in self.store.packs_[ref.locator[0]] for ref in lying.values()), "lost bytes"
        return packs


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        yield Scene(tmp_path, advance)


def test_a_mostly_dead_pack_is_emptied_then_checked_then_removed(scene: Scene) -> None:
    refs = scene.pack(1, live=100, dead=101)
    scene.run()
    assert scene.where(refs) == {FakePacks.OPEN} and 1 in scene.store.packs_
    scene.run()
    assert 1 in scene.store.packs_, "readers may still hold its places"
    scene.run()
    assert 1 not in scene.store.packs_ and scene.where(refs) == {FakePacks.OPEN}


def test_a_pack_that_is_half_alive_or_still_open_stays(scene: Scene) -> None:
    refs = scene.pack(1, live=5, dead=5) + scene.pack(FakePacks.OPEN, live=1, dead=9)
    scene.run(4)
    assert scene.where(refs) == {1, FakePacks.OPEN} and set(scene.store.packs_) == {1, FakePacks.OPEN}


def test_a_wholly_dead_pack_goes(scene: Scene) -> None:
    scene.pack(1, live=0, dead=3)
    scene.run(2)
    assert not scene.store.packs_


def test_a_blob_that_the_metadata_does_not_know_keeps_its_pack(scene: Scene) -> None:
    """Its commit may be on its way."""
    scene.pack(1, live=1, dead=5)
    coming = scene.store.blob(1)
    scene.run(5)
    assert 1 in scene.store.packs_
    scene.metadata.name(coming)
    scene.run(3)
    assert 1 not in scene.store.packs_ and scene.where([coming]) == {FakePacks.OPEN}


def test_a_wrong_entry_among_the_dead_deletes_nothing(scene: Scene) -> None:
    wrong = scene.store.blob(1, is_dead=True)
    scene.metadata.name(wrong)
    scene.run(4)
    assert scene.where([wrong]) == {FakePacks.OPEN} and 1 not in scene.store.packs_


def test_garbage_moves_too_until_its_time_comes(scene: Scene) -> None:
    (ref,) = scene.pack(1, live=1, dead=5)
    scene.metadata.drop(ref.id.hex())
    scene.run(4)
    assert 1 not in scene.store.packs_ and scene.where([ref]) == {FakePacks.OPEN}


def test_a_read_under_way_keeps_the_pack(scene: Scene) -> None:
    scene.shared.set_oldest_read(0, clock.now_ms())
    scene.pack(1, live=1, dead=5)
    scene.run(5)
    assert 1 in scene.store.packs_
    scene.shared.set_oldest_read(0, 0)
    scene.run()
    assert 1 not in scene.store.packs_


def test_a_blob_that_moves_meanwhile_keeps_the_pack_until_it_is_looked_at_again(scene: Scene) -> None:
    refs = scene.pack(1, live=2, dead=5)

    def refuse(command: object) -> None:
        scene.metadata.fail = lambda command: None
        raise Conflict("moved")

    scene.metadata.fail = refuse
    scene.run()
    assert scene.where(refs) == {1, FakePacks.OPEN}
    scene.run(3)
    assert scene.where(refs) == {FakePacks.OPEN} and 1 not in scene.store.packs_


def test_a_shard_that_cannot_be_copied_is_queued_for_repair_and_keeps_the_pack(scene: Scene) -> None:
    refs = scene.pack(1, live=2, dead=5)
    scene.store.unreadable.add(refs[0].id)
    scene.run(4)
    assert 1 in scene.store.packs_
    assert [repair.blob_id for repair in scene.metadata.ask(queries.repairs_due, 2**60)] == [refs[0].id]


def test_a_damaged_pack_is_left_alone_and_others_are_not(scene: Scene) -> None:
    scene.pack(1, live=0, dead=5)
    scene.pack(2, live=1, dead=5)
    scene.store.damaged.add(1)
    scene.run(4)
    assert set(scene.store.packs_) == {1, FakePacks.OPEN}


def _week_later(scene: Scene) -> None:
    scene.wait(7 * 86_400)
    for _ in range(4):
        scene.run()
        scene.wait(3600)


def test_a_damaged_pack_goes_when_every_blob_there_is_was_asked_a_week_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: clock.now_ms() / 1000)
    refs = scene.pack(1, live=2, dead=5)
    scene.metadata.drop(refs[1].id.hex())
    scene.store.damaged.add(1)
    scene.store.hidden.update(ref.id for ref in refs)
    scene.run(4)
    scene.wait(2 * 86_400)
    scene.run(4)
    assert scene.where(refs) == {1}
    scene.wait(5 * 86_400)
    scene.run()
    assert scene.where(refs) == {FakePacks.OPEN} and 1 in scene.store.packs_
    for _ in range(3):
        scene.wait(3600)
        scene.run()
    assert 1 not in scene.store.packs_ and scene.where(refs) == {FakePacks.OPEN}


def test_damage_in_a_pack_takes_no_blob_that_the_metadata_does_not_know(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: clock.now_ms() / 1000)
    scene.pack(1, live=0, dead=5)
    scene.store.damaged.add(1)
    unknown = scene.store.blob(1)
    _week_later(scene)
    assert unknown.id in scene.store.packs_[1]
    scene.store.packs_[1][unknown.id] = True  # the scan for orphans has judged it
    _week_later(scene)
    assert 1 not in scene.store.packs_


def test_a_restart_checks_again_before_it_removes(scene: Scene) -> None:
    scene.pack(1, live=1, dead=5)
    scene.run(2)
    scene.job = scene.new_job()
    scene.run()
    assert 1 in scene.store.packs_
    scene.run()
    assert 1 not in scene.store.packs_
