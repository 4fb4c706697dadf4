"""MemoryBlobStore is a BlobStore."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from objstore.storage.interface import BlobStore
from objstore.storage.memory import MemoryBlobStore
from tests.storage.conformance import BlobStoreConformance


class TestMemoryBlobStore(BlobStoreConformance):
    @asynccontextmanager
    async def make_store(self, tmp_path: Path) -> AsyncIterator[BlobStore]:
        store = MemoryBlobStore()
        yield store
        await store.close()
