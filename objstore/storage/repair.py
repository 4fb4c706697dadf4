"""Look at every shard of a blob, and rebuild those that are bad or missing.

The order of a repair: k shards verified; the chunk put together and its own checksum compared; the
missing shards coded anew; written under a new name or to a pack; synced; read back. Only then does
the new place stand in the blob's reference, and only the caller, having committed that, gives up the
old one. Nothing is ever removed here for being bad, and nothing rebuilt from what did not verify.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from objstore import blocking
from objstore.blocking import PoolFull
from objstore.erasure import frame
from objstore.erasure.codec import Codec
from objstore.erasure.geometry import chunk_bytes, chunk_count, shard_bytes
from objstore.model import BlobRef
from objstore.storage import placement, shard_files
from objstore.storage.interface import Health, Verification
from objstore.storage.locator import NO_DRIVE, NOWHERE, Files, Layout, Packed, Place, joined
from objstore.storage.reading import (
    Shard,
    ShardAbsent,
    ShardDamaged,
    ShardFailure,
    ShardUnknown,
    Source,
    is_proved_absent,
)
from objstore.storage.shard_files import ShardName
from objstore.storage.writing import Frame, frames_of


class Mender(Protocol):
    """What a repair needs of the store to put shards somewhere."""

    def rooms(self) -> Mapping[int, int]:
        """The drives that take new data, by number, and how many bytes each."""
        ...

    async def append(self, frames: Sequence[Frame], drives: Sequence[int]) -> list[Place]:
        """Append frames to packs, one to each drive; NOWHERE for those that failed. Durable on return."""
        ...


@dataclass(slots=True)
class _Chunk:
    """What was found of one chunk."""

    index: int
    length: int
    good: dict[int, memoryview] = field(default_factory=dict)
    bad: dict[int, ShardFailure] = field(default_factory=dict)
    checksum: int = 0
    blob_size: int = 0
    """As the frames say it: 0 where it was not known when they were written."""

    @property
    def absent(self) -> int:
        return sum(isinstance(failure, ShardAbsent) for failure in self.bad.values())


async def verify(source: Source, ref: BlobRef, layout: Layout, mender: Mender | None) -> Verification:
    """Read and check every shard; with a mender, rebuild what is not good. See BlobStore.verify."""
    chunk_size = ref.size if isinstance(layout, Packed) else layout.chunk_size
    codec = source.codec(layout.data_shards, layout.total_shards)
    work = _Repair(source, ref, layout, codec, mender)
    rows: list[tuple[int, ...]] = []
    counts = {health: 0 for health in Health}
    bad = repaired = 0
    for index in range(chunk_count(ref.size, chunk_size)):
        length = chunk_bytes(ref.size, chunk_size, index)
        charge = 2 * shard_bytes(length, layout.data_shards) * layout.total_shards
        await source.budget.take(charge)
        try:
            chunk = await work.look(index, length)
            bad += len(chunk.bad)
            if chunk.bad and mender is not None and len(chunk.good) >= layout.data_shards:
                repaired += await work.mend(chunk)
            counts[_health(chunk, layout)] += 1
        finally:
            source.budget.give(charge)
        rows.append(tuple(work.drives))
    return Verification(
        health=_overall(counts),
        ref=ref if not repaired else BlobRef(ref.id, ref.size, work.layout(rows).pack()),
        bad_shards=bad,
        repaired_shards=repaired,
    )


def _health(chunk: _Chunk, layout: Layout) -> Health:
    if not chunk.bad:
        return Health.HEALTHY
    if len(chunk.good) >= layout.data_shards:
        return Health.DEGRADED
    return Health.MISSING if chunk.absent == layout.total_shards else Health.UNREADABLE


def _overall(counts: Mapping[Health, int]) -> Health:
    if counts[Health.UNREADABLE] or (
        counts[Health.MISSING] and sum(counts.values()) > counts[Health.MISSING]
    ):
        return Health.UNREADABLE
    if counts[Health.MISSING]:
        return Health.MISSING
    return Health.DEGRADED if counts[Health.DEGRADED] else Health.HEALTHY


class _Repair:
    """One blob under repair. After `look` and `mend` of a chunk, `drives` and `places` say where it lies."""

    def __init__(
        self, source: Source, ref: BlobRef, layout: Layout, codec: Codec, mender: Mender | None
    ) -> None:
        self.drives: list[int] = []
        self.places: list[Place] = list(layout.places) if isinstance(layout, Packed) else []
        self._source = source
        self._ref = ref
        self._layout = layout
        self._codec = codec
        self._mender = mender
        self._moved: dict[tuple[tuple[int, ...], int], int] = {}
        """The new drive of (drives of the chunk, shard): the same for all chunks of a run."""

    def layout(self, rows: Sequence[tuple[int, ...]]) -> Layout:
        """Where the blob lies now."""
        if isinstance(self._layout, Packed):
            return Packed(self._layout.data_shards, tuple(self.places))
        old = self._layout
        return Files(old.data_shards, old.total_shards, old.chunk_size, joined(rows))

    async def look(self, index: int, length: int) -> _Chunk:
        """Read all shards of a chunk."""
        chunk = _Chunk(index, length)
        self.drives = list(self._layout.drives_of(index))
        payload_bytes = shard_bytes(length, self._codec.data_shards)
        reading: dict[int, asyncio.Future[memoryview]] = {}
        shards: dict[int, Shard] = {}
        for number in range(self._codec.total_shards):
            try:
                shard = Shard(self._ref, self._layout, index, number, payload_bytes, self._source)
                reading[number] = shard.drive.pool.submit(
                    shard.read, 0, payload_bytes, self._source.latencies
                )
                shards[number] = shard
            except (ShardFailure, PoolFull) as exc:
                chunk.bad[number] = exc if isinstance(exc, ShardFailure) else ShardUnknown(str(exc))
        if reading:
            await asyncio.wait(reading.values())
        for number, future in reading.items():
            failure = future.exception()
            if failure is None:
                chunk.good[number] = future.result()
            elif isinstance(failure, ShardFailure):
                chunk.bad[number] = failure
            else:
                raise failure
        for number, failure in list(chunk.bad.items()):
            if isinstance(failure, ShardAbsent) and not await is_proved_absent(
                self._source.drives, self.drives[number]
            ):
                chunk.bad[number] = ShardUnknown(f"{failure}, and its drive is gone")
        self._agree(chunk, shards)
        return chunk

    @staticmethod
    def _agree(chunk: _Chunk, shards: Mapping[int, Shard]) -> None:
        """All good shards must be of one chunk: those that say another checksum than most are not good."""
        said = {number: shards[number].header.chunk_checksum for number in chunk.good}
        if said:
            chunk.checksum = max(set(said.values()), key=list(said.values()).count)
            chunk.blob_size = max(shards[number].header.blob_size for number in chunk.good)
        for number, checksum in said.items():
            if checksum != chunk.checksum:
                del chunk.good[number]
                chunk.bad[number] = ShardDamaged(f"shard {number} is of another chunk")

    async def mend(self, chunk: _Chunk) -> int:
        """Rebuild the bad shards of a chunk where drives take them; how many."""
        frames = await blocking.run(self._rebuilt, chunk)
        if frames is None:
            for number in chunk.good:
                chunk.bad[number] = ShardDamaged("the chunk it gives has another checksum")
            chunk.good.clear()
            return 0
        targets = self._targets(chunk)
        if isinstance(self._layout, Packed):
            mended = await self._append(chunk, frames, targets)
        else:
            mended = await self._rewrite(chunk, frames, targets)
        for number in mended:
            self.drives[number] = targets[number]
            del chunk.bad[number]
        return len(mended)

    def _rebuilt(self, chunk: _Chunk) -> list[Frame] | None:
        """The frames of all shards, from k good ones; None when they do not give the chunk they should."""
        data = self._codec.decode(chunk.good, chunk.length)
        if frame.chunk_checksum(data) != chunk.checksum:
            return None
        return frames_of(self._codec, self._ref.id, chunk.blob_size, chunk.index, data)

    def _targets(self, chunk: _Chunk) -> dict[int, int]:
        """The drive each bad shard is to go to: its own if that is well, else one that has none yet."""
        assert self._mender is not None
        rooms = self._mender.rooms()
        taken = {drive for number, drive in enumerate(self.drives) if number not in chunk.bad}
        targets: dict[int, int] = {}
        run = tuple(self._layout.drives_of(chunk.index))
        for number, failure in chunk.bad.items():
            own = self.drives[number]
            if own in rooms and not isinstance(failure, ShardUnknown):
                targets[number] = own
                taken.add(own)
        for number in chunk.bad.keys() - targets.keys():
            free = {drive: room for drive, room in rooms.items() if drive not in taken}
            target = self._moved.get((run, number), NO_DRIVE)
            if target not in free:
                target = next(iter(placement.choose(self._ref.id, free, 1)), NO_DRIVE)
            if target == NO_DRIVE:
                continue
            self._moved[run, number] = targets[number] = target
            taken.add(target)
        return targets

    async def _rewrite(self, chunk: _Chunk, frames: Sequence[Frame], targets: Mapping[int, int]) -> list[int]:
        """Shard files on their targets; the shards that got there."""
        writing: dict[asyncio.Future[None], int] = {}
        for number, target in targets.items():
            drive = self._source.drives.by_number(target)
            name = ShardName(self._ref.id, chunk.index, number)
            with suppress(OSError, PoolFull):
                if drive is not None:
                    future = drive.pool.submit(
                        shard_files.rewrite, drive.opened(), name, frames[number], self._source.buffers
                    )
                    writing[future] = number
        if writing:
            await asyncio.wait(writing)
        mended = []
        for future, number in writing.items():
            failure = future.exception()
            drive = self._source.drives.by_number(targets[number])
            if failure is None:
                mended.append(number)
            elif not isinstance(failure, OSError):
                raise failure
            elif drive is not None:
                drive.report_write_error(failure)
        return mended

    async def _append(self, chunk: _Chunk, frames: Sequence[Frame], targets: Mapping[int, int]) -> list[int]:
        """Frames appended to packs on their targets, and read back; the shards that got there."""
        assert self._mender is not None
        numbers = list(targets)
        places = await self._mender.append([frames[n] for n in numbers], [targets[n] for n in numbers])
        mended = []
        for number, place in zip(numbers, places, strict=True):
            if place is NOWHERE:
                continue
            before, self.places[number] = self.places[number], place
            if await self._reads_back(chunk, number):
                mended.append(number)
            else:
                self.places[number] = before
        return mended

    async def _reads_back(self, chunk: _Chunk, number: int) -> bool:
        layout = Packed(self._layout.data_shards, tuple(self.places))
        payload_bytes = shard_bytes(chunk.length, layout.data_shards)
        try:
            shard = Shard(self._ref, layout, chunk.index, number, payload_bytes, self._source)
            await shard.drive.pool.submit(shard.read_from_medium, payload_bytes)
        except (ShardFailure, PoolFull):
            return False
        return True
