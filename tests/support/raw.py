"""Requests as bytes on a socket, and a signer that can also sign wrongly. Independent of objstore.s3."""

import hashlib
import hmac
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY

TIMEOUT_S = 20
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What came back first, and whether the connection was closed after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_closed: bool = False

    @property
    def code(self) -> str:
        """The code of an error document; empty without one."""
        found = re.search(rb"<Code>([^<]*)</Code>", self.body)
        return found[1].decode() if found else ""

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.code


def exchange(port: int, data: bytes | Sequence[bytes], *, is_head: bool = False) -> Answer:
    """Send `data` over a new connection (each piece of a sequence by itself); the first final answer."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in [data] if isinstance(data, bytes) else data:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the server may answer and close before all was sent
        return _read_answer(connection, is_head=is_head)


def _read_answer(connection: socket.socket, *, is_head: bool) -> Answer:
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            piece = _receive(connection)
            if not piece:
                return Answer(0, {}, buffer, is_closed=True)
            buffer += piece
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        if status != 100:
            break
    headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
    length = 0 if is_head or status in (204, 304) else int(headers.get("content-length", "-1"))
    is_closed = False
    while length < 0 or len(buffer) < length:
        piece = _receive(connection)
        if not piece:
            is_closed = True
            break
        buffer += piece
    if headers.get("connection") == "close" and not is_closed:
        is_closed = _receive(connection) == b""
    return Answer(status, headers, buffer, is_closed)


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """A request exactly as told; a Content-Length is added for a body that has no framing."""
    headers = list(headers)
    names = {name.lower() for name, _ in headers}
    if (body or method in ("PUT", "POST")) and not names & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def timestamp(offset_s: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=offset_s)).strftime("%Y%m%dT%H%M%SZ")


def encoded(text: str) -> str:
    return quote(text, safe="-_.~")


@dataclass
class Signer:
    """Signs requests by Signature Version 4, as wrongly as it is told to."""

    host: str
    access_key: str = ROOT_ACCESS_KEY
    secret: str = ROOT_SECRET_KEY
    region: str = REGION
    service: str = "s3"
    offset_s: int = 0
    seen: dict[str, str] = field(default_factory=dict)
    """Of the last signature: `signature`, `timestamp`, `scope`."""

    def key(self, day: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for step in (day, self.region, self.service, "aws4_request"):
            key = hmac.new(key, step.encode(), hashlib.sha256).digest()
        return key

    def sign_text(self, text: str, day: str) -> str:
        return hmac.new(self.key(day), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def headers(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        payload: str | None = None,
        canonical_path: str | None = None,
        signed_names: Sequence[str] | None = None,
        unsigned: Sequence[tuple[str, str]] = (),
    ) -> Headers:
        """All headers of the request: those given, what a signature needs, and the `unsigned` ones."""
        stamp = timestamp(self.offset_s)
        payload = hashlib.sha256(body).hexdigest() if payload is None else payload
        all_headers = [
            ("Host", self.host),
            ("x-amz-date", stamp),
            ("x-amz-content-sha256", payload),
            *headers,
        ]
        names = sorted({name.lower() for name, _ in all_headers}) if signed_names is None else signed_names
        proof = self._signature(method, target, all_headers, names, payload, stamp, canonical_path)
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{self.seen['scope']}, "
            f"SignedHeaders={';'.join(names)}, Signature={proof}"
        )
        return [*all_headers, ("Authorization", authorization), *unsigned]

    def presigned(
        self,
        method: str,
        target: str,
        *,
        expires: int | str = 600,
        headers: Sequence[tuple[str, str]] = (),
        extra: Sequence[tuple[str, str]] = (),
        payload: str = "UNSIGNED-PAYLOAD",
    ) -> str:
        """The target with authentication in its query; `extra` are further signed parameters."""
        stamp = timestamp(self.offset_s)
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        all_headers = [("Host", self.host), *headers]
        names = sorted({name.lower() for name, _ in all_headers})
        parameters = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.access_key}/{scope}"),
            ("X-Amz-Date", stamp),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", ";".join(names)),
            *extra,
        ]
        joined = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in parameters)
        target += ("&" if "?" in target else "?") + joined
        proof = self._signature(method, target, all_headers, names, payload, stamp, None)
        return f"{target}&X-Amz-Signature={proof}"

    def _signature(
        self,
        method: str,
        target: str,
        headers: Headers,
        names: Sequence[str],
        payload: str,
        stamp: str,
        canonical_path: str | None,
    ) -> str:
        path, _, query = target.partition("?")
        path = (
            canonical_path
            if canonical_path is not None
            else quote(path.encode("utf-8", "surrogateescape"), safe="/-_.~%")
        )
        pairs = [piece.partition("=") for piece in query.split("&") if piece]
        canonical_query = "&".join(sorted(f"{name}={value}" for name, _, value in pairs))
        values: dict[str, list[str]] = {}
        for name, value in headers:
            values.setdefault(name.lower(), []).append(" ".join(value.split()))
        lines = [f"{name}:{','.join(values.get(name, []))}" for name in names]
        canonical = "\n".join([method, path, canonical_query, *lines, "", ";".join(names), payload])
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        self.seen = {"signature": self.sign_text(text, stamp[:8]), "timestamp": stamp, "scope": scope}
        return self.seen["signature"]

    def chunks(self, pieces: Sequence[bytes]) -> list[bytes]:
        """The pieces and the last, empty one as signed aws-chunks, following the last signature made."""
        previous, stamp, scope = (self.seen[name] for name in ("signature", "timestamp", "scope"))
        framed = []
        for piece in [*pieces, b""]:
            digest = hashlib.sha256(piece).hexdigest()
            text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous, EMPTY_SHA256, digest])
            previous = self.sign_text(text, stamp[:8])
            framed.append(f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n")
        self.seen["signature"] = previous
        return framed

    def trailer(self, lines: str) -> bytes:
        """Signed trailers (`name:value` and a newline each), following the last chunk's signature."""
        stamp, scope = self.seen["timestamp"], self.seen["scope"]
        digest = hashlib.sha256(lines.encode()).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", stamp, scope, self.seen["signature"], digest])
        proof = self.sign_text(text, stamp[:8])
        return lines.replace("\n", "\r\n").encode() + f"x-amz-trailer-signature:{proof}\r\n\r\n".encode()
