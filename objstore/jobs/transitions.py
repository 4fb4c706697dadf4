"""Moves versions to the storage classes that lifecycle rules name, and their bytes to the tiers of these.

Invariants kept here:
- A place at a tier is written down before the first byte is sent there, and what is there is verified before
  the version changes over to it, in one command that finds everything as it was judged (commands/tiers.py).
  Before that command the version's bytes are untouched here; after it the copy is the version's bytes, and
  those here become garbage. So whatever is cut off where: at most something is left at the tier, and it is
  found by what was written down.
- A tier that cannot be asked delays what would go there and nothing else.
- Stored bytes are moved as they are, blob by blob: what is encrypted stays so.

A pass goes over the keys of the buckets whose rules move anything: when a day (UTC) begins, when rules or
tiers changed, at the start, and again, after growing pauses, while a tier keeps versions waiting.
"""

import asyncio
import logging
from collections import Counter
from dataclasses import replace
from typing import Final, Self

from objstore import clock, metrics
from objstore.jobs.access_logs import RulesLog
from objstore.jobs.job import JobSettings, Pace, all_of
from objstore.jobs.lifecycle import (
    LOOK_EVERY_S,
    Due,
    Lifecycle,
    Rulebook,
    buckets_with_rules,
    digest_of_all,
    due_transitions,
    readable_rulebook,
)
from objstore.jobs.telling import announced
from objstore.meta import queries, tiering
from objstore.meta.client import Metadata
from objstore.meta.commands import (
    AbandonTierBlobs,
    AbandonTransition,
    BeginTransition,
    IntendTierBlobs,
    StagePart,
    TransitionVersion,
)
from objstore.meta.commands.lifecycle import is_awaited
from objstore.meta.interface import Conflict
from objstore.model import BlobRef, ObjectVersion, Part
from objstore.remote.tier_store import Tier, TierStore, TierUnavailable
from objstore.s3 import tokens
from objstore.s3.access_log import TRANSITIONS
from objstore.s3.documents.lifecycle import DAY_MS
from objstore.s3.expiry import Calendar, prefixes
from objstore.storage.interface import StorageError

log = logging.getLogger(__name__)

EVENT: Final = "s3:LifecycleTransition"
MOVES_AT_ONCE: Final = 16
"""Versions that are moved together: a far tier takes its time with each, however small."""
LARGE_BYTES: Final = 1 << 20
LARGE_AT_ONCE: Final = 4
"""So many of them may be larger than that: each is several MiB in memory."""
PARTS_PAGE: Final = 500
FIRST_LOOK_S: Final = 1.0
WAIT_S: Final = 2.0
WAIT_S_MAX: Final = 300.0
FAILED_S: Final = 3600.0
"""How long until versions that could not be moved, though their tier could be asked, are tried again."""
SWEEP_EVERY_S: Final = 300.0
INTENT_S: Final = 3600.0
"""An intent that nobody works on is given up after this long: until then what was sent may still arrive."""
STAGED_S: Final = 86_400.0
"""The same for parts that were copied for a version: until then the next attempt goes on with them."""


class Transitions:
    """The transitions job."""

    name = "transitions"

    def __init__(
        self,
        metadata: Metadata,
        store: TierStore,
        lifecycle: Lifecycle,
        settings: JobSettings,
        pace: Pace,
        log: RulesLog | None = None,
    ) -> None:
        self._metadata = metadata
        self._log = log
        self._store = store
        self._lifecycle = lifecycle
        self._pace = pace
        self._calendar = Calendar.of(settings.lifecycle_day_s)
        self._every_s = max(0.25, settings.lifecycle_day_s / 2) if settings.lifecycle_day_s else LOOK_EVERY_S
        self._gate = asyncio.Semaphore(MOVES_AT_ONCE)
        self._large_gate = asyncio.Semaphore(LARGE_AT_ONCE)
        self._done: object = None
        """The reason of the last pass that left nothing waiting."""
        self._tried: object = None
        """The reason of the last pass, which is made again for the same one from `_again_s` on."""
        self._again_s = float("-inf")
        self._waits = 0
        """Passes in a row that left something waiting for a tier."""
        self._outcomes: Counter[str] = Counter()
        self._silent: set[str] = set()
        """Tiers (by storage class) that could not be asked during this pass."""
        self._busy: set[bytes] = set()
        """Ids of the blobs that are being sent."""
        self._staging: set[str] = set()
        """Upload ids of the copies that are being made."""
        self._swept_s = float("-inf")

    async def run(self) -> float:
        """Give up what nobody works on; make a pass if there is a reason to."""
        if clock.monotonic_s() - self._swept_s >= SWEEP_EVERY_S:
            await self._sweep()
            self._swept_s = clock.monotonic_s()
        now_ms = self._lifecycle.judged_ms
        if now_ms is None:
            return FIRST_LOOK_S
        documents = [one async for one in buckets_with_rules(self._metadata)]
        reason = (digest_of_all(documents), now_ms // DAY_MS)
        if not documents or (reason == self._done and not self._calendar.debug_day_ms):
            return self._every_s
        rest_s = self._again_s - clock.monotonic_s()
        if reason == self._tried and rest_s > 0:
            return min(rest_s, self._every_s)
        self._outcomes.clear()
        self._silent.clear()
        for bucket, document in documents:
            tiers = self._store.tiers.keys()
            book = readable_rulebook(bucket, document, now_ms, self._calendar, tiers)
            if book is not None:
                await self._walk(book)
        is_done = not (self._outcomes["waits"] or self._outcomes["failed"] or self._outcomes["changed"])
        self._done, self._tried = reason if is_done else None, reason
        self._waits = self._waits + 1 if self._outcomes["waits"] else 0
        pause_s = self._every_s
        if self._waits:
            pause_s = min(WAIT_S_MAX, WAIT_S * 2.0 ** min(self._waits - 1, 16))
        elif self._outcomes["failed"]:
            pause_s = FAILED_S
        self._again_s = clock.monotonic_s() + pause_s
        return min(pause_s, self._every_s)

    async def _walk(self, book: Rulebook) -> None:
        for prefix in prefixes(book.moves):
            began_s = clock.monotonic_s()
            async for page in due_transitions(self._metadata, book, prefix, ""):
                await all_of(map(self._act, page.due))
                await self._pace.rest(clock.monotonic_s() - began_s)
                began_s = clock.monotonic_s()

    async def _act(self, due: Due) -> None:
        assert due.version is not None
        async with self._large_gate if due.version.size > LARGE_BYTES else self._gate:
            target = due.verdict.storage_class
            try:
                outcome = "waits" if target in self._silent else await self._move(due)
            except TierUnavailable as exc:
                outcome = "waits"
                if target not in self._silent:
                    log.warning("transitions to %s wait: %s", target, exc)
                self._silent.add(target)
            except (StorageError, EOFError, OSError) as exc:
                outcome = "failed"
                log.warning(
                    "version %s of %s in bucket %s not moved to %s: %s: %s",
                    due.id,
                    due.key,
                    due.bucket.name,
                    target,
                    type(exc).__name__,
                    exc,
                )
        metrics.LIFECYCLE_ACTIONS.labels(due.verdict.action.value, outcome).inc()
        self._outcomes[outcome] += 1
        if outcome == "done":
            log.info(
                "lifecycle rule %s of bucket %s: %s %s, version %s to %s",
                due.verdict.rule_id,
                due.bucket.name,
                due.verdict.action.value,
                due.key,
                due.id,
                target,
            )
            if self._log is not None:
                name = TRANSITIONS[due.verdict.storage_class]
                self._log.tell(due.bucket, due.key, name, due.id, due.version)

    async def _move(self, due: Due) -> str:
        """What came of it: "done", or "changed" when it is no longer what was judged."""
        assert due.version is not None
        tier = self._store.tiers.get(due.verdict.storage_class)
        if tier is None:
            return await self._change_over(due)
        version = await self._metadata.read(queries.version, due.bucket.id, due.key, due.id)
        if version is None or version.sequence != due.version.sequence:
            return "changed"
        if await self._metadata.read(is_awaited, due.bucket.id, due.key, due.id):
            return "waits"  # at an archive its bytes could not be read
        if version.upload_id is not None:
            return await self._move_parts(due, version, version.upload_id, tier)
        if version.blob is None:
            return await self._change_over(due, version, moves_bytes=True)
        async with _Sending(self, tier, version.blob) as sending:
            outcome = await self._change_over(due, version, blob=sending.blob, moves_bytes=True)
            sending.is_referred_to = outcome == "done"
        return outcome

    async def _change_over(
        self,
        due: Due,
        version: ObjectVersion | None = None,
        *,
        blob: BlobRef | None = None,
        staging_id: str | None = None,
        moves_bytes: bool = False,
    ) -> str:
        assert due.version is not None
        source = None if version is None else version.blob
        command = TransitionVersion(
            due.bucket.id,
            due.key,
            due.id,
            due.version.sequence,
            due.version.tags,
            due.rules,
            due.verdict.storage_class,
            successor=due.successor,
            newer_kept=due.verdict.newer_kept,
            moves_bytes=moves_bytes,
            source_blob_id=None if source is None else source.id,
            source_upload_id=None if version is None else version.upload_id,
            blob=blob,
            staging_id=staging_id,
        )
        data = {
            "lifecycleEventData": {
                "transitionEventData": {"destinationStorageClass": due.verdict.storage_class}
            }
        }
        told = await announced(self._metadata, due.bucket, due.key, command, EVENT, data)
        try:
            moved = await self._metadata.write(told)
        except Conflict:
            return "changed"
        if moved is None:
            return "changed"
        if moves_bytes:
            metrics.TRANSITIONED_BYTES.labels(due.verdict.storage_class).inc(due.version.size)
        return "done"

    # Versions with parts

    async def _move_parts(self, due: Due, version: ObjectVersion, upload_id: str, tier: Tier) -> str:
        proposed = tokens.new_upload_id()
        slot = (due.bucket.id, due.key, due.id)
        staging_id = await self._metadata.write(BeginTransition(*slot, version.sequence, proposed))
        if staging_id is None:
            return "changed"
        self._staging.add(staging_id)
        try:
            after = await self._staged_up_to(staging_id)
            while parts := (
                await self._metadata.read(queries.list_parts, upload_id, after, PARTS_PAGE)
            ).parts:
                for part in parts:
                    await self._move_part(part, staging_id, tier)
                after = parts[-1].part_number
            outcome = await self._change_over(due, version, staging_id=staging_id, moves_bytes=True)
        except Conflict:
            outcome = "changed"
        finally:
            self._staging.discard(staging_id)
        if outcome != "done":
            await self._metadata.write(AbandonTransition(*slot, staging_id))
        return outcome

    async def _staged_up_to(self, staging_id: str) -> int:
        """The number of the last part that an earlier attempt copied: they are copied in order."""
        after = 0
        while parts := (await self._metadata.read(queries.list_parts, staging_id, after, PARTS_PAGE)).parts:
            after = parts[-1].part_number
        return after

    async def _move_part(self, part: Part, staging_id: str, tier: Tier) -> None:
        if part.blob is None:
            await self._metadata.write(StagePart(staging_id, part, is_at_tier=True))
            return
        async with _Sending(self, tier, part.blob) as sending:
            await self._metadata.write(
                StagePart(staging_id, replace(part, blob=sending.blob), is_at_tier=True)
            )
            sending.is_referred_to = True

    # What was left behind

    async def _sweep(self) -> None:
        """Make garbage of what was meant for a tier and came to nothing."""
        now_ms = clock.now_ms()
        intents = await self._metadata.read(tiering.tier_intents, now_ms - int(INTENT_S * 1000))
        left = tuple(blob.id for blob in intents if blob.id not in self._busy)
        if left:
            await self._metadata.write(AbandonTierBlobs(left))
            log.info("%d blobs that were meant for tiers are given up", len(left))
        for staged in await self._metadata.read(tiering.transitions_before, now_ms - int(STAGED_S * 1000)):
            if staged.upload_id not in self._staging:
                await self._metadata.write(
                    AbandonTransition(staged.bucket_id, staged.key, staged.version_id, staged.upload_id)
                )


class _Sending:
    """`async with` makes `blob` at a tier, verified, with the bytes of one that is here.

    The body is to make something refer to it, and to say so. What is not referred to afterwards becomes
    garbage: at once when it is known to be there, with the sweep when sending it failed and it may yet
    arrive.
    """

    def __init__(self, job: Transitions, tier: Tier, source: BlobRef) -> None:
        self._job = job
        self._source = source
        self.blob = job._store.intend(tier, source.size)
        self.is_referred_to = False

    async def __aenter__(self) -> Self:
        job = self._job
        await job._metadata.write(IntendTierBlobs((self.blob,)))
        job._busy.add(self.blob.id)
        try:
            self.blob = await job._store.send(self._source, self.blob)
        except BaseException:
            job._busy.discard(self.blob.id)
            raise
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._job._busy.discard(self.blob.id)
        if not self.is_referred_to and not isinstance(failure[1], asyncio.CancelledError):
            await self._job._metadata.write(AbandonTierBlobs((self.blob.id,)))
