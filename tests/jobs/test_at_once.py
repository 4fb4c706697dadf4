"""Clients and jobs at once: whatever order their steps come in, bytes stay who they are and nothing leaks.

Everything runs in one event loop. Whoever asks the metadata or a store waits at a gate before and after;
the test opens one gate after the other, drawn at random, and now and then has an answer lost there or ends
whoever waits, as a crash would.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from objstore import clock
from objstore.encryption.envelope import LOCAL, Envelopes
from objstore.encryption.keyring import Keyring
from objstore.encryption.provider import KmsError
from objstore.events.records import Origin
from objstore.iam.sealing import Sealer
from objstore.jobs import garbage
from objstore.jobs.garbage import PARTS_GRACE_S, Garbage
from objstore.jobs.job import JobSettings
from objstore.jobs.lifecycle import Lifecycle
from objstore.jobs.resealing import reseal
from objstore.jobs.restores import Restores
from objstore.jobs.transitions import Transitions
from objstore.meta import commands, invariants, queries, tiering
from objstore.meta.commands import RenameConditions, SetSubresource, SetVersioning
from objstore.meta.interface import MetadataError, OutcomeUnknown, Refusal, Unavailable
from objstore.model import Attributes, BlobRef, EncryptionMethod, ObjectVersion, Replica, Versioning
from objstore.remote.tier_store import Place, TierStore, is_at_tier
from objstore.s3 import xml
from objstore.s3.conditions import Conditions
from objstore.s3.documents.lifecycle import Filter, LifecycleConfiguration, LifecycleRule, Transition
from objstore.s3.encryption import ManagedKey
from objstore.s3.errors import S3Error
from objstore.s3.integrity import NO_INTEGRITY
from objstore.service import build_services, multipart
from objstore.service.annotations import Payload
from objstore.service.buckets import BucketRules
from objstore.service.copy import Source, Terms
from objstore.service.encryption import EncryptionRules
from objstore.service.multipart import ClaimedPart, Completion
from objstore.service.objects import NewObject
from objstore.storage.interface import BlobMissing, StorageError
from objstore.storage.memory import MemoryBlobStore
from tests.jobs.fakes import OWNER, START_MS, LocalMetadata, at_full_speed
from tests.jobs.tier_scene import DAY_MS, TIERS
from tests.service.support import FakeBody
from tests.support.remote import FakeRemote

KEYS = ("a", "b", "c", "d", "e")
WANTED = (None, None, ManagedKey(EncryptionMethod.S3), ManagedKey(EncryptionMethod.KMS, uses_bucket_key=True))
CLIENTS_MAX = 6
STEPS = 1000
WARM = (Transition(days=1, storage_class="STANDARD_IA"),)
COLD = (Transition(days=2, storage_class="GLACIER"),)
ORIGIN = Origin("s3:ObjectCreated:Put", "", "", "", "")


class Shared:
    """The numbers that all processes share."""

    index_generation = 0
    listener_count = 0

    def __init__(self) -> None:
        self.epoch = 0
        self.oldest: dict[int, int] = {}

    def set_oldest_read(self, worker: int, began_ms: int) -> None:
        self.oldest[worker] = began_ms

    def oldest_read_ms(self) -> int | None:
        return min((began for began in self.oldest.values() if began), default=None)


class Gates:
    """Where everybody waits for their turn."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.waiting: list[tuple[asyncio.Future[None], bool]] = []
        self.is_open = False

    async def pass_(self, *, may_lose: bool = False) -> None:
        if self.is_open:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((future, may_lose))
        await future

    def open_one(self) -> None:
        self.waiting = [(future, may) for future, may in self.waiting if not future.done()]
        if not self.waiting:
            return
        future, may_lose = self.waiting.pop(self.random.randrange(len(self.waiting)))
        if may_lose and self.random.random() < 0.02:
            future.set_exception(OutcomeUnknown("the answer was lost"))
        else:
            future.set_result(None)


class GatedFacts(LocalMetadata):
    def __init__(self, gates: Gates, shared: Shared) -> None:
        super().__init__()
        self._gates = gates
        self._shared = shared

    async def write(self, command: Any) -> Any:
        await self._gates.pass_()
        if self._gates.random.random() < 0.01 and not self._gates.is_open:
            raise Unavailable("no ledger")
        result = self.apply(command)
        if command.advances_epoch:
            self._shared.epoch += 1
        await self._gates.pass_(may_lose=True)
        return commands.decode_result(commands.encode_result(result))

    async def read(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        await self._gates.pass_()
        found = query(self.db, *args, **kwargs)
        await self._gates.pass_()
        return found

    def read_now(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        return query(self.db, *args, **kwargs)


class GatedStore(MemoryBlobStore):
    def __init__(self, gates: Gates) -> None:
        super().__init__()
        self._gates = gates

    async def put(self, source: Any, size_hint: int | None = None, observe: Any = None) -> BlobRef:
        await self._gates.pass_()
        ref = await super().put(source, size_hint, observe)
        await self._gates.pass_()
        return ref

    async def _pieces(self, ref: BlobRef, start: int, end: int) -> Any:
        for begin in range(start, end, 16):
            await self._gates.pass_()
            if ref.id not in self._blobs:
                raise BlobMissing(ref.id.hex())
            yield memoryview(self._blobs[ref.id])[begin : min(end, begin + 16)]

    def get_now(self, ref: BlobRef, offset: int, length: int) -> memoryview | None:
        return None

    async def delete(self, ref: BlobRef) -> bool:
        await self._gates.pass_()
        return await super().delete(ref)


class GatedRemote(FakeRemote):
    def __init__(self, gates: Gates) -> None:
        super().__init__()
        self._gates = gates

    async def put(self, *args: Any, **kwargs: Any) -> Any:
        await self._gates.pass_()
        made = await super().put(*args, **kwargs)
        await self._gates.pass_()
        return made

    async def head(self, *args: Any, **kwargs: Any) -> Any:
        await self._gates.pass_()
        return await super().head(*args, **kwargs)

    async def delete(self, *args: Any, **kwargs: Any) -> Any:
        await self._gates.pass_()
        return await super().delete(*args, **kwargs)


def body_of(token: str) -> bytes:
    """The bytes that a version with this metadata has."""
    seed = hashlib.sha256(token.encode()).digest()
    return (seed * 8)[: 1 + seed[0]]


class World:
    def __init__(self, random: Random, versioning: Versioning, advance: Callable[[int], None]) -> None:
        self.random, self.advance = random, advance
        self.gates, self.shared = Gates(random), Shared()
        self.facts = GatedFacts(self.gates, self.shared)
        self.local, self.remote = GatedStore(self.gates), GatedRemote(self.gates)
        self.store = TierStore(self.local, {"vault": self.remote}, TIERS)
        if versioning is not Versioning.NEVER:
            self.facts.apply(SetVersioning(self.facts.bucket_id, versioning))
        bucket = queries.bucket(self.facts.db, self.facts.bucket_id)
        assert bucket is not None
        self.bucket = bucket
        sealer = Sealer(bytes(32))
        self.keyring = Keyring(self.facts, sealer, self.shared)
        envelopes = Envelopes(self.keyring, {LOCAL: self.keyring}, LOCAL, "default")
        self.services = build_services(
            self.facts,
            self.store,
            self.shared,
            0,
            BucketRules(),
            envelopes,
            EncryptionRules(),  # type: ignore[arg-type]
        )
        self.tasks: set[asyncio.Task[None]] = set()
        self.jobs: dict[str, asyncio.Task[None]] = {}
        self.numbers = 0
        self.made: dict[tuple[str, str], str] = {}
        """Versions that were acknowledged, and their tokens."""
        self.removed: set[tuple[str, str]] = set()
        """Versions that somebody tried to remove."""
        self.failures: list[BaseException] = []
        self.new_jobs()

    def new_jobs(self) -> None:
        settings = JobSettings(garbage_grace_s=30, lifecycle_day_s=60)
        pace, metadata = at_full_speed(), self.facts.metadata
        lifecycle = Lifecycle(metadata, settings, pace)
        transitions = Transitions(metadata, self.store, lifecycle, settings, pace)

        async def move() -> None:
            await lifecycle.run()
            await transitions.run()

        async def seal_anew() -> None:
            await self.keyring.rotate("sse-s3")
            await reseal(self.facts, self.services.encryptions)

        shared: Any = self.shared
        self.runs: dict[str, Callable[[], Awaitable[Any]]] = {
            "move": move,
            "restore": Restores(metadata, self.store, settings).run,
            "garbage": Garbage(metadata, self.store, shared, settings).run,
            "reseal": seal_anew,
        }

    # What clients do

    def token(self) -> str:
        self.numbers += 1
        return f"t{self.numbers}"

    def new(self, token: str) -> NewObject:
        return NewObject(
            Attributes(metadata={"token": token}), encryption=self.random.choice(WANTED), origin=None
        )

    def key(self) -> str:
        return self.random.choice(KEYS)

    def made_one(self, version: ObjectVersion | None) -> None:
        if version is not None:
            self.made[version.key, version.version_id] = version.attributes.metadata["token"]

    async def put(self) -> None:
        token = self.token()
        self.made_one(
            await self.services.objects.put(
                self.bucket, self.key(), FakeBody(body_of(token)), self.new(token)
            )
        )

    async def put_replica(self) -> None:
        token = self.token()
        replica = Replica(f"r{token}", clock.now_ms() - self.random.randrange(3 * DAY_MS))
        new = NewObject(Attributes(metadata={"token": token}), replica=replica)
        self.made_one(await self.services.objects.put(self.bucket, self.key(), FakeBody(body_of(token)), new))

    async def put_parts(self) -> None:
        token, key = self.token(), self.key()
        uploads, body = self.services.uploads, body_of(token)
        upload = await uploads.create(self.bucket, key, OWNER, self.new(token))
        claimed = []
        cut = len(body) // 2
        for number, data in enumerate((body[:cut], body[cut:]), 1):
            for junk in (b"junk", data) if self.random.random() < 0.3 else (data,):
                part, _ = await uploads.put_part(self.bucket, upload, number, FakeBody(junk), NO_INTEGRITY)
            claimed.append(ClaimedPart(number, part.etag, {}))
        ends: list[Awaitable[Any]] = [
            uploads.complete(self.bucket, key, upload.upload_id, claimed, Completion())
            for _ in range(self.random.randint(1, 2))
        ]
        if self.random.random() < 0.3:
            ends.append(uploads.abort(self.bucket, key, upload.upload_id))
        if self.random.random() < 0.3:
            ends.append(uploads.put_part(self.bucket, upload, 2, FakeBody(body[cut:]), NO_INTEGRITY))
        for outcome in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(outcome, ObjectVersion):
                self.made_one(outcome)
            elif isinstance(outcome, BaseException) and not isinstance(outcome, EXPECTED):
                raise outcome

    async def copy(self) -> None:
        source = Source(self.bucket, self.key(), None, Conditions())
        new = NewObject(Attributes(), encryption=self.random.choice(WANTED))
        key = self.key()
        terms = Terms(new, storage_class=self.random.choice(["STANDARD", "STANDARD_IA"]))
        made, _ = await self.services.copies.copy(source, self.bucket, key, terms)
        self.made_one(made)

    async def rename(self) -> None:
        source, target = self.random.sample(KEYS, 2)
        none = RenameConditions()
        self.note_removal(source)
        self.note_removal(target)
        self.made_one(
            await self.services.renames.rename(
                self.bucket,
                source,
                target,
                source_conditions=none,
                target_conditions=none,
                token=None,
                origin=ORIGIN,
            )
        )

    def note_removal(self, key: str) -> None:
        if self.bucket.versioning is not Versioning.ENABLED:
            self.removed.add((key, "null"))

    async def delete(self) -> None:
        key = self.key()
        self.note_removal(key)
        await self.services.objects.delete(self.bucket, key, owner_id=OWNER)

    async def delete_version(self) -> None:
        key = self.key()
        listed = await self.facts.read(queries.list_versions, self.bucket.id, key)
        if listed.versions:
            version_id = self.random.choice(listed.versions).version_id
            self.removed.add((key, version_id))
            await self.services.objects.delete(self.bucket, key, version_id, owner_id=OWNER)

    async def annotate(self) -> None:
        key, name = self.key(), self.token()
        payload = Payload(body_of(name), {})
        await self.services.annotations.put(self.bucket, key, None, name, payload, NO_INTEGRITY, None, ORIGIN)

    async def restore(self) -> None:
        listed = await self.facts.read(queries.list_versions, self.bucket.id)
        archived = [one for one in listed.versions if one.attributes.is_archived]
        if archived:
            one = self.random.choice(archived)
            version = await self.services.objects.find(self.bucket, one.key, one.version_id)
            days = self.random.choice([1, 20])
            await self.services.restores.restore(
                self.bucket, version, version.version_id, days, "Standard", ORIGIN
            )

    async def read(self) -> None:
        began_ms = clock.now_ms()
        version = await self.services.objects.find(self.bucket, self.key())
        try:
            stream = await self.services.objects.open(version, 0, version.size)
        except StorageError as exc:
            if clock.now_ms() - began_ms < PARTS_GRACE_S * 1000:
                self.failures.append(exc)
            return
        try:
            assert b"".join([bytes(piece) async for piece in stream]) == body_of(
                version.attributes.metadata["token"]
            )
        except StorageError as exc:  # what is open is not cut off, however long it takes
            self.failures.append(exc)

    async def check_version(self, version: ObjectVersion) -> None:
        expected = body_of(version.attributes.metadata["token"])
        assert version.size == len(expected)
        stream = await self.services.objects.open(version, 0, version.size)
        assert b"".join([bytes(piece) async for piece in stream]) == expected

    # The world

    async def client(self, step: Callable[[], Awaitable[None]]) -> None:
        began_ms = clock.now_ms()
        try:
            await step()
        except EXPECTED as exc:
            if isinstance(exc, StorageError) and clock.now_ms() - began_ms < PARTS_GRACE_S * 1000:
                self.failures.append(exc)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self.failures.append(exc)

    async def job(self, name: str) -> None:
        try:
            await self.runs[name]()
        except (MetadataError, StorageError, Refusal, KmsError):
            pass
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self.failures.append(exc)

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    def start(self) -> None:
        choices = [self.put, self.put, self.put_parts, self.copy, self.copy, self.rename, self.rename]
        choices += [self.delete, self.delete_version, self.annotate, self.restore, self.restore, self.read]
        choices += [self.read, self.read]
        if self.bucket.versioning is Versioning.ENABLED:
            choices.append(self.put_replica)
        task = asyncio.create_task(self.client(self.random.choice(choices)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def run(self) -> None:
        rules = LifecycleConfiguration(
            rules=(
                LifecycleRule(
                    id="r",
                    filter=Filter(object_size_greater_than=0),
                    status="Enabled",
                    transitions=self.random.choice([WARM + COLD, COLD]),
                ),
            )
        )
        self.facts.apply(SetSubresource(self.bucket.id, "lifecycle", xml.dumps(rules)))
        for _ in range(STEPS):
            chance = self.random.random()
            if len(self.tasks) < CLIENTS_MAX and chance < 0.1:
                self.start()
            elif chance < 0.16:
                name = self.random.choice([*self.runs, "move", "move", "restore", "restore"])
                if name not in self.jobs or self.jobs[name].done():
                    self.jobs[name] = asyncio.create_task(self.job(name))
            elif chance < 0.19:
                self.advance(self.random.choice([1000, 6000, 31_000, 61_000, 61_000, 3_600_000]))
            elif chance < 0.191:
                await self.crash_jobs()
            elif chance < 0.195 and self.tasks:
                self.random.choice(sorted(self.tasks, key=id)).cancel()
            else:
                self.gates.open_one()
            await self.settle()
            assert not self.failures, self.failures
            self.check()
        await self.end()

    async def crash_jobs(self) -> None:
        for task in self.jobs.values():
            task.cancel()
        self.jobs.clear()
        await self.settle()
        self.new_jobs()

    def check(self) -> None:
        assert invariants.violations(self.facts.db) == []

    async def end(self) -> None:
        self.gates.is_open = True
        for future, _ in self.gates.waiting:
            if not future.done():
                future.set_result(None)
        await asyncio.gather(*self.tasks, *self.jobs.values(), return_exceptions=True)
        await self.services.drain()
        assert not any(self.shared.oldest.values()), "no read is under way"
        self.facts.apply(SetSubresource(self.bucket.id, "lifecycle", None))
        self.new_jobs()
        for _ in range(4):
            self.advance(DAY_MS)
            self.new_jobs()
            for name in ("move", "restore", "garbage"):
                await self.runs[name]()
        assert not self.failures, self.failures
        self.check()
        await self.check_all()
        self.check_nothing_left_over()

    def check_nothing_left_over(self) -> None:
        """Here lies what is known, and what the orphan scan is for; at the tier just what is known."""
        db = self.facts.db
        assert queries.garbage_before(db, 2**62, 1) == [] and tiering.tier_intents(db, 2**62) == []
        for table in ("dropped_uploads", "dropped_annotations", "transitions"):
            assert db.rows(f"SELECT * FROM {table}") == []
        known = queries.blobs_after(db, b"", 100_000)
        assert {blob.id for blob in known if not is_at_tier(blob)} <= self.local._blobs.keys()
        assert {Place.parse(blob.locator).key for blob in known if is_at_tier(blob)} == set(
            self.remote.objects
        )

    async def check_all(self) -> None:
        listed = queries.list_versions(self.facts.db, self.bucket.id, limit=10_000).versions
        there = {(one.key, one.version_id): one for one in listed if not one.is_delete_marker}
        for place, token in self.made.items():
            if self.bucket.versioning is Versioning.ENABLED and place not in self.removed:
                assert there[place].attributes.metadata["token"] == token, place
        for place in there:
            version = queries.version(self.facts.db, self.bucket.id, *place)
            assert version is not None
            attributes = version.attributes
            if attributes.is_restore_under_way or attributes.restored_until_ms is not None:
                restores = tiering.restores_after(self.facts.db, None)
                assert any(
                    not is_gone and one.version_id == version.version_id and one.key == version.key
                    for one, is_gone in restores
                ), version
            if attributes.is_archived and attributes.restored_until_ms is None:
                await self.thawed(version)
                continue
            await self.check_version(version)
            for one in await self.facts.read(queries.annotations, version, "", None, 1000):
                assert await self.services.annotations.read(version, one) == body_of(one.name)

    async def thawed(self, version: ObjectVersion) -> None:
        expected = body_of(version.attributes.metadata["token"])
        data_key = await self.services.objects.unlock(version)
        reader = self.services.objects._reader
        stream = await reader.open(version, 0, version.size, data_key)
        assert b"".join([bytes(piece) async for piece in stream]) == expected


EXPECTED = (S3Error, Refusal, MetadataError, StorageError)


@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("versioning", Versioning)
def test_in_any_order(
    versioning: Versioning, run: int, seeded: Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "monotonic_s", lambda: clock.now_ms() / 1000)
    monkeypatch.setattr(multipart, "PART_BYTES_MIN", 1)
    monkeypatch.setattr(garbage, "READ_HONOURED_S", 1e9)
    random = Random(f"{seeded.random()} {versioning} {run}")
    with clock.held(START_MS) as advance:
        asyncio.run(World(random, versioning, advance).run())
