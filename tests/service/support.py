"""A world without sockets and drives: facts in one database, blobs in a dictionary, faults on demand."""

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from objstore import clock
from objstore.meta import commands
from objstore.meta.commands import CreateBucket, PutVersion, SetVersioning
from objstore.meta.interface import Command
from objstore.meta.sqlite import Query
from objstore.model import Attributes, BlobRef, Bucket, ObjectVersion, Versioning
from objstore.s3.integrity import NO_INTEGRITY, Integrity
from objstore.service.copy import Copies
from objstore.service.encryption import EncryptionRules, Encryptions
from objstore.service.multipart import Uploads
from objstore.service.notifications import Notifications
from objstore.service.objects import NewObject, Objects
from objstore.service.reader import Reader, ReadsUnderWay
from objstore.service.subresources import Subresources
from objstore.service.writer import Writer
from objstore.storage.interface import BlobMissing, Exposure, Observe, StoreStatus, Verification
from tests.meta.support.sqlite_database import SqliteDatabase
from tests.support.keys import envelopes_over
from tests.support.shared import NeverMoves

P = ParamSpec("P")
R = TypeVar("R")

OWNER = "f" * 64
EIGHT_MIB = 8 * 1024 * 1024


class LocalFacts:
    """Commands and queries on a database in memory; commands cross the wire's codec on their way."""

    def __init__(self) -> None:
        self.db = SqliteDatabase()
        self.fail: Callable[[Any], None] = lambda command: None
        """Called with each command before it is applied; may raise."""
        self.after: Callable[[Any], None] = lambda command: None
        """Called with each command after it was applied; may raise (an answer that is lost)."""
        self.written: list[Any] = []

    async def write(self, command: Command[R]) -> R:
        self.fail(command)
        self.written.append(command)
        result = self.db.write(commands.decode(commands.encode(command)), clock.now_ms())
        self.after(command)
        decoded: R = commands.decode_result(commands.encode_result(result))
        return decoded

    async def read(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self.db.read(query, *args, **kwargs)

    def read_now(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return self.db.read(query, *args, **kwargs)


class DictStore:
    """A BlobStore whose blobs can be looked at, moved and taken away."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        """Bytes by locator: where a blob lies."""
        self.deleted: list[BlobRef] = []
        self.piece_bytes = 64 * 1024
        self.answers_now = True
        self._numbers = itertools.count(1)

    async def put(
        self,
        source: AsyncIterable[bytes | memoryview],
        size_hint: int | None = None,
        observe: Observe | None = None,
    ) -> BlobRef:
        pieces = []
        async for piece in source:
            pieces.append(bytes(piece))
            if observe is not None:
                observe(memoryview(pieces[-1]))
        data = b"".join(pieces)
        assert data, "empty blobs are not stored"
        assert size_hint is None or size_hint == len(data)
        blob = BlobRef(clock.new_id(), len(data), b"place-%d" % next(self._numbers))
        self.blobs[blob.locator] = data
        return blob

    async def get(
        self, ref: BlobRef, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[memoryview]:
        end = ref.size if length is None else offset + length
        while offset < end:
            if ref.locator not in self.blobs:
                raise BlobMissing(ref.locator.decode())
            piece = memoryview(self.blobs[ref.locator])[offset : min(end, offset + self.piece_bytes)]
            offset += len(piece)
            yield piece

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        if not self.answers_now or ref.locator not in self.blobs:
            return None
        return memoryview(self.blobs[ref.locator])[offset : offset + length]

    async def delete(self, ref: BlobRef) -> bool:
        self.deleted.append(ref)
        self.blobs.pop(ref.locator, None)
        return True

    def move(self, blob: BlobRef) -> BlobRef:
        """Put a blob's bytes elsewhere, as compaction does."""
        moved = BlobRef(blob.id, blob.size, b"moved-%d" % next(self._numbers))
        self.blobs[moved.locator] = self.blobs.pop(blob.locator)
        return moved

    def exposure(self, ref: BlobRef) -> Exposure:
        raise NotImplementedError

    async def verify(self, ref: BlobRef, *, repair: bool) -> Verification:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[BlobRef]:
        raise NotImplementedError
        yield  # an async generator

    async def status(self) -> StoreStatus:
        return StoreStatus()

    async def close(self) -> None:
        pass


class Slots:
    """The shared state's oldest reads."""

    def __init__(self) -> None:
        self.oldest: dict[int, int] = {}

    def set_oldest_read(self, worker: int, began_ms: int) -> None:
        self.oldest[worker] = began_ms


class FakeBody:
    """A request body of given pieces; `error` is raised where it would end."""

    def __init__(
        self,
        *pieces: bytes,
        length: int | None = None,
        trailers: Mapping[str, str] | None = None,
        error: Exception | None = None,
        announces: bool = True,
    ) -> None:
        self.length = sum(map(len, pieces)) if announces and length is None else length
        self.trailers: Mapping[str, str] = {}
        self._pieces = pieces
        self._late_trailers = trailers or {}
        self._error = error
        self.was_read = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.was_read = True
        for piece in self._pieces:
            yield piece
        self.trailers = self._late_trailers
        if self._error is not None:
            raise self._error

    async def read(self, limit: int) -> bytes:
        data = b"".join([piece async for piece in self])
        assert len(data) <= limit
        return data


class World:
    """Services over fakes, with one bucket."""

    def __init__(
        self,
        versioning: Versioning = Versioning.NEVER,
        *,
        object_lock: bool = False,
        encrypts: bool = False,
    ) -> None:
        self.facts = LocalFacts()
        self.store = DictStore()
        self.slots = Slots()
        self.reads = ReadsUnderWay(self.slots, 0)
        self.writer = Writer(self.facts, self.store)
        self.reader = Reader(self.facts, self.store, self.reads)
        notifications = Notifications(self.facts, NeverMoves(), Subresources(self.facts, NeverMoves()), {})
        subresources = Subresources(self.facts, NeverMoves())
        encryptions = Encryptions(
            envelopes_over(self.facts), subresources, EncryptionRules(encrypts_by_default=encrypts)
        )
        self.objects = Objects(self.facts, self.writer, self.reader, notifications, encryptions)
        self.uploads = Uploads(self.facts, self.writer, notifications, encryptions)
        self.copies = Copies(self.facts, self.writer, self.reader, self.objects, notifications, encryptions)
        self.bucket = self._make_bucket(versioning, object_lock)

    def _make_bucket(self, versioning: Versioning, object_lock: bool) -> Bucket:
        bucket = self.facts.db.write(
            CreateBucket("bucket", OWNER, "us-east-1", object_lock, 100), clock.now_ms()
        )
        if versioning is not Versioning.NEVER:
            bucket = self.facts.db.write(SetVersioning(bucket.id, versioning), clock.now_ms())
        return bucket

    async def put(self, key: str, data: bytes, new: NewObject | None = None) -> ObjectVersion:
        """An object put whole."""
        return await self.objects.put(self.bucket, key, FakeBody(data), new or NewObject(Attributes()))

    async def put_parts(
        self, key: str, parts: Iterable[bytes], announced: Integrity = NO_INTEGRITY
    ) -> tuple[str, list[str]]:
        """An upload under way; its id and its parts' ETags."""
        upload = await self.uploads.create(self.bucket, key, OWNER, NewObject(Attributes()))
        etags = []
        for number, data in enumerate(parts, 1):
            part, _ = await self.uploads.put_part(self.bucket, upload, number, FakeBody(data), announced)
            etags.append(part.etag)
        return upload.upload_id, etags

    async def read(self, version: ObjectVersion, offset: int = 0, length: int | None = None) -> bytes:
        """The version's bytes as a stream gives them."""
        stream = await self.reader.open(version, offset, version.size - offset if length is None else length)
        return b"".join([bytes(piece) async for piece in stream])

    @property
    def stored(self) -> list[bytes]:
        """The bytes of every blob there is."""
        return list(self.store.blobs.values())


def puts(commands_sent: Iterable[Any]) -> list[PutVersion]:
    """The PutVersion commands among those sent."""
    return [command for command in commands_sent if isinstance(command, PutVersion)]
