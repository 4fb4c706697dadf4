"""The power goes at any file operation of a busy store: every acknowledged blob is whole, on all drives."""

import asyncio
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from objstore import durable
from objstore.durable import Buffer
from objstore.model import BlobRef
from objstore.storage import shard_files
from objstore.storage.interface import Health, StorageError
from tests.storage.support import CHUNK_BYTES, SEED, directories, drives_in, open_store, pieces, read
from tests.support.crash_points import Disk, Loss, Recorder

pytestmark = pytest.mark.crash

STATES = int(os.environ.get("OBJSTORE_STORAGE_CRASH_STATES", "40"))
"""How many crash states are tried."""
SIZES = (10, 4096, 20_000, CHUNK_BYTES + 1, 2 * CHUNK_BYTES)


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory in memory where there is one."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="objstore-", dir=memory if os.access(memory, os.W_OK) else None))
    yield path
    shutil.rmtree(path)


class _StoreRecorder(Recorder):
    def __call__(self, name: str, path: str, details: tuple[object, ...]) -> None:
        if name != "chmod":  # rights do not matter to recovery
            super().__call__(name, path, details)


@dataclass(frozen=True)
class Stored:
    """The store acknowledged this blob."""

    ref: BlobRef
    body: bytes


@dataclass(frozen=True)
class Deleting:
    """From here on the blob may be gone."""

    blob_id: bytes


async def _workload(roots: list[Path], recorder: Recorder, rng: random.Random) -> None:
    with drives_in(roots, None) as drives:
        store = await open_store(drives)

        async def client(number: int) -> None:
            for turn in range(4):
                body = rng.randbytes(SIZES[(number + turn) % len(SIZES)])
                ref = await store.put(pieces(body), len(body))
                recorder.mark(Stored(ref, body))
                if turn % 3 == 2:
                    recorder.mark(Deleting(ref.id))
                    await store.delete(ref)

        with recorder.recording():
            await asyncio.gather(*(client(number) for number in range(5)))
            await store.close()


async def _check(roots: list[Path], expected: list[Stored]) -> None:
    with drives_in(roots, None, lock=True) as drives:
        store = await open_store(drives)
        for stored in expected:
            assert await read(store, stored.ref) == stored.body
            found = await store.verify(stored.ref, repair=False)
            assert (found.health, found.bad_shards) == (Health.HEALTHY, 0)
        listed = {ref.id async for ref in store.list()}
        assert listed >= {stored.ref.id for stored in expected}
        bodies = {stored.ref.id: stored.body for stored in expected}
        async for ref in store.list():
            try:
                got = await read(store, ref)
            except StorageError:
                assert ref.id not in bodies
            else:
                assert got == bodies.get(ref.id, got)
        again = await store.put(pieces(b"y" * 50_000))
        assert await read(store, again) == b"y" * 50_000
        await store.close()


def _cut_the_power(base: Path, states: int) -> None:
    """Run the workload, then recover from `states` of its crash states; raises if one is bad."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    (base / "before").mkdir()
    roots = directories(base / "before")
    with drives_in(roots):
        pass
    disk = Disk.of(roots)
    recorder = _StoreRecorder(roots)
    asyncio.run(_workload(roots, recorder, rng))
    operations = recorder.operations
    kinds = {operation.name for operation in operations}
    assert kinds >= {"create", "write", "allocate", "append", "unlink", "truncate"}
    cuts = [*sorted(rng.sample(range(len(operations)), min(states, len(operations)) - 1)), len(operations)]
    done = 0
    for turn, cut in enumerate(cuts):
        for operation in operations[done:cut]:
            disk.apply(operation)
        done = cut
        said = recorder.said_before(cut)
        deleting = {word.blob_id for word in said if isinstance(word, Deleting)}
        expected = [word for word in said if isinstance(word, Stored) and word.ref.id not in deleting]
        loss = list(Loss)[turn % len(Loss)]
        after = base / f"after{turn}"
        after.mkdir()
        targets = [after / root.name for root in roots]
        disk.leave(loss, SEED + turn, dict(zip(roots, targets, strict=True)))
        try:
            asyncio.run(_check(targets, expected))
        except BaseException:
            print(f"cut after {cut} of {len(operations)} operations, {loss.value}")
            raise
        shutil.rmtree(after)


def test_acknowledged_blobs_outlive_a_power_cut(base: Path) -> None:
    _cut_the_power(base, STATES)


def _without_sync(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> int:
    return durable.write(descriptor, offset, buffers)


@pytest.mark.parametrize(
    ("where", "name", "mutant"),
    [
        (durable, "write_synced", _without_sync),
        (durable, "sync", lambda descriptor: None),
        (shard_files, "sync_names", lambda session, blob_id: None),
        (durable, "sync_directory", lambda directory: None),
    ],
    ids=["packs not synced", "files not synced", "names of shard files not synced", "no names synced"],
)
def test_a_store_that_forgets_to_sync_is_found_out(
    base: Path, monkeypatch: pytest.MonkeyPatch, where: ModuleType, name: str, mutant: object
) -> None:
    """The harness itself must be able to fail."""
    monkeypatch.setattr(where, name, mutant)
    with pytest.raises((AssertionError, StorageError)):
        _cut_the_power(base, STATES)
