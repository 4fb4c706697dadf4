"""The engine by itself: dialects, outputs, errors, bounds."""

import time
from typing import Any

import pytest

from objstore.api.handlers.select import csv_input
from objstore.s3.documents.select import CsvInput as CsvInputDocument
from objstore.s3.errors import S3Error
from objstore.select.job import Job
from objstore.select.records import CsvInput, Scan, cut
from objstore.select.typed import CsvOutput, JsonOutput

pytest.importorskip("duckdb", reason="queries are tested only where duckdb is installed")

from objstore.select.engine import Evaluation

PEOPLE = b'name,age,city\nAnn,31,Paris\nBob,7,"New, York"\nCy,,Rome\n'


def evaluate(data: bytes, job: Job, piece_bytes: int = 1 << 20) -> str:
    """The records of a query over these bytes."""
    records: list[bytes] = []
    pieces = (data[offset : offset + piece_bytes] for offset in range(0, len(data), piece_bytes))
    Evaluation(job, records.append, lambda scanned, processed: None).run(pieces)
    return b"".join(records).decode()


def ask(data: bytes, expression: str, csv: CsvInput | None = None, **more: Any) -> str:
    return evaluate(data, Job(expression, "csv", csv=csv or CsvInput(), **more))


@pytest.mark.parametrize(
    ("data", "dialect", "expression", "expected"),
    [
        (b"a;b|c;d|", {"field_delimiter": ";", "record_delimiter": "|"}, "SELECT _2 FROM S3Object", "b\nd\n"),
        (b"a,b\r\nc,d\r\n", {}, "SELECT _2 FROM S3Object", "b\nd\n"),
        (b"# comment\na,b\n\n#c,d\n", {}, "SELECT * FROM S3Object", "a,b\n"),
        (b"!a\n#b\n", {"comments": "!"}, "SELECT * FROM S3Object", "#b\n"),
        (b"'a,b',c\n", {"quote_character": "'"}, "SELECT _1, _2 FROM S3Object", '"a,b",c\n'),
        (b'"a\\"b",c\n', {"quote_escape_character": "\\"}, "SELECT _1 FROM S3Object", '"a""b"\n'),
        (b'"a""b",c\n', {}, "SELECT * FROM S3Object", '"a""b",c\n'),
        (b'"a\nb",c\nd,e\n', {"allow_quoted_record_delimiter": True}, "SELECT _2 FROM S3Object", "c\ne\n"),
        (b"a\nb\r\n\r\nc\r\n", {}, "SELECT * FROM S3Object", "a\nb\nc\n"),
        (
            b'"a\r\nb",c\r\n\r\nd,e\r\n',
            {"allow_quoted_record_delimiter": True},
            "SELECT _2, CHAR_LENGTH(_1) FROM S3Object",
            "c,4\ne,1\n",
        ),
        (b"# no, comment\nd,e\n", {"allow_quoted_record_delimiter": True}, "SELECT _2 FROM S3Object", "e\n"),
        (
            b'a,"b\n',
            {"allow_quoted_record_delimiter": True, "quote_character": ""},
            "SELECT _2 FROM S3Object",
            '"""b"\n',
        ),
        (b"h1,h2\n1,2\n", {"file_header_info": "IGNORE"}, "SELECT * FROM S3Object", "1,2\n"),
        (b"h1,h2\n1,2\n", {"file_header_info": "NONE"}, "SELECT _1 FROM S3Object", "h1\n1\n"),
        (b"a,b\nc\nd,e,f\n", {}, "SELECT * FROM S3Object", "a,b\nc\nd,e,f\n"),
        (b"a\x1fb,c\x1ed\n", {}, "SELECT _1, _2 FROM S3Object", "a\x1fb,c\x1ed\n"),
        (b'a\x1fb,"c\x1ed"\n', {}, "SELECT _2 FROM S3Object", "c\x1ed\n"),
        ("\ufeffname\nÄ\n".encode(), {"file_header_info": "USE"}, "SELECT name FROM S3Object", "Ä\n"),
        (b"no end", {}, "SELECT * FROM S3Object", "no end\n"),
        (b"", {}, "SELECT * FROM S3Object", ""),
        (b"", {}, "SELECT COUNT(*) FROM S3Object", "0\n"),
    ],
)
def test_dialects_of_csv(data: bytes, dialect: dict[str, Any], expression: str, expected: str) -> None:
    assert ask(data, expression, csv_input(CsvInputDocument(**dialect))) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (CsvOutput(always_quotes=True), '"a,b","c""d"\n'),
        (CsvOutput(field_delimiter=";", record_delimiter="|"), 'a,b;"c""d"|'),
        (CsvOutput(quote="'"), "'a,b',c\"d\n"),
        (CsvOutput(escape="\\"), '"a,b","c\\"d"\n'),
        (CsvOutput(quote=""), 'a,b,c"d\n'),
        (JsonOutput(record_delimiter=";"), '{"_1":"a,b","_2":"c\\"d"};'),
    ],
)
def test_output(output: CsvOutput | JsonOutput, expected: str) -> None:
    assert ask(b'"a,b","c""d"\n', "SELECT * FROM S3Object", output=output) == expected


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("SELECT", "ParseExpectedExpression"),
        ("SELECT FROM S3Object", "ParseEmptySelect"),
        ("SELECT *", "ParseSelectMissingFrom"),
        ("SELECT *, name FROM S3Object", "ParseAsteriskIsNotAloneInSelectList"),
        ("DELETE FROM S3Object", "ParseUnsupportedSelect"),
        ("SELECT ? FROM S3Object", "LexerInvalidChar"),
        ("SELECT 'open FROM S3Object", "LexerInvalidLiteral"),
        ("SELECT `no` FROM S3Object", "LexerInvalidIONLiteral"),
        ("SELECT * FROM other", "EvaluatorBindingDoesNotExist"),
        ("SELECT * FROM S3Object s, S3Object t", "MultipleDataSourcesUnsupported"),
        ("SELECT * FROM S3Object s JOIN S3Object t ON 1=1", "ParseMalformedJoin"),
        ("SELECT * FROM S3Object GROUP BY name", "ParseExpectedIdentForGroupName"),
        ("SELECT * FROM S3Object ORDER BY name", "UnsupportedSqlStructure"),
        ("SELECT * FROM (SELECT * FROM S3Object)", "UnsupportedSqlStructure"),
        ("SELECT * FROM S3Object WHERE name IN (SELECT 1 FROM S3Object)", "UnsupportedSqlStructure"),
        ("SELECT name, COUNT(*) FROM S3Object", "UnsupportedSqlStructure"),
        ("SELECT * FROM S3Object WHERE COUNT(*) > 1", "UnsupportedSqlStructure"),
        ("SELECT SUM(*) FROM S3Object", "ParseUnsupportedCallWithStar"),
        ("SELECT MAX(1, 2) FROM S3Object", "ParseNonUnaryAgregateFunctionCall"),
        ("SELECT date FROM S3Object", "ParseUnExpectedKeyword"),
        ("SELECT CAST(name) FROM S3Object", "ParseExpectedKeyword"),
        ("SELECT CAST(name AS blob) FROM S3Object", "ParseExpectedTypeName"),
        ("SELECT CAST name FROM S3Object", "ParseExpectedLeftParenAfterCast"),
        ("SELECT nope(name) FROM S3Object", "UnsupportedFunction"),
        ("SELECT LOWER() FROM S3Object", "EvaluatorInvalidArguments"),
        ("SELECT EXTRACT(century FROM `2010T`) FROM S3Object", "ParseExpectedDatePart"),
        ("SELECT name FROM S3Object LIMIT -1", "EvaluatorNegativeLimit"),
        ("SELECT name FROM S3Object LIMIT x", "ParseExpectedNumber"),
        ("SELECT name FROM S3Object;", "LexerInvalidChar"),
        ("SELECT name FROM S3Object WHERE", "ParseExpectedExpression"),
        ("SELECT name FROM S3Object WHERE name = = 'x'", "ParseUnexpectedToken"),
        ("SELECT name FROM S3Object.path", "ParseInvalidPathComponent"),
        ("SELECT name FROM S3Object[*].path", "InvalidKeyPath"),
        ("SELECT s.name.deeper FROM S3Object s", "InvalidKeyPath"),
        ("SELECT nme FROM S3Object", "MissingHeaders"),
        ('SELECT "NAME" FROM S3Object', "MissingHeaders"),
        ("SELECT _0 FROM S3Object", "InvalidColumnIndex"),
        ("SELECT CAST(name AS INT) FROM S3Object", "CastFailed"),
        ("SELECT CAST(name AS TIMESTAMP) FROM S3Object", "ValueParseFailure"),
        ("SELECT name + 1 FROM S3Object", "CastFailed"),
        ("SELECT LOWER(5) FROM S3Object", "IncorrectSqlFunctionArgumentType"),
        ("SELECT 9223372036854775808 FROM S3Object", "IntegerOverflow"),
        ("SELECT 9223372036854775807 + CAST(_2 AS INT) FROM S3Object LIMIT 1", "IntegerOverflow"),
        ("SELECT 1 / 0 FROM S3Object", "EvaluatorInvalidArguments"),
        ("SELECT name LIKE 5 FROM S3Object", "LikeInvalidInputs"),
        ("SELECT TO_STRING(`2010T`, 'QQ') FROM S3Object", "EvaluatorInvalidTimestampFormatPatternSymbol"),
        (
            "SELECT TO_STRING(`2010T`, 'h') FROM S3Object",
            "EvaluatorTimestampFormatPatternHourClockAmPmMismatch",
        ),
        (f"SELECT '{'x' * 262144}' FROM S3Object", "ExpressionTooLong"),
    ],
)
def test_expressions_that_are_wrong(expression: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        ask(PEOPLE, expression, CsvInput(header="USE"))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "expression",
    [
        f"SELECT {'(' * 300}1{')' * 300} FROM S3Object",
        f"SELECT {'NOT ' * 3000}true FROM S3Object",
        f"SELECT {'- ' * 3000}1 FROM S3Object",
        f"SELECT 1 {'+ 1' * 3000} FROM S3Object",
        f"SELECT name {'BETWEEN 1 AND 2 ' * 150} FROM S3Object",
        f"SELECT {'CASE ' * 40}name{' WHEN 1 THEN 2 WHEN 3 THEN 4 END' * 40} FROM S3Object",
        f"SELECT {'COALESCE(' * 45}s.x{' , 1) + 1' * 45} FROM S3Object s",
    ],
)
def test_complexity_is_bounded(expression: str) -> None:
    began = time.monotonic()
    try:
        evaluate(b'{"name":"x"}', Job(expression, "json-lines"))
    except S3Error as exc:
        assert exc.code in ("MaxOperatorsExceeded", "InvalidDataType", "CastFailed")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("delimiter", ["\n", "\r\n", "ab"])
def test_scan_ranges_cut_anywhere(delimiter: str, piece_bytes: int) -> None:
    records = [f"{number}{'x' * (number % 5)}" for number in range(30)]
    data = "".join(record + delimiter for record in records).encode()
    width = len(delimiter)
    for size in (1, 5, 11):
        found = b""
        for start in range(0, len(data), size):
            begin = max(0, start - width)
            fed = data[begin:]
            pieces = (fed[offset : offset + piece_bytes] for offset in range(0, len(fed), piece_bytes))
            scan = Scan(start - begin, start + size - begin)
            found += b"".join(cut(pieces, delimiter.encode(), scan))
        assert found == data, size


@pytest.mark.parametrize("piece_bytes", [1, 3, 50])
def test_input_in_any_pieces(piece_bytes: int) -> None:
    """Pieces end within characters, quotes and delimiters."""
    data = 'ä,"x\r\ny"\r\n"ß""",z\r\n'.encode()
    csv = CsvInput(allows_quoted_delimiters=True, record_delimiter="\r\n")
    job = Job("SELECT _1, _2 FROM S3Object", "csv", csv=csv, output=JsonOutput())
    assert evaluate(data, job, piece_bytes) == '{"_1":"ä","_2":"x\\r\\ny"}\n{"_1":"ß\\"","_2":"z"}\n'
    document = '[1, "ü"] 23 {"a":\n[4]}'.encode()
    job = Job("SELECT * FROM S3Object", "json-document", output=JsonOutput())
    assert evaluate(document, job, piece_bytes) == '{"_1":[1,"ü"]}\n{"_1":23}\n{"a":[4]}\n'


def test_aggregates_over_many_portions() -> None:
    data = b"".join(b"%d,%s\n" % (number, b"x" * 40) for number in range(100_000))
    expression = (
        "SELECT COUNT(*), SUM(CAST(_1 AS INT)), AVG(_1), MIN(_1), MAX(_1) FROM S3Object WHERE _1 >= 10"
    )
    assert ask(data, expression) == "99990,4999949955,50004.5,10,99999\n"
    assert ask(data, "SELECT _1 FROM S3Object WHERE _1 > 99990 LIMIT 3") == "99991\n99992\n99993\n"


def test_what_json_cannot_say() -> None:
    job = Job("SELECT s.n + 1, CAST(s.n AS FLOAT) FROM S3Object s", "json-lines", output=JsonOutput())
    assert evaluate(b'{"n":1e400}', job) == '{"_1":null,"_2":null}\n'


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("0 FOR 2", "ab"), ("-4", "abc"), ("2 FOR 1", "b"), ("9", ""), ("1 FOR 0", "")],
)
def test_substring(arguments: str, expected: str) -> None:
    """A start below 1 counts as 1."""
    assert ask(b"abc\n", f"SELECT SUBSTRING(_1 FROM {arguments}) FROM S3Object") == f"{expected}\n"


def test_wide_integers() -> None:
    data = b'{"n":123456789012345678901234567890}\n{"n":18446744073709551615}\n{"n":6}\n'
    job = Job("SELECT s.n FROM S3Object s WHERE s.n > 18446744073709551614", "json-lines")
    with pytest.raises(S3Error, match="IntegerOverflow"):
        evaluate(data, job)
    job = Job("SELECT s.n FROM S3Object s WHERE s.n > 9223372036854775807", "json-lines")
    assert evaluate(data, job) == "123456789012345678901234567890\n18446744073709551615\n"
