"""A browser's upload form (multipart/form-data), read as it streams: fields first, then one file.

The library reads the framing; this module bounds it, and hands out the file as it arrives. What follows
the file is read and ignored, as S3 does.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from objstore.api.call import Body
from objstore.s3.errors import (
    InvalidArgument,
    MalformedPOSTRequest,
    MaxPostPreDataLengthExceeded,
    PreconditionFailed,
)

FIELDS_BYTES_MAX: Final = 20 * 1024
"""All fields before the file, names and values. Source: Amazon S3 API reference, "POST Object"."""
FIELDS_MAX: Final = 200
REST_BYTES_MAX: Final = 64 * 1024
"""What may follow the file."""
_BOUNDARY_CHARACTERS_MAX: Final = 200

Event = Any
"""A MultipartSegment (a field begins), bytes of it, or None (it ends)."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, lower-case names, and its file, of which nothing has been read yet."""

    fields: Mapping[str, str]
    filename: str | None
    """None where the file was sent without a name."""
    file: "FormFile"


class FormFile:
    """The form's file as a body to store; reading it to the end also reads the rest of the form.

    `check_so_far` is called with the bytes read at each piece, `check_all` with their number at the end;
    what they raise ends the reading.
    """

    length: int | None = None
    trailers: Mapping[str, str] = {}

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self.check_so_far: Callable[[int], None] = _accept
        self.check_all: Callable[[int], None] = _accept

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for event in self._events:
            if event is None:
                break
            assert isinstance(event, (bytes, bytearray))
            size += len(event)
            self.check_so_far(size)
            yield bytes(event)
        else:
            raise MalformedPOSTRequest
        async for _ in self._events:
            pass
        self.check_all(size)

    async def read(self, limit: int) -> bytes:
        """All of it; `limit` is not looked at, for `check_so_far` bounds the file."""
        return b"".join([piece async for piece in self])


def _accept(size: int) -> None:
    """Any size will do."""


async def read_form(content_type: str, body: Body) -> Form:
    """The fields of the form in `body`, and its file to be read.

    Raises PreconditionFailed (another type of content), MalformedPOSTRequest, MaxPostPreDataLengthExceeded,
    InvalidArgument (a field given twice, no file, no text), and what reading `body` raises.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data":
        raise PreconditionFailed(Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    if not boundary or len(boundary) > _BOUNDARY_CHARACTERS_MAX:
        raise MalformedPOSTRequest
    try:
        parser = PushMultipartParser(boundary, max_segment_count=FIELDS_MAX)
    except (MultipartError, UnicodeEncodeError):
        raise MalformedPOSTRequest from None
    events = _events(parser, body)
    fields: dict[str, str] = {}
    name, value, size = "", bytearray(), 0
    async for event in events:
        if isinstance(event, MultipartSegment):
            name = (event.name or "").lower()
            if name == "file":
                return Form(fields, event.filename, FormFile(events))
            size += len(name)
        elif event is not None:
            value += event
            size += len(event)
        else:
            _add(fields, name, value)
            value = bytearray()
        if size > FIELDS_BYTES_MAX:
            raise MaxPostPreDataLengthExceeded
    raise InvalidArgument(
        "POST requires exactly one file upload per request.", ArgumentName="file", ArgumentValue="0"
    )


def _add(fields: dict[str, str], name: str, value: bytearray) -> None:
    if not name:
        raise MalformedPOSTRequest
    if name in fields:
        raise InvalidArgument(
            "A field of the form must be given once.",
            ArgumentName=name,
            ArgumentValue=ascii(fields[name])[1:-1],
        )
    try:
        fields[name] = value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidArgument("A field of the form must be UTF-8.", ArgumentName=name) from None


async def _events(parser: PushMultipartParser, body: Body) -> AsyncIterator[Event]:
    """The parser's events; after the first file's end only the body is read on. All of it, to its end."""
    is_file, is_over, rest = False, False, 0
    async for piece in body:
        if is_over or parser.closed:
            rest += len(piece)
            if rest > REST_BYTES_MAX:
                raise MalformedPOSTRequest
            continue
        try:
            for event in parser.parse(piece):
                if is_over:
                    continue
                if isinstance(event, MultipartSegment):
                    is_file = (event.name or "").lower() == "file"
                yield event
                is_over = is_file and event is None
        except MultipartError as exc:
            if not is_over:
                raise MalformedPOSTRequest from exc
