"""The S3 door on a real socket, over services that need neither drives nor other processes."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from objstore.api.pipeline import Index, S3Door
from objstore.api.server import HttpServer, Limits, Page
from objstore.iam.mfa import MfaDevices
from objstore.iam.permissions import Permissions
from objstore.iam.sealing import Sealer
from objstore.model import Identity
from objstore.s3 import sigv4
from objstore.service import Services, build_services, failures
from objstore.service.buckets import BucketRules
from objstore.service.encryption import EncryptionRules
from tests.service.support import DictStore, LocalFacts
from tests.support.keys import envelopes_over
from tests.support.shared import AlwaysMoved

REGION = "us-east-1"
ROOT = Identity("a" * 64, "root", "Root", access_key="ROOTKEY", is_root=True)
OWNER = Identity("b" * 64, "owner", "Owner", access_key="OWNERKEY")
OTHER = Identity("c" * 64, "other", "Other", access_key="OTHERKEY")
SECRETS = {"ROOTKEY": "root-secret", "OWNERKEY": "owner-secret", "OTHERKEY": "other-secret"}


class Keys:
    """Three access keys."""

    def find(self, access_key: str) -> tuple[Identity, str] | None:
        for identity in (ROOT, OWNER, OTHER):
            if identity.access_key == access_key:
                return identity, SECRETS[access_key]
        return None


@dataclass
class Door:
    """A running door: where it listens, and what lies behind it."""

    port: int
    server: HttpServer
    services: Services
    facts: LocalFacts
    store: DictStore

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self, identity: Identity | None = ROOT, **config: Any) -> Any:
        """A boto3 client; call it from a thread (`asyncio.to_thread`), the loop is busy serving."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        if identity is None:
            config["signature_version"] = UNSIGNED
        key = identity.access_key if identity is not None and identity.access_key else "none"
        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.host}",
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=SECRETS.get(key, "none"),
            config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}, **config),
        )

    def signed(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        identity: Identity = ROOT,
        payload: str = sigv4.UNSIGNED_PAYLOAD,
        at_s: int | None = None,
    ) -> bytes:
        """The bytes of a signed request; `body` brings its Content-Length."""
        from objstore import clock

        path, _, query = target.partition("?")
        given = {"host": self.host, **(headers or {})}
        assert identity.access_key is not None
        request = sigv4.SignedRequest(method, path, query, list(given.items()))
        added = sigv4.sign(
            request,
            identity.access_key,
            SECRETS[identity.access_key],
            REGION,
            clock.now_s() if at_s is None else at_s,
            payload,
        )
        given.update(added)
        if body is not None:
            given["content-length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + (body or b"")

    async def send(self, *requests: bytes, half_close: bool = False, wait_s: float = 10.0) -> "Answer":
        """Send raw bytes on a new connection; the first response (100 Continue is skipped)."""
        async with self.connection() as connection:
            for data in requests:
                connection.write(data)
            if half_close:
                connection.writer.write_eof()
            return await connection.answer(wait_s)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@dataclass
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes
    reason: str = ""

    @property
    def code(self) -> str:
        """The S3 error code in the body."""
        return self.element("Code")

    def element(self, name: str) -> str:
        found = re.search(f"<{name}>([^<]*)</{name}>", self.body.decode())
        return found[1] if found else ""


class Connection:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.interim: list[int] = []

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, wait_s: float = 10.0, method: str = "") -> Answer:
        """The next response. ConnectionError or IncompleteReadError if it does not come whole."""
        async with asyncio.timeout(wait_s):
            while True:
                head = await self.reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
                _, status, reason = first.split(" ", 2)
                if int(status) >= 200:
                    break
                self.interim.append(int(status))
            headers: dict[str, str] = {}
            for line in filter(None, lines):
                name, _, value = line.partition(": ")
                headers[name.lower()] = value
            body = b""
            if method == "HEAD" or int(status) in (204, 304):
                pass
            elif headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                await self.reader.readexactly(2)
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
        return Answer(int(status), headers, body, reason)

    async def is_closed(self, wait_s: float = 5.0) -> bool:
        """Whether the server closes the connection, without sending anything more."""
        try:
            async with asyncio.timeout(wait_s):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True


@asynccontextmanager
async def running_door(
    limits: Limits | None = None,
    *,
    domains: tuple[str, ...] = (),
    pages: Mapping[str, Page] | None = None,
    tls: ssl.SSLContext | None = None,
    wrap: Callable[[Services], Any] = lambda services: services,
    index: Index | None = None,
) -> AsyncIterator[Door]:
    """A door on a free port. `wrap` may put something else in the place of the services."""
    facts, store = LocalFacts(), DictStore()
    shared: Any = AlwaysMoved()
    services = build_services(
        facts, store, shared, 0, BucketRules((REGION,)), envelopes_over(facts), EncryptionRules()
    )
    door = S3Door(
        wrap(services),
        services.buckets,
        Keys(),
        Permissions(facts, shared),
        MfaDevices(facts, Sealer.generate()),
        failures.translate,
        regions=(REGION,),
        domains=domains,
        host_id="test-host",
        index=index,
    )
    server = HttpServer(door, limits or Limits(), pages)
    listener = socket.create_server(("127.0.0.1", 0))
    server.start(listener, tls)
    try:
        yield Door(listener.getsockname()[1], server, services, facts, store)
    finally:
        await server.drain(1.0)
        await services.drain()
