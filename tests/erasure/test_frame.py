"""The shard frame: its bytes as documented, and that nothing wrong passes for a frame."""

import struct
from typing import Any

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.erasure import frame
from objstore.erasure.frame import FrameDamaged
from objstore.erasure.geometry import BLOCK_BYTES, shard_bytes

BLOB_ID = bytes(range(16))


def pattern(length: int, salt: int = 1) -> bytes:
    return bytes(((i * 7 + salt * 13) ^ (i >> 8)) & 0xFF for i in range(min(length, 1 << 16))) * (
        1 + length // (1 << 16)
    )


def build(size: int, **changed: Any) -> bytes:
    """The frame of a shard whose payload has `size` bytes, as shard 1 of 3 copies unless changed."""
    payload = pattern(size)[:size]
    fields: dict[str, Any] = {
        "data_shards": 1,
        "total_shards": 3,
        "shard": 1,
        "blob_id": BLOB_ID,
        "blob_size": 5 * size,
        "chunk": 2,
        "chunk_bytes": size,
        "chunk_checksum": frame.chunk_checksum(payload),
        "payload": payload,
    }
    return b"".join(frame.build(**(fields | changed)))


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit >> 3] ^= 1 << (bit & 7)
    return bytes(damaged)


def test_layout_is_the_documented_one() -> None:
    size = BLOCK_BYTES + 3
    payload = pattern(size)[:size]
    data = build(size, data_shards=4, total_shards=6, shard=5, chunk_bytes=4 * size - 1, chunk_checksum=77)
    assert data[:4] == b"OSHD" and data[4:8] == bytes((1, 4, 6, 5)) and data[8:24] == BLOB_ID
    assert struct.unpack("<QIIIIQ", data[24:56]) == (5 * size, 2, 4 * size - 1, size, 0, 77)
    seed = xxhash.xxh3_64_intdigest(data[:56])
    blocks = (payload[:BLOCK_BYTES], payload[BLOCK_BYTES:])
    sums = [xxhash.xxh3_64_intdigest(block, (seed + i) % 2**64) for i, block in enumerate(blocks)]
    assert struct.unpack("<2Q", data[56:72]) == tuple(sums)
    assert struct.unpack("<Q", data[72:80]) == (xxhash.xxh3_64_intdigest(data[:72]),)
    assert data[80:] == payload


def test_a_known_frame_keeps_its_bytes() -> None:
    """The on-disk format, nailed down: this must hold in every version that writes version 1."""
    assert build(5)[:72].hex() == (
        "4f53484401010301000102030405060708090a0b0c0d0e0f"
        "190000000000000002000000050000000500000000000000"
        "5aec3ba636845f92129cb0bba0478888962e946cb1e1fff3"
    )


@settings(max_examples=50, deadline=None)
@given(
    k=st.integers(1, 20),
    m=st.integers(0, 5),
    chunk_bytes=st.one_of(
        st.integers(1, 5000),
        st.sampled_from([BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES]),
    ),
    chunk=st.integers(0, 2**32 - 1),
    blob_size=st.integers(1, 5 << 40),
    blob_id=st.binary(min_size=16, max_size=16),
    data=st.data(),
)
def test_what_is_built_is_parsed(
    k: int, m: int, chunk_bytes: int, chunk: int, blob_size: int, blob_id: bytes, data: st.DataObject
) -> None:
    shard = data.draw(st.integers(0, k + m - 1))
    payload = pattern(shard_bytes(chunk_bytes, k))[: shard_bytes(chunk_bytes, k)]
    pieces = frame.build(
        data_shards=k,
        total_shards=k + m,
        shard=shard,
        blob_id=blob_id,
        blob_size=blob_size,
        chunk=chunk,
        chunk_bytes=chunk_bytes,
        chunk_checksum=2**64 - 1,
        payload=payload,
    )
    assert pieces[1] is payload
    whole = b"".join(pieces)
    header = frame.parse_header(b"xyz" + whole + b"behind", 3)
    assert header[1:10] == (1, k, k + m, shard, blob_id, blob_size, chunk, chunk_bytes, len(payload))
    assert header.chunk_checksum == 2**64 - 1
    assert header.header_bytes == len(pieces[0]) == frame.header_bytes(len(payload))
    assert header.frame_bytes == len(whole) == frame.frame_bytes(len(payload))
    assert frame.header_bytes_at(whole[: frame.HEADER_BYTES_MIN]) == header.header_bytes
    assert frame.open_frame(whole + b"behind", blob_id, chunk, shard) == payload


@pytest.mark.parametrize("size", [1, 5, 240, 241])
def test_every_flipped_bit_is_detected(size: int) -> None:
    data = build(size)
    for bit in range(8 * len(data)):
        with pytest.raises(FrameDamaged):
            frame.open_frame(flipped(data, bit), BLOB_ID, 2, 1)


def test_every_flipped_bit_of_a_long_header_is_detected() -> None:
    data = build(3 * BLOCK_BYTES)
    for bit in range(8 * frame.header_bytes(3 * BLOCK_BYTES)):
        with pytest.raises(FrameDamaged):
            frame.parse_header(flipped(data, bit))


@settings(max_examples=60, deadline=None)
@given(size=st.sampled_from([4096, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 17]), data=st.data())
def test_damage_in_the_payload_is_detected_in_its_block_only(size: int, data: st.DataObject) -> None:
    whole = build(size)
    header = frame.parse_header(whole)
    payload = bytearray(whole[header.header_bytes :])
    position = data.draw(st.integers(0, size - 1))
    payload[position] ^= data.draw(st.integers(1, 255))
    for block in range(len(header.block_checksums)):
        piece = bytes(payload[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES])
        if block == position // BLOCK_BYTES:
            with pytest.raises(FrameDamaged, match=f"block {block} "):
                frame.check_blocks(header, block, piece)
        else:
            frame.check_blocks(header, block, piece)
    with pytest.raises(FrameDamaged, match=f"block {position // BLOCK_BYTES} "):
        frame.check_blocks(header, 0, payload)


@settings(max_examples=40, deadline=None)
@given(size=st.sampled_from([1, 100, BLOCK_BYTES + 1]), data=st.data())
def test_a_frame_cut_off_anywhere_is_detected(size: int, data: st.DataObject) -> None:
    whole = build(size)
    with pytest.raises(FrameDamaged):
        frame.open_frame(whole[: data.draw(st.integers(0, len(whole) - 1))], BLOB_ID, 2, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"blob_id": bytes(16)},
        {"chunk": 3},
        {"shard": 2},
        {"blob_size": 9999},
        {"data_shards": 1, "total_shards": 4},
    ],
    ids=lambda changed: ",".join(changed),
)
def test_swapped_payloads_are_detected_even_when_their_lengths_agree(changed: dict[str, Any]) -> None:
    mine, other = build(3000), build(3000, **changed)
    start = frame.header_bytes(3000)
    assert mine[start:] == other[start:]
    own = frame.parse_header(mine)
    foreign = frame.parse_header(other)
    assert own.block_checksums != foreign.block_checksums
    frankenstein = (
        mine[: start - 16] + other[start - 16 : start - 8]
    )  # the other's checksum, header re-signed
    resigned = frankenstein + struct.pack("<Q", xxhash.xxh3_64_intdigest(frankenstein)) + other[start:]
    with pytest.raises(FrameDamaged, match="block 0"):
        frame.open_frame(resigned, BLOB_ID, 2, 1)


def test_blocks_that_changed_places_are_detected() -> None:
    size = 2 * BLOCK_BYTES
    whole = build(size, payload=b"a" * size)
    header = frame.parse_header(whole)
    payload = whole[header.header_bytes :]
    first, second = payload[:BLOCK_BYTES], payload[BLOCK_BYTES:]
    assert first == second and header.block_checksums[0] != header.block_checksums[1]
    frame.check_blocks(header, 1, second)
    swapped = frame.build(
        data_shards=1,
        total_shards=3,
        shard=1,
        blob_id=BLOB_ID,
        blob_size=size,
        chunk=0,
        chunk_bytes=size,
        chunk_checksum=0,
        payload=b"b" * BLOCK_BYTES + b"c" * BLOCK_BYTES,
    )
    header = frame.parse_header(swapped[0])
    with pytest.raises(FrameDamaged):
        frame.check_blocks(header, 0, b"c" * BLOCK_BYTES + b"b" * BLOCK_BYTES)


@pytest.mark.parametrize(("blob_id", "chunk", "shard"), [(bytes(16), 2, 1), (BLOB_ID, 3, 1), (BLOB_ID, 2, 0)])
def test_a_whole_frame_in_anothers_place_is_detected(blob_id: bytes, chunk: int, shard: int) -> None:
    with pytest.raises(FrameDamaged, match="another shard"):
        frame.open_frame(build(100), blob_id, chunk, shard)


def test_runs_of_blocks_must_be_whole_and_inside_the_payload() -> None:
    size = 2 * BLOCK_BYTES + 10
    whole = build(size)
    header = frame.parse_header(whole)
    payload = memoryview(whole)[header.header_bytes :]
    frame.check_blocks(header, 1, payload[BLOCK_BYTES:])
    frame.check_blocks(header, 1, payload[BLOCK_BYTES : 2 * BLOCK_BYTES])
    for first, data in ((0, payload[:100]), (2, payload[:BLOCK_BYTES]), (2, payload[-9:]), (3, payload[:1])):
        with pytest.raises(FrameDamaged):
            frame.check_blocks(header, first, data)


@pytest.mark.parametrize(
    "data", [b"", b"OSHD", bytes(200), b"\xff" * 200, b"OSHD\x02" + bytes(200), b"OSHD\x01" + b"\xff" * 200]
)
def test_bytes_that_are_no_frame_are_refused_without_reading_far(data: bytes) -> None:
    with pytest.raises(FrameDamaged):
        frame.parse_header(data)
    with pytest.raises(FrameDamaged):
        frame.header_bytes_at(data)
