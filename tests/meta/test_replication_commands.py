"""What is queued with a change, in which order it is due, and where replicas find their place."""

import random
from collections.abc import Iterable, Mapping

import pytest

from objstore.meta import commands, invariants, queries
from objstore.meta.commands import (
    Announced,
    Candidate,
    Deleted,
    DeleteVersion,
    FinishReplications,
    PostponeReplications,
    PutVersion,
    QueueExisting,
    ReplaceAttributes,
    Sent,
    SetReplication,
    SetVersioning,
)
from objstore.meta.commands import replication as module
from objstore.meta.commands.lifecycle import digest_of
from objstore.meta.commands.objects import RAISED_MAX
from objstore.meta.interface import BucketStateInvalid, Command
from objstore.model import NULL_VERSION, Attributes, ObjectVersion, Replica, Versioning
from objstore.s3 import replication
from tests.meta.support.sqlite_database import SqliteDatabase

NOW = 1_700_000_000_000
A, B = "arn:aws:s3:::a", "arn:aws:objstore:::far/b"
EVERYTHING = (Candidate(A, markers=True),)


class Facts:
    """A database with one bucket that keeps versions."""

    def __init__(self) -> None:
        self.db = SqliteDatabase()
        self.bucket_id: int = self.db.write(commands.CreateBucket("bucket", "owner", "here"), NOW).id
        self.db.write(SetVersioning(self.bucket_id, Versioning.ENABLED), NOW)
        self.now_ms = NOW

    def put(
        self,
        key: str,
        version_id: str,
        candidates: tuple[Candidate, ...] = (),
        *,
        tags: Mapping[str, str] | None = None,
        extra: Mapping[str, str] | None = None,
        replica: Replica | None = None,
    ) -> ObjectVersion:
        command = PutVersion(
            self.bucket_id,
            key,
            0,
            f"etag-{version_id}",
            "owner",
            Attributes(extra=extra or {}),
            tags=tags or {},
            version_id=version_id,
            replica=replica,
        )
        made: ObjectVersion = self.write(command, key, candidates)
        return made

    def delete(self, key: str, marker_id: str, candidates: tuple[Candidate, ...] = ()) -> Deleted:
        command = DeleteVersion(self.bucket_id, key, "owner", new_version_id=marker_id)
        made: Deleted = self.write(command, key, candidates)
        return made

    def write(
        self, command: Command[object], key: str = "", candidates: tuple[Candidate, ...] = ()
    ) -> object:
        self.now_ms += 1
        if candidates:
            command = Announced(self.bucket_id, key, commands.encode(command), (), candidates)
        decoded = commands.decode(commands.encode(command))
        result: object = self.db.write(decoded, self.now_ms)
        assert invariants.violations(self.db) == []
        return result

    def due(self, target: str = A, at_ms: int | None = None) -> list[queries.Replication]:
        return queries.replications_due(self.db, target, self.now_ms if at_ms is None else at_ms)

    def finish(self, *outcomes: Sent) -> None:
        self.write(FinishReplications(outcomes))

    def status(self, key: str, version_id: str) -> str | None:
        version = queries.version(self.db, self.bucket_id, key, version_id)
        assert version is not None
        return replication.status_of(version.attributes)

    def order(self, key: str) -> list[str]:
        """The version ids of a key, newest first; a delete marker's in parentheses."""
        page = queries.list_versions(self.db, self.bucket_id, key)
        return [
            f"({one.version_id})" if one.is_delete_marker else one.version_id
            for one in page.versions
            if one.key == key
        ]


@pytest.fixture
def facts() -> Facts:
    return Facts()


def ids(rows: Iterable[queries.Replication]) -> list[tuple[str, str]]:
    return [(row.key, row.version_id) for row in rows]


# What is queued


def test_a_version_is_queued_for_every_target_whose_rule_it_fits(facts: Facts) -> None:
    rules = (Candidate(A, {"k": "v"}), Candidate(A), Candidate(B, {"other": "x"}), Candidate(B, {"k": "v"}))
    made = facts.put("key", "v1", rules, tags={"k": "v"})
    assert replication.progress_of(made.attributes).keys() == {A, B}
    assert facts.status("key", "v1") == "PENDING"
    assert ids(facts.due(A)) == ids(facts.due(B)) == [("key", "v1")]
    plain = facts.put("plain", "v2", rules)
    assert replication.progress_of(plain.attributes).keys() == {A}
    assert facts.put("none", "v3", (Candidate(A, {"k": "v"}),)).attributes == Attributes()
    assert queries.replication_targets(facts.db) == [B, A]


def test_delete_markers_where_they_are_asked_for(facts: Facts) -> None:
    facts.put("key", "v1")
    facts.delete("key", "m1", (Candidate(A), Candidate(B, markers=True)))
    assert ids(facts.due(A)) == [] and ids(facts.due(B)) == [("key", "m1")]
    facts.write(DeleteVersion(facts.bucket_id, "key", "owner", version_id="v1"), "key", EVERYTHING)
    assert ids(facts.due(A)) == []


def test_changes_go_where_the_version_went(facts: Facts) -> None:
    facts.put("key", "v1", (Candidate(A),))
    facts.finish(Sent(facts.due()[0].sequence, "COMPLETED", "theirs"))
    change = ReplaceAttributes(facts.bucket_id, "key", "v1", tags={"k": "v"})
    facts.write(change, "key", (Candidate(B), Candidate(A, {"no": "more"})))
    assert facts.due(B) == []
    (row,) = facts.due(A)
    assert (row.kind, row.version_id) == (module.CHANGED, "v1")
    facts.finish(Sent(row.sequence, "COMPLETED"))
    version = queries.version(facts.db, facts.bucket_id, "key", "v1")
    assert version is not None
    assert replication.progress_of(version.attributes)[A].version_id == "theirs"
    facts.put("other", "v2")
    facts.write(ReplaceAttributes(facts.bucket_id, "other", "v2", tags={"k": "v"}), "other", (Candidate(A),))
    assert facts.due(A) == []


def test_changes_of_replicas_go_on_only_where_that_is_asked_for(facts: Facts) -> None:
    facts.put("key", "v1", replica=Replica("v1", NOW))
    change = ReplaceAttributes(facts.bucket_id, "key", "v1", tags={"k": "v"})
    facts.write(change, "key", (Candidate(A), Candidate(B, changes_of_replicas=True)))
    assert facts.due(A) == []
    (row,) = facts.due(B)
    facts.finish(Sent(row.sequence, "FAILED"))
    assert facts.status("key", "v1") == "REPLICA"


def test_what_became_of_a_source_is_not_its_copys(facts: Facts) -> None:
    for status in (replication.REPLICA, f"COMPLETED {A} -"):
        made = facts.put("key", f"v{status[0]}", EVERYTHING, extra={replication.EXTRA: status, "acl": "x"})
        assert made.attributes.extra == {"acl": "x", replication.EXTRA: f"PENDING {A} -"}
    assert facts.put("other", "v9", extra={replication.EXTRA: "REPLICA"}).attributes.extra == {}


# In which order


def test_only_the_oldest_of_a_key_is_due(facts: Facts) -> None:
    for number in range(3):
        for key in ("a", "b"):
            facts.put(key, f"{key}{number}", EVERYTHING)
    assert ids(facts.due()) == [("a", "a0"), ("b", "b0")]
    first, other = facts.due()
    facts.write(PostponeReplications((first.sequence,), (facts.now_ms + 1000,)))
    assert ids(facts.due()) == [("b", "b0")]
    assert facts.due(at_ms=facts.now_ms + 2000)[-1].attempts == 1
    facts.finish(Sent(other.sequence, "COMPLETED"), Sent(other.sequence, "FAILED"))
    assert facts.status("b", "b0") == "COMPLETED"
    assert ids(facts.due()) == [("b", "b1")]
    facts.finish(Sent(first.sequence, "FAILED"))
    assert ids(facts.due()) == [("b", "b1"), ("a", "a1")]
    assert (facts.status("a", "a0"), facts.status("a", "a1")) == ("FAILED", "PENDING")


def test_a_status_touches_nothing_else(facts: Facts) -> None:
    made = facts.put("key", "v1", EVERYTHING, tags={"k": "v"})
    facts.put("key", "v2")
    facts.finish(Sent(facts.due()[0].sequence, None))
    version = queries.version(facts.db, facts.bucket_id, "key", "v1")
    assert version is not None and version.attributes.extra == {}
    assert (version.sequence, version.modified_ms, version.tags) == (
        made.sequence,
        made.modified_ms,
        made.tags,
    )
    facts.put("gone", "v3", EVERYTHING)
    facts.write(DeleteVersion(facts.bucket_id, "gone", "owner", version_id="v3"))
    facts.finish(Sent(facts.due()[0].sequence, "COMPLETED"))
    assert queries.replications_waiting(facts.db) == (0, 0, None)


def test_what_is_not_yet_where_it_is_to_go_is_not_expired(facts: Facts) -> None:
    facts.write(commands.SetSubresource(facts.bucket_id, "lifecycle", b"<rules/>"))
    facts.write(SetReplication(facts.bucket_id, b"<rules/>"))
    past, latest = facts.put("key", "v1", EVERYTHING), facts.put("key", "v2")
    expire = commands.ExpireVersion(
        facts.bucket_id,
        "key",
        "v1",
        past.sequence,
        {},
        digest_of(b"<rules/>"),
        "owner",
        successor=latest.sequence,
    )
    assert facts.write(expire) is None
    facts.finish(Sent(facts.due()[0].sequence, "FAILED"))
    assert facts.write(expire) is None
    facts.write(SetReplication(facts.bucket_id, None))
    assert facts.write(expire) == Deleted("v1", is_delete_marker=False, existed=True)


# What exists


def test_what_exists_is_queued_oldest_first_and_once(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXISTING_ROWS_MAX", 2)
    facts.put("key", "replica", replica=Replica("replica", NOW - 1))
    for number in range(3):
        facts.put("key", f"v{number}")
    facts.delete("key", "m")
    facts.put("key", "sent", EVERYTHING)
    facts.put("key", "failed", (Candidate(A), Candidate(B)))
    facts.finish(*(Sent(row.sequence, "COMPLETED") for row in facts.due()))
    facts.finish(*(Sent(row.sequence, "FAILED") for row in facts.due()))
    facts.finish(*(Sent(row.sequence, "COMPLETED") for row in facts.due(B)))
    for _ in range(2):
        after: int | None = 0
        while after is not None:
            command = QueueExisting(facts.bucket_id, "key", EVERYTHING, after)
            after = facts.write(command)  # type: ignore[assignment]
    sent = []
    while rows := facts.due():
        assert len(rows) == 1 and rows[0].kind == module.EXISTING
        sent.append(rows[0].version_id)
        facts.finish(Sent(rows[0].sequence, "COMPLETED"))
    assert sent == ["v0", "v1", "v2", "m", "failed"]
    assert facts.due(B) == []


def test_all_keys_are_walked(facts: Facts) -> None:
    for key in ("a", "b/1", "b/2", "c"):
        facts.put(key, f"{key}1")
        facts.put(key, f"{key}2")
    facts.delete("b/2", "m")
    walk = lambda *args: queries.keys_after(facts.db, facts.bucket_id, *args)  # noqa: E731
    assert walk("", "", 10) == ["a", "b/1", "b/2", "c"]
    assert walk("a", "", 2) == ["b/1", "b/2"]
    assert walk("", "b/", 10) == ["b/1", "b/2"]
    assert walk("c", "", 10) == []


# Replicas


def test_a_replica_keeps_id_and_time_and_comes_once(facts: Facts) -> None:
    made = facts.put("key", "", replica=Replica("theirs", NOW - 5000))
    assert (made.version_id, made.modified_ms, made.is_latest) == ("theirs", NOW - 5000, True)
    assert facts.status("key", "theirs") == "REPLICA"
    again = facts.put("key", "", replica=Replica("theirs", NOW - 1))
    assert again == queries.version(facts.db, facts.bucket_id, "key", "theirs")
    assert facts.order("key") == ["theirs"]
    mine = facts.put("key", "mine")
    assert mine.modified_ms > made.modified_ms


def test_replicas_find_their_place_by_time(facts: Facts) -> None:
    facts.put("key", "new")  # at NOW + 1
    older = facts.put("key", "", replica=Replica("old", NOW - 100))
    assert not older.is_latest
    facts.put("key", "", replica=Replica("oldest", NOW - 200))
    facts.put("key", "", replica=Replica("older", NOW - 150))
    facts.put("key", "", replica=Replica("newest", NOW + 100))
    facts.put("key", "", replica=Replica("tie-a", NOW + 100))
    assert facts.order("key") == ["tie-a", "newest", "new", "old", "older", "oldest"]
    marker = DeleteVersion(facts.bucket_id, "key", "owner", replica=Replica("m", NOW + 50))
    for existed in (True, False):
        assert facts.write(marker) == Deleted("m", is_delete_marker=True, existed=existed)
    assert facts.order("key") == ["tie-a", "newest", "(m)", "new", "old", "older", "oldest"]
    facts.write(DeleteVersion(facts.bucket_id, "key", "owner", replica=Replica("m2", NOW + 500)))
    assert queries.current(facts.db, facts.bucket_id, "key") is None
    facts.put("key", "", replica=Replica("late", NOW + 300))
    assert queries.current(facts.db, facts.bucket_id, "key") is None
    assert facts.order("key")[:2] == ["(m2)", "late"]
    facts.write(DeleteVersion(facts.bucket_id, "key", "owner", version_id="m2"))
    current = queries.current(facts.db, facts.bucket_id, "key")
    assert current is not None and current.version_id == "late"


def test_any_order_of_arrival_ends_the_same(facts: Facts, seeded: random.Random) -> None:
    replicas = [Replica(f"v{number:02}", NOW + seeded.randrange(6)) for number in range(12)]
    markers = {replica.version_id for replica in seeded.sample(replicas, 4)}
    wanted = [
        f"({one.version_id})" if one.version_id in markers else one.version_id
        for one in sorted(replicas, key=lambda one: (one.modified_ms, one.version_id), reverse=True)
    ]
    for round_ in range(5):
        key = f"key{round_}"
        seeded.shuffle(replicas)
        for replica in replicas:
            if replica.version_id in markers:
                facts.write(DeleteVersion(facts.bucket_id, key, "owner", replica=replica))
            else:
                facts.put(key, "", replica=replica)
        assert facts.order(key) == wanted


def test_a_null_replica_replaces_an_older_one(facts: Facts) -> None:
    facts.put("key", "", replica=Replica(NULL_VERSION, NOW - 10))
    facts.put("key", "v1")
    same = facts.put("key", "x", replica=Replica(NULL_VERSION, NOW - 20))
    assert same.modified_ms == NOW - 10
    facts.put("key", "y", replica=Replica(NULL_VERSION, NOW + 1000))
    assert facts.order("key") == [NULL_VERSION, "v1"]


def test_beneath_very_many_newer_versions_a_replica_stays_noncurrent(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RAISED_MAX >= 100
    monkeypatch.setattr("objstore.meta.commands.objects.RAISED_MAX", 3)
    for number in range(6):
        facts.put("key", f"v{number}")
    facts.put("key", "", replica=Replica("old", NOW - 100))
    assert facts.order("key")[:4] == ["v5", "v4", "v3", "old"]


def test_replicas_need_a_bucket_that_keeps_versions(facts: Facts) -> None:
    facts.write(SetVersioning(facts.bucket_id, Versioning.SUSPENDED))
    with pytest.raises(BucketStateInvalid):
        facts.put("key", "", replica=Replica("v1", NOW))


# The configuration


def test_rules_need_versioning_and_keep_it(facts: Facts) -> None:
    facts.write(SetReplication(facts.bucket_id, b"<rules/>", resync=True))
    with pytest.raises(BucketStateInvalid) as caught:
        facts.write(SetVersioning(facts.bucket_id, Versioning.SUSPENDED))
    assert caught.value.detail["because"] == "replication"
    ((name, _),) = queries.states_between(facts.db, module.RESYNC, f"{module.RESYNC}~")
    assert name == module.resync_state(facts.bucket_id)
    facts.write(SetReplication(facts.bucket_id, None))
    facts.write(SetVersioning(facts.bucket_id, Versioning.SUSPENDED))
    with pytest.raises(BucketStateInvalid):
        facts.write(SetReplication(facts.bucket_id, b"<rules/>"))
