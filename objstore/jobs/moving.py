"""Having the metadata name the place where a blob lies from now on, and one at a time with each blob."""

import asyncio
from contextlib import suppress
from weakref import WeakValueDictionary

from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import MoveBlob
from objstore.meta.interface import Conflict
from objstore.model import BlobRef
from objstore.storage.interface import BlobStore, StorageError


class Turns:
    """Whose turn it is with a blob. Two who mend it put its shards under the same names, and who takes
    away a shard too many must not take one that is just being made: they ask here, and look again after."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def of(self, blob_id: bytes) -> asyncio.Lock:
        """To be held while the blob's shards are made or taken away."""
        return self._locks.setdefault(blob_id, asyncio.Lock())


async def move(metadata: Metadata, store: BlobStore, old: BlobRef, new: BlobRef) -> None:
    """Commit that the blob lies at `new`, durable there, and give back what only `old` holds.

    Raises Conflict when the blob was moved or let go of since `old` was read; then what only `new` holds
    is given back. When nobody knows whether it was committed (OutcomeUnknown) both stay: nothing is
    lost, and what is too much is found by a scan.
    """
    try:
        await metadata.write(MoveBlob(old.id, old.locator, new.locator))
    except Conflict:
        # Who moved it meanwhile may have chosen some of the same places: what counts is where it lies now.
        now = (await metadata.read(queries.blobs_lying, [old.id])).get(old.id)
        await _prune(store, new, keep=now or old)
        raise
    await _prune(store, old, keep=new)


async def _prune(store: BlobStore, ref: BlobRef, keep: BlobRef) -> None:
    with suppress(StorageError, OSError):  # only space is lost, until a scan finds it
        await store.prune(ref, keep)
