"""The wall clock is set a year ahead for a while, and back: what waits for a time does not wait so long.

The ledger's time never goes back: commands get that time, while jobs look at the clock.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from objstore import clock
from objstore.jobs.garbage import Garbage
from objstore.jobs.heal import Heal, Mender, RepairQueue
from objstore.jobs.lock_clock import LockClock
from objstore.jobs.moving import Turns
from objstore.meta import commands, queries, tiering
from objstore.meta.commands import (
    AbortUpload,
    Announced,
    BeginTransition,
    Candidate,
    CreateUpload,
    DeleteVersion,
    IntendTierBlobs,
    PostponeRepair,
    PutVersion,
    QueueRepair,
    SetVersioning,
)
from objstore.meta.commands.times import lie_ahead
from objstore.meta.interface import Command, Locked
from objstore.model import Attributes, BlobRef, ObjectLock, Versioning
from objstore.storage.interface import DriveState
from tests.jobs.fakes import OWNER, QUICK, START_MS, FakeStore, LocalMetadata, R, at_full_speed, shared_state

YEAR_MS = 366 * 86_400_000
TARGET = "arn:aws:s3:::target"


class Ledger(LocalMetadata):
    """Its time never goes back."""

    seen_ms = 0

    def apply(self, command: Command[R]) -> R:
        self.seen_ms = max(self.seen_ms, clock.now_ms())
        result: R = self.db.write(commands.decode(commands.encode(command)), self.seen_ms)
        return result


class Scene:
    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        self.advance = advance
        self.metadata, self.store = Ledger(), FakeStore()
        self.shared = shared_state(path / "state")
        self.garbage = Garbage(self.metadata.metadata, self.store, self.shared, QUICK)

    def leap(self) -> None:
        """Ahead, something is written, and back."""
        self.advance(YEAR_MS)
        self.metadata.apply(SetVersioning(self.metadata.bucket_id, Versioning.ENABLED))
        self.advance(-YEAR_MS)

    def deleted(self) -> BlobRef:
        ref = self.store.blob()
        key = self.metadata.name(ref)
        version = self.metadata.ask(queries.current, self.metadata.bucket_id, key)
        assert version is not None
        self.metadata.apply(DeleteVersion(version.bucket_id, key, OWNER, version.version_id))
        return ref


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        yield Scene(tmp_path, advance)


def test_garbage_goes_after_its_grace(scene: Scene) -> None:
    scene.leap()
    ref = scene.deleted()
    for seconds, shards in ((29, 6), (31, 0)):
        asyncio.run(scene.garbage.run())
        scene.advance(1000 * seconds)
        asyncio.run(scene.garbage.run())
        assert scene.store.good_shards(ref) == shards


def test_a_read_that_began_before_the_clock_was_set_back_keeps_its_bytes(scene: Scene) -> None:
    scene.advance(YEAR_MS)
    scene.shared.set_oldest_read(0, clock.now_ms())
    scene.advance(-YEAR_MS)
    scene.shared.set_oldest_read(1, clock.now_ms())
    ref = scene.deleted()
    for _ in range(2):
        asyncio.run(scene.garbage.run())
        scene.advance(60_000)
    assert scene.store.good_shards(ref) == 6
    scene.shared.set_oldest_read(0, 0)
    scene.shared.set_oldest_read(1, 0)
    asyncio.run(scene.garbage.run())
    assert scene.store.good_shards(ref) == 0


def test_repairs_have_their_turn(scene: Scene) -> None:
    scene.leap()
    metadata, refs = scene.metadata, [scene.store.blob(without=[1]) for _ in range(2)]
    for ref in refs:
        metadata.name(ref)
        metadata.apply(QueueRepair(ref.id, "test"))
    scene.metadata.apply(PostponeRepair(refs[1].id, clock.now_ms() + YEAR_MS))
    asyncio.run(scene.garbage.run())
    mender = Mender(metadata.metadata, scene.store, Turns())
    asyncio.run(RepairQueue(metadata.metadata, scene.store, mender, QUICK, at_full_speed()).run())
    assert metadata.ask(queries.counts).repairs == 0


def test_a_drive_that_vanished_then_is_made_up_for(scene: Scene) -> None:
    metadata, store = scene.metadata.metadata, scene.store
    spare = store.add_drive()
    ref = store.blob()
    scene.metadata.name(ref)
    heal = Heal(metadata, store, Mender(metadata, store, Turns()), QUICK, at_full_speed())
    asyncio.run(heal.run())
    scene.advance(YEAR_MS)
    store.drives[2].state = DriveState.OFFLINE
    asyncio.run(heal.run())
    scene.advance(-YEAR_MS)
    asyncio.run(heal.run())
    scene.advance(1_000_000)
    asyncio.run(heal.run())
    assert (ref.id, 2) in spare.shards


def test_all_that_waits_is_brought_back_and_nothing_else(scene: Scene) -> None:
    scene.leap()
    metadata, bucket_id = scene.metadata, scene.metadata.bucket_id
    for key in ("a", "b", "b"):
        put = PutVersion(bucket_id, key, 0, "etag", OWNER, Attributes(), version_id=clock.new_id().hex())
        metadata.apply(Announced(bucket_id, key, commands.encode(put), (), (Candidate(TARGET),)))
    version: Any = metadata.ask(queries.current, bucket_id, "a")
    metadata.apply(IntendTierBlobs((BlobRef(b"i" * 16, 1, b"\xf7there"),)))
    metadata.apply(BeginTransition(bucket_id, "a", version.version_id, version.sequence, "staging"))
    metadata.apply(CreateUpload(bucket_id, "u", "upload", OWNER, Attributes()))
    metadata.apply(AbortUpload(bucket_id, "u", "upload"))
    assert metadata.ask(queries.replications_due, TARGET, clock.now_ms()) == []
    asyncio.run(scene.garbage._correct_times())
    assert not metadata.ask(lie_ahead, clock.now_ms())
    due = metadata.ask(queries.replications_due, TARGET, clock.now_ms())
    assert [row.key for row in due] == ["a", "b"], "of one key only the oldest"
    later_ms = clock.now_ms() + 1
    assert metadata.ask(tiering.tier_intents, later_ms) and metadata.ask(tiering.transitions_before, later_ms)
    assert metadata.ask(queries.dropped_uploads, "", 10, later_ms) == ["upload"]
    assert metadata.ask(queries.current, bucket_id, "a") == version
    written = len(metadata.written)
    metadata.apply(PostponeRepair(b"none", clock.now_ms() + 600_000))
    asyncio.run(scene.garbage.run())
    assert metadata.written[written:] == [], "and where there is nothing, nothing is written"


def test_locks_end_in_their_own_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.leap()
    now_s = [0.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s[0])
    lock = ObjectLock("COMPLIANCE", clock.now_ms() + 3_600_000)
    put = PutVersion(
        scene.metadata.bucket_id, "key", 0, "etag", OWNER, Attributes(), lock=lock, version_id="v"
    )
    scene.metadata.apply(put)
    delete = DeleteVersion(scene.metadata.bucket_id, "key", OWNER, version_id="v")
    job = LockClock(scene.metadata.metadata)
    for _ in range(59):
        now_s[0] += 60
        scene.advance(60_000)
        asyncio.run(job.run())
        with pytest.raises(Locked):
            scene.metadata.apply(delete)
    scene.advance(60_000)
    assert scene.metadata.apply(delete).existed
