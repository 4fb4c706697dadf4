"""A bucket with rules, a store with a tier, and the jobs between them, without a server."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from objstore import clock
from objstore.jobs.garbage import Garbage
from objstore.jobs.job import JobSettings
from objstore.jobs.lifecycle import Lifecycle
from objstore.jobs.restores import Restores
from objstore.jobs.transitions import Transitions
from objstore.meta import invariants, queries, tiering
from objstore.meta.commands import (
    CompleteUpload,
    CreateUpload,
    NamedPart,
    PutPart,
    PutVersion,
    RestoreVersion,
    SetSubresource,
)
from objstore.model import Attributes, BlobRef, ObjectVersion, Part
from objstore.remote.tier_store import Tier, TierStore, is_at_tier
from objstore.s3 import xml
from objstore.s3.documents.lifecycle import Filter, LifecycleConfiguration, LifecycleRule, Transition
from objstore.storage.memory import MemoryBlobStore
from tests.jobs.fakes import OWNER, LocalMetadata, at_full_speed
from tests.storage.support import pieces, read
from tests.support.remote import FakeRemote

DAY_MS = 86_400_000
TIERS = (Tier("GLACIER", "vault", "cold"), Tier("STANDARD_IA", "vault", "warm"))


class NoReads:
    """No read is ever under way."""

    def oldest_read_ms(self) -> int | None:
        return None


class TierScene:
    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance
        self.metadata = LocalMetadata()
        self.bucket_id = self.metadata.bucket_id
        self.local = MemoryBlobStore()
        self.remote = FakeRemote()
        self.store = TierStore(self.local, {"vault": self.remote}, TIERS)
        self._ids = itertools.count(1)
        self.restart()

    def restart(self) -> None:
        """The jobs begin anew and remember nothing."""
        settings, metadata = JobSettings(), self.metadata.metadata
        self.lifecycle = Lifecycle(metadata, settings, at_full_speed())
        self.transitions = Transitions(metadata, self.store, self.lifecycle, settings, at_full_speed())
        self.restores = Restores(metadata, self.store, settings)

    def days(self, number: float) -> None:
        self.advance(int(number * DAY_MS))

    def rule(self, storage_class: str, days: int = 1, **given: Any) -> None:
        transition = Transition(days=days, storage_class=storage_class)  # type: ignore[arg-type]
        made = {"id": "r", "filter": Filter(object_size_greater_than=0), "status": "Enabled"} | given
        document = LifecycleConfiguration(rules=(LifecycleRule(**made, transitions=(transition,)),))
        self.metadata.apply(SetSubresource(self.bucket_id, "lifecycle", xml.dumps(document)))

    def blob(self, data: bytes) -> BlobRef:
        return asyncio.run(self.store.put(pieces(data), len(data)))

    def put(self, key: str, data: bytes, **given: Any) -> ObjectVersion:
        return self.metadata.apply(
            PutVersion(
                self.bucket_id,
                key,
                len(data),
                "etag",
                OWNER,
                given.pop("attributes", Attributes()),
                blob=self.blob(data) if data else None,
                version_id=f"v{next(self._ids)}",
                **given,
            )
        )

    def put_parts(self, key: str, *bodies: bytes) -> ObjectVersion:
        upload_id = f"u{next(self._ids)}"
        self.metadata.apply(CreateUpload(self.bucket_id, key, upload_id, OWNER, Attributes()))
        parts = []
        for number, body in enumerate(bodies, 3):
            part = Part(number, len(body), f"e{number}", 0, None, self.blob(body) if body else None)
            self.metadata.apply(PutPart(self.bucket_id, key, upload_id, part))
            parts.append(NamedPart(number, None if part.blob is None else part.blob.id, part.size))
        return self.metadata.apply(
            CompleteUpload(self.bucket_id, key, upload_id, tuple(parts), "etag-2", Attributes(), b"digest")
        )

    def move(self) -> float:
        """One pass of the transitions."""

        async def run() -> float:
            await self.lifecycle.run()
            return await self.transitions.run()

        return asyncio.run(run())

    def fetch(self) -> None:
        asyncio.run(self.restores.run())

    def ask_back(self, key: str, days: int = 2) -> ObjectVersion:
        expires_ms = clock.now_ms() + days * DAY_MS
        staging_id = f"s{next(self._ids)}"
        return self.metadata.apply(RestoreVersion(self.bucket_id, key, None, days, expires_ms, staging_id))

    def clean(self) -> None:
        """Delete what is garbage."""

        async def run() -> None:
            shared: Any = NoReads()
            job = Garbage(self.metadata.metadata, self.store, shared, JobSettings())
            await job.run()
            self.advance(60_000)
            await job.run()
            self.advance(60_000)
            await job.run()

        self.advance(60_000)
        asyncio.run(run())

    def version(self, key: str = "a") -> ObjectVersion:
        found = self.metadata.ask(queries.current, self.bucket_id, key)
        assert found is not None
        return found

    def bytes_of(self, version: ObjectVersion) -> bytes:
        """What lies where the version says."""
        return self._bytes(version.blob, version.upload_id)

    def restored_bytes(self, key: str = "a") -> bytes:
        copy = self.metadata.ask(tiering.restored_copy, self.version(key))
        assert copy is not None
        blobs = [copy[0]] if copy[0] else self.blobs_of(copy[1])
        assert not any(is_at_tier(blob) for blob in blobs)
        return self._bytes(*copy)

    def blobs_of(self, upload_id: str | None) -> list[BlobRef]:
        if upload_id is None:
            return []
        parts = self.metadata.ask(queries.list_parts, upload_id).parts
        return [part.blob for part in parts if part.blob is not None]

    def _bytes(self, blob: BlobRef | None, upload_id: str | None) -> bytes:
        blobs = [blob] if blob else self.blobs_of(upload_id)

        async def gathered() -> bytes:
            return b"".join([await read(self.store, one) for one in blobs])

        return asyncio.run(gathered())

    def check(self) -> None:
        """Invariants hold, and everything that lies anywhere is referred to or known to be garbage."""
        assert invariants.violations(self.metadata.db) == []

    def lying(self) -> tuple[set[bytes], set[str]]:
        """Ids of the blobs here, and keys at the tier."""

        async def here() -> set[bytes]:
            return {ref.id async for ref in self.local.list()}

        return asyncio.run(here()), set(self.remote.objects)

    def assert_nothing_left_over(self) -> None:
        """After garbage was deleted: what lies here and there is exactly what is referred to."""
        self.check()
        blobs = self.metadata.ask(queries.blobs_after, b"", 10_000)
        here, there = self.lying()
        assert here == {blob.id for blob in blobs if not is_at_tier(blob)}
        assert len(there) == sum(map(is_at_tier, blobs))
        assert self.metadata.ask(tiering.counts)[1] == 0
        assert not self.metadata.db.rows("SELECT 1 FROM transitions")
