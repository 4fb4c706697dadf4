"""The preconditions that several commands share."""

from dataclasses import dataclass

from objstore.meta.interface import ConditionFailed, KeyMissing


@dataclass(frozen=True, slots=True)
class WriteConditions:
    """Preconditions of PUT, Complete and DELETE, judged against the key's current live version.

    A current delete marker counts as absence. ETags may be quoted; `*` stands for any.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_match_modified_ms: int | None = None
    """Compared in whole seconds; of DELETE only; an absent object satisfies it."""
    if_match_size: int | None = None
    """Of DELETE only; an absent object satisfies it."""


def etag_matches(condition: str, etag: str) -> bool:
    """Whether an If-Match value (`*`, or ETags, quoted or bare, with commas between) names this ETag.

    Strong comparison (RFC 9110 section 8.8.3.2): a weak tag matches nothing.
    """
    if condition.strip() == "*":
        return True
    return any(tag.strip().removeprefix('"').removesuffix('"') == etag for tag in condition.split(","))


def check_conditions(conditions: WriteConditions, key: str, current: tuple[str, int, int] | None) -> None:
    """Judge `conditions` against the current live version's (ETag, modified_ms, size), None for absence.

    Raises KeyMissing for If-Match of an absent object (S3 answers 404 there, to PUT and DELETE alike),
    else ConditionFailed.
    """
    if current is None:
        if conditions.if_match is not None:
            raise KeyMissing(key=key)
        return
    etag, modified_ms, size = current
    if conditions.if_match is not None and not etag_matches(conditions.if_match, etag):
        raise ConditionFailed(condition="If-Match", key=key)
    if conditions.if_none_match is not None and etag_matches(conditions.if_none_match, etag):
        raise ConditionFailed(condition="If-None-Match", key=key)
    wanted_ms = conditions.if_match_modified_ms
    if wanted_ms is not None and wanted_ms // 1000 != modified_ms // 1000:
        raise ConditionFailed(condition="x-amz-if-match-last-modified-time", key=key)
    if conditions.if_match_size is not None and conditions.if_match_size != size:
        raise ConditionFailed(condition="x-amz-if-match-size", key=key)
