"""Drives that fail, lie, fill up, vanish and come back: nothing wrong is ever read, nothing lost within m."""

import asyncio
import errno
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from objstore import durable
from objstore.erasure import frame
from objstore.model import BlobRef
from objstore.storage import erasure_store, locator
from objstore.storage.drive import DriveSet, replace_drive
from objstore.storage.erasure_store import ErasureBlobStore
from objstore.storage.interface import (
    BlobCorrupt,
    BlobMissing,
    DriveState,
    Health,
    OutOfSpace,
    StorageError,
    TooFewShards,
    WriteQuorumLost,
)
from objstore.storage.locator import NO_DRIVE, Files
from tests.storage.support import (
    CHUNK_BYTES,
    Fault,
    directories,
    drives_in,
    flip,
    open_store,
    pieces,
    read,
    seeded,
    shard_paths,
)

QUICK_SIZES = (1, 4096, 16_385, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7)


async def _fill(store: ErasureBlobStore, sizes: tuple[int, ...] = QUICK_SIZES) -> list[tuple[BlobRef, bytes]]:
    random = seeded()
    bodies = [random.randbytes(size) for size in sizes]
    return [(await store.put(pieces(body), len(body)), body) for body in bodies]


async def _until(holds: object, seconds: float = 10.0) -> None:
    """Wait until `holds()`; the promise is ten seconds, tests probe more often."""
    for _ in range(int(seconds / 0.02)):
        if holds():  # type: ignore[operator]
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that in time")


def _state(drives: DriveSet, index: int, *states: DriveState) -> object:
    return lambda: drives.drives[index].state in states


def _empty(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()


# -- lost drives --------------------------------------------------------------------------------


def test_any_two_of_six_drives_emptied_everything_is_read_and_healed(tmp_path: Path) -> None:
    """All 15 pairs, one after the other, on the same blobs: healed to six before the next pair goes."""

    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            stored = await _fill(store)
            for pair in itertools.combinations(range(6), 2):
                for index in pair:
                    _empty(paths[index])
                for ref, body in stored:
                    assert await read(store, ref) == body, f"with drives {pair} emptied"
                    start = len(body) // 3
                    assert await read(store, ref, start, len(body) - start) == body[start:]
                for index in pair:
                    await _until(_state(drives, index, DriveState.REFUSED))
                    replace_drive(paths, paths[index])
                    await _until(_state(drives, index, DriveState.ONLINE))
                healed = []
                for ref, body in stored:
                    found = await store.verify(ref, repair=True)
                    assert found.health is Health.HEALTHY
                    assert found.bad_shards == found.repaired_shards
                    await store.prune(ref, keep=found.ref)
                    again = await store.verify(found.ref, repair=True)
                    assert (again.health, again.repaired_shards) == (Health.HEALTHY, 0)
                    healed.append((found.ref, body))
                stored = healed
            await store.close()

    asyncio.run(test())


def test_reads_go_on_while_two_drives_are_emptied_and_writes_while_one_is(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        degraded: list[BlobRef] = []
        with drives_in(paths) as drives:
            store = await open_store(drives, on_degraded=lambda ref, why: degraded.append(ref))
            stored = await _fill(store)
            _empty(paths[0])
            await _until(_state(drives, 0, DriveState.REFUSED))
            more = await _fill(store)
            assert {ref.id for ref in degraded} >= {ref.id for ref, body in more if len(body) > 16_384}
            for ref, body in more:
                assert store.exposure(ref).missing_shards == (0 if len(body) <= 16_384 else 1)
            _empty(paths[1])
            await _until(_state(drives, 1, DriveState.REFUSED))
            for ref, body in stored + more:
                assert await read(store, ref) == body
            with pytest.raises(WriteQuorumLost):
                await store.put(pieces(b"x" * 20_000), 20_000)
            status = await store.status()
            assert status.may_read
            assert not status.may_write
            assert "5 are needed" in status.reason
            await store.close()

    asyncio.run(test())


def test_three_lost_drives_are_told_from_deleted_blobs_and_nothing_is_removed(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            stored = await _fill(store, (16_385, 3 * CHUNK_BYTES + 7))
            for index in range(3):
                paths[index].rename(tmp_path / f"away{index}")
                paths[index].mkdir()
                await _until(_state(drives, index, DriveState.REFUSED))
            for ref, _ in stored:
                with pytest.raises(TooFewShards):
                    await read(store, ref)
                found = await store.verify(ref, repair=True)
                assert (found.health, found.repaired_shards) == (Health.UNREADABLE, 0)
            assert not (await store.status()).may_read
            for index in range(3):
                paths[index].rmdir()
                (tmp_path / f"away{index}").rename(paths[index])
            await _until(lambda: all(drive.state is DriveState.ONLINE for drive in drives))
            for ref, body in stored:
                assert await read(store, ref) == body
                assert (await store.verify(ref, repair=False)).health is Health.HEALTHY
            await store.close()

    asyncio.run(test())


def test_drives_emptied_a_moment_ago_prove_nothing_absent(tmp_path: Path) -> None:
    """Before any keeper looked: "no such file" on them is not believed."""

    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            ref = await store.put(pieces(b"x" * (3 * CHUNK_BYTES)))
            for path in paths:
                _empty(path)
            with pytest.raises(TooFewShards):
                await read(store, ref)
            assert (await store.verify(ref, repair=True)).health is Health.UNREADABLE
            await store.close()

    asyncio.run(test())


def test_a_blob_that_is_nowhere_is_missing_only_when_all_drives_say_so(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            ref = await store.put(pieces(b"x" * (CHUNK_BYTES + 1)))
            await store.delete(ref)
            with pytest.raises(BlobMissing):
                await read(store, ref)
            assert (await store.verify(ref, repair=True)).health is Health.MISSING
            paths[0].rename(tmp_path / "away")
            await _until(_state(drives, 0, DriveState.OFFLINE))
            with pytest.raises(StorageError) as caught:
                await read(store, ref)
            assert not isinstance(caught.value, BlobMissing)
            assert (await store.verify(ref, repair=True)).health is Health.UNREADABLE
            await store.close()

    asyncio.run(test())


def test_a_drive_goes_and_comes_back_while_the_store_is_used(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            stored = await _fill(store)
            for _ in range(3):
                session = drives.drives[2].session
                paths[2].rename(tmp_path / "away")
                await _until(_state(drives, 2, DriveState.OFFLINE))
                stored += await _fill(store)
                (tmp_path / "away").rename(paths[2])
                await _until(_state(drives, 2, DriveState.ONLINE))
                assert drives.drives[2].session is not session
                stored += await _fill(store)
            for ref, body in stored:
                assert await read(store, ref) == body
                found = await store.verify(ref, repair=True)
                assert found.health is Health.HEALTHY
                assert await read(store, found.ref) == body
            await store.close()

    asyncio.run(test())


def test_what_a_drive_took_before_it_went_and_came_back_in_mid_put_does_not_count(tmp_path: Path) -> None:
    """Its names were not synced yet: it may have lost them, and a sync after it returned proves nothing."""

    async def test() -> None:
        random = seeded()
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            body = random.randbytes(4 * CHUNK_BYTES)

            async def source() -> AsyncIterator[bytes]:
                yield body[: 2 * CHUNK_BYTES]
                while not (taken := list(paths[2].glob("shards/*/*"))):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.01)
                paths[2].rename(tmp_path / "away")
                await _until(_state(drives, 2, DriveState.OFFLINE))
                for file in taken:
                    (tmp_path / "away" / file.relative_to(paths[2])).unlink()
                (tmp_path / "away").rename(paths[2])
                await _until(_state(drives, 2, DriveState.ONLINE))
                yield body[2 * CHUNK_BYTES :]

            ref = await store.put(source(), len(body))
            layout = locator.parse(ref.locator, ref.size)
            assert isinstance(layout, Files)
            missing = sum(layout.drives_of(chunk).count(NO_DRIVE) for chunk in range(layout.chunks))
            found = await store.verify(ref, repair=False)
            assert found.bad_shards == missing > 0, "the reference names no shard that is not there"
            assert await read(store, ref) == body
            await store.close()

    asyncio.run(test())


# -- rot ----------------------------------------------------------------------------------------


def test_a_flipped_bit_anywhere_is_noticed_read_around_and_mended(tmp_path: Path) -> None:
    """Every field of the header, every block, in every shard: one bit each, then repaired."""

    async def test() -> None:
        random = seeded()
        reported: list[bytes] = []
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives, on_degraded=lambda ref, why: reported.append(ref.id))
            for size in (100, 50_000, CHUNK_BYTES + 100_000):
                body = random.randbytes(size)
                ref = await store.put(pieces(body), size)
                places = [0, 4, 5, 6, 7, 8, 24, 32, 36, 40, 44, 48, 56, 64]
                for turn, offset in enumerate([*places, *(random.randrange(72, 72 + 25) for _ in range(8))]):
                    shards = shard_paths(drives, ref)
                    _, shard, path, start, _ = shards[turn % len(shards)]
                    flip(path, start + offset, random.randrange(8))
                    found = await store.verify(ref, repair=False)
                    assert (found.health, found.bad_shards) == (Health.DEGRADED, 1), (size, shard, offset)
                    assert await read(store, ref) == body
                    if shard == 0 and size > 128 << 10:
                        assert ref.id in reported
                    mended = await store.verify(ref, repair=True)
                    assert (mended.health, mended.repaired_shards) == (Health.HEALTHY, 1)
                    await store.prune(ref, keep=mended.ref)
                    ref = mended.ref
                    assert (await store.verify(ref, repair=False)).bad_shards == 0
            await store.close()

    asyncio.run(test())


def test_rot_in_up_to_m_shards_never_gives_a_wrong_byte(tmp_path: Path) -> None:
    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            for size in (500, 100_000, 2 * CHUNK_BYTES):
                body = random.randbytes(size)
                for _ in range(12):
                    ref = await store.put(pieces(body), size)
                    for _, _, path, start, _ in random.sample(
                        [place for place in shard_paths(drives, ref) if place[0] == 0], 2
                    ):
                        for _ in range(3):
                            flip(path, start + random.randrange(72, 72 + 90), random.randrange(8))
                    assert await read(store, ref) == body
                    now = store.get_now(ref, 0, min(size, 1000))
                    assert now is None or now == body[: min(size, 1000)]
                    start = random.randrange(size)
                    assert await read(store, ref, start) == body[start:]
            await store.close()

    asyncio.run(test())


def test_more_than_m_rotten_shards_fail_cleanly_and_stay(tmp_path: Path) -> None:
    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            for size in (100, 50_000, CHUNK_BYTES + 100_000):
                body = random.randbytes(size)
                ref = await store.put(pieces(body), size)
                shards = [place for place in shard_paths(drives, ref) if place[0] == 0]
                before = {path: path.read_bytes() for _, _, path, _, _ in shards}
                for _, _, path, start, _ in shards[: 3 if size > 16_384 else len(shards)]:
                    flip(path, start + 90)
                with pytest.raises(BlobCorrupt):
                    await read(store, ref)
                found = await store.verify(ref, repair=True)
                assert (found.health, found.repaired_shards, found.ref) == (Health.UNREADABLE, 0, ref)
                for _, _, path, start, _ in shards[: 3 if size > 16_384 else len(shards)]:
                    flip(path, start + 90)
                assert {path: path.read_bytes() for path in before} == before, "nothing was touched"
                assert await read(store, ref) == body
            await store.close()

    asyncio.run(test())


def test_deleted_files_are_not_gone_before_their_directories_are_synced(tmp_path: Path) -> None:
    """Else a power cut brings them back when the last fact that knew of them is forgotten."""

    async def test() -> None:
        random = seeded()
        unsynced: set[str] = set()
        failing = ""

        def observe(operation: str, path: str, details: tuple[object, ...]) -> None:
            if operation == "unlink":
                unsynced.add(os.path.dirname(path))
            elif operation == "sync_directory":
                if failing and path.startswith(failing):
                    raise OSError(errno.EIO, "injected")
                unsynced.discard(path)

        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            refs = [await store.put(pieces(random.randbytes(2 * CHUNK_BYTES))) for _ in range(5)]
            with durable.observed(observe):
                assert all(await asyncio.gather(*map(store.delete, refs[:4])))
                assert not unsynced
                failing = drives.drives[3].path
                assert not await store.delete(refs[4])
                failing = ""
                assert await store.delete(refs[4]), "asked again: absent, and synced"
                assert not unsynced
            await store.close()

    asyncio.run(test())


def test_a_shard_directory_that_is_gone_holds_no_shard_to_delete(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            ref = await store.put(pieces(bytes(2 * CHUNK_BYTES)))
            shutil.rmtree(Path(drives.drives[3].path) / "shards" / f"{ref.id[-1]:02x}")
            assert await store.delete(ref)
            await store.close()

    asyncio.run(test())


def test_a_pack_tells_what_it_holds_and_how_much_cannot_be_told(tmp_path: Path) -> None:
    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            refs = [await store.put(pieces(random.randbytes(1000)), 1000) for _ in range(4)]
            (_, _, path, start, drive), *_ = shard_paths(drives, refs[1])
            place = (drive, int(path.stem, 16))
            await store.close()
            store = await open_store(drives)  # what was allocated ahead is cut
            whole = await store.blobs_in_pack(*place)
            here = {ref.id for ref in refs if drive in {found[4] for found in shard_paths(drives, ref)}}
            assert dict(whole.is_deleted) == dict.fromkeys(here, False)
            assert whole.untold_bytes == 0
            flip(path, start)
            damaged = await store.blobs_in_pack(*place)
            assert set(damaged.is_deleted) == here - {refs[1].id}
            assert damaged.untold_bytes == frame.frame_bytes(1000)
            assert await store.delete(refs[1])
            assert (await store.blobs_in_pack(*place)).untold_bytes == 0, "its deletion explains it"
            await store.close()

    asyncio.run(test())


def test_shards_that_changed_places_are_not_believed(tmp_path: Path) -> None:
    """Of another blob, another chunk, another number; cut short; empty."""

    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            size = 2 * CHUNK_BYTES
            bodies = [random.randbytes(size) for _ in range(2)]
            refs = [await store.put(pieces(body), size) for body in bodies]
            paths = {
                (number, chunk, shard): path
                for number, ref in enumerate(refs)
                for chunk, shard, path, _, _ in shard_paths(drives, ref)
            }
            for one, other in [
                ((0, 0, 0), (1, 0, 0)),
                ((0, 0, 1), (0, 1, 1)),
                ((0, 1, 2), (0, 1, 3)),
                ((1, 0, 4), (1, 0, 5)),
            ]:
                first, second = paths[one].read_bytes(), paths[other].read_bytes()
                paths[one].write_bytes(second)
                paths[other].write_bytes(first)
                for ref, body in zip(refs, bodies, strict=True):
                    assert await read(store, ref) == body
                assert sum([(await store.verify(ref, repair=True)).repaired_shards for ref in refs]) == 2
                assert (paths[one].read_bytes(), paths[other].read_bytes()) == (first, second)
            paths[0, 0, 0].write_bytes(paths[0, 0, 0].read_bytes()[:-1])
            paths[0, 0, 1].write_bytes(b"")
            assert await read(store, refs[0]) == bodies[0]
            assert (await store.verify(refs[0], repair=True)).repaired_shards == 2
            await store.close()

    asyncio.run(test())


# -- drives that refuse -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "size"),
    [
        (operation, size)
        for operation in ("write", "sync", "create", "allocate", "sync_directory")
        for size in (4096, 50_000, 3 * CHUNK_BYTES)
        if (operation, size) != ("allocate", 3 * CHUNK_BYTES)  # shard files are not allocated ahead
    ],
)
def test_a_drive_that_fails_to_write_is_marked_and_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, size: int
) -> None:
    monkeypatch.setattr(erasure_store, "TICK_S", 0.02)

    async def test() -> None:
        paths = directories(tmp_path)
        body = seeded().randbytes(size)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            refs: list[BlobRef] = []
            with Fault({operation}, f"{paths[3]}/", errno.EIO).active() as fault:
                # Small blobs of one tick share their drives: go on until it is that drive's turn.
                while not fault.met and len(refs) < 200:
                    refs.append(await store.put(pieces(body), size))
                    await asyncio.sleep(0.03)
                assert fault.met, "a fault that never happened proves nothing"
                assert drives.drives[3].state is DriveState.FAULTY
                assert "Input/output error" in drives.drives[3].reason
                refs += [await store.put(pieces(body), size) for _ in range(3)]
            for ref in refs:
                stored = [n for n in locator.parse(ref.locator, size).drives_of(0) if n != locator.NO_DRIVE]
                assert drives.drives[3].number not in stored
                assert len(stored) == (3 if size <= 16_384 else 5)
                assert await read(store, ref) == body
            await _until(_state(drives, 3, DriveState.ONLINE), 20)
            await store.close()

    asyncio.run(test())


def test_a_put_without_quorum_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            for size in (50_000, 3 * CHUNK_BYTES):

                def two_fail(operation: str, path: str, details: tuple[object, ...]) -> None:
                    for failing in paths[:2]:
                        Fault({"write"}, f"{failing}/", errno.EIO)(operation, path, details)

                with durable.observed(two_fail), pytest.raises(WriteQuorumLost):
                    await store.put(pieces(b"x" * size), size)
                await _until(lambda: all(drive.state is DriveState.ONLINE for drive in drives), 30)
                assert [ref async for ref in store.list()] == []
            await store.close()

    asyncio.run(test())


def test_a_series_of_read_errors_marks_a_drive_faulty_and_one_does_not(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            body = seeded().randbytes(CHUNK_BYTES * 2)
            ref = await store.put(pieces(body))
            target = shard_paths(drives, ref)[0][2]
            index = next(i for i, path in enumerate(paths) if target.is_relative_to(path))
            with Fault({"read"}, f"{paths[index]}/shards", errno.EIO).active():
                assert await read(store, ref) == body
                assert drives.drives[index].state is DriveState.ONLINE
                for _ in range(8):
                    assert await read(store, ref) == body
                assert drives.drives[index].state is DriveState.FAULTY
            await store.close()

    asyncio.run(test())


def test_a_slow_drive_is_read_around(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            body = seeded().randbytes(CHUNK_BYTES * 2)
            ref = await store.put(pieces(body))
            for _ in range(10):
                await read(store, ref)
            await asyncio.sleep(0.6)  # a review of what was measured

            def slow(operation: str, path: str, details: tuple[object, ...]) -> None:
                if operation == "read" and path.startswith(f"{paths[1]}/shards"):
                    time.sleep(0.4)

            took = []
            with durable.observed(slow):
                for _ in range(20):
                    began = time.monotonic()
                    assert await read(store, ref) == body
                    took.append(time.monotonic() - began)
                    await asyncio.sleep(0.05)
            assert sorted(took)[len(took) // 2] < 0.2, took
            assert took[-1] < 0.2, took
            await store.close()

    asyncio.run(test())


# -- full and read-only drives, on file systems of their own ------------------------------------


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_drives(tmp_path: Path) -> Iterator[list[Path]]:
    """Six file systems of 16 MiB each; needs root."""
    paths = directories(tmp_path)
    mounted = []
    try:
        for path in paths:
            if os.geteuid() != 0 or not _run("mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", str(path)):
                pytest.skip("NOT TESTED: full and read-only drives need root, to mount file systems")
            mounted.append(path)
        yield paths
    finally:
        for path in mounted:
            assert _run("umount", "-l", str(path))


def test_full_drives_refuse_new_data_keep_the_old_and_take_deletes(small_drives: list[Path]) -> None:
    async def test() -> None:
        random = seeded()
        with drives_in(small_drives) as drives:
            store = await open_store(drives)
            stored: list[tuple[BlobRef, bytes]] = []
            with pytest.raises(OutOfSpace):
                for turn in range(1000):
                    body = random.randbytes((300_000, 4096, 60_000)[turn % 3])
                    stored.append((await store.put(pieces(body), len(body)), body))
            assert len(stored) > 50
            assert sum(drive.state is DriveState.READ_ONLY for drive in drives) >= 2
            assert any("full" in drive.reason for drive in drives)
            for drive in drives:
                assert drive.free_bytes > 0, "the reserve is left for metadata"
            status = await store.status()
            assert status.may_read
            assert not status.may_write
            for ref, body in stored:
                assert await read(store, ref) == body
            for ref, body in stored:
                if len(body) > CHUNK_BYTES:
                    assert await store.delete(ref)
            await _until(lambda: all(drive.state is DriveState.ONLINE for drive in drives))
            body = random.randbytes(300_000)
            assert await read(store, await store.put(pieces(body), len(body))) == body
            await store.close()

    asyncio.run(test())


def test_enospc_in_mid_write_leaves_no_wrong_byte(small_drives: list[Path]) -> None:
    """One drive has far less room than it says: the kernel refuses, not the account."""

    async def test() -> None:
        random = seeded()
        with drives_in(small_drives) as drives:
            store = await open_store(drives)
            ballast = small_drives[0] / "system" / "ballast"
            stored = []
            for turn in range(30):
                if turn == 5:
                    space = os.statvfs(small_drives[0])
                    ballast.write_bytes(b"x" * (space.f_bavail * space.f_frsize - 40_000))
                body = random.randbytes(150_000 if turn % 2 else 300_000)
                stored.append((await store.put(pieces(body), len(body)), body))
            assert drives.drives[0].state is DriveState.READ_ONLY
            for ref, body in stored:
                assert await read(store, ref) == body
            ballast.unlink()
            await _until(_state(drives, 0, DriveState.ONLINE))
            for ref, body in stored:
                found = await store.verify(ref, repair=True)
                assert found.health is Health.HEALTHY
                assert await read(store, found.ref) == body
            await store.close()

    asyncio.run(test())


def test_a_drive_mounted_read_only_is_read_and_not_written(small_drives: list[Path]) -> None:
    async def test() -> None:
        with drives_in(small_drives) as drives:
            store = await open_store(drives)
            stored = await _fill(store)
            await store.close()  # files open for writing forbid it
            assert _run("mount", "-o", "remount,ro", str(small_drives[4]))
            store = await open_store(drives)
            await _until(_state(drives, 4, DriveState.READ_ONLY))
            assert drives.drives[4].reason == "mounted read-only"
            stored += await _fill(store)
            for ref, body in stored:
                assert await read(store, ref) == body
            assert _run("mount", "-o", "remount,rw", str(small_drives[4]))
            await _until(_state(drives, 4, DriveState.ONLINE))
            await store.close()

    asyncio.run(test())


def test_an_unmounted_drive_is_missed_and_nothing_is_written_below_it(small_drives: list[Path]) -> None:
    async def test() -> None:
        path = small_drives[1]
        with drives_in(small_drives) as drives:
            store = await open_store(drives)
            stored = await _fill(store)
            elsewhere = path.parent / "elsewhere"
            elsewhere.mkdir()
            assert _run("mount", "--bind", str(path), str(elsewhere))
            assert _run("umount", "-l", str(path))
            try:
                stored += await _fill(store)  # at once: descriptors still reach the drive
                await _until(_state(drives, 1, DriveState.REFUSED, DriveState.OFFLINE))
                stored += await _fill(store)
                assert list(path.iterdir()) == [], "an empty mount point stays empty"
                assert _run("mount", "--bind", str(elsewhere), str(path))
                await _until(_state(drives, 1, DriveState.ONLINE))
                for ref, body in stored:
                    assert await read(store, ref) == body
            finally:
                assert _run("umount", "-l", str(elsewhere))
            await store.close()

    asyncio.run(test())
