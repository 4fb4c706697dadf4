"""Arithmetic of chunks, shards and blocks: ranges cover exactly what was asked for, once, in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.erasure import geometry
from objstore.erasure.geometry import BLOCK_BYTES

EDGES = st.sampled_from([1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 4 * BLOCK_BYTES, 8 << 20])


@pytest.mark.parametrize(
    ("blob_size", "chunk_size", "expected"),
    [(0, 10, []), (1, 10, [1]), (10, 10, [10]), (11, 10, [10, 1]), (30, 10, [10, 10, 10])],
)
def test_chunks_of_a_blob(blob_size: int, chunk_size: int, expected: list[int]) -> None:
    count = geometry.chunk_count(blob_size, chunk_size)
    assert [geometry.chunk_bytes(blob_size, chunk_size, i) for i in range(count)] == expected
    assert geometry.chunk_bytes(blob_size, chunk_size, count) == 0


@pytest.mark.parametrize(("chunk_bytes", "k", "expected"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (100, 1, 100)])
def test_shard_length(chunk_bytes: int, k: int, expected: int) -> None:
    assert geometry.shard_bytes(chunk_bytes, k) == expected


@given(payload=st.integers(1, 5 * BLOCK_BYTES))
def test_blocks_add_up_to_the_payload(payload: int) -> None:
    blocks = [geometry.block_bytes(payload, i) for i in range(geometry.block_count(payload))]
    assert sum(blocks) == payload and all(0 < size <= BLOCK_BYTES for size in blocks)
    assert geometry.block_bytes(payload, len(blocks)) == 0


@given(
    data=st.data(), blob_size=st.one_of(st.integers(1, 10**6), EDGES), chunk_size=st.integers(10_000, 300_000)
)
def test_chunk_ranges_cover_the_range(data: st.DataObject, blob_size: int, chunk_size: int) -> None:
    offset = data.draw(st.integers(0, blob_size))
    length = data.draw(st.integers(0, blob_size - offset))
    position = offset
    for part in geometry.chunk_ranges(blob_size, chunk_size, offset, length):
        assert part.chunk * chunk_size + part.offset == position
        assert part.chunk_bytes == geometry.chunk_bytes(blob_size, chunk_size, part.chunk)
        assert part.length > 0 and part.offset + part.length <= part.chunk_bytes
        position += part.length
    assert position == offset + length


@given(data=st.data(), chunk_bytes=st.one_of(st.integers(1, 10**6), EDGES), k=st.integers(1, 20))
def test_shard_ranges_cover_the_range_with_whole_blocks(
    data: st.DataObject, chunk_bytes: int, k: int
) -> None:
    offset = data.draw(st.integers(0, chunk_bytes))
    length = data.draw(st.integers(0, chunk_bytes - offset))
    payload = geometry.shard_bytes(chunk_bytes, k)
    position = offset
    for part in geometry.shard_ranges(chunk_bytes, k, offset, length):
        assert part.shard < k and part.shard * payload + part.offset == position
        assert part.length > 0 and part.offset + part.length <= payload
        end = part.blocks_start + part.blocks_bytes
        assert part.blocks_start == part.first_block * BLOCK_BYTES <= part.offset
        assert part.offset + part.length <= end <= payload
        assert end == payload or end % BLOCK_BYTES == 0
        assert part.skip < BLOCK_BYTES and end - (part.offset + part.length) < BLOCK_BYTES
        position += part.length
    assert position == offset + length


def test_a_small_range_touches_one_block_of_one_shard() -> None:
    ranges = list(geometry.shard_ranges(8 << 20, 4, 3 * BLOCK_BYTES + 5, 10))
    assert ranges == [(0, 3 * BLOCK_BYTES + 5, 10, 3, 3 * BLOCK_BYTES, BLOCK_BYTES)]
    assert ranges[0].skip == 5
