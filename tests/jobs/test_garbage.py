"""Garbage: what a commit let go of is deleted in time, and nothing else ever."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from objstore import clock
from objstore.jobs.garbage import READ_HONOURED_S, Garbage
from objstore.jobs.moving import Turns
from objstore.meta import queries
from objstore.meta.commands import AbortUpload, CreateUpload, MoveBlob, PutPart
from objstore.meta.interface import Unavailable
from objstore.model import Attributes, BlobRef, Part
from objstore.storage.interface import DriveState, StorageError
from tests.jobs.fakes import OWNER, QUICK, START_MS, FakeStore, LocalMetadata, shared_state


class Scene:
    def __init__(self, path: Path) -> None:
        self.metadata = LocalMetadata()
        self.store = FakeStore()
        self.shared = shared_state(path / "state")
        self.job = Garbage(self.metadata.metadata, self.store, self.shared, QUICK)

    def run(self) -> float:
        return asyncio.run(self.job.run())

    def deleted_object(self) -> BlobRef:
        ref = self.store.blob()
        self.metadata.drop(self.metadata.name(ref))
        return ref

    @property
    def waiting(self) -> int:
        return self.metadata.ask(queries.counts).garbage


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        made = Scene(tmp_path)
        made.advance = advance  # type: ignore[attr-defined]
        yield made


def advance(scene: Scene, seconds: float) -> None:
    scene.advance(int(seconds * 1000))  # type: ignore[attr-defined]


def test_bytes_of_a_deleted_object_go_after_the_grace_period(scene: Scene) -> None:
    ref, kept = scene.deleted_object(), scene.store.blob()
    scene.metadata.name(kept)
    advance(scene, 29)
    scene.run()
    assert scene.store.good_shards(ref) == 6 and scene.waiting == 1
    advance(scene, 2)
    assert scene.run() <= 30, "space must be back within a minute of the deletion"
    assert scene.store.good_shards(ref) == 0 and scene.waiting == 0
    assert scene.store.good_shards(kept) == 6


def test_bytes_stay_while_a_read_that_began_before_the_deletion_is_under_way(scene: Scene) -> None:
    scene.shared.set_oldest_read(3, clock.now_ms())
    ref = scene.deleted_object()
    advance(scene, 600)
    scene.run()
    assert scene.store.good_shards(ref) == 6
    scene.shared.set_oldest_read(3, 0)
    scene.run()
    assert scene.store.good_shards(ref) == 0


def test_a_read_that_began_after_the_deletion_keeps_nothing(scene: Scene) -> None:
    ref = scene.deleted_object()
    advance(scene, 20)
    scene.shared.set_oldest_read(0, clock.now_ms())
    advance(scene, 20)
    scene.run()
    assert scene.store.good_shards(ref) == 0


def test_a_read_that_never_ends_does_not_keep_bytes_for_ever(scene: Scene) -> None:
    scene.shared.set_oldest_read(0, clock.now_ms())
    advance(scene, 10)
    ref = scene.deleted_object()
    advance(scene, READ_HONOURED_S + 20)
    scene.run()
    assert scene.store.good_shards(ref) == 0


def test_a_read_that_never_ends_takes_no_bytes_from_those_that_began_later(scene: Scene) -> None:
    """A worker tells of its oldest read alone: behind one that hangs there may be others, an hour old."""
    scene.shared.set_oldest_read(0, clock.now_ms())
    advance(scene, READ_HONOURED_S)
    ref = scene.deleted_object()
    advance(scene, 3600)
    scene.run()
    assert scene.store.good_shards(ref) == 6


def test_what_is_moved_while_it_is_deleted_is_deleted_where_it_lies_then(scene: Scene) -> None:
    """Compaction moves garbage, too: its packs are the ones that are mostly dead."""
    spare = scene.store.add_drive()
    ref = scene.deleted_object()
    moved = BlobRef(ref.id, ref.size, bytes([spare.number]) + ref.locator[1:])

    def move(_: BlobRef) -> None:
        scene.store.on_delete = lambda ref: None
        spare.shards[ref.id, 0] = True
        scene.metadata.apply(MoveBlob(ref.id, ref.locator, moved.locator))

    scene.store.on_delete = move
    advance(scene, 31)
    scene.run()
    assert scene.waiting == 1 and scene.store.good_shards(moved) == 1
    scene.run()
    assert scene.waiting == 0 and scene.store.good_shards(moved) == 0


def test_what_is_being_mended_is_deleted_after(scene: Scene) -> None:
    turns = Turns()
    scene.job = Garbage(scene.metadata.metadata, scene.store, scene.shared, QUICK, turns)
    ref = scene.deleted_object()
    advance(scene, 31)

    async def main() -> None:
        async with turns.of(ref.id):
            running = asyncio.create_task(scene.job.run())
            for _ in range(20):
                await asyncio.sleep(0)
            assert scene.store.good_shards(ref) == 6 and scene.waiting == 1
        await running

    asyncio.run(main())
    assert scene.store.good_shards(ref) == 0 and scene.waiting == 0


def test_a_tombstone_stays_until_a_drive_that_was_away_is_cleared(scene: Scene) -> None:
    away = scene.store.drives[2]
    ref = scene.store.blob()
    key = scene.metadata.name(ref)
    away.state = DriveState.OFFLINE
    scene.metadata.drop(key)
    advance(scene, 31)
    scene.run()
    assert scene.waiting == 1 and list(away.shards) == [(ref.id, 2)]
    others = [scene.deleted_object() for _ in range(3)]
    advance(scene, 31)
    scene.run()
    assert scene.waiting == 1, "what cannot be cleared holds nothing else up"
    assert not any(map(scene.store.good_shards, others))
    tries = len(scene.store.deleted)
    scene.run()
    assert len(scene.store.deleted) == tries, "and is not tried all the time"
    away.state = DriveState.ONLINE
    scene.run()
    assert scene.waiting == 0 and not away.shards


def test_a_blob_that_cannot_be_deleted_holds_no_other_up(scene: Scene) -> None:
    refs = [scene.deleted_object() for _ in range(5)]

    def fail(ref: BlobRef) -> None:
        if ref == refs[2]:
            raise StorageError("no")

    scene.store.on_delete = fail
    advance(scene, 31)
    scene.run()
    assert [scene.store.good_shards(ref) for ref in refs] == [0, 0, 6, 0, 0]
    assert scene.waiting == 1


def test_what_a_lost_ledger_did_not_hear_is_forgotten_the_next_time(scene: Scene) -> None:
    ref = scene.deleted_object()
    advance(scene, 31)

    def fail(command: object) -> None:
        raise Unavailable("no ledger")

    scene.metadata.fail = fail
    with pytest.raises(Unavailable):
        scene.run()
    assert scene.store.good_shards(ref) == 0 and scene.waiting == 1
    scene.metadata.fail = lambda command: None
    scene.run()
    assert scene.waiting == 0


def test_many_pages_of_garbage_go_in_one_run(scene: Scene) -> None:
    for _ in range(600):
        scene.deleted_object()
    advance(scene, 31)
    scene.run()
    assert scene.waiting == 0 and not any(drive.shards for drive in scene.store.drives.values())


def test_parts_of_an_aborted_upload_become_garbage_and_go(scene: Scene) -> None:
    apply, bucket_id = scene.metadata.apply, scene.metadata.bucket_id
    apply(CreateUpload(bucket_id, "key", "upload", OWNER, Attributes()))
    refs = [scene.store.blob() for _ in range(3)]
    for number, ref in enumerate(refs, 1):
        apply(PutPart(bucket_id, "key", "upload", Part(number, ref.size, "etag", 0, blob=ref)))
    scene.shared.set_oldest_read(3, clock.now_ms())
    apply(AbortUpload(bucket_id, "key", "upload"))
    advance(scene, 6)
    scene.run()
    assert scene.metadata.ask(queries.counts).dropped_uploads == 1, "a read may be looking them up"
    scene.shared.set_oldest_read(3, 0)
    scene.run()
    assert scene.waiting == 3 and scene.metadata.ask(queries.counts).dropped_uploads == 0
    advance(scene, 31)
    scene.run()
    assert scene.waiting == 0 and not any(map(scene.store.good_shards, refs))
