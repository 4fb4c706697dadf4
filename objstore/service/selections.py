"""Queries over one object: S3 Select.

Invariants kept here: no more queries run at once than the settings allow, none longer than they allow,
and a query whose caller is gone is over.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from objstore import blocking, clock
from objstore.model import ObjectVersion
from objstore.s3 import errors
from objstore.s3.errors import Busy, ExternalEvalException, InvalidScanRange, OverMaxParquetBlockSize
from objstore.select import process
from objstore.select.job import Job
from objstore.select.process import Message
from objstore.select.records import Scan
from objstore.service.objects import Objects

PARQUET_BYTES_MAX: Final = 1024 * 1024 * 1024
"""The largest Parquet object: it is put into a temporary file, for it is read in no order."""
HEAD_BYTES: Final = 1024 * 1024
"""How much of an object's beginning is looked at for the header, where a scan range leaves it out."""


@dataclass(frozen=True, slots=True)
class SelectLimits:
    """What queries may use. `concurrency`: of one worker; 0: there are none."""

    concurrency: int = 2
    memory_bytes: int = 256 * 1024 * 1024
    time_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ScanRange:
    """Which bytes a client named; both ends included. An end alone: that many last bytes."""

    start: int | None = None
    end: int | None = None


class Selections:
    """Runs queries."""

    def __init__(self, objects: Objects, limits: SelectLimits) -> None:
        self._objects = objects
        self._limits = limits
        self._running = 0

    def check_available(self) -> None:
        """Raise NotImplemented where there are no queries here, saying why."""
        if self._limits.concurrency == 0:
            raise errors.NotImplemented("SelectObjectContent is switched off: select_concurrency is 0.")
        if not process.is_available():
            raise errors.NotImplemented(
                "SelectObjectContent needs DuckDB, which is not installed with this server: "
                "pip install 'objstore[select]'."
            )

    async def run(
        self,
        version: ObjectVersion,
        job: Job,
        wanted: ScanRange | None = None,
        data_key: bytes | None = None,
    ) -> AsyncGenerator[Message, None]:
        """Result records as they come, and counts; the last message is the final counts. `data_key`: of an
        encrypted version, as `Objects.unlock` gives it.

        Nothing is read and no process started before the first step. Raises Busy, InvalidScanRange, the
        error that the query comes to, and what reading the object raises.
        """
        if self._running >= self._limits.concurrency:
            raise Busy
        self._running += 1
        try:
            job = replace(
                job,
                now_ms=clock.now_ms(),
                memory_bytes=self._limits.memory_bytes,
                cpu_s=max(1, round(self._limits.time_s)),
            )
            run = self._run_parquet if job.format == "parquet" else self._run_text
            async with aclosing(
                _timed(run(_Source(self._objects, version, data_key), job, wanted), self._limits.time_s)
            ) as messages:
                async for message in messages:
                    yield message
        finally:
            self._running -= 1

    async def _run_text(
        self, source: "_Source", job: Job, wanted: ScanRange | None
    ) -> AsyncGenerator[Message, None]:
        size = source.version.size
        first, end = _bounds(wanted, size)
        overlap = len(job.csv.record_delimiter.encode()) if first else 0
        if first and job.format == "csv" and job.csv.header != "NONE":
            job = replace(job, has_head=True)
        begin = first - overlap
        if wanted is not None:
            job = replace(job, scan=Scan(overlap, None if end == size else end - begin))
        fed = source.from_offset(begin, has_head=job.has_head)
        async with aclosing(fed), aclosing(process.run(job, fed)) as messages:
            async for message in messages:
                yield message

    async def _run_parquet(
        self, source: "_Source", job: Job, wanted: ScanRange | None
    ) -> AsyncGenerator[Message, None]:
        size = source.version.size
        first, end = _bounds(wanted, size)
        if size > PARQUET_BYTES_MAX:
            raise OverMaxParquetBlockSize(
                f"Parquet objects up to {PARQUET_BYTES_MAX} bytes can be queried here."
            )
        with tempfile.TemporaryFile(buffering=0) as file:
            async with aclosing(source.bytes(0, size)) as pieces:
                async for piece in pieces:
                    await blocking.run(file.write, piece)
            descriptor = file.fileno()
            job = replace(job, parquet_descriptor=descriptor)
            if wanted is not None:
                job = replace(job, scan=Scan(first, end))
            async with aclosing(process.run(job, _nothing(), (descriptor,))) as messages:
                async for message in messages:
                    if isinstance(message, process.Counts):
                        message = replace(message, scanned=size, processed=size)
                    yield message


@dataclass(frozen=True, slots=True)
class _Source:
    """The bytes of the object that is asked."""

    objects: Objects
    version: ObjectVersion
    data_key: bytes | None

    async def from_offset(self, begin: int, *, has_head: bool) -> AsyncGenerator[bytes | memoryview, None]:
        """Everything from `begin` on; first the object's beginning, if that is wanted too."""
        size = self.version.size
        if has_head:
            yield b"".join([piece async for piece in self.bytes(0, min(size, HEAD_BYTES))])
        async with aclosing(self.bytes(begin, size - begin)) as pieces:
            async for piece in pieces:
                yield piece

    async def bytes(self, offset: int, length: int) -> AsyncGenerator[memoryview, None]:
        """`length` bytes from `offset`."""
        if length == 0:
            return
        async with aclosing(await self.objects.open(self.version, offset, length, self.data_key)) as stream:
            async for piece in stream:
                yield piece


def _bounds(wanted: ScanRange | None, size: int) -> tuple[int, int]:
    """First byte and the byte after the last one. Raises InvalidScanRange."""
    if wanted is None:
        return 0, size
    first, last = wanted.start, wanted.end
    if first is None and last is None:
        raise InvalidScanRange
    if min(first or 0, last or 0) < 0 or (first is not None and last is not None and last < first):
        raise InvalidScanRange
    if first is None:
        assert last is not None
        return max(0, size - last), size
    if first > max(0, size - 1):
        raise InvalidScanRange
    return first, size if last is None else min(size, last + 1)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _timed(messages: AsyncGenerator[Message, None], time_s: float) -> AsyncGenerator[Message, None]:
    """The messages that come within this time. Raises ExternalEvalException when it is over."""
    deadline = clock.monotonic_s() + time_s
    async with aclosing(messages):
        while True:
            try:
                async with asyncio.timeout(deadline - clock.monotonic_s()):
                    message = await anext(messages, None)
            except TimeoutError:
                raise ExternalEvalException(
                    "The query cannot be evaluated: it takes more time than one may have."
                ) from None
            if message is None:
                return
            yield message
