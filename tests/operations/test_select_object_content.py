"""SelectObjectContent: one query over one object."""

import bz2
import gzip
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.operations.refusals import refused
from tests.support.server import Server

pytest.importorskip("duckdb", reason="SelectObjectContent is tested only where duckdb is installed")

PEOPLE = b'name,age,city\nAnn,31,Paris\nBob,7,"New, York"\nCy,,Rome\n'
RULES = (
    b'{ "Rules": [ {"id": "1"}, {"expr": "y > x"}, {"id": "2", "expr": "z = DEBUG"} ]}\n'
    b'{ "created": "June 27", "modified": "July 6" }\n'
)
STAFF = (
    b'{"name":"Susan Smith","n":5,"big":9007199254740993,"t":true,"z":null,'
    b'"projects":[{"project_name":"p1","completed":false},{"project_name":"p2","completed":true}]}\n'
    b'{"NAME":"x","name":"y","n":"7","a/b":{"c~d":1}}\n'
    b'{"n":12}\n'
)
CSV = {"CSV": {"FileHeaderInfo": "USE"}}
LINES = {"JSON": {"Type": "LINES"}}
DOCUMENT = {"JSON": {"Type": "DOCUMENT"}}


class Answer(NamedTuple):
    records: str
    stats: dict[str, int]
    events: list[str]


class Objects:
    """A bucket with the objects that are asked."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self.s3 = s3
        self.bucket = bucket

    def put(self, data: bytes, key: str = "object") -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def select(self, expression: str, key: str = "object", **parameters: Any) -> Answer:
        """What a query comes to, in CSV unless another output is asked for."""
        asked = {
            "ExpressionType": "SQL",
            "InputSerialization": CSV,
            "OutputSerialization": {"CSV": {}},
            **parameters,
        }
        found = self.s3.select_object_content(Bucket=self.bucket, Key=key, Expression=expression, **asked)
        records, stats, events = b"", {}, []
        for event in found["Payload"]:
            ((name, content),) = event.items()
            events.append(name)
            if name == "Records":
                records += content["Payload"]
            if name == "Stats":
                stats = content["Details"]
        return Answer(records.decode(), stats, events)

    def ask(self, data: bytes, expression: str, **parameters: Any) -> str:
        """The records of a query over these bytes."""
        self.put(data)
        return self.select(expression, **parameters).records


@pytest.fixture
def objects(s3: Any, bucket: str) -> Objects:
    return Objects(s3, bucket)


def test_events_and_stats(objects: Objects) -> None:
    objects.put(PEOPLE)
    answer = objects.select("SELECT * FROM S3Object", RequestProgress={"Enabled": True})
    assert answer.records == 'Ann,31,Paris\nBob,7,"New, York"\nCy,,Rome\n'
    assert answer.events == ["Records", "Progress", "Stats", "End"]
    assert answer.stats == {
        "BytesScanned": len(PEOPLE),
        "BytesProcessed": len(PEOPLE),
        "BytesReturned": len(answer.records),
    }


@pytest.mark.parametrize(
    ("expression", "csv", "json_"),
    [
        ("SELECT name FROM S3Object LIMIT 2", "Ann\nBob\n", '{"name":"Ann"}\n{"name":"Bob"}\n'),
        (
            "select s._1, s.CITY from s3object s where s.age > 10",
            "Ann,Paris\n",
            '{"_1":"Ann","CITY":"Paris"}\n',
        ),
        (
            "SELECT * FROM S3Object s WHERE s.city LIKE '%York'",
            'Bob,7,"New, York"\n',
            '{"name":"Bob","age":"7","city":"New, York"}\n',
        ),
        ("SELECT COUNT(*) FROM S3Object", "3\n", '{"_1":3}\n'),
        (
            "SELECT SUM(CAST(age AS INT)) AS total, AVG(_2), MIN(_2), MAX(CAST(age AS FLOAT)) "
            "FROM S3Object WHERE age <> ''",
            "38,19,7,31.0\n",
            '{"total":38,"_2":19,"_3":7,"_4":31.0}\n',
        ),
        ("SELECT COUNT(_9), SUM(_9) FROM S3Object", "0,\n", '{"_1":0,"_2":null}\n'),
        (
            "SELECT UPPER(name), CHAR_LENGTH(city), SUBSTRING(city FROM 2 FOR 3), SUBSTRING(city, -4), "
            "TRIM(BOTH 'A' FROM name) FROM S3Object LIMIT 1",
            "ANN,5,ari,Paris,nn\n",
            '{"_1":"ANN","_2":5,"_3":"ari","_4":"Paris","_5":"nn"}\n',
        ),
        (
            "SELECT COALESCE(NULLIF(age, ''), 'none') AS age FROM S3Object",
            "31\n7\nnone\n",
            '{"age":"31"}\n{"age":"7"}\n{"age":"none"}\n',
        ),
        (
            "SELECT CASE WHEN age = 31 THEN 'x' WHEN age = '7' THEN 'y' ELSE name END FROM S3Object",
            "x\ny\nCy\n",
            '{"_1":"x"}\n{"_1":"y"}\n{"_1":"Cy"}\n',
        ),
        (
            "SELECT CASE age WHEN 31 THEN 1 ELSE 2 END FROM S3Object",
            "1\n2\n2\n",
            '{"_1":1}\n{"_1":2}\n{"_1":2}\n',
        ),
        (
            "SELECT name FROM S3Object WHERE name IN ('Bob', 'Cy') AND age BETWEEN 5 AND 9",
            "Bob\n",
            '{"name":"Bob"}\n',
        ),
        ("SELECT name FROM S3Object WHERE NOT (name = 'Bob' OR age IS NULL)", "Ann\nCy\n", None),
        ("SELECT name FROM S3Object WHERE name NOT LIKE '_n%'", "Bob\nCy\n", None),
        ("SELECT name FROM S3Object WHERE name LIKE 'A!nn' ESCAPE '!'", "Ann\n", None),
        (
            "SELECT 1+2*3, 7/2, 7%4, -age, age*1.5, 10.50+1 FROM S3Object WHERE name = 'Ann'",
            "7,3,3,-31,46.5,11.5\n",
            '{"_1":7,"_2":3,"_3":3,"_4":-31,"_5":46.5,"_6":11.5}\n',
        ),
        ("SELECT s._9 FROM S3Object s LIMIT 1", "\n", "{}\n"),
        ("SELECT true, null, missing FROM S3Object LIMIT 1", "true,,\n", '{"_1":true,"_2":null}\n'),
        (
            "SELECT s.\"name\" || '-' || city AS c FROM S3Object s LIMIT 1",
            "Ann-Paris\n",
            '{"c":"Ann-Paris"}\n',
        ),
        (
            "SELECT 'it''s', '{source}' FROM S3Object LIMIT 1",
            "it's,{source}\n",
            '{"_1":"it\'s","_2":"{source}"}\n',
        ),
        ("SELECT * FROM S3Object WHERE name = 'nobody'", "", ""),
        ("SELECT * FROM S3Object LIMIT 0", "", ""),
    ],
)
def test_queries_over_csv(objects: Objects, expression: str, csv: str, json_: str | None) -> None:
    objects.put(PEOPLE)
    if json_ is None or len(expression) % 2:
        assert objects.select(expression).records == csv
    else:
        assert objects.select(expression, OutputSerialization={"JSON": {}}).records == json_


FUNCTIONS = [
    ("DATE_ADD(year, 5, `2010-01-01T`)", "2015-01-01"),
    ("DATE_ADD(month, 1, `2010T`)", "2010-02T"),
    ("DATE_ADD(month, 13, `2010T`)", "2011-02T"),
    ("DATE_ADD(day, -1, `2017-01-10T`)", "2017-01-09"),
    ("DATE_ADD(hour, 1, `2017-01-02T03:04Z`)", "2017-01-02T04:04Z"),
    ("DATE_ADD(minute, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T03:05:05.006Z"),
    ("DATE_DIFF(year, `2010-01-01T`, `2011-01-01T`)", "1"),
    ("DATE_DIFF(month, `2010T`, `2010-05T`)", "4"),
    ("DATE_DIFF(month, `2011T`, `2010T`)", "-12"),
    ("DATE_DIFF(day, `2010-01-01T23:00Z`, `2010-01-02T01:00Z`)", "0"),
    ("EXTRACT(YEAR FROM `2010-01-01T`)", "2010"),
    ("EXTRACT(HOUR FROM `2017-01-02T03:04:05+07:08`)", "3"),
    ("EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05-07:08`)", "-7"),
    ("EXTRACT(TIMEZONE_MINUTE FROM `2017-01-02T03:04:05+07:08`)", "8"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y')", "July 20, 1969"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'M-d-yy')", "7-20-69"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y h:m a')", "July 20, 1969 8:18 PM"),
    ("TO_STRING(`1969-07-20T20:18Z`, 'y-MM-dd''T''H:m:ssX')", "1969-07-20T20:18:00Z"),
    ("TO_STRING(`1969-07-20T20:18+08:00`, 'y-MM-dd''T''H:m:ssXXXXX')", "1969-07-20T20:18:00+08:00"),
    ("TO_TIMESTAMP('2007T')", "2007T"),
    ("CAST('2007-02-23T12:14:33.079-08:00' AS TIMESTAMP)", "2007-02-23T12:14:33.079-08:00"),
    ("CAST('2007-04-05T14:30Z' AS TIMESTAMP) = `2007-04-05T16:30+02:00`", "true"),
    ("UTCNOW() > `2020T`", "true"),
    ("CAST('12' AS INT) + 1", "13"),
    ("CAST('1.50' AS DECIMAL(10, 2))", "1.5"),
    ("CAST(0.456 AS FLOAT)", "0.456"),
    ("CAST('true' AS BOOL)", "true"),
    ("TRIM('       foobar         ')", "foobar"),
    ("TRIM(LEADING FROM '  foobar ') || '|'", "foobar |"),
    ("TRIM(BOTH '12' FROM '1112211foobar22211122')", "foobar"),
    ("SUBSTRING('123456789', 0, 999)", "123456789"),
    ("SUBSTRING('123456789', 1, 5)", "12345"),
    ("CHAR_LENGTH('')", "0"),
    ("LOWER('AbCdEfG!@#$')", "abcdefg!@#$"),
]
"""As the documentation has them."""


def test_functions_as_documented(objects: Objects) -> None:
    columns = ", ".join(f"{expression} AS c{number}" for number, (expression, _) in enumerate(FUNCTIONS))
    asked = {"InputSerialization": {"CSV": {}}, "OutputSerialization": {"JSON": {}}}
    found = json.loads(objects.ask(b"x\n", f"SELECT {columns} FROM S3Object", **asked))
    shown = [str(value).lower() if isinstance(value, bool) else str(value) for value in found.values()]
    assert dict(zip(FUNCTIONS, shown, strict=True)) == {row: row[1] for row in FUNCTIONS}


@pytest.mark.parametrize(
    ("data", "expression", "expected"),
    [
        (RULES, "SELECT id FROM S3Object[*].Rules[*].id", '{"id":"1"}\n{}\n{"id":"2"}\n{}\n'),
        (
            RULES,
            "SELECT id FROM S3Object[*].Rules[*].id WHERE id IS NOT MISSING",
            '{"id":"1"}\n{"id":"2"}\n',
        ),
        (
            RULES,
            "SELECT _1.created, s.modified FROM S3Object s LIMIT 9",
            '{}\n{"created":"June 27","modified":"July 6"}\n',
        ),
        (RULES, "SELECT COUNT(*) FROM S3Object[*].Rules[*]", '{"_1":4}\n'),
        (STAFF, "SELECT s.projects[0].project_name FROM S3Object s LIMIT 1", '{"project_name":"p1"}\n'),
        (
            STAFF,
            "SELECT p.project_name FROM S3Object[*].projects[*] p WHERE p.completed",
            '{"project_name":"p2"}\n',
        ),
        (STAFF, "SELECT s.n + 1 FROM S3Object s WHERE s.n > 4", '{"_1":6}\n{"_1":13}\n'),
        (STAFF, "SELECT s.\"NAME\" FROM S3Object s WHERE s.n = '7'", '{"NAME":"x"}\n'),
        (STAFF, "SELECT s.big FROM S3Object s WHERE s.big = 9007199254740993", '{"big":9007199254740993}\n'),
        (STAFF, "SELECT s.big FROM S3Object s WHERE s.big = 9007199254740992", ""),
        (STAFF, "SELECT s['a/b'].\"c~d\" AS x FROM S3Object s WHERE s['a/b'] IS NOT NULL", '{"x":1}\n'),
        (
            STAFF,
            "SELECT s.t, s.z FROM S3Object s WHERE s.z IS NULL AND s.z IS NOT MISSING",
            '{"t":true,"z":null}\n',
        ),
        (
            STAFF,
            "SELECT COUNT(s.z), COUNT(s.n), MAX(s.n) FROM S3Object s WHERE s.n < 99",
            '{"_1":0,"_2":2,"_3":12}\n',
        ),
        (STAFF, "SELECT * FROM S3Object s WHERE s.n = 12", '{"n":12}\n'),
    ],
)
def test_queries_over_json(objects: Objects, data: bytes, expression: str, expected: str) -> None:
    source = LINES if len(expression) % 2 else DOCUMENT
    asked = {"InputSerialization": source, "OutputSerialization": {"JSON": {}}}
    assert objects.ask(data, expression, **asked) == expected


def test_a_document_laid_out_over_lines(objects: Objects) -> None:
    data = json.dumps([{"a": number, "b": "ü\n"} for number in range(3)], indent=2).encode()
    asked = {"InputSerialization": DOCUMENT, "OutputSerialization": {"JSON": {}}}
    assert objects.ask(data, "SELECT d.a FROM S3Object[*][*] d", **asked) == '{"a":0}\n{"a":1}\n{"a":2}\n'


def test_json_to_csv(objects: Objects) -> None:
    data = b'{"a":1,"b":"x,y","c":[1,2],"d":null}\n'
    assert objects.ask(data, "SELECT * FROM S3Object", InputSerialization=LINES) == '1,"x,y","[1,2]",\n'


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import duckdb

    path = tmp_path_factory.mktemp("parquet") / "file.parquet"
    with duckdb.connect() as database:
        database.execute(
            "COPY (SELECT i AS id, 'n' || i AS Name, i * 1.5::DOUBLE AS d, "
            "(i * 1.25)::DECIMAL(10,2) AS amount, DATE '2020-01-01' + i::INT AS dt, "
            "TIMESTAMP '2020-01-01 10:11:12.5' AS ts, [i, i + 1] AS l, {'x': i} AS s "
            "FROM range(10000) t(i)) "
            f"TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    return path.read_bytes()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (
            "SELECT * FROM S3Object LIMIT 1",
            '{"id":0,"Name":"n0","d":0.0,"amount":0,"dt":"2020-01-01","ts":"2020-01-01T10:11:12.500Z",'
            '"l":[0,1],"s":{"x":0}}\n',
        ),
        (
            "SELECT s.name, s.s.x, s.l[1] AS m, _3 FROM S3Object s WHERE s.dt < `2020-01-03` AND id > 0",
            '{"name":"n1","x":1,"m":2,"_3":1.5}\n',
        ),
        ("SELECT COUNT(*), SUM(id), AVG(d) FROM S3Object", '{"_1":10000,"_2":49995000,"_3":7499.25}\n'),
    ],
)
def test_queries_over_parquet(objects: Objects, parquet: bytes, expression: str, expected: str) -> None:
    asked = {"InputSerialization": {"Parquet": {}}, "OutputSerialization": {"JSON": {}}}
    assert objects.ask(parquet, expression, **asked) == expected


def test_parquet_row_groups_by_scan_range(objects: Objects, parquet: bytes) -> None:
    objects.put(parquet)
    counted = 0
    width = len(parquet) // 3 + 1
    for start in range(0, len(parquet), width):
        scanned = {"Start": start, "End": min(start + width, len(parquet)) - 1}
        answer = objects.select(
            "SELECT COUNT(*) FROM S3Object", InputSerialization={"Parquet": {}}, ScanRange=scanned
        )
        counted += int(answer.records)
    assert counted == 10_000


@pytest.mark.parametrize(("name", "compress"), [("GZIP", gzip.compress), ("BZIP2", bz2.compress)])
def test_compression(objects: Objects, name: str, compress: Any) -> None:
    source = {**CSV, "CompressionType": name}
    packed = compress(PEOPLE[:30]) + compress(PEOPLE[30:])
    objects.put(packed)
    answer = objects.select("SELECT COUNT(*) FROM S3Object", InputSerialization=source)
    assert answer.records == "3\n"
    assert (answer.stats["BytesScanned"], answer.stats["BytesProcessed"]) == (len(packed), len(PEOPLE))
    objects.put(packed[:-10])
    assert refused(objects.select, expression="SELECT * FROM S3Object", InputSerialization=source) == (
        400,
        "TruncatedInput",
    )
    objects.put(PEOPLE)
    assert refused(objects.select, expression="SELECT * FROM S3Object", InputSerialization=source) == (
        400,
        "InvalidCompressionFormat",
    )


@pytest.mark.parametrize("delimiter", ["\n", "\r\n"])
@pytest.mark.parametrize("header", ["NONE", "USE"])
def test_scan_ranges_cover_each_record_once(objects: Objects, delimiter: str, header: str) -> None:
    lines = ["id,text"] * (header == "USE") + [f"{number},{'x' * (number % 7)}" for number in range(40)]
    data = "".join(line + delimiter for line in lines).encode()
    objects.put(data)
    source = {"CSV": {"FileHeaderInfo": header, "RecordDelimiter": delimiter}}
    found = ""
    for start in range(0, len(data), 61):
        answer = objects.select(
            f"SELECT {'id' if header == 'USE' else '_1'} FROM S3Object",
            InputSerialization=source,
            ScanRange={"Start": start, "End": min(start + 60, len(data) - 1)},
        )
        found += answer.records
    assert found.split() == [str(number) for number in range(40)]


def test_scan_range_of_the_last_bytes(objects: Objects) -> None:
    objects.put(b"a\nb\nc\n")
    answer = objects.select("SELECT * FROM S3Object", InputSerialization={"CSV": {}}, ScanRange={"End": 4})
    assert answer.records == "b\nc\n"
    answer = objects.select("SELECT * FROM S3Object", InputSerialization={"CSV": {}}, ScanRange={"Start": 3})
    assert answer.records == "c\n"


@pytest.mark.parametrize(
    ("scanned", "source", "code"),
    [
        ({"Start": 5, "End": 2}, CSV, "InvalidScanRange"),
        ({"Start": 1000}, CSV, "InvalidScanRange"),
        ({}, CSV, "InvalidScanRange"),
        ({"Start": 0}, {**CSV, "CompressionType": "GZIP"}, "UnsupportedScanRangeInput"),
        ({"Start": 0}, DOCUMENT, "UnsupportedScanRangeInput"),
        ({"Start": 0}, {"CSV": {"AllowQuotedRecordDelimiter": True}}, "UnsupportedScanRangeInput"),
    ],
)
def test_scan_ranges_that_are_none(objects: Objects, scanned: Any, source: Any, code: str) -> None:
    objects.put(PEOPLE)
    assert refused(
        objects.select, expression="SELECT * FROM S3Object", InputSerialization=source, ScanRange=scanned
    ) == (400, code)


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("", "MissingRequiredParameter"),
        ("SELECT ? FROM S3Object", "LexerInvalidChar"),
        ("SELECT name FROM S3Object s JOIN S3Object t", "ParseMalformedJoin"),
        ("SELECT nme FROM S3Object", "MissingHeaders"),
        ("SELECT CAST(name AS INT) FROM S3Object", "CastFailed"),
        (f"SELECT {'(' * 300}1{')' * 300} FROM S3Object", "MaxOperatorsExceeded"),
    ],
)
def test_expressions_that_are_wrong(objects: Objects, expression: str, code: str) -> None:
    """All of them are in tests/select/test_engine.py."""
    objects.put(PEOPLE)
    assert refused(objects.select, expression=expression) == (400, code)


@pytest.mark.parametrize(
    ("data", "source", "code"),
    [
        (b"\xff\xfe", {"CSV": {}}, "InvalidTextEncoding"),
        (b'{"a":1}\n{bad}\n', LINES, "JSONParsingError"),
        (b'{"a" ', DOCUMENT, "JSONParsingError"),
        (b'a,"open\nb\n', {"CSV": {}}, "CSVEscapingRecordDelimiter"),
        (b'a,"open\nb\n', {"CSV": {"AllowQuotedRecordDelimiter": True}}, "CSVUnescapedQuote"),
        (b"x" * (1024 * 1024 + 1), {"CSV": {}}, "OverMaxRecordSize"),
        (b"no parquet", {"Parquet": {}}, "ParquetParsingError"),
        (b"", {"Parquet": {}}, "ParquetParsingError"),
    ],
)
def test_objects_that_are_not_what_was_said(objects: Objects, data: bytes, source: Any, code: str) -> None:
    objects.put(data)
    assert refused(objects.select, expression="SELECT * FROM S3Object", InputSerialization=source) == (
        400,
        code,
    )


def test_ambiguous_names(objects: Objects) -> None:
    objects.put(b"NAME,name\nx,y\n")
    assert refused(objects.select, expression="SELECT s.Name FROM S3Object s") == (400, "AmbiguousFieldName")
    assert objects.select('SELECT s."name" FROM S3Object s').records == "y\n"
    objects.put(STAFF)
    assert (
        refused(objects.select, expression="SELECT s.name FROM S3Object s", InputSerialization=LINES)[1]
        == "AmbiguousFieldName"
    )


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"ExpressionType": "XQUERY"}, "InvalidExpressionType"),
        ({"InputSerialization": {}}, "InvalidDataSource"),
        ({"InputSerialization": {"CSV": {}, "JSON": {"Type": "LINES"}}}, "ObjectSerializationConflict"),
        ({"InputSerialization": {"CSV": {"FileHeaderInfo": "MAYBE"}}}, "InvalidFileHeaderInfo"),
        ({"InputSerialization": {"JSON": {"Type": "ODD"}}}, "InvalidJsonType"),
        ({"InputSerialization": {"CSV": {}, "CompressionType": "LZ4"}}, "InvalidCompressionFormat"),
        ({"InputSerialization": {"CSV": {"FieldDelimiter": "ab"}}}, "InvalidRequestParameter"),
        ({"InputSerialization": {"CSV": {"FieldDelimiter": "\n"}}}, "InvalidRequestParameter"),
        ({"InputSerialization": {"Parquet": {}, "CompressionType": "GZIP"}}, "InvalidRequestParameter"),
        ({"OutputSerialization": {}}, "MissingRequiredParameter"),
        ({"OutputSerialization": {"CSV": {}, "JSON": {}}}, "ObjectSerializationConflict"),
        ({"OutputSerialization": {"CSV": {"QuoteFields": "NEVER"}}}, "InvalidQuoteFields"),
    ],
)
def test_requests_that_are_wrong(objects: Objects, changed: dict[str, Any], code: str) -> None:
    objects.put(PEOPLE)
    assert refused(objects.select, expression="SELECT * FROM S3Object", **changed) == (400, code)


def test_who_may(objects: Objects, other: Any, anonymous: Any) -> None:
    objects.put(PEOPLE)
    for client in (other, anonymous):
        assert refused(Objects(client, objects.bucket).select, expression="SELECT * FROM S3Object") == (
            403,
            "AccessDenied",
        )
    assert refused(objects.select, expression="SELECT * FROM S3Object", key="absent") == (404, "NoSuchKey")


def test_encrypted_objects(objects: Objects) -> None:
    objects.s3.put_object(Bucket=objects.bucket, Key="sealed", Body=PEOPLE, ServerSideEncryption="AES256")
    assert objects.select("SELECT COUNT(*) FROM S3Object", "sealed").records == "3\n"


HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT read_text('/etc/passwd') FROM S3Object",
    "SELECT * FROM '/etc/passwd'",
    'SELECT * FROM "/etc/passwd"',
    "COPY (SELECT 1) TO '/tmp/stolen'",
    "ATTACH '/tmp/x.db' AS x",
    "PRAGMA database_list",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "SELECT * FROM duckdb_settings()",
    "SELECT current_setting('temp_directory') FROM S3Object",
    "SELECT getenv('HOME') FROM S3Object",
    "SELECT * FROM S3Object; COPY S3Object TO '/tmp/stolen'",
    "SELECT * FROM S3Object UNION SELECT * FROM read_csv('/etc/passwd')",
    "SELECT (SELECT 1) FROM S3Object",
    "SELECT r FROM S3Object",
    "SELECT $c FROM S3Object",
    "SELECT p0 FROM partials",
    "SELECT error('x') FROM S3Object",
]


@pytest.mark.parametrize("expression", HOSTILE)
def test_what_a_query_cannot_reach(objects: Objects, expression: str) -> None:
    objects.put(PEOPLE)
    status, _ = refused(objects.select, expression=expression)
    assert status == 400


def test_a_bomb_does_no_harm(objects: Objects) -> None:
    source = {"CSV": {}, "CompressionType": "GZIP"}
    objects.put(gzip.compress(b"0" * 50_000_000, 9))
    assert refused(objects.select, expression="SELECT * FROM S3Object", InputSerialization=source) == (
        400,
        "OverMaxRecordSize",
    )
    swelling = "||".join([f"({'||'.join(['_1'] * 100)})"] * 8)
    objects.put(b"x" * 1_000_000 + b"\n")
    code = refused(
        objects.select,
        expression=f"SELECT CHAR_LENGTH({swelling}) FROM S3Object",
        InputSerialization={"CSV": {}},
    )[1]
    assert code == "ExternalEvalException"
    assert objects.ask(PEOPLE, "SELECT COUNT(*) FROM S3Object") == "3\n"


def test_an_error_after_the_first_records_is_told_in_the_stream(objects: Objects) -> None:
    objects.put(b"1\n" * 1_500_000 + b"x\n" + b"1\n" * 600_000)
    with pytest.raises(EventStreamError) as caught:
        objects.select("SELECT CAST(_1 AS INT) FROM S3Object", InputSerialization={"CSV": {}})
    assert "CastFailed" in str(caught.value)


def test_a_query_ends_when_its_caller_goes_away(objects: Objects, server: Server) -> None:
    objects.put(b"some,csv,line,that,is,not,short\n" * 500_000)
    answers = []
    for _ in range(8):  # more than run at once
        answer = objects.s3.select_object_content(
            Bucket=objects.bucket,
            Key="object",
            Expression="SELECT * FROM S3Object",
            ExpressionType="SQL",
            InputSerialization={"CSV": {}},
            OutputSerialization={"CSV": {}},
        )
        next(iter(answer["Payload"]))
        answer["Payload"].close()
        answers.append(answer)
    deadline = time.monotonic() + 20
    while _queries(server):
        assert time.monotonic() < deadline, "queries outlive their callers"
        time.sleep(0.1)


def test_too_many_at_once_are_refused(objects: Objects, server: Server) -> None:
    objects.put(b"some,csv,line,that,is,not,short\n" * 500_000)
    client = objects.s3
    held = []
    try:
        with pytest.raises(ClientError) as caught:
            for _ in range(5):  # two workers, two each
                held.append(
                    client.select_object_content(
                        Bucket=objects.bucket,
                        Key="object",
                        Expression="SELECT * FROM S3Object",
                        ExpressionType="SQL",
                        InputSerialization={"CSV": {}},
                        OutputSerialization={"CSV": {}},
                    )
                )
        assert caught.value.response["Error"]["Code"] == "Busy"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        for answer in held:
            answer["Payload"].close()
    deadline = time.monotonic() + 20
    while _queries(server) and time.monotonic() < deadline:
        time.sleep(0.1)


def _queries(server: Server) -> int:
    """How many processes the server's workers have for queries."""
    workers = {
        str(pid) for role, pids in server.children().items() if role.startswith("worker") for pid in pids
    }
    found = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found += path.read_text().rpartition(")")[2].split()[1] in workers
    return found
