"""The seam between what objects mean and where bytes lie: BlobStore, and its six errors.

A blob is an immutable byte string of 1 byte to 5 TiB. Below this line no one knows S3; above it no
one knows drives.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from objstore.model import BlobRef

PUT_S_MAX: Final = 12 * 3600.0
"""A put that takes longer fails. Whoever deletes what nothing refers to waits at least twice as long."""

Observe = Callable[[memoryview], None]
"""Sees the bytes of a blob being written: each run once, in order, never two at a time; large runs in a
compute thread. The view is valid only during the call. An exception from it fails the put."""


class StorageError(Exception):
    """What a blob store can say went wrong."""


class BlobMissing(StorageError):
    """Proved absent: every drive that should hold it is online and has nothing under its name."""


class BlobCorrupt(StorageError):
    """Bytes are there but cannot be trusted, and too few good shards are left to mend them."""


class TooFewShards(StorageError):
    """Fewer than k shards can be reached now. Not absent: drives may come back."""


class WriteQuorumLost(StorageError):
    """Fewer drives than the write quorum took the bytes; nothing refers to what was written."""


class OutOfSpace(StorageError):
    """Too few drives have room for the bytes."""


class StoreUnavailable(StorageError):
    """The store is starting, stopping, or past its bound of work under way."""


class Health(StrEnum):
    """What `verify` found (or left behind, with repair)."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  # readable, with fewer than all shards good: at risk
    UNREADABLE = "unreadable"  # fewer than k good shards can be reached now
    MISSING = "missing"  # proved absent


@dataclass(frozen=True, slots=True)
class Verification:
    """Outcome of `verify`: what was found, and where the blob lies now if that changed."""

    health: Health
    ref: BlobRef  # differs from the one given when repair placed shards elsewhere
    bad_shards: int = 0
    repaired_shards: int = 0


class DriveState(StrEnum):
    ONLINE = "online"
    READ_ONLY = "read-only"  # full or mounted read-only: reads and deletes only
    FAULTY = "faulty"  # an I/O error; probed until it proves itself
    OFFLINE = "offline"  # path empty, unmounted or gone
    REFUSED = "refused"  # foreign, duplicate or unknown format


@dataclass(frozen=True, slots=True)
class DriveStatus:
    number: int  # small, never reused within a deployment
    uuid: str
    path: str
    state: DriveState
    reason: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store stands now; `may_read` and `may_write` decide readiness."""

    drives: tuple[DriveStatus, ...] = ()
    may_read: bool = True
    may_write: bool = True
    reason: str = ""
    at_risk: int = 0  # blobs this process wrote or read with fewer than all shards good
    detail: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a blob's locator says of its safety now, without touching a drive."""

    drives: frozenset[int] = frozenset()  # numbers of the drives that should hold its shards
    missing_shards: int = 0  # of its worst chunk: on a drive that cannot be read now, or on none at all
    is_mendable: bool = False  # a healthy drive that holds none of that chunk's shards could take one


class BlobStore(Protocol):
    """Where blobs lie. Safe for concurrent use from one event loop; every method may be cancelled."""

    async def put(
        self,
        source: AsyncIterable[bytes | memoryview],
        size_hint: int | None = None,
        observe: Observe | None = None,
    ) -> BlobRef:
        """Store all bytes of `source` (at least one); durable on the write quorum when it returns.

        `size_hint` is the exact length where the caller knows it. If `source`, `observe` or the store
        fails, or the call is cancelled, nothing refers to what was written and it is removed.
        A blob stored on fewer than all its drives is passed to the store's `on_degraded` callback.

        Raises WriteQuorumLost, OutOfSpace, StoreUnavailable (also after PUT_S_MAX); whatever `source` and
        `observe` raise.
        """
        ...

    def get(self, ref: BlobRef, offset: int = 0, length: int | None = None) -> AsyncIterator[memoryview]:
        """The bytes from `offset` on (`length` of them, or all), verified, in pieces of the store's choosing.

        Raises (possibly after some pieces) BlobMissing, BlobCorrupt, TooFewShards. Never yields a wrong
        byte; ends early only by raising. Closing the iterator releases what it holds.
        """
        ...

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        """The same bytes if they can be had whole and verified without waiting (page cache), else None.

        For the hot path of small objects: never blocks the event loop, never raises for damage.
        """
        ...

    async def delete(self, ref: BlobRef) -> bool:
        """Give the blob's space back; absent is fine. Whether all of it is gone for good.

        False: drives that are expected back still hold shards; call again when they are there. Whoever
        cannot (a writer that gives up) leaves them to the job that looks for what nothing refers to.
        Raises StoreUnavailable.
        """
        ...

    def exposure(self, ref: BlobRef) -> Exposure:
        """How safe the blob is as far as the drives' states tell. No I/O, a few µs."""
        ...

    async def prune(self, ref: BlobRef, keep: BlobRef) -> None:
        """Give back what `ref` holds and `keep`, another reference of the same blob, does not.

        After a move or repair was committed: prune(old, keep=new); after it was not: prune(new, keep=old).
        Absent is fine. Raises StoreUnavailable.
        """
        ...

    async def verify(self, ref: BlobRef, *, repair: bool) -> Verification:
        """Read every shard and check it; with `repair`, rebuild bad and missing ones onto healthy drives.

        A repaired shard is durable and was read back when this returns. The caller commits the new ref.
        """
        ...

    def list(self) -> AsyncIterator[BlobRef]:
        """What is really there, found on the drives themselves, in no order; a blob at most once.

        `locator` is as good as can be told from the shards found. May miss blobs being written.
        """
        ...

    async def status(self) -> StoreStatus:
        """Space and state of the drives, as of now (no older than 10 s)."""
        ...

    async def close(self) -> None:
        """Finish what runs, sync, release descriptors. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class PackStatus:
    """One pack of small shards on one drive, and how much of it is still wanted."""

    drive: int
    pack: int
    total_bytes: int
    live_bytes: int  # not accounted as deleted
    is_finished: bool  # nobody appends to it any more
    changed_ms: int = 0  # when it was last appended to


@dataclass(frozen=True, slots=True)
class PackContents:
    """What lies in a pack, as far as it can be told."""

    is_deleted: Mapping[bytes, bool]
    """The blobs with a shard in it, and whether each is accounted as deleted."""
    untold_bytes: int
    """Bytes that make no frame and are not accounted as a deleted one's: whose they are, is not known."""


class Compactable(BlobStore, Protocol):
    """What a store with packs offers besides, so that space inside packs comes back.

    Who compacts decides by the metadata what is wanted; the store only copies and removes.
    """

    async def packs(self) -> Sequence[PackStatus]:
        """The packs of all drives that can be written now."""
        ...

    async def blobs_in_pack(self, drive: int, pack: int) -> PackContents:
        """The blobs with a shard in the pack. Raises StorageError when it cannot be read now."""
        ...

    async def move_from_pack(self, ref: BlobRef, drive: int, pack: int) -> BlobRef:
        """Copy the blob's shards that lie in the pack to one that is open, on the same drive if it can be.

        Durable and checked on return. The ref given when none of its shards lies there. The caller commits
        the new ref; the old copies stay until the pack is removed. Raises StorageError, OutOfSpace.
        """
        ...

    async def remove_pack(self, drive: int, pack: int) -> None:
        """Remove a finished pack in which nothing is wanted any more; absent is fine."""
        ...
