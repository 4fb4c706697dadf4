"""The job that sends: order, pauses, giving up, and nothing lost when the server ends in between."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from objstore import clock
from objstore.encryption.provider import KmsKeyMissing
from objstore.events.records import document_of
from objstore.jobs import replication as module
from objstore.jobs.destinations import LocalBucket, NotThere, RemoteBucket
from objstore.jobs.job import JobSettings
from objstore.jobs.replication import REFUSALS_MAX, ReplicationQueue, Resync
from objstore.jobs.replication_failures import reason_of
from objstore.meta import commands, queries
from objstore.meta.commands import Announced, DeleteVersion, PutVersion, ReplaceAttributes, SetReplication
from objstore.meta.commands.replication import resync_of, resync_state
from objstore.meta.interface import Unavailable
from objstore.model import Attributes, Encryption, EncryptionMethod, ObjectVersion, Versioning
from objstore.remote.client import RemoteError, RemoteUnavailable
from objstore.s3 import replication, xml
from objstore.s3.documents.replication import (
    DeleteMarkerReplication,
    Destination,
    ExistingObjectReplication,
    Filter,
    ReplicationConfiguration,
    ReplicationRule,
)
from objstore.service.replication import candidates
from tests.jobs.fakes import OWNER, START_MS, LocalMetadata

ARN = "arn:aws:objstore:::far/bucket"
RETRY_S = 3600.0
RULES = ReplicationConfiguration(
    role="arn:aws:iam::123456789012:role/r",
    rules=(
        ReplicationRule(
            id="all",
            priority=1,
            filter=Filter(),
            status="Enabled",
            delete_marker_replication=DeleteMarkerReplication(status="Enabled"),
            destination=Destination(bucket=ARN),
        ),
    ),
)


@dataclass
class FakePlace:
    """Remembers what it was sent; `raises` may say no."""

    sent: list[str] = field(default_factory=list)
    raises: Callable[[str], Exception | None] = lambda what: None
    is_ours: bool = True
    together: int = 0
    together_max: int = 0

    async def _take(self, what: str) -> None:
        self.together += 1
        self.together_max = max(self.together_max, self.together)
        await asyncio.sleep(0)
        self.together -= 1
        failure = self.raises(what)
        if failure is not None:
            raise failure
        self.sent.append(what)

    async def keeps_order(self) -> bool:
        return self.is_ours

    async def put(self, version: ObjectVersion, rule: ReplicationRule) -> str | None:
        await self._take(f"{version.key} {version.version_id}")
        return None if self.is_ours else f"their {version.version_id}"

    async def put_marker(self, marker: ObjectVersion) -> str | None:
        await self._take(f"{marker.key} ({marker.version_id})")
        return None

    async def change(self, version: ObjectVersion, there: str | None) -> None:
        await self._take(f"{version.key} {version.version_id} changed")


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, advance: Callable[[int], None]) -> None:
        self.metadata = LocalMetadata()
        self.bucket_id = self.metadata.bucket_id
        self.metadata.apply(commands.SetVersioning(self.bucket_id, Versioning.ENABLED))
        self.rules: ReplicationConfiguration | None = RULES
        self.place = FakePlace()
        self.now_s = 0.0
        self._advance = advance
        monkeypatch.setattr(clock, "monotonic_s", lambda: self.now_s)
        monkeypatch.setattr(ReplicationQueue, "_place", lambda queue, bucket, arn: self.place)
        self.restart()

    def restart(self) -> None:
        services = cast(Any, SimpleNamespace(replications=SimpleNamespace(rules=lambda bucket: self.rules)))
        settings = JobSettings(replication_retry_s=RETRY_S)
        self.queue = ReplicationQueue(self.metadata.metadata, services, settings)
        self.resync = Resync(self.metadata.metadata, services)

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self._advance(int(seconds * 1000))

    def run(self) -> None:
        asyncio.run(self.queue.run())

    def write(self, command: Any, key: str) -> Any:
        wanted = candidates(RULES, key)
        told = Announced(self.bucket_id, key, commands.encode(command), (), wanted)
        return self.metadata.apply(told)

    def put(self, key: str, version_id: str, **given: Any) -> None:
        attributes = given.pop("attributes", Attributes())
        self.write(
            PutVersion(self.bucket_id, key, 0, "etag", OWNER, attributes, version_id=version_id, **given), key
        )

    def status(self, key: str, version_id: str) -> str | None:
        version = self.metadata.ask(queries.version, self.bucket_id, key, version_id)
        assert version is not None
        return replication.status_of(version.attributes)

    @property
    def waiting(self) -> int:
        return self.metadata.ask(queries.replications_waiting)[0]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        yield Scene(monkeypatch, advance)


def test_everything_goes_in_the_order_of_its_key(scene: Scene) -> None:
    for number in range(3):
        for key in "abc":
            scene.put(key, f"v{number}")
    scene.write(DeleteVersion(scene.bucket_id, "b", OWNER, new_version_id="m"), "b")
    scene.write(ReplaceAttributes(scene.bucket_id, "a", "v1", tags={"k": "v"}), "a")
    scene.run()
    for key, last in (("a", "a v1 changed"), ("b", "b (m)"), ("c", "c v2")):
        mine = [what for what in scene.place.sent if what.startswith(key)]
        assert mine[:3] == [f"{key} v{number}" for number in range(3)] and mine[-1] == last
    assert scene.waiting == 0
    assert {scene.status("a", f"v{number}") for number in range(3)} == {"COMPLETED"}
    assert scene.place.together_max > 1


def test_no_more_than_so_many_go_together(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SENDS_AT_ONCE", 3)
    for number in range(20):
        scene.put(f"k{number}", "v")
    scene.run()
    assert scene.place.together_max == 3 and len(scene.place.sent) == 20


def test_a_silent_destination_is_left_alone_and_tried_again(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.put("a", "v2")
    scene.put("b", "v1")
    attempts: list[str] = []

    def silent(what: str) -> Exception:
        attempts.append(what)
        return RemoteUnavailable("no route")

    scene.place.raises = silent
    scene.run()
    assert sorted(attempts) == ["a v1", "b v1"]
    scene.run()
    assert len(attempts) == 2, "its pause is not over"
    scene.advance(2)
    scene.run()
    assert sorted(attempts) == ["a v1", "a v1", "b v1", "b v1"]
    assert scene.status("a", "v1") == "PENDING"
    scene.restart()  # forgets the pause, but not what waits
    scene.place.raises = lambda what: None
    scene.advance(5)
    scene.run()
    assert sorted(scene.place.sent) == ["a v1", "a v2", "b v1"]


def test_what_cannot_be_sent_for_long_enough_fails(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.place.raises = lambda what: RemoteUnavailable("no route")
    scene.run()
    scene.advance(RETRY_S + 1)
    scene.run()
    assert (scene.status("a", "v1"), scene.waiting) == ("FAILED", 0)


def test_what_is_refused_fails_soon_and_lets_the_next_go(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.put("a", "v2")
    scene.put("b", "v1")
    scene.place.raises = lambda what: RemoteError(403, "AccessDenied") if what == "a v1" else None
    for _ in range(REFUSALS_MAX - 1):
        scene.run()
        assert (scene.status("a", "v1"), scene.place.sent) == ("PENDING", ["b v1"])
        scene.advance(10)
    scene.run()
    assert (scene.status("a", "v1"), scene.status("a", "v2")) == ("FAILED", "COMPLETED")
    assert scene.place.sent == ["b v1", "a v2"]


def test_a_failure_is_told(scene: Scene) -> None:
    document = (
        b"<NotificationConfiguration><QueueConfiguration><Id>q</Id>"
        b"<Queue>arn:aws:sqs:us-east-1:000000000000:hook</Queue><Event>s3:Replication:*</Event>"
        b"</QueueConfiguration></NotificationConfiguration>"
    )
    scene.metadata.apply(commands.SetNotification(scene.bucket_id, document))
    scene.put("a", "v1", attributes=Attributes(encryption=Encryption(EncryptionMethod.CUSTOMER, b"key")))
    scene.run()
    (event,) = scene.metadata.ask(queries.events_for, "hook")
    assert (event.event, event.key, event.version_id) == (module.FAILED_EVENT, "a", "v1")
    (record,) = document_of(event)["Records"]
    assert record["eventVersion"] == "2.2"
    assert record["eventName"] == "Replication:OperationFailedReplication"
    assert record["userIdentity"] == {"principalId": "s3.amazonaws.com"}
    assert record["requestParameters"] == {"sourceIPAddress": "s3.amazonaws.com"}
    about = record["replicationEventData"]
    assert about.pop("requestTime").endswith("Z")
    assert about == {
        "replicationRuleId": "all",
        "destinationBucket": ARN,
        "s3Operation": "OBJECT_PUT",
        "failureReason": "SrcObjectNotEligible",
    }


@pytest.mark.parametrize(
    ("kind", "is_marker", "exc", "reason"),
    [
        ("created", False, RemoteError(403, "AccessDenied"), "DstPutObjNotPermitted"),
        ("created", True, RemoteError(403, "AccessDenied"), "DstDelObjNotPermitted"),
        ("changed", False, RemoteError(403, "AccessDenied"), "DstPutTaggingNotPermitted"),
        ("created", False, RemoteError(404, "NoSuchBucket"), "DstBucketNotFound"),
        ("created", True, RemoteError(409, "InvalidBucketState"), "DstBucketUnversioned"),
        (
            "created",
            False,
            RemoteError(400, "InvalidRequest", "Bucket is missing Object Lock Configuration"),
            "DstBucketObjectLockConfigMissing",
        ),
        ("created", False, KmsKeyMissing("k"), "DstKmsKeyNotFound"),
        ("created", False, RemoteUnavailable("far"), "DstBucketUnreachable"),
        ("created", False, OSError("disk"), "SrcGetObjNotPermitted"),
    ],
)
def test_reasons_of_failures(scene: Scene, kind: str, is_marker: bool, exc: Exception, reason: str) -> None:
    scene.put("a", "v1")
    (row,) = scene.metadata.ask(queries.replications_due, ARN, START_MS, 9)
    version = scene.metadata.ask(queries.version, scene.bucket_id, "a", "v1")
    row, version = replace(row, kind=kind), replace(version, is_delete_marker=is_marker)
    assert reason_of(exc, row, version) == reason


@pytest.mark.parametrize(("said", "is_deleted"), [("Enabled", True), ("Suspended", False), (None, False)])
def test_no_delete_is_for_good_where_another_server_keeps_no_versions(
    scene: Scene, said: str | None, is_deleted: bool
) -> None:
    deleted = []

    class Remote:
        async def head(self, *_: object, headers: object) -> object:
            return SimpleNamespace(headers={})

        async def document(self, *_: object, query: object) -> bytes:
            assert query == {"versioning": ""}
            status = "" if said is None else f"<Status>{said}</Status>"
            return f"<VersioningConfiguration>{status}</VersioningConfiguration>".encode()

        async def delete(self, bucket: str, key: str, headers: object) -> str:
            deleted.append(key)
            return "theirs"

    scene.put("a", "v1")
    marker = replace(scene.metadata.ask(queries.version, scene.bucket_id, "a", "v1"), is_delete_marker=True)
    place = RemoteBucket(cast(Any, None), cast(Any, Remote()), "bucket")
    if is_deleted:
        assert asyncio.run(place.put_marker(marker)) == "theirs"
    else:
        with pytest.raises(RemoteError, match="InvalidBucketState"):
            asyncio.run(place.put_marker(marker))
    assert deleted == (["a"] if is_deleted else [])


def test_who_watches_a_bucket_here_is_told_of_replicas(scene: Scene) -> None:
    told = []

    class Objects:
        async def put(self, bucket: object, key: str, body: object, new: Any) -> None:
            told.append(new.origin.event)

        async def delete(self, *_: object, origin: Any, **__: object) -> None:
            told.append(origin.event)

        async def replace_tags(self, *given: Any, is_replicated: bool) -> None:
            told.append(given[-1].event)

    services = SimpleNamespace(objects=Objects(), locks=SimpleNamespace(default=lambda bucket: None))
    place = LocalBucket(cast(Any, services), scene.metadata.ask(queries.bucket, scene.bucket_id))
    scene.put("a", "v1")
    version = scene.metadata.ask(queries.version, scene.bucket_id, "a", "v1")

    async def send() -> None:
        await place.put(version, RULES.rules[0])
        await place.put_marker(replace(version, is_delete_marker=True))
        await place.change(replace(version, tags={"x": "1"}), None)

    asyncio.run(send())
    assert told == ["s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete", "s3:ObjectTagging:Put"]


def test_failures_nobody_foresaw_are_tried_again(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.place.raises = lambda what: ZeroDivisionError()
    scene.run()
    assert scene.status("a", "v1") == "PENDING"
    scene.place.raises = lambda what: None
    scene.advance(2)
    scene.run()
    assert scene.status("a", "v1") == "COMPLETED"


def test_what_was_sent_but_not_written_down_is_sent_again(scene: Scene) -> None:
    scene.put("a", "v1")

    def lost(command: object) -> None:
        raise Unavailable("no ledger")

    scene.metadata.fail = lost
    scene.run()
    scene.metadata.fail = lambda command: None
    assert scene.status("a", "v1") == "PENDING"
    scene.restart()
    scene.run()
    assert scene.place.sent == ["a v1", "a v1"]
    assert scene.status("a", "v1") == "COMPLETED"


def test_what_nobody_wants_any_more_is_dropped(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.put("b", "v1")
    scene.metadata.apply(DeleteVersion(scene.bucket_id, "b", OWNER, version_id="v1"))
    scene.rules = None
    scene.run()
    assert (scene.place.sent, scene.waiting, scene.status("a", "v1")) == ([], 0, None)


@pytest.mark.parametrize(
    ("method", "status"),
    [
        (EncryptionMethod.CUSTOMER, "FAILED"),
        (EncryptionMethod.KMS, None),
        (EncryptionMethod.S3, "COMPLETED"),
    ],
)
def test_which_encrypted_versions_go(scene: Scene, method: EncryptionMethod, status: str | None) -> None:
    scene.put("a", "v1", attributes=Attributes(encryption=Encryption(method, b"key")))
    scene.run()
    assert scene.status("a", "v1") == status


def test_a_change_of_what_is_gone_there_is_done(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.run()
    scene.write(ReplaceAttributes(scene.bucket_id, "a", "v1", tags={"k": "v"}), "a")
    scene.place.raises = lambda what: NotThere()
    scene.run()
    assert (scene.waiting, scene.status("a", "v1")) == (0, "COMPLETED")


def test_a_change_of_what_failed_sends_it_whole(scene: Scene) -> None:
    scene.put("a", "v1")
    scene.place.raises = lambda what: RemoteUnavailable("no route")
    scene.run()
    scene.advance(RETRY_S + 1)
    scene.run()
    scene.place.raises = lambda what: None
    scene.write(ReplaceAttributes(scene.bucket_id, "a", "v1", tags={"k": "v"}), "a")
    scene.advance(100)
    scene.run()
    assert scene.place.sent == ["a v1"]


def resync(scene: Scene, *, is_asked_for: bool, rule_id: str | None = None) -> None:
    state = resync_of(rule_id, is_asked_for=is_asked_for)
    scene.metadata.apply(commands.SetState(resync_state(scene.bucket_id), state))

    async def walk() -> None:
        while await scene.resync.run() == 0:
            pass

    asyncio.run(walk())


def existing(scene: Scene, *, keys: int) -> None:
    for number in range(keys):
        for version in ("v1", "v2"):
            command = PutVersion(
                scene.bucket_id, f"k{number}", 0, "etag", OWNER, Attributes(), version_id=version
            )
            scene.metadata.apply(command)


@pytest.mark.parametrize("keys", [2, 3, 4])
def test_a_resync_sends_what_is_there(scene: Scene, monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    monkeypatch.setattr(module, "RESYNC_KEYS", 2)
    existing(scene, keys=keys)
    resync(scene, is_asked_for=False)
    assert scene.waiting == 0, "no rule asks for it"
    resync(scene, is_asked_for=True, rule_id="none")
    assert scene.waiting == 0
    resync(scene, is_asked_for=True, rule_id="all")
    scene.run()
    assert sorted(scene.place.sent) == [f"k{number} v{v}" for number in range(keys) for v in (1, 2)]
    assert scene.metadata.ask(queries.state, resync_state(scene.bucket_id)) is None


def test_rules_may_ask_for_a_resync(scene: Scene) -> None:
    existing(scene, keys=1)
    (rule,) = RULES.rules
    wanted = ExistingObjectReplication(status="Enabled")
    fields = {name: getattr(rule, name) for name in ReplicationRule.__dataclass_fields__}
    asking = ReplicationRule(**{**fields, "existing_object_replication": wanted})
    scene.rules = ReplicationConfiguration(role=RULES.role, rules=(asking,))
    scene.metadata.apply(SetReplication(scene.bucket_id, xml.dumps(scene.rules), resync=True))
    asyncio.run(scene.resync.run())
    scene.run()
    assert scene.place.sent == ["k0 v1", "k0 v2"]


def test_others_are_not_sent_the_past(scene: Scene) -> None:
    existing(scene, keys=1)
    scene.place.is_ours = False
    resync(scene, is_asked_for=True)
    scene.run()
    assert scene.place.sent == ["k0 v2"]
    assert (scene.status("k0", "v1"), scene.status("k0", "v2")) == (None, "COMPLETED")


def test_a_resync_waits_while_the_queue_is_full(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUED_MAX", 2)
    monkeypatch.setattr(module, "RESYNC_KEYS", 1)
    existing(scene, keys=3)
    resync(scene, is_asked_for=True)
    assert scene.waiting == 2
    scene.run()
    asyncio.run(scene.resync.run())
    assert scene.waiting == 2
