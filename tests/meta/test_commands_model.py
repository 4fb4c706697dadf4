"""Random histories of commands against the reference model: same answers, same state, nothing leaks."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from objstore.meta import commands, invariants, queries
from objstore.meta.interface import Conflict, Refusal
from objstore.model import Attributes, BlobRef, ObjectVersion, Part, Versioning
from tests.meta import model
from tests.meta.model import Model, Refused, Version
from tests.meta.support.sqlite_database import SqliteDatabase

NAMES = ("one", "two")
KEYS = ("a", "a/", "a/b", "é", "z")
OWNER = "owner"
STATES = {model.ENABLED: Versioning.ENABLED, model.SUSPENDED: Versioning.SUSPENDED}

names = st.sampled_from(NAMES)
keys = st.sampled_from(KEYS)
picks = st.integers(0, 10**6)
conditions = st.one_of(
    st.none(),
    st.sampled_from(["if_match", "if_none_match"]).flatmap(
        lambda kind: st.sampled_from(["*", "current", "other"]).map(lambda value: (kind, value))
    ),
)


def write_conditions(values: dict[str, str]) -> commands.WriteConditions | None:
    if not values:
        return None
    return commands.WriteConditions(values.get("if_match"), values.get("if_none_match"))


def id_of(blob: BlobRef | None) -> bytes | None:
    return blob.id if blob else None


class Commands(RuleBasedStateMachine):
    """Drives the commands on SQLite and the model side by side; the clock jumps back now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.db = SqliteDatabase()
        self.model = Model()
        self.ids: dict[str, int] = {}
        self.numbers = itertools.count(1)
        self.now_ms = 1_000_000
        self.blob_ids: set[bytes] = set()
        self.upload_ids: list[tuple[str, str, str]] = []

    @initialize(states=st.tuples(*[st.sampled_from([None, *STATES])] * len(NAMES)))
    def begin(self, states: tuple[str | None, ...]) -> None:
        for name, state in zip(NAMES, states, strict=True):
            self.create_bucket(name)
            if state:
                self.set_versioning(name, state)

    # How the two are compared

    def both(self, command: Any, expect: Any, blob: BlobRef | None = None) -> tuple[Any, Any]:
        """The results of the command and of the model; the same refusal from both gives (None, None)."""
        self.now_ms += 7
        command = commands.decode(commands.encode(command))
        try:
            expected = expect()
        except Refused as refused:
            with pytest.raises(Refusal) as caught:
                self.db.write(command, self.now_ms)
            assert type(caught.value).__name__ == str(refused)
            return None, None
        result = self.db.write(command, self.now_ms)
        if blob is not None:
            self.blob_ids.add(blob.id)
        return commands.decode_result(commands.encode_result(result)), expected

    def id_of(self, name: str) -> int:
        return self.ids.get(name, 999_999)

    def new_blob(self, size: int) -> BlobRef | None:
        return BlobRef(b"blob%08d" % next(self.numbers), size, b"there") if size else None

    def new_version_id(self) -> str:
        return f"v{next(self.numbers)}"

    def condition_values(self, name: str, key: str, condition: tuple[str, str] | None) -> dict[str, str]:
        if condition is None:
            return {}
        kind, value = condition
        bucket = self.model.buckets.get(name)
        current = bucket.current(key) if bucket else None
        etag = current.etag if current and value == "current" else "other"
        return {kind: "*" if value == "*" else etag}

    # Buckets

    @rule(name=names)
    def create_bucket(self, name: str) -> None:
        command = commands.CreateBucket(name, OWNER, "here")
        bucket, _ = self.both(command, lambda: self.model.create_bucket(name))
        if bucket is not None:
            self.ids[name] = bucket.id

    @rule(name=names)
    def delete_bucket(self, name: str) -> None:
        self.both(commands.DeleteBucket(name), lambda: self.model.delete_bucket(name))
        if name not in self.model.buckets:
            self.ids.pop(name, None)

    @rule(name=names, state=st.sampled_from(list(STATES)))
    def set_versioning(self, name: str, state: str) -> None:
        command = commands.SetVersioning(self.id_of(name), STATES[state])
        self.both(command, lambda: self.model.set_versioning(name, state))

    # Objects

    @rule(name=names, key=keys, size=st.sampled_from([0, 1, 10]), condition=conditions)
    def put(self, name: str, key: str, size: int, condition: tuple[str, str] | None) -> None:
        blob, etag, version_id = self.new_blob(size), f"e{next(self.numbers)}", self.new_version_id()
        values = self.condition_values(name, key, condition)
        command = commands.PutVersion(
            bucket_id=self.id_of(name),
            key=key,
            size=size,
            etag=etag,
            owner_id=OWNER,
            attributes=Attributes(metadata={"of": etag}),
            blob=blob,
            version_id=version_id,
            conditions=write_conditions(values),
        )

        def expect() -> Version:
            self.model.check(name, key, **values)
            return self.model.put(name, key, Version(version_id, etag, (blob and blob.id,), size))

        version, expected = self.both(command, expect, blob)
        self.same(version, expected)

    @rule(source=names, source_key=keys, name=names, key=keys)
    def copy(self, source: str, source_key: str, name: str, key: str) -> None:
        """A copy by reference, also onto itself, also of a completed upload."""
        version = queries.current(self.db, self.id_of(source), source_key)
        if version is None:
            return
        etag, version_id = f"e{next(self.numbers)}", self.new_version_id()
        command = commands.PutVersion(
            bucket_id=self.id_of(name),
            key=key,
            size=version.size,
            etag=etag,
            owner_id=OWNER,
            attributes=Attributes(),
            blob=version.blob,
            shares_blob=True,
            version_id=version_id,
            upload_id=version.upload_id,
        )

        def expect() -> Version:
            found = self.model.get(source, source_key)
            return self.model.put(name, key, Version(version_id, etag, found.content, found.size))

        self.same(*self.both(command, expect))

    @rule(name=names, key=keys, condition=conditions)
    def delete(self, name: str, key: str, condition: tuple[str, str] | None) -> None:
        values = self.condition_values(name, key, condition)
        command = commands.DeleteVersion(
            self.id_of(name),
            key,
            OWNER,
            new_version_id=self.new_version_id(),
            conditions=write_conditions(values),
        )

        def expect() -> model.Deleted:
            self.model.check(name, key, **values, deletes=True)
            return self.model.delete(name, key, command.new_version_id)

        deleted, expected = self.both(command, expect)
        assert deleted is None or (deleted.version_id, deleted.is_delete_marker, deleted.existed) == expected

    @rule(name=names, key=keys, pick=picks)
    def delete_version(self, name: str, key: str, pick: int) -> None:
        bucket = self.model.buckets.get(name)
        there = [version.version_id for version in bucket.keys.get(key, [])] if bucket else []
        ids = [*there, "null", "never-was"]
        version_id = ids[pick % len(ids)]
        command = commands.DeleteVersion(self.id_of(name), key, OWNER, version_id=version_id)
        deleted, expected = self.both(command, lambda: self.model.delete_version(name, key, version_id))
        assert deleted is None or (deleted.version_id, deleted.is_delete_marker, deleted.existed) == expected

    @rule(name=names, key=keys)
    def share_what_is_gone(self, name: str, key: str) -> None:
        gone = BlobRef(b"gone", 1, b"")
        for fields in ({"blob": gone, "shares_blob": True}, {"upload_id": "gone"}):
            command = commands.PutVersion(
                self.id_of(name), key, 1, "e", OWNER, Attributes(), version_id="v", **fields
            )
            if name in self.model.buckets:
                with pytest.raises(Conflict):
                    self.db.write(command, self.now_ms)

    @rule(ms=st.integers(-100_000, 100_000))
    def clock_jumps(self, ms: int) -> None:
        self.now_ms += ms

    # Uploads

    @rule(name=names, key=keys)
    def create_upload(self, name: str, key: str) -> None:
        upload_id = f"u{next(self.numbers):08}"
        command = commands.CreateUpload(self.id_of(name), key, upload_id, OWNER, Attributes())
        self.both(command, lambda: self.model.create_upload(name, key, upload_id))
        self.upload_ids.append((name, key, upload_id))

    @rule(pick=picks, part_number=st.integers(1, 4), size=st.sampled_from([0, 5]))
    def put_part(self, pick: int, part_number: int, size: int) -> None:
        if not self.upload_ids:
            return
        name, key, upload_id = self.upload_ids[pick % len(self.upload_ids)]
        blob, etag = self.new_blob(size), f"e{next(self.numbers)}"
        part = Part(part_number, size, etag, 0, None, blob)
        command = commands.PutPart(self.id_of(name), key, upload_id, part)
        version = Version("", etag, blob and blob.id, size)
        self.both(command, lambda: self.model.put_part(name, key, upload_id, part_number, version), blob)

    @rule(
        pick=picks, numbers=st.sets(st.integers(1, 4), min_size=1), condition=conditions, again=st.booleans()
    )
    def complete(self, pick: int, numbers: set[int], condition: tuple[str, str] | None, again: bool) -> None:
        if not self.upload_ids:
            return
        name, key, upload_id = self.upload_ids[pick % len(self.upload_ids)]
        if again and upload_id in self.model.completed:
            numbers = set(self.model.completed[upload_id][3])
        there = {part.part_number: part for part in queries.parts_between(self.db, upload_id, 1, 10_000)}
        bucket = self.model.buckets.get(name)
        if bucket and upload_id in bucket.uploads:
            numbers = numbers & there.keys() or set(there)
            if not numbers:
                return
        values = self.condition_values(name, key, condition)
        named = sorted(numbers)
        etag, version_id = f"e{next(self.numbers)}", self.new_version_id()
        command = commands.CompleteUpload(
            bucket_id=self.id_of(name),
            key=key,
            upload_id=upload_id,
            parts=tuple(
                commands.NamedPart(n, id_of(there[n].blob), there[n].size) for n in named if n in there
            ),
            etag=etag,
            attributes=Attributes(),
            digest=repr(named).encode(),
            version_id=version_id,
            conditions=write_conditions(values),
        )
        version = Version(version_id, etag)
        self.same(
            *self.both(command, lambda: self.model.complete(name, key, upload_id, named, version, **values))
        )

    @rule(pick=picks)
    def abort(self, pick: int) -> None:
        if not self.upload_ids:
            return
        name, key, upload_id = self.upload_ids[pick % len(self.upload_ids)]
        command = commands.AbortUpload(self.id_of(name), key, upload_id)
        self.both(command, lambda: self.model.abort(name, key, upload_id))

    @rule(limit=st.integers(1, 3))
    def release_some_parts(self, limit: int) -> None:
        for upload_id in queries.dropped_uploads(self.db):
            self.db.write(commands.ReleaseParts(upload_id, limit), self.now_ms)

    # What must hold

    def same(self, version: ObjectVersion | None, expected: Version | None) -> None:
        """A version as the commands give it is the model's."""
        if version is None or expected is None:
            assert version is None and expected is None
            return
        assert (version.version_id, version.etag, version.size) == (
            expected.version_id,
            expected.etag,
            expected.size,
        )
        assert version.is_delete_marker == expected.is_delete_marker
        if version.upload_id is not None:
            layout = queries.manifest(self.db, version.upload_id)
            assert layout is not None and layout.size == version.size
            parts = {part.part_number: part for part in queries.list_parts(self.db, version.upload_id).parts}
            blobs = [parts[number].blob for number, _ in layout.parts()]
            assert set(parts) == {number for number, _ in layout.parts()}
            assert expected.content == (version.upload_id, *(blob and blob.id for blob in blobs))
        elif not version.is_delete_marker:
            assert expected.content == (version.blob and version.blob.id,)

    @invariant()
    def tables_agree_with_each_other(self) -> None:
        assert invariants.violations(self.db) == []

    @invariant()
    def tables_agree_with_the_model(self) -> None:
        for name, bucket in self.model.buckets.items():
            listed = queries.list_versions(self.db, self.id_of(name)).versions
            entries = list(self.model.versions(name))
            assert [(v.key, v.version_id, v.is_latest) for v in listed] == [
                (entry.key, entry.version.version_id, entry.is_latest) for entry in entries if entry.version
            ]
            for entry in entries:
                assert entry.version is not None
                found = queries.version(self.db, self.id_of(name), entry.key, entry.version.version_id)
                assert found is not None and found.is_latest == entry.is_latest
                self.same(found, entry.version)
            for key in KEYS:
                self.same(queries.current(self.db, self.id_of(name), key), bucket.current(key))
                top = queries.top(self.db, self.id_of(name), key)
                self.same(top, bucket.keys[key][0] if key in bucket.keys else None)
            uploads = queries.list_uploads(self.db, self.id_of(name)).uploads
            assert {upload.upload_id for upload in uploads} == set(bucket.uploads)

    def teardown(self) -> None:
        """Every blob ever taken is referred to or garbage, and once all is deleted, all are garbage."""
        self.drain()
        assert self.known_blobs() == self.blob_ids
        for name in list(self.model.buckets):
            for entry in list(self.model.versions(name)):
                assert entry.version is not None
                command = commands.DeleteVersion(
                    self.id_of(name), entry.key, OWNER, version_id=entry.version.version_id
                )
                self.db.write(command, self.now_ms)
            self.db.write(commands.DeleteBucket(name), self.now_ms)
        self.drain()
        for table in ("objects", "history", "uploads", "parts", "manifests", "blobs", "buckets"):
            assert self.db.rows(f"SELECT * FROM {table}") == []
        garbage = {blob.id for blob in queries.garbage_before(self.db, 2**62)}
        assert garbage == self.blob_ids
        self.db.close()

    def drain(self) -> None:
        for upload_id in queries.dropped_uploads(self.db):
            while not self.db.write(commands.ReleaseParts(upload_id, 2), self.now_ms):
                pass

    def known_blobs(self) -> set[bytes]:
        return queries.blobs_known(self.db, self.blob_ids)


TestCommands = Commands.TestCase
TestCommands.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
