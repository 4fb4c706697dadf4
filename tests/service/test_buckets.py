"""Buckets as a worker sees them: found by name, remembered until configuration moves."""

import asyncio

import pytest

from objstore.meta.interface import BucketExists
from objstore.s3.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    IllegalLocationConstraintException,
    InvalidBucketName,
    InvalidLocationConstraint,
    S3Error,
)
from objstore.service.buckets import BucketRules, Buckets
from tests.service.support import LocalFacts

OWNER, STRANGER = "a" * 64, "b" * 64


class Shared:
    epoch = 0


class Watched(LocalFacts):
    """Facts that count point lookups and move the epoch as the ledger does."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = Shared()
        self.lookups = 0

    async def write(self, command):
        result = await super().write(command)
        self.shared.epoch += command.advances_epoch
        return result

    def read_now(self, query, *args, **kwargs):
        self.lookups += 1
        return super().read_now(query, *args, **kwargs)


@pytest.fixture
def facts():
    return Watched()


def buckets_over(facts, *regions, per_owner_max=100):
    return Buckets(facts, facts.shared, BucketRules(regions or ("us-east-1",), per_owner_max))


def test_a_bucket_is_looked_up_once_until_configuration_moves(facts):
    mine, theirs = buckets_over(facts), buckets_over(facts)
    made = asyncio.run(mine.create("bucket", OWNER))
    assert [theirs.find("bucket") for _ in range(5)] == [made] * 5
    assert facts.lookups == 1
    asyncio.run(mine.delete(made))
    assert theirs.find("bucket") is None
    again = asyncio.run(mine.create("bucket", STRANGER))
    found = theirs.find("bucket")
    assert found == again
    assert found.id != made.id


def test_names_that_nobody_has_are_not_remembered(facts):
    buckets = buckets_over(facts)
    for _ in range(3):
        assert buckets.find("nothing") is None
    assert facts.lookups == 3


@pytest.mark.parametrize(
    ("location", "region"),
    [
        (None, "eu-central-1"),
        ("", "eu-central-1"),
        ("eu-central-1", "eu-central-1"),
        ("EU", "eu-west-1"),
        ("us-east-1", IllegalLocationConstraintException),
        ("mars", IllegalLocationConstraintException),
        ("no such", InvalidLocationConstraint),
        ("ü", InvalidLocationConstraint),
    ],
)
def test_where_a_bucket_may_be(facts, location, region):
    buckets = buckets_over(facts, "eu-central-1", "eu-west-1")
    if isinstance(region, str):
        assert asyncio.run(buckets.create("bucket", OWNER, location)).region == region
    else:
        with pytest.raises(region):
            asyncio.run(buckets.create("bucket", OWNER, location))


@pytest.mark.parametrize(
    ("owner", "region", "object_lock", "error"),
    [
        (OWNER, "us-east-1", False, None),
        (OWNER, "us-east-1", True, BucketAlreadyOwnedByYou),
        (OWNER, "eu-west-1", False, BucketAlreadyOwnedByYou),
        (STRANGER, "us-east-1", False, BucketAlreadyExists),
    ],
)
def test_creating_a_bucket_that_is_there(facts, owner, region, object_lock, error):
    buckets = buckets_over(facts, "us-east-1", "eu-west-1")
    made = asyncio.run(buckets.create("bucket", OWNER, "us-east-1"))
    again = buckets.create("bucket", owner, region, object_lock=object_lock)
    if error is None:
        assert asyncio.run(again) == made
    else:
        with pytest.raises(error) as caught:
            asyncio.run(again)
        assert isinstance(caught.value.__cause__, BucketExists)


def test_names_are_judged_before_anything_is_written(facts):
    with pytest.raises(InvalidBucketName):
        asyncio.run(buckets_over(facts).create("No_Such", OWNER))
    assert facts.written == []


def test_an_owner_has_so_many_and_no_more(facts):
    buckets = buckets_over(facts, per_owner_max=2)
    for name in ("one", "two"):
        asyncio.run(buckets.create(name, OWNER))
    with pytest.raises(Exception) as caught:
        asyncio.run(buckets.create("three", OWNER))
    assert type(caught.value).__name__ == "TooManyBuckets"
    assert not isinstance(caught.value, S3Error)
    asyncio.run(buckets.create("three", STRANGER))


def test_pages_of_an_owners_buckets(facts):
    buckets = buckets_over(facts)
    for name in ("aaa", "bbb", "ccc"):
        asyncio.run(buckets.create(name, OWNER))
    asyncio.run(buckets.create("abc", STRANGER))
    page = asyncio.run(buckets.list(OWNER, limit=2))
    assert ([bucket.name for bucket in page.buckets], page.is_truncated) == (["aaa", "bbb"], True)
    page = asyncio.run(buckets.list(OWNER, after="bbb", limit=2))
    assert ([bucket.name for bucket in page.buckets], page.is_truncated) == (["ccc"], False)
    page = asyncio.run(buckets.list(OWNER, prefix="b"))
    assert [bucket.name for bucket in page.buckets] == ["bbb"]
