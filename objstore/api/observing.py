"""What is told of a finished request to those who watch its bucket: its access log, its request metrics.

Nobody waits for any of this: it comes after the last byte of the answer, only where a bucket is watched,
and whatever goes wrong in it goes to the log and nowhere else.
"""

import logging
from dataclasses import replace
from typing import Any, Final, Protocol

from objstore import clock, metrics
from objstore.api.call import Operation
from objstore.api.exchange import Exchange
from objstore.iam.authorise import Authoriser
from objstore.iam.circumstances import Asked, auth_type, signature_version
from objstore.metrics import Served
from objstore.s3 import access_log
from objstore.s3.access_log import BatchRecord, Deletion, Record
from objstore.s3.errors import S3Error
from objstore.service.watches import Watch, Watches, is_counted
from objstore.spool import Lines

_AUTH_TYPES: Final = {"REST-HEADER": "AuthHeader", "REST-QUERY-STRING": "QueryString"}
_KINDS: Final = {
    "DeleteObjects": "delete",
    "ListObjects": "list",
    "ListObjectsV2": "list",
    "ListObjectVersions": "list",
    "PostObject": "post",
    "SelectObjectContent": "select",
}
_NOT_S3: Final = {"Broken": "InternalError", "ConnectionLost": ""}
"""Our own words for an answer that broke off."""
_SIGNATURES: Final = {"AWS": "SigV2", "AWS4-HMAC-SHA256": "SigV4"}

_log = logging.getLogger("objstore.api")


class LineSink(Protocol):
    """What takes the lines of access logs: `spool.Spool`."""

    def put(self, head: str, lines: Lines) -> None:
        """Take lines, which belong where the head says. Does not wait."""
        ...


class Observer:
    """Tells who watches a bucket what was asked of it."""

    def __init__(self, watches: Watches, authoriser: Authoriser, host_id: str, sink: LineSink | None) -> None:
        self.watches = watches
        self._authoriser = authoriser
        self._host_id = host_id
        self._sink = sink

    def tell(self, exchange: Exchange, status: int, sent_bytes: int, seconds: float) -> None:
        """Count and log a finished request where that is wanted. Never raises."""
        try:
            if exchange.watch is not None and exchange.watch.filters:
                _count(exchange, exchange.watch, status, sent_bytes, seconds)
            if self._sink is not None:
                self._write_lines(self._sink, exchange, status, sent_bytes, seconds)
        except Exception:
            _log.exception("request not observed", extra={"request_id": exchange.request_id})

    def _write_lines(
        self, sink: LineSink, exchange: Exchange, status: int, sent_bytes: int, seconds: float
    ) -> None:
        watch, source = exchange.watch, exchange.notes.source
        if watch is not None and watch.log_head is not None:
            record = self._record(exchange, status, sent_bytes, seconds)
            sink.put(watch.log_head, record)
            if exchange.notes.deletions:
                sink.put(watch.log_head, BatchRecord(record, _deletions(exchange)))
        if source is None:
            return
        watch = self.watches.of(source.bucket)
        if watch is not None and watch.log_head is not None:
            record = self._record(exchange, status, 0, seconds)
            sink.put(watch.log_head, _of_source(record, exchange))

    def _record(self, exchange: Exchange, status: int, sent_bytes: int, seconds: float) -> Record:
        request, operation, about = exchange.request, exchange.operation, exchange.about
        assert exchange.bucket is not None or exchange.notes.source is not None
        bucket = exchange.bucket
        asked = Asked(exchange.identity, operation.action or "", bucket, exchange.key or None, about=about)
        signed, version = signature_version(asked), exchange.notes.version
        is_anonymous = exchange.identity.is_anonymous
        tls_version, cipher = _tls(request.tls)
        first, second = request.http_version
        return Record(
            owner_id="" if bucket is None else bucket.owner_id,
            bucket="" if bucket is None else bucket.name,
            time_ms=clock.now_ms() - int(seconds * 1000),
            operation=access_log.operation_name(
                operation.name,
                request.method,
                operation.query[0] if operation.query else "",
                is_object=operation.scope == "object",
            ),
            request_id=exchange.request_id,
            remote=request.remote,
            requester="" if is_anonymous else exchange.identity.user_id,
            key=exchange.key,
            request_line=f"{request.method} {request.target} HTTP/{first}.{second}",
            status=status,
            code=_NOT_S3.get(exchange.code, exchange.code),
            sent_bytes=sent_bytes,
            object_bytes=exchange.notes.size if version is None else version.size,
            total_ms=round(seconds * 1000),
            turn_around_ms=round(_turn_around_s(exchange) * 1000),
            referer=about.headers.get("referer"),
            agent=about.headers.get("user-agent"),
            version_id=about.query.get("versionId", ""),
            host_id=self._host_id,
            signature_version="" if signed is None else _SIGNATURES[signed],
            cipher=cipher,
            auth_type=_AUTH_TYPES.get(auth_type(asked) or "", ""),
            host=about.headers.get("host", ""),
            tls_version=tls_version,
            needed_acl=status < 400 and operation.action is not None and self._authoriser.needs_acl(asked),
        )


def _count(exchange: Exchange, watch: Watch, status: int, sent_bytes: int, seconds: float) -> None:
    """Count a request for each metrics configuration that wants it."""
    assert exchange.bucket is not None
    version, late = exchange.notes.version, exchange.notes.late_error
    served = Served(
        kind=_kind(exchange.operation, exchange.request.method),
        status=status if late is None else late.status,
        received_bytes=exchange.wire.received_bytes,
        sent_bytes=sent_bytes,
        first_byte_s=_turn_around_s(exchange),
        total_s=seconds,
    )
    tags = None if version is None else version.tags
    for one in watch.filters:
        if is_counted(one, exchange.key, tags):
            metrics.count_filtered(exchange.bucket.name, one.id, served)


def _kind(operation: Operation, method: str) -> str:
    """As S3's request metrics tell requests apart."""
    if operation.name in _KINDS:
        return _KINDS[operation.name]
    if method == "HEAD":
        return "head"
    return (
        operation.method.lower() if operation.scope == "object" and operation.method != "OPTIONS" else "other"
    )


def _turn_around_s(exchange: Exchange) -> float:
    """From the last byte of a request to the first byte of its answer."""
    return max(0.0, exchange.answered_s - max(exchange.began_s, exchange.wire.last_read_s))


def _deletions(exchange: Exchange) -> tuple[Deletion, ...]:
    return tuple(
        Deletion(one.key, one.version_id or "", outcome.status, outcome.code)
        if isinstance(outcome, S3Error)
        else Deletion(one.key, one.version_id or "", 204, "")
        for one, outcome in exchange.notes.deletions
    )


def _of_source(record: Record, exchange: Exchange) -> Record:
    """The line in the log of the bucket that is copied from."""
    source, original = exchange.notes.source, exchange.notes.original
    assert source is not None
    is_part = exchange.operation.name == "UploadPartCopy"
    return replace(
        record,
        owner_id=source.bucket.owner_id,
        bucket=source.bucket.name,
        operation=access_log.PART_COPY_SOURCE if is_part else access_log.COPY_SOURCE,
        key=source.key,
        object_bytes=None if original is None else original.size,
        version_id=source.version_id or "",
        needed_acl=False,
    )


def _tls(connection: Any) -> tuple[str, str]:
    """Version and cipher suite of a TLS connection; empty without one."""
    if connection is None:
        return "", ""
    cipher = connection.cipher()
    return connection.version() or "", cipher[0] if cipher else ""
