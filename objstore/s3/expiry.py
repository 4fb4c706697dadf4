"""What lifecycle rules mean for one version or upload: pure, so that header, plan and job never disagree.

Invariants kept here:
- A rule that is not enabled, or whose filter asks something this version does not answer, does nothing.
  Delete markers have neither tags nor a size, so a rule that asks for either never concerns one.
- Age is counted in calendar days: what becomes n days old on one day is due at the next midnight, UTC,
  never before. With a debug interval a day is that many seconds, and nothing is rounded.
- Who is due under several rules goes by the earliest.
- What is due to go is not moved first. What is due to be moved goes to the coldest class asked for, and
  classes only ever get colder.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self
from urllib.parse import quote

from objstore.model import RESTORE, TIER, ObjectVersion
from objstore.s3.documents.lifecycle import (
    DAY_MS,
    MINIMUM_SIZES,
    Conditions,
    LifecycleConfiguration,
    LifecycleRule,
    conditions_of,
)
from objstore.s3.object_headers import http_date

LATEST_MS: Final = 253_402_214_400_000
"""The last midnight of the year 9999: what is due later is due then, for no date of a header is later."""
NO_TAGS: Final[Mapping[str, str]] = {}
TRANSITION_BYTES_MIN: Final = 128 * 1024
"""Smaller objects stay where they are, unless their rule's filter speaks of sizes itself."""
_TAKES_SMALL: Final = frozenset(("GLACIER", "DEEP_ARCHIVE"))
"""The classes that take small objects where the bucket says `varies_by_storage_class`."""
_COLDNESS: Final = {
    "STANDARD": 0,
    "REDUCED_REDUNDANCY": 0,
    "STANDARD_IA": 1,
    "INTELLIGENT_TIERING": 2,
    "ONEZONE_IA": 3,
    "GLACIER_IR": 4,
    "GLACIER": 5,
    "DEEP_ARCHIVE": 6,
}
_NEVER: Final = frozenset({("ONEZONE_IA", "GLACIER_IR")})
"""Moves that S3 does not make though they lead to a colder class."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """How long a day is. `debug_day_ms` None: a day, and due at midnight."""

    debug_day_ms: int | None = None

    @classmethod
    def of(cls, debug_day_s: float) -> Self:
        """The calendar for a debug interval; 0: real days."""
        return cls(round(debug_day_s * 1000) if debug_day_s else None)

    def after(self, since_ms: int, days: int) -> int:
        """When something that began at `since_ms` is `days` old, at the latest at LATEST_MS."""
        if self.debug_day_ms is not None:
            return min(since_ms + days * self.debug_day_ms, LATEST_MS)
        return min(((since_ms + days * DAY_MS) // DAY_MS + 1) * DAY_MS, LATEST_MS)


REAL_DAYS: Final = Calendar()


class Action(StrEnum):
    """What a rule does to a version or upload."""

    EXPIRE = "expire"
    """The current version: it goes, or in a versioned bucket a delete marker comes on top."""
    EXPIRE_NONCURRENT = "expire-noncurrent"
    REMOVE_MARKER = "remove-delete-marker"
    """A delete marker with nothing under it."""
    ABORT = "abort-upload"
    TRANSITION = "transition"
    """The current version gets another storage class."""
    TRANSITION_NONCURRENT = "transition-noncurrent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's action and when it is due."""

    action: Action
    due_ms: int
    rule_id: str
    newer_kept: int = 0
    """How many newer noncurrent versions must still be there."""
    storage_class: str = ""
    """Where a transition leads."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a version stands among those of its key."""

    noncurrent_since_ms: int | None = None
    """When its successor came; None for the latest."""
    newer_noncurrent: int = 0
    """How many noncurrent versions, delete markers not counted, are newer than it."""
    is_only: bool = False
    """There is no other version or delete marker of its key."""


LATEST: Final = Standing()


def enabled_rules(document: LifecycleConfiguration) -> Sequence[LifecycleRule]:
    """The rules that do something."""
    return [rule for rule in document.rules if rule.status == "Enabled"]


@lru_cache(maxsize=4096)
def _conditions(rule: LifecycleRule) -> tuple[Conditions, bool]:
    """A rule's conditions, and whether it asks for what delete markers do not have."""
    conditions = conditions_of(rule)
    return conditions, bool(conditions.tags) or conditions.has_sizes


def concerns(
    rule: LifecycleRule, key: str, size: int, tags: Mapping[str, str], *, is_delete_marker: bool = False
) -> bool:
    """Whether the rule is enabled and its filter fits."""
    if rule.status != "Enabled":
        return False
    conditions, asks_for_bytes = _conditions(rule)
    if not key.startswith(conditions.prefix) or (is_delete_marker and asks_for_bytes):
        return False
    above, below = conditions.object_size_greater_than, conditions.object_size_less_than
    if (above is not None and size <= above) or (below is not None and size >= below):
        return False
    return all(tags.get(tag.key) == tag.value for tag in conditions.tags)


def judge(
    rules: Iterable[LifecycleRule], version: ObjectVersion, standing: Standing, calendar: Calendar
) -> Verdict | None:
    """The earliest thing the rules do to this version, due or not; None when they leave it alone."""
    verdicts = [
        verdict
        for rule in rules
        if concerns(rule, version.key, version.size, version.tags, is_delete_marker=version.is_delete_marker)
        and (verdict := _verdict(rule, version, standing, calendar)) is not None
    ]
    return min(verdicts, key=lambda verdict: verdict.due_ms, default=None)


def _verdict(
    rule: LifecycleRule, version: ObjectVersion, standing: Standing, calendar: Calendar
) -> Verdict | None:
    rule_id = rule.id or ""
    if standing.noncurrent_since_ms is not None:
        past = rule.noncurrent_version_expiration
        if past is None or past.noncurrent_days is None:
            return None
        kept = past.newer_noncurrent_versions or 0
        if standing.newer_noncurrent < kept:
            return None
        due_ms = calendar.after(standing.noncurrent_since_ms, past.noncurrent_days)
        return Verdict(Action.EXPIRE_NONCURRENT, due_ms, rule_id, kept)
    expiration = rule.expiration
    if expiration is None:
        return None
    if version.is_delete_marker:
        if not standing.is_only:
            return None
        if expiration.expired_object_delete_marker:
            return Verdict(Action.REMOVE_MARKER, version.modified_ms, rule_id)
        if expiration.days is not None:
            due_ms = calendar.after(version.modified_ms, expiration.days)
            return Verdict(Action.REMOVE_MARKER, due_ms, rule_id)
        return None
    if expiration.days is not None:
        due_ms = calendar.after(version.modified_ms, expiration.days)
    elif expiration.date is not None:
        due_ms = expiration.date
    else:
        return None
    return Verdict(Action.EXPIRE, due_ms, rule_id)


def judge_transition(
    document: LifecycleConfiguration,
    version: ObjectVersion,
    standing: Standing,
    calendar: Calendar,
    now_ms: int,
    tiers: Collection[str] = (),
) -> Verdict | None:
    """The transition that is due for this version now: of several the coldest; None when there is none.

    `tiers` are the storage classes whose bytes lie elsewhere: what has such a class and was written here with
    it is moved as well. What is due to expire is not asked about here. A version that is being restored, or
    has a restored copy, waits.
    """
    if version.is_delete_marker or RESTORE in version.attributes.extra:
        return None
    has = version.attributes.storage_class
    is_elsewhere = TIER in version.attributes.extra
    minimum = document.transition_default_minimum_object_size or MINIMUM_SIZES[0]
    verdicts = [
        verdict
        for rule in document.rules
        if concerns(rule, version.key, version.size, version.tags)
        for verdict in _transitions(rule, version, standing, calendar)
        if verdict.due_ms <= now_ms
        and (
            is_colder(has, verdict.storage_class)
            or (has == verdict.storage_class and has in tiers and not is_elsewhere)
        )
        and _may_be_moved(rule, version.size, verdict.storage_class, minimum)
    ]
    return max(verdicts, key=lambda verdict: _COLDNESS[verdict.storage_class], default=None)


def is_colder(source: str, target: str) -> bool:
    """Whether lifecycle rules move objects from one storage class to the other."""
    return _COLDNESS[target] > _COLDNESS.get(source, 0) and (source, target) not in _NEVER


def _may_be_moved(rule: LifecycleRule, size: int, storage_class: str, minimum: str) -> bool:
    if size >= TRANSITION_BYTES_MIN or _conditions(rule)[0].has_sizes:
        return True
    return minimum != MINIMUM_SIZES[0] and storage_class in _TAKES_SMALL


def _transitions(
    rule: LifecycleRule, version: ObjectVersion, standing: Standing, calendar: Calendar
) -> Iterator[Verdict]:
    """Every transition of a rule for a version with this standing, due or not."""
    rule_id = rule.id or ""
    since_ms = standing.noncurrent_since_ms
    if since_ms is not None:
        for past in rule.noncurrent_version_transitions:
            kept = past.newer_noncurrent_versions or 0
            if past.noncurrent_days is None or past.storage_class is None or standing.newer_noncurrent < kept:
                continue
            due_ms = calendar.after(since_ms, past.noncurrent_days)
            yield Verdict(Action.TRANSITION_NONCURRENT, due_ms, rule_id, kept, past.storage_class)
        return
    for transition in rule.transitions:
        if transition.storage_class is None:
            continue
        if transition.days is not None:
            due_ms = calendar.after(version.modified_ms, transition.days)
        elif transition.date is not None:
            due_ms = transition.date
        else:
            continue
        yield Verdict(Action.TRANSITION, due_ms, rule_id, storage_class=transition.storage_class)


def judge_upload(
    rules: Iterable[LifecycleRule], key: str, initiated_ms: int, calendar: Calendar
) -> Verdict | None:
    """When an upload of `key` that began at `initiated_ms` is given up; None for never."""
    verdicts = [
        Verdict(
            Action.ABORT,
            calendar.after(initiated_ms, rule.abort_incomplete_multipart_upload.days_after_initiation),
            rule.id or "",
        )
        for rule in rules
        if rule.abort_incomplete_multipart_upload is not None
        and rule.abort_incomplete_multipart_upload.days_after_initiation is not None
        and concerns(rule, key, 0, NO_TAGS, is_delete_marker=True)
    ]
    return min(verdicts, key=lambda verdict: verdict.due_ms, default=None)


def prefixes(rules: Iterable[LifecycleRule]) -> list[str]:
    """The fewest prefixes that cover all keys the rules can concern, in the order of their bytes."""
    found: list[str] = []
    for prefix in sorted({_conditions(rule)[0].prefix for rule in rules}, key=str.encode):
        if not found or not prefix.startswith(found[-1]):
            found.append(prefix)
    return found


def expiration_header(document: LifecycleConfiguration | None, version: ObjectVersion) -> dict[str, str]:
    """`x-amz-expiration` of a version, in real days; nothing where it is not to expire."""
    if document is None or not version.is_latest or version.is_delete_marker:
        return {}
    verdict = judge(document.rules, version, LATEST, REAL_DAYS)
    if verdict is None:
        return {}
    rule_id = quote(verdict.rule_id, safe="")
    return {"x-amz-expiration": f'expiry-date="{http_date(verdict.due_ms)}", rule-id="{rule_id}"'}


def abort_headers(document: LifecycleConfiguration | None, key: str, initiated_ms: int) -> dict[str, str]:
    """`x-amz-abort-date` and `x-amz-abort-rule-id` of an upload, in real days."""
    if document is None:
        return {}
    verdict = judge_upload(document.rules, key, initiated_ms, REAL_DAYS)
    if verdict is None:
        return {}
    return {
        "x-amz-abort-date": http_date(verdict.due_ms),
        "x-amz-abort-rule-id": quote(verdict.rule_id, safe=""),
    }
