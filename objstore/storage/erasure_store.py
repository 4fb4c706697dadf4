"""ErasureBlobStore: blobs as chunks, chunks as shards, shards over drives.

What holds here, always:
- A blob's reference is given out only when at least `write_quorum` shards of each chunk are durable.
- A shard is never changed in place. Deleting is only ever asked for by the caller, by reference.
- No error but "no such file" on an open drive of this deployment counts as absence.

Small blobs (up to k · 256 KiB) go into packs, the smallest (16 KiB) as copies; larger ones into files.
`put` and `get_now` of small blobs are the hot path: no task, no thread hop but the pack's own.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import suppress
from typing import Any, Final

from objstore import blocking, clock, durable
from objstore.blocking import PoolFull
from objstore.erasure import frame
from objstore.erasure.codec import Codec, EngineName
from objstore.erasure.geometry import shard_bytes
from objstore.model import BlobRef
from objstore.storage import listing, locator, packs, placement, shard_files
from objstore.storage.budget import AlignedBuffers, MemoryBudget
from objstore.storage.compaction import PackMoves
from objstore.storage.drive import Drive, DriveSet, Handle, Session
from objstore.storage.interface import (
    PUT_S_MAX,
    BlobCorrupt,
    DriveState,
    Exposure,
    Observe,
    OutOfSpace,
    PackContents,
    PackStatus,
    StoreStatus,
    StoreUnavailable,
    Verification,
    WriteQuorumLost,
)
from objstore.storage.latency import Latencies
from objstore.storage.locator import NO_DRIVE, Files, Layout, LocatorInvalid, Packed, Place
from objstore.storage.packs import PackReader, PackWriter
from objstore.storage.reading import BlobReader, Source
from objstore.storage.repair import verify as verify_blob
from objstore.storage.shard_files import ShardName
from objstore.storage.writing import (
    INLINE_BYTES,
    FilesWrite,
    Filler,
    Frame,
    PackedWrite,
    frames_of,
    parity_buffer,
    write_quorum,
)

CHUNK_BYTES: Final = 8 << 20
CHUNK_BYTES_MIN: Final = 1 << 20
"""Chunks get smaller, down to this, when many uploads share the memory budget."""
READ_SHARE: Final = 3
"""This part of the memory is for reads alone, so that slow uploads cannot keep downloads waiting."""
BUDGET_SHARE: Final = 4
"""One chunk under way takes at most this part of the free memory budget."""
COPIES_BYTES_MAX: Final = 16 << 10
PACKED_SHARD_BYTES_MAX: Final = 256 << 10
MEMORY_BYTES: Final = 96 << 20
NOW_BYTES_MAX: Final = 128 << 10
"""What `get_now` reads in the event loop at most."""
UNBUDGETED_BYTES: Final = 64 << 10
"""Bodies up to here are bounded by the number of requests, not by the memory budget."""
TICK_S: Final = 0.25
SWEEP_S: Final = 5.0
DEAD_BATCH: Final = 500
DEAD_GATHER_S: Final = 0.01
"""Deletions of this long are accounted together."""
REPORT_AGAIN_S: Final = 60.0
REPORTED_MAX: Final = 10_000
CLOSE_S: Final = 10.0

OnDegraded = Callable[[BlobRef, str], None]
"""Told that a blob has fewer than all shards good, and why. Called in the event loop; must not wait."""


class ErasureBlobStore:
    """A BlobStore over the drives of one deployment. One event loop; `open` makes one."""

    def __init__(
        self,
        drives: DriveSet,
        data_shards: int,
        parity_shards: int,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        engine: EngineName | None = None,
        on_degraded: OnDegraded | None = None,
    ) -> None:
        self.drives = drives
        self.data_shards = data_shards
        self.total_shards = data_shards + parity_shards
        self.budget = MemoryBudget(memory_bytes - memory_bytes // READ_SHARE)
        self.read_budget = MemoryBudget(memory_bytes // READ_SHARE)
        self._buffers = AlignedBuffers(memory_bytes)
        self._engine = engine
        self._chunk_bytes = chunk_bytes
        self._packed_bytes_max = min(data_shards * PACKED_SHARD_BYTES_MAX, chunk_bytes)
        self._copies_bytes_max = min(COPIES_BYTES_MAX, chunk_bytes)
        self._copies = 1 + parity_shards
        self._on_degraded = on_degraded
        self._codecs: dict[tuple[int, int], Codec] = {}
        self._reported: dict[bytes, float] = {}
        self._at_risk = 0
        self._writer_of: dict[str, PackWriter] = {}
        self._writers: dict[int, PackWriter] = {}
        self._swept_s = clock.monotonic_s()
        self._readers = {drive.path: PackReader(drive) for drive in drives}
        self._rooms: dict[int, int] = {}
        self._groups: dict[Codec, tuple[list[int], list[int]]] = {}
        """Small blobs of one tick share their drives: fewer drives sync, and each for more blobs at once."""
        self._writes: set[PackedWrite] = set()
        self._background: set[asyncio.Task[object]] = set()
        self._dead: list[tuple[Place, int, bytes]] = []
        self._deleted: list[tuple[Place, int, bytes]] = []
        self._accounting: asyncio.Task[frozenset[int]] | None = None
        self._removed: dict[tuple[Drive, Session], set[str]] = {}
        self._syncing: asyncio.Task[frozenset[tuple[Drive, Session]]] | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._is_closed = False
        self._latencies = Latencies()
        self._source = Source(
            drives, self._readers, self.read_budget, self._buffers, self._latencies, self.codec, self._report
        )
        self._moves = PackMoves(drives, self._readers, self._writers, self._layout)

    @classmethod
    async def open(
        cls,
        drives: DriveSet,
        data_shards: int,
        parity_shards: int,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        engine: EngineName | None = None,
        on_degraded: OnDegraded | None = None,
    ) -> "ErasureBlobStore":
        """A store on open drives, which stay the caller's to close. Raises CodecBroken."""
        store = cls(
            drives,
            data_shards,
            parity_shards,
            chunk_bytes=chunk_bytes,
            memory_bytes=memory_bytes,
            engine=engine,
            on_degraded=on_degraded,
        )
        await blocking.run(store.codec(store.data_shards, store.total_shards).self_test)
        store._tick()
        store._ticker = asyncio.create_task(store._keep_ticking())
        return store

    def codec(self, data_shards: int, total_shards: int) -> Codec:
        """The code of that geometry: blobs keep the one they were written with."""
        codec = self._codecs.get((data_shards, total_shards))
        if codec is None:
            codec = self._codecs[data_shards, total_shards] = Codec(data_shards, total_shards, self._engine)
        return codec

    # -- writing --------------------------------------------------------------------------------

    async def put(
        self,
        source: AsyncIterable[bytes | memoryview],
        size_hint: int | None = None,
        observe: Observe | None = None,
    ) -> BlobRef:
        """See BlobStore. ValueError if `source` has no bytes, or not `size_hint` of them."""
        self._check_open()
        if size_hint is not None and size_hint <= self._packed_bytes_max:
            return await self._put_small(source, size_hint, observe)
        ref = await self._put_large(source, size_hint, observe)
        if clock.now_ms() - clock.id_ms(ref.id) > PUT_S_MAX * 1000:
            await self.delete(ref)
            raise StoreUnavailable(f"the put took longer than {PUT_S_MAX} s")
        return ref

    async def _put_small(
        self, source: AsyncIterable[bytes | memoryview], size: int, observe: Observe | None
    ) -> BlobRef:
        charge = 0 if size <= UNBUDGETED_BYTES else size * self.total_shards // self.data_shards
        if charge:
            await self.budget.take(charge)
        try:
            if charge:
                data = memoryview(self._buffers.take(size))[:size]
                await Filler(source, size).fill(data, None)
                return await self._put_packed(data, observe)
            pieces = []
            received = 0
            async for piece in source:
                pieces.append(piece)
                received += len(piece)
                if received > size:
                    break
            if received != size or not size:
                raise ValueError(f"{size} bytes were announced, {received} came")
            return await self._put_packed(pieces[0] if len(pieces) == 1 else b"".join(pieces), observe)
        finally:
            if charge:
                self.budget.give(charge)

    async def _put_packed(self, data: bytes | memoryview, observe: Observe | None) -> BlobRef:
        size = len(data)
        blob_id = clock.new_id()
        if size <= self._copies_bytes_max:
            codec = self.codec(1, self._copies)
        else:
            codec = self.codec(self.data_shards, self.total_shards)
        chosen, spares = self._choose_shared(blob_id, codec)
        observing: asyncio.Future[None] | None = None
        if observe is not None and size <= UNBUDGETED_BYTES:
            observe(memoryview(data))
        elif observe is not None:
            observing = asyncio.ensure_future(blocking.run(observe, memoryview(data)))
        try:
            if size <= INLINE_BYTES:
                frames = frames_of(codec, blob_id, size, 0, data)
            else:
                parity = parity_buffer(codec, size, self._buffers)
                frames = await blocking.run(frames_of, codec, blob_id, size, 0, data, parity)
        except BaseException:
            if observing is not None:
                self._in_background(_ignored(observing))
            raise
        quorum = write_quorum(codec.data_shards, codec.total_shards)
        write = PackedWrite(frames, quorum, self._writers, self._landed_late(blob_id))
        self._writes.add(write)
        try:
            write.start(chosen, spares)
            await write.future
            if observing is not None:
                await observing
            layout = write.layout(codec.data_shards)
        except BaseException:
            write.future.cancel()
            self._mark_dead(blob_id, write.landed())
            if observing is not None and not observing.done():
                self._in_background(_ignored(observing))  # it reads `data`
            raise
        finally:
            self._writes.discard(write)
        ref = BlobRef(blob_id, size, layout.pack())
        if locator.NOWHERE in layout.places:
            self._report(ref, f"stored on {sum(p.drive != NO_DRIVE for p in layout.places)} drives")
        return ref

    def _landed_late(self, blob_id: bytes) -> Callable[[Place, int], None]:
        return lambda place, length: self._mark_dead(blob_id, [(place, length)])

    async def _put_large(
        self, source: AsyncIterable[bytes | memoryview], size_hint: int | None, observe: Observe | None
    ) -> BlobRef:
        chunk_size = self._chunk_size(size_hint)
        charge = chunk_size * self.total_shards // self.data_shards
        write: FilesWrite | None = None
        storing: asyncio.Task[None] | None = None
        await self.budget.take(charge)
        charged = charge
        try:
            filler = Filler(source, size_hint)
            while True:
                buffer = memoryview(self._buffers.take(chunk_size))[:chunk_size]
                filled = await filler.fill(buffer, storing)
                if not filled:
                    break
                chunk = buffer[:filled]
                del buffer
                if write is None:
                    if filler.is_done and filled <= self._packed_bytes_max:
                        return await self._put_packed(chunk, observe)
                    write = self._files_write(size_hint or 0, chunk_size)
                if storing is not None:
                    await asyncio.shield(storing)
                storing = asyncio.create_task(write.chunk(chunk, observe))
                del chunk
                if filler.is_done:
                    break
                if charged == charge and self.budget.try_take(charge):
                    charged += charge
                if charged > charge and not self.budget.waiting:
                    continue  # the next chunk is filled while this one is stored
                # Others wait for memory: one chunk after the other, and between two it is their turn.
                await asyncio.shield(storing)
                storing = None
                self.budget.give(charged)
                charged = 0
                await self.budget.take(charge)
                charged = charge
            if write is None:
                raise ValueError("a blob has at least one byte")
            if storing is not None:
                await asyncio.shield(storing)
            layout = await write.finish()
        except BaseException as exc:
            if write is not None:
                cleaning = self._in_background(self._discard(write, storing, charged))
                charged = 0
                if not isinstance(exc, asyncio.CancelledError):
                    await asyncio.shield(cleaning)
            raise
        finally:
            self.budget.give(charged)
        if write.has_strays:
            self._in_background(self._discard(write, None, 0))
        ref = BlobRef(write.blob_id, write.size, layout.pack())
        fewest = min(sum(d != NO_DRIVE for d in run.drives) for run in layout.runs)
        if fewest < layout.total_shards:
            self._report(ref, f"stored on {fewest} drives of {layout.total_shards}")
        return ref

    def _files_write(self, blob_size: int, chunk_size: int) -> FilesWrite:
        blob_id = clock.new_id()
        codec = self.codec(self.data_shards, self.total_shards)
        chosen, spares = self._choose(blob_id, codec)
        return FilesWrite(self.drives, codec, blob_id, blob_size, chunk_size, chosen, spares, self._buffers)

    def _chunk_size(self, size_hint: int | None) -> int:
        """The configured size, or less for small blobs and when memory gets scarce."""
        share = self.budget.free_bytes // BUDGET_SHARE * self.data_shards // self.total_shards
        size = self._chunk_bytes
        while size > share and size >= 2 * CHUNK_BYTES_MIN:
            size //= 2
        return size if size_hint is None else min(size, max(size_hint, 1))

    def _choose(self, seed: bytes, codec: Codec) -> tuple[list[int], list[int]]:
        """The drives for a new blob's shards, and spare ones. Raises WriteQuorumLost, OutOfSpace."""
        rooms = self._rooms
        chosen = placement.choose(seed, rooms, codec.total_shards)
        quorum = write_quorum(codec.data_shards, codec.total_shards)
        if len(chosen) < quorum:
            self._refresh()
            rooms = self._rooms
            chosen = placement.choose(seed, rooms, codec.total_shards)
        if len(chosen) < quorum:
            message = f"{len(chosen)} drives take new data where {quorum} are needed"
            is_space = len(chosen) + sum(drive.is_full for drive in self.drives) >= quorum
            raise OutOfSpace(message) if is_space else WriteQuorumLost(message)
        return chosen, [number for number in rooms if number not in chosen]

    def _choose_shared(self, blob_id: bytes, codec: Codec) -> tuple[list[int], list[int]]:
        """The same for a small blob: the drives it shares with the others of this tick, in its own order."""
        group = self._groups.get(codec)
        if group is None:
            group = self._choose(blob_id, codec)
            self._groups[codec] = group
        chosen, spares = group
        return placement.order(blob_id, chosen), spares.copy()

    async def _discard(self, write: FilesWrite, storing: "asyncio.Task[None] | None", charged: int) -> None:
        """Remove what a put wrote that nobody will refer to, once its threads are done."""
        try:
            if storing is not None:
                await asyncio.wait((storing,))
                storing.cancelled() or storing.exception()
            await write.discard()
        finally:
            self.budget.give(charged)

    # -- reading --------------------------------------------------------------------------------

    def get(self, ref: BlobRef, offset: int = 0, length: int | None = None) -> AsyncIterator[memoryview]:
        """See BlobStore. ValueError if the range is not inside the blob."""
        self._check_open()
        if length is None:
            length = ref.size - offset
        if offset < 0 or length < 0 or offset + length > ref.size:
            raise ValueError(f"bytes {offset}+{length} of a blob of {ref.size}")
        return BlobReader(self._source, ref, self._layout(ref)).stream(offset, length)

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        """See BlobStore: packed blobs whose pack is open and whose bytes are in the page cache."""
        if not 0 < length <= NOW_BYTES_MAX or self._is_closed:
            return None
        try:
            layout = locator.parse(ref.locator, ref.size)
            if not isinstance(layout, Packed):
                return None
            if layout.data_shards == 1:
                return self._copy_now(ref, layout, offset, length)
            if length == ref.size:
                return self._joined_now(ref, layout)
        except (LocatorInvalid, frame.FrameDamaged, OSError):
            pass
        return None

    def _copy_now(self, ref: BlobRef, layout: Packed, offset: int, length: int) -> memoryview | None:
        if ref.size > NOW_BYTES_MAX:
            return None
        for shard, place in enumerate(layout.places):
            handle = self._cached_pack(place)
            if handle is None:
                continue
            data = bytearray(frame.frame_bytes(ref.size))
            if durable.read_now(handle.fd, place.offset, [data]) != len(data):
                return None
            return frame.open_frame(data, ref.id, 0, shard)[offset : offset + length]
        return None

    def _joined_now(self, ref: BlobRef, layout: Packed) -> memoryview | None:
        """All data shards, read right behind one another into one buffer."""
        k = layout.data_shards
        payload_bytes = shard_bytes(ref.size, k)
        data = bytearray(k * payload_bytes)
        view = memoryview(data)
        head = bytearray(frame.header_bytes(payload_bytes))
        for shard, place in enumerate(layout.places[:k]):
            handle = self._cached_pack(place)
            if handle is None:
                return None
            payload = view[shard * payload_bytes : (shard + 1) * payload_bytes]
            if durable.read_now(handle.fd, place.offset, [head, payload]) != len(head) + payload_bytes:
                return None
            header = frame.parse_header(head)
            if not header.is_shard_of(ref.id, 0, shard) or header.payload_bytes != payload_bytes:
                return None
            frame.check_blocks(header, 0, payload)
        return view[: ref.size]

    def _cached_pack(self, place: Place) -> Handle | None:
        drive = self.drives.by_number(place.drive)
        if drive is None or self._latencies.is_slow(drive.path):
            return None
        return self._readers[drive.path].cached(place.pack)

    # -- the rest -------------------------------------------------------------------------------

    async def delete(self, ref: BlobRef) -> bool:
        """See BlobStore."""
        self._check_open()
        layout = self._layout(ref)
        if isinstance(layout, Packed):
            length = frame.frame_bytes(shard_bytes(ref.size, layout.data_shards))
            places = [place for place in layout.places if place.drive != NO_DRIVE]
            left = await self._account_dead(ref.id, [(place, length) for place in places])
            return not left.intersection(place.drive for place in places)
        shards: dict[int, list[tuple[int, int]]] = {}
        for chunk, shard, number in layout.chunks_on():
            shards.setdefault(number, []).append((chunk, shard))
        removals = [self._remove_for_good(number, ref.id, files) for number, files in shards.items()]
        return all(await asyncio.gather(*removals))

    async def _remove_for_good(self, number: int, blob_id: bytes, files: Sequence[tuple[int, int]]) -> bool:
        """Whether these shards are gone from that drive and no power cut can bring them back."""
        drive = self.drives.by_number(number)
        if drive is None:
            return not self.drives.is_member(number)
        try:
            session = drive.opened()
            await drive.pool.submit(shard_files.remove, session, blob_id, files)
        except (OSError, PoolFull):
            return False
        self._removed.setdefault((drive, session), set()).add(ShardName(blob_id, 0, 0).directory)
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync_removals_soon())
        return (drive, session) not in await asyncio.shield(self._syncing)

    async def _sync_removals_soon(self) -> frozenset[tuple[Drive, Session]]:
        """Sync the directories that shards were removed from, each once for many; the drives that failed."""
        await asyncio.sleep(DEAD_GATHER_S)
        self._syncing = None
        removed, self._removed = self._removed, {}
        outcomes = await asyncio.gather(
            *(self._sync_removals(*place, directories) for place, directories in removed.items())
        )
        return frozenset(place for place, is_synced in zip(removed, outcomes, strict=True) if not is_synced)

    @staticmethod
    async def _sync_removals(drive: Drive, session: Session, directories: Iterable[str]) -> bool:
        try:
            await drive.pool.submit(shard_files.sync_removals, session, sorted(directories))
        except (OSError, PoolFull):
            return False
        return True

    async def _remove_soon(self, number: int, blob_id: bytes, files: Sequence[tuple[int, int]]) -> None:
        """Remove shards that nothing names any more; those that stay are the orphan scan's to find."""
        drive = self.drives.by_number(number)
        if drive is not None:
            with suppress(OSError, PoolFull):
                await drive.pool.submit(shard_files.remove, drive.opened(), blob_id, files)

    def exposure(self, ref: BlobRef) -> Exposure:
        """See BlobStore."""
        try:
            layout = self._layout(ref)
        except BlobCorrupt:
            return Exposure()
        rows = [layout.drives_of(0)] if isinstance(layout, Packed) else [run.drives for run in layout.runs]
        missing, is_mendable = 0, False
        for row in rows:
            lost = sum(not self._is_readable(number) for number in row)
            missing = max(missing, lost)
            is_mendable = is_mendable or (lost > 0 and not self._rooms.keys() <= set(row))
        return Exposure(frozenset().union(*rows) - {NO_DRIVE}, missing, is_mendable)

    def _is_readable(self, number: int) -> bool:
        drive = self.drives.by_number(number)
        return drive is not None and drive.state is not DriveState.FAULTY

    async def prune(self, ref: BlobRef, keep: BlobRef) -> None:
        """See BlobStore."""
        self._check_open()
        assert ref.id == keep.id
        old, new = self._layout(ref), self._layout(keep)
        if isinstance(old, Packed) and isinstance(new, Packed):
            length = frame.frame_bytes(shard_bytes(ref.size, old.data_shards))
            gone = set(old.places) - set(new.places)
            self._mark_dead(ref.id, [(place, length) for place in gone if place.drive != NO_DRIVE])
        elif isinstance(old, Files) and isinstance(new, Files):
            shards: dict[int, list[tuple[int, int]]] = {}
            for chunk, shard, number in set(old.chunks_on()) - set(new.chunks_on()):
                shards.setdefault(number, []).append((chunk, shard))
            await asyncio.gather(*(self._remove_soon(n, ref.id, files) for n, files in shards.items()))
        else:
            raise ValueError("two references that are not of one blob")

    async def verify(self, ref: BlobRef, *, repair: bool) -> Verification:
        """See BlobStore."""
        self._check_open()
        return await verify_blob(self._source, ref, self._layout(ref), self if repair else None)

    def rooms(self) -> Mapping[int, int]:
        """See repair.Mender."""
        self._refresh()
        return self._rooms

    async def append(self, frames: Sequence[Frame], drives: Sequence[int]) -> list[Place]:
        """See repair.Mender."""
        if not frames:
            return []
        write = PackedWrite(frames, len(frames), self._writers, lambda place, length: None)
        self._writes.add(write)
        try:
            write.start(drives, [])
            await write.future
        finally:
            self._writes.discard(write)
        return write.places

    async def list(self) -> AsyncGenerator[BlobRef, None]:
        """See BlobStore."""
        self._check_open()
        await self._flush_dead()
        async for ref in listing.blobs(self.drives):
            yield ref

    # -- compaction: see Compactable --------------------------------------------------------------

    async def packs(self) -> Sequence[PackStatus]:
        """See Compactable."""
        self._check_open()
        return await self._moves.packs()

    async def blobs_in_pack(self, drive: int, pack: int) -> PackContents:
        """See Compactable."""
        self._check_open()
        return await self._moves.blobs_in_pack(drive, pack)

    async def move_from_pack(self, ref: BlobRef, drive: int, pack: int) -> BlobRef:
        """See Compactable."""
        self._check_open()
        return await self._moves.move_from_pack(ref, drive, pack)

    async def remove_pack(self, drive: int, pack: int) -> None:
        """See Compactable."""
        self._check_open()
        await self._moves.remove_pack(drive, pack)

    async def status(self) -> StoreStatus:
        """See BlobStore."""
        drives = self.drives.status()
        readable = sum(drive.session is not None for drive in self.drives)
        writable = sum(drive.state is DriveState.ONLINE for drive in self.drives)
        quorum = write_quorum(self.data_shards, self.total_shards)
        lost = len(self.drives.membership.drives) - readable
        reasons = []
        if lost > self.total_shards - self.data_shards:
            reasons.append(f"{lost} drives are away: some blobs cannot be read")
        if writable < quorum:
            reasons.append(f"{writable} drives take new data where {quorum} are needed")
        return StoreStatus(
            drives=drives,
            may_read=lost <= self.total_shards - self.data_shards and not self._is_closed,
            may_write=writable >= quorum and not self._is_closed,
            reason="; ".join(reasons),
            at_risk=self._at_risk,
            detail={
                "budget_bytes": self.budget.total_bytes + self.read_budget.total_bytes,
                "budget_free_bytes": self.budget.free_bytes + self.read_budget.free_bytes,
                "budget_waiting": self.budget.waiting + self.read_budget.waiting,
                "drive_calls": sum(drive.pool.unfinished for drive in self.drives),
                "slow_drives": sum(self._latencies.is_slow(drive.path) for drive in self.drives),
            },
        )

    async def close(self) -> None:
        """See BlobStore."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        while self._background:
            await asyncio.wait(self._background)
        for gathered in (self._accounting, self._syncing):
            if gathered is not None:
                await gathered
        await self._flush_dead()
        for writer in self._writer_of.values():
            await blocking.run(writer.close, CLOSE_S)

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store is closed")

    @staticmethod
    def _layout(ref: BlobRef) -> Layout:
        try:
            return locator.parse(ref.locator, ref.size)
        except LocatorInvalid as exc:
            raise BlobCorrupt(f"locator of blob {ref.id.hex()}: {exc}") from exc

    def _report(self, ref: BlobRef, reason: str) -> None:
        """Pass a blob at risk on, once a minute at most."""
        now_s = clock.monotonic_s()
        if now_s - self._reported.get(ref.id, -REPORT_AGAIN_S) < REPORT_AGAIN_S:
            return
        self._reported[ref.id] = now_s
        if len(self._reported) > REPORTED_MAX:
            del self._reported[next(iter(self._reported))]
        self._at_risk += 1
        if self._on_degraded is not None:
            self._on_degraded(ref, reason)

    def _mark_dead(self, blob_id: bytes, frames: Iterable[tuple[Place, int]]) -> None:
        """Account frames as deleted, soon."""
        self._dead += [(place, length, blob_id) for place, length in frames]
        if len(self._dead) >= DEAD_BATCH:
            self._in_background(self._flush_dead())

    async def _account_dead(self, blob_id: bytes, frames: Iterable[tuple[Place, int]]) -> frozenset[int]:
        """Account frames as deleted, durably; the drives where that could not be done.

        Many at a time share one write and one sync per pack.
        """
        self._deleted += [(place, length, blob_id) for place, length in frames]
        if self._accounting is None:
            self._accounting = asyncio.create_task(self._account_soon())
        return await asyncio.shield(self._accounting)

    async def _account_soon(self) -> frozenset[int]:
        await asyncio.sleep(DEAD_GATHER_S)
        self._accounting = None
        deleted, self._deleted = self._deleted, []
        return await self._write_dead(deleted, is_durable=True)

    async def _flush_dead(self) -> None:
        dead, self._dead = self._dead, []
        await self._write_dead(dead, is_durable=False)  # where that fails, only knowledge of space is lost

    async def _write_dead(
        self, dead: Iterable[tuple[Place, int, bytes]], *, is_durable: bool
    ) -> frozenset[int]:
        """Account frames as deleted; the drives where that was not done and that are expected back."""
        by_drive: dict[int, list[tuple[Place, int, bytes]]] = {}
        for entry in dead:
            by_drive.setdefault(entry[0].drive, []).append(entry)
        failed = set()
        for number, entries in by_drive.items():
            drive = self.drives.by_number(number)
            if drive is None:
                if self.drives.is_member(number):
                    failed.add(number)
                continue
            try:
                await drive.pool.submit(packs.mark_dead, drive.opened(), entries, is_durable=is_durable)
            except (OSError, PoolFull):
                failed.add(number)
        return frozenset(failed)

    def _in_background(self, work: Coroutine[Any, Any, object]) -> "asyncio.Task[object]":
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _keep_ticking(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._tick()

    def _tick(self) -> None:
        """What needs doing now and then: who may be written, who is late, what was deleted."""
        self._refresh()
        self._latencies.review()
        now_s = clock.monotonic_s()
        for write in tuple(self._writes):
            for number in write.late_drives(now_s):
                drive = self.drives.by_number(number)
                if drive is not None:
                    drive.report_hang(now_s - write.began_s)
        if self._dead:
            self._in_background(self._flush_dead())
        if now_s - self._swept_s > SWEEP_S:
            self._swept_s = now_s
            self._buffers.trim()
            for reader in self._readers.values():
                with suppress(PoolFull):
                    reader.drive.pool.submit(reader.forget_removed)

    def _refresh(self) -> None:
        """Which drives can be written now, under the numbers they have now."""
        loop = asyncio.get_running_loop()
        rooms, writers = {}, {}
        for drive in self.drives:
            writer = self._writer_of.get(drive.path)
            if writer is None:
                writer = self._writer_of[drive.path] = PackWriter(drive, loop)
            if drive.session is not None:
                writers[drive.number] = writer
            room_bytes = drive.room_bytes
            if room_bytes > 0:
                rooms[drive.number] = room_bytes
        self._rooms = rooms
        self._groups.clear()
        self._writers.clear()  # in place: others hold it
        self._writers.update(writers)


async def _ignored(future: "asyncio.Future[Any]") -> None:
    """Wait for what runs in a thread and nobody wants any more."""
    await asyncio.wait((future,))
    if not future.cancelled():
        future.exception()
