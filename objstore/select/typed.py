"""What the translator's expressions are, the shapes they read and write, and its smallest templates."""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from objstore.s3 import errors

SQL_CHARACTERS_MAX: Final = 1024 * 1024
"""The longest statement made; what would be longer is too complex."""
FAILURE: Final = "objstore-select:"
"""Begins the message of an error that a row brings about; the S3 error's code follows."""
COLUMNS_MAX: Final = 10_000


class Kind(Enum):
    """What is known of an expression's values before a row is there."""

    TEXT = "text"
    JSON = "json"
    STRING = "string"
    INT = "int"
    DECIMAL = "decimal"
    DOUBLE = "double"
    NUMBER = "number"
    """A double that came from text or JSON, or out of a division: shown without `.0`."""
    BOOL = "bool"
    TIMESTAMP = "timestamp"
    NULL = "null"


NUMERIC: Final = frozenset({Kind.INT, Kind.DECIMAL, Kind.DOUBLE, Kind.NUMBER})
STRINGS: Final = frozenset({Kind.TEXT, Kind.STRING})


class Typed(NamedTuple):
    """One expression in DuckDB's SQL. `is_leaf`: short, so that it may be written several times."""

    sql: str
    kind: Kind
    is_leaf: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """What a row is: a list of CSV fields `r`, one JSON value `r`, or Parquet's columns `c0`, `c1`, …

    `names`: of the CSV header, where it may be used, or of Parquet's columns, whose kinds are `kinds`.
    """

    format: str
    names: tuple[str, ...] | None = None
    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class CsvOutput:
    """How result records are written as CSV."""

    field_delimiter: str = ","
    record_delimiter: str = "\n"
    quote: str = '"'
    escape: str = '"'
    always_quotes: bool = False


@dataclass(frozen=True, slots=True)
class JsonOutput:
    """How result records are written as JSON."""

    record_delimiter: str = "\n"


@dataclass(frozen=True, slots=True)
class Statements:
    """What to run.

    Without aggregates: `rows` once for each portion of the input, giving one text a record. With them,
    `rows` gives one row of partial results a portion, to be gathered in the table `partials`, and `final` the
    one record.
    """

    rows: str
    final: str | None
    limit: int | None


def literal(text: str) -> str:
    """A string literal of DuckDB's: nothing but a quote is special in it."""
    if "\0" in text:
        raise errors.InvalidTextEncoding
    return "'" + text.replace("'", "''") + "'"


def failure(error: type[errors.S3Error], as_type: str) -> str:
    """An expression that raises `error` for the row it is evaluated for."""
    return f"CAST(error({literal(FAILURE + error.code)}) AS {as_type})"


def checked(sql: str) -> str:
    if len(sql) > SQL_CHARACTERS_MAX:
        raise errors.MaxOperatorsExceeded
    return sql


def of_type(value: str, type_: str, sql: str, otherwise: str) -> str:
    """`sql` where a JSON value is of this type."""
    return f"CASE json_type({value}) WHEN '{type_}' THEN {sql} ELSE {otherwise} END"


def json_compare(operator: str, left: str, right: str) -> str:
    """Two JSON values, NULL where they are not of one type."""
    integers = "('BIGINT', 'UBIGINT')"
    numbers = "('BIGINT', 'UBIGINT', 'DOUBLE')"
    return (
        f"CASE WHEN json_type({left}) IN {integers} AND json_type({right}) IN {integers} "
        f"THEN CAST({left} AS HUGEINT) {operator} CAST({right} AS HUGEINT) "
        f"WHEN json_type({left}) IN {numbers} AND json_type({right}) IN {numbers} "
        f"THEN CAST({left} AS DOUBLE) {operator} CAST({right} AS DOUBLE) "
        f"WHEN json_type({left}) = 'VARCHAR' AND json_type({right}) = 'VARCHAR' "
        f"THEN ({left}->>'$') {operator} ({right}->>'$') "
        f"WHEN json_type({left}) = 'BOOLEAN' AND json_type({right}) = 'BOOLEAN' "
        f"THEN CAST({left} AS BOOLEAN) {operator} CAST({right} AS BOOLEAN) END"
    )


def json_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def quoted_field(text: str, output: CsvOutput) -> str:
    """A field of a CSV record, quoted where it has to be."""
    if not output.quote:
        return text
    quote, escape = literal(output.quote), literal(output.escape + output.quote)
    quoted = f"{quote} || replace(v, {quote}, {escape}) || {quote}"
    if output.escape not in ("", output.quote):
        doubled = f"replace(v, {literal(output.escape)}, {literal(output.escape * 2)})"
        quoted = f"{quote} || replace({doubled}, {quote}, {escape}) || {quote}"
    body = f"({quoted})"
    if not output.always_quotes:
        special = {output.quote, output.field_delimiter, output.record_delimiter, "\n", "\r"}
        tests = " OR ".join(f"contains(v, {literal(one)})" for one in sorted(special))
        body = f"CASE WHEN {tests} THEN {quoted} ELSE v END"
    return body if text == "v" else f"list_transform([{text}], lambda v: {body})[1]"
