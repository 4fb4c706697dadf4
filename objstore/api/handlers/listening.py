"""Events as they happen, for as long as a client stays connected: MinIO's extension, as `mc watch` uses it.

One JSON document a line, as notification targets get them but for names as MinIO writes them, and white
space in between to show that the connection lives. Source: MinIO's clients, `ListenBucketNotification`.
"""

from collections.abc import AsyncIterator
from typing import Final

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.iam.circumstances import Asked
from objstore.s3.documents.notification import EVENTS, FILTER_BYTES_MAX, Subscription
from objstore.s3.errors import InvalidArgument
from objstore.service import failures
from objstore.service.listeners import Listener

ACTION: Final = "s3:ListenBucketNotification"
KEEP_ALIVE_S: Final = 0.5
PING_S_MAX: Final = 3600
CONNECTED_S_MAX: Final = 3600.0
"""After this a stream ends in good order; clients come back, and say anew who they are."""
PING: Final = b'{"Records":[]}\n'
OF_MINIO: Final = frozenset(
    {
        "s3:BucketCreated:*",
        "s3:BucketRemoved:*",
        "s3:ObjectAccessed:*",
        "s3:ObjectAccessed:Get",
        "s3:ObjectAccessed:Head",
        "s3:ObjectTransition:*",
        "s3:Scanner:*",
    }
)
"""Families of events that MinIO's clients ask for by default, and of which none comes here."""


async def listen(call: Call) -> Reply:
    """ListenNotification, ListenBucketNotification."""
    bucket = None if call.bucket is None else call.bucket.name
    wanted = Subscription("", "", _events(call), _affix(call, "prefix"), _affix(call, "suffix"))
    ping_s = _ping_s(call)
    listener = await call.services.listeners.open(bucket, wanted, lambda name: _may_hear(call, name))
    headers = {"content-type": "text/event-stream", "cache-control": "no-cache"}
    return Reply(headers=headers, stream=_Lines(listener, ping_s))


def _events(call: Call) -> tuple[str, ...]:
    events = tuple(call.query["events"].split(","))
    for event in events:
        if event not in EVENTS and event not in OF_MINIO:
            raise InvalidArgument(
                "A specified event is not supported for notifications.",
                ArgumentName="events",
                ArgumentValue=ascii(event)[1:-1],
            )
    return events


def _affix(call: Call, name: str) -> str:
    value = call.query.get(name, "")
    if len(value.encode()) > FILTER_BYTES_MAX:
        raise InvalidArgument(
            f"Size of filter rule value cannot exceed {FILTER_BYTES_MAX} bytes in UTF-8 representation",
            ArgumentName=name,
        )
    return value


def _ping_s(call: Call) -> int | None:
    value = call.query.get("ping", "")
    if not value:
        return None
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= PING_S_MAX):
        raise InvalidArgument(
            f"ping must be a number of seconds from 1 to {PING_S_MAX}.",
            ArgumentName="ping",
            ArgumentValue=ascii(value)[1:-1],
        )
    return int(value)


def _may_hear(call: Call, name: str) -> bool:
    """Whether whoever listens may still hear of this bucket; no, while that cannot be looked up."""
    try:
        bucket = call.services.buckets.find(name)
        asked = Asked(call.identity, ACTION, bucket, about=call.about)
        return bucket is not None and call.permissions.authoriser.is_allowed(asked)
    except Exception as exc:
        if failures.translate(exc) is None:
            raise
        return False


class _Lines:
    """The body of the answer. No generator, which would not let go of the listener if never begun."""

    def __init__(self, listener: Listener, ping_s: int | None) -> None:
        self._listener = listener
        self._pause_s = KEEP_ALIVE_S if ping_s is None else float(ping_s)
        self._sign_of_life = b" " if ping_s is None else PING
        self._ends_s = clock.monotonic_s() + CONNECTED_S_MAX

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._listener.is_closed or clock.monotonic_s() >= self._ends_s:
            raise StopAsyncIteration
        return await self._listener.take(self._pause_s) or self._sign_of_life
