"""The arithmetic of blobs, chunks, shards and blocks. Pure; every count and offset in bytes unless named.

A blob of B bytes is cut into chunks of `chunk_size` bytes, the last one shorter. A chunk of C bytes is
cut into k data shards of ceil(C / k) bytes, one after the other, the tail padded with zeros. A shard is
checked in blocks of BLOCK_BYTES, the last one shorter. Everything is counted from 0.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

BLOCK_BYTES: Final = 65536


class ChunkRange(NamedTuple):
    """The part of a byte range that lies in one chunk."""

    chunk: int
    chunk_bytes: int
    offset: int
    """Where the part begins in the chunk."""
    length: int


class ShardRange(NamedTuple):
    """The part of a byte range that lies in one data shard, and the blocks that must be read to check it."""

    shard: int
    offset: int
    """Where the part begins in the shard."""
    length: int
    first_block: int
    blocks_start: int
    """Where the first block begins in the shard."""
    blocks_bytes: int
    """How many bytes the blocks have together."""

    @property
    def skip(self) -> int:
        """How many bytes of the blocks precede the part."""
        return self.offset - self.blocks_start


def chunk_count(blob_size: int, chunk_size: int) -> int:
    """How many chunks a blob has; 0 for an empty one."""
    return -(-blob_size // chunk_size)


def chunk_bytes(blob_size: int, chunk_size: int, chunk: int) -> int:
    """The length of one chunk; 0 past the end of the blob."""
    return max(0, min(chunk_size, blob_size - chunk * chunk_size))


def shard_bytes(chunk_bytes: int, data_shards: int) -> int:
    """The length of each shard of a chunk, padding included."""
    return -(-chunk_bytes // data_shards)


def block_count(payload_bytes: int) -> int:
    """How many blocks a shard has."""
    return -(-payload_bytes // BLOCK_BYTES)


def block_bytes(payload_bytes: int, block: int) -> int:
    """The length of one block; 0 past the end of the shard."""
    return max(0, min(BLOCK_BYTES, payload_bytes - block * BLOCK_BYTES))


def chunk_ranges(blob_size: int, chunk_size: int, offset: int, length: int) -> Iterator[ChunkRange]:
    """The chunks that bytes [offset, offset + length) of a blob touch, in order.

    The range must lie inside the blob. Yields nothing for length 0.
    """
    assert offset >= 0 and length >= 0 and offset + length <= blob_size
    end = offset + length
    while offset < end:
        chunk, start = divmod(offset, chunk_size)
        size = chunk_bytes(blob_size, chunk_size, chunk)
        taken = min(end - offset, size - start)
        yield ChunkRange(chunk, size, start, taken)
        offset += taken


def shard_ranges(chunk_bytes: int, data_shards: int, offset: int, length: int) -> Iterator[ShardRange]:
    """The data shards that bytes [offset, offset + length) of a chunk touch, in order.

    The range must lie inside the chunk. The code works on each byte column by itself, so a missing
    shard's blocks can be rebuilt from the same `blocks_start`, `blocks_bytes` of k other shards.
    """
    assert offset >= 0 and length >= 0 and offset + length <= chunk_bytes
    payload_bytes = shard_bytes(chunk_bytes, data_shards)
    end = offset + length
    while offset < end:
        shard, start = divmod(offset, payload_bytes)
        taken = min(end - offset, payload_bytes - start)
        first_block = start // BLOCK_BYTES
        blocks_start = first_block * BLOCK_BYTES
        blocks_end = min(payload_bytes, block_count(start + taken) * BLOCK_BYTES)
        yield ShardRange(shard, start, taken, first_block, blocks_start, blocks_end - blocks_start)
        offset += taken
