"""ListBuckets."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.operations.refusals import refused
from tests.support.server import REGION


@pytest.fixture
def three(s3, bucket_name):
    names = [f"{bucket_name}-{suffix}" for suffix in ("a", "b", "c")]
    for name in reversed(names):
        s3.create_bucket(Bucket=name)
    return names


def names_of(answer):
    return [bucket["Name"] for bucket in answer["Buckets"]]


def test_buckets_are_listed_by_name_with_their_owner(s3, three):
    answer = s3.list_buckets()
    names = names_of(answer)
    assert names == sorted(names)
    assert set(three) <= set(names)
    assert len(answer["Owner"]["ID"]) >= 32
    age = datetime.now(UTC) - answer["Buckets"][-1]["CreationDate"]
    assert timedelta(seconds=-5) < age < timedelta(hours=1)


def test_a_prefix_chooses(s3, three):
    answer = s3.list_buckets(Prefix=three[0][:-1])
    assert names_of(answer) == three
    assert answer["Prefix"] == three[0][:-1]
    assert {bucket["BucketRegion"] for bucket in answer["Buckets"]} == {REGION}
    assert names_of(s3.list_buckets(Prefix=three[1])) == [three[1]]
    assert names_of(s3.list_buckets(Prefix=three[0] + "%")) == []


def test_a_region_chooses(s3, three):
    assert names_of(s3.list_buckets(Prefix=three[0][:-1], BucketRegion=REGION)) == three
    assert names_of(s3.list_buckets(Prefix=three[0][:-1], BucketRegion="mars-north-1")) == []


def test_pages_follow_each_other_and_the_last_has_no_token(s3, three):
    prefix = three[0][:-1]
    first = s3.list_buckets(Prefix=prefix, MaxBuckets=2)
    assert names_of(first) == three[:2]
    second = s3.list_buckets(Prefix=prefix, MaxBuckets=2, ContinuationToken=first["ContinuationToken"])
    assert names_of(second) == three[2:]
    assert "ContinuationToken" not in second
    pages = s3.get_paginator("list_buckets").paginate(Prefix=prefix, PaginationConfig={"PageSize": 1})
    assert [name for page in pages for name in names_of(page)] == three


@pytest.mark.parametrize("value", [10001, 2**31, 2**63])
def test_a_page_has_1_to_10000_buckets(s3, value):
    assert refused(s3.list_buckets, MaxBuckets=value) == (400, "InvalidArgument")


@pytest.mark.parametrize("token", ["x", "AAAA", "ü", "a" * 3000])
def test_a_token_that_is_none_of_ours_is_refused(s3, token):
    assert refused(s3.list_buckets, ContinuationToken=token) == (400, "InvalidArgument")


def test_a_token_of_another_owner_is_refused(s3, other, three):
    token = s3.list_buckets(MaxBuckets=1)["ContinuationToken"]
    assert refused(other.list_buckets, ContinuationToken=token) == (400, "InvalidArgument")


def test_everyone_sees_their_own(s3, other, three):
    assert not set(three) & set(names_of(other.list_buckets()))


def test_anonymous_callers_see_nothing(anonymous):
    assert refused(anonymous.list_buckets) == (403, "AccessDenied")
