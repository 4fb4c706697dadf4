"""Bytes of a version, wherever they lie: one blob, or the parts of a multipart upload.

Invariants kept here:
- A stream yields exactly the bytes asked for or raises: it never ends early and never yields a byte
  that was not verified.
- While a stream is open, the garbage job knows since when (SharedState), so what is deleted meanwhile
  keeps its bytes. Blobs that a job moves meanwhile are looked up again, in mid-stream too.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from itertools import islice
from typing import Final, Protocol, cast

from objstore import clock
from objstore.encryption import flow, stream
from objstore.encryption.stream import BlobCipher, ChunkDamaged
from objstore.meta import queries
from objstore.meta.layout import Layout
from objstore.model import BlobRef, ObjectVersion
from objstore.service.facts import Facts
from objstore.storage.interface import BlobCorrupt, BlobMissing, BlobStore, TooFewShards

NOW_BYTES_MAX: Final = 256 * 1024
"""The longest read tried on the event loop: about 0.1 ms from the page cache."""
PARTS_PAGE: Final = 64
"""Parts looked up at once while a multipart object is streamed."""
LAYOUTS_CACHED: Final = 1024

Stream = AsyncGenerator[memoryview, None]


class OldestRead(Protocol):
    """The part of SharedState that is used here."""

    def set_oldest_read(self, worker: int, began_ms: int) -> None: ...


class ReadsUnderWay:
    """The open streams of one worker, of which the oldest one's beginning is shared."""

    def __init__(self, shared: OldestRead, worker: int) -> None:
        self._shared = shared
        self._worker = worker
        self._next = 0
        self._began: dict[int, int] = {}  # in the order they began
        shared.set_oldest_read(worker, 0)  # what the process before said, which may have been killed

    def begin(self) -> int:
        """A stream is opened; the number to give to `end`."""
        number = self._next
        self._next += 1
        began_ms = clock.now_ms()
        self._began[number] = began_ms
        if len(self._began) == 1:
            self._shared.set_oldest_read(self._worker, began_ms)
        return number

    def end(self, number: int) -> None:
        """That stream is closed."""
        oldest = next(iter(self._began))
        del self._began[number]
        if number == oldest:
            self._shared.set_oldest_read(self._worker, next(iter(self._began.values()), 0))

    def __len__(self) -> int:
        return len(self._began)


class Reader:
    """Reads the bytes of versions. Those of encrypted ones come out plain, given their data key."""

    def __init__(self, facts: Facts, store: BlobStore, reads: ReadsUnderWay) -> None:
        self._facts = facts
        self._store = store
        self._reads = reads
        self._layouts: OrderedDict[str, Layout] = OrderedDict()

    def read_now(
        self, version: ObjectVersion, offset: int, length: int, data_key: bytes | None = None
    ) -> memoryview | None:
        """`length` bytes from `offset` if they can be had at once, else None."""
        if version.blob is None or length > NOW_BYTES_MAX:
            return None
        if data_key is None:
            assert version.attributes.encryption is None, "an encrypted version is read with its data key"
            return self._store.get_now(version.blob, offset, length)
        if stream.sealed_size(version.size) != version.blob.size:
            return None
        wanted = stream.window(version.size, offset, length)
        sealed = self._store.get_now(version.blob, wanted.offset, wanted.length)
        if sealed is None:
            return None
        try:
            plain = BlobCipher(data_key).open(sealed, wanted.first_chunk, has_last=wanted.has_last)
        except ChunkDamaged:  # `open` meets it again, and says so
            return None
        return plain[wanted.skip : wanted.skip + length]

    async def open(
        self, version: ObjectVersion, offset: int, length: int, data_key: bytes | None = None
    ) -> Stream:
        """A stream of `length` bytes (at least one) from `offset`; its first piece is there already.

        So what cannot be read at all is known before an answer begins. Close it when it is not read to
        its end. Raises BlobMissing, BlobCorrupt, TooFewShards, now or later.
        """
        assert (data_key is None) == (version.attributes.encryption is None), "read with its data key"
        pieces = self._pieces(version, offset, length, data_key)
        first = await anext(pieces)
        return _resumed(first, pieces)

    async def layout(self, upload_id: str) -> Layout:
        """Which parts a completed upload's object has. Raises BlobMissing when it is gone."""
        layout = self._layouts.get(upload_id)
        if layout is None:
            found = await self._facts.read(queries.manifest, upload_id)
            if found is None:
                raise BlobMissing(f"upload {upload_id} is no longer referred to")
            layout = self._layouts[upload_id] = found
            if len(self._layouts) > LAYOUTS_CACHED:
                self._layouts.popitem(last=False)
        else:
            self._layouts.move_to_end(upload_id)
        return layout

    async def _pieces(
        self, version: ObjectVersion, offset: int, length: int, data_key: bytes | None
    ) -> Stream:
        number = self._reads.begin()
        if version.upload_id is None:
            assert version.blob is not None, "an empty object has no bytes to stream"
            cipher = None if data_key is None else BlobCipher(data_key)
            source = self._of_plain(version.blob, version.size, cipher, offset, length)
        else:
            source = _one_ahead(self._of_parts(version.upload_id, offset, length, data_key))
        left = length
        try:
            async with aclosing(source):
                async for piece in source:
                    left -= piece.nbytes
                    yield piece
            if left:
                raise BlobCorrupt(f"{left} bytes of {length} are missing")
        finally:
            self._reads.end(number)

    async def _of_parts(self, upload_id: str, offset: int, length: int, data_key: bytes | None) -> Stream:
        layout = await self.layout(upload_id)
        pieces = layout.pieces(offset, length)
        while page := list(islice(pieces, PARTS_PAGE)):
            parts = await self._facts.read(
                queries.parts_between, upload_id, page[0].part_number, page[-1].part_number
            )
            by_number = {part.part_number: part for part in parts}
            for piece in page:
                part = by_number.get(piece.part_number)
                if part is None or part.blob is None:
                    raise BlobMissing(f"part {piece.part_number} of upload {upload_id} is gone")
                cipher = None
                if data_key is not None:
                    cipher = BlobCipher(data_key, part.salt or b"", part.part_number)
                source = self._of_plain(part.blob, part.size, cipher, piece.offset, piece.length)
                async with aclosing(source):
                    async for bytes_ in source:
                        yield bytes_

    def _of_plain(
        self, blob: BlobRef, size: int, cipher: BlobCipher | None, offset: int, length: int
    ) -> Stream:
        """A range of the bytes that were put, of which there are `size`; `cipher` opens the blob's."""
        return (
            self._of_blob(blob, offset, length)
            if cipher is None
            else self._opened(blob, size, cipher, offset, length)
        )

    async def _opened(self, blob: BlobRef, size: int, cipher: BlobCipher, offset: int, length: int) -> Stream:
        if stream.sealed_size(size) != blob.size:
            raise BlobCorrupt(f"blob {blob.id.hex()} has {blob.size} bytes, which is not what was sealed")
        wanted = stream.window(size, offset, length)
        try:
            async with (
                aclosing(self._of_blob(blob, wanted.offset, wanted.length)) as source,
                aclosing(flow.opened(source, cipher, wanted, length)) as plain,
            ):
                async for piece in plain:
                    yield piece
        except ChunkDamaged as exc:
            raise BlobCorrupt(f"blob {blob.id.hex()}: {exc}") from exc

    async def _of_blob(self, blob: BlobRef, offset: int, length: int) -> Stream:
        """One blob's bytes; goes on from where it is when the blob turns out to lie elsewhere now."""
        while True:
            source = cast(Stream, self._store.get(blob, offset, length))
            try:
                async with aclosing(source):
                    async for piece in source:
                        offset += piece.nbytes
                        length -= piece.nbytes
                        yield piece
                return
            except (BlobMissing, BlobCorrupt, TooFewShards):
                fresh = await self._facts.read(queries.blob, blob.id)
                if fresh is None or fresh.locator == blob.locator:
                    raise
                blob = fresh


async def _resumed(first: memoryview, rest: Stream) -> Stream:
    async with aclosing(rest):
        yield first
        del first
        async for piece in rest:
            yield piece


async def _one_ahead(source: Stream) -> Stream:
    """The pieces of `source`, the next one being fetched while the last one is used."""
    fetching = asyncio.ensure_future(_next(source))
    try:
        while (piece := await fetching) is not None:
            fetching = asyncio.ensure_future(_next(source))
            yield piece
    finally:
        fetching.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await fetching
        await source.aclose()


async def _next(source: AsyncIterator[memoryview]) -> memoryview | None:
    return await anext(source, None)
