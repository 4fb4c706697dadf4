"""Answers that begin before they are known."""

import asyncio
from typing import Any

import pytest

from objstore.api.call import Notes, Reply
from objstore.api.handlers import keepalive
from objstore.meta.interface import KeyMissing
from objstore.s3 import xml
from objstore.s3.documents.copying import CopyPartResult
from objstore.s3.errors import NoSuchKey

DOCUMENT = CopyPartResult(last_modified=0, etag="etag")


class FakeCall:
    """The little of a call that an error document names."""

    raw_path, request_id, host_id = "/bucket/key", "REQUEST", "HOST"
    notes = Notes()

    class operation:
        name = "UploadPartCopy"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "QUICK_S", 0.02)
    monkeypatch.setattr(keepalive, "SPACE_S", 0.01)


def reply(result: Any) -> Reply:
    return Reply(headers={"x-amz-version-id": "v"}, document=result)


async def after(seconds: float, result: Any) -> Any:
    await asyncio.sleep(seconds)
    if isinstance(result, Exception):
        raise result
    return result


async def late_answer(result: Any) -> bytes:
    answer = await keepalive.answer(FakeCall(), after(0.06, result), reply)  # type: ignore[arg-type]
    assert answer.status == 200 and answer.stream is not None and answer.content_length is None
    return b"".join([bytes(piece) async for piece in answer.stream])


def test_a_quick_answer_is_an_ordinary_one() -> None:
    answer = asyncio.run(keepalive.answer(FakeCall(), after(0, DOCUMENT), reply))  # type: ignore[arg-type]
    assert answer.document is DOCUMENT and answer.headers == {"x-amz-version-id": "v"}


def test_a_quick_error_is_an_ordinary_one() -> None:
    with pytest.raises(NoSuchKey):
        asyncio.run(keepalive.answer(FakeCall(), after(0, NoSuchKey()), reply))  # type: ignore[arg-type]


def test_a_late_answer_is_the_document_after_spaces() -> None:
    body = asyncio.run(late_answer(DOCUMENT))
    assert body.startswith(xml.DECLARATION + b"  ")
    assert xml.parse(CopyPartResult, body) == DOCUMENT


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (NoSuchKey(Key="k"), b"NoSuchKey"),
        (KeyMissing(key="k"), b"NoSuchKey"),
        (ZeroDivisionError(), b"InternalError"),
    ],
)
def test_a_late_error_is_told_in_the_body(failure: Exception, code: bytes) -> None:
    body = asyncio.run(late_answer(failure))
    assert body.startswith(xml.DECLARATION + b" ")
    assert b"<Error><Code>" + code + b"</Code>" in body
    assert FakeCall.notes.late_error is not None and FakeCall.notes.late_error.code.encode() == code
    assert b"<RequestId>REQUEST</RequestId><HostId>HOST</HostId>" in body


def test_a_client_that_goes_away_stops_nothing() -> None:
    finished = []

    async def operation() -> None:
        await asyncio.sleep(0.05)
        finished.append(True)

    async def scenario() -> None:
        waiting = asyncio.ensure_future(
            keepalive.answer(FakeCall(), operation(), reply)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.1)

    asyncio.run(scenario())
    assert finished
