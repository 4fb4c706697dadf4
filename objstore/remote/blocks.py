"""What a blob looks like at a tier: blocks of 64 KiB, each with its checksum behind it.

So that no byte from another server is believed, of ranges as little as of whole blobs. The checksum (xxh3_64,
8 bytes, little-endian) is seeded by the blob's id and size and the block's number: a block of another blob,
or from another place, does not check. Pure. Layout: docs/on_disk_format.md, "Blobs at a tier".
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from xxhash import xxh3_64_intdigest

BLOCK_BYTES: Final = 64 * 1024
CHECKSUM_BYTES: Final = 8
SEALED_BYTES: Final = BLOCK_BYTES + CHECKSUM_BYTES
"""A whole block at the tier."""
RUN_BLOCKS: Final = 16
"""So many blocks are sealed or opened at once: 1 MiB, about 0.1 ms of checksums."""

_CHECKSUM: Final = Struct("<Q")
_SEED: Final = Struct("<16sQ")
_MASK: Final = (1 << 64) - 1


class BlockDamaged(Exception):
    """These bytes are not the blocks that were sent."""


def block_count(size: int) -> int:
    """How many blocks a blob of `size` bytes has."""
    return -(-size // BLOCK_BYTES)


def sealed_size(size: int) -> int:
    """How long a blob of `size` bytes is at a tier."""
    return size + CHECKSUM_BYTES * block_count(size)


def sealed_range(size: int, offset: int, length: int) -> tuple[int, int, int]:
    """(first block, offset, length) at the tier of the blocks that hold `length` bytes (at least one) from
    `offset` of a blob of `size` bytes."""
    assert 0 <= offset < offset + length <= size
    first, end = offset // BLOCK_BYTES, block_count(offset + length)
    begin = first * SEALED_BYTES
    return first, begin, min(end * SEALED_BYTES, sealed_size(size)) - begin


def seed_of(blob_id: bytes, size: int) -> int:
    """What a blob's checksums begin with."""
    return xxh3_64_intdigest(_SEED.pack(blob_id, size))


def seal(seed: int, first_block: int, data: memoryview) -> bytearray:
    """`data`, blocks from `first_block` on of which only the blob's last may be short, with checksums."""
    sealed = bytearray()
    for block, start in enumerate(range(0, data.nbytes, BLOCK_BYTES), first_block):
        piece = data[start : start + BLOCK_BYTES]
        sealed += piece
        sealed += _CHECKSUM.pack(xxh3_64_intdigest(piece, (seed + block) & _MASK))
    return sealed


def opened(seed: int, first_block: int, sealed: memoryview) -> Iterator[memoryview]:
    """The blocks within `sealed`, which begins with block `first_block`, each checked.

    Raises BlockDamaged.
    """
    for block, start in enumerate(range(0, sealed.nbytes, SEALED_BYTES), first_block):
        piece = sealed[start : start + SEALED_BYTES]
        if piece.nbytes <= CHECKSUM_BYTES:
            raise BlockDamaged(f"block {block} is cut off")
        data = piece[:-CHECKSUM_BYTES]
        (expected,) = _CHECKSUM.unpack(piece[-CHECKSUM_BYTES:])
        if xxh3_64_intdigest(data, (seed + block) & _MASK) != expected:
            raise BlockDamaged(f"checksum of block {block} does not match")
        yield data
