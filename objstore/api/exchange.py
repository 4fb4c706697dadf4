"""One request and its answer: what every stage of a request's life writes down, and its last line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from objstore import clock, log, metrics
from objstore.api import matching
from objstore.api.authenticate import NOBODY
from objstore.api.body import Wire
from objstore.api.call import Notes, Operation
from objstore.iam.circumstances import NOTHING_SAID
from objstore.model import Bucket, Identity
from objstore.service.watches import Watch


class Onlooker(Protocol):
    """Whoever wants to know of finished requests to buckets that are watched."""

    def tell(self, exchange: "Exchange", status: int, sent_bytes: int, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """The head of an HTTP request as it came: target raw, header names as sent, repeated ones repeated."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    remote: str = ""
    is_secure: bool = False
    http_version: tuple[int, int] = (1, 1)
    tls: Any = None
    """The connection's `ssl.SSLObject`."""


def new_request_id() -> str:
    """16 hexadecimal digits, as S3 writes them."""
    return clock.random_bytes()[:8].hex().upper()


class Exchange:
    """One request and its answer, as metrics and the access log tell of it."""

    __slots__ = (
        "about",
        "answered_s",
        "began_s",
        "bucket",
        "code",
        "identity",
        "key",
        "notes",
        "observer",
        "operation",
        "origin",
        "request",
        "request_id",
        "watch",
        "wire",
    )

    def __init__(self, request: Request, wire: Wire) -> None:
        self.request = request
        self.wire = wire
        self.request_id = new_request_id()
        self.began_s = clock.monotonic_s()
        self.operation: Operation = matching.UNKNOWN
        self.identity: Identity = NOBODY.identity
        self.code = ""
        self.notes = Notes()
        self.answered_s = 0.0
        """When the answer began to go out."""
        self.observer: Onlooker | None = None
        self.watch: Watch | None = None
        """What is watched in `bucket`, if anything is."""
        self.bucket: Bucket | None = None
        self.key = ""
        self.about = NOTHING_SAID
        self.origin: tuple[str, str] | None = None
        """The Origin header and the name of the bucket asked, where there are such."""

    def finish(self, status: int, sent_bytes: int) -> None:
        """Count and log the exchange; called once, when its last byte was written or given up.

        What failed after a 200 was sent counts by the status it would have had.
        """
        seconds = clock.monotonic_s() - self.began_s
        name, received_bytes = self.operation.name, self.wire.received_bytes
        late = self.notes.late_error
        self.identity = self.notes.form_identity or self.identity
        if late is not None:
            self.code = self.code or late.code
        metrics.count_request(
            name, status if late is None else late.status, seconds, received_bytes, sent_bytes
        )
        if self.code:
            metrics.REQUEST_ERRORS.labels(name, self.code).inc()
        if self.observer is not None and (self.watch is not None or self.notes.source is not None):
            self.observer.tell(self, status, sent_bytes, seconds)
        request = self.request
        log.access(
            self.request_id,
            request.remote,
            self.identity.access_key,
            request.method,
            request.target.partition("?")[0],
            name,
            status,
            self.code,
            received_bytes,
            sent_bytes,
            seconds,
            next((value for name, value in request.headers if name.lower() == "user-agent"), ""),
        )
