"""A query's process, as the server sees it: started, fed, listened to and ended.

Invariants kept here: the process lives no longer than its `Selection`; it is given nothing but its end of a
socket, and where need be one open file; what it says is bounded and never trusted to be well formed.
"""

import asyncio
import importlib.util
import json
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import objstore
from objstore import blocking
from objstore.s3 import errors
from objstore.s3.errors import S3Error
from objstore.select import child
from objstore.select.job import Job

CODE_LENGTH_MAX: Final = 4096
PIECE_BYTES: Final = 1024 * 1024
END_S: Final = 5.0
_ROOT: Final = str(Path(objstore.__file__).parent.parent)
_BEGIN: Final = f"import sys; sys.path.append(sys.argv[1]); from {child.__name__} import main; main()"
"""An isolated interpreter looks neither at its environment nor at where it was started."""


@dataclass(frozen=True, slots=True)
class Records:
    """Result records, in pieces that may end anywhere."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """Bytes of the object read, and those after decompression."""

    scanned: int
    processed: int
    is_final: bool = False


Message = Records | Counts


@cache
def is_available() -> bool:
    """Whether the engine is installed."""
    return importlib.util.find_spec("duckdb") is not None


async def run(
    job: Job, source: AsyncIterator[bytes | memoryview], descriptors: tuple[int, ...] = ()
) -> AsyncGenerator[Message, None]:
    """What a process of its own makes of `source`; the last message is the final Counts.

    The process is started by the first step and killed when the generator is closed. Raises the S3 error
    that the query comes to, ExternalEvalException when its process dies of it, and what `source` raises.
    """
    process, feed, answers = await blocking.run(_start, descriptors)
    feeding: asyncio.Task[None] | None = None
    writers: list[asyncio.StreamWriter] = []
    try:
        _, to_process = await asyncio.open_connection(sock=feed)
        writers.append(to_process)
        from_process, unused = await asyncio.open_connection(sock=answers, limit=PIECE_BYTES)
        writers.append(unused)
        feeding = asyncio.create_task(_feed(to_process, job, source))
        async with aclosing(_messages(from_process, feeding)) as messages:
            async for message in messages:
                yield message
    finally:
        process.kill()
        if feeding is not None:
            feeding.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await feeding
        for writer in writers:
            writer.transport.abort()
        await asyncio.shield(blocking.run(process.wait, END_S))


def _start(descriptors: tuple[int, ...]) -> tuple["subprocess.Popen[bytes]", socket.socket, socket.socket]:
    """The process, our end of what it reads and our end of what it writes.

    Two sockets, because a query may end before it has read everything: what cannot be written any more must
    not take along what is still to be read.
    """
    feed, its_feed = socket.socketpair()
    answers, its_answers = socket.socketpair()
    with its_feed, its_answers:
        try:
            return _spawn(its_feed, its_answers, descriptors), feed, answers
        except BaseException:
            feed.close()
            answers.close()
            raise


def _spawn(
    feed: socket.socket, answers: socket.socket, descriptors: tuple[int, ...]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  (our own program, nothing of the caller's in it)
        [sys.executable, "-I", "-c", _BEGIN, _ROOT],
        stdin=feed.fileno(),
        stdout=answers.fileno(),
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        pass_fds=descriptors,
    )


async def _feed(writer: asyncio.StreamWriter, job: Job, source: AsyncIterator[bytes | memoryview]) -> None:
    """Give the process its job and the object's bytes, as fast as it takes them.

    Where the object cannot be read to its end the process learns that its input was cut off.
    """
    try:
        await _write(writer, job.to_json())
        async for data in source:
            view = memoryview(data)
            for offset in range(0, len(view), PIECE_BYTES):
                await _write(writer, view[offset : offset + PIECE_BYTES])
        writer.write(child.LENGTH.pack(0))
        await writer.drain()
    except BaseException:
        writer.transport.abort()
        raise


async def _write(writer: asyncio.StreamWriter, data: bytes | memoryview) -> None:
    writer.write(child.LENGTH.pack(len(data)))
    writer.write(data)
    await writer.drain()


async def _messages(
    reader: asyncio.StreamReader, feeding: "asyncio.Task[None]"
) -> AsyncGenerator[Message, None]:
    while True:
        try:
            kind, length = child.HEAD.unpack(await reader.readexactly(child.HEAD.size))
            if length > child.FRAME_BYTES_MAX:
                raise ValueError("a frame too long")
            content = await reader.readexactly(length)
            message = _message(kind, content)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, struct.error) as exc:
            await _blame(feeding)
            raise errors.ExternalEvalException(
                "The query cannot be evaluated: it needs more memory or computing time than one may have."
            ) from exc
        if isinstance(message, S3Error):
            raise message
        yield message
        if isinstance(message, Counts) and message.is_final:
            return


async def _blame(feeding: "asyncio.Task[None]") -> None:
    """Raise what reading the object failed of, where that is why the process ended."""
    if feeding.done() and not feeding.cancelled():
        failure = feeding.exception()
        if failure is not None and not isinstance(failure, ConnectionError):
            raise failure


def _message(kind: bytes, content: bytes) -> Message | S3Error:
    match kind:
        case child.RECORDS:
            return Records(content)
        case child.PROGRESS | child.DONE:
            scanned, processed = child.COUNTS.unpack(content)
            return Counts(scanned, processed, is_final=kind == child.DONE)
        case child.FAILED:
            code, message = json.loads(content)
            cls = S3Error.by_code.get(code, errors.ExternalEvalException)
            return cls(str(message)[:CODE_LENGTH_MAX])
    raise ValueError(f"a frame of kind {kind!r}")
