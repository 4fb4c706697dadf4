"""The body of a request: read from the connection, unframed, counted and checked against its signature.

Nothing is read, and no `100 Continue` sent, before a handler asks for the first piece: by then the sender
is known, the bucket exists and the announced length is acceptable. A body that breaks a promise (length,
digest, chunk signature) raises the S3 error for it instead of ending, so whoever stores it never sees a
clean end of a wrong body.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

from objstore import blocking, clock
from objstore.api.authenticate import Proof
from objstore.api.call import Operation
from objstore.s3 import chunked, xml
from objstore.s3.chunked import AwsChunkedDecoder, ChunkSigning, Payload
from objstore.s3.errors import (
    BadRequest,
    EntityTooLarge,
    IncompleteBody,
    MalformedXML,
    MissingContentLength,
    RequestTimeout,
    S3Error,
    XAmzContentSHA256Mismatch,
)

PUT_BYTES_MAX: Final = 5 * 1024**3
"""The largest body of bytes to store: one object or part."""
FORM_BYTES_MAX: Final = PUT_BYTES_MAX + 1024**2
"""The largest browser form: a file and the fields before it."""
HASH_INLINE_BYTES: Final = 128 * 1024
"""Pieces up to this size are hashed on the event loop (0.5 ms of SHA-256); a hop to a thread costs more
than it saves there."""
RATE_GRACE_S: Final = 30.0
RATE_BYTES_PER_S_MIN: Final = 512
"""A sender slower than this, over all the time it was waited for beyond the grace, is broken off."""


class Source(Protocol):
    """Where the connection's bytes come from, still framed by aws-chunked."""

    async def readany(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end. Raises when the body breaks off."""
        ...

    def read_nowait(self) -> bytes:
        """What has arrived; b"" for nothing yet or the end."""
        ...

    def at_eof(self) -> bool:
        """The end was reached and everything was read."""
        ...

    def send_continue(self) -> None:
        """Tell the sender, if it waits to be told, that the body is welcome. Idempotent."""
        ...


class Wire:
    """The body as it crosses the network: timed, counted, and its failures said in S3's words."""

    def __init__(self, source: Source, stall_timeout_s: float) -> None:
        self.received_bytes = 0
        self._source = source
        self._stall_timeout_s = stall_timeout_s
        self._waited_s = 0.0
        self.last_read_s = 0.0
        """When the last piece came."""

    async def read(self) -> bytes:
        """The next piece; b"" at the end. Raises IncompleteBody, RequestTimeout."""
        try:
            piece = self._source.read_nowait()
            if not piece and not self._source.at_eof():
                self._source.send_continue()
                piece = await self._wait()
        except S3Error:
            raise
        except Exception as exc:  # whatever the HTTP library says, it means that the rest will not come
            raise IncompleteBody from exc
        self.received_bytes += len(piece)
        self.last_read_s = clock.monotonic_s()
        return piece

    async def _wait(self) -> bytes:
        began = clock.monotonic_s()
        try:
            async with asyncio.timeout(self._stall_timeout_s):
                piece = await self._source.readany()
        except TimeoutError:
            raise RequestTimeout from None
        self._waited_s += clock.monotonic_s() - began
        if self._waited_s > RATE_GRACE_S and self.received_bytes < self._waited_s * RATE_BYTES_PER_S_MIN:
            raise RequestTimeout
        return piece


class PlainBody:
    """A body stored as it is sent."""

    trailers: Mapping[str, str] = {}

    def __init__(self, wire: Wire, length: int | None, limit: int, sha256: str | None) -> None:
        """`length` is None when it is framed in HTTP chunks; `sha256` None when nothing is promised."""
        self.length = length
        self._wire = wire
        self._limit = limit
        self._sha256 = sha256

    async def __aiter__(self) -> AsyncIterator[bytes]:
        digest = hashlib.sha256() if self._sha256 is not None else None
        size = 0
        while piece := await self._wire.read():
            size += len(piece)
            if size > self._limit:
                raise too_large(size, self._limit)
            if digest is not None:
                if len(piece) <= HASH_INLINE_BYTES:
                    digest.update(piece)
                else:
                    await blocking.run(digest.update, piece)
            yield piece
        if self.length is not None and size < self.length:
            raise IncompleteBody
        if digest is not None and digest.hexdigest() != self._sha256:
            raise XAmzContentSHA256Mismatch(
                ClientComputedContentSHA256=self._sha256, S3ComputedContentSHA256=digest.hexdigest()
            )

    async def read(self, limit: int) -> bytes:
        """All of it. Raises EntityTooLarge past `limit` bytes."""
        return await _read_all(self, limit)


class ChunkedBody:
    """A body in the aws-chunked framing."""

    def __init__(self, wire: Wire, payload: Payload, signing: ChunkSigning | None) -> None:
        self.length = payload.decoded_length
        self.trailers: Mapping[str, str] = {}
        self._wire = wire
        self._decoder = AwsChunkedDecoder(payload, signing)
        self._inline_bytes = HASH_INLINE_BYTES if signing is not None else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        feed = self._decoder.feed
        while raw := await self._wire.read():
            is_inline = self._inline_bytes is None or len(raw) <= self._inline_bytes
            for piece in feed(raw) if is_inline else await blocking.run(feed, raw):
                yield piece
        self._decoder.finish()
        self.trailers = self._decoder.trailers

    async def read(self, limit: int) -> bytes:
        """All of it. Raises EntityTooLarge past `limit` bytes."""
        return await _read_all(self, limit)


async def _read_all(body: PlainBody | ChunkedBody, limit: int) -> bytes:
    if body.length is not None and body.length > limit:
        raise too_large(body.length, limit)
    pieces, size = [], 0
    async for piece in body:
        size += len(piece)
        if size > limit:
            raise too_large(size, limit)
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def too_large(size: int, limit: int) -> S3Error:
    """The refusal of a body of `size` bytes where `limit` are allowed."""
    return EntityTooLarge(ProposedSize=size, MaxSizeAllowed=limit)


def open_body(
    wire: Wire, operation: Operation, proof: Proof, headers: Mapping[str, str]
) -> PlainBody | ChunkedBody:
    """The body of a request whose sender is proved, before anything of it was read.

    Raises MissingContentLength, EntityTooLarge, MalformedXML (a document of a length no such document
    has), and what `chunked.parse_payload` raises.
    """
    payload = chunked.parse_payload(proof.claim, headers)
    is_framed = "transfer-encoding" in headers
    on_wire = int(headers["content-length"]) if "content-length" in headers else None
    if on_wire is None and not is_framed:
        if operation.stores_body:
            raise MissingContentLength
        on_wire = 0
    length = payload.decoded_length if payload.is_chunked else on_wire
    limit = _limit_of(operation)
    if length is not None and length > limit:
        raise MalformedXML if operation.document is not None else too_large(length, limit)
    if not payload.is_chunked:
        return PlainBody(wire, on_wire, limit, payload.sha256)
    signing = None
    if payload.is_signed:
        assert proof.claim is not None and proof.key is not None
        signing = ChunkSigning.of(proof.claim, proof.key)
    return ChunkedBody(wire, payload, signing)


def _limit_of(operation: Operation) -> int:
    if operation.document is not None:
        return xml.limit_of(operation.document)
    return FORM_BYTES_MAX if operation.name == "PostObject" else PUT_BYTES_MAX


def check_framing(headers: Mapping[str, str]) -> None:
    """Refuse a transfer coding that another HTTP reader might understand otherwise (request smuggling).

    Source: RFC 9112, section 6.1 and 11.2.
    """
    coding = headers.get("transfer-encoding")
    if coding is None:
        return
    if coding.strip().lower() != "chunked" or "content-length" in headers:
        raise BadRequest
