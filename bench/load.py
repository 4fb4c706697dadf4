"""The load generator: signed requests prepared beforehand, sent over kept-open raw connections.

A connection has one request under way; `concurrency` connections run at once in one event loop.
Signing, building bodies and checking happen outside the measured time, so that the generator, which
shares the machine with the server, takes as little of it as it can.
"""

import asyncio
import hashlib
import hmac
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

import uvloop

REGION = "us-east-1"
ROLE_COMMANDS = (b"_ledger", b"_worker", b"_jobs")
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests go and who signs them."""

    host: str
    port: int
    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be written: head, then body (may be empty)."""

    head: bytes
    body: bytes = b""


def signed(
    target: Target,
    method: str,
    path: str,
    query: str = "",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Request:
    """A SigV4 request with an unsigned payload; `query` is `name=value&…`, sorted and encoded."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    sent = {
        "host": f"{target.host}:{target.port}",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amz-date": stamp,
        **(headers or {}),
    }
    names = ";".join(sorted(sent))
    encoded = quote(path, safe="/-_.~")
    canonical = "\n".join(
        (
            method,
            encoded,
            query,
            *(f"{name}:{sent[name]}" for name in sorted(sent)),
            "",
            names,
            "UNSIGNED-PAYLOAD",
        )
    )
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{target.secret_key}".encode()
    for piece in scope.split("/"):
        key = hmac.digest(key, piece.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={target.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    if body or method in ("PUT", "POST"):
        sent["content-length"] = str(len(body))
    line = f"{method} {encoded}{'?' + query if query else ''} HTTP/1.1\r\n"
    head = line + "".join(f"{name}: {value}\r\n" for name, value in sent.items()) + "\r\n"
    return Request(head.encode(), body)


class _Connection(asyncio.BufferedProtocol):
    """Reads answers with a Content-Length (or none) and tells when each is complete."""

    def __init__(self) -> None:
        self.buffer = bytearray(1 << 20)
        self.view = memoryview(self.buffer)
        self.filled = 0
        self.missing = -1
        self.is_head = False
        self.status = 0
        self.body_bytes = 0
        self.done: asyncio.Future[int] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view[self.filled :]

    def buffer_updated(self, count: int) -> None:
        if self.missing < 0:
            self.filled += count
            end = self.buffer.find(b"\r\n\r\n", 0, self.filled)
            if end < 0:
                return
            head = bytes(self.view[:end]).lower()
            self.status = int(head[9:12])
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 and not self.is_head else 0
            self.body_bytes = length
            self.missing = length - (self.filled - end - 4)
            self.filled = 0
        else:
            self.missing -= count
        if self.missing == 0:
            self.missing = -1
            done, self.done = self.done, None
            if done is not None and not done.done():
                done.set_result(self.status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(ConnectionError(f"connection lost: {exc}"))

    async def exchange(self, request: Request) -> int:
        self.done = asyncio.get_running_loop().create_future()
        self.is_head = request.head.startswith(b"HEAD")
        if len(request.body) <= 65536:
            self.transport.write(request.head + request.body)
        else:
            self.transport.write(request.head)
            self.transport.write(request.body)
        return await self.done


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of requests showed. CPU is user + system seconds of the server's processes, by role."""

    count: int
    errors: int
    seconds: float
    server_cpu_s: Mapping[str, float]
    latencies_ms: tuple[float, ...]
    bytes_moved: int

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def megabytes_per_s(self) -> float:
        return self.bytes_moved / self.seconds / 1e6

    @property
    def cpu_ms(self) -> float:
        return 1000 * sum(self.server_cpu_s.values()) / self.count

    @property
    def cpu_ms_by_role(self) -> dict[str, float]:
        return {role: 1000 * seconds / self.count for role, seconds in self.server_cpu_s.items()}

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def family(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        found.append(current)
        pending.extend(children.get(current, ()))
    return found


def role_of(pid: int) -> str:
    """What part of the server a process is."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return next((name[1:].decode() for name in arguments if name in ROLE_COMMANDS), "supervisor")


def cpu_seconds(pid: int) -> dict[str, float]:
    """User and system seconds that `pid` and its descendants have used so far, by role."""
    ticks: Counter[str] = Counter()
    for member in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
            ticks[role_of(member)] += int(fields[11]) + int(fields[12])
    return {role: count / _CLOCK_TICKS for role, count in ticks.items()}


def resident_bytes(pid: int) -> int:
    """Resident memory of `pid` and its descendants, shared pages counted once for each."""
    total = 0
    for member in family(pid):
        try:
            total += int(Path(f"/proc/{member}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


async def _run(target: Target, requests: Sequence[Request], concurrency: int, server_pid: int) -> Result:
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(_Connection, target.host, target.port))[1] for _ in range(concurrency)
    ]
    pending = iter(requests)
    latencies: list[float] = []
    errors = moved = 0

    async def drive(connection: _Connection) -> None:
        nonlocal errors, moved
        for request in pending:
            began = time.perf_counter()
            status = await connection.exchange(request)
            latencies.append(1000 * (time.perf_counter() - began))
            errors += status >= 300
            moved += len(request.body) + connection.body_bytes

    cpu_before, began = cpu_seconds(server_pid), time.perf_counter()
    await asyncio.gather(*map(drive, connections))
    seconds = time.perf_counter() - began
    cpu = {role: spent - cpu_before.get(role, 0.0) for role, spent in cpu_seconds(server_pid).items()}
    for connection in connections:
        connection.transport.close()
    return Result(len(latencies), errors, seconds, cpu, tuple(latencies), moved)


def run(target: Target, requests: Sequence[Request], concurrency: int, server_pid: int) -> Result:
    """Send all `requests`, `concurrency` at a time; what happened."""
    return uvloop.run(_run(target, requests, concurrency, server_pid))
