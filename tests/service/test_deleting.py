"""Many deletions at once: each by itself, in order, and no error lost."""

import asyncio

import pytest

from objstore.meta.interface import Busy
from objstore.model import Versioning
from objstore.s3.errors import AccessDenied, S3Error
from objstore.service.deleting import DELETES_AT_ONCE, DeleteConditions, Deletion, Deletions
from tests.service.support import OWNER, World


async def allow_all(deletion: Deletion) -> None:
    """Everyone may."""


def delete_many(world, *deletions, allow=allow_all):
    many = Deletions(world.objects).delete_many(world.bucket, deletions, allow, owner_id=OWNER)
    return asyncio.run(many)


def codes(outcomes):
    return [outcome.code if isinstance(outcome, S3Error) else "deleted" for outcome in outcomes]


def test_outcomes_come_in_the_order_asked():
    world = World()
    asyncio.run(world.put("b", b"x"))

    async def allow(deletion):
        if deletion.key == "c":
            raise AccessDenied

    outcomes = delete_many(
        world,
        Deletion("a"),
        Deletion("b", conditions=DeleteConditions(if_match="other")),
        Deletion("c"),
        Deletion("x" * 2000),
        Deletion("b", "junk"),
        Deletion("b"),
        allow=allow,
    )
    assert codes(outcomes) == [
        "deleted",
        "PreconditionFailed",
        "AccessDenied",
        "KeyTooLongError",
        "NoSuchVersion",
        "deleted",
    ]


def test_the_same_key_twice_is_deleted_twice_in_order():
    world = World(Versioning.ENABLED)
    version = asyncio.run(world.put("a", b"x")).version_id
    first, second, third = delete_many(world, Deletion("a"), Deletion("a", version), Deletion("a"))
    assert first.is_delete_marker
    assert second.version_id == version
    assert third.version_id not in (first.version_id, version)


def test_a_fault_of_the_engine_is_told_key_by_key():
    world = World()

    def fail(command):
        if command.key == "b":
            raise Busy("full")

    world.facts.fail = fail
    assert codes(delete_many(world, Deletion("a"), Deletion("b"), Deletion("c"))) == [
        "deleted",
        "SlowDown",
        "deleted",
    ]


def test_what_nobody_foresaw_is_not_hidden():
    world = World()

    async def allow(deletion):
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        delete_many(world, Deletion("a"), allow=allow)
    assert caught.value.subgroup(ZeroDivisionError)


def test_so_many_are_under_way_at_once_and_no_more():
    world = World()
    under_way = most = 0

    async def allow(deletion):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    delete_many(world, *(Deletion(f"k{number}") for number in range(3 * DELETES_AT_ONCE)), allow=allow)
    assert 1 < most <= DELETES_AT_ONCE
