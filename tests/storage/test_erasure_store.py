"""ErasureBlobStore is a BlobStore, in several geometries, and keeps what it was given when opened again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from objstore.storage import locator
from objstore.storage.erasure_store import ErasureBlobStore
from objstore.storage.interface import BlobStore
from objstore.storage.locator import Files, Packed
from tests.storage.conformance import BlobStoreConformance
from tests.storage.support import CHUNK_BYTES, SIZES, directories, drives_in, open_store, pieces, read, seeded


class ErasureConformance(BlobStoreConformance):
    erasure = (4, 2)
    drive_count = 6

    @asynccontextmanager
    async def make_store(self, tmp_path: Path) -> AsyncIterator[BlobStore]:
        with drives_in(directories(tmp_path, self.drive_count), self.erasure) as drives:
            store = await open_store(drives, *self.erasure)
            yield store
            await store.close()
            assert store.budget.free_bytes == store.budget.total_bytes, "the budget got back what was taken"


class TestFourAndTwo(ErasureConformance):
    pass


class TestTwoAndOneOverFive(ErasureConformance):
    erasure = (2, 1)
    drive_count = 5


class TestOneDriveWithoutParity(ErasureConformance):
    erasure = (1, 0)
    drive_count = 1


class TestThreeCopies(ErasureConformance):
    erasure = (1, 2)
    drive_count = 3


@pytest.mark.parametrize(
    ("size", "kind", "data_shards", "total_shards"),
    [
        (1, Packed, 1, 3),
        (16_384, Packed, 1, 3),
        (16_385, Packed, 4, 6),
        (CHUNK_BYTES, Packed, 4, 6),
        (CHUNK_BYTES + 1, Files, 4, 6),
    ],
)
def test_the_size_decides_how_a_blob_lies(
    tmp_path: Path, size: int, kind: type, data_shards: int, total_shards: int
) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            for announced in (size, None) if size != CHUNK_BYTES else (size,):
                ref = await store.put(pieces(b"x" * size), announced)
                layout = locator.parse(ref.locator, ref.size)
                assert isinstance(layout, kind)
                assert (layout.data_shards, layout.total_shards) == (data_shards, total_shards)
                assert len(set(layout.drives_of(0))) == total_shards, "one shard of a chunk per drive"
            await store.close()

    asyncio.run(test())


def test_everything_is_there_after_opening_again(tmp_path: Path) -> None:
    async def write() -> list[tuple[object, bytes]]:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            bodies = [random.randbytes(size) for size in SIZES]
            refs = [await store.put(pieces(body), len(body)) for body in bodies]
            await store.close()
            return list(zip(refs, bodies, strict=True))

    async def look(stored: list[tuple[object, bytes]]) -> None:
        with drives_in(directories(tmp_path), None) as drives:
            store = await open_store(drives)
            for ref, body in stored:
                assert await read(store, ref) == body  # type: ignore[arg-type]
            await store.close()

    asyncio.run(look(asyncio.run(write())))


def test_a_blob_keeps_its_geometry_when_the_setting_changes(tmp_path: Path) -> None:
    async def test() -> None:
        data = seeded().randbytes(SIZES[-1])
        with drives_in(directories(tmp_path)) as drives:
            before = await open_store(drives, 4, 2)
            ref = await before.put(pieces(data))
            await before.close()
            after = await open_store(drives, 3, 3, chunk_bytes=100_000)
            assert await read(after, ref) == data
            assert (await after.verify(ref, repair=False)).bad_shards == 0
            await after.close()

    asyncio.run(test())


def test_two_processes_write_the_same_drives(tmp_path: Path) -> None:
    """Each has packs of its own: here two stores stand for two workers."""

    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            stores = [await open_store(drives) for _ in range(2)]
            bodies = [random.randbytes(size) for size in SIZES * 3]
            refs = await asyncio.gather(
                *(stores[i % 2].put(pieces(body), len(body)) for i, body in enumerate(bodies))
            )
            for store in stores:
                assert await asyncio.gather(*(read(store, ref) for ref in refs)) == bodies
            for store in stores:
                await store.close()

    asyncio.run(test())


def test_a_packed_blob_is_got_now_once_its_pack_is_open(tmp_path: Path) -> None:
    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await open_store(drives)
            for size in (1, 4096, 16_384, 16_385, 100_000):
                data = random.randbytes(size)
                ref = await store.put(pieces(data), size)
                await read(store, ref)
                got = store.get_now(ref, 0, size)
                if got is None:
                    pytest.skip("the file system of the temporary directory does not tell what it caches")
                assert got == data
            await store.close()

    asyncio.run(test())


def test_memory_is_bounded_and_nobody_starves(tmp_path: Path) -> None:
    """Forty uploads of 1 MiB with room for little more than two: all come through."""

    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            store = await ErasureBlobStore.open(drives, 4, 2, chunk_bytes=512 << 10, memory_bytes=2 << 20)
            bodies = [random.randbytes(1 << 20) for _ in range(40)]
            refs = await asyncio.gather(
                *(store.put(pieces(body), len(body) if i % 2 else None) for i, body in enumerate(bodies))
            )
            assert await asyncio.gather(*(read(store, ref) for ref in refs)) == bodies
            assert store.budget.free_bytes == store.budget.total_bytes
            await store.close()

    asyncio.run(test())


def test_deleted_files_are_gone_from_the_drives(tmp_path: Path) -> None:
    async def test() -> None:
        paths = directories(tmp_path)
        with drives_in(paths) as drives:
            store = await open_store(drives)
            ref = await store.put(pieces(b"x" * SIZES[-1]))
            assert sum(len(list(path.glob("shards/*/*"))) for path in paths) == 5 * 6
            await store.delete(ref)
            assert sum(len(list(path.glob("shards/*/*"))) for path in paths) == 0
            await store.close()

    asyncio.run(test())


def test_who_reads_slowly_comes_to_hold_little_memory(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path)) as drives:
            store = await ErasureBlobStore.open(drives, 4, 2, chunk_bytes=4 << 20)
            ref = await store.put(pieces(b"x" * (24 << 20), 1 << 20), 24 << 20)
            stream = store.get(ref)
            received = 0
            async for piece in stream:
                received += len(piece)
                if received > 8 << 20:
                    break
            for _ in range(14):  # until what was read ahead is used up
                await asyncio.sleep(0.11)
                received += len(await anext(stream))
            held = store.read_budget.total_bytes - store.read_budget.free_bytes
            assert held <= 256 << 10
            async for piece in stream:
                received += len(piece)
            assert received == 24 << 20
            assert store.read_budget.free_bytes == store.read_budget.total_bytes
            await store.close()

    asyncio.run(test())


def test_stalled_uploads_do_not_keep_downloads_waiting(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path)) as drives:
            store = await ErasureBlobStore.open(drives, 4, 2, chunk_bytes=4 << 20, memory_bytes=24 << 20)
            body = seeded().randbytes(5 << 20)
            ref = await store.put(pieces(body), len(body))

            async def stalled() -> AsyncIterator[bytes]:
                yield b"x"
                await asyncio.Event().wait()

            uploads = [asyncio.create_task(store.put(stalled(), 100 << 20)) for _ in range(40)]
            await asyncio.sleep(0.1)
            assert store.budget.waiting > 0
            async with asyncio.timeout(5):
                assert await read(store, ref) == body
            for upload in uploads:
                upload.cancel()
            await asyncio.gather(*uploads, return_exceptions=True)
            await store.close()
            assert store.budget.free_bytes == store.budget.total_bytes

    asyncio.run(test())
