"""Timestamps in DuckDB's SQL: structs of a moment in UTC `t`, an offset in minutes `o` and a precision `p`.

Precision: 1 year, 2 month, 3 day, 4 minute, 5 second, more: as many digits of the second's fraction and 5.
"""

from typing import Final

from objstore.s3 import errors
from objstore.select.typed import failure

_SHOWN_OFFSET: Final = (
    "CASE WHEN x.o = 0 THEN 'Z' ELSE CASE WHEN x.o < 0 THEN '-' ELSE '+' END || "
    "lpad((abs(x.o) // 60)::VARCHAR, 2, '0') || ':' || lpad((abs(x.o) % 60)::VARCHAR, 2, '0') END"
)
_ISO: Final = (
    r"'^(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
    r"(?:T(?:(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?)?$'"
)
_REFUSED: Final = failure(errors.ValueParseFailure, "TIMESTAMP")
_MOMENT: Final = (
    "TRY_CAST(x.y || '-' || CASE x.m WHEN '' THEN '01' ELSE x.m END || '-' "
    "|| CASE x.d WHEN '' THEN '01' ELSE x.d END || ' ' "
    "|| CASE x.h WHEN '' THEN '00:00' ELSE x.h || ':' || x.i END || ':' "
    "|| CASE x.s WHEN '' THEN '00' ELSE x.s END || '.' "
    "|| CASE x.f WHEN '' THEN '0' ELSE left(x.f, 6) END AS TIMESTAMP)"
)
_OFFSET_READ: Final = (
    "CASE WHEN x.z IN ('', 'Z') THEN 0 ELSE (CASE WHEN x.z[1] = '-' THEN -1 ELSE 1 END) "
    "* (x.z[2:3]::INTEGER * 60 + x.z[5:6]::INTEGER) END"
)
_PRECISION_READ: Final = (
    "CASE WHEN x.f <> '' THEN 5 + length(x.f) WHEN x.s <> '' THEN 5 WHEN x.h <> '' THEN 4 "
    "WHEN x.d <> '' THEN 3 WHEN x.m <> '' THEN 2 ELSE 1 END"
)

MACROS: Final = (
    # A timestamp from text, as the W3C note and Ion write it; NULL stays, all else that is none is refused.
    f"""
    CREATE MACRO s3_parse_timestamp(s) AS list_transform([s], lambda v:
      CASE WHEN v IS NULL THEN NULL
      WHEN NOT regexp_matches(v, {_ISO}) THEN {{'t': {_REFUSED}, 'o': 0, 'p': 0}}
      ELSE list_transform([regexp_extract(v, {_ISO}, ['y','m','d','h','i','s','f','z'])], lambda x:
        list_transform([{_OFFSET_READ}], lambda o:
          {{'t': coalesce({_MOMENT}, {_REFUSED}) - to_minutes(o), 'o': o, 'p': {_PRECISION_READ}}}
        )[1])[1] END)[1]
    """,
    # As precisely as it was given.
    f"""
    CREATE MACRO s3_show_timestamp(s) AS list_transform([s], lambda x:
      CASE WHEN x IS NULL THEN NULL ELSE list_transform([x.t + to_minutes(x.o)], lambda l:
        CASE x.p WHEN 1 THEN strftime(l, '%YT') WHEN 2 THEN strftime(l, '%Y-%mT')
        WHEN 3 THEN strftime(l, '%Y-%m-%d')
        WHEN 4 THEN strftime(l, '%Y-%m-%dT%H:%M') || {_SHOWN_OFFSET}
        WHEN 5 THEN strftime(l, '%Y-%m-%dT%H:%M:%S') || {_SHOWN_OFFSET}
        ELSE strftime(l, '%Y-%m-%dT%H:%M:%S') || '.'
          || left(rpad(strftime(l, '%f'), 9, '0'), x.p::INTEGER - 5) || {_SHOWN_OFFSET} END
      )[1] END)[1]
    """,
)
"""What the engine is taught before it is locked."""

_LOCAL: Final = "(@.t + to_minutes(@.o))"
_OFFSET: Final = "abs(@.o)"
_SIGN: Final = "CASE WHEN @.o < 0 THEN '-' ELSE '+' END"
_HOURS: Final = f"lpad(({_OFFSET} // 60)::VARCHAR, 2, '0')"
_MINUTES: Final = f"lpad(({_OFFSET} % 60)::VARCHAR, 2, '0')"
_HOUR_12: Final = f"((extract(hour FROM {_LOCAL}) + 11) % 12 + 1)::VARCHAR"


def _part(part: str, width: int = 0) -> str:
    text = f"CAST(extract({part} FROM {_LOCAL}) AS BIGINT)::VARCHAR"
    return f"lpad({text}, {width}, '0')" if width else text


FORMATS: Final = {
    "yy": f"right({_part('year', 4)}, 2)",
    "y": _part("year"),
    "yyyy": _part("year", 4),
    "M": _part("month"),
    "MM": _part("month", 2),
    "MMM": f"strftime({_LOCAL}, '%b')",
    "MMMM": f"strftime({_LOCAL}, '%B')",
    "MMMMM": f"left(strftime({_LOCAL}, '%b'), 1)",
    "d": _part("day"),
    "dd": _part("day", 2),
    "a": f"CASE WHEN extract(hour FROM {_LOCAL}) < 12 THEN 'AM' ELSE 'PM' END",
    "h": _HOUR_12,
    "hh": f"lpad({_HOUR_12}, 2, '0')",
    "H": _part("hour"),
    "HH": _part("hour", 2),
    "m": _part("minute"),
    "mm": _part("minute", 2),
    "s": _part("second"),
    "ss": _part("second", 2),
    **{"S" * digits: f"left(rpad(strftime({_LOCAL}, '%f'), 9, '0'), {digits})" for digits in range(1, 10)},
    "n": f"((extract(microsecond FROM {_LOCAL}) % 1000000) * 1000)::VARCHAR",
    "X": f"CASE WHEN @.o = 0 THEN 'Z' ELSE {_SIGN} || {_HOURS} END",
    "XX": f"CASE WHEN @.o = 0 THEN 'Z' ELSE {_SIGN} || {_HOURS} || {_MINUTES} END",
    "XXXX": f"CASE WHEN @.o = 0 THEN 'Z' ELSE {_SIGN} || {_HOURS} || {_MINUTES} END",
    "XXX": f"CASE WHEN @.o = 0 THEN 'Z' ELSE {_SIGN} || {_HOURS} || ':' || {_MINUTES} END",
    "XXXXX": f"CASE WHEN @.o = 0 THEN 'Z' ELSE {_SIGN} || {_HOURS} || ':' || {_MINUTES} END",
    "x": f"{_SIGN} || {_HOURS}",
    "xx": f"{_SIGN} || {_HOURS} || {_MINUTES}",
    "xxxx": f"{_SIGN} || {_HOURS} || {_MINUTES}",
    "xxx": f"{_SIGN} || {_HOURS} || ':' || {_MINUTES}",
    "xxxxx": f"{_SIGN} || {_HOURS} || ':' || {_MINUTES}",
}
"""The symbols of a format pattern; `@` stands for the timestamp."""


def format_pieces(pattern: str) -> list[tuple[bool, str]]:
    """A format pattern as (is it text, text or symbol).

    Raises EvaluatorUnterminatedTimestampFormatPatternToken, EvaluatorInvalidTimestampFormatPatternSymbol,
    EvaluatorTimestampFormatPatternHourClockAmPmMismatch.
    """
    pieces: list[tuple[bool, str]] = []
    offset = 0
    while offset < len(pattern):
        character = pattern[offset]
        if character == "'":
            end = pattern.find("'", offset + 1)
            if end < 0:
                raise errors.EvaluatorUnterminatedTimestampFormatPatternToken
            pieces.append((True, pattern[offset + 1 : end] or "'"))
            offset = end + 1
        elif character.isascii() and character.isalpha():
            end = offset
            while end < len(pattern) and pattern[end] == character:
                end += 1
            symbol = pattern[offset:end]
            if symbol not in FORMATS:
                raise errors.EvaluatorInvalidTimestampFormatPatternSymbol
            pieces.append((False, symbol))
            offset = end
        else:
            pieces.append((True, character))
            offset += 1
    symbols = {piece[0] for is_text, piece in pieces if not is_text}
    if ("h" in symbols) != ("a" in symbols) and ("h" in symbols or "H" in symbols):
        raise errors.EvaluatorTimestampFormatPatternHourClockAmPmMismatch
    return pieces
