"""Tiers in the metadata: what each command refuses, and what holds after any history of them."""

import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from objstore.meta import commands, invariants, queries, tiering
from objstore.meta.commands.lifecycle import digest_of
from objstore.meta.interface import (
    BucketMissing,
    Conflict,
    IsDeleteMarker,
    KeyMissing,
    NotArchived,
    Refusal,
    RestoreUnderWay,
    VersionMissing,
)
from objstore.model import (
    RESTORE,
    TIER,
    Attributes,
    BlobRef,
    Bucket,
    ObjectVersion,
    Part,
    Replica,
    Versioning,
)
from tests.meta.support.sqlite_database import SqliteDatabase

NOW = 1_700_000_000_000
RULES = b"<rules/>"
KEYS = ("a", "b")


class Facts:
    """A database with one bucket that has rules, and commands on it in few words."""

    def __init__(self, versioning: Versioning = Versioning.NEVER) -> None:
        self.db = SqliteDatabase()
        self.now_ms = NOW
        self._ids = itertools.count(1)
        self.bucket: Bucket = self.write(commands.CreateBucket("bucket", "owner", "here"))
        if versioning is not Versioning.NEVER:
            self.write(commands.SetVersioning(self.bucket.id, versioning))
        self.write(commands.SetSubresource(self.bucket.id, "lifecycle", RULES))

    def write(self, command: Any) -> Any:
        self.now_ms += 1
        sent = commands.decode(commands.encode(command))
        return commands.decode_result(commands.encode_result(self.db.write(sent, self.now_ms)))

    def blob(self, size: int = 10) -> BlobRef:
        return BlobRef(next(self._ids).to_bytes(16, "big"), size, b"\x01here")

    def tier_blob(self, size: int = 10) -> BlobRef:
        """One that is about to be sent."""
        blob = BlobRef(next(self._ids).to_bytes(16, "big"), size, b"\xf7there")
        self.write(commands.IntendTierBlobs((blob,)))
        return blob

    def id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids)}"

    def put(self, key: str = "a", **given: Any) -> ObjectVersion:
        given = {"blob": self.blob(), "attributes": Attributes()} | given
        version: ObjectVersion = self.write(
            commands.PutVersion(
                self.bucket.id,
                key,
                10,
                "etag",
                "owner",
                given.pop("attributes"),
                version_id=self.id("v"),
                **given,
            )
        )
        return version

    def put_parts(self, key: str = "a", count: int = 2) -> ObjectVersion:
        upload_id = self.id("u")
        self.write(commands.CreateUpload(self.bucket.id, key, upload_id, "owner", Attributes()))
        named = []
        for number in range(1, count + 1):
            part = Part(number, 10, "etag", 0, None, self.blob())
            self.write(commands.PutPart(self.bucket.id, key, upload_id, part))
            assert part.blob is not None
            named.append(commands.NamedPart(number, part.blob.id, 10))
        version: ObjectVersion = self.write(
            commands.CompleteUpload(
                self.bucket.id,
                key,
                upload_id,
                tuple(named),
                "etag",
                Attributes(),
                b"d",
                version_id=self.id("v"),
            )
        )
        return version

    def transition(self, version: ObjectVersion, **given: Any) -> commands.TransitionVersion:
        given = {"storage_class": "GLACIER", "rules": digest_of(RULES), "moves_bytes": True} | given
        return commands.TransitionVersion(
            version.bucket_id,
            version.key,
            version.version_id,
            version.sequence,
            version.tags,
            source_blob_id=None if version.blob is None else version.blob.id,
            source_upload_id=version.upload_id,
            **given,
        )

    def archived(self, key: str = "a") -> ObjectVersion:
        version: ObjectVersion = self.write(self.transition(self.put(key), blob=self.tier_blob()))
        return version

    def restore(self, version: ObjectVersion, **given: Any) -> commands.RestoreVersion:
        given = {"days": 1, "expires_ms": self.now_ms + 1000, "staging_id": self.id("s")} | given
        return commands.RestoreVersion(version.bucket_id, version.key, version.version_id, **given)

    def current(self, key: str) -> ObjectVersion:
        found = queries.current(self.db, self.bucket.id, key)
        assert found is not None
        return found

    def check(self) -> None:
        assert invariants.violations(self.db) == []

    def garbage(self) -> set[bytes]:
        return {blob.id for blob in queries.garbage_before(self.db, 2**62, 100_000)}


@pytest.fixture
def facts() -> Facts:
    return Facts()


def test_a_version_changes_over_once_and_keeps_all_else(facts: Facts) -> None:
    before = facts.put(tags={"t": "1"})
    assert before.blob is not None
    blob = facts.tier_blob()
    command = facts.transition(before, blob=blob)
    after = facts.write(command)
    facts.check()
    assert after.blob == blob and after.attributes.extra == {TIER: "GLACIER"}
    assert (after.sequence, after.modified_ms, after.tags) == (
        before.sequence,
        before.modified_ms,
        before.tags,
    )
    assert facts.garbage() == {before.blob.id}
    assert facts.write(command) is None, "its bytes are others by now"
    facts.write(commands.DeleteVersion(facts.bucket.id, "a", "owner"))
    assert facts.garbage() == {before.blob.id, blob.id}
    facts.check()


@pytest.mark.parametrize("what", ["rules", "tags", "replaced", "gone", "noncurrent", "restore"])
def test_a_version_that_is_not_as_it_was_judged_stays(what: str) -> None:
    facts = Facts(Versioning.ENABLED)
    version = facts.archived() if what == "restore" else facts.put()
    command = facts.transition(version, blob=facts.tier_blob(), storage_class="DEEP_ARCHIVE")
    match what:
        case "rules":
            facts.write(commands.SetSubresource(facts.bucket.id, "lifecycle", b"<other/>"))
        case "tags":
            facts.write(commands.ReplaceAttributes(facts.bucket.id, "a", tags={"t": "1"}))
        case "replaced" | "noncurrent":
            facts.put()
        case "gone":
            facts.write(commands.DeleteVersion(facts.bucket.id, "a", "owner", version_id=version.version_id))
        case "restore":
            facts.write(facts.restore(version))
    assert facts.write(command) is None
    assert [ref.id for ref in tiering.tier_intents(facts.db, 2**62)]
    facts.check()


def test_a_copy_that_was_given_up_is_not_changed_over_to(facts: Facts) -> None:
    version, blob = facts.put(), facts.tier_blob()
    facts.write(commands.AbandonTierBlobs((blob.id,)))
    facts.write(commands.AbandonTierBlobs((blob.id, b"unknown")))
    assert facts.garbage() == {blob.id}
    with pytest.raises(Conflict):
        facts.write(facts.transition(version, blob=blob))
    facts.check()


def test_parts_are_staged_once_and_change_over_when_all_are_there(facts: Facts) -> None:
    version = facts.put_parts(count=3)
    slot = (facts.bucket.id, "a", version.version_id)
    staging_id = facts.write(commands.BeginTransition(*slot, version.sequence, "s1"))
    assert staging_id == "s1"
    assert facts.write(commands.BeginTransition(*slot, version.sequence, "s2")) == "s1"
    assert facts.write(commands.BeginTransition(*slot, version.sequence + 1, "s3")) is None
    staging_id = facts.write(commands.BeginTransition(*slot, version.sequence, "s4"))
    assert staging_id == "s4", "a version that is another one takes the place of a copy"
    facts.check()
    for number in (1, 2):
        part = Part(number, 10, "etag", 0, None, facts.tier_blob())
        facts.write(commands.StagePart("s4", part, is_at_tier=True))
        facts.check()
        with pytest.raises(Conflict):
            facts.write(commands.StagePart("s4", part, is_at_tier=True))
    with pytest.raises(Conflict):
        facts.write(facts.transition(version, staging_id="s4"))
    with pytest.raises(Conflict):
        facts.write(facts.transition(version, staging_id="unknown"))
    part = Part(3, 10, "etag", 0, None, facts.tier_blob())
    facts.write(commands.StagePart("s4", part, is_at_tier=True))
    after = facts.write(facts.transition(version, staging_id="s4"))
    facts.check()
    assert after.upload_id == "s4"
    assert set(queries.dropped_uploads(facts.db)) == {"s1", version.upload_id}
    facts.write(commands.AbandonTransition(*slot, "s4"))
    facts.check()


def test_whom_restore_refuses() -> None:
    facts = Facts(Versioning.ENABLED)
    version = facts.archived()
    plain = facts.put("plain")
    facts.write(commands.DeleteVersion(facts.bucket.id, "b", "owner", new_version_id="marker"))

    def asked(**given: Any) -> Any:
        named = {"bucket_id": facts.bucket.id, "key": "a", "version_id": None} | given
        return commands.RestoreVersion(**named, days=1, expires_ms=NOW, staging_id="s")

    for command, refusal in (
        (asked(bucket_id=99), BucketMissing),
        (asked(key="absent"), KeyMissing),
        (asked(key="b"), KeyMissing),
        (asked(key="b", version_id="marker"), IsDeleteMarker),
        (asked(version_id="unknown"), VersionMissing),
        (facts.restore(plain), NotArchived),
    ):
        with pytest.raises(refusal):
            facts.write(command)
    assert facts.write(asked()).attributes.is_restore_under_way
    with pytest.raises(RestoreUnderWay):
        facts.write(facts.restore(version))
    facts.check()


def test_a_restore_is_finished_extended_and_ended(facts: Facts) -> None:
    version = facts.archived()
    slot = (facts.bucket.id, "a", version.version_id)
    assert facts.write(commands.FinishRestore(*slot, version.sequence, 1, facts.blob())) is None
    facts.write(facts.restore(version))
    assert facts.write(commands.EndRestore(*slot, 2**62)) is None, "it is under way"
    assert facts.write(commands.FinishRestore(*slot, version.sequence + 1, 1)) is None
    blob = facts.blob()
    done = facts.write(commands.FinishRestore(*slot, version.sequence, 5000, blob))
    assert done.attributes.restored_until_ms == 5000 and done.blob == version.blob
    assert tiering.restored_copy(facts.db, done) == (blob, None)
    assert facts.write(commands.FinishRestore(*slot, version.sequence, 6000, facts.blob())) is None
    facts.check()
    assert facts.write(facts.restore(version, expires_ms=7000)).attributes.restored_until_ms == 7000
    assert facts.write(commands.EndRestore(*slot, 6999)) is None
    ended = facts.write(commands.EndRestore(*slot, 7000))
    assert RESTORE not in ended.attributes.extra and ended.blob == version.blob
    assert blob.id in facts.garbage() and facts.write(commands.EndRestore(*slot, 7000)) is None
    facts.check()


def test_a_replica_that_comes_late_takes_no_restored_copy_away() -> None:
    """It is put beneath what is newer, which gets new sequences by that."""
    facts = Facts(Versioning.ENABLED)
    parts, whole = facts.put_parts("a"), facts.archived("b")
    begun = commands.BeginTransition(facts.bucket.id, "a", parts.version_id, parts.sequence, "s1")
    assert facts.write(begun) == "s1"
    facts.write(facts.restore(whole))

    def late(key: str, version_id: str) -> None:
        replica = Replica(version_id, NOW - 1)
        facts.put(key, blob=None, replica=replica)

    late("a", "late")
    late("b", "late")
    facts.check()
    parts, whole = facts.current("a"), facts.current("b")
    assert facts.write(replace(begun, sequence=parts.sequence, staging_id="s2")) == "s1"
    slot = (facts.bucket.id, "b", whole.version_id)
    assert facts.write(commands.EndRestore(*slot, 2**62)) is None
    blob = facts.blob()
    done = facts.write(commands.FinishRestore(*slot, whole.sequence, 5000, blob))
    assert done is not None and done.attributes.restored_until_ms == 5000
    late("b", "latest")
    assert tiering.restored_copy(facts.db, facts.current("b")) == (blob, None)
    assert [is_gone for _, is_gone in tiering.restores_after(facts.db, None)] == [False]
    facts.check()


@dataclass
class Walk:
    """A random history, with what a job may have under way at each moment."""

    facts: Facts
    random: Random

    def version(self) -> ObjectVersion | None:
        listed = queries.list_versions(self.facts.db, self.facts.bucket.id).versions
        live = [version for version in listed if not version.is_delete_marker]
        if not live:
            return None
        chosen = self.random.choice(live)
        return queries.version(self.facts.db, chosen.bucket_id, chosen.key, chosen.version_id)

    def step(self) -> None:
        step = self.random.choice(
            (
                self.put,
                self.put_parts,
                self.delete,
                self.share,
                self.stage,
                self.stage,
                self.move,
                self.move,
                self.move,
                self.give_up,
                self.ask_back,
                self.ask_back,
                self.fetch,
                self.fetch,
                self.end,
            )
        )
        with suppress(Refusal, Conflict):
            step()
        self.facts.check()

    def put(self) -> None:
        self.facts.put(self.random.choice(KEYS))

    def put_parts(self) -> None:
        self.facts.put_parts(self.random.choice(KEYS), self.random.randint(1, 3))

    def delete(self) -> None:
        version = self.version()
        if version is not None:
            version_id = self.random.choice([None, version.version_id])
            new_id = self.facts.id("m")
            self.facts.write(
                commands.DeleteVersion(version.bucket_id, version.key, "owner", version_id, new_id)
            )

    def share(self) -> None:
        """A copy by reference, of the restored copy where there is one."""
        version = self.version()
        if version is None:
            return
        copy = tiering.restored_copy(self.facts.db, version)
        blob, upload_id = copy or (version.blob, version.upload_id)
        self.facts.put(self.random.choice(KEYS), blob=blob, shares_blob=True, upload_id=upload_id)

    def stage(self) -> None:
        version = self.version()
        if version is None or version.upload_id is None:
            return
        slot = (version.bucket_id, version.key, version.version_id)
        staging_id = self.facts.write(commands.BeginTransition(*slot, version.sequence, self.facts.id("s")))
        if staging_id is not None:
            self._stage(version.upload_id, staging_id, self.facts.tier_blob, is_at_tier=True)

    def _stage(self, upload_id: str, staging_id: str, blob: Any, *, is_at_tier: bool) -> None:
        there = {part.part_number for part in queries.list_parts(self.facts.db, staging_id).parts}
        for part in queries.list_parts(self.facts.db, upload_id).parts:
            if part.part_number not in there and self.random.random() < 0.8:
                copied = Part(part.part_number, part.size, part.etag, 0, None, blob())
                self.facts.write(commands.StagePart(staging_id, copied, is_at_tier))
                self.facts.check()

    def move(self) -> None:
        version = self.version()
        if version is None:
            return
        newer = [
            other.sequence
            for other in queries.list_versions(self.facts.db, version.bucket_id, version.key).versions
            if other.key == version.key and other.sequence > version.sequence
        ]
        about: dict[str, Any] = {"successor": min(newer, default=0)}
        about["storage_class"] = self.random.choice(["STANDARD_IA", "GLACIER"])
        if self.random.random() < 0.1:
            about["moves_bytes"] = False
        elif version.upload_id is not None:
            row = self.facts.db.one(
                "SELECT upload_id FROM transitions WHERE key = ? AND version_id = ?",
                (version.key.encode(), version.version_id),
            )
            about["staging_id"] = None if row is None else row[0]
            if row is None:
                return
        else:
            about["blob"] = self.facts.tier_blob()
        self.facts.write(self.facts.transition(version, **about))

    def give_up(self) -> None:
        intents = tiering.tier_intents(self.facts.db, 2**62)
        if intents:
            self.facts.write(commands.AbandonTierBlobs((self.random.choice(intents).id,)))
        for staged in tiering.transitions_before(self.facts.db, 2**62)[:1]:
            slot = (staged.bucket_id, staged.key, staged.version_id)
            self.facts.write(commands.AbandonTransition(*slot, staged.upload_id))

    def ask_back(self) -> None:
        version = self.version()
        if version is not None:
            self.facts.write(self.facts.restore(version))

    def fetch(self) -> None:
        for restore in tiering.restores_under_way(self.facts.db):
            slot = (restore.bucket_id, restore.key, restore.version_id)
            version = queries.version(self.facts.db, *slot)
            if version is None or version.sequence != restore.sequence:
                continue
            blob = None
            if restore.upload_id is not None and version.upload_id is not None:
                self._stage(version.upload_id, restore.upload_id, self.facts.blob, is_at_tier=False)
            elif version.attributes.is_archived:
                blob = self.facts.blob()
            expires_ms = self.facts.now_ms + self.random.randint(1, 100)
            self.facts.write(commands.FinishRestore(*slot, restore.sequence, expires_ms, blob))
            self.facts.check()

    def end(self) -> None:
        for restore, _ in tiering.restores_after(self.facts.db, None):
            slot = (restore.bucket_id, restore.key, restore.version_id)
            self.facts.write(commands.EndRestore(*slot, self.facts.now_ms))
            self.facts.check()

    def finish(self) -> None:
        """Everything goes: then nothing may be referred to any more, and nothing be forgotten."""
        for version in queries.list_versions(self.facts.db, self.facts.bucket.id).versions:
            self.facts.write(
                commands.DeleteVersion(version.bucket_id, version.key, "owner", version.version_id)
            )
        self.end()
        while tiering.tier_intents(self.facts.db, 2**62) or tiering.transitions_before(self.facts.db, 2**62):
            self.give_up()
        for upload_id in queries.dropped_uploads(self.facts.db):
            assert self.facts.write(commands.ReleaseParts(upload_id))
        self.facts.check()
        for table in ("blobs", "parts", "manifests", "restores", "transitions", "tier_intents"):
            assert self.facts.db.rows(f"SELECT * FROM {table}") == [], table


@pytest.mark.parametrize("run", range(12))
def test_any_history_keeps_the_invariants(run: int, seeded: Random) -> None:
    random = Random(seeded.getrandbits(32) + run)
    walk = Walk(Facts(random.choice([Versioning.NEVER, Versioning.ENABLED, Versioning.SUSPENDED])), random)
    for _ in range(120):
        walk.step()
    walk.finish()
