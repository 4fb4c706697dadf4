"""Repair and heal: what can be made whole is, what cannot be decided is left alone, and "healed" is true."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from objstore import clock
from objstore.jobs import walk
from objstore.jobs.heal import UNNAMED_S, Heal, Mender, RepairQueue
from objstore.jobs.job import JobSettings
from objstore.jobs.moving import Turns, move
from objstore.meta import queries
from objstore.meta.commands import QueueRepair
from objstore.meta.interface import Conflict, Unavailable
from objstore.model import BlobRef
from objstore.storage.interface import BlobCorrupt, DriveState, StoreUnavailable, Verification
from tests.jobs.fakes import QUICK, START_MS, FakeStore, LocalMetadata, at_full_speed

Advance = Callable[[int], None]


class Scene:
    """A deployment whose store must never be asked to delete anything."""

    def __init__(self, drives: int = 6) -> None:
        self.metadata = LocalMetadata()
        self.store = FakeStore(drives)
        self.store.on_delete = self._never

    @staticmethod
    def _never(ref: BlobRef) -> None:
        raise AssertionError("healing never deletes")

    def stored(self, count: int = 1, without: tuple[int, ...] = ()) -> list[BlobRef]:
        refs = [self.store.blob(without=without) for _ in range(count)]
        for ref in refs:
            self.metadata.name(ref)
        return refs

    def now(self, ref: BlobRef) -> BlobRef:
        """Where the blob lies now, by the metadata."""
        found = self.metadata.ask(queries.blob, ref.id)
        assert found is not None
        return found

    def good(self, refs: list[BlobRef]) -> list[int]:
        return [self.store.good_shards(self.now(ref)) for ref in refs]

    def queue(self, ref: BlobRef) -> None:
        self.metadata.apply(QueueRepair(ref.id, "test"))

    @property
    def queued(self) -> int:
        return self.metadata.ask(queries.counts).repairs

    def repair(self, settings: JobSettings = QUICK) -> None:
        mender = Mender(self.metadata.metadata, self.store, Turns())
        asyncio.run(RepairQueue(self.metadata.metadata, self.store, mender, settings, at_full_speed()).run())

    def heal(self, settings: JobSettings = QUICK) -> Heal:
        mender = Mender(self.metadata.metadata, self.store, Turns())
        return Heal(self.metadata.metadata, self.store, mender, settings, at_full_speed())


@pytest.fixture
def advance() -> Iterator[Advance]:
    with clock.held(START_MS) as move_on:
        yield move_on


# The repair queue


def test_a_damaged_blob_is_made_whole_and_leaves_the_queue(advance: Advance) -> None:
    scene = Scene()
    (ref,) = scene.stored()
    scene.store.drives[1].shards[ref.id, 1] = False
    scene.queue(ref)
    scene.repair()
    assert scene.good([ref]) == [6] and scene.queued == 0


def test_a_blob_written_without_a_drive_is_completed_on_a_spare_one_and_the_metadata_moves(
    advance: Advance,
) -> None:
    scene = Scene(drives=7)
    (ref,) = scene.stored(without=(5,))
    scene.queue(ref)
    scene.repair()
    assert scene.now(ref).locator != ref.locator
    assert scene.good([ref]) == [6] and scene.queued == 0


def test_damage_reported_while_a_blob_is_mended_stays_queued(advance: Advance) -> None:
    scene = Scene()
    (ref,) = scene.stored()
    scene.store.drives[1].shards[ref.id, 1] = False
    scene.queue(ref)
    scene.store.on_verify = scene.queue
    scene.repair()
    assert scene.queued == 1
    scene.store.on_verify = lambda ref: None
    scene.repair()
    assert scene.queued == 0


def test_two_who_mend_one_blob_at_a_time_leave_all_its_shards(advance: Advance) -> None:
    """The repair queue and a heal walk: the one that comes second must not undo what the first committed."""
    scene = Scene(drives=7)
    (ref,) = scene.stored(without=(5,))
    mender = Mender(scene.metadata.metadata, scene.store, Turns())

    async def both() -> list[object]:
        return await asyncio.gather(mender.mend(ref), mender.mend(ref), return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, Verification) and isinstance(second, Conflict)
    assert scene.good([ref]) == [6]


def test_a_move_that_came_too_late_takes_nothing_away_that_the_blob_now_has(advance: Advance) -> None:
    scene = Scene(drives=7)
    (ref,) = scene.stored(without=(5,))

    async def late() -> None:
        mended = (await scene.store.verify(ref, repair=True)).ref
        await move(scene.metadata.metadata, scene.store, ref, mended)
        with pytest.raises(Conflict):
            await move(scene.metadata.metadata, scene.store, ref, mended)

    asyncio.run(late())
    assert scene.good([ref]) == [6]


def test_what_cannot_be_repaired_waits_longer_each_time_and_blocks_nothing(advance: Advance) -> None:
    scene = Scene()
    lost, mendable = scene.stored(2)
    for number in (0, 1, 2):
        scene.store.drives[number].shards[lost.id, number] = False
    scene.store.drives[5].shards[mendable.id, 5] = False
    scene.queue(lost)
    scene.queue(mendable)
    scene.repair()
    assert scene.good([lost, mendable]) == [3, 6] and scene.queued == 1
    waits = []
    for _ in range(8):
        waited = 0
        while not scene.metadata.ask(queries.repairs_due, clock.now_ms()):
            advance(1000)
            waited += 1
        waits.append(waited)
        scene.repair()
    assert waits == [15, 30, 60, 120, 240, 480, 600, 600]
    for number in (0, 1, 2):
        assert (lost.id, number) in scene.store.drives[number].shards, "nothing is ever deleted"


@pytest.mark.parametrize("failure", [BlobCorrupt("bad"), OSError(5, "I/O error")])
def test_a_blob_whose_verification_fails_is_tried_again_later(advance: Advance, failure: Exception) -> None:
    scene = Scene()
    bad, good = scene.stored(2)
    scene.queue(bad)
    scene.queue(good)

    def fail(ref: BlobRef) -> None:
        if ref.id == bad.id:
            raise failure

    scene.store.on_verify = fail
    scene.repair()
    assert scene.queued == 1
    scene.store.on_verify = lambda ref: None
    advance(15_000)
    scene.repair()
    assert scene.queued == 0


def test_a_blob_not_named_yet_is_waited_for_and_then_given_up(advance: Advance) -> None:
    scene = Scene()
    ref = scene.store.blob(without=(3,))
    scene.queue(ref)
    scene.repair()
    assert scene.queued == 1 and not scene.store.verified
    scene.metadata.name(ref)
    advance(60_000)
    scene.repair()
    assert scene.good([ref]) == [6] and scene.queued == 0
    never = scene.store.blob(without=(3,))
    scene.queue(never)
    advance(int(UNNAMED_S * 1000) + 1)
    scene.repair()
    assert never.id not in scene.store.verified and scene.queued == 0


def test_a_blob_deleted_while_it_is_repaired_is_no_error(advance: Advance) -> None:
    scene = Scene(drives=7)
    (ref,) = scene.stored(without=(5,))
    scene.queue(ref)
    scene.store.on_verify = lambda ref: scene.metadata.db.connection.execute("DELETE FROM blobs") and None
    scene.repair()
    assert scene.queued == 1
    advance(int(UNNAMED_S * 1000) + 60_001)
    scene.repair()
    assert scene.queued == 0


def test_the_most_endangered_are_repaired_first(advance: Advance) -> None:
    scene = Scene(drives=9)
    one, two, none = scene.stored(without=(3,)) + scene.stored(without=(3, 4)) + scene.stored()
    for ref in (none, one, two):
        scene.queue(ref)
    scene.repair()
    assert scene.store.verified == [two.id, one.id, none.id]


def test_blobs_that_only_miss_a_drive_that_is_away_are_not_read_again_and_again(advance: Advance) -> None:
    scene = Scene()
    refs = scene.stored(3)
    scene.store.drives[0].state = DriveState.OFFLINE
    for ref in refs:
        scene.queue(ref)
    for _ in range(6):
        scene.repair()
        advance(3_600_000)
    assert len(scene.store.verified) == 3 and scene.queued == 3
    scene.store.drives[0].state = DriveState.ONLINE
    scene.repair()
    assert scene.queued == 0


def test_a_store_or_a_ledger_that_is_gone_stops_the_run(advance: Advance) -> None:
    scene = Scene()
    (ref,) = scene.stored()
    scene.queue(ref)

    def stop(ref: BlobRef) -> None:
        raise StoreUnavailable("stopping")

    scene.store.on_verify = stop
    with pytest.raises(StoreUnavailable):
        scene.repair()
    assert scene.queued == 1


# Healing when drives come and go


def test_a_new_deployment_needs_no_walk(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(3)
    asyncio.run(scene.heal().run())
    assert not scene.store.verified and scene.good(refs) == [6] * 3


def test_a_new_deployment_that_is_filled_at_once_needs_no_walk_either(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal(replace(QUICK, heal_settle_s=60)).run())
    scene.stored(3)
    asyncio.run(scene.heal().run())
    assert not scene.store.verified


def test_an_empty_drive_in_place_of_a_lost_one_is_filled_and_walked_twice(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(200)
    scene.store.replace(2)
    heal = scene.heal()
    asyncio.run(heal.run())
    assert scene.good(refs) == [6] * 200 and heal.at_risk == 0
    assert sorted(scene.store.verified) == sorted([ref.id for ref in refs] * 2), "the second walk checks"
    scene.store.verified.clear()
    asyncio.run(scene.heal().run())
    assert not scene.store.verified, "healed once is healed after a restart"


def test_two_lost_drives_of_six_heal_and_two_others_may_then_be_lost(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(40)
    for number in (0, 3):
        scene.store.replace(number)
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6] * 40
    for number in (1, 2):
        scene.store.replace(number)
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6] * 40


def test_blobs_at_risk_are_counted_while_a_drive_is_away_and_verified_when_it_is_back(
    advance: Advance,
) -> None:
    scene = Scene()
    heal = scene.heal()
    asyncio.run(heal.run())
    refs = scene.stored(10)
    drive = scene.store.drives[4]
    drive.state = DriveState.FAULTY
    asyncio.run(heal.run())
    assert heal.at_risk == 10 and not scene.store.verified
    meanwhile = scene.stored(5)
    drive.shards.pop((refs[0].id, 4))
    drive.state = DriveState.ONLINE
    asyncio.run(heal.run())
    assert heal.at_risk == 0
    assert scene.good(refs + meanwhile) == [6] * 15


def test_an_absence_is_remembered_over_a_restart(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(4)
    scene.store.drives[4].state = DriveState.OFFLINE
    asyncio.run(scene.heal().run())
    scene.store.drives[4].state = DriveState.ONLINE
    scene.store.drives[4].shards.clear()
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6] * 4


def test_a_drive_that_stays_away_is_made_up_for_on_spare_ones_but_not_at_once(advance: Advance) -> None:
    scene = Scene(drives=8)
    heal = scene.heal()
    asyncio.run(heal.run())
    refs = scene.stored(10)
    scene.store.drives[0].state = DriveState.OFFLINE
    asyncio.run(heal.run())
    advance(899_000)
    asyncio.run(heal.run())
    assert not scene.store.verified
    advance(2_000)
    asyncio.run(heal.run())
    assert heal.at_risk == 0 and scene.good(refs) == [6] * 10
    walked = len(scene.store.verified)
    advance(10_000_000)
    asyncio.run(heal.run())
    assert len(scene.store.verified) == walked, "once"


def test_a_lost_drive_without_spares_costs_no_reading(advance: Advance) -> None:
    scene = Scene()
    heal = scene.heal()
    asyncio.run(heal.run())
    scene.stored(10)
    scene.store.drives[0].state = DriveState.OFFLINE
    asyncio.run(heal.run())
    advance(2_000_000)
    asyncio.run(heal.run())
    assert not scene.store.verified and heal.at_risk == 10 and scene.queued == 0


def test_a_walk_cut_short_by_a_restart_goes_on_where_it_was(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(200)
    scene.store.replace(1)

    def break_down(ref: BlobRef) -> None:
        if len(scene.store.verified) == 100:
            raise StoreUnavailable("the process ends here")

    scene.store.on_verify = break_down
    with pytest.raises(StoreUnavailable):
        asyncio.run(scene.heal().run())
    scene.store.on_verify = lambda ref: None
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6] * 200


def test_a_drive_that_vanishes_during_a_walk_ends_it_without_a_claim(advance: Advance) -> None:
    scene = Scene()
    heal = scene.heal()
    asyncio.run(heal.run())
    refs = scene.stored(200)
    fresh = scene.store.replace(1)

    def pull(ref: BlobRef) -> None:
        if len(scene.store.verified) == 100:
            fresh.state = DriveState.OFFLINE

    scene.store.on_verify = pull
    asyncio.run(heal.run())
    assert min(scene.good(refs)) == 5
    scene.store.on_verify = lambda ref: None
    fresh.state = DriveState.ONLINE
    asyncio.run(heal.run())
    assert scene.good(refs) == [6] * 200 and heal.at_risk == 0


def test_a_blob_that_cannot_be_read_does_not_stop_the_walk_and_stays_queued(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(5)
    for number in (1, 2, 3):
        scene.store.drives[number].shards[refs[2].id, number] = False
    scene.store.replace(0)
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6, 6, 2, 6, 6] and scene.queued == 1


def test_a_drive_must_stay_before_blobs_are_healed_onto_it(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    scene.stored(3)
    scene.store.replace(0)
    asyncio.run(scene.heal(replace(QUICK, heal_settle_s=60)).run())
    assert not scene.store.verified


def test_nothing_is_claimed_when_the_ledger_goes_away(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(3)
    scene.store.replace(0)

    def fail(command: object) -> None:
        raise Unavailable("no ledger")

    scene.metadata.fail = fail
    with pytest.raises(Unavailable):
        asyncio.run(scene.heal().run())
    scene.metadata.fail = lambda command: None
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6] * 3


def test_a_degraded_write_whose_repair_was_lost_in_a_crash_is_found_after_the_restart(
    advance: Advance,
) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    refs = scene.stored(5) + scene.stored(2, without=(3,))
    asyncio.run(scene.heal().run())
    assert scene.good(refs) == [6] * 7 and scene.queued == 0
    assert sorted(set(scene.store.verified)) == sorted(ref.id for ref in refs[5:])


def test_what_is_at_risk_can_be_asked_for(advance: Advance) -> None:
    scene = Scene()
    asyncio.run(scene.heal().run())
    scene.stored(5)
    scene.store.drives[0].state = DriveState.OFFLINE
    asyncio.run(scene.heal().run())
    state = asyncio.run(walk.load(scene.metadata.metadata, Heal.STATE))
    assert state["at_risk"] == 5 and "uuid-0" not in state["healed"]
    scene.store.drives[0].state = DriveState.ONLINE
    asyncio.run(scene.heal().run())
    state = asyncio.run(walk.load(scene.metadata.metadata, Heal.STATE))
    assert state == {"healed": [f"uuid-{i}" for i in range(6)], "away": {}, "at_risk": 0}
