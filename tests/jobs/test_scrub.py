"""Scrub: everything is read once a cycle, over the whole of it, and damage is queued for repair."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from objstore import clock
from objstore.jobs.job import JobSettings
from objstore.jobs.scrub import CYCLE_PART, Scrub
from objstore.meta import queries
from objstore.model import BlobRef
from objstore.storage.interface import BlobCorrupt, DriveState, StoreUnavailable
from tests.jobs.fakes import QUICK, START_MS, FakeStore, LocalMetadata, at_full_speed

Advance = Callable[[int], None]
CYCLE_S = QUICK.scrub_cycle_s


class Scene:
    def __init__(self, count: int = 100) -> None:
        self.metadata = LocalMetadata()
        self.store = FakeStore()
        self.refs = [self.store.blob(size=1_000_000) for _ in range(count)]
        for ref in self.refs:
            self.metadata.name(ref)

    def scrub(self, settings: JobSettings = QUICK) -> Scrub:
        return Scrub(self.metadata.metadata, self.store, settings, at_full_speed())

    @property
    def queued(self) -> dict[bytes, str]:
        return {repair.blob_id: repair.reason for repair in self.metadata.ask(queries.repairs_due, 2**60)}


@pytest.fixture
def advance() -> Iterator[Advance]:
    with clock.held(START_MS) as move_on:
        yield move_on


def test_a_pass_reads_everything_once_and_is_spread_over_the_cycle(advance: Advance) -> None:
    scene = Scene()
    job = scene.scrub()
    counts = []
    for _ in range(10):
        asyncio.run(job.run())
        counts.append(len(scene.store.verified))
        advance(int(CYCLE_S * CYCLE_PART * 100))
    asyncio.run(job.run())
    assert scene.store.verified == sorted(ref.id for ref in scene.refs)
    steps = [after - before for before, after in zip(counts, [*counts[1:], 100], strict=True)]
    assert all(9 <= step <= 11 for step in steps), steps


def test_the_next_pass_begins_when_the_cycle_is_over(advance: Advance) -> None:
    scene = Scene(3)
    job = scene.scrub()
    for _ in range(2):
        asyncio.run(job.run())
        advance(int(CYCLE_S * CYCLE_PART * 1000))
    assert asyncio.run(job.run()) <= 60
    assert len(scene.store.verified) == 3
    advance(int(CYCLE_S * 1000))
    asyncio.run(job.run())
    advance(int(CYCLE_S * 1000))
    asyncio.run(job.run())
    assert len(scene.store.verified) == 6


def test_a_pass_goes_on_after_a_restart(advance: Advance) -> None:
    scene = Scene()
    job = scene.scrub()
    asyncio.run(job.run())
    advance(int(CYCLE_S * 500))
    asyncio.run(job.run())
    job._saved_s = float("-inf")  # a minute later
    asyncio.run(job.run())
    done = len(scene.store.verified)
    assert 40 < done < 70
    advance(int(CYCLE_S * 500))
    asyncio.run(scene.scrub().run())
    again = scene.store.verified[done:]
    assert set(scene.store.verified) == {ref.id for ref in scene.refs}
    assert len(again) <= 100 - done + 1


def test_all_planted_damage_is_found_in_one_pass_and_nothing_else_is_queued(advance: Advance) -> None:
    scene = Scene(50)
    damaged = scene.refs[::7]
    for ref in damaged:
        scene.store.drives[3].shards[ref.id, 3] = False
    job = scene.scrub()
    asyncio.run(job.run())
    advance(int(CYCLE_S * 1000))
    asyncio.run(job.run())
    assert set(scene.queued) == {ref.id for ref in damaged}
    assert set(scene.queued.values()) == {"scrub: 1 bad shards"}


def test_a_drive_that_is_away_fills_no_queue_but_damage_beyond_it_does(advance: Advance) -> None:
    scene = Scene(10)
    scene.store.drives[0].state = DriveState.OFFLINE
    scene.store.drives[1].shards[scene.refs[4].id, 1] = False
    job = scene.scrub()
    asyncio.run(job.run())
    advance(int(CYCLE_S * 1000))
    asyncio.run(job.run())
    assert set(scene.queued) == {scene.refs[4].id}


def test_a_blob_that_cannot_be_read_does_not_stop_the_pass(advance: Advance) -> None:
    scene = Scene(10)

    def fail(ref: BlobRef) -> None:
        if ref.id == scene.refs[4].id:
            raise BlobCorrupt("bad")

    scene.store.on_verify = fail
    job = scene.scrub()
    asyncio.run(job.run())
    advance(int(CYCLE_S * 1000))
    asyncio.run(job.run())
    assert set(scene.queued) == {scene.refs[4].id} and len(scene.store.verified) == 9


def test_a_store_that_stops_ends_the_run_and_the_blob_is_not_passed_over(advance: Advance) -> None:
    scene = Scene(10)
    job = scene.scrub()
    asyncio.run(job.run())
    advance(int(CYCLE_S * 1000))

    def stop(ref: BlobRef) -> None:
        if ref.id == scene.refs[4].id:
            raise StoreUnavailable("stopping")

    scene.store.on_verify = stop
    with pytest.raises(StoreUnavailable):
        asyncio.run(job.run())
    scene.store.on_verify = lambda ref: None
    asyncio.run(job.run())
    assert sorted(scene.store.verified) == sorted(ref.id for ref in scene.refs)


def test_without_a_cycle_nothing_is_read(advance: Advance) -> None:
    scene = Scene(3)
    job = scene.scrub(replace(QUICK, scrub_cycle_s=0))
    asyncio.run(job.run())
    advance(10**9)
    asyncio.run(job.run())
    assert not scene.store.verified


def test_an_empty_store_is_scrubbed_at_once(advance: Advance) -> None:
    scene = Scene(0)
    job = scene.scrub()
    asyncio.run(job.run())
    assert asyncio.run(job.run()) == 60
