"""One query over one object: portions of records in, result records out. Runs in a process of its own.

DuckDB sees no file here but a Parquet file that was handed over open: records come to it as values bound
to a statement, its access to files, network and extensions is off, and its settings are locked.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import duckdb

from objstore.s3 import errors
from objstore.s3.errors import S3Error
from objstore.select.job import Job
from objstore.select.parser import parse
from objstore.select.records import (
    DECODERS,
    FIELD,
    PORTION_BYTES,
    RECORD,
    RECORD_CHARACTERS_MAX,
    CsvRecords,
    JsonDocument,
    JsonLines,
    Portion,
    cut,
)
from objstore.select.timestamps import MACROS
from objstore.select.translate import translate
from objstore.select.typed import FAILURE, Columns, Kind, Statements, literal

FETCHED_ROWS: Final = 5000
_TEXTS: Final = f"SELECT unnest(string_split($c::VARCHAR, '{RECORD}')) AS u"
_FIELDS: Final = f"(SELECT string_split(u, '{FIELD}') AS r FROM ({_TEXTS}))"
_LISTS: Final = "(SELECT unnest($c::VARCHAR[][]) AS r)"
_VALUES: Final = f"(SELECT CAST(u AS JSON) AS r FROM ({_TEXTS}))"
_INTEGERS: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "HUGEINT"}
)

AnyRecords = CsvRecords | JsonLines | JsonDocument
Emit = Callable[[bytes], None]
Report = Callable[[int, int], None]


class Evaluation:
    """One query under way. `emit` takes result records, `report` bytes scanned and processed so far."""

    def __init__(self, job: Job, emit: Emit, report: Report) -> None:
        self._job = job
        self._emit = emit
        self._report = report
        self._query = parse(job.expression)
        self._left = self._query.limit
        self._statements: dict[str, Statements] = {}
        self._has_partials = False
        self._database = _open(job)
        self.scanned = 0
        self.processed = 0

    def run(self, pieces: Iterator[bytes]) -> None:
        """Feed the object's bytes through. Raises S3Error."""
        try:
            if self._job.format == "parquet":
                self._run_parquet(pieces)
            else:
                self._run_text(pieces)
        except duckdb.Error as exc:
            raise _meaning(exc) from exc
        except MemoryError:
            raise errors.ExternalEvalException(
                "The query cannot be evaluated: it needs more memory than one may have."
            ) from None

    def _run_text(self, pieces: Iterator[bytes]) -> None:
        job = self._job
        records = _records(job)
        if isinstance(records, CsvRecords) and job.has_head:
            self._read_head(records, next(pieces))
        if records.is_ready:
            self._prepare(records)
        if job.scan.start or job.scan.end is not None:
            pieces = cut(self._counted(pieces), job.csv.record_delimiter.encode(), job.scan)
        else:
            pieces = self._counted(pieces)
        for data in _gathered(self._decompressed(pieces)):
            if self._left == 0:
                return
            self._take(records, records.feed(data))
        self._take(records, records.feed(b"", is_last=True))
        if not self._statements:
            self._prepare(records)
        self._finish()

    def _read_head(self, records: CsvRecords, head: bytes) -> None:
        delimiter = self._job.csv.record_delimiter.encode()
        whole, found, _ = head.rpartition(delimiter)
        records.feed(whole + found)
        if not records.is_ready:
            raise errors.OverMaxRecordSize

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.scanned += len(piece)
            yield piece

    def _decompressed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        decoder = DECODERS[self._job.compression]()
        for piece in pieces:
            for data in decoder.feed(piece):
                self.processed += len(data)
                yield data
        decoder.finish()

    def _take(self, records: AnyRecords, portion: Portion | None) -> None:
        if portion is None:
            return
        if not self._statements:
            self._prepare(records)
        self._execute("values" if isinstance(portion, str) else "lists", {"c": portion})
        self._report(self.scanned, self.processed)

    def _prepare(self, records: AnyRecords) -> None:
        output = self._job.output
        if not isinstance(records, CsvRecords):
            self._statements["values"] = translate(self._query, Columns("json"), output, _VALUES)
            return
        names = tuple(records.header or ()) if self._job.csv.header == "USE" else None
        columns = Columns("csv", names)
        self._statements["values"] = translate(self._query, columns, output, _FIELDS)
        self._statements["lists"] = translate(self._query, columns, output, _LISTS)

    def _execute(self, form: str, bound: dict[str, Any]) -> None:
        statements = self._statements[form]
        if statements.final is not None:
            verb = "INSERT INTO partials" if self._has_partials else "CREATE TABLE partials AS"
            self._database.execute(f"{verb} {statements.rows}", bound)
            self._has_partials = True
            return
        sql = statements.rows
        if self._left is not None:
            sql, bound = f"{sql} LIMIT $n", {**bound, "n": self._left}
        self._fetch(self._database.execute(sql, bound))

    def _fetch(self, result: duckdb.DuckDBPyConnection) -> None:
        delimiter = self._job.output.record_delimiter
        while rows := result.fetchmany(FETCHED_ROWS):
            records = [row[0] or "" for row in rows]
            if max(map(len, records)) > RECORD_CHARACTERS_MAX:
                raise errors.OverMaxRecordSize
            if self._left is not None:
                self._left -= len(records)
            self._emit((delimiter.join(records) + delimiter).encode())

    def _finish(self) -> None:
        """The result of aggregates; for an object without records too."""
        form = next(iter(self._statements))
        final = self._statements[form].final
        if final is None or self._left == 0:
            return
        if not self._has_partials:
            self._execute(form, {"c": None})
        self._fetch(self._database.execute(final))

    # Parquet.

    def _run_parquet(self, pieces: Iterator[bytes]) -> None:
        for _ in pieces:
            raise AssertionError("a Parquet file is not fed")
        file = literal(_descriptor_path(self._job))
        options = "binary_as_string=true, file_row_number=true"
        described = self._database.execute(
            f"DESCRIBE SELECT * FROM read_parquet({file}, {options})"
        ).fetchall()
        names = tuple(str(row[0]) for row in described[:-1])
        shown = [_parquet_column(f"k{number}", str(row[1])) for number, row in enumerate(described[:-1])]
        aliases = ", ".join(f"k{number}" for number in range(len(described)))
        columns = ", ".join(f"{sql} AS c{number}" for number, (sql, _) in enumerate(shown))
        source = f"(SELECT {columns} FROM read_parquet({file}, {options}) AS t({aliases})"
        source += self._row_groups(file, f"k{len(names)}") + ")"
        shape = Columns("parquet", names, tuple(kind for _, kind in shown))
        self._statements["values"] = translate(self._query, shape, self._job.output, source)
        self._execute("values", {})
        self._finish()

    def _row_groups(self, file: str, row_number: str) -> str:
        """The rows of the row groups that begin within the scan range."""
        scan = self._job.scan
        if not scan.start and scan.end is None:
            return ""
        groups = self._database.execute(
            "SELECT any_value(row_group_num_rows), min(least(data_page_offset, "
            "CASE WHEN coalesce(dictionary_page_offset, 0) > 0 THEN dictionary_page_offset "
            f"ELSE data_page_offset END)) FROM parquet_metadata({file}) GROUP BY row_group_id "
            "ORDER BY row_group_id"
        ).fetchall()
        first, conditions = 0, ["FALSE"]
        for count, offset in groups:
            if offset >= scan.start and (scan.end is None or offset < scan.end):
                conditions.append(f"{row_number} BETWEEN {first} AND {first + count - 1}")
            first += count
        return f" WHERE {' OR '.join(conditions)}"


def _records(job: Job) -> AnyRecords:
    match job.format:
        case "csv":
            return CsvRecords(job.csv)
        case "json-lines":
            return JsonLines()
    return JsonDocument()


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces put together to what is worth a statement."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PORTION_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _descriptor_path(job: Job) -> str:
    assert job.parquet_descriptor is not None
    return f"/proc/self/fd/{job.parquet_descriptor}"


def _open(job: Job) -> duckdb.DuckDBPyConnection:
    """A database in memory that can reach nothing, and whose settings are final."""
    database = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{job.memory_bytes}B",
            "temp_directory": "",
            "max_temp_directory_size": "0KiB",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "preserve_insertion_order": "true",
        },
    )
    for macro in MACROS:
        database.execute(macro)
    now = datetime.fromtimestamp(job.now_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    database.execute(f"CREATE MACRO s3_now() AS {{'t': TIMESTAMP '{now}', 'o': 0, 'p': 8}}")
    if job.parquet_descriptor is not None:
        database.execute(f"SET allowed_paths = ['{_descriptor_path(job)}']")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def _parquet_column(name: str, type_: str) -> tuple[str, Kind]:
    """A column as the translator knows its kinds."""
    if type_ in _INTEGERS:
        return f"CAST({name} AS BIGINT)" if type_ not in ("UBIGINT", "HUGEINT") else name, Kind.INT
    if type_ in ("FLOAT", "DOUBLE"):
        return f"CAST({name} AS DOUBLE)", Kind.DOUBLE
    if type_.startswith("DECIMAL"):
        return name, Kind.DECIMAL
    if type_ == "BOOLEAN":
        return name, Kind.BOOL
    if type_ == "VARCHAR" or type_.startswith(("ENUM", "TIME ")) or type_ in ("TIME", "UUID", "BLOB"):
        return f"CAST({name} AS VARCHAR)", Kind.STRING
    if type_ == "DATE" or type_.startswith("TIMESTAMP"):
        precision = 3 if type_ == "DATE" else 8
        moment = f"({name} AT TIME ZONE 'UTC')" if type_ == "TIMESTAMP WITH TIME ZONE" else name
        struct = f"{{'t': CAST({moment} AS TIMESTAMP), 'o': 0, 'p': {precision}}}"
        return f"CASE WHEN {name} IS NULL THEN NULL ELSE {struct} END", Kind.TIMESTAMP
    return f"to_json({name})", Kind.JSON


def _meaning(failure: duckdb.Error) -> S3Error:
    """The S3 error that a failure of DuckDB's is."""
    message = str(failure)
    raised = re.search(f"{re.escape(FAILURE)}([A-Za-z]+)", message)
    if raised:
        return S3Error.by_code[raised.group(1)]()
    match failure:
        case duckdb.OutOfMemoryException():
            return errors.ExternalEvalException(
                "The query cannot be evaluated: it needs more memory than one may have."
            )
        case duckdb.OutOfRangeException():
            return errors.IntegerOverflow()
        case duckdb.ConversionException() | duckdb.InvalidInputException() if "JSON" in message:
            return errors.JSONParsingError()
        case duckdb.ConversionException():
            return errors.CastFailed()
    if "parquet" in message.lower() or "No magic bytes" in message:
        return errors.ParquetParsingError()
    return errors.ExternalEvalException(f"The query cannot be evaluated ({type(failure).__name__}).")
