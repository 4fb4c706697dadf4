"""Stand-ins for the jobs' tests: real commands and queries on one database, a store of pretended drives."""

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from objstore import clock
from objstore.jobs.job import JobSettings, Pace
from objstore.meta import commands
from objstore.meta.client import Metadata
from objstore.meta.commands import CreateBucket, DeleteVersion, PutVersion
from objstore.meta.interface import Command, Database
from objstore.model import Attributes, BlobRef
from objstore.shared_state import SharedState
from objstore.storage.interface import (
    DriveState,
    DriveStatus,
    Exposure,
    Health,
    PackContents,
    PackStatus,
    StorageError,
    StoreStatus,
    Verification,
)
from tests.meta.support.sqlite_database import SqliteDatabase

P = ParamSpec("P")
R = TypeVar("R")

START_MS = 1_700_000_000_000
NOWHERE = 255
QUICK = JobSettings(garbage_grace_s=30, heal_settle_s=0, heal_loss_s=900, scrub_cycle_s=1000)
OWNER = "o" * 64


def at_full_speed() -> Pace:
    return Pace(0.25, is_busy=lambda: False)


def shared_state(path: Path) -> SharedState:
    SharedState.create(path)
    return SharedState(path)


class LocalMetadata:
    """Metadata without a ledger: each command is a transaction of its own on a database in memory."""

    def __init__(self) -> None:
        self.db = SqliteDatabase()
        self.written: list[Command[Any]] = []
        self.fail: Callable[[Command[Any]], None] = lambda command: None
        """Called before each command; may raise."""
        bucket = self.apply(CreateBucket("bucket", OWNER, "us-east-1"))
        self.bucket_id = bucket.id
        self._versions = itertools.count(1)

    def apply(self, command: Command[R]) -> R:
        return self.db.write(cast(Command[R], commands.decode(commands.encode(command))), clock.now_ms())

    is_anyone_listening = False

    async def write(self, command: Command[R]) -> R:
        self.fail(command)
        self.written.append(command)
        return self.apply(command)

    async def read(
        self, query: Callable[Concatenate[Database, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return query(self.db, *args, **kwargs)

    def ask(self, query: Callable[Concatenate[Database, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same at once, for the tests' own questions."""
        return query(self.db, *args, **kwargs)

    @property
    def metadata(self) -> Metadata:
        return cast(Metadata, self)

    def name(self, ref: BlobRef, key: str | None = None) -> str:
        """Have an object refer to the blob; its key."""
        key = key or ref.id.hex()
        self.apply(
            PutVersion(
                self.bucket_id,
                key,
                ref.size,
                "etag",
                OWNER,
                Attributes(),
                blob=ref,
                version_id=f"v{next(self._versions)}",
            )
        )
        return key

    def drop(self, key: str) -> None:
        """Delete the object: its blob becomes garbage."""
        self.apply(DeleteVersion(self.bucket_id, key, OWNER))


class FakeDrive:
    """A drive that remembers which shards it holds, and whether they are good."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = DriveState.ONLINE
        self.shards: dict[tuple[bytes, int], bool] = {}

    @property
    def is_online(self) -> bool:
        return self.state == DriveState.ONLINE


class FakeStore:
    """k of n shards, one to a drive; a locator is one byte of drive number per shard."""

    def __init__(self, drives: int = 6, data_shards: int = 4, total_shards: int = 6) -> None:
        self.drives = {number: FakeDrive(number) for number in range(drives)}
        self.data_shards = data_shards
        self.total_shards = total_shards
        self.sizes: dict[bytes, int] = {}
        self.verified: list[bytes] = []
        self.deleted: list[bytes] = []
        self.on_verify: Callable[[BlobRef], None] = lambda ref: None
        """Called at the beginning of each verify; may raise."""
        self.on_delete: Callable[[BlobRef], None] = lambda ref: None

    def add_drive(self) -> FakeDrive:
        drive = FakeDrive(max(self.drives) + 1)
        self.drives[drive.number] = drive
        return drive

    def replace(self, number: int) -> FakeDrive:
        """The drive is gone for good, and an empty one with a number of its own is there."""
        fresh = self.add_drive()
        del self.drives[number]
        return fresh

    def blob(self, size: int = 100, without: Sequence[int] = (), age_s: float = 0) -> BlobRef:
        """Store a blob now (or `age_s` ago), without the shards that would lie on these drives."""
        blob_id = (clock.now_ms() - int(age_s * 1000)).to_bytes(6, "big") + clock.new_id()[6:]
        places = []
        for shard, drive in zip(range(self.total_shards), self.drives.values(), strict=False):
            is_stored = drive.is_online and drive.number not in without
            places.append(drive.number if is_stored else NOWHERE)
            if is_stored:
                drive.shards[blob_id, shard] = True
        self.sizes[blob_id] = size
        return BlobRef(blob_id, size, bytes(places))

    def good_shards(self, ref: BlobRef) -> int:
        """An independent count: how many good shards there are where the locator says."""
        return sum(
            number in self.drives and self.drives[number].shards.get((ref.id, shard), False)
            for shard, number in enumerate(ref.locator)
        )

    def exposure(self, ref: BlobRef) -> Exposure:
        readable = [number in self.drives and self.drives[number].is_online for number in ref.locator]
        free = [d for d in self.drives.values() if d.is_online and d.number not in ref.locator]
        return Exposure(
            frozenset(ref.locator) - {NOWHERE},
            readable.count(False),
            bool(free) and readable.count(False) > 0,
        )

    async def verify(self, ref: BlobRef, *, repair: bool) -> Verification:
        self.on_verify(ref)
        self.verified.append(ref.id)
        places = list(ref.locator)
        bad = []
        unknown = 0
        for shard, number in enumerate(places):
            drive = self.drives.get(number)
            if drive is not None and not drive.is_online:
                unknown += 1
                bad.append(shard)
            elif drive is None or not drive.shards.get((ref.id, shard)):
                bad.append(shard)
        good = len(places) - len(bad)
        if good < self.data_shards:
            return Verification(Health.UNREADABLE if good or unknown else Health.MISSING, ref, len(bad))
        repaired = 0
        for shard in bad if repair else ():
            here = self.drives.get(places[shard])
            free = [d for d in self.drives.values() if d.is_online and d.number not in places]
            target = here if here is not None and here.is_online else next(iter(free), None)
            if target is not None:
                target.shards[ref.id, shard] = True
                places[shard] = target.number
                repaired += 1
        health = Health.HEALTHY if repaired == len(bad) else Health.DEGRADED
        return Verification(health, BlobRef(ref.id, ref.size, bytes(places)), len(bad), repaired)

    async def delete(self, ref: BlobRef) -> bool:
        self.on_delete(ref)
        is_gone = True
        for shard, number in enumerate(ref.locator):
            drive = self.drives.get(number)
            if drive is not None and drive.is_online:
                drive.shards.pop((ref.id, shard), None)
            elif drive is not None:
                is_gone = False
        self.deleted.append(ref.id)
        return is_gone

    async def prune(self, ref: BlobRef, keep: BlobRef) -> None:
        for shard, number in enumerate(ref.locator):
            drive = self.drives.get(number)
            if number != keep.locator[shard] and drive is not None and drive.is_online:
                drive.shards.pop((ref.id, shard), None)

    async def list(self) -> AsyncIterator[BlobRef]:
        found: dict[bytes, list[int]] = {}
        for drive in self.drives.values():
            if drive.is_online:
                for blob_id, shard in drive.shards:
                    found.setdefault(blob_id, [NOWHERE] * self.total_shards)[shard] = drive.number
        for blob_id, places in found.items():
            yield BlobRef(blob_id, self.sizes[blob_id], bytes(places))

    async def status(self) -> StoreStatus:
        return StoreStatus(
            tuple(
                DriveStatus(drive.number, f"uuid-{drive.number}", f"/d{drive.number}", drive.state, "", 0, 0)
                for drive in self.drives.values()
            )
        )

    async def put(self, source: Any, size_hint: Any = None, observe: Any = None) -> BlobRef:
        raise NotImplementedError

    def get(self, ref: BlobRef, offset: int = 0, length: int | None = None) -> AsyncIterator[memoryview]:
        raise NotImplementedError

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class FakePacks:
    """A store of packs on one drive; a locator is the number of the pack a blob lies in."""

    OPEN = 99

    def __init__(self) -> None:
        self.packs_: dict[int, dict[bytes, bool]] = {}
        """By pack: the blobs with a shard in it, and whether each is accounted as deleted."""
        self.damaged: set[int] = set()
        """Packs with bytes that cannot be told."""
        self.hidden: set[bytes] = set()
        """Blobs whose frames are among those."""
        self.unreadable: set[bytes] = set()

    def blob(self, pack: int, *, is_dead: bool = False) -> BlobRef:
        ref = BlobRef(clock.new_id(), 100, bytes([pack]))
        self.packs_.setdefault(pack, {})[ref.id] = is_dead
        return ref

    async def packs(self) -> Sequence[PackStatus]:
        return [
            PackStatus(
                0,
                pack,
                100 * len(frames),
                100 * list(frames.values()).count(False),
                pack != self.OPEN,
                START_MS,
            )
            for pack, frames in self.packs_.items()
        ]

    async def blobs_in_pack(self, drive: int, pack: int) -> PackContents:
        told = {blob: is_dead for blob, is_dead in self.packs_[pack].items() if blob not in self.hidden}
        return PackContents(told, 100 * (pack in self.damaged))

    async def move_from_pack(self, ref: BlobRef, drive: int, pack: int) -> BlobRef:
        if ref.locator != bytes([pack]):
            return ref
        if ref.id in self.unreadable:
            raise StorageError("damaged")
        self.packs_.setdefault(self.OPEN, {})[ref.id] = False
        return BlobRef(ref.id, ref.size, bytes([self.OPEN]))

    async def prune(self, ref: BlobRef, keep: BlobRef) -> None:
        for pack in set(ref.locator) - set(keep.locator):
            self.packs_[pack][ref.id] = True

    async def remove_pack(self, drive: int, pack: int) -> None:
        del self.packs_[pack]
