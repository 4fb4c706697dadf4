"""JSON log lines on standard error: what happened (logging) and who asked for what (access lines).

One line is one JSON object in UTF-8. Lines are collected in memory and written by a thread of their
own every FLUSH_S, so that neither a slow terminal nor a blocked pipe ever holds up the event loop; at
exit what is left is written. When the reader is so slow that MAX_WAITING_BYTES wait, further lines are
dropped and counted, and the count is logged once there is room. A process that is killed loses at most
the last FLUSH_S.

No secret is ever logged: settings hide theirs (`SecretStr`), and access lines carry the path without
its query, where presigned requests have their signature.
"""

import atexit
import json
import logging
import os
import select
import stat
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Final

ROLE_VARIABLE: Final = "OBJSTORE_PROCESS_ROLE"
"""Set by the supervisor for each child: "ledger", "jobs", "worker-0", …: its name in logs and metrics."""
FLUSH_S: Final = 0.2
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
MAX_EXIT_S: Final = 2.0
_ATOMIC_PIPE_BYTES: Final = select.PIPE_BUF  # so much goes into a pipe whole, not mixed with others' lines

_quoted = json.JSONEncoder(ensure_ascii=False).encode


class Writer:
    """Lines on their way to a descriptor; thread-safe, never blocks the caller."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._dropped = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def put(self, line: str, *, urgent: bool = False) -> None:
        """Take one line (without its newline); `urgent` writes it without waiting for FLUSH_S."""
        data = (line + "\n").encode("utf-8", "backslashreplace")
        with self._lock:
            if self._waiting_bytes + len(data) > MAX_WAITING_BYTES:
                self._dropped += 1
                return
            self._lines.append(data)
            self._waiting_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
        if urgent:
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            is_last = self._is_closing  # read before the flush: what comes later may be lost
            self.flush()
            if is_last:
                return

    def flush(self) -> None:
        """Write what waits. Blocks as long as the descriptor does; a closed one loses the lines."""
        with self._writing:
            with self._lock:
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
            if dropped:
                lines.append(
                    _line("warning", "objstore.log", f"{dropped} log lines dropped").encode() + b"\n"
                )
            try:
                for piece in _pieces(lines, _ATOMIC_PIPE_BYTES if self._is_pipe else MAX_WAITING_BYTES):
                    self._write(piece)
            except OSError:
                pass  # nobody reads: there is no place left to say so
            with self._lock:
                self._waiting_bytes = sum(map(len, self._lines))

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # someone made the shared terminal non-blocking
                select.select([], [self._descriptor], [], 1.0)

    def close(self) -> None:
        """Write what waits, but do not hang at exit on a reader that stopped reading."""
        with self._lock:
            self._is_closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(MAX_EXIT_S)


def _pieces(lines: list[bytes], limit: int) -> list[bytes]:
    """The lines joined to pieces of at most `limit` bytes, cut only between lines."""
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > limit:
            pieces.append(b"".join(piece))
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        pieces.append(b"".join(piece))
    return pieces


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(level: str, logger: str, message: str, **fields: object) -> str:
    return json.dumps(
        {"time": _now(), "level": level, "role": _role, "logger": logger, "message": message, **fields},
        ensure_ascii=False,
        default=repr,
    )


class _JsonFormatter(logging.Formatter):
    """`log.info("…", extra={"request_id": …})`: the extra names become fields of the line."""

    _STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in record.__dict__.items() if name not in self._STANDARD}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return _line(record.levelname.lower(), record.name, record.getMessage(), **fields)


class _TextFormatter(logging.Formatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", "")
        text = f"{_now()} {record.levelname:<7} {_role} {record.getMessage()}"
        if request_id:
            text += f" (request {request_id})"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Handler(logging.Handler):
    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.put(self.format(record), urgent=record.levelno >= logging.WARNING)
        except Exception:
            self.handleError(record)


_role: Final = os.environ.get(ROLE_VARIABLE, "supervisor")
_access: Writer | None = None
_is_text = False
_access_second: tuple[int, str] = (0, "")


def start(*, level: str = "info", format: str = "json", access: bool = True) -> None:
    """Send this process's log to standard error."""
    global _access, _is_text
    _is_text = format == "text"
    writer = Writer(sys.stderr.fileno())
    handler = _Handler(writer)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    _access = writer if access else None
    atexit.register(writer.close)


def access(
    request_id: str,
    remote: str,
    access_key: str | None,
    method: str,
    path: str,
    operation: str,
    status: int,
    code: str,
    received_bytes: int,
    sent_bytes: int,
    seconds: float,
    agent: str,
) -> None:
    """Log one answered request. `path` is the raw target without its query; `code` the S3 error or "".

    Written out by hand: this is on the path of every request (about 4 µs).
    """
    if _access is None:
        return
    if _is_text:
        counts = f"{received_bytes} in, {sent_bytes} out, {seconds * 1000:.1f} ms"
        said = f"{operation} {_quoted(method)} {_quoted(path)} {status} {code or '-'} ({counts})"
        _access.put(f"{_now()} ACCESS  {_role} {said} {request_id}")
        return
    global _access_second
    now = time.time()
    second = int(now)
    if _access_second[0] != second:
        _access_second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    _access.put(
        f'{{"time":"{_access_second[1]}.{int((now - second) * 1000):03d}Z","level":"access","role":"{_role}",'
        f'"request_id":"{request_id}","remote":{_quoted(remote)},'
        f'"access_key":{_quoted(access_key) if access_key else "null"},'
        f'"method":{_quoted(method)},"path":{_quoted(path)},"operation":"{operation}",'
        f'"status":{status},"code":"{code}","received_bytes":{received_bytes},"sent_bytes":{sent_bytes},'
        f'"ms":{seconds * 1000:.2f},"agent":{_quoted(agent)}}}'
    )
