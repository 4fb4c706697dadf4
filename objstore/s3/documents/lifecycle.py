"""Lifecycle rules of a bucket: what expires or moves to another storage class, and when.

What may be asked for is decided by `checked`; what the rules mean for one version, by `s3/expiry.py`.
"""

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

from objstore.s3.documents.tagging import Tag
from objstore.s3.errors import InvalidArgument, InvalidRequest, InvalidTag, MalformedXML
from objstore.s3.xml import Instant, document, element, write_instant

RULES_MAX: Final = 1000
ID_CHARACTERS_MAX: Final = 255
PREFIX_BYTES_MAX: Final = 1024
NEWER_VERSIONS_MAX: Final = 100
TAG_KEY_CHARACTERS_MAX: Final = 128
TAG_VALUE_CHARACTERS_MAX: Final = 256
INFREQUENT_DAYS_MIN: Final = 30
"""S3 moves nothing to its infrequent-access classes before this age."""
DAYS_MAX: Final = 2**31 - 1
"""More is no number of S3's schema."""
DAY_MS: Final = 86_400_000

MINIMUM_SIZES: Final = ("all_storage_classes_128K", "varies_by_storage_class")
"""What x-amz-transition-default-minimum-object-size may say; the first is the default."""

TransitionStorageClass = Literal[
    "GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE", "GLACIER_IR"
]


@document
class Expiration:
    date: Instant | None = None
    days: int | None = None
    expired_object_delete_marker: bool | None = None


@document
class And:
    """All of these at once."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = element("Tag", default=())
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None


@document
class Filter:
    """What a rule is for: one of these, or everything when empty."""

    prefix: str | None = None
    tag: Tag | None = None
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None
    and_: And | None = element("And", default=None)


@document
class Transition:
    date: Instant | None = None
    days: int | None = None
    storage_class: TransitionStorageClass | None = None


@document
class NoncurrentVersionTransition:
    noncurrent_days: int | None = None
    storage_class: TransitionStorageClass | None = None
    newer_noncurrent_versions: int | None = None


@document
class NoncurrentVersionExpiration:
    noncurrent_days: int | None = None
    newer_noncurrent_versions: int | None = None


@document
class AbortIncompleteMultipartUpload:
    days_after_initiation: int | None = None


@document("Rule")
class LifecycleRule:
    """`prefix` is the older form of `filter`."""

    id: str | None = element("ID", default=None)
    prefix: str | None = None
    filter: Filter | None = None
    status: Literal["Enabled", "Disabled"]
    expiration: Expiration | None = None
    transitions: tuple[Transition, ...] = element("Transition", default=())
    noncurrent_version_transitions: tuple[NoncurrentVersionTransition, ...] = element(
        "NoncurrentVersionTransition", default=()
    )
    noncurrent_version_expiration: NoncurrentVersionExpiration | None = None
    abort_incomplete_multipart_upload: AbortIncompleteMultipartUpload | None = None


@document
class LifecycleConfiguration:
    """`transition_default_minimum_object_size` goes in and out as a header; it is kept in the document."""

    rules: tuple[LifecycleRule, ...] = element("Rule")
    transition_default_minimum_object_size: str | None = None


def checked(document: LifecycleConfiguration) -> LifecycleConfiguration:
    """`document` with an id for every rule, if S3 would take it.

    Raises MalformedXML, InvalidArgument, InvalidRequest, InvalidTag.
    """
    if not 1 <= len(document.rules) <= RULES_MAX:
        raise MalformedXML
    if document.transition_default_minimum_object_size is not None:
        raise MalformedXML  # a header says it, never the document
    for rule in document.rules:
        _check_rule(rule)
    ids = [rule.id for rule in document.rules if rule.id]
    if len(set(ids)) < len(ids):
        raise _invalid("ID", "Rule ID must be unique. Found same ID for more than one rule")
    if len({rule.filter is None for rule in document.rules}) > 1:
        raise InvalidRequest("Filter element can only be used in Lifecycle V2.")
    rules = tuple(rule if rule.id else replace(rule, id=_new_id()) for rule in document.rules)
    return replace(document, rules=rules)


def _new_id() -> str:
    return base64.urlsafe_b64encode(os.urandom(36)).decode()


def _invalid(name: str, message: str) -> InvalidArgument:
    return InvalidArgument(message, ArgumentName=name)


def _check_rule(rule: LifecycleRule) -> None:
    if rule.id is not None and len(rule.id) > ID_CHARACTERS_MAX:
        raise _invalid("ID", f"ID length should not exceed allowed limit of {ID_CHARACTERS_MAX}")
    if (rule.filter is None) == (rule.prefix is None):
        raise MalformedXML
    _check_filter(rule)
    actions = (
        rule.expiration,
        rule.transitions,
        rule.noncurrent_version_transitions,
        rule.noncurrent_version_expiration,
        rule.abort_incomplete_multipart_upload,
    )
    if not any(actions):
        raise InvalidRequest("At least one action needs to be specified in a rule")
    _check_expiration(rule)
    _check_noncurrent_expiration(rule)
    _check_abort(rule)
    _check_transitions(rule)


def _check_filter(rule: LifecycleRule) -> None:
    chosen = rule.filter
    if chosen is not None:
        predicates = (
            chosen.prefix,
            chosen.tag,
            chosen.object_size_greater_than,
            chosen.object_size_less_than,
            chosen.and_,
        )
        if sum(predicate is not None for predicate in predicates) > 1:
            raise MalformedXML
        if chosen.and_ == And():
            raise MalformedXML
    conditions = conditions_of(rule)
    if len(conditions.prefix.encode()) > PREFIX_BYTES_MAX:
        raise InvalidRequest(f"The maximum size of a prefix is {PREFIX_BYTES_MAX}.")
    keys = [tag.key for tag in conditions.tags]
    if len(set(keys)) < len(keys):
        raise InvalidRequest("Duplicate Tag Keys are not allowed.")
    for tag in conditions.tags:
        if not 1 <= len(tag.key) <= TAG_KEY_CHARACTERS_MAX:
            raise InvalidTag("The TagKey you have provided is invalid", TagKey=tag.key)
        if len(tag.value) > TAG_VALUE_CHARACTERS_MAX:
            raise InvalidTag("The TagValue you have provided is invalid", TagKey=tag.key)
    above, below = conditions.object_size_greater_than, conditions.object_size_less_than
    if above is not None and above < 0:
        raise InvalidRequest("'ObjectSizeGreaterThan' must be a non-negative integer")
    if below is not None and below < 1:
        raise InvalidRequest("'ObjectSizeLessThan' must be a positive integer")
    if above is not None and below is not None and below <= above:
        raise InvalidRequest("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'")


def conditions_of(rule: LifecycleRule) -> "Conditions":
    """All that a rule's filter, in whichever of its forms, asks of an object."""
    chosen = rule.filter
    if chosen is None:
        return Conditions(prefix=rule.prefix or "")
    if chosen.and_ is not None:
        both = chosen.and_
        return Conditions(
            prefix=both.prefix or "",
            tags=both.tags,
            object_size_greater_than=both.object_size_greater_than,
            object_size_less_than=both.object_size_less_than,
        )
    return Conditions(
        prefix=chosen.prefix or "",
        tags=() if chosen.tag is None else (chosen.tag,),
        object_size_greater_than=chosen.object_size_greater_than,
        object_size_less_than=chosen.object_size_less_than,
    )


@document
class Conditions:
    """What a rule asks of an object: all of these at once. Not an element of S3's."""

    prefix: str = ""
    tags: tuple[Tag, ...] = element("Tag", default=())
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None

    @property
    def has_sizes(self) -> bool:
        """Whether sizes are asked about."""
        return self.object_size_greater_than is not None or self.object_size_less_than is not None


def _check_date(date_ms: int) -> None:
    if date_ms % DAY_MS:
        error = _invalid("Date", "'Date' must be at midnight GMT")
        error.elements["ArgumentValue"] = write_instant(date_ms)
        raise error


def _positive(value: int, name: str, action: str) -> None:
    if value > DAYS_MAX:
        raise MalformedXML
    if value < 1:
        raise _invalid(name, f"'{name}' for {action} action must be a positive integer")


def _check_expiration(rule: LifecycleRule) -> None:
    expiration = rule.expiration
    if expiration is None:
        return
    given = (expiration.date, expiration.days, expiration.expired_object_delete_marker)
    if sum(value is not None for value in given) != 1:
        raise MalformedXML
    if expiration.days is not None:
        _positive(expiration.days, "Days", "Expiration")
    if expiration.date is not None:
        _check_date(expiration.date)
    conditions = conditions_of(rule)
    if expiration.expired_object_delete_marker is not None and conditions.tags:
        raise InvalidRequest("ExpiredObjectDeleteMarker cannot be specified with Tags.")


def _check_noncurrent_expiration(rule: LifecycleRule) -> None:
    expiration = rule.noncurrent_version_expiration
    if expiration is None:
        return
    if expiration.noncurrent_days is None:
        raise MalformedXML
    _positive(expiration.noncurrent_days, "NoncurrentDays", "NoncurrentVersionExpiration")
    _check_newer(rule, expiration.newer_noncurrent_versions, "NoncurrentVersionExpiration")


def _check_newer(rule: LifecycleRule, newer: int | None, action: str) -> None:
    if newer is None:
        return
    if rule.filter is None:
        raise InvalidRequest("NewerNoncurrentVersions element can only be used in Lifecycle V2.")
    _positive(newer, "NewerNoncurrentVersions", action)
    if newer > NEWER_VERSIONS_MAX:
        raise _invalid(
            "NewerNoncurrentVersions",
            f"'NewerNoncurrentVersions' for {action} action must be at most {NEWER_VERSIONS_MAX}",
        )


def _check_abort(rule: LifecycleRule) -> None:
    abort = rule.abort_incomplete_multipart_upload
    if abort is None:
        return
    if abort.days_after_initiation is None:
        raise MalformedXML
    _positive(abort.days_after_initiation, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
    conditions = conditions_of(rule)
    if conditions.tags:
        raise InvalidRequest("AbortIncompleteMultipartUpload cannot be specified with Tags.")
    if conditions.has_sizes:
        raise InvalidRequest("AbortIncompleteMultipartUpload cannot be specified with Object Size.")


def _check_transitions(rule: LifecycleRule) -> None:
    for transition in rule.transitions:
        if (transition.date is None) == (transition.days is None) or transition.storage_class is None:
            raise MalformedXML
        if transition.date is not None:
            _check_date(transition.date)
        if transition.days is not None:
            _check_days(transition.days, transition.storage_class, "Days", "Transition")
    for past in rule.noncurrent_version_transitions:
        if past.noncurrent_days is None or past.storage_class is None:
            raise MalformedXML
        _check_days(past.noncurrent_days, past.storage_class, "NoncurrentDays", "NoncurrentVersionTransition")
        _check_newer(rule, past.newer_noncurrent_versions, "NoncurrentVersionTransition")
    _check_classes([str(transition.storage_class) for transition in rule.transitions])
    _check_classes([str(past.storage_class) for past in rule.noncurrent_version_transitions])
    _check_order(rule)


def _check_classes(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise InvalidRequest("'StorageClass' must be different for the 'Transition' actions of one rule.")


def _check_days(days: int, storage_class: str, name: str, action: str) -> None:
    if days > DAYS_MAX:
        raise MalformedXML
    if days < 0:
        raise _invalid(name, f"'{name}' in {action} action must be nonnegative")
    if storage_class in ("STANDARD_IA", "ONEZONE_IA") and days < INFREQUENT_DAYS_MIN:
        raise _invalid(
            name,
            f"'{name}' in {action} action must be greater than or equal to {INFREQUENT_DAYS_MIN} for "
            f"storageClass '{storage_class}'",
        )


def _check_order(rule: LifecycleRule) -> None:
    """Expiry comes after every move, and both are told in days or both by date."""
    past = rule.noncurrent_version_expiration
    if past is not None and past.noncurrent_days is not None:
        moves = _given(move.noncurrent_days for move in rule.noncurrent_version_transitions)
        if any(move >= past.noncurrent_days for move in moves):
            raise _invalid(
                "NoncurrentDays",
                "'NoncurrentDays' in the NoncurrentVersionExpiration action for prefix "
                f"'{conditions_of(rule).prefix}' must be greater than 'NoncurrentDays' in the "
                "NoncurrentVersionTransition action",
            )
    expiration = rule.expiration
    timed = [*rule.transitions]
    if expiration is not None and (expiration.days, expiration.date) != (None, None):
        timed.append(Transition(days=expiration.days, date=expiration.date))
    if len({one.days is None for one in timed}) > 1:
        raise InvalidRequest(
            "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for "
            f"prefix '{conditions_of(rule).prefix}'"
        )
    if expiration is None:
        return
    for name, latest, moves in (
        ("Days", expiration.days, _given(one.days for one in rule.transitions)),
        ("Date", expiration.date, _given(one.date for one in rule.transitions)),
    ):
        if latest is not None and any(move >= latest for move in moves):
            raise _invalid(
                name,
                f"'{name}' in the Expiration action for prefix '{conditions_of(rule).prefix}' must be "
                f"greater than '{name}' in the Transition action",
            )


def _given(values: Iterator[int | None]) -> list[int]:
    return [value for value in values if value is not None]
