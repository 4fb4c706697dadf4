"""Preconditions in the order of RFC 9110, as S3 answers them."""

import pytest

from objstore.s3.conditions import (
    COPY_SOURCE_PREFIX,
    Conditions,
    Outcome,
    WritePreconditions,
    etag_matches,
    parse_conditions,
    parse_http_date,
    parse_write_conditions,
)
from objstore.s3.errors import PreconditionFailed, S3Error

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
SAME, OTHER = f'"{ETAG}"', '"other"'
MODIFIED_MS = 1_445_412_480_500  # Wed, 21 Oct 2015 07:28:00.5 GMT
BEFORE, AT, AFTER = (f"Wed, 21 Oct 2015 07:{minute}:00 GMT" for minute in (27, 28, 29))
NOW_S = MODIFIED_MS // 1000 + 3600

GO, NOT_MODIFIED = Outcome.PROCEED, Outcome.NOT_MODIFIED
MATCH, NONE_MATCH = "if-match", "if-none-match"
SINCE, NOT_SINCE = "if-modified-since", "if-unmodified-since"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, GO),
        ({MATCH: SAME}, GO),
        ({MATCH: ETAG}, GO),
        ({MATCH: "*"}, GO),
        ({MATCH: f"{OTHER}, {SAME}"}, GO),
        ({MATCH: OTHER}, "If-Match"),
        ({MATCH: f'W/"{ETAG}"'}, "If-Match"),
        ({NOT_SINCE: AFTER}, GO),
        ({NOT_SINCE: AT}, GO),  # whole seconds
        ({NOT_SINCE: BEFORE}, "If-Unmodified-Since"),
        ({MATCH: SAME, NOT_SINCE: BEFORE}, GO),
        ({MATCH: OTHER, NOT_SINCE: AFTER}, "If-Match"),
        ({NONE_MATCH: OTHER}, GO),
        ({NONE_MATCH: SAME}, NOT_MODIFIED),
        ({NONE_MATCH: "*"}, NOT_MODIFIED),
        ({NONE_MATCH: f'W/"{ETAG}"'}, NOT_MODIFIED),
        ({SINCE: BEFORE}, GO),
        ({SINCE: AT}, NOT_MODIFIED),
        ({SINCE: AFTER}, NOT_MODIFIED),
        ({NONE_MATCH: OTHER, SINCE: AFTER}, GO),
        ({NONE_MATCH: SAME, SINCE: BEFORE}, NOT_MODIFIED),
        ({MATCH: OTHER, NONE_MATCH: SAME}, "If-Match"),
        ({MATCH: SAME, NONE_MATCH: SAME}, NOT_MODIFIED),
        ({NOT_SINCE: BEFORE, NONE_MATCH: SAME}, "If-Unmodified-Since"),
        ({SINCE: "yesterday"}, GO),
        ({NOT_SINCE: "yesterday"}, GO),
        ({SINCE: "Thu, 22 Oct 2099 07:28:00 GMT"}, GO),  # later than now: no date at all
    ],
)
def test_what_conditions_come_to(headers, expected):
    conditions = parse_conditions(headers, NOW_S)
    assert bool(conditions) == any(
        value is not None
        for value in (
            conditions.if_match,
            conditions.if_none_match,
            conditions.if_modified_since_s,
            conditions.if_unmodified_since_s,
        )
    )
    if isinstance(expected, Outcome):
        assert conditions.evaluate(ETAG, MODIFIED_MS) is expected
    else:
        with pytest.raises(PreconditionFailed) as caught:
            conditions.evaluate(ETAG, MODIFIED_MS)
        assert caught.value.elements["Condition"] == expected


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        (NONE_MATCH, SAME, "x-amz-copy-source-If-None-Match"),
        (SINCE, AFTER, "x-amz-copy-source-If-Modified-Since"),
        (MATCH, OTHER, "x-amz-copy-source-If-Match"),
        (MATCH, SAME, None),
    ],
)
def test_a_copy_never_answers_not_modified(name, value, condition):
    conditions = parse_conditions(
        {COPY_SOURCE_PREFIX + name: value, NONE_MATCH: "*"}, NOW_S, COPY_SOURCE_PREFIX
    )
    if condition is None:
        conditions.require(ETAG, MODIFIED_MS)
    else:
        with pytest.raises(PreconditionFailed) as caught:
            conditions.require(ETAG, MODIFIED_MS)
        assert caught.value.elements["Condition"] == condition


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, WritePreconditions()),
        ({NONE_MATCH: "*"}, WritePreconditions(if_none_match="*")),
        ({MATCH: SAME}, WritePreconditions(if_match=SAME)),
        ({NONE_MATCH: SAME}, "NotImplemented"),
        ({NONE_MATCH: "*", MATCH: SAME}, "NotImplemented"),
        ({NONE_MATCH: ""}, "InvalidArgument"),
        ({MATCH: '""'}, "InvalidArgument"),
    ],
)
def test_the_conditions_of_a_write(headers, expected):
    if isinstance(expected, str):
        with pytest.raises(S3Error) as caught:
            parse_write_conditions(headers)
        assert caught.value.code == expected
    else:
        assert parse_write_conditions(headers) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 784111777),
        ("", None),
        ("0", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        (None, None),
    ],
)
def test_dates_in_all_three_forms(text, expected):
    assert parse_http_date(text) == expected


def test_an_etag_is_never_matched_by_a_part_of_it():
    assert not etag_matches(ETAG[:-1], ETAG)
    assert not etag_matches("", ETAG)
    assert Conditions() == parse_conditions({"range": "bytes=0-1"}, NOW_S)
