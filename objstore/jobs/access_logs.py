"""Delivers the lines of buckets' access logs, which workers left in spool files, as objects.

Best effort, as S3 promises no more: a line comes at least once while its spool file can be read. A crash
of this process between an object and the removal of the file it came from delivers those lines again. What
its target does not want (no permission, no such bucket) is dropped and counted.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from objstore import clock, durable, metrics, spool
from objstore.blocking import Pool, PoolFull
from objstore.iam.permissions import Permissions
from objstore.iam.principals import account_id
from objstore.iam.services import LOGGING_SERVICE, may_deliver_logs
from objstore.jobs import putting
from objstore.jobs.job import JobSettings
from objstore.model import Bucket, ObjectVersion, Versioning
from objstore.s3 import access_log, names
from objstore.s3.access_log import NO_REQUEST, Record
from objstore.s3.errors import MalformedXML
from objstore.service import Services
from objstore.service.failures import translate
from objstore.service.watches import LogHead, Watches
from objstore.spool import ACCESS_LOGS, Spool

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

LOOK_EVERY_S_MAX: Final = 10.0
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
"""About how many bytes of lines are held at once."""
DRIVE_S_MAX: Final = 30.0
"""How long a drive may take to open, read or remove a file."""
COMPLAIN_EVERY_S: Final = 3600.0
COMPLAINTS_MAX: Final = 1000
"""Buckets whose refusal is remembered; past it they are complained about anew."""
_DAY_MS: Final = 24 * 60 * 60 * 1000


def open_spool(directories: tuple[Path, ...], every_s: float) -> Spool:
    """Where a process leaves its lines."""
    return Spool(directories, ACCESS_LOGS, every_s, metrics.ACCESS_LOG_LINES.labels("dropped").inc)


@dataclass(slots=True)
class _Batch:
    """Lines by head and, where that matters, by day."""

    lines: dict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    size: int = 0

    def add(self, lines: list[tuple[str, str]]) -> None:
        for head, line in lines:
            with suppress(ValueError):  # damaged: not one of ours any more
                event_ms, text = access_log.unstamped(line)
                self.lines[head, event_ms // _DAY_MS].append(text)
                self.size += len(text) + 1


@dataclass(frozen=True, slots=True)
class _Taken:
    """A spool file that this process has locked."""

    name: str
    descriptor: int
    lines: list[tuple[str, str]]


class _Place:
    """A directory of spool files; a drive that hangs hangs by itself."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pool = Pool(f"access logs in {directory}", threads=1, waiting_max=0)

    async def call(self, step: Callable[Concatenate[int, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `step` makes of the directory. Raises OSError; TimeoutError and PoolFull while it hangs."""

        def opened() -> R:
            with spool.opened(self.directory, ACCESS_LOGS) as descriptor:
                return step(descriptor, *args, **kwargs)

        async with asyncio.timeout(DRIVE_S_MAX):
            return await self._pool.submit(opened)


def _complete_files(directory: int) -> list[str]:
    return spool.complete_files(directory)


def _take(directory: int, name: str) -> _Taken | None:
    descriptor = spool.take(directory, name)
    if descriptor is None:
        return None
    try:
        return _Taken(name, descriptor, spool.lines_of(descriptor, durable.length_of(directory, name)))
    except BaseException:
        durable.close(descriptor)
        raise


def _remove(directory: int, name: str) -> None:
    durable.unlink(directory, name)


class AccessLogs:
    """The job that delivers access logs."""

    name = "access_logs"

    def __init__(self, services: Services, permissions: Permissions, settings: JobSettings) -> None:
        self._services = services
        self._permissions = permissions
        self._places = [_Place(directory) for directory in settings.spool_directories]
        self._every_s = min(LOOK_EVERY_S_MAX, max(0.25, settings.bucket_logs_every_s / 4))
        self._complained_s: dict[str, float] = {}

    async def run(self) -> float:
        """Deliver what is complete."""
        for place in self._places:
            try:
                await self._deliver_from(place)
            except FileNotFoundError:
                continue  # nothing was ever left here
            except (OSError, TimeoutError, PoolFull) as exc:  # its lines wait until the drive is well again
                log.warning("access logs in %s cannot be taken up: %r", place.directory, exc)
        return self._every_s

    async def _deliver_from(self, place: "_Place") -> None:
        """Deliver the files of one directory, several together, and remove them."""
        taken: list[_Taken] = []
        batch = _Batch()
        try:
            for name in await place.call(_complete_files):
                file = await place.call(_take, name)
                if file is None:
                    continue
                taken.append(file)
                batch.add(file.lines)
                file.lines.clear()
                if batch.size >= BATCH_BYTES_MAX:
                    await self._finish(place, batch, taken)
                    batch = _Batch()
            await self._finish(place, batch, taken)
        finally:
            for file in taken:
                durable.close(file.descriptor)

    async def _finish(self, place: "_Place", batch: _Batch, taken: list["_Taken"]) -> None:
        """Deliver a batch and remove the files that it came from."""
        for (head, texts), event_ms in _groups(batch):
            await self._deliver(head, texts, event_ms)
        for file in taken:
            await place.call(_remove, file.name)
        while taken:
            durable.close(taken.pop().descriptor)

    async def _deliver(self, head: LogHead, texts: list[str], event_ms: int) -> None:
        """Put one object. Raises what says that it may work later: MetadataError, StorageError."""
        try:
            await self._put(head, texts, event_ms)
        except _Refused as exc:
            self._refuse(head, len(texts), str(exc))
            return
        except Exception as exc:
            error = translate(exc)
            if error is None or error.status >= 500:
                raise
            self._refuse(head, len(texts), error.message)
            return
        metrics.ACCESS_LOG_LINES.labels("delivered").inc(len(texts))

    async def _put(self, head: LogHead, texts: list[str], event_ms: int) -> None:
        wanted = head.target
        target = self._services.buckets.find(wanted.target_bucket)
        key = access_log.object_key(
            wanted,
            account_id=account_id(head.owner_id),
            region=head.region,
            bucket=head.bucket,
            event_ms=event_ms,
            delivery_ms=clock.now_ms(),
            unique=os.urandom(access_log.UNIQUE_CHARACTERS // 2).hex().upper(),
        )
        names.check_key(key)
        if target is None or target.owner_id != head.owner_id:
            raise _Refused(f"there is no bucket {wanted.target_bucket} of the same owner")
        if not may_deliver_logs(self._permissions.authoriser, _source(head), target, key):
            raise _Refused(f"neither policy nor ACL of {target.name} lets {LOGGING_SERVICE} put {key}")
        access = await self._permissions.for_new_log(target, wanted)
        body = putting.WholeBody("\n".join([*texts, ""]).encode())
        await putting.put(
            self._services, target, key, body, access, content_type="text/plain", service=LOGGING_SERVICE
        )

    def _refuse(self, head: LogHead, count: int, reason: str) -> None:
        metrics.ACCESS_LOG_LINES.labels("refused").inc(count)
        if len(self._complained_s) >= COMPLAINTS_MAX:
            self._complained_s.clear()
        now_s = clock.monotonic_s()
        if now_s - self._complained_s.get(head.bucket, float("-inf")) >= COMPLAIN_EVERY_S:
            self._complained_s[head.bucket] = now_s
            log.warning("the access log of bucket %s cannot be delivered: %s", head.bucket, reason)


class _Refused(Exception):
    """The bucket that a log goes to does not take it."""


def _groups(batch: _Batch) -> Iterator[tuple[tuple[LogHead, list[str]], int]]:
    """Heads and their lines, with the time of the first: days apart where the key names the day."""
    merged: dict[tuple[str, int], list[str]] = {}
    for (text, day), lines in sorted(batch.lines.items()):
        try:
            is_by_day = access_log.is_by_event_day(LogHead.unpack(text).target)
        except (ValueError, MalformedXML):
            continue
        merged.setdefault((text, day if is_by_day else 0), []).extend(lines)
    for (text, day), lines in merged.items():
        yield (LogHead.unpack(text), lines), day * _DAY_MS


def _source(head: LogHead) -> Bucket:
    """The bucket that was logged, which may be gone."""
    return Bucket(head.bucket_id, head.bucket, head.owner_id, head.region, 0, Versioning.NEVER)


class RulesLog:
    """Writes what lifecycle rules do into the logs of the buckets they do it in."""

    def __init__(self, watches: Watches, spool: Spool) -> None:
        self._watches = watches
        self._spool = spool

    def tell(
        self, bucket: Bucket, key: str, operation: str, version_id: str, version: ObjectVersion | None
    ) -> None:
        """Log that a rule did this to a key."""
        watch = self._watches.of(bucket)
        if watch is None or watch.log_head is None:
            return
        record = Record(
            owner_id=bucket.owner_id,
            bucket=bucket.name,
            time_ms=clock.now_ms(),
            operation=operation,
            request_id=os.urandom(8).hex().upper(),
            requester=access_log.LIFECYCLE_REQUESTER,
            key=key,
            request_line=NO_REQUEST,
            object_bytes=None if version is None else version.size,
            version_id=version_id,
        )
        self._spool.put(watch.log_head, record)
