"""The shard frame: what one shard looks like on a drive. Layout: docs/on_disk_format.md, "Shard frame".

A frame says by itself which bytes it holds, of which blob, and whether they are still right:

    prefix (56 bytes) · block checksums (8 each) · header checksum (8) · payload

Invariants kept here:
- Each block checksum is seeded by the whole prefix and the block's number, so a block that lies under
  another frame's header, in another place, or is left from an older blob does not check.
- The header checksum covers every byte of the header before it.
- `parse_header` believes nothing before that checksum holds, except the lengths needed to find it,
  and those only within their limits.

A frame of 4 KiB is built, and parsed and checked, in less than 5 µs: hence plain functions, one
`Struct` each and a NamedTuple (a frozen dataclass costs four times as much to make).
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from xxhash import xxh3_64_intdigest

from objstore.erasure.geometry import BLOCK_BYTES, block_count, shard_bytes

Buffer = bytes | bytearray | memoryview

MAGIC: Final = b"OSHD"
VERSION: Final = 1
CHUNK_BYTES_MAX: Final = 1 << 30
"""No chunk is larger; bounds what a reader allocates on the word of a header not yet checked."""

_PREFIX: Final = Struct("<4sBBBB16sQIIIIQ")
_CHECKSUM: Final = Struct("<Q")
_ONE_BLOCK: Final = Struct("<56sQ")
_MASK: Final = (1 << 64) - 1

PREFIX_BYTES: Final = _PREFIX.size
assert PREFIX_BYTES == 56
HEADER_BYTES_MIN: Final = PREFIX_BYTES + 16
"""The header of a frame with one block: enough to read before anything is known of the frame."""


class FrameDamaged(Exception):
    """These bytes are not the frame, or the blocks, that they should be. Says what is wrong."""


class FrameHeader(NamedTuple):
    """A header whose checksum held. Which frame it should be is the caller's to compare: `is_shard_of`."""

    magic: bytes
    version: int
    data_shards: int
    total_shards: int
    shard: int
    blob_id: bytes
    blob_size: int
    chunk: int
    chunk_bytes: int
    payload_bytes: int
    reserved: int
    chunk_checksum: int
    """`chunk_checksum` of the whole chunk: what a decoded chunk must hash to."""
    seed: int
    """Block b's checksum is xxh3_64 of its bytes, seeded with this plus b (modulo 2^64)."""
    block_checksums: tuple[int, ...]

    @property
    def header_bytes(self) -> int:
        """Where the payload begins in the frame."""
        return PREFIX_BYTES + 8 * len(self.block_checksums) + 8

    @property
    def frame_bytes(self) -> int:
        """The length of the whole frame."""
        return self.header_bytes + self.payload_bytes

    def is_shard_of(self, blob_id: bytes, chunk: int, shard: int) -> bool:
        """Whether this frame holds that shard of that chunk of that blob."""
        return self.shard == shard and self.blob_id == blob_id and self.chunk == chunk


def header_bytes(payload_bytes: int) -> int:
    """The length of the header of a frame with such a payload: where its payload begins."""
    return PREFIX_BYTES + 8 * block_count(payload_bytes) + 8


def frame_bytes(payload_bytes: int) -> int:
    """The length of a whole frame with such a payload."""
    return header_bytes(payload_bytes) + payload_bytes


def chunk_checksum(chunk: Buffer) -> int:
    """The checksum of a whole chunk (xxh3_64, seed 0), computed before it is coded."""
    return xxh3_64_intdigest(chunk)


def build(
    *,
    data_shards: int,
    total_shards: int,
    shard: int,
    blob_id: bytes,
    blob_size: int,
    chunk: int,
    chunk_bytes: int,
    chunk_checksum: int,
    payload: Buffer,
) -> list[Buffer]:
    """[header, payload]: the frame, ready for one `writev`. The payload is not copied.

    `chunk_bytes` is the chunk's own length; `payload` is one of its shards, of ceil(chunk_bytes / k)
    bytes. `chunk_checksum` is the function of that name over the chunk.
    """
    size = len(payload)
    assert size == shard_bytes(chunk_bytes, data_shards) and 0 < chunk_bytes <= CHUNK_BYTES_MAX
    assert len(blob_id) == 16 and shard < total_shards
    prefix = _PREFIX.pack(
        MAGIC,
        VERSION,
        data_shards,
        total_shards,
        shard,
        blob_id,
        blob_size,
        chunk,
        chunk_bytes,
        size,
        0,
        chunk_checksum,
    )
    seed = xxh3_64_intdigest(prefix)
    if size <= BLOCK_BYTES:
        body = _ONE_BLOCK.pack(prefix, xxh3_64_intdigest(payload, seed))
    else:
        body = prefix + _checksums(block_count(size)).pack(*_digests(payload, seed, 0))
    return [body + _CHECKSUM.pack(xxh3_64_intdigest(body)), payload]


def header_bytes_at(data: Buffer, offset: int = 0) -> int:
    """The length of the header that begins at `offset`, from at least HEADER_BYTES_MIN bytes of it.

    For scanning: read this much, then `parse_header`. The answer is within limits, not yet believed.
    Raises FrameDamaged if no frame begins there.
    """
    if len(data) - offset < PREFIX_BYTES:
        raise FrameDamaged("cut off within the header")
    fields = _PREFIX.unpack_from(data, offset)
    if fields[0] != MAGIC or fields[1] != VERSION:
        raise FrameDamaged("no frame of a known version begins here")
    if fields[9] > CHUNK_BYTES_MAX:
        raise FrameDamaged("payload length out of range")
    return header_bytes(fields[9])


def parse_header(data: Buffer, offset: int = 0) -> FrameHeader:
    """The header that begins at `offset` of `data`, which may go on behind it.

    Raises FrameDamaged when it is cut off, of an unknown version, or its checksum does not hold.
    """
    if len(data) - offset < HEADER_BYTES_MIN:
        raise FrameDamaged("cut off within the header")
    fields = _PREFIX.unpack_from(data, offset)
    if fields[0] != MAGIC or fields[1] != VERSION:
        raise FrameDamaged("no frame of a known version begins here")
    payload_bytes = fields[9]
    if payload_bytes > CHUNK_BYTES_MAX:
        raise FrameDamaged("payload length out of range")
    end = offset + header_bytes(payload_bytes) - 8
    if len(data) < end + 8:
        raise FrameDamaged("cut off within the header")
    view = memoryview(data)
    if _CHECKSUM.unpack_from(data, end)[0] != xxh3_64_intdigest(view[offset:end]):
        raise FrameDamaged("header checksum does not match")
    middle = offset + PREFIX_BYTES
    checksums = _checksums(end - middle >> 3).unpack_from(data, middle)
    return FrameHeader._make((*fields, xxh3_64_intdigest(view[offset:middle]), checksums))


def check_blocks(header: FrameHeader, first_block: int, data: Buffer) -> None:
    """See that `data`, whole blocks of the payload from block `first_block` on, is what was written.

    Only the payload's last block may be shorter than BLOCK_BYTES. Raises FrameDamaged.
    """
    size = len(data)
    start = first_block * BLOCK_BYTES
    if start + size > header.payload_bytes:
        raise FrameDamaged("longer than the payload")
    if size % BLOCK_BYTES and start + size != header.payload_bytes:
        raise FrameDamaged("cut off within a block")
    expected = header.block_checksums
    if size <= BLOCK_BYTES:
        if size and xxh3_64_intdigest(data, (header.seed + first_block) & _MASK) != expected[first_block]:
            raise FrameDamaged(f"checksum of block {first_block} does not match")
        return
    for block, digest in enumerate(_digests(data, header.seed, first_block), first_block):
        if digest != expected[block]:
            raise FrameDamaged(f"checksum of block {block} does not match")


def open_frame(data: Buffer, blob_id: bytes, chunk: int, shard: int) -> memoryview:
    """The payload of a whole frame, checked, and checked to be that shard: one call for the hot path.

    `data` may go on behind the frame. The view is of `data`. Raises FrameDamaged.
    """
    header = parse_header(data)
    if not header.is_shard_of(blob_id, chunk, shard):
        raise FrameDamaged("the frame of another shard")
    start = header.header_bytes
    payload = memoryview(data)[start : start + header.payload_bytes]
    if len(payload) != header.payload_bytes:
        raise FrameDamaged("cut off within the payload")
    check_blocks(header, 0, payload)
    return payload


@lru_cache(maxsize=64)
def _checksums(count: int) -> Struct:
    return Struct(f"<{count}Q")


def _digests(data: Buffer, seed: int, first_block: int) -> Sequence[int]:
    view = memoryview(data)
    seed += first_block
    return [
        xxh3_64_intdigest(view[start : start + BLOCK_BYTES], (seed + block) & _MASK)
        for block, start in enumerate(range(0, len(view), BLOCK_BYTES))
    ]
