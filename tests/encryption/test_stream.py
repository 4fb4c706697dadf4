"""Sealed chunks: every range opens, and nothing opens that was tampered with."""

import random

import pytest

from objstore.encryption import stream
from objstore.encryption.stream import (
    CHUNK_BYTES,
    SEALED_BYTES,
    TAG_BYTES,
    BlobCipher,
    ChunkDamaged,
    sealed_size,
    window,
)

KNOWN = "d655cbc11c974a52bf98fd30f30e2c3f3b5bdf5253f05b03"
KEY = bytes(range(32))
SIZES = [1, 2, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7]


def sealed(data: bytes, cipher: BlobCipher) -> bytes:
    return bytes(cipher.seal(memoryview(data), 0, has_last=True))


def opened(data: bytes, cipher: BlobCipher, size: int, offset: int, length: int) -> bytes:
    """A range of the plain bytes, as a reader gets it."""
    wanted = window(size, offset, length)
    cut = memoryview(data)[wanted.offset : wanted.offset + wanted.length]
    plain = cipher.open(cut, wanted.first_chunk, has_last=wanted.has_last)
    return bytes(plain[wanted.skip : wanted.skip + length])


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sealed_opens(size: int, seeded: random.Random) -> None:
    data, cipher = seeded.randbytes(size), BlobCipher(KEY)
    stored = sealed(data, cipher)
    assert len(stored) == sealed_size(size)
    assert opened(stored, BlobCipher(KEY), size, 0, size) == data
    if size > TAG_BYTES:
        assert data[:TAG_BYTES] not in stored


def test_every_range_of_a_small_blob_opens() -> None:
    data, cipher = bytes(range(40)), BlobCipher(KEY)
    stored = sealed(data, cipher)
    for offset in range(len(data)):
        for length in range(1, len(data) - offset + 1):
            assert opened(stored, cipher, len(data), offset, length) == data[offset : offset + length]


def test_ranges_around_every_border_open(seeded: random.Random) -> None:
    size = 3 * CHUNK_BYTES + 5
    data, cipher = seeded.randbytes(size), BlobCipher(KEY)
    stored = sealed(data, cipher)
    edges = sorted(
        {
            place
            for border in (0, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, size)
            for place in (border - 1, border, border + 1)
            if 0 <= place <= size
        }
    )
    for start in edges:
        for end in edges:
            if start < end:
                assert opened(stored, cipher, size, start, end - start) == data[start:end]


def test_runs_sealed_one_after_the_other_are_the_whole() -> None:
    data, cipher = bytes(2 * CHUNK_BYTES + 3), BlobCipher(KEY)
    first = cipher.seal(memoryview(data)[:CHUNK_BYTES], 0, has_last=False)
    rest = cipher.seal(memoryview(data)[CHUNK_BYTES:], 1, has_last=True)
    assert bytes(first) + bytes(rest) == sealed(data, cipher)


def test_every_flipped_bit_is_an_error() -> None:
    data, cipher = b"what a client trusts us with", BlobCipher(KEY)
    stored = sealed(data, cipher)
    for place in range(len(stored)):
        for bit in range(8):
            bad = bytearray(stored)
            bad[place] ^= 1 << bit
            with pytest.raises(ChunkDamaged):
                cipher.open(memoryview(bad), 0, has_last=True)


def test_flipped_bits_of_every_chunk_are_errors(seeded: random.Random) -> None:
    size = 2 * CHUNK_BYTES + 100
    cipher = BlobCipher(KEY)
    stored = sealed(seeded.randbytes(size), cipher)
    for _ in range(50):
        bad = bytearray(stored)
        bad[seeded.randrange(len(bad))] ^= 1 << seeded.randrange(8)
        with pytest.raises(ChunkDamaged):
            cipher.open(memoryview(bad), 0, has_last=True)


@pytest.mark.parametrize(
    "length",
    [0, 1, TAG_BYTES, TAG_BYTES + 1, SEALED_BYTES, SEALED_BYTES + TAG_BYTES, 2 * SEALED_BYTES, -1],
)
def test_what_is_cut_off_is_an_error(length: int) -> None:
    cipher = BlobCipher(KEY)
    stored = sealed(bytes(2 * CHUNK_BYTES + 9), cipher)
    with pytest.raises(ChunkDamaged):
        cipher.open(memoryview(stored[:length]), 0, has_last=True)


def test_a_blob_cannot_be_made_longer() -> None:
    cipher = BlobCipher(KEY)
    stored = sealed(bytes(CHUNK_BYTES), cipher)
    with pytest.raises(ChunkDamaged):
        cipher.open(memoryview(stored + stored), 0, has_last=True)


def test_chunks_in_another_order_are_an_error() -> None:
    cipher = BlobCipher(KEY)
    stored = sealed(bytes(3 * CHUNK_BYTES), cipher)
    chunks = [stored[start : start + SEALED_BYTES] for start in range(0, len(stored), SEALED_BYTES)]
    with pytest.raises(ChunkDamaged):
        cipher.open(memoryview(b"".join((chunks[1], chunks[0], chunks[2]))), 0, has_last=True)
    with pytest.raises(ChunkDamaged):
        cipher.open(memoryview(chunks[1]), 0, has_last=False)


@pytest.mark.parametrize(
    "other",
    [BlobCipher(bytes(32)), BlobCipher(KEY, b"salt"), BlobCipher(KEY, b"", 1), BlobCipher(KEY, b"tlas", 2)],
)
def test_another_blob_does_not_open(other: BlobCipher) -> None:
    with pytest.raises(ChunkDamaged):
        other.open(memoryview(sealed(b"of another blob", BlobCipher(KEY))), 0, has_last=True)


def test_known_answer() -> None:
    """The format is for ever: what an older version wrote must open."""
    stored = sealed(b"objstore", BlobCipher(KEY, bytes(16), 7))
    assert stored.hex() == KNOWN
    extracted = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    assert stream.derived_key(extracted, b"", bytes(range(0xF0, 0xFA))).hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"  # RFC 5869, A.1, 32 bytes of it
    )
