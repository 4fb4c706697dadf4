"""TierStore: the blob store of this machine, and the blobs that lie at other S3 servers instead.

To whoever reads, deletes or looks after blobs a blob at a tier is one like any other: its locator says where
it lies. New ones are made by `send` alone, from blobs that are here.

Invariants kept here:
- Nothing is yielded that was not verified, block by block (blocks.py).
- What `send` returns is at the tier as it should be: the tier's own digest of what it stored is the one of
  what was sent, or else every byte was read back.
- "Cannot be asked now" is TierUnavailable, and so is every refusal that is not a plain "no such object": a
  tier that is down, full, misconfigured or forgotten in the settings never looks as if bytes were gone.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import msgpack

from objstore import blocking, clock
from objstore.model import BlobRef
from objstore.remote import blocks
from objstore.remote.client import NewPart, RemoteError, RemoteObject, RemoteUnavailable
from objstore.storage.interface import (
    BlobCorrupt,
    BlobMissing,
    BlobStore,
    Exposure,
    Health,
    Observe,
    StorageError,
    StoreStatus,
    Verification,
)

KIND: Final = 0xF7
"""The first byte of a locator at a tier; those of this machine's store begin otherwise."""
_KIND: Final = bytes((KIND,))
MIB: Final = 1024 * 1024
SINGLE_BYTES_MAX: Final = 64 * MIB
"""Up to this length a blob is sent in one PutObject."""
PARTS_MAX: Final = 10_000
PART_BYTES_MIN: Final = 16 * MIB
REST_S: Final = 10.0
"""So long a server that could not be reached is not asked to delete anything."""


class TierUnavailable(StorageError):
    """The tier cannot be asked, or refuses, now. Nothing is known of the blob."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Where the bytes of a storage class go: a bucket of another server, and what keys there begin with."""

    storage_class: str
    remote: str
    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "GLACIER=remote/bucket/prefix", as the settings have checked it."""
        storage_class, _, place = text.partition("=")
        remote, bucket, *prefix = place.split("/", 2)
        return cls(storage_class, remote, bucket, *prefix)

    def key_of(self, blob_id: bytes) -> str:
        """The key of a blob: ours alone, so that nothing is ever written over."""
        name = blob_id.hex()
        return "/".join(part for part in (self.prefix.strip("/"), name[-2:], name) if part)


@dataclass(frozen=True, slots=True)
class Place:
    """What the locator of a blob at a tier says. `version_id` and `etag` are known once it is there."""

    remote: str
    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = None

    def pack(self) -> bytes:
        """The locator."""
        fields = (self.remote, self.bucket, self.key, self.version_id, self.etag)
        packed: bytes = msgpack.packb(fields)
        return _KIND + packed

    @classmethod
    def parse(cls, locator: bytes) -> Self:
        """The inverse of `pack`."""
        return cls(*msgpack.unpackb(memoryview(locator)[1:]))


class Remote(Protocol):
    """As much of RemoteS3 as is used here."""

    async def head(self, bucket: str, key: str, version_id: str | None = None) -> RemoteObject | None: ...

    def get(
        self,
        bucket: str,
        key: str,
        offset: int,
        length: int,
        version_id: str | None = None,
        *,
        etag: str | None = None,
    ) -> AsyncGenerator[memoryview, None]: ...

    async def put(
        self,
        bucket: str,
        key: str,
        size: int,
        body: AsyncIterable[bytes | memoryview],
        headers: Mapping[str, str] = ...,
        *,
        parts: Sequence[NewPart] | None = None,
    ) -> RemoteObject: ...

    async def delete(self, bucket: str, key: str, version_id: str | None = None) -> str | None: ...

    async def abort_uploads(self, bucket: str, key: str) -> int: ...

    async def close(self) -> None: ...


def is_at_tier(ref: BlobRef) -> bool:
    """Whether the blob lies at another server."""
    return ref.locator[:1] == _KIND


class TierStore:
    """A BlobStore over `local` and the tiers. See BlobStore for what each method promises."""

    def __init__(self, local: BlobStore, remotes: Mapping[str, Remote], tiers: Sequence[Tier]) -> None:
        self.local = local
        self.tiers: Mapping[str, Tier] = {tier.storage_class: tier for tier in tiers}
        self._remotes = remotes
        self._rests: dict[str, float] = {}
        """Servers that could not be reached, and until when they are not asked to delete."""

    # Making blobs at a tier

    def intend(self, tier: Tier, size: int) -> BlobRef:
        """The blob that `send` is to make: to be written down before. Nothing is sent yet."""
        blob_id = clock.new_id()
        return BlobRef(blob_id, size, Place(tier.remote, tier.bucket, tier.key_of(blob_id)).pack())

    async def send(self, source: BlobRef, intended: BlobRef) -> BlobRef:
        """Make `intended` of the bytes of `source`: verified at the tier when it returns the blob, whose
        locator now says which version it is.

        Raises TierUnavailable; BlobCorrupt when what lies there is not what was sent; what reading raises.
        """
        assert source.size == intended.size
        place = Place.parse(intended.locator)
        remote = self._remote(place)
        size = blocks.sealed_size(intended.size)
        parts = _cut(size)
        digest = _PartDigests([part.size for part in parts] or [size])
        about = {
            "content-type": "application/octet-stream",
            "x-amz-meta-objstore-blob": intended.id.hex(),
            "x-amz-meta-objstore-size": str(intended.size),
        }
        body = _sealed(self.get(source), intended, digest)
        try:
            async with aclosing(body):
                made = await remote.put(place.bucket, place.key, size, body, about, parts=parts)
            found = await remote.head(place.bucket, place.key, made.version_id)
        except (RemoteUnavailable, RemoteError) as exc:
            raise TierUnavailable(f"{place.remote}: {exc}") from exc
        if found is None or found.size != size:
            has = "nothing" if found is None else f"{found.size} bytes"
            raise BlobCorrupt(f"{size} bytes were sent to {place.remote}, and {has} came")
        there = Place(place.remote, place.bucket, place.key, made.version_id, found.etag or None)
        sent = BlobRef(intended.id, intended.size, there.pack())
        if found.etag != digest.etag(is_multipart=bool(parts)):
            await self._read_back(sent)
        return sent

    async def _read_back(self, ref: BlobRef) -> None:
        """Read and verify every byte: for servers whose ETag is no digest. Raises as `get`."""
        async with aclosing(self._get(ref, 0, ref.size)) as pieces:
            async for _ in pieces:
                pass

    # BlobStore

    async def put(
        self,
        source: AsyncIterable[bytes | memoryview],
        size_hint: int | None = None,
        observe: Observe | None = None,
    ) -> BlobRef:
        """New blobs lie here."""
        return await self.local.put(source, size_hint, observe)

    def get(self, ref: BlobRef, offset: int = 0, length: int | None = None) -> AsyncIterator[memoryview]:
        """Raises TierUnavailable besides."""
        if not is_at_tier(ref):
            return self.local.get(ref, offset, length)
        return self._get(ref, offset, ref.size - offset if length is None else length)

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        """Nothing from a tier is had at once."""
        return None if is_at_tier(ref) else self.local.get_now(ref, offset, length)

    async def delete(self, ref: BlobRef) -> bool:
        """Raises TierUnavailable besides."""
        if not is_at_tier(ref):
            return await self.local.delete(ref)
        place = Place.parse(ref.locator)
        remote = self._remote(place)
        if clock.monotonic_s() < self._rests.get(place.remote, 0.0):
            raise TierUnavailable(f"{place.remote} could not be reached a moment ago")
        try:
            await remote.delete(place.bucket, place.key, place.version_id)
            if place.etag is None and blocks.sealed_size(ref.size) > SINGLE_BYTES_MAX:
                # It never was known to be there: parts of an upload that broke off may be.
                await remote.abort_uploads(place.bucket, place.key)
        except RemoteUnavailable as exc:
            self._rests[place.remote] = clock.monotonic_s() + REST_S
            raise TierUnavailable(f"{place.remote}: {exc}") from exc
        except RemoteError as exc:
            if exc.status == 404 and exc.code in ("NoSuchKey", "NoSuchVersion"):
                return True
            raise TierUnavailable(f"{place.remote}: {exc}") from exc
        return True

    def exposure(self, ref: BlobRef) -> Exposure:
        """No drive of ours concerns a blob at a tier."""
        return Exposure() if is_at_tier(ref) else self.local.exposure(ref)

    async def prune(self, ref: BlobRef, keep: BlobRef) -> None:
        """Blobs at a tier are never moved."""
        if not is_at_tier(ref):
            await self.local.prune(ref, keep)

    async def verify(self, ref: BlobRef, *, repair: bool) -> Verification:
        """What lies at a tier is the tier's to keep whole; it is verified when it is read."""
        if is_at_tier(ref):
            return Verification(Health.HEALTHY, ref)
        return await self.local.verify(ref, repair=repair)

    def list(self) -> AsyncIterator[BlobRef]:
        """What lies here."""
        return self.local.list()

    async def status(self) -> StoreStatus:
        """Of what lies here."""
        return await self.local.status()

    async def close(self) -> None:
        """Let go of all servers, and of the store here."""
        for remote in self._remotes.values():
            await remote.close()
        await self.local.close()

    def _remote(self, place: Place) -> Remote:
        remote = self._remotes.get(place.remote)
        if remote is None:
            raise TierUnavailable(f"the settings name no remote {place.remote}")
        return remote

    async def _get(self, ref: BlobRef, offset: int, length: int) -> AsyncGenerator[memoryview, None]:
        if length == 0:
            return
        place = Place.parse(ref.locator)
        remote = self._remote(place)
        block, begin, sealed_bytes = blocks.sealed_range(ref.size, offset, length)
        seed = blocks.seed_of(ref.id, ref.size)
        skip = offset - block * blocks.BLOCK_BYTES
        pieces = remote.get(place.bucket, place.key, begin, sealed_bytes, place.version_id, etag=place.etag)
        try:
            async with aclosing(_runs(pieces, blocks.SEALED_BYTES * blocks.RUN_BLOCKS)) as runs:
                async for run in runs:
                    for data in blocks.opened(seed, block, run):
                        block += 1
                        piece = data[skip : skip + length]
                        skip, length = 0, length - piece.nbytes
                        yield piece
        except RemoteUnavailable as exc:
            raise TierUnavailable(f"{place.remote}: {exc}") from exc
        except RemoteError as exc:
            raise _failure(place, exc) from exc
        except blocks.BlockDamaged as exc:
            raise BlobCorrupt(f"{place.remote} {place.bucket}/{place.key}: {exc}") from exc


def _failure(place: Place, exc: RemoteError) -> StorageError:
    about = f"{place.remote} {place.bucket}/{place.key}: {exc}"
    if exc.status == 404 and exc.code in ("NoSuchKey", "NoSuchVersion"):
        return BlobMissing(about)
    if exc.status == 412:
        return BlobCorrupt(about)
    return TierUnavailable(about)


def _cut(size: int) -> list[NewPart]:
    """The parts in which so many bytes are sent; none for one PutObject."""
    if size <= SINGLE_BYTES_MAX:
        return []
    part_bytes = max(PART_BYTES_MIN, -(-size // PARTS_MAX))
    part_bytes = -(-part_bytes // MIB) * MIB
    return [NewPart(min(part_bytes, size - offset)) for offset in range(0, size, part_bytes)]


class _PartDigests:
    """MD5 of each part of what is sent, and so the ETag that most servers give it."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._left = list(reversed(sizes))
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._done: list[bytes] = []

    def update(self, data: memoryview | bytearray) -> None:
        """The next bytes."""
        view = memoryview(data)
        while view.nbytes:
            taken = view[: self._left[-1]]
            self._md5.update(taken)
            view = view[taken.nbytes :]
            self._left[-1] -= taken.nbytes
            if not self._left[-1]:
                self._left.pop()
                self._done.append(self._md5.digest())
                self._md5 = hashlib.md5(usedforsecurity=False)

    def etag(self, *, is_multipart: bool) -> str:
        """Of everything."""
        if not is_multipart:
            return self._done[0].hex()
        return f"{hashlib.md5(b''.join(self._done), usedforsecurity=False).hexdigest()}-{len(self._done)}"


async def _sealed(
    source: AsyncIterator[memoryview], intended: BlobRef, digest: _PartDigests
) -> AsyncGenerator[memoryview, None]:
    """The blob as it lies at a tier. Closes `source`, which it reads to its end."""
    seed, block = blocks.seed_of(intended.id, intended.size), 0

    def sealed(data: memoryview) -> memoryview:
        made = blocks.seal(seed, block, data)
        digest.update(made)
        return memoryview(made)

    async with aclosing(_runs(source, blocks.BLOCK_BYTES * blocks.RUN_BLOCKS)) as runs:
        async for run in runs:
            yield await blocking.run(sealed, run)
            block += blocks.block_count(run.nbytes)


async def _runs(pieces: AsyncIterator[memoryview], run_bytes: int) -> AsyncGenerator[memoryview, None]:
    """The same bytes in runs of `run_bytes`, the last one shorter. Closes `pieces`."""
    gathered = bytearray()
    try:
        async for piece in pieces:
            while piece.nbytes:
                taken = piece[: run_bytes - len(gathered)]
                gathered += taken
                piece = piece[taken.nbytes :]
                if len(gathered) == run_bytes:
                    yield memoryview(gathered)
                    gathered = bytearray()
        if gathered:
            yield memoryview(gathered)
    finally:
        close: Any = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
