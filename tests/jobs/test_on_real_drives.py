"""The jobs on a real store over six directories: bytes come back, space comes back, nothing else changes."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from objstore import clock
from objstore.jobs.compaction import Compaction
from objstore.jobs.garbage import Garbage
from objstore.jobs.heal import Heal, Mender, RepairQueue
from objstore.jobs.moving import Turns
from objstore.jobs.orphans import Orphans
from objstore.jobs.scrub import Scrub
from objstore.meta import queries
from objstore.model import BlobRef
from objstore.shared_state import SharedState
from objstore.storage.drive import open_drives, replace_drive
from objstore.storage.erasure_store import ErasureBlobStore
from objstore.storage.interface import DriveState, Health
from tests.jobs.fakes import QUICK, LocalMetadata, at_full_speed, shared_state

KIB, MIB = 1 << 10, 1 << 20
SIZES = (1, 4 * KIB, 16 * KIB + 1, 100 * KIB, MIB, 3 * MIB + 17)
SETTINGS = replace(QUICK, garbage_grace_s=0)


class Scene:
    """Six drives, a store over them as the jobs process has it, and metadata that outlives the store."""

    def __init__(self, path: Path, seed: int) -> None:
        self.paths = [path / f"d{number}" for number in range(1, 7)]
        for drive in self.paths:
            drive.mkdir()
        self.metadata = LocalMetadata()
        self.shared: SharedState = shared_state(path / "state")
        self.bytes: dict[bytes, bytes] = {}
        self.random = random.Random(seed)
        self.store: ErasureBlobStore

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        drives = open_drives(self.paths, create=(4, 2), reserve_bytes=MIB, probe_interval_s=0.1)
        try:
            self.store = await ErasureBlobStore.open(drives, 4, 2, chunk_bytes=MIB)
            try:
                yield
            finally:
                await self.store.close()
        finally:
            drives.close()

    def run(self, *steps: Callable[[], Awaitable[object]]) -> None:
        """Open the store, do the steps, close it: each call is a restart."""

        async def main() -> None:
            async with self.opened():
                for step in steps:
                    await step()

        asyncio.run(main())

    async def put(self, size: int) -> BlobRef:
        data = self.random.randbytes(size)

        async def source() -> AsyncIterator[bytes]:
            yield data

        ref = await self.store.put(source(), size)
        self.bytes[ref.id] = data
        return ref

    async def fill(self) -> None:
        for size in SIZES * 3:
            self.metadata.name(await self.put(size))

    def refs(self) -> list[BlobRef]:
        return self.metadata.ask(queries.blobs_after, limit=100_000)

    async def check_all(self) -> None:
        """Every blob the metadata knows reads back byte for byte."""
        assert self.refs()
        for ref in self.refs():
            pieces = [bytes(piece) async for piece in self.store.get(ref)]
            assert b"".join(pieces) == self.bytes[ref.id]

    async def check_whole(self) -> None:
        for ref in self.refs():
            assert (await self.store.verify(ref, repair=False)).health == Health.HEALTHY

    def drop_all(self, share: float = 1.0) -> None:
        for ref in self.refs():
            if self.random.random() < share:
                self.metadata.drop(ref.id.hex())

    async def collect(self) -> None:
        await Garbage(self.metadata.metadata, self.store, self.shared, SETTINGS).run()

    async def heal(self) -> None:
        mender = Mender(self.metadata.metadata, self.store, Turns())
        await Heal(self.metadata.metadata, self.store, mender, SETTINGS, at_full_speed()).run()

    async def repair(self) -> None:
        mender = Mender(self.metadata.metadata, self.store, Turns())
        await RepairQueue(self.metadata.metadata, self.store, mender, SETTINGS, at_full_speed()).run()

    async def compact(self) -> None:
        """As often as it takes a pack to be emptied, checked and removed."""
        job = Compaction(self.metadata.metadata, self.store, self.shared, SETTINGS, at_full_speed())
        for _ in range(3):
            await job.run()
            await asyncio.sleep(0.01)

    def shard_files(self) -> list[Path]:
        return [file for path in self.paths for file in (path / "shards").glob("*/*")]

    def packs(self) -> list[Path]:
        return [file for path in self.paths for file in (path / "packs").glob("*.pack")]


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Scene:
    seed = int(os.environ.get("OBJSTORE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"seed of {request.node.name}: {seed} (OBJSTORE_TEST_SEED={seed})")
    return Scene(tmp_path, seed)


def test_space_of_deleted_objects_comes_back_from_files_and_packs(scene: Scene) -> None:
    scene.run(scene.fill)
    assert scene.shard_files() and scene.packs()
    scene.drop_all()
    scene.run(scene.collect, scene.compact)
    assert not scene.shard_files() and not scene.packs()
    assert scene.metadata.ask(queries.counts).garbage == 0


def test_compaction_keeps_every_wanted_byte_and_removes_the_rest(scene: Scene) -> None:
    async def many() -> None:
        for _ in range(150):
            scene.metadata.name(await scene.put(scene.random.randrange(1, 60 * KIB)))

    scene.run(many)
    before = set(scene.packs())
    used = sum(pack.stat().st_size for pack in before)
    scene.drop_all(0.7)
    scene.run(scene.collect, scene.compact, scene.check_all, scene.check_whole)
    after = set(scene.packs())
    assert not before & after
    assert sum(pack.stat().st_size for pack in after) < used / 2
    scene.run(scene.check_all, scene.check_whole)


def test_any_two_drives_replaced_are_healed_and_then_two_others_may_be_lost(scene: Scene) -> None:
    scene.run(scene.fill, scene.heal)
    lost = scene.random.sample(scene.paths, 4)
    for pair in (lost[:2], lost[2:]):
        for path in pair:
            shutil.rmtree(path)
            path.mkdir()
            replace_drive(scene.paths, path)
        scene.run(scene.check_all, scene.heal, scene.check_whole, scene.check_all)


def test_planted_rot_is_found_by_the_scrub_and_made_good_on_the_drive(scene: Scene) -> None:
    scene.run(scene.fill)
    damaged = 0
    for path in scene.random.sample(scene.paths, 2):
        for file in [*(path / "shards").glob("*/*"), *(path / "packs").glob("*.pack")]:
            file.chmod(0o600)
            data = bytearray(file.read_bytes())
            data[scene.random.randrange(64 if file.suffix == ".pack" else 0, len(data))] ^= 1
            file.write_bytes(data)
            damaged += 1
    scrub: Callable[[], Scrub] = lambda: Scrub(  # noqa: E731
        scene.metadata.metadata, scene.store, replace(SETTINGS, scrub_cycle_s=0.001), at_full_speed()
    )

    async def scrub_once() -> None:
        job = scrub()
        await job.run()
        await asyncio.sleep(0.01)
        await job.run()

    scene.run(scrub_once)
    assert 0 < scene.metadata.ask(queries.counts).repairs <= damaged
    scene.run(scene.repair, scene.check_whole, scene.check_all)
    assert scene.metadata.ask(queries.counts).repairs == 0


def test_what_was_deleted_while_a_drive_was_away_is_deleted_there_when_it_is_back(scene: Scene) -> None:
    scene.run(scene.fill)
    away = scene.paths[2]
    parked = away.with_name("parked")
    away.rename(parked)
    scene.drop_all(0.5)
    scene.run(scene.collect, scene.check_all)
    assert scene.metadata.ask(queries.counts).garbage > 0, "the tombstones stay"
    assert list((parked / "shards").glob("*/*"))
    parked.rename(away)
    scene.run(scene.collect, scene.heal, scene.check_all, scene.check_whole)
    assert scene.metadata.ask(queries.counts).garbage == 0
    ids = {ref.id.hex() for ref in scene.refs()}
    assert {file.name.split(".")[0] for file in scene.shard_files()} <= ids


def test_a_drive_that_goes_and_comes_back_under_way_is_noticed_and_healed(scene: Scene) -> None:
    away = scene.paths[4]
    parked = away.with_name("parked")

    async def until(state: DriveState) -> None:
        async with asyncio.timeout(10):
            while state not in [  # noqa: ASYNC110 - drives tell nobody
                drive.state for drive in (await scene.store.status()).drives if drive.path == str(away)
            ]:
                await asyncio.sleep(0.02)

    async def go_and_come_back() -> None:
        mender = Mender(scene.metadata.metadata, scene.store, Turns())
        settings = replace(SETTINGS, heal_settle_s=0.5)
        heal = Heal(scene.metadata.metadata, scene.store, mender, settings, at_full_speed())

        async def heal_steadily() -> None:
            await heal.run()
            await asyncio.sleep(settings.heal_settle_s)
            await heal.run()

        await heal_steadily()
        await scene.fill()
        away.rename(parked)
        await until(DriveState.OFFLINE)
        await heal_steadily()
        before = {ref.id for ref in scene.refs()}
        assert heal.at_risk > 0
        await scene.fill()
        parked.rename(away)
        await until(DriveState.ONLINE)
        await heal_steadily()
        assert heal.at_risk == 0 and len(before) < len(scene.refs())
        await scene.check_whole()

    scene.run(go_and_come_back)


def test_what_a_crash_left_goes_and_everything_named_stays(scene: Scene) -> None:
    async def leave() -> None:
        await scene.fill()
        for size in (4 * KIB, 100 * KIB, 2 * MIB):
            await scene.put(size)

    scene.run(leave)
    now_ms = clock.now_ms()

    async def scan_twice() -> None:
        settings = replace(SETTINGS, orphan_every_s=0)
        job = Orphans(scene.metadata.metadata, scene.store, scene.shared, settings, at_full_speed(), Turns())
        await job.run()
        with clock.held(now_ms + 2 * 86_400_000):
            for _ in range(2):
                await job.run()
                await asyncio.sleep(0.01)
        named = {ref.id for ref in scene.refs()}
        assert {ref.id async for ref in scene.store.list()} == named
        await scene.check_whole()

    scene.run(scan_twice)
