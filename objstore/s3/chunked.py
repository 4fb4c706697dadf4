"""Request bodies: how they are framed, and the decoder of the aws-chunked framing.

    body    = *chunk last-chunk [trailers] CRLF
    chunk   = size-in-hex [";chunk-signature=" 64 hex] CRLF data CRLF
    last    = "0" [";chunk-signature=" 64 hex] CRLF
    trailer = name ":" value CRLF, in signed mode followed by "x-amz-trailer-signature:" 64 hex CRLF

Each signature covers the one before it, the first one that of the request, so that no chunk can be
changed, dropped, repeated or moved. A chunk's data is handed on before its signature is known: whoever
stores it must not publish it before `finish` has returned.

Source: Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring Payload
in Multiple Chunks" and "... Including Trailing Headers".
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from objstore.s3 import sigv4
from objstore.s3.checksums import BY_HEADER
from objstore.s3.errors import (
    IncompleteBody,
    InvalidArgument,
    InvalidRequest,
    MalformedTrailer,
    MissingContentLength,
    SignatureDoesNotMatch,
)

HEADER_BYTES_MAX: Final = 512
TRAILER_BYTES_MAX: Final = 16 * 1024
DECODED_LENGTH_MAX: Final = 5 * 1024**4

_HEADER: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


@dataclass(frozen=True, slots=True)
class Payload:
    """How a request's body is framed, and what its headers promise about it.

    `sha256` is the promised digest in hexadecimal, for a body sent as it is; None: nothing is promised.
    `decoded_length` and `trailers` (lower-case names) are those of an aws-chunked body.
    """

    is_chunked: bool = False
    is_signed: bool = False
    sha256: str | None = None
    decoded_length: int | None = None
    trailers: tuple[str, ...] = ()


def parse_payload(claim: sigv4.Claim | None, headers: Mapping[str, str]) -> Payload:
    """How the body of a request with this (already proved) claim and these headers is framed.

    For a signed request the signed x-amz-content-sha256 decides. An anonymous one is chunked when that
    header or Content-Encoding says so. Raises MissingContentLength (no decoded length, or one that is no
    number), InvalidArgument (a length that no object has), InvalidRequest (signed chunks from nobody,
    trailers that are no checksums).
    """
    word = claim.payload if claim is not None else headers.get("x-amz-content-sha256", sigv4.UNSIGNED_PAYLOAD)
    if claim is None and word not in sigv4.STREAMING and "aws-chunked" in encodings(headers):
        word = sigv4.STREAMING_UNSIGNED_TRAILER
    if word not in sigv4.STREAMING:
        return Payload(sha256=None if word == sigv4.UNSIGNED_PAYLOAD else word)
    is_signed = word != sigv4.STREAMING_UNSIGNED_TRAILER
    if is_signed and claim is None:
        raise InvalidRequest(
            "Anonymous requests don't support this x-amz-content-sha256 value. Please use UNSIGNED-PAYLOAD or"
            " STREAMING-UNSIGNED-PAYLOAD-TRAILER."
        )
    return Payload(
        is_chunked=True,
        is_signed=is_signed,
        decoded_length=_decoded_length(headers),
        trailers=() if word == sigv4.STREAMING_SIGNED else _trailer_names(headers),
    )


def encodings(headers: Mapping[str, str]) -> list[str]:
    """The codings of Content-Encoding (lower-case header names), lower case, in order."""
    return [
        part for piece in headers.get("content-encoding", "").split(",") if (part := piece.strip().lower())
    ]


@dataclass(frozen=True, slots=True)
class ChunkSigning:
    """What chunk signatures are computed with; `seed` is the request's own signature."""

    seed: str
    key: bytes
    timestamp: str
    scope: str

    @classmethod
    def of(cls, claim: sigv4.Claim, key: bytes) -> "ChunkSigning":
        """The chunk signing of a request that was verified under `key`."""
        return cls(claim.signature, key, claim.timestamp, str(claim.scope))

    def chunk(self, previous: str, data_sha256: str) -> tuple[str, str]:
        """(signature, string to sign) of a chunk whose data has this digest, after `previous`."""
        text = "\n".join(
            (
                f"{sigv4.ALGORITHM}-PAYLOAD",
                self.timestamp,
                self.scope,
                previous,
                sigv4.EMPTY_SHA256,
                data_sha256,
            )
        )
        return sigv4.signature(self.key, text), text

    def trailer(self, previous: str, lines_sha256: str) -> tuple[str, str]:
        """(signature, string to sign) of trailers, each a line `name:value` and a newline."""
        text = "\n".join((f"{sigv4.ALGORITHM}-TRAILER", self.timestamp, self.scope, previous, lines_sha256))
        return sigv4.signature(self.key, text), text


class _State(Enum):
    HEADER = auto()  # in the line that opens a chunk
    DATA = auto()
    DATA_END = auto()  # in the CRLF after a chunk's data
    TRAILERS = auto()  # in the lines after the last chunk
    SIGNATURE_SEEN = auto()  # after the trailers' signature, before the empty line
    END = auto()


class AwsChunkedDecoder:
    """Takes off the aws-chunked framing, checking signatures, lengths and trailers as it goes.

    Feed it the body in pieces cut anywhere; call `finish` once at its end. Holds at most one line, never
    data. After an exception it must not be used again.
    """

    def __init__(self, payload: Payload, signing: ChunkSigning | None = None) -> None:
        """`signing` is required for signed chunks."""
        assert payload.is_chunked and payload.decoded_length is not None
        assert payload.is_signed == (signing is not None)
        self.trailers: dict[str, str] = {}
        """Trailing headers (lower-case names), complete and proved once `finish` has returned."""
        self._expected = payload.trailers
        self._missing = payload.decoded_length  # data bytes still to come
        self._signing = signing
        self._previous = signing.seed if signing is not None else ""
        self._claimed = ""  # the current chunk's signature as sent
        self._hash = hashlib.sha256()
        self._state = _State.HEADER
        self._line = bytearray()
        self._chunk_left = 0
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The object's bytes within this piece of the body, in order.

        Raises IncompleteBody (framing or length wrong), SignatureDoesNotMatch, MalformedTrailer.
        """
        decoded: list[bytes] = []
        position, end = 0, len(data)
        while position < end:
            if self._state is _State.DATA:
                piece = data[position : position + self._chunk_left]
                position += len(piece)
                self._take(piece)
                decoded.append(piece)
            else:
                newline = data.find(b"\n", position)
                stop = end if newline < 0 else newline + 1
                self._line += data[position:stop]
                position = stop
                if len(self._line) > self._line_bytes_max():
                    raise _malformed("a line of it is too long")
                if newline >= 0:
                    line, self._line = bytes(self._line), bytearray()
                    self._take_line(line)
        return decoded

    def finish(self) -> None:
        """The body has ended; raises IncompleteBody or MalformedTrailer if that was too early."""
        if self._line:
            raise _malformed("its last line is not complete")
        if self._state is _State.TRAILERS:
            if len(self.trailers) < len(self._expected):
                raise IncompleteBody()
            self._end_trailers()
        elif self._state is not _State.END and self._state is not _State.SIGNATURE_SEEN:
            raise IncompleteBody()

    def _line_bytes_max(self) -> int:
        return TRAILER_BYTES_MAX if self._state is _State.TRAILERS else HEADER_BYTES_MAX

    def _take(self, piece: bytes) -> None:
        if self._signing is not None:
            self._hash.update(piece)
        self._chunk_left -= len(piece)
        if self._chunk_left == 0:
            self._check_chunk()
            self._state = _State.DATA_END

    def _take_line(self, line: bytes) -> None:
        match self._state:
            case _State.HEADER:
                self._open_chunk(line)
            case _State.DATA_END:
                if line != b"\r\n":
                    raise _malformed("a chunk is longer than its size")
                self._state = _State.HEADER
            case _State.TRAILERS:
                self._take_trailer(line)
            case _State.SIGNATURE_SEEN | _State.END:
                if line not in (b"\r\n", b"\n"):
                    raise _malformed("something follows its end")
                self._state = _State.END

    def _open_chunk(self, line: bytes) -> None:
        match = _HEADER.fullmatch(line[:-2]) if line.endswith(b"\r\n") else None
        if match is None or (match[2] is None) != (self._signing is None):
            raise _malformed("a chunk's header is not well-formed")
        size = int(match[1], 16)
        if size > self._missing:
            raise _malformed("it is longer than x-amz-decoded-content-length")
        self._claimed = match[2].decode("ascii") if match[2] else ""
        self._missing -= size
        self._chunk_left = size
        if size:
            self._state = _State.DATA
            return
        if self._missing:
            raise _malformed("it is shorter than x-amz-decoded-content-length")
        self._check_chunk()
        self._state = _State.TRAILERS

    def _check_chunk(self) -> None:
        if self._signing is None:
            return
        expected, text = self._signing.chunk(self._previous, self._hash.hexdigest())
        self._check_signature(expected, self._claimed, text)
        self._hash = hashlib.sha256()

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        if self._trailer_bytes > TRAILER_BYTES_MAX:
            raise MalformedTrailer()
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        if not text:
            # Signed trailers may be set apart from their signature by empty lines (so in AWS's example).
            if self._signing is None or not self._expected:
                self._end_trailers()
            return
        name, colon, value = text.partition(b":")
        try:
            self._add_trailer(
                name.decode("ascii").lower(), value.strip(b" \t\r\n").decode("ascii"), bool(colon)
            )
        except UnicodeDecodeError:
            raise MalformedTrailer() from None

    def _add_trailer(self, name: str, value: str, is_header: bool) -> None:
        if is_header and name == _TRAILER_SIGNATURE and self._signing is not None:
            self._check_all_came()
            lines = "".join(f"{known}:{text}\n" for known, text in self.trailers.items())
            expected, text = self._signing.trailer(
                self._previous, hashlib.sha256(lines.encode("ascii")).hexdigest()
            )
            self._check_signature(expected, value, text)
            self._state = _State.SIGNATURE_SEEN
            return
        if not is_header or name not in self._expected or name in self.trailers:
            raise MalformedTrailer()
        self.trailers[name] = value

    def _end_trailers(self) -> None:
        self._check_all_came()
        if self._signing is not None and self._expected:
            raise MalformedTrailer()  # no signature
        self._state = _State.END

    def _check_all_came(self) -> None:
        if len(self.trailers) != len(self._expected):
            raise MalformedTrailer()

    def _check_signature(self, expected: str, given: str, text: str) -> None:
        if not hmac.compare_digest(expected, given):
            raise SignatureDoesNotMatch(StringToSign=text, SignatureProvided=given)
        self._previous = expected


def _decoded_length(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length")
    if text is None or not (text.isascii() and text.isdigit()):
        raise MissingContentLength()
    if len(text) > 20 or int(text) > DECODED_LENGTH_MAX:
        raise InvalidArgument(
            "x-amz-decoded-content-length must be the length of the object in bytes.",
            ArgumentName="x-amz-decoded-content-length",
            ArgumentValue=text,
        )
    return int(text)


def _trailer_names(headers: Mapping[str, str]) -> tuple[str, ...]:
    names = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
    if len(names) > 1 or any(name not in BY_HEADER for name in names):
        raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
    return tuple(names)


def _malformed(why: str) -> IncompleteBody:
    return IncompleteBody(f"The aws-chunked body is not what was promised: {why}.")
