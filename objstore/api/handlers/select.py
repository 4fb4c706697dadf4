"""SelectObjectContent."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, reading_key, unlocked
from objstore.s3 import errors, event_stream
from objstore.s3.documents.select import CsvInput as CsvInputDocument
from objstore.s3.documents.select import CsvOutput as CsvOutputDocument
from objstore.s3.documents.select import InputSerialization, OutputSerialization, SelectObjectContentRequest
from objstore.select.job import Job
from objstore.select.process import Counts, Message, Records
from objstore.select.records import CsvInput
from objstore.select.typed import CsvOutput, JsonOutput
from objstore.service import failures
from objstore.service.restores import check_readable
from objstore.service.selections import ScanRange

QUICK_S: Final = 2.0
"""How long a query may be silent before its answer begins without knowing what comes of it."""
CONTINUATION_S: Final = 5.0
"""Between two messages that only keep the connection."""
PROGRESS_S: Final = 5.0
"""Between two reports of how far a query is."""

_log = logging.getLogger("objstore.api")


async def select(call: Call) -> Reply:
    """SelectObjectContent: errors known before the first record are ordinary ones."""
    selections = call.services.selections
    selections.check_available()
    if call.identity.is_anonymous:
        raise errors.AccessDenied
    if "range" in call.headers:
        raise errors.UnsupportedRangeHeader
    document: SelectObjectContentRequest = call.document
    job, wanted = job_of(document)
    customer_key = reading_key(call)
    version = await call.services.objects.find(bucket_of(call), call.key)
    data_key = await unlocked(call, version, customer_key)
    check_readable(version)
    messages = selections.run(version, job, wanted, data_key)
    pending = asyncio.ensure_future(anext(messages, None))
    try:
        await asyncio.wait({pending}, timeout=QUICK_S)
        if pending.done():
            pending.result()  # what is wrong with the query or the object is known here
    except BaseException:
        await _end(pending, messages)
        raise
    shows_progress = document.request_progress is not None and document.request_progress.enabled
    return Reply(stream=_stream(call, pending, messages, shows_progress=shows_progress))


async def _end(pending: "asyncio.Future[Message | None]", messages: AsyncGenerator[Message, None]) -> None:
    pending.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await pending
    await messages.aclose()


async def _stream(
    call: Call,
    pending: "asyncio.Future[Message | None]",
    messages: AsyncGenerator[Message, None],
    *,
    shows_progress: bool,
) -> AsyncGenerator[bytes, None]:
    """The event stream of a query: records as they come, something at least every few seconds."""
    returned, told_s, heard_s = 0, clock.monotonic_s(), clock.monotonic_s()
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=CONTINUATION_S)
            if not done or clock.monotonic_s() - heard_s >= CONTINUATION_S:
                heard_s = clock.monotonic_s()
                yield event_stream.CONTINUATION
            if not done:
                continue
            try:
                message = pending.result()
            except Exception as exc:
                yield _late_error(call, exc)
                return
            match message:
                case Records(data):
                    returned += len(data)
                    heard_s = clock.monotonic_s()
                    for piece in event_stream.records(data):
                        yield piece
                case Counts(scanned, processed, is_final):
                    if is_final:
                        if shows_progress:
                            yield event_stream.progress(scanned, processed, returned)
                        yield event_stream.stats(scanned, processed, returned)
                        yield event_stream.END
                        return
                    if shows_progress and clock.monotonic_s() - told_s >= PROGRESS_S:
                        told_s = clock.monotonic_s()
                        yield event_stream.progress(scanned, processed, returned)
            pending = asyncio.ensure_future(anext(messages, None))
    finally:
        await _end(pending, messages)


def _late_error(call: Call, failure: Exception) -> bytes:
    error = failures.translate(failure)
    if error is None:
        _log.error("%s failed", call.operation.name, exc_info=failure, extra={"request_id": call.request_id})
        error = errors.InternalError()
    call.notes.late_error = error
    return event_stream.error(error.code, error.message)


# --- the document -----------------------------------------------------------------------------------


def job_of(document: SelectObjectContentRequest) -> tuple[Job, ScanRange | None]:
    """What a request asks for.

    Raises MissingRequiredParameter, InvalidExpressionType, InvalidDataSource, ObjectSerializationConflict,
    InvalidFileHeaderInfo, InvalidJsonType, InvalidQuoteFields, InvalidCompressionFormat,
    InvalidRequestParameter, UnsupportedScanRangeInput.
    """
    source, target = document.input_serialization, document.output_serialization
    if not document.expression or document.expression_type is None or source is None or target is None:
        raise errors.MissingRequiredParameter
    if document.expression_type.upper() != "SQL":
        raise errors.InvalidExpressionType
    format_ = _format(source)
    compression = source.compression_type or "NONE"
    if compression not in ("NONE", "GZIP", "BZIP2"):
        raise errors.InvalidCompressionFormat
    if format_ == "parquet" and compression != "NONE":
        raise errors.InvalidRequestParameter("A Parquet object cannot be compressed as a whole.")
    job = Job(
        document.expression,
        format_,
        compression,
        csv_input(source.csv) if source.csv is not None else CsvInput(),
        _output(target),
    )
    if document.scan_range is None:
        return job, None
    if compression != "NONE" or format_ == "json-document" or job.csv.allows_quoted_delimiters:
        raise errors.UnsupportedScanRangeInput
    return job, ScanRange(document.scan_range.start, document.scan_range.end)


def _format(source: InputSerialization) -> str:
    given = [one for one in (source.csv, source.json, source.parquet) if one is not None]
    if len(given) > 1:
        raise errors.ObjectSerializationConflict
    if source.csv is not None:
        return "csv"
    if source.parquet is not None:
        return "parquet"
    if source.json is None:
        raise errors.InvalidDataSource
    match (source.json.type or "").upper():
        case "LINES":
            return "json-lines"
        case "DOCUMENT":
            return "json-document"
    raise errors.InvalidJsonType


def csv_input(csv: CsvInputDocument) -> CsvInput:
    """How a CSV object is to be read. Raises InvalidFileHeaderInfo, InvalidRequestParameter."""
    header = (csv.file_header_info or "NONE").upper()
    if header not in ("NONE", "USE", "IGNORE"):
        raise errors.InvalidFileHeaderInfo
    made = CsvInput(
        header=header,
        comments=_characters(csv.comments, "#", least=0),
        escape=_characters(csv.quote_escape_character, '"', least=0),
        record_delimiter=_characters(csv.record_delimiter, "\n", most=2),
        field_delimiter=_characters(csv.field_delimiter, ","),
        quote=_characters(csv.quote_character, '"', least=0),
        allows_quoted_delimiters=csv.allow_quoted_record_delimiter,
    )
    if len({made.field_delimiter, made.quote, made.record_delimiter}) < 3:
        raise errors.InvalidRequestParameter("Delimiters and quote must be different characters.")
    return made


def _output(target: OutputSerialization) -> CsvOutput | JsonOutput:
    if target.csv is not None and target.json is not None:
        raise errors.ObjectSerializationConflict
    if target.csv is not None:
        return csv_output(target.csv)
    if target.json is None:
        raise errors.MissingRequiredParameter
    return JsonOutput(_characters(target.json.record_delimiter, "\n", most=2))


def csv_output(csv: CsvOutputDocument) -> CsvOutput:
    """How records are written as CSV. Raises InvalidQuoteFields, InvalidRequestParameter."""
    quotes = (csv.quote_fields or "ASNEEDED").upper()
    if quotes not in ("ALWAYS", "ASNEEDED"):
        raise errors.InvalidQuoteFields
    return CsvOutput(
        field_delimiter=_characters(csv.field_delimiter, ","),
        record_delimiter=_characters(csv.record_delimiter, "\n", most=2),
        quote=_characters(csv.quote_character, '"', least=0),
        escape=_characters(csv.quote_escape_character, '"', least=0),
        always_quotes=quotes == "ALWAYS",
    )


def _characters(given: str | None, default: str, *, least: int = 1, most: int = 1) -> str:
    if given is None:
        return default
    if not least <= len(given) <= most:
        raise errors.InvalidRequestParameter(
            f"A delimiter, quote, escape or comment of {least} to {most} characters is expected."
        )
    return given
