"""Preconditions: the If-Match family on reads, copies and writes.

Evaluation order is RFC 9110 section 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else
If-Modified-Since. Dates compare in whole seconds. ETags are compared without quotes.
"""

from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

from objstore.s3 import errors
from objstore.s3.errors import InvalidArgument, PreconditionFailed

COPY_SOURCE_PREFIX: Final = "x-amz-copy-source-"


class Outcome(Enum):
    """What the conditions of a read come to."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one read. Dates are seconds since the epoch; None: not asked."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since_s: int | None = None
    if_unmodified_since_s: int | None = None

    def __bool__(self) -> bool:
        return self != _NONE

    def evaluate(self, etag: str, modified_ms: int) -> Outcome:
        """Judge an object by its ETag and time of change; raises PreconditionFailed naming the condition."""
        modified_s = modified_ms // 1000
        if self.if_match is not None:
            if not etag_matches(self.if_match, etag):
                raise PreconditionFailed(Condition="If-Match")
        elif self.if_unmodified_since_s is not None and modified_s > self.if_unmodified_since_s:
            raise PreconditionFailed(Condition="If-Unmodified-Since")
        if self.if_none_match is not None:
            is_same = etag_matches(self.if_none_match, etag, is_weak=True)
            return Outcome.NOT_MODIFIED if is_same else Outcome.PROCEED
        if self.if_modified_since_s is not None and modified_s <= self.if_modified_since_s:
            return Outcome.NOT_MODIFIED
        return Outcome.PROCEED

    def require(self, etag: str, modified_ms: int) -> None:
        """Judge a copy's source, for which "not modified" is a failure too; raises PreconditionFailed."""
        try:
            outcome = self.evaluate(etag, modified_ms)
        except PreconditionFailed as failed:
            raise PreconditionFailed(Condition=COPY_SOURCE_PREFIX + failed.elements["Condition"]) from None
        if outcome is Outcome.NOT_MODIFIED:
            name = "If-Modified-Since" if self.if_none_match is None else "If-None-Match"
            raise PreconditionFailed(Condition=COPY_SOURCE_PREFIX + name)


_NONE: Final = Conditions()


def parse_conditions(headers: Mapping[str, str], now_s: int, prefix: str = "") -> Conditions:
    """The conditions in request headers (lower-case names); `prefix` is COPY_SOURCE_PREFIX for a source.

    A date that cannot be read, or an If-Modified-Since later than `now_s`, counts as absent (RFC 9110
    section 13.1.3).
    """
    if not any(prefix + name in headers for name in _NAMES):
        return _NONE
    modified_since_s = parse_http_date(headers.get(prefix + "if-modified-since"))
    if modified_since_s is not None and modified_since_s > now_s:
        modified_since_s = None
    return Conditions(
        if_match=headers.get(prefix + "if-match"),
        if_none_match=headers.get(prefix + "if-none-match"),
        if_modified_since_s=modified_since_s,
        if_unmodified_since_s=parse_http_date(headers.get(prefix + "if-unmodified-since")),
    )


_NAMES: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


@dataclass(frozen=True, slots=True)
class WritePreconditions:
    """What a PUT, Complete or DELETE asks of the object it replaces; decided where the write is committed.

    `if_none_match` is `*` or None.
    """

    if_match: str | None = None
    if_none_match: str | None = None


def parse_write_conditions(headers: Mapping[str, str], *, is_delete: bool = False) -> WritePreconditions:
    """The conditions of a write (lower-case header names).

    Raises NotImplemented for an If-None-Match that is not `*`, for an If-Match that is (which S3 offers to
    deletes alone), or for both headers at once; InvalidArgument for an empty one.
    """
    if_match, if_none_match = headers.get("if-match"), headers.get("if-none-match")
    for name, value in (("If-Match", if_match), ("If-None-Match", if_none_match)):
        if value is not None and not value.strip(' \t"'):
            raise InvalidArgument(
                f"The {name} header must not be empty.", ArgumentName=name, ArgumentValue=""
            )
    if if_match is not None and if_none_match is not None:
        raise _not_offered(
            "If-Match,If-None-Match", "Multiple conditional request headers present in the request"
        )
    if if_none_match is not None and if_none_match.strip() != "*":
        raise _not_offered("If-None-Match")
    if if_match is not None and if_match.strip() == "*" and not is_delete:
        raise _not_offered("If-Match")
    return WritePreconditions(if_match, "*" if if_none_match is not None else None)


def _not_offered(header: str, why: str | None = None) -> errors.NotImplemented:
    why = why or f"We don't accept the provided value of {header} header for this API"
    return errors.NotImplemented(Header=header, additionalMessage=why)


def etag_matches(header: str, etag: str, *, is_weak: bool = False) -> bool:
    """Whether an If-Match or If-None-Match header names `etag` (unquoted); `*` names any.

    Tags may be quoted or bare, and several separated by commas. A tag marked weak counts for
    If-None-Match alone (RFC 9110 section 8.8.3.2): proxies that compress mark tags so.
    """
    tags = [tag.strip(" \t") for tag in header.split(",")]
    return any(
        tag == "*" or (unquoted(tag) == etag and (is_weak or not tag.startswith("W/"))) for tag in tags
    )


def unquoted(etag: str) -> str:
    """An ETag as clients write it (quoted, bare or marked weak), without the marks."""
    return etag.strip(" \t").removeprefix("W/").strip('"')


def parse_http_date(text: str | None) -> int | None:
    """Seconds since the epoch of a date in any form RFC 9110 section 5.6.7 allows; None if it is none."""
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return timegm(at.utctimetuple())
