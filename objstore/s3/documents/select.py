"""SelectObjectContentRequest. Its enumerations have errors of their own, so that they are read as text."""

from objstore.s3.xml import document, element


@document
class CsvInput:
    """How a CSV object is to be read."""

    file_header_info: str | None = None
    comments: str | None = None
    quote_escape_character: str | None = None
    record_delimiter: str | None = None
    field_delimiter: str | None = None
    quote_character: str | None = None
    allow_quoted_record_delimiter: bool = False


@document
class JsonInput:
    """How a JSON object is to be read."""

    type: str | None = None


@document
class ParquetInput:
    """A Parquet file says itself how it is to be read."""


@document
class InputSerialization:
    """What the object is."""

    csv: CsvInput | None = element("CSV", default=None)
    compression_type: str | None = None
    json: JsonInput | None = element("JSON", default=None)
    parquet: ParquetInput | None = None


@document
class CsvOutput:
    """How records are written as CSV."""

    quote_fields: str | None = None
    quote_escape_character: str | None = None
    record_delimiter: str | None = None
    field_delimiter: str | None = None
    quote_character: str | None = None


@document
class JsonOutput:
    """How records are written as JSON."""

    record_delimiter: str | None = None


@document
class OutputSerialization:
    """What is wanted."""

    csv: CsvOutput | None = element("CSV", default=None)
    json: JsonOutput | None = element("JSON", default=None)


@document
class RequestProgress:
    """Whether to tell how far the query is."""

    enabled: bool = False


@document
class ScanRange:
    """Records that begin at these bytes; an end alone: that many last bytes."""

    start: int | None = None
    end: int | None = None


@document
class SelectObjectContentRequest:
    """A query over one object."""

    expression: str | None = None
    expression_type: str | None = None
    request_progress: RequestProgress | None = None
    input_serialization: InputSerialization | None = None
    output_serialization: OutputSerialization | None = None
    scan_range: ScanRange | None = None
