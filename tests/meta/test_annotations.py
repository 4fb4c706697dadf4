"""Annotations and renames: what the commands write, and that nothing leaks."""

from dataclasses import replace
from typing import Any

import pytest

from objstore.meta import commands, invariants, queries
from objstore.meta.commands import RenameConditions, RenameToken
from objstore.meta.interface import (
    BucketMissing,
    ConditionFailed,
    Conflict,
    IsDeleteMarker,
    KeyMissing,
    TokenReused,
    TooManyAnnotations,
    VersionMissing,
)
from objstore.model import Annotation, Attributes, ObjectVersion, Versioning
from tests.meta.test_commands import Facts

NO_CONDITIONS = RenameConditions()


@pytest.fixture(params=[None, Versioning.ENABLED, Versioning.SUSPENDED])
def facts(request: pytest.FixtureRequest) -> Any:
    """A bucket in each versioning state; whatever happened, the invariants hold at the end."""
    made = Facts(request.param)
    yield made
    assert invariants.violations(made.db) == []


def annotate(facts: Facts, name: str, version: ObjectVersion, **more: Any) -> Annotation:
    annotation = Annotation(name, 4, f"etag of {name}", 0, Attributes(), facts.blob(4))
    values: dict[str, Any] = {"version_id": version.version_id, "sequence": version.sequence} | more
    command = commands.PutAnnotation(facts.bucket.id, version.key, annotation=annotation, **values)
    assert facts.write(command) == queries.version(facts.db, facts.bucket.id, version.key, version.version_id)
    return annotation


def names(facts: Facts, version: ObjectVersion) -> list[str]:
    return [one.name for one in queries.annotations(facts.db, version, "", None, 2000)]


def release(facts: Facts) -> None:
    for annotation_set in queries.dropped_annotations(facts.db):
        while not facts.write(commands.ReleaseAnnotations(annotation_set, 2)):
            pass


def test_an_annotation_is_found_until_it_is_taken_off(facts: Facts) -> None:
    version = facts.put()
    annotation = annotate(facts, "note", version)
    found = queries.annotation(facts.db, version, "note")
    assert found == replace(annotation, modified_ms=facts.now_ms)
    assert queries.annotation(facts.db, version, "not") is None
    later = annotate(facts, "note", version)
    assert facts.garbage() == [annotation.blob.id]
    delete = commands.DeleteAnnotation(facts.bucket.id, "key", version.version_id, "note")
    assert facts.write(delete) == version
    assert facts.write(delete) is None
    assert facts.garbage() == [annotation.blob.id, later.blob.id]


def test_a_version_takes_its_annotations_along_and_releases_them_in_slices(facts: Facts) -> None:
    version = facts.put()
    blobs = [annotate(facts, f"n{number}", version).blob.id for number in range(5)]
    facts.put(version_id="v2")
    facts.delete()
    if queries.version(facts.db, facts.bucket.id, "key", version.version_id) is not None:
        if version.version_id != "null":
            assert len(names(facts, version)) == 5
        facts.delete(version_id=version.version_id)
    release(facts)
    assert set(blobs) <= set(facts.garbage())
    assert queries.dropped_annotations(facts.db) == []


def test_a_copy_shares_the_bytes_and_lives_on(facts: Facts) -> None:
    version = facts.put()
    annotation = annotate(facts, "note", version)
    annotation_set = queries.annotation_set(facts.db, version)
    copied = facts.put("copy", version_id="v2", annotations_of=annotation_set)
    facts.delete(version_id=version.version_id)
    release(facts)
    assert names(facts, copied) == ["note"]
    assert annotation.blob.id not in facts.garbage()
    with pytest.raises(Conflict):
        facts.put("late", version_id="v3", annotations_of=annotation_set)


def test_refusals(facts: Facts) -> None:
    version = facts.put()
    with pytest.raises(Conflict):
        annotate(facts, "note", version, sequence=version.sequence + 1)
    with pytest.raises(ConditionFailed):
        annotate(facts, "note", version, if_match="other")
    with pytest.raises(VersionMissing):
        annotate(facts, "note", version, version_id="absent")
    with pytest.raises(KeyMissing):
        annotate(facts, "note", replace(version, key="absent"), version_id=None)
    with pytest.raises(BucketMissing):
        facts.write(commands.DeleteAnnotation(99, "key", None, "note"))
    deleted = facts.delete()
    if deleted.is_delete_marker:
        with pytest.raises(IsDeleteMarker):
            annotate(facts, "note", version, version_id=deleted.version_id)


def test_the_most_there_may_be(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("objstore.meta.commands.annotations.ANNOTATIONS_MAX", 2)
    version = facts.put()
    for name in ("one", "two", "one"):
        annotate(facts, name, version)
    with pytest.raises(TooManyAnnotations):
        annotate(facts, "three", version)


def rename(facts: Facts, source: ObjectVersion, target: str, **more: Any) -> Any:
    values: dict[str, Any] = {
        "source_conditions": NO_CONDITIONS,
        "target_conditions": NO_CONDITIONS,
        "annotation_set": queries.annotations_to_copy(facts.db, source),
    } | more
    put = commands.PutVersion(
        facts.bucket.id,
        target,
        source.size,
        source.etag,
        source.owner_id,
        source.attributes,
        blob=source.blob,
        shares_blob=True,
        version_id=f"renamed-{facts.now_ms}",
        annotations_of=values["annotation_set"],
    )
    delete = commands.DeleteVersion(
        facts.bucket.id, source.key, "owner", new_version_id=f"marker-{facts.now_ms}"
    )
    both = commands.encode(put), commands.encode(delete)
    return facts.write(commands.RenameVersion(facts.bucket.id, source.key, target, source, *both, **values))


def test_a_rename_moves_bytes_and_annotations(facts: Facts) -> None:
    source = facts.put()
    annotate(facts, "note", source)
    facts.put("new", version_id="below")
    made = rename(facts, source, "new")
    assert queries.current(facts.db, facts.bucket.id, "new") == made
    assert (made.blob, made.etag, names(facts, made)) == (source.blob, source.etag, ["note"])
    assert queries.current(facts.db, facts.bucket.id, "key") is None
    release(facts)
    assert source.blob is not None and source.blob.id not in facts.garbage()


def test_a_rename_is_whole_or_not_at_all(facts: Facts) -> None:
    source = facts.put()
    changed = replace(source, tags={"a": "b"})
    for expected, conditions in (
        (Conflict, {"source": changed}),
        (ConditionFailed, {"source_conditions": RenameConditions(if_match="other")}),
        (ConditionFailed, {"target_conditions": RenameConditions(if_match="etag")}),
        (KeyMissing, {"source": replace(source, key="absent")}),
    ):
        with pytest.raises(expected):
            rename(facts, conditions.pop("source", source), "new", **conditions)
    assert queries.current(facts.db, facts.bucket.id, "key") == source
    assert queries.current(facts.db, facts.bucket.id, "new") is None


def test_an_annotation_put_meanwhile_is_not_left_behind(facts: Facts) -> None:
    source = facts.put()
    annotate(facts, "note", source)
    with pytest.raises(Conflict):
        rename(facts, source, "new", annotation_set=None)
    made = rename(facts, source, "new")
    assert names(facts, made) == ["note"]
    facts.write(commands.DeleteAnnotation(facts.bucket.id, "new", None, "note"))
    emptied = queries.annotation_set(facts.db, made)
    with pytest.raises(Conflict):
        rename(facts, made, "newer", annotation_set=emptied)
    assert names(facts, rename(facts, made, "newer")) == []


def test_a_token_stands_for_a_day(facts: Facts) -> None:
    source = facts.put()
    token = RenameToken("token", b"digest")
    assert rename(facts, source, "new", token=token) is not None
    assert rename(facts, source, "new", token=token) is None
    with pytest.raises(TokenReused):
        rename(facts, source, "new", token=replace(token, digest=b"other"))
    facts.now_ms += 24 * 3_600_000 + 1
    again = facts.put(version_id="v9")
    assert rename(facts, again, "new", token=replace(token, digest=b"other")) is not None
