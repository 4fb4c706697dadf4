"""Copies: by reference, by range, onto themselves, and of sources that change meanwhile."""

import asyncio
import hashlib
from base64 import b64encode
from hashlib import md5
from typing import Any

import pytest

from objstore.meta.interface import Conflict
from objstore.model import Attributes, Checksum, ChecksumType, ObjectVersion, Versioning
from objstore.s3.conditions import Conditions
from objstore.s3.errors import InvalidArgument, InvalidRequest, NoSuchKey, PreconditionFailed
from objstore.service import copy as copying
from objstore.service.copy import Source, Terms
from objstore.service.multipart import PART_BYTES_MIN, ClaimedPart, Completion
from objstore.service.objects import NewObject
from tests.service.support import OWNER, World

PLAIN = Terms(NewObject(Attributes()))
GIVEN = Attributes(headers={"content-type": "text/plain"}, metadata={"a": "1"}, storage_class="STANDARD_IA")


def source(world: World, key: str = "source", version_id: str | None = None, **conditions: Any) -> Source:
    return Source(world.bucket, key, version_id, Conditions(**conditions))


async def multipart(world: World, *parts: bytes) -> ObjectVersion:
    upload_id, etags = await world.put_parts("source", parts)
    claimed = [ClaimedPart(number, etag, {}) for number, etag in enumerate(etags, 1)]
    return await world.uploads.complete(world.bucket, "source", upload_id, claimed, Completion())


def test_a_copy_shares_the_bytes_and_outlives_its_source() -> None:
    world = World()

    async def scenario() -> None:
        original = await world.put("source", b"data", NewObject(GIVEN, tags={"t": "1"}))
        made, _ = await world.copies.copy(source(world), world.bucket, "target", PLAIN)
        assert len(world.stored) == 1
        assert (made.etag, made.tags) == (original.etag, {"t": "1"})
        assert made.attributes.metadata == GIVEN.metadata and made.attributes.headers == GIVEN.headers
        assert made.attributes.storage_class == "STANDARD"
        assert made.attributes.checksum == original.attributes.checksum
        await world.objects.delete(world.bucket, "source", owner_id=OWNER)
        assert await world.read(await world.objects.find(world.bucket, "target")) == b"data"
        assert not world.facts.db.rows("SELECT * FROM garbage")
        await world.objects.delete(world.bucket, "target", owner_id=OWNER)
        assert len(world.facts.db.rows("SELECT * FROM garbage")) == 1

    asyncio.run(scenario())


def test_a_copy_of_a_multipart_object_shares_its_parts() -> None:
    world = World()

    async def scenario() -> None:
        original = await multipart(world, bytes(PART_BYTES_MIN), b"end")
        made, _ = await world.copies.copy(source(world), world.bucket, "target", PLAIN)
        assert original.parts_count == 2
        assert (made.etag, made.parts_count) == (md5(bytes(PART_BYTES_MIN) + b"end").hexdigest(), None)
        await world.put("source", b"replaced")
        assert await world.read(made) == bytes(PART_BYTES_MIN) + b"end"

    asyncio.run(scenario())


def test_an_empty_object_is_copied() -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"")
        made, _ = await world.copies.copy(source(world), world.bucket, "target", PLAIN)
        assert made.size == 0

    asyncio.run(scenario())


def test_what_replaces_and_what_is_kept() -> None:
    world = World()
    new = NewObject(Attributes(metadata={"b": "2"}), tags={"u": "2"})

    async def scenario() -> None:
        await world.put("source", b"data", NewObject(GIVEN, tags={"t": "1"}))
        for metadata in (False, True):
            for tags in (False, True):
                terms = Terms(new, replaces_metadata=metadata, replaces_tags=tags)
                made, _ = await world.copies.copy(source(world), world.bucket, "target", terms)
                assert made.attributes.metadata == ({"b": "2"} if metadata else {"a": "1"})
                assert made.tags == ({"u": "2"} if tags else {"t": "1"})

    asyncio.run(scenario())


def test_another_checksum_is_taken_by_reading_the_source() -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"data")
        terms = Terms(NewObject(Attributes()), algorithm="SHA256")
        made, _ = await world.copies.copy(source(world), world.bucket, "target", terms)
        digest = b64encode(hashlib.sha256(b"data").digest()).decode()
        assert made.attributes.checksum == Checksum("SHA256", digest, ChecksumType.FULL_OBJECT)
        assert len(world.stored) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("terms", "is_allowed"),
    [
        (PLAIN, False),
        (Terms(NewObject(Attributes()), storage_class="STANDARD"), True),
        (Terms(NewObject(Attributes()), algorithm="CRC64NVME"), False),
        (Terms(NewObject(Attributes()), replaces_metadata=True), True),
        (Terms(NewObject(Attributes()), replaces_tags=True), True),
        (Terms(NewObject(Attributes(storage_class="GLACIER")), storage_class="GLACIER"), True),
        (Terms(NewObject(Attributes()), algorithm="SHA1"), True),
        (Terms(NewObject(Attributes(headers={"x-amz-website-redirect-location": "/a"}))), True),
    ],
)
def test_a_copy_onto_itself_must_change_something(terms: Terms, is_allowed: bool) -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"data")
        if is_allowed:
            made, _ = await world.copies.copy(source(world), world.bucket, "source", terms)
            assert await world.read(made) == b"data"
        else:
            with pytest.raises(InvalidRequest, match="to itself"):
                await world.copies.copy(source(world), world.bucket, "source", terms)

    asyncio.run(scenario())


def test_an_old_version_may_be_copied_onto_its_key() -> None:
    world = World(Versioning.ENABLED)

    async def scenario() -> None:
        old = await world.put("source", b"old")
        await world.put("source", b"new")
        made, _ = await world.copies.copy(
            source(world, version_id=old.version_id), world.bucket, "source", PLAIN
        )
        assert await world.read(made) == b"old"

    asyncio.run(scenario())


def test_a_delete_marker_cannot_be_copied() -> None:
    world = World(Versioning.ENABLED)

    async def scenario() -> None:
        await world.put("source", b"old")
        marker = await world.objects.delete(world.bucket, "source", owner_id=OWNER)
        with pytest.raises(NoSuchKey):
            await world.copies.find(source(world))
        with pytest.raises(InvalidRequest, match="delete marker"):
            await world.copies.find(source(world, version_id=marker.version_id))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "conditions",
    [
        {"if_match": "other"},
        {"if_none_match": "*"},
        {"if_modified_since_s": 2**33},
        {"if_unmodified_since_s": 1},
    ],
)
def test_a_source_that_is_not_as_asked_is_not_copied(conditions: dict[str, Any]) -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"data")
        with pytest.raises(PreconditionFailed):
            await world.copies.find(source(world, **conditions))

    asyncio.run(scenario())


def test_a_source_above_5_gib_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PUT_BYTES_MAX", 3)
    world = World()

    async def scenario() -> None:
        await world.put("source", b"data")
        with pytest.raises(InvalidRequest, match="larger than the maximum"):
            await world.copies.copy(source(world), world.bucket, "target", PLAIN)

    asyncio.run(scenario())


def test_a_source_replaced_meanwhile_is_looked_at_again() -> None:
    world = World()
    replaced: list[bool] = []

    async def scenario() -> None:
        await world.put("source", b"old")
        write = world.facts.write

        async def meanwhile(command: Any) -> Any:
            if not replaced and command.key == "target":
                replaced.append(True)
                await world.put("source", b"new")
            return await write(command)

        world.facts.write = meanwhile  # type: ignore[method-assign]
        made, _ = await world.copies.copy(source(world), world.bucket, "target", PLAIN)
        assert await world.read(made) == b"new"

    asyncio.run(scenario())


def test_a_source_that_never_settles_is_given_up() -> None:
    world = World()

    def fail(command: Any) -> None:
        raise Conflict

    async def scenario() -> None:
        await world.put("source", b"data")
        world.facts.fail = fail
        with pytest.raises(Conflict):
            await world.copies.copy(source(world), world.bucket, "target", PLAIN)

    asyncio.run(scenario())


async def copy_part(world: World, header: str | None) -> ObjectVersion:
    upload_id, _ = await world.put_parts("target", [])
    begun = world.uploads.find(world.bucket, "target", upload_id)
    part, _ = await world.copies.copy_part(source(world), header, world.bucket, begun, 1)
    return await world.uploads.complete(
        world.bucket, "target", upload_id, [ClaimedPart(1, part.etag, {})], Completion()
    )


@pytest.mark.parametrize(
    ("header", "moves_bytes"),
    [
        (None, False),
        ("bytes=0-9", False),
        ("bytes=0-0", True),
        ("bytes=3-9", True),
    ],
)
def test_a_part_is_copied_by_reference_where_it_is_a_whole_blob(
    header: str | None, moves_bytes: bool
) -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"0123456789")
        made = await copy_part(world, header)
        start, end = (0, 9) if header is None else map(int, header.removeprefix("bytes=").split("-"))
        assert await world.read(made) == b"0123456789"[start : end + 1]
        assert len(world.stored) == 1 + moves_bytes

    asyncio.run(scenario())


def test_a_part_of_a_multipart_source_is_copied_by_reference() -> None:
    world = World()

    async def scenario() -> None:
        await multipart(world, bytes(PART_BYTES_MIN), b"middle")
        made = await copy_part(world, f"bytes={PART_BYTES_MIN}-{PART_BYTES_MIN + 5}")
        assert await world.read(made) == b"middle"
        assert len(world.stored) == 2
        made = await copy_part(world, f"bytes={PART_BYTES_MIN - 1}-{PART_BYTES_MIN + 5}")
        assert await world.read(made) == b"\0middle"
        assert len(world.stored) == 3

    asyncio.run(scenario())


def test_an_empty_source_makes_an_empty_part() -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"")
        assert (await copy_part(world, None)).size == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("header", ["bytes=0-10", "bytes=5-", "bytes=-5", "0-5", "bytes=5-4", ""])
def test_a_range_beyond_the_source_is_refused(header: str) -> None:
    world = World()

    async def scenario() -> None:
        await world.put("source", b"0123456789")
        with pytest.raises(InvalidArgument):
            await copy_part(world, header)

    asyncio.run(scenario())
