"""Small shards in packs: append-only files of frames, one open pack per writing process and drive.

    packs/<16 hex>.pack    a header of 64 bytes, then frames, one after the other
    packs/<16 hex>.dead    a batch for each append: a head, and 16 bytes for each frame that was deleted:
                           offset, length, end of the blob id

Invariants kept here:
- A pack is written by one process, from front to back, and never again after an error or a restart;
  it is locked while it is open, and made read-only when it is finished.
- An append is durable when its place is told. Whatever waits when the drive is free goes out in one
  write: group commit. The thread is given whole batches, not frames: each hand-over costs two switches.
  What a crash tore lies behind the last durable frame, where no locator points.
- The list of the dead is an account, nothing more: losing it loses no bytes but knowledge of space,
  and a wrong entry in it deletes nothing.
"""

import asyncio
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from struct import Struct, error
from typing import Final, NamedTuple, Protocol

from xxhash import xxh3_64_intdigest

from objstore import clock, durable
from objstore.durable import Buffer
from objstore.erasure import frame
from objstore.storage.drive import Drive, Handle, Session
from objstore.storage.locator import Place

PACK_BYTES_MAX: Final = 256 << 20
ALLOCATE_BYTES: Final = 8 << 20
"""A pack grows by this much at a time, so that a full drive shows before bytes are half written."""
ALLOCATE_DIVISOR: Final = 256
"""… but by no more than this part of the drive."""
BATCH_BYTES_MAX: Final = 16 << 20
BATCH_FRAMES_MAX: Final = 500
"""Two buffers a frame: one call to the kernel takes 1024."""
HANDLES_MAX: Final = 128
"""Packs a process keeps open for reading, per drive."""
SCAN_WINDOW_BYTES: Final = 256 << 10
_NEW_MS: Final = 60_000
"""A pack younger than this counts as open, whether its writer has come to lock it yet or not."""

MAGIC: Final = b"OSPK"
VERSION: Final = 1
_HEADER: Final = Struct("<4sB3xQ16s16s8x")
_CHECKSUM: Final = Struct("<Q")
HEADER_BYTES: Final = _HEADER.size + _CHECKSUM.size
assert HEADER_BYTES == 64
_DEAD: Final = Struct("<II8s")
_DEAD_MAGIC: Final = b"OSDD"
_DEAD_HEAD: Final = Struct("<4sIQ")
"""Of a batch: magic, how many records follow, checksum of those. One torn batch hides no later one."""


def pack_name(pack: int) -> str:
    """The file name of a pack."""
    return f"{pack:016x}.pack"


def _dead_name(pack: int) -> str:
    return f"{pack:016x}.dead"


class Waiter(Protocol):
    """Who waits for a frame to be appended. Called in the event loop."""

    def settle(self, shard: int, outcome: Place | OSError) -> None:
        """The frame of that shard is durable at a place, or was not stored."""
        ...


class _Entry(NamedTuple):
    waiter: Waiter
    shard: int
    buffers: Sequence[Buffer]
    length: int


@dataclass(slots=True)
class _OpenPack:
    id: int
    session: Session
    handle: Handle
    offset: int
    allocated: int


class PackWriter:
    """Appends frames to this process's pack on one drive, in a thread of its own."""

    def __init__(self, drive: Drive, loop: asyncio.AbstractEventLoop) -> None:
        self.drive = drive
        self._loop = loop
        self._waiting: list[_Entry] = []
        self._is_send_due = False
        self._is_writing = False
        self._is_closing = False
        self._batches: SimpleQueue[list[_Entry] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._finished = threading.Event()
        self._pack: _OpenPack | None = None
        self.open_pack_id: int | None = None
        """The pack now appended to, for those who must not touch it."""

    def append(self, waiter: Waiter, shard: int, buffers: Sequence[Buffer], length: int) -> None:
        """Queue a frame of `length` bytes; `waiter.settle` is called in the loop once it is durable.

        To be called in the loop.
        """
        self._waiting.append(_Entry(waiter, shard, buffers, length))
        self._send_soon()

    def _send_soon(self) -> None:
        """Have what waits written, with all that comes in this turn of the loop, once the thread is free."""
        if not self._is_send_due and not self._is_writing:
            self._is_send_due = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_send_due = False
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"packs {self.drive.path}", daemon=True)
            self._thread.start()
        batch = self._next_batch()
        self._is_writing = bool(batch)
        if batch:
            self._batches.put(batch)
        elif self._is_closing:
            self._batches.put(None)

    def _next_batch(self) -> list[_Entry]:
        """What waits, as far as one write takes it."""
        total = count = 0
        for entry in self._waiting[:BATCH_FRAMES_MAX]:
            if total >= BATCH_BYTES_MAX:
                break
            total += entry.length
            count += 1
        batch = self._waiting[:count]
        del self._waiting[:count]
        return batch

    def _written(self, batch: Sequence[_Entry], outcome: list[Place] | OSError) -> None:
        self._is_writing = False
        if self._waiting or self._is_closing:
            self._send_soon()
        _settle(batch, outcome)

    def close(self, timeout_s: float) -> None:
        """Finish what is queued and the pack. Blocks, at most `timeout_s`; not to be called in the loop."""
        if self._thread is None and not self._waiting:
            return
        try:
            self._loop.call_soon_threadsafe(self._close)
        except RuntimeError:  # the loop is closed: nothing more can come
            self._batches.put(None)
        self._finished.wait(timeout_s)

    def _close(self) -> None:
        self._is_closing = True
        self._send_soon()

    def _serve(self) -> None:
        while (batch := self._batches.get()) is not None:
            outcome = self._append(batch, sum(entry.length for entry in batch))
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._written, batch, outcome)
            del batch, outcome
        self._finish()
        self._finished.set()

    def _append(self, batch: Sequence[_Entry], total: int) -> list[Place] | OSError:
        drive = self.drive
        try:
            pack = self._ready(drive.opened(), total)
            buffers = [buffer for entry in batch for buffer in entry.buffers]
            durable.write_synced(pack.handle.fd, pack.offset, buffers)
        except OSError as exc:
            self._pack = self.open_pack_id = None  # its end is in doubt: never write to it again
            drive.report_write_error(exc)
            return exc
        number = pack.session.identity.number  # not the drive's now: another may lie at its path by this time
        places = []
        for entry in batch:
            places.append(Place(number, pack.id, pack.offset))
            pack.offset += entry.length
        drive.charge(total)
        return places

    def _ready(self, session: Session, length: int) -> _OpenPack:
        """The open pack, with room for `length` bytes allocated."""
        pack = self._pack
        if pack is not None and pack.session is not session:
            pack = self._pack = None  # the drive went and came back: whose file this is, is not known
        if pack is not None and pack.offset + length > PACK_BYTES_MAX:
            self._finish()
            pack = None
        if pack is None:
            pack = self._pack = self._create(session, length)
            self.open_pack_id = pack.id
        if pack.offset + length > pack.allocated:
            self._allocate(pack, pack.offset + length - pack.allocated)
        return pack

    def _create(self, session: Session, length: int) -> _OpenPack:
        pack, handle = _create_file(session)
        durable.try_lock(handle.fd)
        opened = _OpenPack(pack, session, handle, HEADER_BYTES, 0)
        self._allocate(opened, HEADER_BYTES + length)
        durable.write(handle.fd, 0, [_header(pack, session)])
        durable.sync(handle.fd)
        durable.sync_directory(session.packs.fd)
        return opened

    def _allocate(self, pack: _OpenPack, length: int) -> None:
        step = max(length, min(ALLOCATE_BYTES, self.drive.total_bytes // ALLOCATE_DIVISOR))
        durable.allocate(pack.handle.fd, pack.allocated, step)
        pack.allocated += step

    def _finish(self) -> None:
        """Give back what was allocated and not used, and mark the pack finished."""
        pack, self._pack, self.open_pack_id = self._pack, None, None
        if pack is not None:
            with suppress(OSError):  # only space is lost
                durable.truncate(pack.handle.fd, pack.offset)
                durable.make_read_only(pack.handle.fd)


def _create_file(session: Session) -> tuple[int, Handle]:
    """A new pack's id and file. Another process may have taken the same id in the same millisecond."""
    while True:
        pack = int.from_bytes(clock.new_id()[:8], "big")
        with suppress(FileExistsError):
            return pack, Handle(durable.create(session.packs.fd, pack_name(pack)))


def _settle(batch: Sequence[_Entry], outcome: list[Place] | OSError) -> None:
    if isinstance(outcome, OSError):
        for entry in batch:
            entry.waiter.settle(entry.shard, outcome)
    else:
        for entry, place in zip(batch, outcome, strict=True):
            entry.waiter.settle(entry.shard, place)


def _header(pack: int, session: Session) -> bytes:
    identity = session.identity
    body = _HEADER.pack(
        MAGIC, VERSION, pack, bytes.fromhex(identity.uuid), bytes.fromhex(identity.membership.deployment)
    )
    return body + _CHECKSUM.pack(xxh3_64_intdigest(body))


class PackReader:
    """The packs of one drive, opened for reading: the last HANDLES_MAX used stay open."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self._session: Session | None = None
        self._handles: OrderedDict[int, Handle] = OrderedDict()
        self._lock = threading.Lock()

    def cached(self, pack: int) -> Handle | None:
        """The pack's descriptor if it is open already: never waits for the drive."""
        if self._session is not self.drive.session:
            return None
        return self._handles.get(pack)

    def open(self, pack: int) -> Handle:
        """The pack's descriptor. May block. Raises FileNotFoundError, DriveGone, OSError."""
        session = self.drive.opened()
        with self._lock:
            if self._session is not session:
                self._handles.clear()
                self._session = session
            handle = self._handles.get(pack)
            if handle is not None:
                self._handles.move_to_end(pack)
                return handle
        handle = open_pack(session, pack)
        with self._lock:
            if self._session is session:
                handle = self._handles.setdefault(pack, handle)
                if len(self._handles) > HANDLES_MAX:
                    self._handles.popitem(last=False)
        return handle

    def forget_removed(self) -> None:
        """Close packs that were removed meanwhile (by another process), so that their space comes back."""
        with self._lock:
            removed = [pack for pack, handle in self._handles.items() if not os.fstat(handle.fd).st_nlink]
            for pack in removed:
                del self._handles[pack]


def open_pack(session: Session, pack: int) -> Handle:
    """A pack, for reading. Raises FileNotFoundError, OSError."""
    return Handle(durable.open_file(session.packs.fd, pack_name(pack)))


class ScannedFrame(NamedTuple):
    """A frame met when reading through a pack; its payload was not looked at."""

    offset: int
    header: frame.FrameHeader


def scan(descriptor: int) -> Iterator[ScannedFrame]:
    """The frames of a pack, in order, by their headers. Goes on behind damage where the next frame begins."""
    offset = HEADER_BYTES
    start, window = 0, b""
    while True:
        if not start <= offset <= start + len(window) - frame.HEADER_BYTES_MIN:
            start, window = offset, durable.read(descriptor, offset, SCAN_WINDOW_BYTES)
            if len(window) < frame.HEADER_BYTES_MIN:
                return
        try:
            needed = frame.header_bytes_at(window, offset - start)
            if offset + needed > start + len(window):
                start, window = offset, durable.read(descriptor, offset, max(needed, SCAN_WINDOW_BYTES))
            header = frame.parse_header(window, offset - start)
        except frame.FrameDamaged:
            found = window.find(frame.MAGIC, offset - start + 1)
            offset = start + (found if found >= 0 else max(1, len(window) - len(frame.MAGIC) + 1))
            continue
        yield ScannedFrame(offset, header)
        offset += header.frame_bytes


def mark_dead(
    session: Session, frames: Iterable[tuple[Place, int, bytes]], *, is_durable: bool = False
) -> None:
    """Account frames (place, length, blob id) of one drive as deleted; `is_durable`: and sync that."""
    lists: dict[int, list[bytes]] = {}
    for place, length, blob_id in frames:
        lists.setdefault(place.pack, []).append(_DEAD.pack(place.offset, length, blob_id[-8:]))
    for pack, records in lists.items():
        body = b"".join(records)
        head = _DEAD_HEAD.pack(_DEAD_MAGIC, len(records), xxh3_64_intdigest(body))
        durable.append(session.packs.fd, _dead_name(pack), head + body, is_durable=is_durable)
    if is_durable:
        durable.sync_directory(session.packs.fd)


def dead_frames(session: Session, pack: int) -> dict[int, tuple[int, bytes]]:
    """Length and last 8 bytes of the blob id of the frames that were deleted, by offset."""
    try:
        data = durable.read_file(session.packs.fd, _dead_name(pack))
    except FileNotFoundError:
        return {}
    return {offset: (length, tail) for offset, length, tail in _dead_records(data)}


def _dead_records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The records of an account. What is torn or rotten is passed over, up to where the next batch begins."""
    view = memoryview(data)
    start = data.find(_DEAD_MAGIC)
    while 0 <= start <= len(data) - _DEAD_HEAD.size:
        _, count, checksum = _DEAD_HEAD.unpack_from(data, start)
        body = view[start + _DEAD_HEAD.size :][: count * _DEAD.size]
        if len(body) == count * _DEAD.size and xxh3_64_intdigest(body) == checksum:
            yield from _DEAD.iter_unpack(body)
            start += _DEAD_HEAD.size + len(body)
            if data.startswith(_DEAD_MAGIC, start):
                continue
        start = data.find(_DEAD_MAGIC, start + 1)


class PackUsage(NamedTuple):
    """How much of a pack is still wanted, as far as the account knows."""

    pack: int
    total_bytes: int
    dead_bytes: int
    is_finished: bool
    """No process appends to it any more."""
    changed_ms: int
    """When something was last written to it."""

    @property
    def live_bytes(self) -> int:
        """What deleting the pack may not lose."""
        return max(0, self.total_bytes - self.dead_bytes)


def packs_of(session: Session) -> list[int]:
    """The ids of all packs of a drive, oldest first."""
    names = durable.names(session.packs.fd)
    return sorted(int(name[:16], 16) for name in names if len(name) == 21 and name.endswith(".pack"))


def usage(session: Session) -> list[PackUsage]:
    """Every pack of a drive. Finishes those that a crash left unfinished."""
    return [used for pack in packs_of(session) if (used := _usage(session, pack)) is not None]


def _usage(session: Session, pack: int) -> PackUsage | None:
    try:
        handle = open_pack(session, pack)
    except FileNotFoundError:
        return None
    status = os.fstat(handle.fd)
    is_finished = not status.st_mode & stat.S_IWUSR
    size = status.st_size
    is_new = clock.now_ms() - (pack >> 16) < _NEW_MS
    if not is_finished and not is_new and durable.try_lock(handle.fd):
        size = _finish_abandoned(session, pack)
        is_finished = True
    dead = sum(length for length, _ in dead_frames(session, pack).values())
    changed_ms = status.st_mtime_ns // 1_000_000
    return PackUsage(pack, max(0, size - HEADER_BYTES), dead, is_finished, changed_ms)


def _finish_abandoned(session: Session, pack: int) -> int:
    """Cut the zeros behind the last frame that were allocated and never written; the length that is left."""
    handle = Handle(durable.open_file(session.packs.fd, pack_name(pack), writable=True))
    size = os.fstat(handle.fd).st_size
    end = max((f.offset + f.header.frame_bytes for f in scan(handle.fd)), default=HEADER_BYTES)
    while size > end:
        start = max(end, size - SCAN_WINDOW_BYTES)
        rest = durable.read(handle.fd, start, size - start).rstrip(b"\0")
        size = start + len(rest)
        if rest:
            break
    durable.truncate(handle.fd, size)
    durable.make_read_only(handle.fd)
    return size


def remove_pack(session: Session, pack: int) -> None:
    """Remove a pack and its account, for good; absent is fine.

    The account goes last: a pack that came back without it would look full of blobs nobody knows.
    """
    for name in (pack_name(pack), _dead_name(pack)):
        with suppress(FileNotFoundError):
            durable.unlink(session.packs.fd, name)
        durable.sync_directory(session.packs.fd)


def check_header(data: bytes, pack: int) -> bool:
    """Whether `data` begins with the header of that pack."""
    with suppress(error):
        fields = _HEADER.unpack_from(data)
        (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
        is_ours: bool = fields[:3] == (MAGIC, VERSION, pack) and checksum == xxh3_64_intdigest(
            data[: _HEADER.size]
        )
        return is_ours
    return False
