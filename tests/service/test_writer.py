"""Request body → blob: digests, lengths, and that nothing is left behind when it goes wrong."""

import asyncio
import base64
import hashlib
import zlib
from typing import Any

import pytest

from objstore.meta.interface import Busy, Conflict, KeyMissing, OutcomeUnknown
from objstore.model import Attributes, Checksum
from objstore.s3 import checksums
from objstore.s3.conditions import WritePreconditions
from objstore.s3.errors import (
    BadDigest,
    EntityTooLarge,
    IncompleteBody,
    InvalidRequest,
    MalformedTrailer,
    S3Error,
)
from objstore.s3.integrity import NO_INTEGRITY, Integrity
from objstore.service import writer
from objstore.service.objects import NewObject
from tests.service.support import FakeBody, World

SMALL = b"hello, world"
LARGE = bytes(range(256)) * 1024  # 256 KiB: hashed as the store writes it
BODIES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def crc32_of(data: bytes) -> str:
    return base64_of(zlib.crc32(data).to_bytes(4, "big"))


@BODIES
@pytest.mark.parametrize("announces", [True, False], ids=["with length", "without length"])
def test_a_body_becomes_a_blob_with_all_its_digests(data: bytes, announces: bool) -> None:
    world = World()

    async def scenario() -> None:
        body = FakeBody(data[:5], data[5:], announces=announces)
        written = await world.writer.write(body, Integrity(algorithm="SHA256"), "CRC32")
        assert (written.size, written.etag) == (len(data), hashlib.md5(data).hexdigest())
        assert written.checksums == {
            "SHA256": Checksum("SHA256", base64_of(hashlib.sha256(data).digest())),
            "CRC32": Checksum("CRC32", crc32_of(data)),
        }
        assert world.stored == [data]

    asyncio.run(scenario())


@pytest.mark.parametrize("announces", [True, False])
def test_an_empty_body_has_no_blob(announces: bool) -> None:
    world = World()
    written = asyncio.run(world.writer.write(FakeBody(announces=announces), NO_INTEGRITY, "CRC32"))
    assert (written.size, written.blob, written.etag) == (0, None, "d41d8cd98f00b204e9800998ecf8427e")
    assert not world.stored


@pytest.mark.parametrize("algorithm", list(checksums.ALGORITHMS))
def test_every_algorithm_is_checked_by_header_and_by_trailer(algorithm: str) -> None:
    world = World()
    hasher = checksums.ALGORITHMS[algorithm].new()
    hasher.update(SMALL)
    value, header = base64_of(hasher.digest()), checksums.ALGORITHMS[algorithm].header

    async def scenario() -> None:
        by_header = Integrity(algorithm=algorithm, value=value)
        await world.writer.write(FakeBody(SMALL), by_header, algorithm)
        by_trailer = Integrity(algorithm=algorithm, trailer=header)
        await world.writer.write(FakeBody(SMALL, trailers={header: value}), by_trailer, algorithm)
        with pytest.raises(BadDigest, match=algorithm):
            await world.writer.write(FakeBody(b"other"), by_header, algorithm)

    asyncio.run(scenario())


WRONG = base64_of(bytes(4))
TRAILER = "x-amz-checksum-crc32"


@BODIES
@pytest.mark.parametrize(
    ("announced", "trailers", "expected"),
    [
        (Integrity(content_md5=bytes(16)), {}, BadDigest),
        (Integrity(algorithm="CRC32", value=WRONG), {}, BadDigest),
        (Integrity(algorithm="CRC32", trailer=TRAILER), {TRAILER: WRONG}, BadDigest),
        (Integrity(algorithm="CRC32", trailer=TRAILER), {}, MalformedTrailer),
        (Integrity(algorithm="CRC32", trailer=TRAILER), {TRAILER: "no base64"}, InvalidRequest),
    ],
)
def test_a_wrong_digest_leaves_nothing_behind(
    data: bytes, announced: Integrity, trailers: dict[str, str], expected: type[S3Error]
) -> None:
    world = World()
    with pytest.raises(expected):
        asyncio.run(world.writer.write(FakeBody(data, trailers=trailers), announced, "CRC32"))
    assert not world.stored


@BODIES
def test_a_body_that_breaks_off_leaves_nothing_behind(data: bytes) -> None:
    world = World()
    body = FakeBody(data, length=len(data) + 1, error=IncompleteBody())
    with pytest.raises(IncompleteBody):
        asyncio.run(world.writer.write(body, NO_INTEGRITY, "CRC32"))
    assert not world.stored


def test_a_store_that_kept_less_than_was_announced_is_not_believed() -> None:
    world = World()
    put = world.store.put

    async def shortened(source: Any, size_hint: int | None = None, observe: Any = None) -> Any:
        return await put(source, None, observe)

    world.store.put = shortened  # type: ignore[method-assign]
    with pytest.raises(IncompleteBody):
        asyncio.run(world.writer.write(FakeBody(LARGE, length=len(LARGE) + 1), NO_INTEGRITY, "CRC32"))
    assert not world.stored


def test_an_announced_length_above_5_gib_is_refused_unread() -> None:
    world, body = World(), FakeBody(length=5 * 1024**3 + 1)
    with pytest.raises(EntityTooLarge):
        asyncio.run(world.writer.write(body, NO_INTEGRITY, "CRC32"))
    assert not body.was_read


def test_a_body_without_length_is_cut_off_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "PUT_BYTES_MAX", 100_000)
    world = World()
    body = FakeBody(*[bytes(10_000)] * 11, announces=False)
    with pytest.raises(EntityTooLarge):
        asyncio.run(world.writer.write(body, NO_INTEGRITY, "CRC32"))
    assert not world.stored


@BODIES
def test_the_blob_of_a_refused_command_is_deleted(data: bytes) -> None:
    world = World()
    new = NewObject(Attributes(), conditions=WritePreconditions(if_match="x"))

    async def scenario() -> None:
        with pytest.raises(KeyMissing):
            await world.put("key", data, new)

    asyncio.run(scenario())
    assert not world.stored


@pytest.mark.parametrize("failure", [Busy(), Conflict()])
def test_the_blob_of_a_command_that_was_surely_not_committed_is_deleted(failure: Exception) -> None:
    world = World()

    def fail(command: Any) -> None:
        raise failure

    world.facts.fail = fail
    with pytest.raises(type(failure)):
        asyncio.run(world.put("key", SMALL))
    assert not world.stored


def test_the_blob_of_a_command_with_unknown_outcome_stays() -> None:
    world = World()

    def lose_answer(command: Any) -> None:
        raise OutcomeUnknown

    world.facts.after = lose_answer

    async def scenario() -> None:
        with pytest.raises(OutcomeUnknown):
            await world.put("key", SMALL)
        version = await world.objects.find(world.bucket, "key")
        assert await world.read(version) == SMALL

    asyncio.run(scenario())


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_commit_goes_on_when_its_caller_is_cancelled(is_refused: bool) -> None:
    world = World()
    may_answer = asyncio.Event()
    write = world.facts.write

    async def slow(command: Any) -> Any:
        await may_answer.wait()
        return await write(command)

    async def scenario() -> None:
        world.facts.write = slow  # type: ignore[method-assign]
        conditions = WritePreconditions(if_match="x") if is_refused else WritePreconditions()
        putting = asyncio.create_task(world.put("key", SMALL, NewObject(Attributes(), conditions=conditions)))
        while not world.stored:  # noqa: ASYNC110 - there is nothing to wait for
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        may_answer.set()
        await world.writer.drain()

    asyncio.run(scenario())
    assert world.stored == ([] if is_refused else [SMALL])
