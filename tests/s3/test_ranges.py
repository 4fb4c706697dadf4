"""Range headers: which bytes, none, or 416."""

import pytest

from objstore.s3.errors import InvalidArgument, InvalidRange, InvalidRequest
from objstore.s3.ranges import Range, parse_copy_range, parse_range


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        (None, 10, None),
        ("", 10, None),
        ("bytes=0-0", 10, Range(0, 1)),
        ("bytes=0-9", 10, Range(0, 10)),
        ("bytes=2-5", 10, Range(2, 4)),
        ("bytes=9-9", 10, Range(9, 1)),
        ("bytes=5-100", 10, Range(5, 5)),
        ("bytes=10-", 10, InvalidRange),
        ("bytes=10-20", 10, InvalidRange),
        ("bytes=3-", 10, Range(3, 7)),
        ("bytes=-3", 10, Range(7, 3)),
        ("bytes=-30", 10, Range(0, 10)),
        ("bytes=-0", 10, InvalidRange),
        ("bytes=0-", 0, InvalidRange),
        ("bytes=0-0", 0, InvalidRange),
        ("bytes=-1", 0, None),
        ("bytes=-0", 0, InvalidRange),
        ("Bytes=1-2", 10, Range(1, 2)),
        ("bytes= 1-2", 10, None),
        ("bytes=1-2 ", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=-", 10, None),
        ("bytes=", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1-2,4-5", 10, None),
        ("bytes=1-2;4", 10, None),
        ("bytes 1-2", 10, None),
        ("items=1-2", 10, None),
        ("bytes=--1", 10, None),
        ("bytes=1--1", 10, None),
        ("bytes=٣-٤", 10, None),
        ("bytes=0-18446744073709551616", 10, Range(0, 10)),
        ("bytes=18446744073709551616-", 10, InvalidRange),
        ("bytes=-18446744073709551616", 10, Range(0, 10)),
        ("bytes=" + "0" * 6000 + "1-" + "9" * 6000, 10, Range(1, 9)),
        ("bytes=" + "9" * 6000 + "-", 10, InvalidRange),
    ],
)
def test_the_bytes_a_range_asks_for(header, size, expected):
    if expected is InvalidRange:
        with pytest.raises(InvalidRange) as caught:
            parse_range(header, size)
        assert caught.value.status == 416
        assert caught.value.elements["ActualObjectSize"] == str(size)
    else:
        assert parse_range(header, size) == expected


def test_content_range_names_the_last_byte():
    assert Range(2, 4).content_range(10) == "bytes 2-5/10"
    assert Range(2, 4).end == 6


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-9", 10, Range(0, 10)),
        ("bytes=3-3", 10, Range(3, 1)),
        ("bytes=0-10", 10, None),
        ("bytes=5-4", 10, None),
        ("bytes=5-", 10, None),
        ("bytes=-5", 10, None),
        ("0-5", 10, None),
        ("bytes=0-1,3-4", 10, None),
    ],
)
def test_a_copy_range_names_two_bytes_that_exist(header, size, expected):
    if expected is None:
        with pytest.raises(InvalidArgument):
            parse_copy_range(header, size)
    else:
        assert parse_copy_range(header, size) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=0-0", 0), ("bytes=10-20", 10)])
def test_a_copy_range_past_the_end_is_invalid_itself(header, size):
    with pytest.raises(InvalidRequest):
        parse_copy_range(header, size)
