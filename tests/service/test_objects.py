"""Objects by key and version: what is found, what is said of what is not there, and parts of objects."""

import asyncio

import pytest

from objstore.model import Attributes, ObjectLock, Versioning
from objstore.s3.errors import InvalidPartNumber, InvalidRequest, MethodNotAllowed, NoSuchKey, NoSuchVersion
from objstore.s3.ranges import Range
from objstore.service.multipart import PART_BYTES_MIN, ClaimedPart, Completion
from objstore.service.objects import DeleteConditions, NewObject
from tests.service.support import OWNER, World


def test_an_absent_key_is_no_such_key_without_a_word_of_markers() -> None:
    world = World()
    with pytest.raises(NoSuchKey) as caught:
        asyncio.run(world.objects.find(world.bucket, "key"))
    assert caught.value.headers == {}


def test_a_current_delete_marker_is_told_of() -> None:
    world = World(Versioning.ENABLED)

    async def scenario() -> None:
        version = await world.put("key", b"data")
        deleted = await world.objects.delete(world.bucket, "key", owner_id=OWNER)
        assert deleted.is_delete_marker and deleted.version_id is not None
        with pytest.raises(NoSuchKey) as missing:
            await world.objects.find(world.bucket, "key")
        assert missing.value.headers == {
            "x-amz-delete-marker": "true",
            "x-amz-version-id": deleted.version_id,
        }
        with pytest.raises(MethodNotAllowed) as refused:
            await world.objects.find(world.bucket, "key", deleted.version_id)
        assert refused.value.headers["allow"] == "DELETE"
        assert refused.value.headers["x-amz-delete-marker"] == "true"
        found = await world.objects.find(world.bucket, "key", version.version_id)
        assert await world.read(found) == b"data"
        with pytest.raises(NoSuchVersion):
            await world.objects.find(world.bucket, "key", "0" * 32)

    asyncio.run(scenario())


def test_a_lock_needs_a_bucket_made_for_it() -> None:
    new = NewObject(Attributes(), lock=ObjectLock(legal_hold=True))

    async def scenario() -> None:
        with pytest.raises(InvalidRequest):
            await World().put("key", b"data", new)
        version = await World(object_lock=True).put("key", b"data", new)
        assert version.lock == ObjectLock(legal_hold=True)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "conditions", [DeleteConditions(if_match="x"), DeleteConditions(size=5), DeleteConditions(modified_ms=1)]
)
def test_a_delete_whose_conditions_fail_deletes_nothing(conditions: DeleteConditions) -> None:
    world = World()

    async def scenario() -> None:
        await world.put("key", b"data")
        with pytest.raises(Exception, match="condition"):
            await world.objects.delete(world.bucket, "key", owner_id=OWNER, conditions=conditions)
        assert await world.objects.find(world.bucket, "key")

    asyncio.run(scenario())


def test_an_object_put_whole_is_its_own_only_part() -> None:
    world = World()

    async def scenario() -> None:
        version = await world.put("key", b"data")
        assert await world.objects.part(version, 1) == (Range(0, 4), version.attributes.checksum)
        with pytest.raises(InvalidPartNumber):
            await world.objects.part(version, 2)

    asyncio.run(scenario())


def test_parts_are_counted_in_their_order_whatever_their_numbers() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("key", [bytes(PART_BYTES_MIN), b"left out", b"last"])
        claimed = [ClaimedPart(1, etags[0], {}), ClaimedPart(3, etags[2], {})]
        version = await world.uploads.complete(world.bucket, "key", upload_id, claimed, Completion())
        assert version.parts_count == 2
        first, _ = await world.objects.part(version, 1)
        second, checksum = await world.objects.part(version, 2)
        assert (first, second) == (Range(0, PART_BYTES_MIN), Range(PART_BYTES_MIN, 4))
        assert checksum is None
        with pytest.raises(InvalidPartNumber):
            await world.objects.part(version, 3)

    asyncio.run(scenario())
