"""Sends what the ledger queued to where it is to go, and goes through buckets for what is there already.

Invariants kept here:
- A row leaves the queue only when its destination has what it tells of, when nobody wants it there any
  more, or as FAILED: after the destination refused it REFUSALS_MAX times, or could not be reached, or the
  bytes could not be read, for `retry_s`. FAILED shows in the version's status, and a resync takes it up.
- What happened to a key goes out in the order it happened: the ledger lets only its oldest row be due.
- A destination that cannot be reached is left alone for growing pauses, and holds up no other.
- At most SENDS_AT_ONCE rows are sent to a destination together, LARGE_AT_ONCE large ones to all of them.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from objstore import clock, metrics
from objstore.encryption.provider import KmsError
from objstore.jobs.destinations import Destination, LocalBucket, NotThere, RemoteBucket
from objstore.jobs.job import JobSettings
from objstore.jobs.replication_failures import NOT_ELIGIBLE, event_data, reason_of
from objstore.jobs.telling import announced
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import (
    FinishReplications,
    PostponeReplications,
    QueueExisting,
    Sent,
    SetState,
)
from objstore.meta.commands.replication import CHANGED, EXISTING, RESYNC, resync_state
from objstore.meta.interface import MetadataError, Refusal
from objstore.meta.queries import Replication
from objstore.model import Bucket, EncryptionMethod, ObjectVersion
from objstore.remote.client import RemoteError, RemoteS3, RemoteUnavailable
from objstore.s3 import replication as dialect
from objstore.s3.documents.replication import ReplicationConfiguration, ReplicationRule, Target, rule_to
from objstore.s3.errors import S3Error
from objstore.service import Services
from objstore.service.replication import candidates
from objstore.storage.interface import StorageError

log = logging.getLogger(__name__)

FAILED_EVENT: Final = "s3:Replication:OperationFailedReplication"
LOOK_EVERY_S: Final = 0.5
RUN_S: Final = 30.0
"""How long one run goes on while there is something to send."""
SENDS_AT_ONCE: Final = 16
LARGE_BYTES: Final = 1024 * 1024
LARGE_AT_ONCE: Final = 4
PAGE_ROWS: Final = 100
REFUSALS_MAX: Final = 4
BACK_OFF_S: Final = 1.0
BACK_OFF_S_MAX: Final = 300.0
TROUBLE_S_MAX: Final = 60.0
"""The longest pause of a destination that cannot be reached."""
RESYNC_KEYS: Final = 200
QUEUED_MAX: Final = 20_000
"""Past so many rows in the queue a resync waits until some are sent."""
RESYNC_PAUSE_S: Final = 5.0


@dataclass(slots=True)
class _Line:
    """One destination: what waits for it as far as it was read, and what is under way."""

    waiting: deque[Replication] = field(default_factory=deque)
    under_way: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    failures: int = 0
    again_s: float = 0.0


def _ended(line: _Line, sequence: int, task: asyncio.Task[None]) -> None:
    line.under_way.pop(sequence, None)
    if not task.cancelled() and task.exception() is not None:
        log.warning("what came of replication %d could not be written: %s", sequence, task.exception())
        line.waiting.clear()
        line.again_s = max(line.again_s, clock.monotonic_s() + BACK_OFF_S)


class Unreadable(Exception):
    """The source cannot be sent: not now, or (`is_final`) not at all."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class ReplicationQueue:
    """The job that sends."""

    name = "replication"

    def __init__(self, metadata: Metadata, services: Services, settings: JobSettings) -> None:
        self._metadata = metadata
        self._services = services
        self._retry_ms = settings.replication_retry_s * 1000
        self._remotes = {endpoint.name: RemoteS3(endpoint) for endpoint in settings.remotes}
        self._places: dict[str, RemoteBucket] = {}
        self._lines: dict[str, _Line] = {}
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def run(self) -> float:
        """Send what is due."""
        until_s = clock.monotonic_s() + RUN_S
        while clock.monotonic_s() < until_s:
            targets: Sequence[str] = await self._metadata.read(queries.replication_targets)
            for target in targets:
                await self._start(target, self._lines.setdefault(target, _Line()))
            under_way = [task for line in self._lines.values() for task in line.under_way.values()]
            if not under_way:
                return LOOK_EVERY_S
            await asyncio.wait(under_way, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        return 0.0

    async def _start(self, target: str, line: _Line) -> None:
        """Begin to send as much as may be sent to one destination."""
        if clock.monotonic_s() < line.again_s:
            return
        if not line.waiting and len(line.under_way) < SENDS_AT_ONCE:
            limit = PAGE_ROWS + len(line.under_way)
            due = await self._metadata.read(queries.replications_due, target, clock.now_ms(), limit)
            line.waiting.extend(row for row in due if row.sequence not in line.under_way)
        while line.waiting and len(line.under_way) < SENDS_AT_ONCE:
            row = line.waiting.popleft()
            task = asyncio.create_task(self._send(row, line), name=f"replicate {row.sequence}")
            line.under_way[row.sequence] = task
            task.add_done_callback(partial(_ended, line, row.sequence))

    async def _send(self, row: Replication, line: _Line) -> None:
        """Send one row, and write down what came of it."""
        try:
            sent = await self._outcome(row)
            line.failures = 0
        except NotThere:
            sent = Sent(row.sequence, "COMPLETED")
        except RemoteUnavailable as exc:
            self._leave_alone(row.target, line, exc)
            await self._later(row, exc, is_refused=False)
            return
        except Unreadable as exc:
            if not exc.is_final:
                await self._later(row, exc, is_refused=False)
                return
            await self._fail(row, exc)
            return
        except (RemoteError, S3Error, Refusal) as exc:
            await self._later(row, exc, is_refused=True)
            return
        except Exception as exc:
            if not isinstance(exc, MetadataError | StorageError | KmsError | OSError | EOFError):
                log.exception("replication of %s failed", row.key)
            await self._later(row, exc, is_refused=False)
            return
        await self._finish(row, sent)

    def _leave_alone(self, target: str, line: _Line, why: Exception) -> None:
        now_s = clock.monotonic_s()
        if now_s < line.again_s:  # what was sent together fails together
            return
        line.failures += 1
        line.waiting.clear()
        pause_s = _pause_s(line.failures, TROUBLE_S_MAX)
        line.again_s = now_s + pause_s
        log.warning("replication to %s stopped: %s; again in %.0f s", target, why, pause_s)

    async def _finish(self, row: Replication, sent: Sent) -> None:
        outcome = "dropped" if sent.status is None else sent.status.lower()
        metrics.REPLICATED.labels(outcome).inc()
        if sent.status == "COMPLETED" and row.kind != CHANGED:
            metrics.REPLICATED_BYTES.inc(row.size)
        await self._metadata.write(FinishReplications((sent,)))

    async def _fail(self, row: Replication, why: Exception) -> None:
        """Give a row up, and tell who wants to know."""
        said = _said(why)
        log.error("replication given up: %s %r to %s: %s", row.version_id, row.key, row.target, said)
        metrics.REPLICATED.labels("failed").inc()
        command = FinishReplications((Sent(row.sequence, "FAILED"),))
        bucket = await self._metadata.read(queries.bucket, row.bucket_id)
        if bucket is None:
            await self._metadata.write(command)
            return
        version = await self._metadata.read(queries.version, row.bucket_id, row.key, row.version_id)
        is_final = isinstance(why, Unreadable) and why.is_final
        reason = NOT_ELIGIBLE if is_final else reason_of(why, row, version)
        data = event_data(row, version, self._services.replications.rules(bucket), reason)
        told = await announced(self._metadata, bucket, row.key, command, FAILED_EVENT, data)
        await self._metadata.write(told)

    async def _later(self, row: Replication, why: Exception, *, is_refused: bool) -> None:
        """Put a row off, or give it up."""
        is_over = clock.now_ms() - row.queued_ms > self._retry_ms
        if is_over or (is_refused and row.attempts + 1 >= REFUSALS_MAX):
            await self._fail(row, why)
            return
        metrics.REPLICATED.labels("postponed").inc()
        due_ms = clock.now_ms() + int(1000 * _pause_s(row.attempts + 1, BACK_OFF_S_MAX))
        await self._metadata.write(PostponeReplications((row.sequence,), (due_ms,)))

    async def _outcome(self, row: Replication) -> Sent:
        """Send what a row tells of as it is now. Raises what went wrong."""
        bucket = await self._metadata.read(queries.bucket, row.bucket_id)
        version = await self._metadata.read(queries.version, row.bucket_id, row.key, row.version_id)
        dropped = Sent(row.sequence, None)
        if bucket is None or version is None:
            return dropped
        rules = self._services.replications.rules(bucket)
        rule = None if rules is None else rule_to(rules, row.key, version.tags, row.target)
        if rule is None:
            return dropped
        place = self._place(bucket, row.target)
        progress = dialect.progress_of(version.attributes).get(row.target)
        is_change = row.kind == CHANGED
        if is_change and (progress is None or progress.status == "COMPLETED"):
            await place.change(version, None if progress is None else progress.version_id)
            return Sent(row.sequence, "COMPLETED")
        if row.kind == EXISTING and not version.is_latest and not await place.keeps_order():
            return dropped  # there it would come on top of what is newer
        if version.is_delete_marker:
            return Sent(row.sequence, "COMPLETED", await place.put_marker(version))
        if not _is_wanted(version, rule):
            return dropped
        async with self._large if version.size > LARGE_BYTES else _FREE:
            return Sent(row.sequence, "COMPLETED", await place.put(version, rule))

    def _place(self, bucket: Bucket, arn: str) -> Destination:
        target = Target.parse(arn)
        if target.remote is None:
            return LocalBucket(self._services, self._services.replications.here(bucket, target))
        remote = self._remotes.get(target.remote)
        if remote is None:
            raise RemoteUnavailable(f"no remote is called {target.remote}")
        if arn not in self._places:
            self._places[arn] = RemoteBucket(self._services, remote, target.bucket)
        return self._places[arn]

    async def close(self) -> None:
        """Break off what is under way, which is begun again next time, and let go of connections."""
        tasks = [task for line in self._lines.values() for task in line.under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(remote.close() for remote in self._remotes.values()))


class _Free:
    """A gate that is always open."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


_FREE: Final = _Free()


def _is_wanted(version: ObjectVersion, rule: ReplicationRule) -> bool:
    """Whether a rule takes a version encrypted as it is. Raises Unreadable where its key is a client's."""
    encryption = version.attributes.encryption
    if encryption is None:
        return True
    if encryption.method is EncryptionMethod.CUSTOMER:
        raise Unreadable("it is encrypted with a key that its owner alone has", is_final=True)
    return encryption.method is not EncryptionMethod.KMS or (
        rule.destination.encryption_configuration is not None
    )


def _said(why: Exception) -> str:
    is_plain = isinstance(why, RemoteUnavailable | Unreadable)
    return str(why) if is_plain else f"{type(why).__name__}: {why}"


def _pause_s(failures: int, longest_s: float) -> float:
    return min(longest_s, BACK_OFF_S * 2.0 ** min(failures - 1, 16))


class Resync:
    """The job that queues what was there before its rule, or failed, as rules or an operator ask."""

    name = "replication resync"

    def __init__(self, metadata: Metadata, services: Services) -> None:
        self._metadata = metadata
        self._services = services

    async def run(self) -> float:
        """Go on with every walk that was asked for."""
        states = await self._metadata.read(queries.states_between, RESYNC, f"{RESYNC}~")
        more = False
        for name, value in states:
            more = await self._go_on(int(name.removeprefix(RESYNC)), json.loads(value)) or more
        return RESYNC_PAUSE_S if not more else 0.0

    async def _go_on(self, bucket_id: int, state: Mapping[str, object]) -> bool:
        """Queue the next keys of one bucket; whether to go on at once."""
        if await self._metadata.read(queries.replications_at_least, QUEUED_MAX):
            return False
        name, after = resync_state(bucket_id), str(state["after"])
        bucket = await self._metadata.read(queries.bucket, bucket_id)
        rules = None if bucket is None else self._services.replications.rules(bucket)
        keys: Sequence[str] = ()
        if rules is not None:
            keys = await self._metadata.read(queries.keys_after, bucket_id, after, "", RESYNC_KEYS)
            rule_id = None if state["rule"] is None else str(state["rule"])
            for key in keys:
                await self._queue(bucket_id, key, rules, rule_id, existing_only=not state["all"])
        if len(keys) < RESYNC_KEYS:
            await self._metadata.write(SetState(name, None))
            return False
        further = json.dumps({**state, "after": keys[-1]}).encode()
        await self._metadata.write(SetState(name, further))
        return True

    async def _queue(
        self,
        bucket_id: int,
        key: str,
        rules: ReplicationConfiguration,
        rule_id: str | None,
        *,
        existing_only: bool,
    ) -> None:
        wanted = candidates(rules, key, rule_id, existing_only=existing_only)
        after: int | None = 0 if wanted else None
        while after is not None:
            after = await self._metadata.write(QueueExisting(bucket_id, key, wanted, after))
