"""Answers that may take long: 200 first, spaces to keep the connection, then the result or the error.

S3 does this for CompleteMultipartUpload, CopyObject and UploadPartCopy; clients know to look for an
`<Error>` in such a 200. While an operation is quick its answer is an ordinary one. A late error is noted
(`call.notes`), so that it counts as one although the status was sent before.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from objstore.api.call import Call, Reply
from objstore.s3 import xml
from objstore.s3.documents.error import error_document
from objstore.s3.errors import InternalError
from objstore.service import failures

QUICK_S: Final = 2.0
"""How long an operation may take before its answer begins without it."""
SPACE_S: Final = 5.0
"""Between two spaces; clients and proxies give up on connections that are silent for a minute or so."""

_log = logging.getLogger("objstore.api")
_under_way: set["asyncio.Future[Any]"] = set()


async def answer(call: Call, operation: Awaitable[Any], reply: Callable[[Any], Reply]) -> Reply:
    """The reply made of the operation's result by `reply`, whose document is all that a late one sends.

    The operation is not cut off when the client goes away.
    """
    task = asyncio.ensure_future(operation)
    _under_way.add(task)
    task.add_done_callback(_finished)
    done, _ = await asyncio.wait({task}, timeout=QUICK_S)
    if done:
        return reply(task.result())
    return Reply(headers={"content-type": "application/xml"}, stream=_late(call, task, reply))


def _finished(task: "asyncio.Future[Any]") -> None:
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()  # retrieved: whoever waited may have gone away


async def _late(
    call: Call, task: "asyncio.Future[Any]", reply: Callable[[Any], Reply]
) -> AsyncIterator[bytes]:
    yield xml.DECLARATION
    while not task.done():
        yield b" "
        await asyncio.wait({task}, timeout=SPACE_S)
    try:
        document = xml.dumps(reply(task.result()).document, declaration=False)
    except Exception as exc:
        document = _error(call, exc)
    yield document


def _error(call: Call, failure: Exception) -> bytes:
    error = failures.translate(failure)
    if error is None:
        _log.error("%s failed", call.operation.name, exc_info=failure, extra={"request_id": call.request_id})
        error = InternalError()
    call.notes.late_error = error
    return error_document(
        code=error.code,
        message=error.message,
        elements=error.elements,
        resource=call.raw_path,
        request_id=call.request_id,
        host_id=call.host_id,
        declaration=False,
    )
