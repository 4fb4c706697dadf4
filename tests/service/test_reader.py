"""Bytes of versions: whole, in ranges, over parts, while blobs move and vanish."""

import asyncio
import itertools
from typing import Any

import pytest

from objstore import clock
from objstore.meta.commands import MoveBlob, ReleaseParts
from objstore.model import BlobRef, ObjectVersion
from objstore.service.multipart import PART_BYTES_MIN, ClaimedPart, Completion
from objstore.service.reader import NOW_BYTES_MAX, ReadsUnderWay
from objstore.storage.interface import BlobCorrupt, BlobMissing
from tests.service.support import Slots, World

DATA = bytes(range(256)) * 2048  # 512 KiB, eight pieces of the store


async def multipart(world: World, *parts: bytes) -> ObjectVersion:
    upload_id, etags = await world.put_parts("key", parts)
    claimed = [ClaimedPart(number, etag, {}) for number, etag in enumerate(etags, 1)]
    return await world.uploads.complete(world.bucket, "key", upload_id, claimed, Completion())


def move(world: World, blob: BlobRef) -> None:
    moved = world.store.move(blob)
    world.facts.db.write(MoveBlob(blob.id, blob.locator, moved.locator), clock.now_ms())


def test_ranges_of_a_blob() -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", DATA)
        for offset, length in [(0, len(DATA)), (0, 1), (len(DATA) - 1, 1), (65_535, 2), (70_000, 200_000)]:
            assert await world.read(version, offset, length) == DATA[offset : offset + length]

    asyncio.run(scenario())


def test_ranges_over_parts_touch_only_the_parts_they_lie_in() -> None:
    world = World()
    first, second, third = bytes([1]) * PART_BYTES_MIN, bytes([2]) * (PART_BYTES_MIN + 1), b"three"
    whole = first + second + third

    async def scenario() -> None:
        version = await multipart(world, first, second, third)
        assert version.size == len(whole)
        assert await world.read(version) == whole
        edges = [0, 1, len(first) - 1, len(first), len(first) + 1, len(first + second), len(whole) - 1]
        for start, end in itertools.combinations([*edges, len(whole)], 2):
            assert await world.read(version, start, end - start) == whole[start:end]
        page = await world.objects.parts(version, 0, 10)
        for part in page.parts[1:]:
            assert part.blob is not None
            del world.store.blobs[part.blob.locator]
        assert await world.read(version, 5, 1000) == whole[5:1005]

    asyncio.run(scenario())


def test_empty_parts_have_no_bytes_to_read() -> None:
    world = World()

    async def scenario() -> None:
        version = await multipart(world, bytes(PART_BYTES_MIN), b"")
        assert await world.read(version) == bytes(PART_BYTES_MIN)

    asyncio.run(scenario())


@pytest.mark.parametrize("read_before", [0, 1, 7])
def test_a_stream_goes_on_when_its_blob_is_moved(read_before: int) -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", DATA)
        assert version.blob is not None
        if read_before == 0:
            move(world, version.blob)
        stream = await world.reader.open(version, 0, len(DATA))
        pieces = [bytes(await anext(stream)) for _ in range(read_before)]
        if read_before:
            move(world, version.blob)
        pieces += [bytes(piece) async for piece in stream]
        assert b"".join(pieces) == DATA

    asyncio.run(scenario())


def test_a_blob_that_is_gone_is_told_before_an_answer_begins() -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", DATA)
        world.store.blobs.clear()
        with pytest.raises(BlobMissing):
            await world.reader.open(version, 0, 10)
        assert not len(world.reads)

    asyncio.run(scenario())


def test_a_blob_that_vanishes_in_mid_stream_breaks_the_stream() -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", DATA)
        stream = await world.reader.open(version, 0, len(DATA))
        await anext(stream)
        world.store.blobs.clear()
        with pytest.raises(BlobMissing):
            async for _ in stream:
                pass
        assert not len(world.reads)

    asyncio.run(scenario())


def test_a_store_that_ends_early_breaks_the_stream() -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", DATA)
        whole = world.store.get

        async def short(ref: BlobRef, offset: int = 0, length: int | None = None) -> Any:
            async for piece in whole(ref, offset, 100_000):
                yield piece

        world.store.get = short  # type: ignore[method-assign]
        with pytest.raises(BlobCorrupt):
            await world.read(version)

    asyncio.run(scenario())


def test_an_object_of_parts_that_is_replaced_before_it_is_opened_is_read_whole() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("key", [bytes(PART_BYTES_MIN), b"end"])
        claimed = [ClaimedPart(number, etag, {}) for number, etag in enumerate(etags, 1)]
        await world.uploads.complete(world.bucket, "key", upload_id, claimed, Completion())
        found = await world.objects.find(world.bucket, "key")
        await world.put("key", b"another")
        assert await world.read(found, PART_BYTES_MIN - 1) == b"\0end"
        await world.facts.write(ReleaseParts(upload_id))
        with pytest.raises(BlobMissing):
            await world.read(found, 0, 10)

    asyncio.run(scenario())


def test_what_is_at_hand_is_read_at_once() -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", DATA)
        assert bytes(world.reader.read_now(version, 10, 20) or b"") == DATA[10:30]
        assert world.reader.read_now(version, 0, NOW_BYTES_MAX + 1) is None
        world.store.answers_now = False
        assert world.reader.read_now(version, 10, 20) is None

    asyncio.run(scenario())


def test_the_oldest_open_stream_is_shared_until_it_is_closed() -> None:
    slots = Slots()
    reads = ReadsUnderWay(slots, 3)
    with clock.held(1_000) as advance:
        first = reads.begin()
        advance(5)
        second = reads.begin()
        advance(5)
        third = reads.begin()
        assert slots.oldest[3] == 1_000
        reads.end(second)
        assert slots.oldest[3] == 1_000
        reads.end(first)
        assert slots.oldest[3] == 1_010
        reads.end(third)
        assert slots.oldest[3] == 0


def test_reads_of_a_process_that_was_killed_are_over() -> None:
    slots = Slots()
    ReadsUnderWay(slots, 3).begin()
    assert slots.oldest[3]
    ReadsUnderWay(slots, 3)
    assert slots.oldest == {3: 0}


def test_closing_a_stream_early_ends_its_read() -> None:
    world = World()

    async def scenario() -> None:
        version = await multipart(world, bytes(PART_BYTES_MIN), DATA)
        stream = await world.reader.open(version, 0, version.size)
        assert len(world.reads) == 1
        await anext(stream)
        await stream.aclose()
        assert not len(world.reads)
        assert world.slots.oldest[0] == 0

    asyncio.run(scenario())
