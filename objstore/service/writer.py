"""Request body → blob, with every digest taken in the same pass.

Order, once: bytes durable, digests and length found right, then one metadata command names the blob.
Whatever fails before that leaves nothing visible, and the blob is deleted; a blob whose command was
refused is deleted too. Only when nobody knows whether the command was committed (OutcomeUnknown) does
the blob stay: the scan for orphans decides later.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from objstore import blocking
from objstore.encryption import flow
from objstore.encryption.envelope import BlobSeal
from objstore.encryption.stream import sealed_size
from objstore.meta.interface import Command, MetadataError, OutcomeUnknown, Refusal
from objstore.model import BlobRef, Checksum
from objstore.s3 import checksums, integrity
from objstore.s3.errors import EntityTooLarge, IncompleteBody
from objstore.s3.integrity import Integrity
from objstore.service.facts import Facts
from objstore.storage.interface import BlobStore, StorageError

R = TypeVar("R")

INLINE_BYTES: Final = 64 * 1024
"""Bodies up to this size are hashed on the event loop: a hop to a thread costs more."""
PUT_BYTES_MAX: Final = 5 * 1024**3
"""The largest object of a single PUT, and the largest part."""


class Body(Protocol):
    """As much of a request's body as the writer needs; raises the fitting S3 error as it is read."""

    length: int | None
    trailers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def read(self, limit: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Written:
    """A body that lies durable in a blob (None when it is empty) and is what its sender says it is."""

    size: int
    etag: str
    checksums: Mapping[str, Checksum]
    """By algorithm; the one asked for, and the one its sender used."""
    blob: BlobRef | None
    """Encrypted, it is somewhat longer than `size`."""


class Digests:
    """Length, MD5 and some checksums of one run of bytes, taken together."""

    __slots__ = ("_hashers", "_md5", "size")

    def __init__(self, algorithms: frozenset[str] | set[str]) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        # An MD5 checksum is the ETag's MD5: it need not be taken twice.
        self._hashers = {name: checksums.ALGORITHMS[name].new() for name in algorithms if name != "MD5"}

    def update(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self._md5.update(data)
        for hasher in self._hashers.values():
            hasher.update(data)

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    def checksum(self, algorithm: str) -> Checksum:
        """The checksum of everything seen."""
        digest = self.md5 if algorithm == "MD5" else self._hashers[algorithm].digest()
        return Checksum(algorithm, checksums.encoded(digest))


class Writer:
    """Writes blobs and commits the commands that name them."""

    def __init__(self, facts: Facts, store: BlobStore) -> None:
        self._facts = facts
        self._store = store
        self._commits: set[asyncio.Task[Any]] = set()

    async def write(
        self, body: Body, announced: Integrity, algorithm: str, seal: BlobSeal | None = None
    ) -> Written:
        """Store `body` and check it against `announced`; durable and right when this returns.

        `algorithm` is the checksum wanted whatever the client chose; `seal` encrypts what is stored. The
        blob is the caller's to name (`commit`) or to delete (`discard`). Raises EntityTooLarge past 5 GiB,
        what `body` raises, BadDigest, MalformedTrailer, IncompleteBody, StorageError.
        """
        if body.length is not None and body.length > PUT_BYTES_MAX:
            raise EntityTooLarge(ProposedSize=body.length, MaxSizeAllowed=PUT_BYTES_MAX)
        digests = Digests({algorithm, announced.algorithm or algorithm})
        if body.length is not None and body.length <= INLINE_BYTES:
            data = await body.read(INLINE_BYTES)
            return await self._write_small(data, body, announced, digests, algorithm, seal)
        pieces, rest = [], aiter(body)
        size = 0
        async for piece in rest:
            pieces.append(piece)
            size += len(piece)
            if size > INLINE_BYTES:
                break
        else:
            return await self._write_small(b"".join(pieces), body, announced, digests, algorithm, seal)
        blob = await self._put(_limited(pieces, rest), body.length, digests, seal)
        try:
            if body.length is not None and digests.size != body.length:
                raise IncompleteBody()
            return _judged(body, announced, digests, algorithm, seal, blob)
        except BaseException:
            await self.discard(blob)
            raise

    async def _write_small(
        self,
        data: bytes,
        body: Body,
        announced: Integrity,
        digests: Digests,
        algorithm: str,
        seal: BlobSeal | None,
    ) -> Written:
        digests.update(data)
        written = _judged(body, announced, digests, algorithm, seal, None)
        if not data:
            return written
        stored: bytes | memoryview = data
        if seal is not None:
            stored = seal.cipher().seal(memoryview(data), 0, has_last=True)
        blob = await self._store.put(_single(stored), len(stored))
        return Written(written.size, written.etag, written.checksums, blob)

    async def _put(
        self,
        source: AsyncIterable[bytes | memoryview],
        size: int | None,
        digests: Digests,
        seal: BlobSeal | None,
    ) -> BlobRef:
        """Store `source`, `digests` being taken of what it is before it is encrypted."""
        if seal is None:
            return await self._store.put(source, size, digests.update)
        stored = flow.sealed(source, seal.cipher(), digests.update)
        return await self._store.put(stored, None if size is None else sealed_size(size))

    async def copy(
        self, source: AsyncIterable[memoryview], size: int, algorithm: str, seal: BlobSeal | None = None
    ) -> Written:
        """Store `size` bytes (at least one) that come from our own blobs; `seal` encrypts what is stored.

        Raises what `source` raises, StorageError.
        """
        digests = Digests({algorithm})
        blob = await self._put(source, size, digests, seal)
        assert digests.size == size, f"{digests.size} bytes copied of {size}"
        return Written(size, _etag(digests.md5, seal), {algorithm: digests.checksum(algorithm)}, blob)

    async def digest(self, source: AsyncIterable[memoryview], algorithm: str) -> Digests:
        """MD5 and one checksum of bytes that are stored already. Raises what `source` raises."""
        digests = Digests({algorithm})
        async for piece in source:
            if piece.nbytes > INLINE_BYTES:
                await blocking.run(digests.update, piece)
            else:
                digests.update(piece)
        return digests

    async def commit(self, command: Command[R], blob: BlobRef | None) -> R:
        """Send the command that names `blob`; what the ledger answers.

        A blob that no one will ever refer to is deleted. Cancelling the caller does not stop it: the
        command is decided one way or the other, and cleaned up after. Raises Refusal, MetadataError.
        """
        task = asyncio.create_task(self._commit(command, blob))
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        return await asyncio.shield(task)

    async def _commit(self, command: Command[R], blob: BlobRef | None) -> R:
        try:
            return await self._facts.write(command)
        except OutcomeUnknown:
            raise
        except (Refusal, MetadataError):
            if blob is not None:
                await self.discard(blob)
            raise

    async def discard(self, blob: BlobRef) -> None:
        """Delete a blob that nothing refers to. What cannot be deleted now, the scan for orphans finds."""
        with suppress(StorageError):
            await asyncio.shield(self._store.delete(blob))

    async def drain(self) -> None:
        """Wait for the commits under way."""
        while self._commits:
            await asyncio.wait(self._commits)


def _judged(
    body: Body,
    announced: Integrity,
    digests: Digests,
    algorithm: str,
    seal: BlobSeal | None,
    blob: BlobRef | None,
) -> Written:
    md5 = digests.md5
    found = {name: digests.checksum(name) for name in {algorithm, announced.algorithm or algorithm}}
    chosen = found[announced.algorithm].value if announced.algorithm else None
    integrity.check(announced, md5, chosen, body.trailers)
    return Written(digests.size, _etag(md5, seal), found, blob)


def _etag(md5: bytes, seal: BlobSeal | None) -> str:
    return md5.hex() if seal is None else seal.etag(md5)


async def _single(data: bytes | memoryview) -> AsyncIterator[bytes | memoryview]:
    yield data


async def _limited(pieces: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces read so far and the rest of the body, up to 5 GiB."""
    size = 0
    while pieces:
        piece = pieces.pop(0)
        size += len(piece)
        yield piece
    async for piece in rest:
        size += len(piece)
        if size > PUT_BYTES_MAX:
            raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=PUT_BYTES_MAX)
        yield piece
