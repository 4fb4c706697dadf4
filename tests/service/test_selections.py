"""Queries as a service: their bounds, and what becomes of one whose object cannot be read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import pytest

from objstore.model import Attributes, ObjectVersion
from objstore.s3 import errors
from objstore.select import process
from objstore.select.job import Job
from objstore.select.process import Counts, Records
from objstore.service.selections import ScanRange, Selections, SelectLimits

pytest.importorskip("duckdb", reason="queries are tested only where duckdb is installed")

JOB = Job("SELECT * FROM S3Object", "csv")


class Fake:
    """Objects that are these bytes, and then the failure; without one they never end."""

    def __init__(self, data: bytes, failure: Exception | None = None, *, ends: bool = True) -> None:
        self.data = data
        self.failure = failure
        self.ends = ends

    async def open(self, version: ObjectVersion, offset: int, length: int, data_key: bytes | None) -> Any:
        return self.stream(offset, length)

    async def stream(self, offset: int, length: int) -> AsyncIterator[memoryview]:
        yield memoryview(self.data)[offset : offset + length]
        if self.failure is not None:
            raise self.failure
        if not self.ends:
            await asyncio.sleep(3600)


def version(size: int) -> ObjectVersion:
    return ObjectVersion(1, "key", "null", 1, 0, "owner", size, "etag", Attributes())


def selections(objects: Fake, **limits: Any) -> Selections:
    return Selections(cast(Any, objects), SelectLimits(**limits))


async def gather(made: Selections, objects: Fake, wanted: ScanRange | None = None) -> list[Any]:
    async with aclosing(made.run(version(len(objects.data)), JOB, wanted)) as messages:
        return [message async for message in messages]


def test_a_query_ends_with_its_counts() -> None:
    objects = Fake(b"a,b\nc,d\n")
    messages = asyncio.run(gather(selections(objects), objects))
    assert b"".join(message.data for message in messages if isinstance(message, Records)) == b"a,b\nc,d\n"
    assert messages[-1] == Counts(8, 8, is_final=True)


def test_without_engine_or_switched_off_it_is_not_implemented(monkeypatch: pytest.MonkeyPatch) -> None:
    selections(Fake(b"")).check_available()
    with pytest.raises(errors.NotImplemented, match="select_concurrency"):
        selections(Fake(b""), concurrency=0).check_available()
    monkeypatch.setattr(process, "is_available", lambda: False)
    with pytest.raises(errors.NotImplemented, match=r"objstore\[select\]"):
        selections(Fake(b"")).check_available()


def test_no_more_at_once_than_allowed() -> None:
    async def scenario() -> None:
        objects = Fake(b"a\n" * 1_000_000, ends=False)
        made = selections(objects, concurrency=1)
        running = made.run(version(len(objects.data) + 1), JOB)
        assert isinstance(await anext(running), Records | Counts)
        with pytest.raises(errors.Busy):
            await gather(made, objects)
        await running.aclose()
        objects.ends = True
        assert (await gather(made, objects))[-1].is_final

    asyncio.run(scenario())


def test_a_query_has_its_time() -> None:
    objects = Fake(b"a\n", ends=False)
    with pytest.raises(errors.ExternalEvalException, match="time"):
        asyncio.run(gather(selections(objects, time_s=1.0), objects))


def test_an_object_that_cannot_be_read_is_not_taken_for_a_shorter_one() -> None:
    objects = Fake(b"a\n" * 100_000, OSError("a drive is gone"))
    with pytest.raises(OSError, match="a drive is gone"):
        asyncio.run(gather(selections(objects), objects))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ScanRange(0, 0), b"a\n"),
        (ScanRange(1, 1), b""),
        (ScanRange(2, 2), b"b\n"),
        (ScanRange(0, 99), b"a\nb\nc\n"),
        (ScanRange(3, None), b"c\n"),
        (ScanRange(None, 2), b"c\n"),
        (ScanRange(None, 99), b"a\nb\nc\n"),
    ],
)
def test_scan_ranges(wanted: ScanRange, expected: bytes) -> None:
    objects = Fake(b"a\nb\nc\n")
    messages = asyncio.run(gather(selections(objects), objects, wanted))
    assert b"".join(message.data for message in messages if isinstance(message, Records)) == expected
