"""Putting one blob onto drives: the shards of a small one into packs, of a larger one into files.

Both wait for all shards, but not for ever: once the write quorum is durable, a drive that is later
than STRAGGLER_S is left behind and its shard counts as missing. A shard whose drive fails goes to a
spare one while there is any.
"""

import asyncio
import errno
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from objstore import blocking, clock
from objstore.blocking import PoolFull
from objstore.durable import Buffer
from objstore.erasure import frame
from objstore.erasure.codec import Codec
from objstore.erasure.geometry import shard_bytes
from objstore.storage import shard_files
from objstore.storage.budget import AlignedBuffers
from objstore.storage.drive import FULL_ERRNOS, Drive, DriveGone, DriveSet, Session
from objstore.storage.interface import Observe, OutOfSpace, StorageError, WriteQuorumLost
from objstore.storage.locator import NO_DRIVE, NOWHERE, Files, Packed, Place, joined
from objstore.storage.packs import PackWriter
from objstore.storage.shard_files import ShardName

STRAGGLER_S: Final = 3.0
HANG_S: Final = 20.0
"""A drive that has not taken a shard for this long counts as faulty."""
INLINE_BYTES: Final = 128 << 10
"""Up to here coding and checksums are done in the event loop: cheaper than the way to a thread."""

Frame = Sequence[Buffer]


def write_quorum(data_shards: int, total_shards: int) -> int:
    """How many shards must be durable before a blob counts as stored.

    k + 1, so that one more drive may be lost at once; k when m = 1, else a single lost drive would stop
    all writes; all when m = 0. For copies (k = 1) this is two, or one where m = 1.
    """
    parity_shards = total_shards - data_shards
    if parity_shards == 0:
        return total_shards
    return data_shards if parity_shards == 1 else data_shards + 1


def frames_of(
    codec: Codec,
    blob_id: bytes,
    blob_size: int,
    chunk: int,
    data: Buffer,
    parity: memoryview | None = None,
) -> list[Frame]:
    """The frames of all shards of a chunk. `data` and `parity` must not change while they are used."""
    checksum = frame.chunk_checksum(data)
    chunk_bytes = len(data)
    return [
        frame.build(
            data_shards=codec.data_shards,
            total_shards=codec.total_shards,
            shard=shard,
            blob_id=blob_id,
            blob_size=blob_size,
            chunk=chunk,
            chunk_bytes=chunk_bytes,
            chunk_checksum=checksum,
            payload=payload,
        )
        for shard, payload in enumerate(codec.encode(data, parity))
    ]


def parity_buffer(codec: Codec, chunk_bytes: int, buffers: AlignedBuffers) -> memoryview:
    """Where the parity shards of such a chunk can be put; free again when they are no longer viewed."""
    parity_shards = codec.total_shards - codec.data_shards
    return memoryview(buffers.take(parity_shards * shard_bytes(chunk_bytes, codec.data_shards)))


def frame_length(parts: Frame) -> int:
    """The length of a frame."""
    return sum(map(len, parts))


class PackedWrite:
    """The shards of one small blob on their way into packs. Lives in the event loop; no task of its own."""

    __slots__ = (
        "_frames",
        "_is_abandoned",
        "_on_landed_late",
        "_quorum",
        "_spares",
        "_waiting",
        "_writers",
        "began_s",
        "error",
        "future",
        "places",
    )

    def __init__(
        self,
        frames: Sequence[Frame],
        quorum: int,
        writers: dict[int, PackWriter],
        on_landed_late: Callable[[Place, int], None],
    ) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.places: list[Place] = [NOWHERE] * len(frames)
        self.error: OSError | None = None
        self._frames = frames
        self._quorum = quorum
        self._writers = writers
        self._on_landed_late = on_landed_late
        self._spares: list[int] = []
        self._waiting: dict[int, int] = {}
        self._is_abandoned = False
        self.began_s = clock.monotonic_s()

    def start(self, drives: Sequence[int], spares: list[int]) -> None:
        """Send shard i to drives[i]; shards beyond the drives there are stay nowhere."""
        self._spares = spares
        self._waiting = dict(enumerate(drives))  # all of them, before the first can settle
        for shard, drive in enumerate(drives):
            self._send(shard, drive)

    def _send(self, shard: int, drive: int) -> None:
        self._waiting[shard] = drive
        writer = self._writers.get(drive)
        if writer is None:
            self.settle(shard, DriveGone(f"drive {drive}"))
        else:
            parts = self._frames[shard]
            writer.append(self, shard, parts, len(parts[0]) + len(parts[1]))

    def settle(self, shard: int, outcome: Place | OSError) -> None:
        """Called by the pack writer, in the event loop."""
        if self.future.done():
            if isinstance(outcome, Place):
                self._on_landed_late(outcome, frame_length(self._frames[shard]))
            return
        del self._waiting[shard]
        if isinstance(outcome, Place):
            self.places[shard] = outcome
        else:
            self.error = outcome
            if self._spares:
                self._send(shard, self._spares.pop(0))
                return
        if not self._waiting:
            self.future.set_result(None)

    def late_drives(self, now_s: float) -> list[int]:
        """Drives that Settles the write when the quorum is there without them."""
        waited_s = now_s - self.began_s
        if waited_s < STRAGGLER_S or self.future.done():
            return []
        late = list(self._waiting.values())
        stored = sum(place is not NOWHERE for place in self.places)
        if stored >= self._quorum or waited_s > HANG_S:
            self.future.set_result(None)
        return late if waited_s > HANG_S else []

    def landed(self) -> list[tuple[Place, int]]:
        """Place and frame length of what was stored so far."""
        return [
            (place, frame_length(self._frames[shard]))
            for shard, place in enumerate(self.places)
            if place is not NOWHERE
        ]

    def layout(self, data_shards: int) -> Packed:
        """Where the shards are. Raises WriteQuorumLost, OutOfSpace."""
        stored = sum(place is not NOWHERE for place in self.places)
        if stored < self._quorum:
            raise quorum_error(stored, self._quorum, self.error)
        return Packed(data_shards, tuple(self.places))


class Filler:
    """Pours a source's pieces into buffers, one after the other."""

    def __init__(self, source: AsyncIterable[bytes | memoryview], size: int | None) -> None:
        self.is_done = False
        """The source has ended: with the buffer last filled, or (rarely) with the one before."""
        self._pieces = aiter(source)
        self._rest = memoryview(b"")
        self._size = size
        self._received = 0

    async def fill(self, view: memoryview, meanwhile: "asyncio.Task[None] | None") -> int:
        """How many bytes were put into `view`: all it takes, or what was left.

        Raises what the source raises, what the task `meanwhile` raises in the meantime, and ValueError
        when the source has another size than was told.
        """
        filled = 0
        while not self.is_done:
            length = min(len(self._rest), len(view) - filled)
            view[filled : filled + length] = self._rest[:length]
            self._rest = self._rest[length:]
            filled += length
            if self._rest or (filled == len(view) and self._received != self._size):
                break
            piece = await anext(self._pieces, None)
            if piece is None:
                self.is_done = True
            else:
                self._rest = memoryview(piece)
                self._received += len(piece)
            if meanwhile is not None and meanwhile.done():
                meanwhile.result()
        if self._size is not None and (
            self._received > self._size or (self.is_done and self._received < self._size)
        ):
            raise ValueError(f"{self._size} bytes were announced, {self._received} came")
        return filled


def quorum_error(stored: int, quorum: int, cause: OSError | None) -> StorageError:
    """What to raise when too few drives took their shards."""
    message = f"{stored} shards stored where {quorum} are needed"
    if cause is not None:
        message += f"; last error: {cause.strerror or cause}"
    if cause is not None and cause.errno in FULL_ERRNOS:
        return OutOfSpace(message)
    return WriteQuorumLost(message)


class FilesWrite:
    """The chunks of one larger blob on their way into shard files, one chunk at a time."""

    def __init__(
        self,
        drives: DriveSet,
        codec: Codec,
        blob_id: bytes,
        blob_size: int,
        chunk_size: int,
        chosen: Sequence[int],
        spares: Sequence[int],
        buffers: AlignedBuffers,
    ) -> None:
        """`blob_size` is 0 when not known yet. Shard i goes to chosen[i]."""
        self.blob_id = blob_id
        self.size = 0
        self._drives = drives
        self._codec = codec
        self._blob_size = blob_size
        self._chunk_size = chunk_size
        self._current = [*chosen, *[NO_DRIVE] * (codec.total_shards - len(chosen))]
        self._spares = list(spares)
        self._quorum = write_quorum(codec.data_shards, codec.total_shards)
        self._by_chunk: list[tuple[int, ...]] = []
        self._written: dict[int, list[tuple[int, int]]] = {}
        self._sessions: dict[int, Session] = {}
        """As which each drive took its first shard. One that went and came back may have lost names that were
        not synced yet: it gets no more, and what it has does not count."""
        self._late: set[asyncio.Task[int]] = set()
        self._error: OSError | None = None
        self._buffers = buffers

    async def chunk(self, data: memoryview, observe: Observe | None) -> None:
        """Code and store the next chunk, and show it to `observe`; `data` must not change meanwhile.

        Must not be cancelled: threads use `data`, those left behind also after this returned.
        Raises WriteQuorumLost, OutOfSpace, and what `observe` raises.
        """
        storing = asyncio.ensure_future(self._store(len(self._by_chunk), data))
        observing = asyncio.ensure_future(blocking.run(observe, data)) if observe is not None else None
        await asyncio.wait([storing] if observing is None else [storing, observing])
        storing_error = storing.exception()
        if observing is not None:
            observing.result()
        if storing_error is not None:
            raise storing_error
        self.size += len(data)

    async def _store(self, index: int, data: memoryview) -> None:
        parity = parity_buffer(self._codec, len(data), self._buffers)
        frames = await blocking.run(
            frames_of, self._codec, self.blob_id, self._blob_size, index, data, parity
        )
        tasks = {
            asyncio.ensure_future(self._store_shard(index, shard, number, frames[shard])): shard
            for shard, number in enumerate(self._current)
            if number != NO_DRIVE
        }
        stored = [NO_DRIVE] * self._codec.total_shards
        pending = set(tasks)
        began_s = clock.monotonic_s()
        while pending:
            done, pending = await asyncio.wait(pending, timeout=STRAGGLER_S)
            for task in done:
                stored[tasks[task]] = task.result()
            waited_s = clock.monotonic_s() - began_s
            if pending and (_count(stored) >= self._quorum or waited_s > HANG_S):
                for task in pending:
                    self._leave_behind(task, tasks[task], waited_s)
                break
        self._by_chunk.append(tuple(stored))
        if _count(stored) < self._quorum:
            raise quorum_error(_count(stored), self._quorum, self._error)

    async def _store_shard(self, chunk: int, shard: int, number: int, parts: Frame) -> int:
        """Write one shard file, elsewhere if its drive fails; the drive it is on, or NO_DRIVE."""
        while True:
            drive = self._drives.by_number(number)
            try:
                if drive is None:
                    raise DriveGone(f"drive {number}")
                session = self._session(drive, number)
                self._written.setdefault(number, []).append((chunk, shard))
                name = ShardName(self.blob_id, chunk, shard)
                await drive.pool.submit(shard_files.write, session, name, parts, self._buffers)
                drive.charge(frame_length(parts))
                return number
            except PoolFull as exc:
                self._error = OSError(errno.EBUSY, str(exc))
            except OSError as exc:
                self._error = exc
                if drive is not None:
                    drive.report_write_error(exc)
            if self._current[shard] != number:  # left behind meanwhile
                return NO_DRIVE
            self._current[shard] = number = self._spares.pop(0) if self._spares else NO_DRIVE
            if number == NO_DRIVE:
                return NO_DRIVE

    def _session(self, drive: Drive, number: int) -> Session:
        """The drive's session, still the one it was first written in. Raises DriveGone."""
        session = drive.opened()
        if session.identity.number != number or self._sessions.setdefault(number, session) is not session:
            raise DriveGone(drive.path)
        return session

    def _leave_behind(self, task: "asyncio.Task[int]", shard: int, waited_s: float) -> None:
        number, self._current[shard] = self._current[shard], NO_DRIVE
        self._late.add(task)
        drive = self._drives.by_number(number)
        if drive is not None and waited_s > HANG_S:
            drive.report_hang(waited_s)

    async def finish(self) -> Files:
        """Make the names durable; where the shards are. Raises WriteQuorumLost, OutOfSpace."""
        used = {number for row in self._by_chunk for number in row if number != NO_DRIVE}
        tasks = {asyncio.ensure_future(self._sync_names(number)): number for number in used}
        kept: set[int] = set()
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=STRAGGLER_S)
            kept |= {tasks[task] for task in done if task.result()}
            if pending and len(kept) >= self._quorum:
                break
            if not done:
                break
        rows = [tuple(d if d in kept else NO_DRIVE for d in row) for row in self._by_chunk]
        runs = joined(rows)
        fewest = min(_count(run.drives) for run in runs)
        if fewest < self._quorum:
            raise quorum_error(fewest, self._quorum, self._error)
        self._remove_strays(rows)
        return Files(self._codec.data_shards, self._codec.total_shards, self._chunk_size, runs)

    async def _sync_names(self, number: int) -> bool:
        drive = self._drives.by_number(number)
        if drive is None:
            return False
        try:
            await drive.pool.submit(shard_files.sync_names, self._session(drive, number), self.blob_id)
        except PoolFull:
            return False
        except OSError as exc:
            self._error = exc
            drive.report_write_error(exc)
            return False
        return True

    def _remove_strays(self, rows: Sequence[tuple[int, ...]]) -> None:
        """Drop from what `discard` knows all that the finished blob refers to."""
        for number, shards in self._written.items():
            self._written[number] = [(c, s) for c, s in shards if rows[c][s] != number]

    @property
    def has_strays(self) -> bool:
        """Whether files were begun that the finished blob does not refer to: `discard` removes them."""
        return any(self._written.values())

    async def discard(self) -> None:
        """Remove what was written (after `finish`: only strays), once no thread writes any more."""
        if self._late:
            await asyncio.wait(self._late)
        for number, shards in self._written.items():
            drive = self._drives.by_number(number)
            if drive is not None and shards:
                with suppress(OSError, PoolFull):  # what stays is found by a later listing
                    await drive.pool.submit(shard_files.remove, drive.opened(), self.blob_id, shards)
        self._written.clear()


def _count(drives: Iterable[int]) -> int:
    return sum(number != NO_DRIVE for number in drives)
