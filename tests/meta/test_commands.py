"""Commands one by one: what each writes, answers and refuses. Histories: test_commands_model.py."""

from dataclasses import replace
from typing import Any

import pytest

from objstore.meta import commands, invariants, queries
from objstore.meta.interface import (
    AccessKeyMissing,
    BucketExists,
    BucketMissing,
    BucketNotEmpty,
    BucketStateInvalid,
    ConditionFailed,
    Conflict,
    IsDeleteMarker,
    KeyExists,
    KeyMissing,
    Locked,
    Refusal,
    TooManyBuckets,
    UploadMissing,
    UserExists,
    UserMissing,
    UserNotEmpty,
    VersionMissing,
)
from objstore.meta.rows import version_of
from objstore.model import (
    Attributes,
    BlobRef,
    Bucket,
    Checksum,
    ChecksumType,
    ObjectLock,
    ObjectVersion,
    Part,
    Versioning,
)
from tests.meta.support.sqlite_database import SqliteDatabase

NOW = 1_700_000_000_000
DAY = 86_400_000
ATTRIBUTES = Attributes(
    headers={"content-type": "text/plain", "expires": "never"},
    metadata={"colour": "blågrøn"},
    checksum=Checksum("CRC64NVME", "AAAAAAAAAAA=", ChecksumType.FULL_OBJECT),
    extra={"room": "for more"},
)


class Facts:
    """A database with one bucket, and commands on it in few words."""

    def __init__(self, versioning: Versioning | None = None, object_lock: bool = False) -> None:
        self.db = SqliteDatabase()
        self.now_ms = NOW
        self.bucket: Bucket = self.write(commands.CreateBucket("bucket", "owner", "here", object_lock))
        if versioning is not None:
            self.write(commands.SetVersioning(self.bucket.id, versioning))
        self.blob_count = 0

    def write(self, command: Any) -> Any:
        return self.db.write(command, self.now_ms)

    def blob(self, size: int = 3) -> BlobRef:
        self.blob_count += 1
        return BlobRef(b"%016d" % self.blob_count, size, b"locator")

    def put(self, key: str = "key", version_id: str = "v1", **fields: Any) -> ObjectVersion:
        values: dict[str, Any] = {"size": 3, "etag": "etag", "blob": self.blob()} | fields
        command = commands.PutVersion(
            self.bucket.id, key, owner_id="owner", attributes=ATTRIBUTES, version_id=version_id, **values
        )
        version: ObjectVersion = self.write(command)
        return version

    def delete(self, key: str = "key", version_id: str | None = None, **fields: Any) -> commands.Deleted:
        values: dict[str, Any] = {"new_version_id": "marker"} | fields
        deleted: commands.Deleted = self.write(
            commands.DeleteVersion(self.bucket.id, key, "owner", version_id, **values)
        )
        return deleted

    def garbage(self) -> list[bytes]:
        return [blob.id for blob in queries.garbage_before(self.db, 2**62)]


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def versioned() -> Facts:
    return Facts(Versioning.ENABLED)


# Objects


def test_what_is_put_is_what_is_found(facts: Facts) -> None:
    lock = ObjectLock("GOVERNANCE", NOW + DAY, legal_hold=True)
    version = facts.put(tags={"a": "1"}, lock=lock)
    assert queries.current(facts.db, facts.bucket.id, "key") == version
    assert version.attributes == ATTRIBUTES
    assert (version.tags, version.lock, version.version_id) == ({"a": "1"}, lock, "null")
    (listed,) = queries.list_objects(facts.db, facts.bucket.id).versions
    assert version_of(facts.bucket.id, listed) == replace(version, blob=None)
    assert (listed.key, listed.about.storage_class) == ("key", ATTRIBUTES.storage_class)
    assert listed.about.extra == ATTRIBUTES.extra


def test_a_version_that_is_overwritten_or_deleted_stays_what_it_was(versioned: Facts) -> None:
    first = versioned.put(tags={"a": "1"})
    second = versioned.put(version_id="v2")
    versioned.delete()
    for version in (first, second):
        past = queries.version(versioned.db, versioned.bucket.id, "key", version.version_id)
        assert past == replace(version, is_latest=False)
    marker = queries.version(versioned.db, versioned.bucket.id, "key", "marker")
    assert marker == ObjectVersion(
        versioned.bucket.id,
        "key",
        "marker",
        second.sequence + 1,
        NOW + 2,
        "owner",
        0,
        "",
        Attributes(),
        is_delete_marker=True,
    )


def test_an_empty_object_has_no_blob(facts: Facts) -> None:
    version = facts.put(size=0, blob=None)
    assert queries.current(facts.db, facts.bucket.id, "key") == version
    assert queries.blobs_after(facts.db) == []


def test_last_modified_grows_with_every_version_though_the_clock_goes_back(versioned: Facts) -> None:
    assert versioned.put("key", "v1").modified_ms == NOW
    versioned.now_ms -= DAY
    assert versioned.put("key", "v2").modified_ms == NOW + 1
    versioned.delete()
    assert versioned.put("key", "v3").modified_ms == NOW + 3
    assert versioned.put("another", "v4").modified_ms == NOW - DAY


def test_put_without_proposed_version_id_conflicts_once_versioning_is_enabled(versioned: Facts) -> None:
    with pytest.raises(Conflict):
        versioned.put(version_id="null")
    with pytest.raises(Conflict):
        versioned.delete(new_version_id="null")


def test_commands_on_a_bucket_that_is_gone_are_refused(facts: Facts) -> None:
    facts.write(commands.DeleteBucket("bucket"))
    for command in (
        commands.PutVersion(facts.bucket.id, "key", 0, "etag", "owner", ATTRIBUTES),
        commands.DeleteVersion(facts.bucket.id, "key", "owner"),
        commands.DeleteVersion(facts.bucket.id, "key", "owner", version_id="null"),
        commands.ReplaceAttributes(facts.bucket.id, "key", tags={}),
        commands.CreateUpload(facts.bucket.id, "key", "upload", "owner", ATTRIBUTES),
        commands.PutPart(facts.bucket.id, "key", "upload", Part(1, 0, "etag", 0)),
        commands.CompleteUpload(facts.bucket.id, "key", "upload", (), "etag", ATTRIBUTES, b""),
        commands.AbortUpload(facts.bucket.id, "key", "upload"),
        commands.SetVersioning(facts.bucket.id, Versioning.ENABLED),
        commands.EnableObjectLock(facts.bucket.id),
        commands.SetSubresource(facts.bucket.id, "cors", b"x"),
        commands.DeleteBucket("bucket"),
    ):
        with pytest.raises(BucketMissing):
            facts.write(command)


@pytest.mark.parametrize(
    ("conditions", "there", "refusal"),
    [
        ({"if_match": "etag"}, True, None),
        ({"if_match": '"etag"'}, True, None),
        ({"if_match": '"other", "etag"'}, True, None),
        ({"if_match": "*"}, True, None),
        ({"if_match": "other"}, True, ConditionFailed),
        ({"if_match": 'W/"etag"'}, True, ConditionFailed),
        ({"if_match": "etag"}, False, KeyMissing),
        ({"if_match": "*"}, False, KeyMissing),
        ({"if_none_match": "*"}, True, ConditionFailed),
        ({"if_none_match": "*"}, False, None),
        ({"if_none_match": "other"}, True, None),
        ({"if_match_size": 3}, True, None),
        ({"if_match_size": 4}, True, ConditionFailed),
        ({"if_match_size": 4}, False, None),
        ({"if_match_modified_ms": NOW - NOW % 1000}, True, None),
        ({"if_match_modified_ms": NOW + 1000}, True, ConditionFailed),
        ({"if_match_modified_ms": NOW + 1000}, False, None),
        ({"if_match": "etag", "if_match_size": 4}, True, ConditionFailed),
    ],
)
@pytest.mark.parametrize("act", ["put", "delete"])
@pytest.mark.parametrize("absence", ["never written", "under a marker"])
def test_conditions_are_judged_against_the_current_live_version(
    act: str, absence: str, conditions: dict[str, Any], there: bool, refusal: type[Refusal] | None
) -> None:
    facts = Facts(Versioning.ENABLED)
    if (act, absence, refusal) == ("delete", "under a marker", KeyMissing):
        refusal = ConditionFailed  # the marker is something to delete, and does not match
    if there or absence == "under a marker":
        facts.put()
    if not there and absence == "under a marker":
        facts.delete()
    before = queries.list_versions(facts.db, facts.bucket.id)
    fields: dict[str, Any] = {"conditions": commands.WriteConditions(**conditions)}
    action = (
        (lambda: facts.put(version_id="v2", **fields))
        if act == "put"
        else lambda: facts.delete(new_version_id="m2", **fields)
    )
    if refusal is None:
        action()
        assert queries.list_versions(facts.db, facts.bucket.id) != before
        return
    with pytest.raises(refusal) as caught:
        action()
    assert type(caught.value) is refusal
    assert queries.list_versions(facts.db, facts.bucket.id) == before
    assert invariants.violations(facts.db) == []


def test_a_failed_condition_names_the_header(facts: Facts) -> None:
    facts.put()
    with pytest.raises(ConditionFailed) as caught:
        facts.put(conditions=commands.WriteConditions(if_none_match="*"))
    assert caught.value.detail == {"condition": "If-None-Match", "key": "key"}


def test_suspended_put_replaces_only_the_null_version_wherever_it_is() -> None:
    facts = Facts()
    facts.put()  # null, from before versioning
    facts.write(commands.SetVersioning(facts.bucket.id, Versioning.ENABLED))
    facts.put(version_id="v1")
    facts.write(commands.SetVersioning(facts.bucket.id, Versioning.SUSPENDED))
    facts.put()
    versions = queries.list_versions(facts.db, facts.bucket.id).versions
    assert [(v.version_id, v.is_latest) for v in versions] == [("null", True), ("v1", False)]
    assert len(facts.garbage()) == 1


def test_suspended_delete_removes_the_null_version_and_leaves_a_null_marker() -> None:
    facts = Facts(Versioning.ENABLED)
    facts.put(version_id="v1")
    facts.write(commands.SetVersioning(facts.bucket.id, Versioning.SUSPENDED))
    facts.put()
    assert facts.delete() == commands.Deleted("null", is_delete_marker=True, existed=True)
    assert facts.delete() == commands.Deleted("null", is_delete_marker=True, existed=False)
    versions = queries.list_versions(facts.db, facts.bucket.id).versions
    assert [(v.version_id, v.is_delete_marker) for v in versions] == [("null", True), ("v1", False)]


def test_removing_the_marker_brings_the_object_back(versioned: Facts) -> None:
    version = versioned.put()
    versioned.delete()
    assert queries.current(versioned.db, versioned.bucket.id, "key") is None
    top = queries.top(versioned.db, versioned.bucket.id, "key")
    assert top is not None and top.is_delete_marker and top.is_latest
    removed = versioned.delete(version_id="marker")
    assert removed == commands.Deleted("marker", is_delete_marker=True, existed=True)
    assert queries.current(versioned.db, versioned.bucket.id, "key") == version


def test_deleting_an_absent_key_of_an_enabled_bucket_makes_a_marker(versioned: Facts) -> None:
    assert versioned.delete() == commands.Deleted("marker", is_delete_marker=True, existed=False)
    with pytest.raises(BucketNotEmpty):
        versioned.write(commands.DeleteBucket("bucket"))


def test_the_null_version_of_a_bucket_never_versioned_can_be_named(facts: Facts) -> None:
    facts.put()
    assert facts.delete(version_id="null") == commands.Deleted(None, is_delete_marker=False, existed=True)
    assert facts.delete() == commands.Deleted(None, is_delete_marker=False, existed=False)


def test_a_copy_onto_itself_keeps_the_blob(facts: Facts) -> None:
    version = facts.put()
    copied = facts.put(blob=version.blob, shares_blob=True, etag="same bytes")
    assert copied.blob == version.blob
    assert facts.garbage() == []
    facts.delete()
    assert version.blob is not None and facts.garbage() == [version.blob.id]


def test_sharing_a_blob_that_became_garbage_conflicts(facts: Facts) -> None:
    version = facts.put()
    facts.delete()
    with pytest.raises(Conflict):
        facts.put("copy", blob=version.blob, shares_blob=True)
    assert queries.list_objects(facts.db, facts.bucket.id).versions == ()


# Locks


def locked(mode: str | None = "COMPLIANCE", days: int = 30, hold: bool = False) -> ObjectLock:
    return ObjectLock(mode, NOW + days * DAY, hold)


def tick(facts: Facts, ms: int) -> None:
    """Time really passes: the wall clock moves, and so says the monotonic one."""
    facts.now_ms += ms
    facts.write(commands.AdvanceLockClock(ms))


@pytest.mark.parametrize(
    ("lock", "bypass", "is_refused"),
    [
        (locked("COMPLIANCE"), True, True),
        (locked("GOVERNANCE"), False, True),
        (locked("GOVERNANCE"), True, False),
        (locked(None, hold=True), True, True),
        (locked("GOVERNANCE", hold=True), True, True),
        (locked("COMPLIANCE", days=-1), False, False),
        (locked(None), False, False),
    ],
)
def test_a_locked_version_cannot_be_removed(lock: ObjectLock, bypass: bool, is_refused: bool) -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=lock)
    if is_refused:
        with pytest.raises(Locked):
            facts.delete(version_id="v1", bypass_governance=bypass)
        assert queries.version(facts.db, facts.bucket.id, "key", "v1") is not None
    else:
        assert facts.delete(version_id="v1", bypass_governance=bypass).existed


def test_a_locked_version_can_go_under_a_marker_or_a_newer_version() -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=locked())
    facts.delete()
    facts.put(version_id="v2")
    with pytest.raises(Locked):
        facts.delete(version_id="v1")
    assert facts.delete(version_id="marker").existed


def test_retention_ends_when_its_time_has_really_passed() -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=locked(days=2))
    for _ in range(2 * 24 * 60):
        tick(facts, 60_000)
    assert facts.delete(version_id="v1").existed


def test_setting_the_clock_forward_unlocks_nothing() -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=locked(days=2))
    facts.now_ms += 3650 * DAY
    for _ in range(60):
        with pytest.raises(Locked):
            facts.delete(version_id="v1")
        facts.write(commands.AdvanceLockClock(60_000))
    # Not even by putting a new lock while the clock is wrong, or by setting it back and forth.
    facts.put("other", version_id="v9", lock=locked())
    facts.now_ms -= 7300 * DAY
    tick(facts, 1000)
    facts.now_ms += 7300 * DAY
    with pytest.raises(Locked):
        facts.delete(version_id="v1")


def test_after_a_long_stop_the_lock_clock_catches_up_at_twice_the_pace() -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=locked(days=2))
    facts.now_ms += 2 * DAY  # the server was down
    tick(facts, DAY // 2)
    with pytest.raises(Locked):
        facts.delete(version_id="v1")
    tick(facts, DAY // 2)
    assert facts.delete(version_id="v1").existed


def test_the_lock_clock_never_passes_the_wall_clock() -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=locked(days=2))
    for _ in range(3):
        facts.write(commands.AdvanceLockClock(365 * DAY))
        facts.write(commands.AdvanceLockClock(-365 * DAY))
    with pytest.raises(Locked):
        facts.delete(version_id="v1")


def test_the_lock_clock_starts_with_a_lock_put_on_an_object_there_is() -> None:
    facts = Facts(object_lock=True)
    facts.put()
    facts.write(commands.ReplaceAttributes(facts.bucket.id, "key", lock=locked(days=2)))
    facts.now_ms += 3650 * DAY
    with pytest.raises(Locked):
        facts.delete(version_id="v1")


def test_without_locks_the_lock_clock_writes_nothing(facts: Facts) -> None:
    facts.put()
    before = facts.db.connection.total_changes
    tick(facts, 60_000)
    assert facts.db.connection.total_changes == before


@pytest.mark.parametrize(
    ("old", "new", "bypass", "is_refused"),
    [
        (locked("COMPLIANCE", 2), locked("COMPLIANCE", 3), False, False),
        (locked("COMPLIANCE", 2), locked("COMPLIANCE", 1), True, True),
        (locked("COMPLIANCE", 2), locked("GOVERNANCE", 3), True, True),
        (locked("COMPLIANCE", 2), ObjectLock(), True, True),
        (locked("GOVERNANCE", 2), locked("GOVERNANCE", 1), False, True),
        (locked("GOVERNANCE", 2), locked("GOVERNANCE", 1), True, False),
        (locked("GOVERNANCE", 2), ObjectLock(), False, True),
        (locked("GOVERNANCE", 2), ObjectLock(), True, False),
        (locked("GOVERNANCE", 2), locked("COMPLIANCE", 2), False, True),
        (locked("GOVERNANCE", 2), locked("COMPLIANCE", 2), True, False),
        (locked("GOVERNANCE", 2), locked("GOVERNANCE", 3), False, False),
        (locked("COMPLIANCE", -1), ObjectLock(), False, False),
        (locked("COMPLIANCE", 2, hold=True), locked("COMPLIANCE", 2), False, False),
        (ObjectLock(legal_hold=True), ObjectLock(legal_hold=False), False, False),
        (ObjectLock(), locked("COMPLIANCE"), False, False),
    ],
)
def test_retention_can_be_tightened_but_not_loosened(
    old: ObjectLock, new: ObjectLock, bypass: bool, is_refused: bool
) -> None:
    facts = Facts(object_lock=True)
    facts.put(lock=old)
    command = commands.ReplaceAttributes(facts.bucket.id, "key", "v1", lock=new, bypass_governance=bypass)
    if is_refused:
        with pytest.raises(Locked):
            facts.write(command)
    else:
        changed = facts.write(command)
        hold = new.legal_hold if new.legal_hold is not None else old.legal_hold
        assert changed.lock == (replace(new, legal_hold=hold) if new.mode or hold is not None else None)


def test_retention_and_legal_hold_are_set_apart_from_each_other() -> None:
    facts = Facts(object_lock=True)
    facts.put()
    here = facts.bucket.id
    held = facts.write(commands.ReplaceAttributes(here, "key", "v1", legal_hold=True))
    assert held.lock == ObjectLock(legal_hold=True)
    retention = replace(locked(days=2), legal_hold=None)
    both = facts.write(commands.ReplaceAttributes(here, "key", "v1", lock=retention))
    assert both.lock == replace(locked(days=2), legal_hold=True)
    let_go = facts.write(commands.ReplaceAttributes(here, "key", "v1", legal_hold=False))
    assert let_go.lock == replace(locked(days=2), legal_hold=False)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, locked(days=1)),
        (ObjectLock(legal_hold=True), replace(locked(days=1), legal_hold=True)),
        (locked("COMPLIANCE", 3), locked("COMPLIANCE", 3)),
    ],
)
def test_default_retention_is_for_versions_without_retention_of_their_own(
    own: ObjectLock | None, expected: ObjectLock
) -> None:
    assert commands.with_default(own, locked(days=1)) == expected
    assert commands.with_default(own, None) == own


def test_tags_are_replaced_on_a_current_and_on_a_past_version(versioned: Facts) -> None:
    versioned.put(tags={"old": "1"})
    second = versioned.put(version_id="v2", tags={"old": "2"})
    replaced = versioned.write(commands.ReplaceAttributes(versioned.bucket.id, "key", tags={"new": "2"}))
    assert replaced == replace(second, tags={"new": "2"})
    past = versioned.write(commands.ReplaceAttributes(versioned.bucket.id, "key", "v1", tags={}))
    assert (past.version_id, past.tags, past.is_latest) == ("v1", {}, False)


def test_attributes_of_what_is_not_there_cannot_be_replaced(versioned: Facts) -> None:
    here = versioned.bucket.id
    with pytest.raises(KeyMissing):
        versioned.write(commands.ReplaceAttributes(here, "key", tags={}))
    versioned.delete()
    with pytest.raises(KeyMissing):
        versioned.write(commands.ReplaceAttributes(here, "key", tags={}))
    with pytest.raises(IsDeleteMarker):
        versioned.write(commands.ReplaceAttributes(here, "key", "marker", tags={}))
    with pytest.raises(VersionMissing):
        versioned.write(commands.ReplaceAttributes(here, "key", "never-was", tags={}))


# Uploads


def begin(facts: Facts, *sizes: int, upload_id: str = "upload", **fields: Any) -> tuple[Any, ...]:
    """An upload with parts 1, 2, … of these sizes; what Complete names of them."""
    facts.write(commands.CreateUpload(facts.bucket.id, "key", upload_id, "owner", ATTRIBUTES, **fields))
    named = []
    for number, size in enumerate(sizes, 1):
        blob = facts.blob(size) if size else None
        part = Part(number, size, f"etag{number}", 0, blob=blob)
        facts.write(commands.PutPart(facts.bucket.id, "key", upload_id, part))
        named.append(commands.NamedPart(number, blob.id if blob else None, size))
    return tuple(named)


def complete(facts: Facts, named: tuple[Any, ...], upload_id: str = "upload", **fields: Any) -> ObjectVersion:
    values: dict[str, Any] = {"digest": b"list", "version_id": "v1"} | fields
    version: ObjectVersion = facts.write(
        commands.CompleteUpload(facts.bucket.id, "key", upload_id, named, "etag-2", ATTRIBUTES, **values)
    )
    return version


def test_a_completed_upload_is_a_version_with_the_uploads_tags_and_lock() -> None:
    facts = Facts(object_lock=True)
    named = begin(facts, 5, 5, 3, tags={"a": "1"}, lock=locked())
    version = complete(facts, named, default_lock=locked("GOVERNANCE"))
    assert (version.size, version.parts_count, version.upload_id) == (13, 3, "upload")
    assert (version.tags, version.lock) == ({"a": "1"}, locked())
    assert queries.current(facts.db, facts.bucket.id, "key") == version
    layout = queries.manifest(facts.db, "upload")
    assert layout is not None and list(layout.parts()) == [(1, 5), (2, 5), (3, 3)]


def test_default_retention_holds_for_an_upload_without_a_lock() -> None:
    facts = Facts(object_lock=True)
    assert complete(facts, begin(facts, 5), default_lock=locked()).lock == locked()


def test_complete_again_with_the_same_list_gives_the_same_version(facts: Facts) -> None:
    named = begin(facts, 5, 3)
    once = commands.WriteConditions(if_none_match="*")
    version = complete(facts, named, conditions=once)
    facts.now_ms += 1000
    assert complete(facts, named, conditions=once) == version
    with pytest.raises(UploadMissing):
        complete(facts, named, digest=b"another list")
    facts.put()
    with pytest.raises(UploadMissing):
        complete(facts, named)


def test_complete_conflicts_when_a_part_was_replaced_meanwhile(facts: Facts) -> None:
    named = begin(facts, 5, 3)
    again = Part(2, 3, "etag", 0, blob=facts.blob())
    facts.write(commands.PutPart(facts.bucket.id, "key", "upload", again))
    with pytest.raises(Conflict):
        complete(facts, named)
    assert queries.upload(facts.db, facts.bucket.id, "key", "upload") is not None
    assert len(facts.garbage()) == 1


def test_complete_that_took_the_upload_for_completed_makes_no_empty_object_of_it(facts: Facts) -> None:
    begin(facts, 5)
    with pytest.raises(Conflict):
        complete(facts, ())
    assert queries.upload(facts.db, facts.bucket.id, "key", "upload") is not None
    assert queries.current(facts.db, facts.bucket.id, "key") is None


def test_complete_refused_by_a_condition_leaves_the_upload(facts: Facts) -> None:
    facts.put()
    named = begin(facts, 5)
    with pytest.raises(ConditionFailed):
        complete(facts, named, conditions=commands.WriteConditions(if_none_match="*"))
    assert complete(facts, named).size == 5


def test_parts_not_named_become_garbage(facts: Facts) -> None:
    named = begin(facts, 5, 3, 2)
    version = complete(facts, (named[0], named[2]))
    assert version.size == 7
    assert facts.garbage() == [named[1].blob_id]
    assert [part.part_number for part in queries.list_parts(facts.db, "upload").parts] == [1, 3]


def test_an_upload_of_one_empty_part_is_an_empty_object(facts: Facts) -> None:
    version = complete(facts, begin(facts, 0))
    assert (version.size, version.parts_count) == (0, 1)


def test_after_abort_the_upload_is_gone_and_its_parts_are_released_in_slices(facts: Facts) -> None:
    named = begin(facts, 5, 3, 2)
    facts.write(commands.AbortUpload(facts.bucket.id, "key", "upload"))
    for command in (
        commands.AbortUpload(facts.bucket.id, "key", "upload"),
        commands.PutPart(facts.bucket.id, "key", "upload", Part(4, 0, "etag", 0)),
    ):
        with pytest.raises(UploadMissing):
            facts.write(command)
    with pytest.raises(UploadMissing):
        complete(facts, named)
    assert queries.dropped_uploads(facts.db) == ["upload"] and queries.manifest(facts.db, "upload") is None
    assert facts.write(commands.ReleaseParts("upload", 2)) is False
    assert facts.write(commands.ReleaseParts("upload", 2)) is True
    assert facts.write(commands.ReleaseParts("upload", 2)) is True
    assert sorted(facts.garbage()) == sorted(part.blob_id for part in named)
    assert queries.dropped_uploads(facts.db) == []


def test_parts_of_an_upload_that_stands_are_never_released(facts: Facts) -> None:
    complete(facts, begin(facts, 5))
    assert facts.write(commands.ReleaseParts("upload")) is True
    assert len(queries.list_parts(facts.db, "upload").parts) == 1


def test_a_copy_by_reference_keeps_the_parts_after_the_original_went(facts: Facts) -> None:
    version = complete(facts, begin(facts, 5, 3))
    facts.put("copy", size=8, blob=None, upload_id="upload", parts_count=None)
    facts.delete()
    assert queries.dropped_uploads(facts.db) == []
    with pytest.raises(UploadMissing):
        complete(facts, begin(facts, 5, upload_id="other"), "upload")
    facts.delete("copy")
    assert queries.dropped_uploads(facts.db) == ["upload"]
    layout = queries.manifest(facts.db, "upload")
    assert layout is not None and list(layout.parts()) == [(1, 5), (2, 3)], "somebody may be about to read it"
    assert facts.write(commands.ReleaseParts("upload")) is True
    assert queries.manifest(facts.db, "upload") is None
    assert version.upload_id == "upload"
    with pytest.raises(Conflict):
        facts.put("copy", size=8, blob=None, upload_id="upload")


def test_a_part_replaced_by_a_copy_of_itself_keeps_its_blob(facts: Facts) -> None:
    begin(facts, 5)
    (part,) = queries.list_parts(facts.db, "upload").parts
    again = facts.write(commands.PutPart(facts.bucket.id, "key", "upload", part, shares_blob=True))
    assert again == replace(part, modified_ms=part.modified_ms + 1)
    assert facts.garbage() == []


def test_deleting_a_bucket_drops_its_uploads(facts: Facts) -> None:
    begin(facts, 5)
    facts.write(commands.DeleteBucket("bucket"))
    assert queries.dropped_uploads(facts.db) == ["upload"]
    assert invariants.violations(facts.db) == []


# Buckets


def test_a_bucket_name_is_taken_once(facts: Facts) -> None:
    with pytest.raises(BucketExists) as caught:
        facts.write(commands.CreateBucket("bucket", "someone else", "here"))
    assert caught.value.detail == {"bucket": "bucket", "owner_id": "owner"}


def test_a_bucket_created_again_is_another_one(facts: Facts) -> None:
    facts.write(commands.SetSubresource(facts.bucket.id, "cors", b"<x/>"))
    facts.write(commands.DeleteBucket("bucket"))
    again = facts.write(commands.CreateBucket("bucket", "owner", "here"))
    assert again.id != facts.bucket.id
    assert queries.subresource(facts.db, again.id, "cors") is None


def test_an_owner_has_at_most_the_limit_of_buckets(facts: Facts) -> None:
    with pytest.raises(TooManyBuckets):
        facts.write(commands.CreateBucket("second", "owner", "here", limit=1))
    facts.write(commands.CreateBucket("second", "another", "here", limit=1))


@pytest.mark.parametrize(
    ("object_lock", "state", "is_refused"),
    [
        (False, Versioning.ENABLED, False),
        (False, Versioning.SUSPENDED, False),
        (False, Versioning.NEVER, True),
        (True, Versioning.ENABLED, False),
        (True, Versioning.SUSPENDED, True),
    ],
)
def test_versioning_states_a_bucket_can_be_given(
    object_lock: bool, state: Versioning, is_refused: bool
) -> None:
    facts = Facts(Versioning.ENABLED, object_lock)
    if is_refused:
        with pytest.raises(BucketStateInvalid):
            facts.write(commands.SetVersioning(facts.bucket.id, state))
    else:
        assert facts.write(commands.SetVersioning(facts.bucket.id, state)).versioning == state


def test_object_lock_needs_versioning() -> None:
    facts = Facts()
    with pytest.raises(BucketStateInvalid):
        facts.write(commands.EnableObjectLock(facts.bucket.id))
    facts.write(commands.SetVersioning(facts.bucket.id, Versioning.ENABLED))
    assert facts.write(commands.EnableObjectLock(facts.bucket.id)).object_lock
    assert queries.bucket_by_name(facts.db, "bucket") == queries.bucket(facts.db, facts.bucket.id)


def test_subresources_are_replaced_and_removed(facts: Facts) -> None:
    here = facts.bucket.id
    for document in (b"<a/>", b"<b/>"):
        facts.write(commands.SetSubresource(here, "cors", document))
    facts.write(commands.SetSubresource(here, "policy", b"{}"))
    assert queries.subresources(facts.db, here) == {"cors": b"<b/>", "policy": b"{}"}
    for _ in range(2):
        facts.write(commands.SetSubresource(here, "cors", None))
    assert queries.subresource(facts.db, here, "cors") is None


def test_buckets_of_an_owner_by_prefix_marker_and_region(facts: Facts) -> None:
    for name in ("a.b", "a-b", "ab", "b"):
        facts.write(commands.CreateBucket(name, "owner", "there"))
    facts.write(commands.CreateBucket("abc", "another", "there"))

    def names(**fields: Any) -> list[str]:
        return [bucket.name for bucket in queries.buckets_of(facts.db, "owner", **fields)]

    assert names() == ["a-b", "a.b", "ab", "b", "bucket"]
    assert names(prefix="a") == ["a-b", "a.b", "ab"]
    assert names(prefix="a", after="a-b", limit=1) == ["a.b"]
    assert names(region="here") == ["bucket"]
    assert [b.name for b in queries.all_buckets(facts.db, after="ab")] == ["abc", "b", "bucket"]


# Blobs


def test_a_blob_moves_only_from_where_it_was_seen(facts: Facts) -> None:
    version = facts.put()
    assert version.blob is not None
    blob_id = version.blob.id
    facts.write(commands.MoveBlob(blob_id, b"locator", b"elsewhere"))
    assert queries.blob(facts.db, blob_id) == BlobRef(blob_id, 3, b"elsewhere")
    current = queries.current(facts.db, facts.bucket.id, "key")
    assert current is not None and current.blob == BlobRef(blob_id, 3, b"elsewhere")
    with pytest.raises(Conflict):
        facts.write(commands.MoveBlob(blob_id, b"locator", b"third"))
    facts.delete()
    facts.write(commands.MoveBlob(blob_id, b"elsewhere", b"while garbage"))
    assert queries.garbage_before(facts.db, NOW + 1) == [BlobRef(blob_id, 3, b"while garbage")]
    deleted = [BlobRef(blob_id, 3, locator) for locator in (b"elsewhere", b"while garbage")]
    never_was = BlobRef(b"never was", 3, b"locator")
    assert facts.write(commands.ForgetGarbage((deleted[0], never_was))) == 0, "it was moved since"
    assert facts.garbage() == [blob_id]
    assert facts.write(commands.ForgetGarbage((deleted[1], never_was))) == 1
    with pytest.raises(Conflict):
        facts.write(commands.MoveBlob(blob_id, b"while garbage", b"nowhere"))


def test_garbage_is_given_out_oldest_first_and_only_past_its_time(facts: Facts) -> None:
    for number in range(3):
        facts.put(f"key{number}")
    for number in (2, 0, 1):
        facts.now_ms += 1000
        facts.delete(f"key{number}")
    found = queries.garbage_before(facts.db, facts.now_ms)
    assert [blob.id for blob in found] == [b"%016d" % 3, b"%016d" % 1]
    assert queries.blobs_known(facts.db, [b"%016d" % n for n in (1, 2, 3, 4)]) == {
        b"%016d" % n for n in (1, 2, 3)
    }


def test_repairs_wait_for_their_time_and_know_their_blob(facts: Facts) -> None:
    version = facts.put()
    assert version.blob is not None
    facts.write(commands.QueueRepair(version.blob.id, "drive 3 was away"))
    facts.write(commands.QueueRepair(b"not named yet", "drive 3 was away"))
    facts.write(commands.QueueRepair(version.blob.id, "again"))
    due = {repair.blob_id: repair for repair in queries.repairs_due(facts.db, NOW)}
    assert due[version.blob.id].blob == version.blob
    assert due[version.blob.id].reason == "drive 3 was away"
    assert due[b"not named yet"].blob is None
    facts.write(commands.PostponeRepair(b"not named yet", NOW + 60_000))
    facts.write(commands.FinishRepair(version.blob.id, due[version.blob.id].report))
    assert queries.repairs_due(facts.db, NOW) == []
    (later,) = queries.repairs_due(facts.db, NOW + 60_000)
    assert later.attempts == 1
    assert queries.counts(facts.db).repairs == 1


def test_a_repair_does_not_answer_for_what_was_reported_while_it_ran(facts: Facts) -> None:
    facts.write(commands.QueueRepair(b"blob", "drive 3 was away"))
    (began,) = queries.repairs_due(facts.db, NOW)
    facts.write(commands.QueueRepair(b"blob", "bad checksum"))
    facts.write(commands.FinishRepair(b"blob", began.report))
    (again,) = queries.repairs_due(facts.db, NOW)
    facts.write(commands.FinishRepair(b"blob", again.report))
    assert queries.counts(facts.db).repairs == 0
    facts.write(commands.QueueRepair(b"blob", "drive 4 was away"))  # anew: the old pass knows nothing of it
    facts.write(commands.FinishRepair(b"blob", again.report))
    assert queries.counts(facts.db).repairs == 1


# Users


def user(facts: Facts, user_id: str = "id", name: str = "name", **fields: Any) -> Any:
    return facts.write(commands.PutUser(user_id, name, "Display", **fields))


def test_users_are_found_by_id_name_and_email(facts: Facts) -> None:
    made = user(facts, email="a@b", is_root=True)
    assert queries.user_by_id(facts.db, "id") == made
    assert queries.user_by_name(facts.db, "name") == made
    assert queries.user_by_email(facts.db, "a@b") == made
    assert queries.user_by_email(facts.db, "") is None
    assert queries.users(facts.db) == [made]


def test_a_user_can_be_changed_but_names_and_emails_belong_to_one(facts: Facts) -> None:
    made = user(facts, email="a@b", is_root=True)
    facts.now_ms += 1
    assert user(facts, name="renamed", email="c@d") == replace(made, name="renamed", email="c@d")
    for fields in ({"name": "renamed"}, {"name": "else", "email": "c@d"}):
        with pytest.raises(UserExists):
            user(facts, "other", **fields)
    user(facts, "other", "else")
    user(facts, "third", "without e-mail, like the second")


def test_a_user_with_buckets_stays(facts: Facts) -> None:
    user(facts, "owner")
    with pytest.raises(UserNotEmpty):
        facts.write(commands.RemoveUser("owner"))
    facts.write(commands.DeleteBucket("bucket"))
    facts.write(commands.PutAccessKey("AK", "owner", b"sealed"))
    facts.write(commands.RemoveUser("owner"))
    assert queries.access_key(facts.db, "AK") is None
    for command in (commands.RemoveUser("owner"), commands.SetUserEnabled("owner", False)):
        with pytest.raises(UserMissing):
            facts.write(command)


def test_access_keys_are_made_replaced_disabled_and_removed(facts: Facts) -> None:
    user(facts)
    user(facts, "other", "other")
    with pytest.raises(UserMissing):
        facts.write(commands.PutAccessKey("AK", "nobody", b"sealed"))
    key = facts.write(commands.PutAccessKey("AK", "id", b"sealed"))
    assert queries.keys_of(facts.db, "id") == [key]
    for user_id, replaces in (("id", False), ("other", False), ("other", True)):
        with pytest.raises(KeyExists):
            facts.write(commands.PutAccessKey("AK", user_id, b"new", replaces))
    facts.write(commands.SetAccessKeyEnabled("AK", False))
    assert queries.access_key(facts.db, "AK") == replace(key, is_enabled=False)
    assert facts.write(commands.PutAccessKey("AK", "id", b"new", True)).secret_sealed == b"new"
    facts.write(commands.RemoveAccessKey("AK"))
    for command in (commands.RemoveAccessKey("AK"), commands.SetAccessKeyEnabled("AK", True)):
        with pytest.raises(AccessKeyMissing):
            facts.write(command)


def test_state_keeps_small_values(facts: Facts) -> None:
    for value in (b"one", b"two"):
        facts.write(commands.SetState("name", value))
        assert queries.state(facts.db, "name") == value
    for _ in range(2):
        facts.write(commands.SetState("name", None))
        assert queries.state(facts.db, "name") is None
