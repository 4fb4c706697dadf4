"""What a blob looks like at a tier: nothing of it can be changed, exchanged or cut off unnoticed."""

from random import Random

import pytest

from objstore.remote import blocks
from objstore.remote.blocks import BLOCK_BYTES, BlockDamaged

ID = bytes(range(16))
SIZES = (1, 8, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 3 * BLOCK_BYTES + 7)


def sealed(data: bytes, blob_id: bytes = ID) -> bytearray:
    return blocks.seal(blocks.seed_of(blob_id, len(data)), 0, memoryview(data))


def opened(seal: bytes | bytearray, size: int, first: int = 0, blob_id: bytes = ID) -> bytes:
    return b"".join(blocks.opened(blocks.seed_of(blob_id, size), first, memoryview(seal)))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_is_opened(size: int) -> None:
    data = Random(size).randbytes(size)
    seal = sealed(data)
    assert len(seal) == blocks.sealed_size(size)
    assert opened(seal, size) == data


@pytest.mark.parametrize("size", SIZES)
def test_every_range_has_its_blocks(size: int) -> None:
    random = Random(size)
    data = random.randbytes(size)
    seal = sealed(data)
    for _ in range(50):
        offset = random.randrange(size)
        length = random.randint(1, size - offset)
        first, begin, count = blocks.sealed_range(size, offset, length)
        whole = opened(seal[begin : begin + count], size, first)
        skip = offset - first * BLOCK_BYTES
        assert whole[skip : skip + length] == data[offset : offset + length]
        assert len(whole) < length + 2 * BLOCK_BYTES


def test_damage_of_any_kind_is_found(seeded: Random) -> None:
    data = seeded.randbytes(3 * BLOCK_BYTES + 100)
    seal, size = sealed(data), len(data)
    for _ in range(200):
        spoilt = bytearray(seal)
        spoilt[seeded.randrange(len(spoilt))] ^= 1 << seeded.randrange(8)
        with pytest.raises(BlockDamaged):
            opened(spoilt, size)
    block = blocks.SEALED_BYTES
    for other in (
        seal[block : 2 * block] + seal[:block],  # exchanged
        seal[:-1],
        seal[: -(100 + 8)] + seal[-8:],
        sealed(data, bytes(16)),  # another blob's
    ):
        with pytest.raises(BlockDamaged):
            opened(other, size)
    with pytest.raises(BlockDamaged):
        opened(seal, size + 1)
