"""Drives in temporary directories, bytes to store, and ways to damage what was stored."""

import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from objstore import durable
from objstore.model import BlobRef
from objstore.storage import locator
from objstore.storage.drive import DriveSet, open_drives
from objstore.storage.erasure_store import ErasureBlobStore
from objstore.storage.interface import BlobStore
from objstore.storage.locator import NO_DRIVE, Files
from objstore.storage.packs import pack_name
from objstore.storage.shard_files import ShardName

SEED: Final = int(os.environ.get("OBJSTORE_TEST_SEED", "20261121"))
PROBE_S: Final = 0.05
CHUNK_BYTES: Final = 256 << 10
"""Small, so that small blobs have several chunks; also the bound of what goes to packs."""
SIZES: Final = (1, 5, 4096, 16_384, 16_385, 70_000, CHUNK_BYTES, CHUNK_BYTES + 1, 4 * CHUNK_BYTES + 7)
"""Copies, packed shards, files; whole chunks and one byte more."""


def seeded() -> random.Random:
    """The source of all randomness of a test; its seed is printed, and shown when the test fails."""
    print(f"seed {SEED}")
    return random.Random(SEED)


async def pieces(data: bytes, piece_bytes: int = 50_000) -> AsyncIterator[bytes]:
    """`data` as it would arrive."""
    for start in range(0, len(data), piece_bytes):
        yield data[start : start + piece_bytes]


async def read(store: BlobStore, ref: BlobRef, offset: int = 0, length: int | None = None) -> bytes:
    """What `get` yields, joined."""
    return b"".join([bytes(piece) async for piece in store.get(ref, offset, length)])


def directories(tmp_path: Path, count: int = 6) -> list[Path]:
    """Empty directories for drives."""
    paths = [tmp_path / f"d{number}" for number in range(count)]
    for path in paths:
        path.mkdir(exist_ok=True)
    return paths


@contextmanager
def drives_in(
    paths: list[Path], erasure: tuple[int, int] | None = (4, 2), **options: object
) -> Iterator[DriveSet]:
    """The drives at these paths, looked after more often than in earnest."""
    drives = open_drives(paths, create=erasure, probe_interval_s=PROBE_S, **options)  # type: ignore[arg-type]
    try:
        yield drives
    finally:
        drives.close()


async def open_store(
    drives: DriveSet, data_shards: int = 4, parity_shards: int = 2, **options: object
) -> ErasureBlobStore:
    """A store with small chunks."""
    options.setdefault("chunk_bytes", CHUNK_BYTES)
    return await ErasureBlobStore.open(drives, data_shards, parity_shards, **options)  # type: ignore[arg-type]


def shard_paths(drives: DriveSet, ref: BlobRef) -> list[tuple[int, int, Path, int, int]]:
    """(chunk, shard, file, offset of the frame, its drive's number) of every shard that was stored."""
    layout = locator.parse(ref.locator, ref.size)
    roots = {drive.number: Path(drive.path) for drive in drives}
    if isinstance(layout, Files):
        found = []
        for chunk, shard, number in layout.chunks_on():
            name = ShardName(ref.id, chunk, shard)
            found.append((chunk, shard, roots[number] / "shards" / name.directory / name.file, 0, number))
        return found
    return [
        (0, shard, roots[place.drive] / "packs" / pack_name(place.pack), place.offset, place.drive)
        for shard, place in enumerate(layout.places)
        if place.drive != NO_DRIVE
    ]


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Turn one bit of a file over, as rot does: its names, times and rights stay."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


class Fault:
    """An observer of file operations that makes those chosen fail, and counts them."""

    def __init__(self, operations: set[str], part_of_path: str, errno: int, *, after: int = 0) -> None:
        self.operations = operations
        self.part_of_path = part_of_path
        self.errno = errno
        self.after = after
        self.met = 0

    def __call__(self, operation: str, path: str, details: tuple[object, ...]) -> None:
        if operation in self.operations and self.part_of_path in path:
            self.met += 1
            if self.met > self.after:
                raise OSError(self.errno, os.strerror(self.errno), path)

    @contextmanager
    def active(self) -> Iterator["Fault"]:
        """While the block runs."""
        with durable.observed(self):
            yield self
