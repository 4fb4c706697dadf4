"""SelectObjectContent's stream, by itself."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from objstore import clock
from objstore.api.handlers.select import CONTINUATION_S, _stream
from objstore.s3 import event_stream
from objstore.select.process import Counts, Message


def test_a_query_that_finds_nothing_for_long_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)

    async def messages() -> AsyncGenerator[Message, None]:
        nonlocal now_s
        for number in range(100):
            yield Counts(number, number)
            now_s += 1
        yield Counts(100, 100, is_final=True)

    async def scene() -> list[bytes]:
        coming = messages()
        pending = asyncio.ensure_future(cast(Any, anext(coming, None)))
        return [piece async for piece in _stream(cast(Any, None), pending, coming, shows_progress=False)]

    *heard, stats, end = asyncio.run(scene())
    assert set(heard) == {event_stream.CONTINUATION} and len(heard) == 100 // CONTINUATION_S
    assert (stats, end) == (event_stream.stats(100, 100, 0), event_stream.END)
