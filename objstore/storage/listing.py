"""What is really there: every blob that the drives hold, found by their names and frames alone.

Shard files are gone through directory by directory, the same one on all drives at once, so that the
shards of a blob meet. Packs are read through, by headers; since a blob's shards may be in any of them,
this is done in several passes when there are many, each for some of the ids: memory is bounded.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from objstore import durable
from objstore.blocking import PoolFull
from objstore.erasure import frame
from objstore.model import BlobRef
from objstore.storage import packs, shard_files
from objstore.storage.drive import SHARD_DIRECTORIES, Drive, DriveSet, Session
from objstore.storage.locator import NO_DRIVE, NOWHERE, Files, Packed, Place, joined
from objstore.storage.shard_files import ShardName

FRAME_BYTES_USUAL: Final = 4096
PASS_FRAMES: Final = 400_000
"""Frames remembered in one pass over the packs: some 100 MB."""


async def blobs(drives: DriveSet) -> AsyncGenerator[BlobRef, None]:
    """Every blob of which an open drive holds a shard. A drive that fails meanwhile is passed over."""
    for directory in SHARD_DIRECTORIES:
        found: dict[bytes, dict[tuple[int, int], Drive]] = {}
        for drive in drives:
            for name in await _names(drive, directory):
                found.setdefault(name.blob_id, {})[name.chunk, name.shard] = drive
        for blob_id, shards in found.items():
            yield await _file_blob(blob_id, shards)
    passes = await _passes(drives)
    for number in range(passes):
        for ref in await _packed_blobs(drives, number, passes):
            yield ref


async def _names(drive: Drive, directory: str) -> list[ShardName]:
    session = drive.session
    if session is None:
        return []
    try:
        return await drive.pool.submit(shard_files.names_in, session, directory)
    except (OSError, PoolFull):
        drive.look_now()
        return []


async def _file_blob(blob_id: bytes, shards: dict[tuple[int, int], Drive]) -> BlobRef:
    """A blob of shard files, as its frames describe it; by their names alone if none can be read."""
    chunks = max(chunk for chunk, _ in shards) + 1
    first = await _header(blob_id, shards, 0)
    last = await _header(blob_id, shards, chunks - 1)
    total_shards = max(shard for _, shard in shards) + 1
    if first is not None:
        total_shards = max(total_shards, first.total_shards)
    rows = [
        tuple(
            shards[chunk, shard].number if (chunk, shard) in shards else NO_DRIVE
            for shard in range(total_shards)
        )
        for chunk in range(chunks)
    ]
    if first is None or last is None:
        return BlobRef(blob_id, chunks, Files(1, total_shards, 1, joined(rows)).pack())
    chunk_size = first.chunk_bytes
    size = (chunks - 1) * chunk_size + last.chunk_bytes
    return BlobRef(blob_id, size, Files(first.data_shards, total_shards, chunk_size, joined(rows)).pack())


async def _header(
    blob_id: bytes, shards: dict[tuple[int, int], Drive], chunk: int
) -> frame.FrameHeader | None:
    """The header of any shard of a chunk that can be read."""
    for (index, shard), drive in shards.items():
        session = drive.session
        if index == chunk and session is not None:
            with suppress(OSError, PoolFull, frame.FrameDamaged):
                return await drive.pool.submit(_read_header, session, ShardName(blob_id, chunk, shard))
    return None


def _read_header(session: Session, name: ShardName) -> frame.FrameHeader:
    handle = shard_files.open_for_reading(session, name)
    head = durable.read(handle.fd, 0, frame.HEADER_BYTES_MIN)
    header = frame.parse_header(durable.read(handle.fd, 0, frame.header_bytes_at(head)))
    if not header.is_shard_of(*name):
        raise frame.FrameDamaged("the frame of another shard")
    return header


class _Found(NamedTuple):
    blob_id: bytes
    shard: int
    place: Place
    data_shards: int
    total_shards: int
    size: int


async def _passes(drives: DriveSet) -> int:
    """How often to go through the packs, each time for another part of the blob ids: a power of two."""
    total_bytes = 0
    for drive in drives:
        session = drive.session
        if session is not None:
            with suppress(OSError, PoolFull):
                total_bytes += sum(used.live_bytes for used in await drive.pool.submit(packs.usage, session))
    wanted = total_bytes // FRAME_BYTES_USUAL // PASS_FRAMES + 1
    return min(256, 1 << (wanted - 1).bit_length())


async def _packed_blobs(drives: DriveSet, number: int, passes: int) -> Iterable[BlobRef]:
    """The blobs in packs whose id ends in a byte that belongs to pass `number`."""
    found: dict[bytes, dict[int, _Found]] = {}
    for drive in drives:
        session = drive.session
        if session is None:
            continue
        with suppress(OSError, PoolFull):
            for pack in await drive.pool.submit(packs.packs_of, session):
                with suppress(OSError, PoolFull):
                    for shard in await drive.pool.submit(
                        _live_frames, session, drive.number, pack, number, passes
                    ):
                        found.setdefault(shard.blob_id, {})[shard.shard] = shard
    return (_packed_blob(shards) for shards in found.values())


def _live_frames(session: Session, drive: int, pack: int, number: int, passes: int) -> list[_Found]:
    """The frames of a pack that were not deleted, of the blobs of one pass. Blocks."""
    handle = packs.open_pack(session, pack)
    dead = packs.dead_frames(session, pack)
    return [
        _Found(
            header.blob_id,
            header.shard,
            Place(drive, pack, offset),
            header.data_shards,
            header.total_shards,
            header.chunk_bytes,
        )
        for offset, header in packs.scan(handle.fd)
        if header.blob_id[-1] % passes == number and dead.get(offset, (0, b""))[1] != header.blob_id[-8:]
    ]


def _packed_blob(shards: dict[int, _Found]) -> BlobRef:
    some = next(iter(shards.values()))
    places = tuple(shards[shard].place if shard in shards else NOWHERE for shard in range(some.total_shards))
    return BlobRef(some.blob_id, some.size, Packed(some.data_shards, places).pack())
