"""Bytes sealed and opened as they pass by, in pieces of any size."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from objstore.encryption import flow
from objstore.encryption.stream import CHUNK_BYTES, BlobCipher, ChunkDamaged, sealed_size, window

KEY = bytes(range(32))
MIB = 1024 * 1024


async def pieces_of(data: bytes, piece_bytes: int) -> AsyncIterator[memoryview]:
    for start in range(0, len(data), piece_bytes):
        yield memoryview(data)[start : start + piece_bytes]


async def sealed(data: bytes, piece_bytes: int) -> tuple[bytes, bytes]:
    """What is stored, and what `observe` saw."""
    seen: list[bytes] = []
    stored = flow.sealed(pieces_of(data, piece_bytes), BlobCipher(KEY), lambda run: seen.append(bytes(run)))
    return b"".join([bytes(piece) async for piece in stored]), b"".join(seen)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, MIB, MIB + 1, 2 * MIB, 2 * MIB + 12345])
@pytest.mark.parametrize("piece_bytes", [1000, CHUNK_BYTES, 3 * MIB])
def test_what_flows_in_flows_out(size: int, piece_bytes: int, seeded: random.Random) -> None:
    async def main() -> None:
        data = seeded.randbytes(size)
        stored, seen = await sealed(data, piece_bytes)
        assert seen == data
        assert stored == bytes(BlobCipher(KEY).seal(memoryview(data), 0, has_last=True))
        for _ in range(20):
            offset = seeded.randrange(size)
            length = seeded.randint(1, size - offset)
            wanted = window(size, offset, length)
            source = pieces_of(stored[wanted.offset : wanted.offset + wanted.length], piece_bytes)
            plain = flow.opened(source, BlobCipher(KEY), wanted, length)
            assert b"".join([bytes(p) async for p in plain]) == data[offset : offset + length]

    asyncio.run(main())


def test_nothing_of_a_damaged_chunk_comes_out() -> None:
    async def main() -> None:
        data = bytes(5 * CHUNK_BYTES)
        stored = bytearray((await sealed(data, MIB))[0])
        stored[2 * (CHUNK_BYTES + 16) + 5] ^= 1
        wanted = window(len(data), 0, len(data))
        plain = flow.opened(pieces_of(bytes(stored), CHUNK_BYTES), BlobCipher(KEY), wanted, len(data))
        got = 0
        with pytest.raises(ChunkDamaged):
            async for piece in plain:
                got += len(piece)
        assert got <= 2 * CHUNK_BYTES

    asyncio.run(main())


def test_a_source_that_fails_fails_the_flow() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(3 * MIB)
        raise ConnectionError

    async def main() -> None:
        with pytest.raises(ConnectionError):
            async for _ in flow.sealed(broken(), BlobCipher(KEY), lambda run: None):
                pass

    asyncio.run(main())


def test_the_length_is_known_before() -> None:
    for size in (1, CHUNK_BYTES, CHUNK_BYTES + 1, 10 * MIB + 1):
        assert sealed_size(size) == window(size, 0, size).length
