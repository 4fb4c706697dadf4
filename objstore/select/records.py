"""An object's bytes as portions of records, each ready for the engine.

A portion is one text of a few MiB whose records end in RECORD and whose fields end in FIELD (CSV), or whose
records end in RECORD (JSON); where the data itself has these characters, lists of fields.
"""

import bz2
import codecs
import csv
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from objstore.s3 import errors

RECORD: Final = "\x1e"
FIELD: Final = "\x1f"
RECORD_CHARACTERS_MAX: Final = 1024 * 1024
"""The longest record, as in S3 Select."""
DOCUMENT_CHARACTERS_MAX: Final = 32 * 1024 * 1024
"""The longest value of a JSON document."""
PORTION_BYTES: Final = 1024 * 1024
"""Decompressed bytes looked at together."""

Portion = str | list[list[str]]


class Decoder(Protocol):
    """Takes an object's bytes as they come, gives decompressed ones."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of at most about PORTION_BYTES."""
        ...

    def finish(self) -> None:
        """Raises TruncatedInput when more should have come."""
        ...


class Plain:
    """No compression."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class Gzip:
    """gzip, one or several members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                self._member = zlib.decompressobj(wbits=31)
            self._is_begun = True
            try:
                piece = self._member.decompress(data, PORTION_BYTES)
            except zlib.error:
                raise errors.InvalidCompressionFormat(
                    "GZIP is not applicable to the queried object. Please correct the request and try again."
                ) from None
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        if self._is_begun and not self._member.eof:
            raise errors.TruncatedInput


class Bzip2:
    """bzip2, one or several streams."""

    def __init__(self) -> None:
        self._stream = bz2.BZ2Decompressor()
        self._is_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._stream.eof or self._stream.needs_input):
            if self._stream.eof:
                self._stream = bz2.BZ2Decompressor()
            self._is_begun = True
            try:
                piece = self._stream.decompress(data, PORTION_BYTES)
            except OSError:
                raise errors.InvalidCompressionFormat(
                    "BZIP2 is not applicable to the queried object. Please correct the request and try again."
                ) from None
            if piece:
                yield piece
            data = self._stream.unused_data if self._stream.eof else b""

    def finish(self) -> None:
        if self._is_begun and not self._stream.eof:
            raise errors.TruncatedInput


DECODERS: Final[dict[str, Callable[[], Decoder]]] = {"NONE": Plain, "GZIP": Gzip, "BZIP2": Bzip2}


@dataclass(frozen=True, slots=True)
class CsvInput:
    """How an object's records are written as CSV. Every character may be empty for none but delimiters."""

    header: str = "NONE"
    comments: str = "#"
    escape: str = '"'
    record_delimiter: str = "\n"
    field_delimiter: str = ","
    quote: str = '"'
    allows_quoted_delimiters: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """Which records of what is fed count: those that begin at `start` to `end` (exclusive, None: the end)."""

    start: int = 0
    end: int | None = None


class Texts:
    """Bytes as text, cut at a delimiter: whole records by the portion."""

    def __init__(self, delimiter: str, longest: int = RECORD_CHARACTERS_MAX) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._delimiter = delimiter
        self._longest = longest
        self._rest = ""

    def feed(self, data: bytes, *, is_last: bool = False) -> list[str]:
        """The records that are whole now. Raises InvalidTextEncoding, OverMaxRecordSize."""
        text = _decoded(self._decoder, data, is_last=is_last)
        records = (self._rest + text).split(self._delimiter)
        self._rest = records.pop()
        if len(self._rest) > self._longest:
            raise errors.OverMaxRecordSize
        if is_last and self._rest:
            records.append(self._rest)
            self._rest = ""
        return records


def _decoded(decoder: codecs.IncrementalDecoder, data: bytes, *, is_last: bool) -> str:
    try:
        return decoder.decode(data, is_last)
    except UnicodeDecodeError:
        raise errors.InvalidTextEncoding("UTF-8 encoding is required.") from None


class CsvRecords:
    """CSV records; the header, if there is one, apart."""

    def __init__(self, dialect: CsvInput) -> None:
        self._dialect = dialect
        self._texts = Texts(dialect.record_delimiter)
        self._open: list[str] = []
        self._open_characters = 0
        self._quotes = 0
        self._wants_header = dialect.header != "NONE"
        self.header: list[str] | None = None
        csv.field_size_limit(RECORD_CHARACTERS_MAX * 2)

    @property
    def is_ready(self) -> bool:
        """Whether it is known what columns are called."""
        return not self._wants_header

    def feed(self, data: bytes, *, is_last: bool = False) -> Portion | None:
        """The portion of these bytes. Raises CSVParsingError and its like, InvalidTextEncoding."""
        records = self._texts.feed(data, is_last=is_last)
        records = self._without_empty(records)
        has_quotes = bool(self._dialect.quote) and (
            bool(self._open) or any(self._dialect.quote in record for record in records)
        )
        if self._dialect.allows_quoted_delimiters:
            records = self._without_returns(list(self._closed(records)))
            if is_last and self._open:
                raise errors.CSVUnescapedQuote
        if self._wants_header and records:
            self.header = self._fields([records.pop(0)])[0]
            self._wants_header = False
        if not records:
            return None
        return self._portion(records, has_quotes)

    def _without_empty(self, records: list[str]) -> list[str]:
        """Without empty lines and comments. (A quoted delimiter may be followed by an empty line.)"""
        dialect = self._dialect
        if dialect.allows_quoted_delimiters:
            return records
        records = self._without_returns(records)
        if dialect.comments:
            return [record for record in records if record and not record.startswith(dialect.comments)]
        return [record for record in records if record]

    def _without_returns(self, records: list[str]) -> list[str]:
        """Lines that end in CR LF are taken for lines that end in LF."""
        if self._dialect.record_delimiter == "\n" and any(record.endswith("\r") for record in records):
            return [record.removesuffix("\r") for record in records]
        return records

    def _closed(self, records: Iterable[str]) -> Iterator[str]:
        """Records put together again that were cut within quotes."""
        dialect = self._dialect
        for piece in records:
            if not self._open and (
                piece in ("", "\r") or (dialect.comments and piece.startswith(dialect.comments))
            ):
                continue
            self._open.append(piece)
            self._open_characters += len(piece) + len(dialect.record_delimiter)
            if self._open_characters > RECORD_CHARACTERS_MAX:
                raise errors.OverMaxRecordSize
            if dialect.quote:
                self._quotes += piece.count(dialect.quote)
                if dialect.escape not in ("", dialect.quote):
                    self._quotes -= piece.count(dialect.escape + dialect.quote)
            if self._quotes % 2 == 0:
                yield dialect.record_delimiter.join(self._open)
                self._open, self._open_characters, self._quotes = [], 0, 0

    def _portion(self, records: list[str], has_quotes: bool) -> Portion:
        delimiter = self._dialect.field_delimiter
        text = RECORD.join(records)
        is_clean = text.count(RECORD) == len(records) - 1 and (delimiter == FIELD or FIELD not in text)
        if not has_quotes:
            if is_clean:
                return text.replace(delimiter, FIELD)
            return [record.split(delimiter) for record in records]
        rows = self._fields(records)
        if is_clean:
            return RECORD.join(map(FIELD.join, rows))
        return rows

    def _fields(self, records: list[str]) -> list[list[str]]:
        """The fields of records, quotes taken off."""
        dialect = self._dialect
        if not dialect.quote:
            return [record.split(dialect.field_delimiter) for record in records]
        doubles = dialect.escape in ("", dialect.quote)
        try:
            rows = list(
                csv.reader(
                    records,
                    delimiter=dialect.field_delimiter,
                    quotechar=dialect.quote,
                    doublequote=doubles,
                    escapechar=None if doubles else dialect.escape,
                    strict=True,
                )
            )
        except csv.Error:
            return [_split(record, dialect) for record in records]
        if len(rows) != len(records):
            raise errors.CSVEscapingRecordDelimiter
        return rows


def _split(record: str, dialect: CsvInput) -> list[str]:
    """One record, character by character: for what the csv module refuses though S3 reads it."""
    fields: list[str] = []
    field: list[str] = []
    offset, is_quoted = 0, False
    while offset < len(record):
        character = record[offset]
        following = record[offset + 1 : offset + 2]
        if (
            is_quoted
            and character == dialect.escape
            and following
            and following
            in (
                dialect.quote,
                dialect.escape,
            )
        ):
            field.append(following)
            offset += 1
        elif character == dialect.quote and (is_quoted or not field):
            is_quoted = not is_quoted
        elif character == dialect.field_delimiter and not is_quoted:
            fields.append("".join(field))
            field = []
        else:
            field.append(character)
        offset += 1
    if is_quoted:
        raise errors.CSVEscapingRecordDelimiter
    fields.append("".join(field))
    return fields


class JsonLines:
    """JSON values, one a line."""

    is_ready = True

    def __init__(self) -> None:
        self._texts = Texts("\n")

    def feed(self, data: bytes, *, is_last: bool = False) -> Portion | None:
        """The portion of these bytes. Raises JSONParsingError, InvalidTextEncoding."""
        records = [
            record for record in self._texts.feed(data, is_last=is_last) if not record.isspace() and record
        ]
        if not records:
            return None
        return _json_portion(records)


class JsonDocument:
    """JSON values one after the other, however they are laid out."""

    is_ready = True
    _SPACE: Final = re.compile(r"[ \t\r\n]*")

    def __init__(self) -> None:
        self._texts = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._rest = ""
        self._tried = 0

    def feed(self, data: bytes, *, is_last: bool = False) -> Portion | None:
        """The portion of these bytes. Raises JSONParsingError, InvalidTextEncoding, OverMaxRecordSize."""
        self._rest += _decoded(self._texts, data, is_last=is_last)
        if len(self._rest) < 2 * self._tried and not is_last:
            return None  # what was not whole is looked at again when it has doubled
        records: list[str] = []
        offset = self._skip(0)
        while offset < len(self._rest):
            try:
                _, end = self._decoder.raw_decode(self._rest, offset)
            except (ValueError, RecursionError):
                if is_last:
                    raise errors.JSONParsingError from None
                break
            if end == len(self._rest) and not is_last and self._rest[end - 1] not in '}]"':
                break  # a number may go on
            records.append(self._rest[offset:end])
            offset = self._skip(end)
        self._rest = self._rest[offset:]
        self._tried = len(self._rest)
        if self._tried > DOCUMENT_CHARACTERS_MAX:
            raise errors.OverMaxRecordSize
        return _json_portion(records) if records else None

    def _skip(self, offset: int) -> int:
        found = self._SPACE.match(self._rest, offset)
        assert found is not None
        return found.end()


def _json_portion(records: list[str]) -> str:
    text = RECORD.join(records)
    if text.count(RECORD) != len(records) - 1:
        raise errors.JSONParsingError  # a control character cannot stand in JSON
    return text


def cut(pieces: Iterator[bytes], delimiter: bytes, scan: Scan) -> Iterator[bytes]:
    """The bytes of the records that begin within `scan`; offsets count from the first byte of `pieces`.

    A `start` above 0 is as many bytes in as the delimiter is long: what stands before the first delimiter
    belongs to a record that began earlier.
    """
    held, base, is_within = b"", 0, scan.start == 0
    overlap = len(delimiter) - 1
    for piece in pieces:
        data, held = held + piece, b""
        if not is_within:
            found = data.find(delimiter)
            if found < 0:
                held = data[len(data) - overlap :] if overlap else b""
                base += len(data) - len(held)
                continue
            base, data = base + found + len(delimiter), data[found + len(delimiter) :]
            is_within = True
            if scan.end is not None and base >= scan.end:
                return
        if scan.end is not None and base + len(data) >= scan.end - len(delimiter):
            found = data.find(delimiter, max(0, scan.end - len(delimiter) - base))
            if found >= 0:
                yield data[: found + len(delimiter)]
                return
            held = data[len(data) - overlap :] if overlap else b""
            data = data[: len(data) - len(held)]
        base += len(data)
        yield data
    if is_within:
        yield held
