"""What every BlobStore must do. A test class of each implementation inherits this one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from objstore.model import BlobRef
from objstore.storage.interface import BlobMissing, BlobStore, Health, StoreUnavailable
from tests.storage.support import SIZES, pieces, read, seeded


class SourceFailed(Exception):
    """What the tests' sources and observers raise."""


async def _failing(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise SourceFailed


async def _endless(data: bytes) -> AsyncIterator[bytes]:
    yield data
    await asyncio.Event().wait()


async def _listed(store: BlobStore) -> list[BlobRef]:
    return [ref async for ref in store.list()]


class BlobStoreConformance:
    """Inherit, and say how a store is made."""

    def make_store(self, tmp_path: Path) -> AbstractAsyncContextManager[BlobStore]:
        """A fresh, empty store, closed afterwards."""
        raise NotImplementedError

    def run(self, tmp_path: Path, test: Callable[[BlobStore], Awaitable[Any]]) -> None:
        """Run `test` on a fresh store in a loop of its own."""

        async def body() -> None:
            async with self.make_store(tmp_path) as store:
                await test(store)

        asyncio.run(body())

    @pytest.mark.parametrize("is_size_known", [True, False])
    def test_what_was_put_is_got(self, tmp_path: Path, is_size_known: bool) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            for size in SIZES:
                data = random.randbytes(size)
                ref = await store.put(pieces(data), size if is_size_known else None)
                assert ref.size == size
                assert len(ref.id) == 16
                assert await read(store, ref) == data

        self.run(tmp_path, test)

    def test_any_range_is_got(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            for size in SIZES:
                data = random.randbytes(size)
                ref = await store.put(pieces(data), size)
                edges = {0, 1, size // 2, size - 1, size, min(size, 65_536), min(size, 65_537)}
                for start in edges:
                    for end in edges:
                        if start <= end:
                            assert await read(store, ref, start, end - start) == data[start:end]

        self.run(tmp_path, test)

    def test_a_range_outside_the_blob_is_refused(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            ref = await store.put(pieces(b"12345"))
            for offset, length in [(-1, 1), (0, 6), (6, 0), (5, 1), (0, -1)]:
                with pytest.raises(ValueError, match="bytes"):
                    await read(store, ref, offset, length)

        self.run(tmp_path, test)

    def test_what_get_now_gives_is_what_was_put(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            for size in SIZES:
                data = random.randbytes(size)
                ref = await store.put(pieces(data), size)
                await read(store, ref)
                for offset, length in [(0, size), (size // 3, size - size // 3), (size - 1, 1)]:
                    got = store.get_now(ref, offset, length)
                    assert got is None or got == data[offset : offset + length]

        self.run(tmp_path, test)

    def test_the_observer_sees_each_byte_once_and_in_order(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            for size in SIZES:
                seen = bytearray()
                data = random.randbytes(size)
                await store.put(pieces(data), size, seen.extend)
                assert seen == data

        self.run(tmp_path, test)

    def test_pieces_may_have_any_size(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            data = random.randbytes(SIZES[-1])

            async def uneven() -> AsyncIterator[bytes | memoryview]:
                start = 0
                while start < len(data):
                    length = random.choice([0, 1, 7, 4096, 100_000, 400_000])
                    yield memoryview(data)[start : start + length]
                    start += length

            assert await read(store, await store.put(uneven(), len(data))) == data
            assert await read(store, await store.put(uneven())) == data

        self.run(tmp_path, test)

    @pytest.mark.parametrize("size", [SIZES[0], SIZES[4], SIZES[-1]])
    def test_a_put_that_fails_leaves_nothing(self, tmp_path: Path, size: int) -> None:
        async def test(store: BlobStore) -> None:
            data = b"x" * size

            def refuse(view: memoryview) -> None:
                raise SourceFailed

            with pytest.raises(SourceFailed):
                await store.put(_failing(data), size)
            with pytest.raises(SourceFailed):
                await store.put(_failing(data))
            with pytest.raises(SourceFailed):
                await store.put(pieces(data), size, refuse)
            assert await _listed(store) == []

        self.run(tmp_path, test)

    @pytest.mark.parametrize(("size", "announced"), [(10, 11), (10, 9), (SIZES[-1], SIZES[-1] + 1), (0, 0)])
    def test_a_put_of_another_size_than_announced_fails(
        self, tmp_path: Path, size: int, announced: int
    ) -> None:
        async def test(store: BlobStore) -> None:
            with pytest.raises(ValueError, match="announced"):
                await store.put(pieces(b"x" * size), announced)
            assert await _listed(store) == []

        self.run(tmp_path, test)

    def test_a_put_of_nothing_fails(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            with pytest.raises(ValueError, match="byte"):
                await store.put(pieces(b""))

        self.run(tmp_path, test)

    @pytest.mark.parametrize("size", [SIZES[0], SIZES[4], SIZES[-1]])
    def test_a_cancelled_put_leaves_nothing(self, tmp_path: Path, size: int) -> None:
        async def test(store: BlobStore) -> None:
            for announced in (size + 1, None):
                putting = asyncio.create_task(store.put(_endless(b"x" * size), announced))
                await asyncio.sleep(0.05)
                putting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await putting
            for _ in range(100):
                if not await _listed(store):
                    break
                await asyncio.sleep(0.02)
            assert await _listed(store) == []

        self.run(tmp_path, test)

    def test_what_was_deleted_is_not_listed_and_never_wrong(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            kept = {}
            for size in SIZES:
                data = random.randbytes(size)
                ref = await store.put(pieces(data), size)
                kept[(await store.put(pieces(data), size)).id] = size
                assert await store.delete(ref)
                assert await store.delete(ref)
                with suppress(BlobMissing):
                    assert await read(store, ref) == data
            assert {ref.id: ref.size for ref in await _listed(store)} == kept

        self.run(tmp_path, test)

    def test_listing_gives_each_blob_once_with_a_reference_that_reads(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            expected = {}
            for size in SIZES:
                data = random.randbytes(size)
                expected[(await store.put(pieces(data))).id] = data
            listed = await _listed(store)
            assert len(listed) == len(expected)
            for ref in listed:
                assert ref.size == len(expected[ref.id])
                assert await read(store, ref) == expected[ref.id]

        self.run(tmp_path, test)

    def test_an_undamaged_blob_verifies(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            for size in SIZES:
                ref = await store.put(pieces(b"x" * size))
                for repair in (False, True):
                    found = await store.verify(ref, repair=repair)
                    assert (found.health, found.ref, found.bad_shards) == (Health.HEALTHY, ref, 0)
                assert store.exposure(ref).missing_shards == 0
                await store.prune(ref, keep=ref)
                assert await read(store, ref) == b"x" * size

        self.run(tmp_path, test)

    def test_many_at_once_do_not_mix(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            random = seeded()
            bodies = [random.randbytes(random.choice(SIZES)) for _ in range(60)]
            refs = await asyncio.gather(*(store.put(pieces(body, 9000), len(body)) for body in bodies))
            assert len({ref.id for ref in refs}) == len(refs)
            assert await asyncio.gather(*(read(store, ref) for ref in refs)) == bodies

        self.run(tmp_path, test)

    def test_a_get_may_be_left_early(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            ref = await store.put(pieces(b"x" * SIZES[-1]))
            for _ in range(50):
                stream = store.get(ref)
                async for piece in stream:
                    assert len(piece) > 0
                    break
                await stream.aclose()  # type: ignore[attr-defined]
            assert await read(store, ref) == b"x" * SIZES[-1]

        self.run(tmp_path, test)

    def test_a_closed_store_refuses(self, tmp_path: Path) -> None:
        async def test(store: BlobStore) -> None:
            ref = await store.put(pieces(b"bytes"))
            await store.close()
            await store.close()
            with pytest.raises(StoreUnavailable):
                await store.put(pieces(b"bytes"))
            with pytest.raises(StoreUnavailable):
                await read(store, ref)
            with pytest.raises(StoreUnavailable):
                await store.delete(ref)
            assert store.get_now(ref, 0, 5) is None
            status = await store.status()
            assert not status.may_read
            assert not status.may_write

        self.run(tmp_path, test)
