"""MemoryBlobStore: the second implementation, for tests and as a model of what every store must do."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from typing import Final

from objstore import clock
from objstore.model import BlobRef
from objstore.storage.interface import (
    BlobMissing,
    Exposure,
    Health,
    Observe,
    StoreStatus,
    StoreUnavailable,
    Verification,
)

PIECE_BYTES: Final = 1 << 20


class MemoryBlobStore:
    """A BlobStore in a dictionary. Nothing survives the process."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, bytes] = {}
        self._is_closed = False

    async def put(
        self,
        source: AsyncIterable[bytes | memoryview],
        size_hint: int | None = None,
        observe: Observe | None = None,
    ) -> BlobRef:
        """See BlobStore. ValueError if `source` has no bytes, or not `size_hint` of them."""
        self._check_open()
        data = bytearray()
        async for piece in source:
            data += piece
        if not data or (size_hint is not None and size_hint != len(data)):
            raise ValueError(f"{size_hint} bytes were announced, {len(data)} came")
        if observe is not None:
            observe(memoryview(data))
        self._check_open()
        blob_id = clock.new_id()
        self._blobs[blob_id] = bytes(data)
        return BlobRef(blob_id, len(data), b"memory")

    def get(self, ref: BlobRef, offset: int = 0, length: int | None = None) -> AsyncIterator[memoryview]:
        """See BlobStore. ValueError if the range is not inside the blob."""
        self._check_open()
        if length is None:
            length = ref.size - offset
        if offset < 0 or length < 0 or offset + length > ref.size:
            raise ValueError(f"bytes {offset}+{length} of a blob of {ref.size}")
        return self._pieces(ref, offset, offset + length)

    async def _pieces(self, ref: BlobRef, start: int, end: int) -> AsyncGenerator[memoryview, None]:
        data = self._blobs.get(ref.id)
        if data is None:
            raise BlobMissing(ref.id.hex())
        for begin in range(start, end, PIECE_BYTES):
            yield memoryview(data)[begin : min(end, begin + PIECE_BYTES)]

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        """See BlobStore."""
        data = self._blobs.get(ref.id)
        if data is None or length <= 0 or self._is_closed:
            return None
        return memoryview(data)[offset : offset + length]

    async def delete(self, ref: BlobRef) -> bool:
        """See BlobStore."""
        self._check_open()
        self._blobs.pop(ref.id, None)
        return True

    def exposure(self, ref: BlobRef) -> Exposure:
        """See BlobStore."""
        return Exposure()

    async def prune(self, ref: BlobRef, keep: BlobRef) -> None:
        """See BlobStore."""
        self._check_open()

    async def verify(self, ref: BlobRef, *, repair: bool) -> Verification:
        """See BlobStore."""
        self._check_open()
        return Verification(Health.HEALTHY if ref.id in self._blobs else Health.MISSING, ref)

    async def list(self) -> AsyncGenerator[BlobRef, None]:
        """See BlobStore."""
        self._check_open()
        for blob_id, data in tuple(self._blobs.items()):
            yield BlobRef(blob_id, len(data), b"memory")

    async def status(self) -> StoreStatus:
        """See BlobStore."""
        return StoreStatus(may_read=not self._is_closed, may_write=not self._is_closed)

    async def close(self) -> None:
        """See BlobStore."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
