"""Lifecycle: what a rule ran out for goes, and nothing else, whatever happens meanwhile."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from objstore import clock
from objstore.jobs import lifecycle
from objstore.jobs.job import JobSettings
from objstore.jobs.lifecycle import JUMP_MS_MAX, TRUSTED_STATE, Lifecycle, plan, trusted_ms
from objstore.meta import queries
from objstore.meta.commands import (
    CreateBucket,
    CreateUpload,
    DeleteVersion,
    ExpireUpload,
    ExpireVersion,
    PutVersion,
    ReplaceAttributes,
    SetState,
    SetSubresource,
    SetVersioning,
)
from objstore.meta.commands.lifecycle import digest_of
from objstore.meta.interface import Command, Unavailable
from objstore.model import Attributes, ObjectLock, ObjectVersion, Versioning
from objstore.s3 import xml
from objstore.s3.documents.lifecycle import (
    AbortIncompleteMultipartUpload,
    Expiration,
    Filter,
    LifecycleConfiguration,
    LifecycleRule,
    NoncurrentVersionExpiration,
)
from objstore.s3.documents.tagging import Tag
from objstore.s3.expiry import REAL_DAYS, Action
from tests.jobs.fakes import OWNER, START_MS, LocalMetadata, at_full_speed

DAY_MS = 86_400_000


class Scene:
    def __init__(self, advance: Callable[[int], None]) -> None:
        self.metadata = LocalMetadata()
        self.bucket_id = self.metadata.bucket_id
        self.advance = advance
        self.job = self.new_job()
        self._ids = (f"v{number:05}" for number in itertools.count(1))

    def new_job(self, day_s: float = 0) -> Lifecycle:
        return Lifecycle(self.metadata.metadata, JobSettings(lifecycle_day_s=day_s), at_full_speed())

    def days(self, number: float) -> None:
        self.advance(int(number * DAY_MS))

    def run(self) -> float:
        return asyncio.run(self.job.run())

    def rules(self, *rules: LifecycleRule) -> bytes:
        document = xml.dumps(LifecycleConfiguration(rules=rules))
        self.metadata.apply(SetSubresource(self.bucket_id, "lifecycle", document))
        return digest_of(document)

    def put(self, key: str, **given: Any) -> ObjectVersion:
        version_id = next(self._ids)
        return self.metadata.apply(
            PutVersion(self.bucket_id, key, 0, "etag", OWNER, Attributes(), version_id=version_id, **given)
        )

    def delete(self, key: str) -> None:
        self.metadata.apply(DeleteVersion(self.bucket_id, key, OWNER, new_version_id=next(self._ids)))

    def versioned(self) -> None:
        self.metadata.apply(SetVersioning(self.bucket_id, Versioning.ENABLED))

    @property
    def versions(self) -> list[ObjectVersion]:
        return list(self.metadata.ask(queries.list_versions, self.bucket_id, limit=100_000).versions)

    @property
    def keys(self) -> list[str]:
        return [v.key for v in self.metadata.ask(queries.list_objects, self.bucket_id, limit=10_000).versions]

    def ids(self, key: str) -> list[str]:
        return [version.version_id for version in self.versions if version.key == key]


@pytest.fixture
def scene() -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        yield Scene(advance)


def rule(**given: Any) -> LifecycleRule:
    return LifecycleRule(**{"id": "r", "filter": Filter(), "status": "Enabled", **given})


DAYS_3 = rule(expiration=Expiration(days=3))
PAST_3 = rule(noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=3))
MARKERS = rule(id="m", expiration=Expiration(expired_object_delete_marker=True))


def test_objects_go_when_their_days_are_over_and_not_before(scene: Scene) -> None:
    scene.rules(rule(expiration=Expiration(days=3), filter=Filter(prefix="logs/")))
    scene.put("logs/a")
    scene.put("kept")
    scene.days(3)
    scene.run()
    assert scene.keys == ["kept", "logs/a"]
    scene.days(1)
    scene.run()
    assert scene.keys == ["kept"]


def test_rules_that_cannot_be_read_hold_up_no_other_buckets(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.rules(rule(expiration=Expiration(days=1)))
    scene.put("key")
    earlier = scene.metadata.apply(CreateBucket("another", OWNER, "us-east-1"))
    scene.metadata.apply(SetSubresource(earlier.id, "lifecycle", b"<Lifecycle"))
    scene.days(2)
    scene.run()
    assert scene.keys == []
    assert "the lifecycle rules of bucket another cannot be read" in caplog.text


def test_without_rules_nothing_is_read_or_written(scene: Scene) -> None:
    scene.put("a")
    scene.days(1000)
    scene.run()
    assert scene.keys == ["a"] and not scene.metadata.written


def test_a_rule_that_is_disabled_does_nothing(scene: Scene) -> None:
    scene.rules(rule(expiration=Expiration(days=3), status="Disabled"))
    scene.put("a")
    scene.days(5)
    scene.run()
    assert scene.keys == ["a"]


def test_in_a_versioned_bucket_expiry_puts_a_delete_marker(scene: Scene) -> None:
    scene.versioned()
    scene.rules(DAYS_3)
    version = scene.put("a")
    scene.days(5)
    scene.run()
    marker, kept = scene.versions
    assert marker.is_delete_marker and marker.owner_id == OWNER
    assert kept.version_id == version.version_id


def test_noncurrent_versions_and_then_the_marker(scene: Scene) -> None:
    scene.versioned()
    scene.rules(DAYS_3, PAST_3)
    for _ in range(3):
        scene.put("a")
    scene.days(4)
    scene.run()
    assert len(scene.versions) == 2, "two were noncurrent; the third became so just now"
    scene.days(4)
    scene.run()
    assert [version.is_delete_marker for version in scene.versions] == [True]
    scene.run()
    assert not scene.versions, "the marker is alone and older than three days"


def test_as_many_newer_noncurrent_versions_as_the_rule_says_are_kept(scene: Scene) -> None:
    scene.versioned()
    past = NoncurrentVersionExpiration(noncurrent_days=1, newer_noncurrent_versions=2)
    scene.rules(rule(noncurrent_version_expiration=past))
    made = [scene.put("a").version_id for _ in range(6)]
    other = [scene.put("b").version_id for _ in range(3)]
    scene.days(3)
    scene.run()
    assert scene.ids("a") == made[:2:-1]
    assert scene.ids("b") == other[::-1]


def test_a_marker_alone_goes_at_once_under_its_own_rule(scene: Scene) -> None:
    scene.versioned()
    scene.rules(MARKERS)
    for key in ("alone", "not-alone"):
        version = scene.put(key)
        scene.delete(key)
        if key == "alone":
            scene.metadata.apply(DeleteVersion(scene.bucket_id, key, OWNER, version_id=version.version_id))
    scene.advance(1000)
    scene.run()
    assert {version.key for version in scene.versions} == {"not-alone"}


@pytest.mark.parametrize("page", [1, 2, 3, 7])
def test_pages_end_anywhere(scene: Scene, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "PAGE_ROWS", page)
    scene.versioned()
    scene.rules(rule(expiration=Expiration(days=1)), PAST_3, MARKERS)
    for key in ("a", "b", "c"):
        for _ in range(5):
            scene.put(key)
    scene.delete("b")
    for _ in range(6):
        scene.days(4)
        for _ in range(4):
            scene.run()
    assert not scene.versions


def test_uploads_are_given_up(scene: Scene) -> None:
    abort = AbortIncompleteMultipartUpload(days_after_initiation=2)
    scene.rules(rule(filter=Filter(prefix="logs/"), abort_incomplete_multipart_upload=abort))
    for key in ("logs/a", "kept"):
        scene.metadata.apply(CreateUpload(scene.bucket_id, key, f"u-{key}", OWNER, Attributes()))
    scene.days(2)
    scene.run()
    assert len(scene.metadata.ask(queries.list_uploads, scene.bucket_id).uploads) == 2
    scene.days(1)
    scene.run()
    (upload,) = scene.metadata.ask(queries.list_uploads, scene.bucket_id).uploads
    assert upload.key == "kept"


def test_what_is_locked_stays(scene: Scene) -> None:
    scene.versioned()
    scene.rules(PAST_3)
    until_ms = clock.now_ms() + 30 * DAY_MS
    locks = [
        ObjectLock("COMPLIANCE", until_ms),
        ObjectLock("GOVERNANCE", until_ms),
        ObjectLock(legal_hold=True),
    ]
    for lock in locks:
        scene.put("a", lock=lock)
    scene.put("a")
    scene.days(5)
    scene.run()
    assert len(scene.versions) == 4


def test_the_plan_is_what_the_job_then_does_and_changes_nothing(scene: Scene) -> None:
    scene.rules(DAYS_3)
    scene.put("old")
    scene.days(4)
    scene.put("new")

    async def planned(bucket: str | None) -> list[tuple[Action, str]]:
        return [
            (due.verdict.action, due.key) async for due in plan(scene.metadata.metadata, bucket, REAL_DAYS)
        ]

    assert asyncio.run(planned(None)) == asyncio.run(planned("bucket")) == [(Action.EXPIRE, "old")]
    assert asyncio.run(planned("another")) == []
    assert scene.keys == ["new", "old"] and not scene.metadata.written
    scene.run()
    assert scene.keys == ["new"]


# What changes between the judgement and the command


def meddle(scene: Scene, meddling: Callable[[], object]) -> None:
    """Run the job, with something happening just before its first command."""
    pending = [meddling]

    def before(command: Command[Any]) -> None:
        if isinstance(command, ExpireVersion | ExpireUpload) and pending:
            pending.pop()()

    scene.metadata.fail = before
    scene.run()
    assert not pending, "the job had nothing to do"


@pytest.mark.parametrize("is_versioned", [False, True])
def test_an_object_replaced_meanwhile_is_not_deleted(scene: Scene, is_versioned: bool) -> None:
    if is_versioned:
        scene.versioned()
    scene.rules(DAYS_3)
    scene.put("a")
    scene.days(5)
    meddle(scene, lambda: scene.put("a"))
    assert scene.keys == ["a"]


def test_an_object_tagged_meanwhile_is_not_deleted(scene: Scene) -> None:
    scene.rules(rule(expiration=Expiration(days=3), filter=Filter(tag=Tag(key="keep", value="no"))))
    scene.put("a", tags={"keep": "no"})
    scene.days(5)
    meddle(scene, lambda: scene.metadata.apply(ReplaceAttributes(scene.bucket_id, "a", tags={"keep": "yes"})))
    assert scene.keys == ["a"]


def test_rules_changed_or_removed_meanwhile_delete_nothing(scene: Scene) -> None:
    scene.rules(DAYS_3)
    scene.put("a")
    scene.days(5)
    meddle(scene, lambda: scene.rules(rule(expiration=Expiration(days=30))))
    assert scene.keys == ["a"]
    scene.rules(rule(id="again", expiration=Expiration(days=3)))
    meddle(scene, lambda: scene.metadata.apply(SetSubresource(scene.bucket_id, "lifecycle", None)))
    assert scene.keys == ["a"]


def test_a_version_that_became_current_again_is_not_deleted(scene: Scene) -> None:
    scene.versioned()
    scene.rules(PAST_3)
    first, second = scene.put("a"), scene.put("a")
    scene.days(5)
    meddle(
        scene,
        lambda: scene.metadata.apply(
            DeleteVersion(scene.bucket_id, "a", OWNER, version_id=second.version_id)
        ),
    )
    assert scene.ids("a") == [first.version_id]


def test_a_version_whose_newer_ones_were_deleted_meanwhile_is_kept(scene: Scene) -> None:
    scene.versioned()
    past = NoncurrentVersionExpiration(noncurrent_days=1, newer_noncurrent_versions=2)
    scene.rules(rule(noncurrent_version_expiration=past))
    made = [scene.put("a").version_id for _ in range(4)]
    scene.days(3)
    meddle(
        scene,
        lambda: scene.metadata.apply(DeleteVersion(scene.bucket_id, "a", OWNER, version_id=made[2])),
    )
    assert made[0] in scene.ids("a")


def test_a_marker_that_got_company_stays(scene: Scene) -> None:
    scene.versioned()
    scene.rules(MARKERS)
    scene.delete("a")
    meddle(scene, lambda: (scene.put("a"), scene.delete("a")))
    assert len(scene.versions) == 3


# Going on, and the clock


def test_a_pass_broken_off_goes_on_after_a_restart(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "PAGE_ROWS", 10)
    monkeypatch.setattr(lifecycle, "LOOK_EVERY_S", -1)
    scene.rules(DAYS_3)
    for number in range(100):
        scene.put(f"{number:03}")
    scene.days(5)
    commands: list[ExpireVersion] = []

    def fail(command: Command[Any]) -> None:
        if isinstance(command, ExpireVersion):
            commands.append(command)
            if len(commands) == 55:
                raise Unavailable("no")

    scene.metadata.fail = fail
    with pytest.raises(Unavailable):
        scene.run()
    scene.job = scene.new_job()
    looked: list[str] = []
    ask = scene.metadata.read

    async def read(query: Any, *args: Any, **kwargs: Any) -> Any:
        if query is queries.list_versions:
            looked.append(args[2])
        return await ask(query, *args, **kwargs)

    scene.metadata.read = read  # type: ignore[method-assign]
    scene.run()
    assert looked[0] > "040", "what was done is not looked at again"
    assert not scene.keys


def test_a_pass_is_made_once_a_day_and_when_rules_change(scene: Scene) -> None:
    scene.rules(rule(expiration=Expiration(days=30)))
    scene.put("a")
    passes = []
    work_off = scene.job._work_off

    async def count(*args: Any) -> None:
        passes.append(args[1]["bucket"])
        await work_off(*args)

    scene.job._work_off = count  # type: ignore[method-assign]
    for _ in range(3):
        scene.run()
    assert len(passes) == 1
    scene.days(1)
    scene.run()
    assert len(passes) == 2
    scene.rules(rule(expiration=Expiration(days=31)))
    scene.run()
    assert len(passes) == 3


def test_with_a_debug_day_things_go_within_two_intervals(scene: Scene) -> None:
    scene.job = scene.new_job(day_s=10)
    scene.rules(rule(expiration=Expiration(days=1)))
    scene.put("a")
    scene.advance(9_999)
    assert scene.run() <= 5
    assert scene.keys == ["a"]
    scene.advance(1)
    scene.run()
    assert not scene.keys


@pytest.mark.parametrize(
    ("now", "seen", "elapsed", "trusted"),
    [
        (1000, None, 0, 1000),
        (1000, 900, 50, 1000),
        (100, 900, 50, 100),
        (JUMP_MS_MAX + 950, 900, 50, JUMP_MS_MAX + 950),
        (JUMP_MS_MAX + 951, 900, 50, 1000),
    ],
)
def test_a_clock_that_leaps_ahead_is_not_believed(
    now: int, seen: int | None, elapsed: int, trusted: int
) -> None:
    assert trusted_ms(now, seen, elapsed) == trusted


def test_a_leap_of_the_clock_expires_nothing_until_an_operator_says_it_is_right(scene: Scene) -> None:
    scene.rules(DAYS_3)
    scene.put("a")
    scene.run()
    scene.days(365)
    scene.run()
    assert scene.keys == ["a"]
    scene.job = scene.new_job()
    scene.run()
    assert scene.keys == ["a"], "nor after a restart"
    scene.metadata.apply(SetState(TRUSTED_STATE, str(clock.now_ms()).encode()))
    scene.run()
    assert not scene.keys


# Against a count by hand


def expected_by_hand(
    versions: list[ObjectVersion], rules: list[LifecycleRule], now_ms: int
) -> set[tuple[str, str]]:
    """The versions that are due (key, id), each found by looking at all versions of its key."""
    due = set()
    for version in versions:
        of_key = sorted((v for v in versions if v.key == version.key), key=lambda v: -v.sequence)
        place = of_key.index(version)
        for rule in rules:
            assert rule.filter is not None
            prefix, tag = rule.filter.prefix or "", rule.filter.tag
            if not version.key.startswith(prefix) or (tag and version.tags.get(tag.key) != tag.value):
                continue
            past, expiration = rule.noncurrent_version_expiration, rule.expiration
            if place and past is not None and past.noncurrent_days is not None:
                newer = [v for v in of_key[1:place] if not v.is_delete_marker]
                is_over = midnight_after(of_key[place - 1].modified_ms, past.noncurrent_days) <= now_ms
                if is_over and len(newer) >= (past.newer_noncurrent_versions or 0):
                    due.add((version.key, version.version_id))
            if place or expiration is None:
                continue
            is_over = (
                expiration.days is not None and midnight_after(version.modified_ms, expiration.days) <= now_ms
            )
            if version.is_delete_marker:
                is_over = len(of_key) == 1 and (
                    is_over
                    or (bool(expiration.expired_object_delete_marker) and version.modified_ms <= now_ms)
                )
            if is_over:
                due.add((version.key, version.version_id))
    return due


def midnight_after(since_ms: int, days: int) -> int:
    at_ms = since_ms + days * DAY_MS
    return at_ms - at_ms % DAY_MS + DAY_MS


def random_rule(random: Random, number: int) -> LifecycleRule:
    chosen = random.choice(
        [Filter(), Filter(prefix="a"), Filter(prefix="b/"), Filter(tag=Tag(key="t", value="1"))]
    )
    expiration = random.choice([None, Expiration(days=random.randint(1, 4)), MARKERS.expiration])
    if chosen.tag is not None and expiration is MARKERS.expiration:
        expiration = None
    past = NoncurrentVersionExpiration(
        noncurrent_days=random.randint(1, 4), newer_noncurrent_versions=random.choice([None, 1, 3])
    )
    return LifecycleRule(
        id=f"r{number}",
        status="Enabled",
        filter=chosen,
        expiration=expiration,
        noncurrent_version_expiration=past if expiration is None or random.random() < 0.5 else None,
    )


@pytest.mark.parametrize("run", range(60))
def test_the_plan_is_what_a_count_by_hand_finds(
    scene: Scene, run: int, seeded: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "PAGE_ROWS", seeded.choice([1, 2, 3, 5, 1000]))
    if seeded.random() < 0.8:
        scene.versioned()
    rules = [random_rule(seeded, number) for number in range(seeded.randint(1, 3))]
    scene.rules(*rules)
    for _ in range(seeded.randint(1, 60)):
        key = seeded.choice(["a", "a0", "b/1", "b/2", "c"])
        if seeded.random() < 0.25:
            scene.delete(key)
        else:
            scene.put(key, tags={"t": seeded.choice("12")})
        scene.days(seeded.random() / 4)

    async def planned() -> list[tuple[str, str]]:
        return [(due.key, due.id) async for due in plan(scene.metadata.metadata, None, REAL_DAYS)]

    versions = scene.versions
    found = asyncio.run(planned())
    assert len(found) == len(set(found))
    expected = expected_by_hand(versions, rules, clock.now_ms())
    assert set(found) == expected
    scene.run()
    kept = {(version.key, version.version_id) for version in scene.versions}
    # What goes may make more due: a marker that was put has one more noncurrent version under it, and one
    # whose last version went is alone.
    made = [version for version in scene.versions if version not in versions and version.is_delete_marker]
    expected |= expected_by_hand([*versions, *made], rules, clock.now_ms())
    left = [*versions, *made]
    while len(left) > len(left := [v for v in left if (v.key, v.version_id) not in expected]):
        expected |= expected_by_hand(left, rules, clock.now_ms())
    assert {(version.key, version.version_id) for version in versions} - expected <= kept, (
        "what is not due is never touched"
    )
