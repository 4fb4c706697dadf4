"""Getting the bytes of one blob off the drives: read ahead, verify, go around what is bad or slow.

A shard is in one of three states, and only a clean answer of an open drive tells the first two:
present, proved absent, unknown. No error but "no such file" ever means absent.

Every block is checked against its frame before it is handed on. What cannot be read is rebuilt from
the same blocks of any k other shards, which costs no more than the range asked for.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from objstore import blocking, clock, durable
from objstore.blocking import PoolFull
from objstore.durable import Buffer
from objstore.erasure import frame
from objstore.erasure.codec import Codec
from objstore.erasure.geometry import BLOCK_BYTES, chunk_ranges, shard_bytes, shard_ranges
from objstore.model import BlobRef
from objstore.storage import shard_files
from objstore.storage.budget import AlignedBuffers, MemoryBudget
from objstore.storage.drive import Drive, DriveSet, Handle
from objstore.storage.interface import BlobCorrupt, BlobMissing, DriveState, StorageError, TooFewShards
from objstore.storage.latency import Latencies
from objstore.storage.locator import NO_DRIVE, Files, Layout, Packed
from objstore.storage.packs import PackReader
from objstore.storage.shard_files import ShardName

AHEAD_FIRST: Final = 2
AHEAD_MAX: Final = 8
"""Segments read ahead of the consumer, at most: with the default chunk, one chunk."""
SEGMENT_BYTES_FIRST: Final = 512 << 10
SEGMENT_BYTES_MAX: Final = 1 << 20
SEGMENT_BYTES_MIN: Final = BLOCK_BYTES
PAST_CACHE_BYTES_MIN: Final = 4 << 20
"""Ranges from here on are read past the page cache: that costs a third of the CPU, and one large object
does not push thousands of small ones out of memory. Shards so small that they were written through the
cache are read through it."""
BUDGET_SHARE: Final = 16
"""One segment takes at most this part of the free memory budget, so that many readers fit in it."""
CONSUMER_SLOW_S: Final = 0.1
"""Who takes longer for a segment is given smaller ones, one at a time."""
INLINE_BYTES: Final = 128 << 10
"""Up to here decoding is done in the event loop."""


class ShardFailure(Exception):
    """A shard could not be had."""


class ShardAbsent(ShardFailure):
    """Proved absent: its drive is open and has no such shard, or it was never stored, or is lost for good."""


class ShardDamaged(ShardFailure):
    """Something is there that is not the shard."""


class ShardUnknown(ShardFailure):
    """The drive is away or answers with errors: the shard may be there."""


@dataclass(slots=True)
class Source:
    """What readers need of their store."""

    drives: DriveSet
    readers: dict[str, PackReader]
    """By the drive's path."""
    budget: MemoryBudget
    buffers: AlignedBuffers
    latencies: Latencies
    codec: Callable[[int, int], Codec]
    report: Callable[[BlobRef, str], None]
    """Told once for each blob met with an absent or damaged shard."""


class Shard:
    """One shard of a blob, opened when first read. Its methods that block run in the drive's threads."""

    __slots__ = (
        "_base",
        "_blob",
        "_handle",
        "_header",
        "_is_past_cache",
        "_layout",
        "_reader",
        "_source",
        "chunk",
        "drive",
        "payload_bytes",
        "shard",
    )

    def __init__(
        self,
        blob: BlobRef,
        layout: Layout,
        chunk: int,
        shard: int,
        payload_bytes: int,
        source: Source,
        *,
        past_cache: bool = True,
    ) -> None:
        """`past_cache` is a wish, for shards in files that are large enough.

        Raises ShardAbsent, ShardUnknown when the locator or the drive's state say it all.
        """
        number = layout.drives_of(chunk)[shard]
        if number == NO_DRIVE:
            raise ShardAbsent(f"shard {shard} of chunk {chunk} was not stored")
        drive = source.drives.by_number(number)
        if drive is None:
            if not source.drives.is_member(number):
                raise ShardAbsent(f"drive {number} was replaced")
            raise ShardUnknown(f"drive {number} is away")
        self.drive: Drive = drive
        self.chunk = chunk
        self.shard = shard
        self.payload_bytes = payload_bytes
        self._blob = blob
        self._layout = layout
        self._source = source
        self._reader = source.readers[drive.path]
        self._is_past_cache = (
            past_cache and isinstance(layout, Files) and payload_bytes >= shard_files.PAST_CACHE_BYTES_MIN
        )
        self._handle: Handle | None = None
        self._base = 0
        self._header: frame.FrameHeader | None = None

    def read(self, first_block: int, length: int, latencies: Latencies) -> memoryview:
        """`length` bytes of whole blocks from `first_block` on, verified. Blocks. Raises ShardFailure."""
        began_s = clock.monotonic_s()
        with self._failures():
            blocks = self._read(first_block, length)
        latencies.add(self.drive.path, clock.monotonic_s() - began_s)
        return blocks

    @property
    def header(self) -> frame.FrameHeader:
        """The frame's header, after a successful `read`."""
        assert self._header is not None
        return self._header

    def read_from_medium(self, length: int) -> None:
        """Check the whole payload as it lies on the drive, not in the page cache. Blocks; as `read`."""
        with self._failures():
            handle = self._open()
            durable.forget_cached(handle.fd, self._base, frame.frame_bytes(length))
            self._read(0, length)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """What the drive says, as what it means for the shard."""
        try:
            yield
        except FileNotFoundError:
            raise ShardAbsent(f"{self} is not there") from None
        except frame.FrameDamaged as exc:
            raise ShardDamaged(f"{self}: {exc}") from exc
        except OSError as exc:
            self.drive.report_read_error(exc)
            raise ShardUnknown(f"{self}: {exc}") from exc

    def _read(self, first_block: int, length: int) -> memoryview:
        handle = self._handle
        if handle is None:
            handle = self._open()
        header = self._header
        if header is None:
            head_bytes = frame.header_bytes(self.payload_bytes)
            with_payload = length if first_block == 0 else 0
            data = self._bytes_at(handle, self._base, head_bytes + with_payload)
            header = self._header = self._checked_header(data)
            if with_payload:
                blocks = data[head_bytes:]
                self._check(header, 0, blocks, length)
                return blocks
        start = self._base + header.header_bytes + first_block * BLOCK_BYTES
        blocks = self._bytes_at(handle, start, length)
        self._check(header, first_block, blocks, length)
        return blocks

    def _bytes_at(self, handle: Handle, offset: int, length: int) -> memoryview:
        if not self._is_past_cache:
            return memoryview(durable.read(handle.fd, offset, length))
        buffer = self._source.buffers.take(durable.aligned_bytes(offset, length))
        return durable.read_aligned(handle.fd, offset, length, buffer)

    def _open(self) -> Handle:
        if isinstance(self._layout, Packed):
            place = self._layout.places[self.shard]
            self._base = place.offset
            handle = self._reader.open(place.pack)
        else:
            name = ShardName(self._blob.id, self.chunk, self.shard)
            session = self.drive.opened()
            handle = shard_files.open_for_reading(session, name, past_cache=self._is_past_cache)
        self._handle = handle
        return handle

    def _checked_header(self, data: Buffer) -> frame.FrameHeader:
        header = frame.parse_header(data)
        if (
            not header.is_shard_of(self._blob.id, self.chunk, self.shard)
            or header.payload_bytes != self.payload_bytes
            or header.data_shards != self._layout.data_shards
            or header.total_shards != self._layout.total_shards
        ):
            raise frame.FrameDamaged("the frame of another shard")
        return header

    @staticmethod
    def _check(header: frame.FrameHeader, first_block: int, blocks: memoryview, length: int) -> None:
        if len(blocks) != length:
            raise frame.FrameDamaged("cut off within the payload")
        frame.check_blocks(header, first_block, blocks)

    def __str__(self) -> str:
        return f"shard {self.shard} of chunk {self.chunk} of blob {self._blob.id.hex()} on {self.drive.path}"


async def is_proved_absent(drives: DriveSet, number: int) -> bool:
    """Whether "no such file" on drive `number` proves something: it is there, and the drive it was.

    A drive that was emptied or unmounted a moment ago says the same, until one looks.
    """
    drive = drives.by_number(number)
    if drive is None:
        return not drives.is_member(number)
    session = drive.session
    try:
        await drive.pool.submit(drive.probe)
    except PoolFull:
        return False
    return session is not None and drive.session is session and drive.state is not DriveState.FAULTY


class Segment(NamedTuple):
    """A piece of the stream that lies in one data shard."""

    chunk: int
    payload_bytes: int
    shard: int
    first_block: int
    blocks_bytes: int
    skip: int
    """Bytes of the blocks before the piece."""
    length: int


class _Begun(NamedTuple):
    """A segment under way: read from shard `number`, or (None) put together by a task."""

    segment: Segment
    number: int | None
    future: "asyncio.Future[memoryview]"


class BlobReader:
    """One reading of one blob. Lives in one event loop; make a new one for each `get`."""

    def __init__(self, source: Source, ref: BlobRef, layout: Layout) -> None:
        self._source = source
        self._ref = ref
        self._layout = layout
        self._chunk_size = ref.size if isinstance(layout, Packed) else layout.chunk_size
        self._shards: dict[tuple[int, int], Shard] = {}
        self._bad: dict[tuple[int, int], ShardFailure] = {}
        self._is_reported = False
        self._segment_bytes_max = SEGMENT_BYTES_FIRST
        self._is_past_cache = False

    async def stream(self, offset: int, length: int) -> AsyncGenerator[memoryview, None]:
        """The bytes [offset, offset + length), in order. Raises BlobMissing, BlobCorrupt, TooFewShards."""
        budget = self._source.budget
        self._is_past_cache = length >= PAST_CACHE_BYTES_MIN
        segments = self._segments(offset, length)
        upcoming = next(segments, None)
        window: deque[_Begun] = deque()
        ahead, taken = AHEAD_FIRST, 0
        try:
            while upcoming is not None or window:
                while upcoming is not None and len(window) < ahead:
                    if not window:
                        await budget.take(upcoming.blocks_bytes)
                    elif not budget.try_take(upcoming.blocks_bytes):
                        break
                    taken += upcoming.blocks_bytes
                    window.append(self._begin(upcoming))
                    upcoming = next(segments, None)
                begun = window.popleft()
                if not begun.future.done():
                    ahead = min(ahead + 1, AHEAD_MAX)  # the consumer is faster than the drives
                segment = begun.segment
                blocks = await self._settled(begun)
                yielded_s = clock.monotonic_s()
                yield blocks[segment.skip : segment.skip + segment.length]
                budget.give(segment.blocks_bytes)
                taken -= segment.blocks_bytes
                if clock.monotonic_s() - yielded_s > CONSUMER_SLOW_S:
                    ahead = 1  # nothing is gained by holding more for it
                    self._segment_bytes_max = max(SEGMENT_BYTES_MIN, self._segment_bytes_max // 2)
                else:
                    self._segment_bytes_max = min(SEGMENT_BYTES_MAX, self._segment_bytes_max * 2)
                self._close_before(segment.chunk)
        finally:
            for begun in window:
                _forget(begun.future)
            budget.give(taken)

    def _segments(self, offset: int, length: int) -> Iterator[Segment]:
        k = self._layout.data_shards
        for part in chunk_ranges(self._ref.size, self._chunk_size, offset, length):
            payload_bytes = shard_bytes(part.chunk_bytes, k)
            for piece in shard_ranges(part.chunk_bytes, k, part.offset, part.length):
                begin, end = piece.offset, piece.offset + piece.length
                while begin < end:
                    start = begin - begin % BLOCK_BYTES
                    stop = min(end, start + self._segment_bytes())
                    blocks_end = min(payload_bytes, -(-stop // BLOCK_BYTES) * BLOCK_BYTES)
                    yield Segment(
                        part.chunk,
                        payload_bytes,
                        piece.shard,
                        start // BLOCK_BYTES,
                        blocks_end - start,
                        begin - start,
                        stop - begin,
                    )
                    begin = stop

    def _segment_bytes(self) -> int:
        share = self._source.budget.free_bytes // BUDGET_SHARE
        return max(SEGMENT_BYTES_MIN, min(self._segment_bytes_max, share - share % BLOCK_BYTES))

    def _begin(self, segment: Segment) -> _Begun:
        """Start to read a segment: from its own shard (any, of copies), or around it."""
        copies = self._layout.data_shards == 1
        for number in range(self._layout.total_shards) if copies else (segment.shard,):
            try:
                shard = self._open(segment, number)
                if self._is_well(shard.drive):
                    return _Begun(segment, number, self._read(shard, segment))
            except ShardFailure:
                continue
        return _Begun(segment, None, asyncio.ensure_future(self._around(segment, None, None)))

    async def _settled(self, begun: _Begun) -> memoryview:
        """The segment's blocks; around its shard if that fails or takes too long."""
        segment, number, future = begun
        try:
            if number is None:
                return await future
            if not future.done():
                await asyncio.wait((future,), timeout=self._source.latencies.hedge_s)
            if future.done():
                return future.result()
        except ShardFailure as failure:
            assert number is not None
            self._note(segment, number, failure)
            return await self._around(segment, None, None)
        except BaseException:
            _forget(future)
            raise
        latencies = self._source.latencies
        latencies.add(self._open(segment, number).drive.path, latencies.hedge_s)  # at least that long
        return await self._around(segment, number, future)

    async def _around(
        self, segment: Segment, number: int | None, late: "asyncio.Future[memoryview] | None"
    ) -> memoryview:
        """The segment's blocks, from k other shards or from its own, whichever comes first.

        `late` is the reading of shard `number` that has been begun and takes long.
        """
        k = self._layout.data_shards
        pending: dict[asyncio.Future[memoryview], int] = {}
        if late is not None and number is not None:
            pending[late] = number
        good: dict[int, memoryview] = {}
        candidates = deque(self._candidates(segment, number))
        wanted = k
        try:
            while True:
                while candidates and len(good) + len(pending) - (late in pending) < wanted:
                    shard = candidates.popleft()
                    try:
                        pending[self._read(shard, segment)] = shard.shard
                    except ShardFailure as failure:
                        self._note(segment, shard.shard, failure)
                if not pending:
                    raise await self._verdict(segment)
                timeout_s = self._source.latencies.hedge_s if candidates else None
                done, _ = await asyncio.wait(pending, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    wanted += 1  # those under way are slow: ask one more
                for future in done:
                    shard_number = pending.pop(future)
                    try:
                        blocks = future.result()
                    except ShardFailure as failure:
                        self._note(segment, shard_number, failure)
                        continue
                    if shard_number == segment.shard or k == 1:
                        return blocks
                    good[shard_number] = blocks
                if len(good) >= k:
                    return await self._rebuilt(segment, good)
        finally:
            for future in pending:
                _forget(future)

    def _candidates(self, segment: Segment, but: int | None) -> list[Shard]:
        """The shards of the chunk that may help, best first."""
        shards = []
        for number in range(self._layout.total_shards):
            if number != but:
                try:
                    shards.append(self._open(segment, number))
                except ShardFailure as failure:
                    self._note(segment, number, failure)
        return sorted(
            shards, key=lambda s: (s.drive.state is DriveState.FAULTY, not self._is_well(s.drive), s.shard)
        )

    async def _rebuilt(self, segment: Segment, good: dict[int, memoryview]) -> memoryview:
        codec = self._source.codec(self._layout.data_shards, self._layout.total_shards)
        wanted = (segment.shard,)
        if segment.blocks_bytes * codec.data_shards <= INLINE_BYTES:
            rebuilt = codec.rebuild(good, wanted)
        else:
            rebuilt = await blocking.run(codec.rebuild, good, wanted)
        return memoryview(rebuilt[segment.shard])

    async def _verdict(self, segment: Segment) -> StorageError:
        """What to raise when fewer than k shards of a chunk could be had: all have been tried."""
        failures = {
            number: failure for (chunk, number), failure in self._bad.items() if chunk == segment.chunk
        }
        for number, failure in failures.items():
            if isinstance(failure, ShardAbsent) and not await is_proved_absent(
                self._source.drives, self._layout.drives_of(segment.chunk)[number]
            ):
                failures[number] = ShardUnknown(f"{failure}, and its drive is gone")
        k, total = self._layout.data_shards, self._layout.total_shards
        absent = sum(isinstance(failure, ShardAbsent) for failure in failures.values())
        unknown = sum(isinstance(failure, ShardUnknown) for failure in failures.values())
        left = total - len(failures)
        message = (
            f"chunk {segment.chunk} of blob {self._ref.id.hex()}: {left} good shards where {k} are needed; "
            + "; ".join(map(str, failures.values()))
        )
        if left + unknown >= k:
            return TooFewShards(message)
        return BlobMissing(message) if absent == total else BlobCorrupt(message)

    def _open(self, segment: Segment, number: int) -> Shard:
        """The shard of the segment's chunk. Raises ShardFailure if it is known to be bad."""
        where = segment.chunk, number
        shard = self._shards.get(where)
        if where in self._bad:
            raise self._bad[where]
        if shard is None:
            shard = self._shards[where] = Shard(
                self._ref,
                self._layout,
                segment.chunk,
                number,
                segment.payload_bytes,
                self._source,
                past_cache=self._is_past_cache,
            )
        return shard

    def _read(self, shard: Shard, segment: Segment) -> "asyncio.Future[memoryview]":
        try:
            return shard.drive.pool.submit(
                shard.read, segment.first_block, segment.blocks_bytes, self._source.latencies
            )
        except PoolFull as exc:
            raise ShardUnknown(str(exc)) from exc

    def _is_well(self, drive: Drive) -> bool:
        return drive.state is not DriveState.FAULTY and not self._source.latencies.is_slow(drive.path)

    def _note(self, segment: Segment, number: int, failure: ShardFailure) -> None:
        """Remember a bad shard for the rest of this reading, and have it repaired if that can be done."""
        if (segment.chunk, number) not in self._bad:
            self._bad[segment.chunk, number] = failure
            if not self._is_reported and isinstance(failure, ShardAbsent | ShardDamaged):
                self._is_reported = True
                self._source.report(self._ref, str(failure))

    def _close_before(self, chunk: int) -> None:
        for known in (self._shards, self._bad):
            for where in [where for where in known if where[0] < chunk]:
                del known[where]


def _forget(future: "asyncio.Future[Any]") -> None:
    """Nobody waits for it any more; an error in it is nobody's concern."""
    if not future.cancel() and not future.cancelled():
        future.exception()
