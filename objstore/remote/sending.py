"""Bodies on their way to another server: cut to size, hashed or signed as the connection asks for.

A body that fits into memory is sent with its MD5, and may be sent again. A larger one is sent as it is
read. Over https its bytes are not signed (the connection vouches for them); over http every chunk is.
"""

import base64
import hashlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import Final

from objstore import blocking
from objstore.s3 import sigv4
from objstore.s3.chunked import ChunkSigning

CHUNK_BYTES: Final = 1024 * 1024
"""Of a body whose chunks are signed."""
INLINE_BYTES: Final = 64 * 1024
"""Up to so much is hashed on the event loop."""
_SIGNATURE_TEXT: Final = len(";chunk-signature=") + 64

Piece = bytes | bytearray | memoryview


class Source:
    """A body that is read in runs of known length."""

    def __init__(self, body: AsyncIterable[Piece]) -> None:
        self._pieces = aiter(body)
        self._rest = memoryview(b"")

    async def take(self, size: int) -> AsyncIterator[memoryview]:
        """The next `size` bytes as they come. Raises EOFError if there are fewer, and what the body does."""
        while size:
            if not self._rest.nbytes:
                piece = await anext(self._pieces, None)
                if piece is None:
                    raise EOFError(f"the body ends {size} bytes early")
                self._rest = memoryview(piece)
            taken, self._rest = self._rest[:size], self._rest[size:]
            size -= taken.nbytes
            yield taken

    async def read(self, size: int) -> bytes:
        """The next `size` bytes. Raises as `take`."""
        gathered = bytearray()
        async for piece in self.take(size):
            gathered += piece
        return bytes(gathered)


@dataclass(frozen=True, slots=True)
class Streamed:
    """The next `size` bytes of a source, which can be sent only once."""

    source: Source
    size: int


async def digests(body: bytes) -> tuple[str, str]:
    """MD5 in base64, as Content-MD5 has it, and SHA-256 in hexadecimal."""
    return _digests(body) if len(body) <= INLINE_BYTES else await blocking.run(_digests, body)


def _digests(body: bytes) -> tuple[str, str]:
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    return base64.b64encode(md5).decode(), hashlib.sha256(body).hexdigest()


def signed_length(size: int) -> int:
    """How long a body of `size` bytes is as `signed_chunks` frames it."""
    whole, rest = divmod(size, CHUNK_BYTES)
    return whole * _framed(CHUNK_BYTES) + (_framed(rest) if rest else 0) + _framed(0)


def _framed(size: int) -> int:
    return len(f"{size:x}") + _SIGNATURE_TEXT + 2 + size + 2


async def signed_chunks(body: Streamed, signing: ChunkSigning) -> AsyncIterator[Piece]:
    """The body framed as aws-chunked, each chunk signed after the one before it."""
    previous, left = signing.seed, body.size
    while left:
        pieces = [piece async for piece in body.source.take(min(left, CHUNK_BYTES))]
        size = sum(piece.nbytes for piece in pieces)
        left -= size
        previous, _ = signing.chunk(previous, await blocking.run(_sha256, pieces))
        yield f"{size:x};chunk-signature={previous}\r\n".encode()
        while pieces:
            yield pieces.pop(0)
        yield b"\r\n"
    previous, _ = signing.chunk(previous, sigv4.EMPTY_SHA256)
    yield f"0;chunk-signature={previous}\r\n\r\n".encode()


def _sha256(pieces: list[memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
