"""Range headers: which bytes of an object a request wants.

Source: RFC 9110 section 14; Amazon S3 answers one range and ignores a header it cannot read.
"""

import re
from dataclasses import dataclass
from typing import Final

from objstore.s3.errors import InvalidArgument, InvalidRange, InvalidRequest

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII | re.IGNORECASE)
_DIGITS_MAX: Final = 19
_BEYOND: Final = 10**_DIGITS_MAX
"""Larger than any object; stands for every number longer than that."""


@dataclass(frozen=True, slots=True)
class Range:
    """`length` bytes from `offset` on (0-based); never empty."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.offset + self.length

    def content_range(self, size: int) -> str:
        """The Content-Range header of an answer with these bytes of an object of `size` bytes."""
        return f"bytes {self.offset}-{self.end - 1}/{size}"


def parse_range(header: str | None, size: int) -> Range | None:
    """The bytes a Range header asks of an object of `size` bytes; None: all of it, answered with 200.

    None for no header, one that is malformed, one with several ranges, and the last bytes of an empty
    object, which are all of it. Raises InvalidRange when no byte of the range exists: beyond the end,
    and `bytes=-0`.
    """
    match = _RANGE.fullmatch(header) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if first:
        offset = _number(first)
        end = min(_number(last) + 1, size) if last else size
        if last and _number(last) < offset:
            return None
    elif last:
        if size == 0 and _number(last):
            return None
        offset, end = max(size - _number(last), 0), size
    else:
        return None
    if offset >= end:
        raise InvalidRange(RangeRequested=header, ActualObjectSize=size)
    return Range(offset, end - offset)


def parse_copy_range(header: str, size: int) -> Range:
    """The bytes x-amz-copy-source-range asks of a source of `size` bytes.

    Both ends must be given and exist: raises InvalidArgument otherwise, InvalidRequest where no byte of the
    range exists.
    """
    match = _RANGE.fullmatch(header)
    first, last = map(_number, match.groups()) if match is not None and all(match.groups()) else (1, 0)
    if first > last:
        raise InvalidArgument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            "the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    if first >= size:
        raise InvalidRequest("The specified copy range is invalid for the source object size")
    if last >= size:
        raise InvalidArgument(
            f"Range specified is not valid for source object of size: {size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    return Range(first, last - first + 1)


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS_MAX else _BEYOND
