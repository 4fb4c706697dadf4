"""ListObjects, the first version."""

import pytest

from tests.operations.listings import AWKWARD_KEYS, fill, folded
from tests.operations.refusals import refused
from tests.operations.sharing import with_acls

KEYS = sorted(AWKWARD_KEYS, key=str.encode)


@pytest.fixture(scope="module")
def filled(s3):
    s3.create_bucket(Bucket="list-objects-v1")
    fill(s3, "list-objects-v1")
    return "list-objects-v1"


def walk(s3, bucket, **arguments):
    keys, prefixes = [], []
    while True:
        page = s3.list_objects(Bucket=bucket, **arguments)
        found = [entry["Key"] for entry in page.get("Contents", [])]
        keys += found
        prefixes += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        has_marker = page["IsTruncated"] and bool(arguments.get("Delimiter"))
        assert ("NextMarker" in page) == has_marker
        if not page["IsTruncated"]:
            return keys, prefixes
        arguments["Marker"] = page["NextMarker"] if has_marker else found[-1]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "b"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "😀"])
def test_pages_of_any_size_make_the_same_listing(s3, filled, prefix, delimiter, size):
    found = walk(s3, filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size)
    assert found == folded(KEYS, prefix, delimiter)


def test_the_paginator_of_boto_sees_every_key(s3, filled):
    pages = s3.get_paginator("list_objects").paginate(Bucket=filled, PaginationConfig={"PageSize": 3})
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == KEYS


def test_marker_and_prefix_are_echoed_and_owners_named(s3, filled):
    page = s3.list_objects(Bucket=filled, Prefix="a", Marker="a b", MaxKeys=1)
    assert (page["Prefix"], page["Marker"], page["MaxKeys"], page["Name"]) == ("a", "a b", 1, filled)
    assert page["Contents"][0]["Key"] == "a!"
    assert page["Contents"][0]["Owner"]["ID"] == s3.list_buckets(MaxBuckets=1)["Owner"]["ID"]


def test_who_does_not_sign_is_told_no_owners(s3, anonymous, bucket):
    with_acls(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    answer = anonymous.list_objects(Bucket=bucket)
    assert "Owner" in s3.list_objects(Bucket=bucket)["Contents"][0]
    assert "Owner" not in answer["Contents"][0]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "us-east-1"


def test_max_keys_0_is_empty_and_not_truncated(s3, filled):
    page = s3.list_objects(Bucket=filled, MaxKeys=0)
    assert ("Contents" in page, page["IsTruncated"]) == (False, False)


def test_errors(s3, other, filled, bucket_name):
    assert refused(s3.list_objects, Bucket=bucket_name) == (404, "NoSuchBucket")
    assert refused(other.list_objects, Bucket=filled) == (403, "AccessDenied")
    assert refused(s3.list_objects, Bucket=filled, MaxKeys=-1) == (400, "InvalidArgument")
    assert refused(s3.list_objects, Bucket=filled, EncodingType="hex") == (400, "InvalidArgument")


@pytest.mark.parametrize("wild", ["%", "_", "a%", "'; DROP TABLE objects; --"])
def test_what_means_something_to_sql_means_nothing_here(s3, filled, wild):
    assert walk(s3, filled, Prefix=wild) == folded(KEYS, wild, "")
    assert walk(s3, filled, Delimiter=wild) == folded(KEYS, "", wild)
