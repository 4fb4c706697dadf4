"""A drive that does not answer is left behind, and what it does when it wakes up harms nobody."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from objstore import durable
from objstore.erasure import frame
from objstore.model import BlobRef
from objstore.storage import drive, erasure_store, locator, writing
from objstore.storage.interface import DriveState, Health
from objstore.storage.locator import NO_DRIVE, Files
from tests.storage.support import CHUNK_BYTES, directories, drives_in, open_store, pieces, read, seeded


class Hanging:
    """Operations of one drive do not return while it hangs."""

    def __init__(self, path: Path, operations: set[str]) -> None:
        self._prefix = f"{path}/"
        self._operations = operations
        self.woken = threading.Event()
        self.met = 0

    def __call__(self, operation: str, path: str, details: tuple[object, ...]) -> None:
        if operation in self._operations and path.startswith(self._prefix) and not self.woken.is_set():
            self.met += 1
            self.woken.wait(30)

    @contextmanager
    def active(self) -> Iterator["Hanging"]:
        with durable.observed(self):
            try:
                yield self
            finally:
                self.woken.set()


@pytest.mark.parametrize("size", [4096, 50_000, 4 * CHUNK_BYTES])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_put_leaves_a_hanging_drive_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, operation: str
) -> None:
    monkeypatch.setattr(writing, "STRAGGLER_S", 0.3)
    monkeypatch.setattr(erasure_store, "TICK_S", 0.02)
    paths = directories(tmp_path)

    async def test() -> None:
        random = seeded()
        degraded: list[bytes] = []
        with drives_in(paths) as drives:
            store = await open_store(drives, on_degraded=lambda ref, why: degraded.append(ref.id))
            number = drives.drives[2].number
            stored: list[tuple[BlobRef, bytes]] = []
            with Hanging(paths[2], {operation}).active() as hanging:
                # Small blobs of one tick share their drives: go on until it is that drive's turn.
                while len(stored) < 4 or (hanging.met == 0 and len(stored) < 200):
                    await asyncio.sleep(0.03)
                    body = random.randbytes(size)
                    began = time.monotonic()
                    ref = await store.put(pieces(body), size)
                    assert time.monotonic() - began < 5
                    stored.append((ref, body))
                assert hanging.met > 0
                for ref, body in stored:  # while it still hangs
                    assert number not in locator.parse(ref.locator, size).drives_of(0) or size == 4096
                    assert await read(store, ref) == body
                assert {ref.id for ref, _ in stored if store.exposure(ref).missing_shards} <= set(degraded)
            for _ in range(200):  # it wakes up: what it still writes is nobody's, and is cleared away
                if not any(paths[2].glob("shards/*/*")):
                    break
                await asyncio.sleep(0.02)
            assert not any(paths[2].glob("shards/*/*"))
            for ref, body in stored:
                assert await read(store, ref) == body
                found = await store.verify(ref, repair=False)
                assert found.health in (Health.HEALTHY, Health.DEGRADED)
                layout = locator.parse(ref.locator, size)
                chunks = layout.chunks if isinstance(layout, Files) else 1
                missing = sum(layout.drives_of(chunk).count(NO_DRIVE) for chunk in range(chunks))
                assert found.bad_shards == missing, "and nothing else is wrong"
            await store.close()
            assert store.budget.free_bytes == store.budget.total_bytes

    asyncio.run(test())


def test_buffers_a_hanging_thread_still_reads_are_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late shard must hold its own chunk's bytes, not those of a chunk that came into its buffer."""
    monkeypatch.setattr(writing, "STRAGGLER_S", 0.2)
    paths = directories(tmp_path)
    written: list[tuple[str, bytes]] = []

    async def test() -> None:
        random = seeded()
        with drives_in(paths) as drives:
            store = await open_store(drives)
            hanging = Hanging(paths[4], {"write"})  # before the bytes are taken from the buffer

            def observer(operation: str, path: str, details: tuple[object, ...]) -> None:
                hanging(operation, path, details)
                if operation == "unlink" and f"{paths[4]}/shards" in path:
                    written.append((path, Path(path).read_bytes()))

            expected: dict[str, bytes] = {}
            with durable.observed(observer):
                for turn in range(3):
                    body = random.randbytes(6 * CHUNK_BYTES)
                    ref = await store.put(pieces(body), len(body))
                    expected[ref.id.hex()] = body
                    assert await read(store, ref) == body, turn
                hanging.woken.set()
                await store.close()
            assert written, "the late files were written, then cleared away"
            for path, data in written:
                name = Path(path).name.split(".")
                blob_id, chunk, shard = bytes.fromhex(name[0]), int(name[1], 16), int(name[2], 16)
                payload = frame.open_frame(data, blob_id, chunk, shard)  # raises if a byte is another's
                assert len(payload) > 0
                assert name[0] in expected

    asyncio.run(test())


def test_a_drive_whose_keeper_hangs_is_faulty_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "HANG_S", 0.5)
    paths = directories(tmp_path)

    async def test() -> None:
        with drives_in(paths) as drives:
            store = await open_store(drives)
            with Hanging(paths[1], {"open", "read"}).active():
                for _ in range(200):
                    if drives.drives[1].state is DriveState.FAULTY:
                        break
                    await asyncio.sleep(0.02)
                assert drives.drives[1].state is DriveState.FAULTY
                assert "has not answered" in drives.drives[1].reason
                began = time.monotonic()
                status = await store.status()
                assert status.may_write
                ref = await store.put(pieces(b"x" * 100_000), 100_000)
                assert await read(store, ref) == b"x" * 100_000
                assert time.monotonic() - began < 2, "nobody waits for it any more"
            for _ in range(500):
                if drives.drives[1].state is DriveState.ONLINE:
                    break
                await asyncio.sleep(0.02)
            assert drives.drives[1].state is DriveState.ONLINE
            await store.close()

    asyncio.run(test())
