"""What compaction asks of packs: how full they are, who lies in them, copying a shard out, removing one.

It copies and removes, and decides nothing: which blobs are wanted, and when a pack may go, is the
caller's to know (`Compactable`). The old shard stays as it is; a copy is read back before it counts.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from objstore import durable
from objstore.blocking import PoolFull
from objstore.erasure import frame
from objstore.erasure.geometry import shard_bytes
from objstore.model import BlobRef
from objstore.storage import packs
from objstore.storage.drive import FULL_ERRNOS, Drive, DriveSet
from objstore.storage.interface import (
    BlobCorrupt,
    OutOfSpace,
    PackContents,
    PackStatus,
    StorageError,
    TooFewShards,
)
from objstore.storage.locator import Layout, Packed, Place
from objstore.storage.packs import PackReader, PackWriter

R = TypeVar("R")

APPEND_S_MAX: Final = 60.0
"""A drive that has not taken a copy for this long has failed."""


class PackMoves:
    """The part of an erasure store that is `Compactable`. Lives in the store's event loop."""

    def __init__(
        self,
        drives: DriveSet,
        readers: Mapping[str, PackReader],
        writers: Mapping[int, PackWriter],
        layout_of: Callable[[BlobRef], Layout],
    ) -> None:
        """`readers` by the drive's path, `writers` by its number: the store's own."""
        self._drives = drives
        self._readers = readers
        self._writers = writers
        self._layout_of = layout_of

    async def packs(self) -> Sequence[PackStatus]:
        """See Compactable. A drive that is away or fails to answer is left out."""
        found: list[PackStatus] = []
        for drive in self._drives:
            session = drive.session
            if session is None:
                continue
            with suppress(OSError, PoolFull):
                for used in await drive.pool.submit(packs.usage, session):
                    found.append(
                        PackStatus(
                            drive=session.identity.number,
                            pack=used.pack,
                            total_bytes=used.total_bytes,
                            live_bytes=used.live_bytes,
                            is_finished=used.is_finished,
                            changed_ms=used.changed_ms,
                        )
                    )
        return found

    async def blobs_in_pack(self, drive: int, pack: int) -> PackContents:
        """See Compactable."""
        return await self._on_drive(drive, self._blobs_in_pack, pack)

    async def move_from_pack(self, ref: BlobRef, drive: int, pack: int) -> BlobRef:
        """See Compactable. BlobCorrupt when a shard to be copied is not what it should be."""
        layout = self._layout_of(ref)
        if not isinstance(layout, Packed):
            return ref
        places = list(layout.places)
        payload_bytes = shard_bytes(ref.size, layout.data_shards)
        for shard, place in enumerate(places):
            if (place.drive, place.pack) == (drive, pack):
                whole = await self._on_drive(drive, self._frame_at, place, ref.id, shard, payload_bytes)
                places[shard] = await self._append(drive, shard, whole)
                again = await self._on_drive(
                    drive, self._frame_at, places[shard], ref.id, shard, payload_bytes
                )
                if again != whole:
                    raise BlobCorrupt(f"the copy of shard {shard} of blob {ref.id.hex()} is another")
        if tuple(places) == layout.places:
            return ref
        return BlobRef(ref.id, ref.size, Packed(layout.data_shards, tuple(places)).pack())

    async def remove_pack(self, drive: int, pack: int) -> None:
        """See Compactable."""
        await self._on_drive(drive, self._remove, pack)

    async def _on_drive(self, number: int, function: Callable[..., R], *args: object) -> R:
        """Run a function of a drive in its threads. Raises StorageError for what goes wrong there."""
        drive = self._drives.by_number(number)
        if drive is None:
            raise TooFewShards(f"drive {number} is away")
        try:
            return await drive.pool.submit(function, drive, *args)
        except frame.FrameDamaged as exc:
            raise BlobCorrupt(str(exc)) from exc
        except PoolFull as exc:
            raise StorageError(str(exc)) from exc
        except FileNotFoundError as exc:
            raise BlobCorrupt(str(exc)) from exc
        except OSError as exc:
            drive.report_read_error(exc)
            raise StorageError(str(exc)) from exc

    # In the drive's threads

    def _blobs_in_pack(self, drive: Drive, pack: int) -> PackContents:
        session = drive.opened()
        handle = self._readers[drive.path].open(pack)
        dead = packs.dead_frames(session, pack)
        is_deleted: dict[bytes, bool] = {}
        told: list[tuple[int, int]] = []
        for offset, header in packs.scan(handle.fd):
            told.append((offset, header.frame_bytes))
            blob_id = header.blob_id
            is_dead = dead.get(offset) == (header.frame_bytes, blob_id[-8:])
            is_deleted[blob_id] = is_deleted.get(blob_id, True) and is_dead
        told += [(offset, length) for offset, (length, _) in dead.items()]
        size = os.fstat(handle.fd).st_size
        return PackContents(is_deleted, _untold_bytes(told, packs.HEADER_BYTES, size))

    def _frame_at(self, drive: Drive, place: Place, blob_id: bytes, shard: int, payload_bytes: int) -> bytes:
        handle = self._readers[drive.path].open(place.pack)
        whole = durable.read(handle.fd, place.offset, frame.frame_bytes(payload_bytes))
        frame.open_frame(whole, blob_id, 0, shard)
        return whole

    def _remove(self, drive: Drive, pack: int) -> None:
        packs.remove_pack(drive.opened(), pack)
        self._readers[drive.path].forget_removed()

    # Appending

    async def _append(self, drive: int, shard: int, whole: bytes) -> Place:
        writer = self._writers.get(drive)
        if writer is None:
            raise TooFewShards(f"drive {drive} takes nothing")
        waiting = _Waiting()
        writer.append(waiting, shard, (whole,), len(whole))
        try:
            async with asyncio.timeout(APPEND_S_MAX):
                return await waiting.place
        except TimeoutError:
            raise StorageError(f"drive {drive} did not take a copy in {APPEND_S_MAX} s") from None
        except OSError as exc:
            if exc.errno in FULL_ERRNOS:
                raise OutOfSpace(str(exc)) from exc
            raise StorageError(str(exc)) from exc


def _untold_bytes(told: Sequence[tuple[int, int]], start: int, end: int) -> int:
    """The bytes from `start` to `end` that none of these (offset, length) cover."""
    untold, position = 0, start
    for offset, length in sorted(told):
        untold += max(0, min(offset, end) - position)
        position = max(position, offset + length)
    return untold + max(0, end - position)


class _Waiting:
    """One copy on its way into a pack."""

    def __init__(self) -> None:
        self.place: asyncio.Future[Place] = asyncio.get_running_loop().create_future()

    def settle(self, shard: int, outcome: Place | OSError) -> None:
        """See packs.Waiter."""
        if self.place.done():
            return
        if isinstance(outcome, OSError):
            self.place.set_exception(outcome)
        else:
            self.place.set_result(outcome)
