"""ListObjectsV2."""

import hashlib
import random

import pytest

from tests.operations.listings import AWKWARD_KEYS, fill, folded
from tests.operations.refusals import refused


@pytest.fixture(scope="module")
def filled(s3):
    s3.create_bucket(Bucket="list-objects-v2")
    fill(s3, "list-objects-v2")
    return "list-objects-v2"


KEYS = sorted(AWKWARD_KEYS, key=str.encode)


def walk(s3, bucket, **arguments):
    """Keys and common prefixes of all pages, in order, and how many pages there were."""
    keys, prefixes, pages = [], [], 0
    while True:
        page = s3.list_objects_v2(Bucket=bucket, **arguments)
        pages += 1
        found = [entry["Key"] for entry in page.get("Contents", [])]
        shared = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert page["KeyCount"] == len(found) + len(shared) <= page["MaxKeys"]
        keys += found
        prefixes += shared
        assert page["IsTruncated"] == ("NextContinuationToken" in page)
        if not page["IsTruncated"]:
            return keys, prefixes, pages
        arguments["ContinuationToken"] = page["NextContinuationToken"]


def test_keys_come_in_the_order_of_their_utf8_bytes(s3, filled):
    assert walk(s3, filled)[0] == KEYS


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "b", "//", "日", "%"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "ä", "😀", "%", "_", "x", "no such"])
def test_pages_of_any_size_make_the_same_listing(s3, filled, prefix, delimiter, size):
    keys, prefixes, pages = walk(s3, filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size)
    assert (keys, prefixes) == folded(KEYS, prefix, delimiter)
    assert pages == max(1, -(-len(keys + prefixes) // size))


@pytest.mark.parametrize("start", ["a", "a/", "a/b", "a/zzz", "ä/ö", "😀", "zz", "\uffff"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_start_after_any_text(s3, filled, start, delimiter):
    keys, prefixes, _ = walk(s3, filled, StartAfter=start, Delimiter=delimiter)
    assert (keys, prefixes) == folded(KEYS, "", delimiter, start)


def test_a_token_beats_start_after_and_both_are_echoed(s3, filled):
    first = s3.list_objects_v2(Bucket=filled, MaxKeys=2, StartAfter="a")
    token = first["NextContinuationToken"]
    second = s3.list_objects_v2(Bucket=filled, MaxKeys=2, StartAfter="zzz", ContinuationToken=token)
    after = KEYS.index("a") + 1
    assert [entry["Key"] for entry in first["Contents"] + second["Contents"]] == KEYS[after : after + 4]
    assert second["ContinuationToken"] == token
    assert second["StartAfter"] == "zzz"


def test_an_empty_token_is_none(s3, filled):
    assert s3.list_objects_v2(Bucket=filled, ContinuationToken="")["KeyCount"] == len(KEYS)


@pytest.mark.parametrize("token", ["x", "AAAA", "ü", "a" * 3000, "../..", "' OR 1=1"])
def test_a_token_that_is_none_of_ours_is_refused(s3, filled, token):
    assert refused(s3.list_objects_v2, Bucket=filled, ContinuationToken=token) == (400, "InvalidArgument")


def test_a_token_of_another_bucket_is_refused(s3, filled, bucket):
    token = s3.list_objects_v2(Bucket=filled, MaxKeys=1)["NextContinuationToken"]
    assert refused(s3.list_objects_v2, Bucket=bucket, ContinuationToken=token) == (400, "InvalidArgument")


@pytest.mark.parametrize("value", ["-1", "junk", "1.5", "9223372036854775808", "2147483648", "٣", " 1"])
def test_max_keys_that_are_no_number_are_refused(s3, filled, value):
    def junk(request, **_):
        request.url = request.url.replace("max-keys=7", f"max-keys={value.replace(' ', '%20')}")

    s3.meta.events.register_first("before-sign.s3.ListObjectsV2", junk)
    try:
        assert refused(s3.list_objects_v2, Bucket=filled, MaxKeys=7) == (400, "InvalidArgument")
    finally:
        s3.meta.events.unregister("before-sign.s3.ListObjectsV2", junk)


def test_max_keys_0_is_empty_and_not_truncated(s3, filled):
    answer = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert (answer["KeyCount"], answer["MaxKeys"], answer["IsTruncated"]) == (0, 0, False)


def test_max_keys_over_1000_mean_1000(s3, filled):
    assert s3.list_objects_v2(Bucket=filled, MaxKeys=5000)["MaxKeys"] == 1000


def test_an_entry_tells_of_its_object(s3, filled):
    answer = s3.list_objects_v2(Bucket=filled, Prefix="日本/語", Delimiter="")
    (entry,) = answer["Contents"]
    body = "日本/語".encode()
    assert entry["Size"] == len(body)
    assert entry["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert entry["StorageClass"] == "STANDARD"
    assert entry["ChecksumAlgorithm"] == ["CRC32"]  # boto's choice
    assert entry["ChecksumType"] == "FULL_OBJECT"
    assert entry["LastModified"] == s3.head_object(Bucket=filled, Key="日本/語")["LastModified"]
    assert "Owner" not in entry
    assert "Delimiter" not in answer


def test_the_owner_comes_only_when_asked_for(s3, filled):
    owner = s3.list_buckets(MaxBuckets=1)["Owner"]["ID"]
    answer = s3.list_objects_v2(Bucket=filled, FetchOwner=True)
    assert {entry["Owner"]["ID"] for entry in answer["Contents"]} == {owner}


def test_names_are_url_encoded_when_asked_for(s3, filled):
    raw = []

    def keep(response_dict, **_):
        raw.append(response_dict["body"].decode())

    s3.meta.events.register("before-parse.s3.ListObjectsV2", keep)
    try:
        s3.list_objects_v2(Bucket=filled, Prefix="a", Delimiter="+", StartAfter="a b", EncodingType="url")
    finally:
        s3.meta.events.unregister("before-parse.s3.ListObjectsV2", keep)
    text = raw[-1]
    assert "<EncodingType>url</EncodingType>" in text
    assert "<Key>a%252Fb</Key>" in text
    assert "<Prefix>a%2B</Prefix>" in text
    assert "<Delimiter>%2B</Delimiter>" in text
    assert "<StartAfter>a%20b</StartAfter>" in text
    assert "<Key>a/b/c</Key>" in text


def test_an_unknown_encoding_is_refused(s3, filled):
    assert refused(s3.list_objects_v2, Bucket=filled, EncodingType="base64") == (400, "InvalidArgument")


def test_unknown_optional_attributes_are_refused(s3, filled):
    s3.list_objects_v2(Bucket=filled, OptionalObjectAttributes=["RestoreStatus"])
    assert refused(s3.list_objects_v2, Bucket=filled, OptionalObjectAttributes=["Everything"]) == (
        400,
        "InvalidArgument",
    )


def test_deleted_keys_are_not_listed(s3, bucket):
    fill(s3, bucket, ["a", "b/1", "b/2", "c"])
    for key in ("b/1", "b/2", "c"):
        s3.delete_object(Bucket=bucket, Key=key)
    assert walk(s3, bucket, Delimiter="/")[:2] == (["a"], [])


def test_an_upload_under_way_is_not_listed(s3, bucket):
    s3.create_multipart_upload(Bucket=bucket, Key="key")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_bucket_that_is_not_there(s3, bucket_name):
    assert refused(s3.list_objects_v2, Bucket=bucket_name) == (404, "NoSuchBucket")


def test_other_people_list_nothing(other, anonymous, filled):
    for client in (other, anonymous):
        assert refused(client.list_objects_v2, Bucket=filled) == (403, "AccessDenied")


def test_many_keys_and_folders(s3, bucket, seeded: random.Random):
    """Random trees against the rule, with random page sizes."""
    keys = sorted(
        {"/".join(seeded.choices("abc", k=seeded.randint(1, 4))) for _ in range(60)}, key=str.encode
    )
    fill(s3, bucket, keys)
    for _ in range(30):
        prefix = seeded.choice(["", *keys])[: seeded.randint(0, 5)]
        delimiter = seeded.choice(["", "/", "a", "/b"])
        start = seeded.choice(["", *keys])
        found = walk(
            s3, bucket, Prefix=prefix, Delimiter=delimiter, StartAfter=start, MaxKeys=seeded.randint(1, 9)
        )
        assert found[:2] == folded(keys, prefix, delimiter, start), (prefix, delimiter, start)


def test_an_empty_continuation_token_is_the_beginning(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    page = s3.list_objects_v2(Bucket=bucket, ContinuationToken="")
    assert page["ContinuationToken"] == ""
    assert (page["KeyCount"], page["IsTruncated"]) == (1, False)
    assert "ContinuationToken" not in s3.list_objects_v2(Bucket=bucket)
