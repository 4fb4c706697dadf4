"""Lifecycle rules: what they mean for one version, without a server."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from objstore.model import RESTORE, TIER, Attributes, ObjectVersion
from objstore.s3.documents.lifecycle import (
    AbortIncompleteMultipartUpload,
    And,
    Expiration,
    Filter,
    LifecycleConfiguration,
    LifecycleRule,
    NoncurrentVersionExpiration,
    NoncurrentVersionTransition,
    Transition,
)
from objstore.s3.documents.tagging import Tag
from objstore.s3.expiry import (
    LATEST,
    REAL_DAYS,
    Action,
    Calendar,
    Standing,
    abort_headers,
    concerns,
    expiration_header,
    is_colder,
    judge,
    judge_transition,
    judge_upload,
    prefixes,
)

DAY_MS = 86_400_000
MORNING = int(datetime(2014, 1, 15, 10, 30, tzinfo=UTC).timestamp() * 1000)


def day(month: int, number: int) -> int:
    return int(datetime(2014, month, number, tzinfo=UTC).timestamp() * 1000)


VERSION = ObjectVersion(1, "logs/a", "v1", 5, MORNING, "o", 1000, "etag", Attributes(), tags={"a": "1"})
MARKER = replace(VERSION, is_delete_marker=True, size=0, tags={})


def rule(**given: Any) -> LifecycleRule:
    return LifecycleRule(**{"id": "r", "filter": Filter(), "status": "Enabled", **given})


EXPIRES = Expiration(days=3)


def test_awss_own_example_of_the_day_something_expires() -> None:
    # An object made on 15 January at 10:30 whose rule says 3 days goes on the 19th at 00:00 UTC.
    assert REAL_DAYS.after(MORNING, 3) == day(1, 19)


@pytest.mark.parametrize("since_ms", [day(1, 15), day(1, 15) + 1, day(1, 16) - 1])
def test_nothing_expires_before_it_is_that_many_days_old(since_ms: int) -> None:
    assert REAL_DAYS.after(since_ms, 1) >= since_ms + DAY_MS
    assert REAL_DAYS.after(since_ms, 1) == day(1, 17)


def test_what_is_due_after_the_last_date_is_due_then() -> None:
    never = 2**31 - 1
    rules = LifecycleConfiguration(
        rules=(
            rule(expiration=Expiration(days=never)),
            rule(
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=never)
            ),
        )
    )
    last = "Fri, 31 Dec 9999 00:00:00 GMT"
    assert last in expiration_header(rules, replace(VERSION, is_latest=True))["x-amz-expiration"]
    assert abort_headers(rules, "k", MORNING)["x-amz-abort-date"] == last
    assert Calendar.of(10_000).after(MORNING, never) == REAL_DAYS.after(MORNING, never)


def test_a_debug_day_is_as_long_as_it_says() -> None:
    assert Calendar(10_000).after(MORNING, 3) == MORNING + 30_000


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        (Filter(), True),
        (Filter(prefix=""), True),
        (Filter(prefix="logs/"), True),
        (Filter(prefix="logs/b"), False),
        (Filter(prefix="LOGS/"), False),
        (Filter(tag=Tag(key="a", value="1")), True),
        (Filter(tag=Tag(key="a", value="2")), False),
        (Filter(tag=Tag(key="b", value="1")), False),
        (Filter(object_size_greater_than=999), True),
        (Filter(object_size_greater_than=1000), False),
        (Filter(object_size_less_than=1001), True),
        (Filter(object_size_less_than=1000), False),
        (Filter(and_=And(prefix="logs/", tags=(Tag(key="a", value="1"),))), True),
        (Filter(and_=And(prefix="x", tags=(Tag(key="a", value="1"),))), False),
        (Filter(and_=And(tags=(Tag(key="a", value="1"), Tag(key="b", value="1")))), False),
        (Filter(and_=And(object_size_greater_than=10, object_size_less_than=1000)), False),
    ],
)
def test_filters(chosen: Filter, fits: bool) -> None:
    assert concerns(rule(filter=chosen), VERSION.key, VERSION.size, VERSION.tags) is fits
    disabled = rule(filter=chosen, status="Disabled")
    assert not concerns(disabled, VERSION.key, VERSION.size, VERSION.tags)


def test_the_older_form_of_a_filter() -> None:
    assert concerns(rule(filter=None, prefix="logs/"), "logs/a", 0, {})
    assert not concerns(rule(filter=None, prefix="x"), "logs/a", 0, {})


def test_a_delete_marker_answers_to_no_rule_that_asks_for_tags_or_sizes() -> None:
    alone = Standing(is_only=True)
    for chosen in (Filter(tag=Tag(key="a", value="1")), Filter(object_size_less_than=10)):
        assert judge([rule(filter=chosen, expiration=EXPIRES)], MARKER, alone, REAL_DAYS) is None


def test_the_current_version_by_days_and_by_date() -> None:
    verdict = judge([rule(expiration=EXPIRES)], VERSION, LATEST, REAL_DAYS)
    assert verdict is not None and (verdict.action, verdict.due_ms) == (Action.EXPIRE, day(1, 19))
    dated = judge([rule(expiration=Expiration(date=day(2, 1)))], VERSION, LATEST, REAL_DAYS)
    assert dated is not None and dated.due_ms == day(2, 1)


def test_of_several_rules_the_earliest() -> None:
    rules = [rule(id="late", expiration=Expiration(days=9)), rule(id="early", expiration=EXPIRES)]
    verdict = judge(rules, VERSION, LATEST, REAL_DAYS)
    assert verdict is not None and verdict.rule_id == "early"


@pytest.mark.parametrize(
    ("expiration", "standing", "due_ms"),
    [
        (Expiration(expired_object_delete_marker=True), Standing(is_only=True), MORNING),
        (Expiration(expired_object_delete_marker=True), Standing(is_only=False), None),
        (Expiration(expired_object_delete_marker=False), Standing(is_only=True), None),
        (Expiration(days=3), Standing(is_only=True), day(1, 19)),
        (Expiration(days=3), Standing(is_only=False), None),
        (Expiration(date=day(1, 1)), Standing(is_only=True), None),
    ],
)
def test_delete_markers_go_only_when_nothing_is_under_them(
    expiration: Expiration, standing: Standing, due_ms: int | None
) -> None:
    verdict = judge([rule(expiration=expiration)], MARKER, standing, REAL_DAYS)
    assert (None if verdict is None else verdict.due_ms) == due_ms
    assert verdict is None or verdict.action is Action.REMOVE_MARKER


def test_an_expired_marker_rule_leaves_objects_alone() -> None:
    marker_rule = rule(expiration=Expiration(expired_object_delete_marker=True))
    assert judge([marker_rule], VERSION, LATEST, REAL_DAYS) is None


@pytest.mark.parametrize(("newer", "goes"), [(0, False), (1, False), (2, True), (7, True)])
def test_noncurrent_versions_are_kept_by_number(newer: int, goes: bool) -> None:
    past = NoncurrentVersionExpiration(noncurrent_days=3, newer_noncurrent_versions=2)
    standing = Standing(noncurrent_since_ms=MORNING, newer_noncurrent=newer)
    verdict = judge([rule(noncurrent_version_expiration=past)], VERSION, standing, REAL_DAYS)
    assert (verdict is not None) is goes
    assert verdict is None or (verdict.due_ms, verdict.newer_kept) == (day(1, 19), 2)


def test_the_age_of_a_noncurrent_version_is_counted_from_its_successor() -> None:
    past = rule(noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=1))
    verdict = judge([past], VERSION, Standing(noncurrent_since_ms=MORNING + 90 * DAY_MS), REAL_DAYS)
    assert verdict is not None and verdict.due_ms == day(4, 17)
    assert judge([past], VERSION, LATEST, REAL_DAYS) is None
    assert judge([rule(expiration=EXPIRES)], VERSION, Standing(MORNING), REAL_DAYS) is None


def test_uploads() -> None:
    aborts = rule(
        filter=Filter(prefix="logs/"),
        abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=3),
    )
    verdict = judge_upload([rule(expiration=EXPIRES), aborts], "logs/a", MORNING, REAL_DAYS)
    assert verdict is not None and (verdict.action, verdict.due_ms) == (Action.ABORT, day(1, 19))
    assert judge_upload([aborts], "other", MORNING, REAL_DAYS) is None
    document = LifecycleConfiguration(rules=(aborts,))
    assert abort_headers(document, "logs/a", MORNING) == {
        "x-amz-abort-date": "Sun, 19 Jan 2014 00:00:00 GMT",
        "x-amz-abort-rule-id": "r",
    }
    assert abort_headers(None, "logs/a", MORNING) == abort_headers(document, "other", MORNING) == {}


def test_the_fewest_prefixes_that_cover_all_rules() -> None:
    rules = [rule(filter=Filter(prefix=prefix)) for prefix in ("b/c/", "a", "b/", "c", "b/c/d")]
    assert prefixes(rules) == ["a", "b/", "c"]
    assert prefixes([*rules, rule()]) == [""]
    assert prefixes([]) == []


def test_the_header_says_when_and_by_which_rule() -> None:
    document = LifecycleConfiguration(rules=(rule(id="tidy up", expiration=EXPIRES),))
    assert expiration_header(document, VERSION) == {
        "x-amz-expiration": 'expiry-date="Sun, 19 Jan 2014 00:00:00 GMT", rule-id="tidy%20up"'
    }
    assert expiration_header(None, VERSION) == {}
    assert expiration_header(document, replace(VERSION, is_latest=False)) == {}
    other = LifecycleConfiguration(rules=(rule(expiration=EXPIRES, filter=Filter(prefix="x")),))
    assert expiration_header(other, VERSION) == {}


BIG = replace(VERSION, size=200_000)


def transition_due(
    version: ObjectVersion,
    *rules: LifecycleRule,
    at_ms: int,
    standing: Standing = LATEST,
    minimum: str | None = None,
    tiers: tuple[str, ...] = (),
) -> str | None:
    """The class that the version is due to go to."""
    document = LifecycleConfiguration(rules=rules, transition_default_minimum_object_size=minimum)
    verdict = judge_transition(document, version, standing, REAL_DAYS, at_ms, tiers)
    return None if verdict is None else verdict.storage_class


def moves(*targets: tuple[int, str], **given: Any) -> LifecycleRule:
    transitions = tuple(Transition(days=days, storage_class=name) for days, name in targets)  # type: ignore[arg-type]
    return rule(transitions=transitions, **given)


def test_transitions_are_due_at_midnight_and_by_date() -> None:
    after_3 = moves((3, "GLACIER"))
    assert transition_due(BIG, after_3, at_ms=day(1, 19) - 1) is None
    assert transition_due(BIG, after_3, at_ms=day(1, 19)) == "GLACIER"
    assert transition_due(BIG, moves((0, "GLACIER")), at_ms=day(1, 15) + DAY_MS) == "GLACIER"
    dated = rule(transitions=(Transition(date=day(2, 1), storage_class="GLACIER"),))
    assert transition_due(BIG, dated, at_ms=day(2, 1) - 1) is None
    assert transition_due(BIG, dated, at_ms=day(2, 1)) == "GLACIER"
    assert transition_due(BIG, replace(dated, status="Disabled"), at_ms=day(2, 1)) is None
    other = moves((3, "GLACIER"), filter=Filter(prefix="other"))
    assert transition_due(BIG, other, at_ms=day(9, 1)) is None


def test_of_several_transitions_the_coldest_that_is_due_is_made() -> None:
    steps = moves((30, "STANDARD_IA"), (60, "GLACIER_IR"), (90, "DEEP_ARCHIVE"))
    for days, expected in ((29, None), (40, "STANDARD_IA"), (70, "GLACIER_IR"), (100, "DEEP_ARCHIVE")):
        assert transition_due(BIG, steps, at_ms=MORNING + days * DAY_MS) == expected
    both = moves((1, "GLACIER")), moves((1, "STANDARD_IA"), id="s")
    assert transition_due(BIG, *both, at_ms=day(9, 1)) == transition_due(BIG, *both[::-1], at_ms=day(9, 1))
    assert transition_due(BIG, *both, at_ms=day(9, 1)) == "GLACIER"


WATERFALL = (
    "STANDARD",
    "STANDARD_IA",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
)


def test_classes_only_get_colder() -> None:
    for i, source in enumerate(WATERFALL):
        for j, target in enumerate(WATERFALL):
            expected = i < j and (source, target) != ("ONEZONE_IA", "GLACIER_IR")
            assert is_colder(source, target) is expected
            version = replace(BIG, attributes=Attributes(storage_class=source))
            if target != "STANDARD":
                found = transition_due(version, moves((1, target)), at_ms=day(9, 1))
                assert found == (target if expected else None)
    assert is_colder("REDUCED_REDUNDANCY", "STANDARD_IA")


def test_small_objects_stay_unless_the_rule_or_the_bucket_says_otherwise() -> None:
    small = replace(VERSION, size=128 * 1024 - 1)
    everything = {"filter": Filter(object_size_greater_than=0)}
    varies = "varies_by_storage_class"
    for name in WATERFALL[1:]:
        at = {"at_ms": day(9, 1)}
        assert transition_due(small, moves((1, name)), **at) is None
        assert transition_due(small, moves((1, name)), minimum="all_storage_classes_128K", **at) is None
        assert transition_due(small, moves((1, name), **everything), **at) == name
        expected = name if name in ("GLACIER", "DEEP_ARCHIVE") else None
        assert transition_due(small, moves((1, name)), minimum=varies, **at) == expected
        assert transition_due(replace(small, size=128 * 1024), moves((1, name)), **at) == name


def test_noncurrent_versions_by_their_own_rules() -> None:
    past = rule(
        noncurrent_version_transitions=(
            NoncurrentVersionTransition(
                noncurrent_days=2, storage_class="GLACIER", newer_noncurrent_versions=1
            ),
        )
    )
    noncurrent = Standing(MORNING + 30 * DAY_MS, 1)
    due_ms = MORNING + 33 * DAY_MS
    assert transition_due(BIG, past, at_ms=due_ms, standing=noncurrent) == "GLACIER"
    assert transition_due(BIG, past, at_ms=due_ms - DAY_MS, standing=noncurrent) is None
    assert transition_due(BIG, past, at_ms=due_ms, standing=Standing(MORNING, 0)) is None
    assert transition_due(BIG, past, at_ms=due_ms) is None
    assert transition_due(BIG, moves((1, "GLACIER")), at_ms=due_ms, standing=noncurrent) is None


def test_what_is_never_moved() -> None:
    rules = moves((1, "GLACIER"))
    marker = replace(BIG, is_delete_marker=True)
    assert transition_due(marker, rules, at_ms=day(9, 1)) is None
    restored = replace(BIG, attributes=Attributes(extra={TIER: "STANDARD_IA", RESTORE: "ongoing"}))
    assert transition_due(restored, rules, at_ms=day(9, 1)) is None


def test_what_was_put_with_a_class_goes_to_its_tier_once() -> None:
    labelled = replace(BIG, attributes=Attributes(storage_class="GLACIER"))
    moved = replace(BIG, attributes=Attributes(storage_class="GLACIER", extra={TIER: "GLACIER"}))
    rules, at_ms = moves((1, "GLACIER")), day(9, 1)
    assert transition_due(labelled, rules, at_ms=at_ms) is None
    assert transition_due(labelled, rules, at_ms=at_ms, tiers=("GLACIER",)) == "GLACIER"
    assert transition_due(moved, rules, at_ms=at_ms, tiers=("GLACIER",)) is None
