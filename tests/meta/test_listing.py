"""Listings against brute force: every page, then the whole walk; and what they cost."""

import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from objstore.meta import commands, queries
from objstore.model import Attributes, Versioning
from tests.meta import model
from tests.meta.model import Entry, Version, in_key_order, page
from tests.meta.support.sqlite_database import SqliteDatabase

OWNER = "owner"
PIECES = ("a", "b", "/", "//", ".", "-", "%", "_", "\U0001f600", "\uffff", "é", "\x00", "\x7f", "ab")
texts = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
keys = texts.filter(bool)
delimiters = st.sampled_from(["", "/", "//", "a", "ab", "\U0001f600", "\x00", "b/"])
limits = st.integers(1, 6)


def put(db: SqliteDatabase, bucket_id: int, key: str, version_id: str = "null") -> str:
    command = commands.PutVersion(bucket_id, key, 0, "e", OWNER, Attributes(), version_id=version_id)
    return db.write(command, 1).version_id


def bucket_of(db: SqliteDatabase, name: str = "bucket", versioning: Versioning | None = None) -> int:
    bucket = db.write(commands.CreateBucket(name, OWNER, "here"), 1)
    if versioning:
        db.write(commands.SetVersioning(bucket.id, versioning), 1)
    return bucket.id


def shown(entries: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """Keys and common prefixes of a page of the model."""
    return [entry.key for entry in entries if entry.version], [e.key for e in entries if not e.version]


@settings(max_examples=400, deadline=None, print_blob=True)
@given(st.sets(keys, max_size=30), texts, texts, delimiters, limits)
@example({"a/b", "a/c", "b"}, "", "a/", "/", 5)
@example({"a/b", "a/c", "b"}, "", "a/b", "/", 5)
@example({"a", "a\x00", "a\x00\x00"}, "", "a", "\x00", 1)
def test_pages_of_objects_are_those_of_brute_force(
    there: set[str], prefix: str, after: str, delimiter: str, limit: int
) -> None:
    db = SqliteDatabase()
    bucket_id, other_id = bucket_of(db), bucket_of(db, "other")
    for key in there:
        put(db, bucket_id, key)
        put(db, other_id, key + "x")
    listed = [Entry(key, Version("null")) for key in in_key_order(there)]
    while True:
        found = queries.list_objects(db, bucket_id, prefix, after, delimiter, limit)
        left = [entry for entry in listed if entry.key.encode() > after.encode()]
        expected, is_truncated = page(left, prefix, after, delimiter, limit)
        names, prefixes = shown(expected)
        assert ([version.key for version in found.versions], list(found.common_prefixes)) == (names, prefixes)
        assert found.is_truncated == is_truncated
        assert found.last == (expected[-1].key if expected else None)
        if not is_truncated:
            break
        assert found.last is not None
        after = found.last
    db.close()


@settings(max_examples=300, deadline=None, print_blob=True)
@given(
    st.lists(st.tuples(keys, st.sampled_from(["put", "put", "delete"])), max_size=25),
    texts,
    delimiters,
    limits,
    st.booleans(),
)
def test_pages_of_versions_are_those_of_brute_force(
    steps: list[tuple[str, str]], prefix: str, delimiter: str, limit: int, deletes_between: bool
) -> None:
    db, reference = SqliteDatabase(), model.Model()
    bucket_id = bucket_of(db, versioning=Versioning.ENABLED)
    reference.create_bucket("bucket")
    reference.set_versioning("bucket", model.ENABLED)
    for number, (key, step) in enumerate(steps):
        if step == "put":
            put(db, bucket_id, key, f"v{number}")
            reference.put("bucket", key, Version(f"v{number}"))
        else:
            db.write(commands.DeleteVersion(bucket_id, key, OWNER, new_version_id=f"v{number}"), 1)
            reference.delete("bucket", key, f"v{number}")
    whole = list(reference.versions("bucket"))
    expected, _ = page(whole, prefix, "", delimiter, 10**6)
    walked: list[tuple[str, str | None, bool]] = []
    key_marker, version_id_marker = "", ""
    while True:
        found = queries.list_versions(db, bucket_id, prefix, key_marker, version_id_marker, delimiter, limit)
        count = len(found.versions) + len(found.common_prefixes)
        assert count <= limit and (count == limit or not found.is_truncated)
        walked += [(v.key, v.version_id, v.is_latest) for v in found.versions]
        walked += [(common, None, True) for common in found.common_prefixes]
        if not found.is_truncated:
            break
        if deletes_between:  # as a client does that empties a bucket page by page
            for version in found.versions:
                command = commands.DeleteVersion(bucket_id, version.key, OWNER, version_id=version.version_id)
                db.write(command, 1)
        assert found.last is not None
        key_marker, version_id_marker = found.last, found.last_version_id or ""
    every = [(e.key, e.version and e.version.version_id, e.is_latest) for e in expected]
    if deletes_between:
        assert {entry[:2] for entry in walked} == {entry[:2] for entry in every}
        assert len(walked) == len(every)
    else:
        assert sorted(walked, key=repr) == sorted(every, key=repr)
        assert [entry for entry in walked if entry[1]] == [entry for entry in every if entry[1]]
    db.close()


@settings(max_examples=200, deadline=None, print_blob=True)
@given(st.lists(keys, max_size=25), texts, delimiters, limits)
def test_pages_of_uploads_are_those_of_brute_force(
    initiated: list[str], prefix: str, delimiter: str, limit: int
) -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db)
    for number, key in enumerate(initiated):
        db.write(commands.CreateUpload(bucket_id, key, f"u{number:03}", OWNER, Attributes()), 1)
    entries = sorted(
        (Entry(key, Version(f"u{number:03}")) for number, key in enumerate(initiated)),
        key=lambda entry: (entry.key.encode(), entry.version and entry.version.version_id),
    )
    expected, _ = page(entries, prefix, "", delimiter, 10**6)
    uploads: list[tuple[str, str]] = []
    prefixes: list[str] = []
    key_marker, upload_id_marker = "", ""
    while True:
        found = queries.list_uploads(db, bucket_id, prefix, key_marker, upload_id_marker, delimiter, limit)
        count = len(found.uploads) + len(found.common_prefixes)
        assert count <= limit and (count == limit or not found.is_truncated)
        uploads += [(upload.key, upload.upload_id) for upload in found.uploads]
        prefixes += found.common_prefixes
        if not found.is_truncated:
            break
        assert found.last is not None
        key_marker, upload_id_marker = found.last, found.last_upload_id or ""
    assert uploads == [(entry.key, entry.version.version_id) for entry in expected if entry.version]
    assert prefixes == [entry.key for entry in expected if not entry.version]
    db.close()


def test_key_marker_alone_passes_over_all_versions_and_uploads_of_that_key() -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db, versioning=Versioning.ENABLED)
    for number, key in enumerate(["a", "a", "b"]):
        put(db, bucket_id, key, f"v{number}")
        db.write(commands.CreateUpload(bucket_id, key, f"u{number}", OWNER, Attributes()), 1)
    assert [v.key for v in queries.list_versions(db, bucket_id, key_marker="a").versions] == ["b"]
    assert [u.key for u in queries.list_uploads(db, bucket_id, key_marker="a").uploads] == ["b"]


def test_versions_resume_inside_a_key_and_none_of_the_rest_is_latest() -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db, versioning=Versioning.ENABLED)
    for number in range(4):
        put(db, bucket_id, "a", f"v{number}")
    rest = queries.list_versions(db, bucket_id, key_marker="a", version_id_marker="v2").versions
    assert [(v.version_id, v.is_latest) for v in rest] == [("v1", False), ("v0", False)]
    gone = queries.list_versions(db, bucket_id, key_marker="a", version_id_marker="gone").versions
    assert [(v.version_id, v.is_latest) for v in gone][:2] == [("v3", True), ("v2", False)]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_page_without_room_is_empty_and_not_truncated(limit: int) -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db)
    put(db, bucket_id, "a")
    found = queries.list_objects(db, bucket_id, limit=limit)
    assert (found.versions, found.common_prefixes, found.is_truncated) == ((), (), False)


def fill(db: SqliteDatabase, bucket_id: int, keys: list[str], *, versions: int = 1) -> None:
    with db.transaction():
        for number in range(versions):
            for key in keys:
                commands.PutVersion(
                    bucket_id, key, 0, "e" * 32, OWNER, Attributes(), version_id=f"v{number}"
                ).apply(db, 1)


class Steps:
    """A database that counts how many steps of its virtual machine SQLite takes (a measure of work)."""

    def __init__(self, db: SqliteDatabase) -> None:
        self._db, self.hundreds = db, 0

    def _count(self) -> int:
        self.hundreds += 1
        return 0

    def __enter__(self) -> "Steps":
        self._db.connection.set_progress_handler(self._count, 100)
        return self

    def __exit__(self, *exc: object) -> None:
        self._db.connection.set_progress_handler(None, 100)


def test_folding_costs_by_the_common_prefix_not_by_the_key() -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db)
    fill(db, bucket_id, [f"{folder}/{number:05}" for folder in "abcde" for number in range(4000)])
    with Steps(db) as steps:
        found = queries.list_objects(db, bucket_id, delimiter="/")
    assert found.common_prefixes == ("a/", "b/", "c/", "d/", "e/")
    assert steps.hundreds < 60  # 20,000 rows read would be thousands
    with Steps(db) as steps:
        found = queries.list_objects(db, bucket_id, after="b/00000", delimiter="/")
    assert found.common_prefixes == ("c/", "d/", "e/")
    assert steps.hundreds < 60


def test_noncurrent_versions_do_not_slow_a_listing() -> None:
    """Fifty versions of each of a thousand keys, and a thousand deleted keys between them."""
    db = SqliteDatabase()
    plain_id = bucket_of(db, "plain")
    versioned_id = bucket_of(db, "versioned", Versioning.ENABLED)
    keys = [f"k{number:05}" for number in range(1000)]
    fill(db, plain_id, keys)
    fill(db, versioned_id, keys, versions=50)
    with db.transaction():
        for key in keys:
            commands.DeleteVersion(versioned_id, key + "-gone", OWNER, new_version_id="m").apply(db, 1)
    work = []
    for bucket_id in (plain_id, versioned_id):
        with Steps(db) as steps:
            assert len(queries.list_objects(db, bucket_id).versions) == 1000
        work.append(steps.hundreds)
    assert work[1] <= work[0] + 1


def test_a_page_of_a_thousand_takes_milliseconds() -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db)
    fill(db, bucket_id, [f"{number % 100:02}/{number:06}" for number in range(20_000)])
    began_s = time.perf_counter()
    for _ in range(5):
        found = queries.list_objects(db, bucket_id, after="42/")
    took_ms = (time.perf_counter() - began_s) / 5 * 1000
    assert len(found.versions) == 1000 and found.is_truncated
    assert took_ms < 100  # some 6 ms on an idle machine


def test_every_listing_seeks_by_an_index() -> None:
    db = SqliteDatabase()
    bucket_id = bucket_of(db)
    put(db, bucket_id, "a")
    seen: list[str] = []
    db.connection.set_trace_callback(seen.append)
    queries.list_objects(db, bucket_id, prefix="a", after="a", delimiter="/")
    queries.list_versions(db, bucket_id, prefix="a", key_marker="a", version_id_marker="null")
    queries.list_uploads(db, bucket_id, prefix="a", key_marker="a", upload_id_marker="u")
    queries.buckets_of(db, OWNER, prefix="b", after="a")
    queries.all_buckets(db, after="a")
    queries.users(db, after="a")
    queries.blobs_after(db)
    queries.garbage_before(db, 1)
    queries.repairs_due(db, 1)
    queries.parts_between(db, "u", 1, 2)
    db.connection.set_trace_callback(None)
    assert len(seen) > 9
    for sql in seen:
        plan = [row[3] for row in db.rows(f"EXPLAIN QUERY PLAN {sql}")]
        assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), (sql, plan)
