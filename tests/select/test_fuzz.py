"""Random expressions: each is evaluated or refused with an S3 error, and never breaks the engine."""

import random
from collections.abc import Callable

import pytest

from objstore.s3.errors import S3Error
from objstore.select.job import Job
from objstore.select.lexer import RESERVED
from objstore.select.parser import parse
from objstore.select.records import CsvInput
from objstore.select.typed import CsvOutput, JsonOutput

pytest.importorskip("duckdb", reason="queries are tested only where duckdb is installed")

from objstore.select.engine import Evaluation

CSV = b"a,b,c\n1,x,2020-01-01T00:00:00Z\n2.5,'y',\n,\xc3\xbc,2019T\n7\n"
JSON = b'{"a":1,"b":"x","c":{"d":[1,{"e":"2020T"}]},"t":true}\n{"a":null,"b":2.5,"c":[]}\n{}\n[1,2]\n"text"\n'
LITERALS = ["1", "-2", "2.5", "1e3", "'x'", "'1'", "''", "'it''s'", "NULL", "MISSING", "TRUE", "`2020-02T`"]
CSV_PATHS = ["a", "b", "s.c", '"a"', "_1", "s._2", "_9"]
JSON_PATHS = ["a", "b", "s.c.d[1].e", "s['b']", "s.c.d[0]", "t", '"A"', "s.c", "_1.a"]
BROKEN = {"ExternalEvalException", "InternalError", "ParquetParsingError"}


class Grammar:
    """Random queries of bounded depth, mostly of types that fit: else they would all be refused at once."""

    def __init__(self, source: random.Random, paths: list[str]) -> None:
        self.random = source
        self.paths = paths

    def choose(self, *made: str | Callable[[], str]) -> str:
        chosen = self.random.choice(made)
        return chosen if isinstance(chosen, str) else chosen()

    def any(self, depth: int) -> str:
        if self.random.random() < 0.05:
            return self.choose(*LITERALS)
        return self.choose(*(lambda made=made: made(depth) for made in (self.number, self.text, self.truth)))

    def number(self, depth: int) -> str:
        if depth == 0:
            return self.choose("1", "-2", "2.5", "1e3", "0", *self.paths)
        one, two = (lambda: self.number(depth - 1)), (lambda: self.text(depth - 1))
        return self.choose(
            lambda: f"({one()} {self.choose(*'+-*/%')} {one()})",
            lambda: f"- {one()}",
            lambda: (
                f"CAST({self.any(depth - 1)} AS {self.choose('INT', 'FLOAT', 'DECIMAL', 'DECIMAL(5,2)')})"
            ),
            lambda: f"CHAR_LENGTH({two()})",
            lambda: f"CASE WHEN {self.truth(depth - 1)} THEN {one()} ELSE {one()} END",
            lambda: f"CASE {one()} WHEN {one()} THEN {one()} WHEN {two()} THEN {one()} END",
            lambda: f"{self.choose('COALESCE', 'NULLIF')}({one()}, {one()})",
            lambda: f"EXTRACT({self.choose('YEAR', 'HOUR', 'TIMEZONE_HOUR')} FROM {self.time(depth - 1)})",
            lambda: f"DATE_DIFF(month, {self.time(depth - 1)}, {self.time(depth - 1)})",
            one,
        )

    def text(self, depth: int) -> str:
        if depth == 0:
            return self.choose("'x'", "'1'", "''", "'it''s'", *self.paths)
        one = lambda: self.text(depth - 1)  # noqa: E731
        side = self.choose("LEADING", "TRAILING", "BOTH")
        return self.choose(
            lambda: f"({one()} || {one()})",
            lambda: f"{self.choose('LOWER', 'UPPER', 'TRIM')}({one()})",
            lambda: f"SUBSTRING({one()} FROM {self.number(depth - 1)})",
            lambda: f"SUBSTRING({one()}, {self.number(depth - 1)}, {self.number(depth - 1)})",
            lambda: f"TRIM({side} {one()} FROM {one()})",
            lambda: f"CAST({self.any(depth - 1)} AS STRING)",
            lambda: f"COALESCE({one()}, {one()}, {self.any(depth - 1)})",
            lambda: f"TO_STRING({self.time(depth - 1)}, 'y-MM-dd''T''HH:mm:ssX')",
            one,
        )

    def time(self, depth: int) -> str:
        if depth == 0:
            return self.choose("`2020-02T`", "UTCNOW()", "`2019-12-31T23:59:59.5-08:00`")
        return self.choose(
            lambda: f"DATE_ADD({self.choose('year', 'day', 'second')}, 3, {self.time(depth - 1)})",
            lambda: f"CAST({self.choose(*self.paths)} AS TIMESTAMP)",
            lambda: self.time(depth - 1),
            lambda: self.time(depth - 1),
        )

    def truth(self, depth: int) -> str:
        if depth == 0:
            return self.choose("TRUE", "FALSE", *self.paths)
        one, two = (lambda: self.number(depth - 1)), (lambda: self.text(depth - 1))
        sign = self.choose("=", "<>", "!=", "<", "<=", ">", ">=")
        negated = self.choose("", "NOT ")
        return self.choose(
            lambda: f"({one()} {sign} {one()})",
            lambda: f"({two()} {sign} {two()})",
            lambda: f"({one()} {sign} {two()})",
            lambda: f"({self.time(depth - 1)} {sign} {self.time(depth - 1)})",
            lambda: f"({self.truth(depth - 1)} {self.choose('AND', 'OR')} NOT {self.truth(depth - 1)})",
            lambda: f"({one()} {negated}IN ({one()}, {two()}))",
            lambda: f"({one()} {negated}BETWEEN {one()} AND {one()})",
            lambda: f"({two()} {negated}LIKE {two()}{self.choose('', ' ESCAPE ' + repr('!'))})",
            lambda: f"({self.any(depth - 1)} IS {negated}{self.choose('NULL', 'MISSING')})",
            lambda: f"CAST({self.truth(depth - 1)} AS BOOL)",
        )

    def aggregate(self) -> str:
        name = self.choose("SUM", "AVG", "MIN", "MAX", "COUNT")
        return self.choose(
            f"{name}({self.number(2)})", "COUNT(*)", f"MAX({self.time(1)}) ", f"{name}({self.number(1)}) + 1"
        )

    def query(self) -> str:
        made = self.aggregate if self.random.random() < 0.3 else lambda: self.any(self.random.randint(0, 3))
        columns = [made() for _ in range(self.random.randint(1, 3))]
        where = f" WHERE {self.truth(2)}" if self.random.random() < 0.5 else ""
        limit = f" LIMIT {self.random.randint(0, 5)}" if self.random.random() < 0.3 else ""
        return f"SELECT {', '.join(columns)} FROM S3Object s{where}{limit}"


@pytest.mark.parametrize("seed", range(30))
def test_random_queries_are_evaluated_or_refused(seed: int) -> None:
    source = random.Random(seed)
    output = source.choice([CsvOutput(), JsonOutput()])
    header = CsvInput(header="USE")
    for data, job in (
        (CSV, Job(Grammar(source, CSV_PATHS).query(), "csv", csv=header, output=output)),
        (JSON, Job(Grammar(source, JSON_PATHS).query(), "json-lines", output=output)),
    ):
        try:
            Evaluation(job, lambda records: None, lambda scanned, processed: None).run(iter([data]))
        except S3Error as exc:
            assert exc.code not in BROKEN, f"seed {seed}: {job.expression}\n{exc.__cause__}"


def test_senseless_tokens_are_refused_by_the_parser() -> None:
    source = random.Random(7)
    words = [
        *sorted(RESERVED),
        *LITERALS,
        *CSV_PATHS,
        *JSON_PATHS,
        *"()[],.*+-/%=<>",
        "||",
        "--",
        "/*",
        '"',
        "S3Object",
        ";",
    ]
    for _ in range(3000):
        text = "SELECT " + " ".join(source.choices(words, k=source.randint(1, 12)))
        try:
            parse(text)
        except S3Error as exc:
            assert exc.status == 400, text
