"""Sealing and opening bytes as they pass by, in runs large enough for a thread to be worth it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Final

from objstore import blocking
from objstore.encryption.stream import CHUNK_BYTES, SEALED_BYTES, BlobCipher, Window

RUN_BYTES: Final = 16 * CHUNK_BYTES
"""Plain bytes sealed at once: 1 MiB."""
INLINE_BYTES: Final = 4 * SEALED_BYTES
"""Up to this much is opened on the event loop (about 0.1 ms); a hop to a thread costs as much."""


async def sealed(
    source: AsyncIterable[bytes | memoryview], cipher: BlobCipher, observe: Callable[[memoryview], None]
) -> AsyncIterator[memoryview]:
    """The sealed form of all bytes of `source` (at least one).

    `observe` sees the plain bytes: each run once, in order, in a compute thread, never two at a time.
    While one run is sealed the next is fetched; no more than two are held.
    """

    def seal(run: memoryview, first_chunk: int, has_last: bool) -> memoryview:
        observe(run)
        return cipher.seal(run, first_chunk, has_last=has_last)

    chunk = 0
    sealing: asyncio.Future[memoryview] | None = None
    try:
        async with aclosing(_runs(source)) as runs:
            async for run, has_last in runs:
                if sealing is not None:
                    done, sealing = sealing, None
                    yield await done
                sealing = asyncio.ensure_future(blocking.run(seal, run, chunk, has_last))
                chunk += len(run) // CHUNK_BYTES
        assert sealing is not None, "empty blobs are not stored"
        done, sealing = sealing, None
        yield await done
    finally:
        if sealing is not None:  # given up: its thread must be done with `observe` before anyone goes on
            with suppress(Exception):
                await asyncio.shield(sealing)


async def _runs(source: AsyncIterable[bytes | memoryview]) -> AsyncGenerator[tuple[memoryview, bool], None]:
    """The bytes of `source` in runs of RUN_BYTES, and whether a run is the last one."""
    pieces: list[bytes | memoryview] = []
    size = 0
    async for piece in source:
        pieces.append(piece if isinstance(piece, bytes) else bytes(piece))  # a view may not outlive its turn
        size += len(piece)
        while size > RUN_BYTES:  # not at it: a run with nothing after it is the last one
            gathered = memoryview(b"".join(pieces))
            yield gathered[:RUN_BYTES], False
            pieces, size = [gathered[RUN_BYTES:]], size - RUN_BYTES
    yield memoryview(b"".join(pieces)), True


async def opened(
    source: AsyncIterable[memoryview], cipher: BlobCipher, wanted: Window, length: int
) -> AsyncGenerator[memoryview, None]:
    """The plain bytes of a range, `length` of them, from the sealed chunks of `wanted`.

    `source` gives exactly the window's bytes, or raises. Raises ChunkDamaged.
    """
    chunk, skip, left = wanted.first_chunk, wanted.skip, length
    coming = wanted.length
    rest: list[memoryview] = []
    held = 0
    async for piece in source:
        coming -= piece.nbytes
        held += piece.nbytes
        rest.append(piece)
        whole = held if coming <= 0 else held - held % SEALED_BYTES
        if not whole:
            rest[-1] = memoryview(bytes(piece))  # kept past its turn
            continue
        gathered = rest[0] if len(rest) == 1 else memoryview(b"".join(rest))
        run, rest = gathered[:whole], []
        if held > whole:
            rest = [memoryview(bytes(gathered[whole:]))]
        held -= whole
        has_last = coming <= 0 and wanted.has_last
        if whole <= INLINE_BYTES:
            plain = cipher.open(run, chunk, has_last=has_last)
        else:
            plain = await blocking.run(cipher.open, run, chunk, has_last=has_last)
        chunk += whole // SEALED_BYTES
        plain = plain[skip : skip + left]
        skip = 0
        left -= plain.nbytes
        yield plain
