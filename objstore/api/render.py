"""From a Reply or an S3 error to the bytes of an HTTP response's head, and what follows it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, fields
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from objstore import blocking, clock
from objstore.api.call import Reply
from objstore.s3 import errors, xml
from objstore.s3.documents.error import error_document
from objstore.s3.errors import S3Error

XML: Final = "application/xml"
WITHOUT_BODY: Final = frozenset({204, 304})
CLOSING: Final = (errors.BadRequest, errors.IncompleteBody, errors.RequestTimeout)
"""After these nobody can be sure where the next request on the connection would begin."""
_CONTROL_ERROR: Final = xml.DECLARATION + b"<ErrorResponse>%b<RequestId>%b</RequestId></ErrorResponse>"
INLINE_ITEMS: Final = 250
"""Documents with more repeated elements than this (1 ms) are written off the event loop."""

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_UNSENDABLE: Final = frozenset("\r\n\0")


@dataclass(slots=True)
class Response:
    """An answer, ready to be written: `body`, or `stream`, or neither.

    `length` is that of the body; None for an answer that has none (204, 304) or whose length nobody
    knows yet (`stream`).
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | memoryview = b""
    stream: AsyncIterator[bytes | memoryview] | None = None
    length: int | None = None
    closes: bool = False
    """The connection is of no further use after this answer."""


async def render(reply: Reply, method: str) -> Response:
    """The response for a handler's reply."""
    if reply.document is not None:
        dumped = await _dump(reply.document)
        headers = {"content-type": XML, **reply.headers}
        return Response(reply.status, headers, dumped, length=len(dumped))
    if reply.stream is not None:
        return Response(reply.status, reply.headers, stream=reply.stream, length=reply.content_length)
    if reply.status in WITHOUT_BODY:
        return Response(reply.status, reply.headers)
    if method == "HEAD":
        return Response(reply.status, reply.headers, length=reply.content_length or 0)
    body = reply.body if reply.body is not None else b""
    return Response(reply.status, reply.headers, body, length=len(body))


async def _dump(document: Any) -> bytes:
    given = (getattr(document, declared.name) for declared in fields(document))
    if sum(len(items) for items in given if isinstance(items, tuple)) <= INLINE_ITEMS:
        return xml.dumps(document)
    return await blocking.run(xml.dumps, document)


def render_error(
    error: S3Error, method: str, resource: str, request_id: str, host_id: str, *, is_control: bool = False
) -> Response:
    """The response for an S3 error. To a HEAD it is the status alone, as to a 304.

    S3 Control's clients (`is_control`) look for the error one element deeper.
    """
    if error.status in WITHOUT_BODY:
        return Response(error.status, error.headers)
    headers = {"content-type": XML, **error.headers}
    closes = isinstance(error, CLOSING)
    if method == "HEAD":
        return Response(error.status, headers, length=0, closes=closes)
    body = error_document(
        code=error.code,
        message=error.message,
        elements=error.elements,
        resource=resource,
        request_id=request_id,
        host_id=host_id,
        declaration=not is_control,
    )
    if is_control:
        body = _CONTROL_ERROR % (body, request_id.encode())
    return Response(error.status, headers, body, length=len(body), closes=closes)


def head(response: Response, request_id: str, host_id: str, *, is_http_10: bool, keeps_alive: bool) -> bytes:
    """Status line and headers. ValueError if one of them cannot be sent.

    Header values are checked when clients store them; this is the second lock on the same door, because
    a line break in one would let it write a response of its own.
    """
    lines = [
        f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}",
        f"x-amz-request-id: {request_id}",
        f"x-amz-id-2: {host_id}",
        f"date: {_http_date(clock.now_s())}",
        "server: objstore",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.length is not None:
        lines.append(f"content-length: {response.length}")
    elif response.stream is not None and not is_http_10:
        lines.append("transfer-encoding: chunked")
    if not keeps_alive:
        lines.append("connection: close")
    elif is_http_10:
        lines.append("connection: keep-alive")
    lines.append("\r\n")
    text = "\r\n".join(lines)
    if text.count("\r") != len(lines) or text.count("\n") != len(lines) or "\0" in text:
        names = [name for name, value in response.headers.items() if _UNSENDABLE & set(name + value)]
        raise ValueError(f"response headers that cannot be sent: {', '.join(names)}")
    return text.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=2)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
