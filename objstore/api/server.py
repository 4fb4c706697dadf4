"""The socket side of the S3 door: aiohttp's low-level server, its limits, timeouts and orderly stop.

aiohttp parses requests and hands over the raw target; responses are written here, head and body of a
small one in one write. Requests are answered by an `S3Door`, except a few paths (health, metrics) that
`pages` answer: they lie where no bucket can be.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from objstore import clock, metrics
from objstore.api import render
from objstore.api.body import Wire
from objstore.api.exchange import Exchange, Request, new_request_id
from objstore.api.pipeline import S3Door
from objstore.api.render import Response
from objstore.s3.errors import BadRequest, InternalError, RequestHeaderSectionTooLarge, S3Error

LINE_BYTES_MAX: Final = 32 * 1024
"""Request line and each header: a presigned URL with a session token passes 8 KiB."""
HEADERS_MAX: Final = 256
HANDSHAKE_TIMEOUT_S: Final = 15.0
TLS_SHUTDOWN_TIMEOUT_S: Final = 1.0
"""Few clients answer a goodbye; an idle connection must not hold up an orderly stop."""
SLICE_BYTES: Final = 1024 * 1024
"""The most that is handed to a socket at once: the event loop is shared with others."""
READ_BUFFER_BYTES: Final = 64 * 1024
"""Of a body nobody has asked for yet, a connection holds at most this and what one more read brings
(256 KiB); more costs memory and gains no speed."""
WRITE_BUFFER_BYTES: Final = 1024 * 1024
"""Above this a response waits until its client has taken some."""
JOINED_BYTES_MAX: Final = 64 * 1024
"""A body up to this size goes out in one write with its head."""
DISCARD_BYTES_MAX: Final = 1024 * 1024
DISCARD_S_MAX: Final = 5.0
"""How much of a refused body is read before the connection is closed, so that the client, still sending,
sees the answer and not a reset."""
ENDED_LOOK_S: Final = 0.1
"""How soon after its last answer a connection is closed whose client had ended its side before."""
SHUTDOWN_S: Final = 0.01
"""How long a request may take to notice that it is cut off; aiohttp takes 0 for ever."""
ACCEPT_RETRY_S: Final = 0.1
"""After an accept that failed for lack of descriptors."""

_log = logging.getLogger("objstore.api")

Page = Callable[[Request], Awaitable[tuple[int, str, bytes]]]
"""Answers one of the paths beside S3 with status, content type and body."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker bears."""

    connections_max: int = 4096
    idle_timeout_s: float = 75.0
    stall_timeout_s: float = 60.0


class HttpServer:
    """Serves an S3 door on a listening socket until it is told to drain."""

    def __init__(self, door: S3Door, limits: Limits, pages: Mapping[str, Page] | None = None) -> None:
        """`pages` by their exact path ("/health/live")."""
        self._door = door
        self._limits = limits
        self._pages = dict(pages or {})
        self._slots = asyncio.Semaphore(limits.connections_max)
        self._protocols = _Protocols(self._handle, self._slots, limits.idle_timeout_s)
        self._tls: ssl.SSLContext | None = None
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._is_draining = False

    def start(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections on a bound and listening socket, from now on; it is closed by `drain`."""
        listener.setblocking(False)
        self._listener = listener
        self._tls = tls
        self._accepting = asyncio.create_task(self._accept(listener))

    def use_certificate(self, tls: ssl.SSLContext) -> None:
        """Use another certificate for connections accepted from now on."""
        self._tls = tls

    async def drain(self, timeout_s: float) -> None:
        """Stop accepting, close idle connections, let requests under way finish for at most `timeout_s`."""
        self._is_draining = True
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        if self._listener is not None:
            self._listener.close()
        deadline_s = clock.monotonic_s() + timeout_s
        while self._protocols.connections or self._connecting:
            for connection in self._protocols.open_connections():
                if connection.is_idle:
                    connection.force_close()
            if clock.monotonic_s() >= deadline_s:
                break
            await asyncio.sleep(0.01)
        await self._protocols.shutdown(SHUTDOWN_S)

    async def _accept(self, listener: socket.socket) -> None:
        """One connection after another. Beyond the bound they wait in the kernel's queue."""
        loop = asyncio.get_running_loop()
        while True:
            await self._slots.acquire()
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as exc:
                self._slots.release()
                _log.warning("cannot accept a connection: %s", exc)
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            except BaseException:
                self._slots.release()
                raise
            task = asyncio.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        protocol = self._protocols()
        try:
            await loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if self._tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S if self._tls else None,
            )
        except (TimeoutError, OSError) as exc:  # mostly strangers at the TLS door
            _log.debug("connection not established: %s", exc)
        finally:
            if not protocol.was_connected:
                accepted.close()
                self._slots.release()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request and write the answer; aiohttp only learns whether to go on."""
        source = _Source(request)
        broken_off = cast(_Connection, request.protocol).broken_off
        if broken_off is not None and not source.is_eof():
            request._cancel(broken_off)
        if request.raw_path.startswith(_PAGE_PREFIXES) and (page := self._page_of(request)) is not None:
            return await self._respond(request, source, new_request_id(), await _shown(request, page))
        exchange = Exchange(_request_of(request), Wire(source, self._limits.stall_timeout_s))
        metrics.REQUESTS_UNDER_WAY.inc()
        try:
            response = await self._door.answer(exchange)
            return await self._respond(request, source, exchange.request_id, response, exchange)
        finally:
            metrics.REQUESTS_UNDER_WAY.dec()

    async def _respond(
        self,
        request: web.BaseRequest,
        source: "_Source",
        request_id: str,
        response: Response,
        exchange: Exchange | None = None,
    ) -> web.StreamResponse:
        """Write a response, whole or not at all: one that breaks off takes the connection with it."""
        code, is_whole = "", False
        keeps_alive = request.keep_alive and not (response.closes or self._is_draining)
        keeps_alive = keeps_alive and source.is_soon_read()
        output = _Output(request, self._limits.stall_timeout_s)
        if output.is_http_10 and response.stream is not None and response.length is None:
            keeps_alive = False  # the end of the connection is the only end such a body can have
        try:
            head = render.head(
                response,
                request_id,
                self._door.host_id,
                is_http_10=output.is_http_10,
                keeps_alive=keeps_alive,
            )
            if exchange is not None:
                exchange.answered_s = clock.monotonic_s()
            await output.send(head, response)
            is_whole = True
        except (ConnectionError, TimeoutError):
            code = "ConnectionLost"
        except Exception as exc:
            code = "Broken"
            _log.error("an answer broke off", exc_info=exc, extra={"request_id": request_id})
        finally:
            if not is_whole:
                output.abort()
            if exchange is not None:
                exchange.code = exchange.code or code
                exchange.finish(response.status, output.sent_bytes)
        if is_whole and not response.closes and not source.is_eof():
            keeps_alive = await source.discard(half_close=not keeps_alive) and keeps_alive
        return KEEP_ALIVE if is_whole and keeps_alive else CLOSE

    def _page_of(self, request: web.BaseRequest) -> Page | None:
        """The page at this address, unless the host names a bucket: then it is the address of a key."""
        target, host = request.raw_path, request.headers.get("host", "")
        page = self._pages.get(target.partition("?")[0])
        return page if page is not None and self._door.is_path_style(target, host) else None


async def _shown(request: web.BaseRequest, page: Page) -> Response:
    if request.method not in ("GET", "HEAD"):
        return Response(405, {"allow": "GET, HEAD"}, length=0)
    status, content_type, body = await page(_request_of(request))
    headers = {"content-type": content_type, "cache-control": "no-store"}
    return Response(status, headers, body if request.method == "GET" else b"", length=len(body))


_PAGE_PREFIXES: Final = ("/health/", "/metrics")


def _request_of(request: web.BaseRequest) -> Request:
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return Request(
        method=request.method,
        target=request.raw_path,
        headers=list(request.headers.items()),
        remote=peer[0] if isinstance(peer, tuple) else "",
        is_secure=request.secure,
        http_version=request.version,
        tls=request.transport.get_extra_info("ssl_object") if request.secure and request.transport else None,
    )


class _Source:
    """A request's body as aiohttp delivers it."""

    __slots__ = ("_content", "_request", "_waits_for_continue", "at_eof", "is_eof", "read_nowait", "readany")

    def __init__(self, request: web.BaseRequest) -> None:
        content = request.content
        self._content = content
        self._request = request
        self.readany = content.readany
        self.read_nowait = content.read_nowait
        self.at_eof = content.at_eof
        self.is_eof = content.is_eof
        self._waits_for_continue = (
            request.method not in ("GET", "HEAD")
            and request.headers.get("expect", "").lower() == "100-continue"
            and request.version >= (1, 1)
        )
        if content.is_eof():
            # For an empty body RFC 9110 (10.1.1) wants none; but botocore, which aws cli stands on, misreads
            # the next answer on a connection where an answer came without, and waits for its end.
            self.send_continue()

    def send_continue(self) -> None:
        if self._waits_for_continue:
            self._waits_for_continue = False
            if (transport := self._request.transport) is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def is_soon_read(self) -> bool:
        """Whether what is left of the body is so little that reading it is cheaper than a new connection."""
        if self.is_eof():
            return True
        length = self._request.content_length
        return not self._waits_for_continue and length is not None and length <= DISCARD_BYTES_MAX

    async def discard(self, *, half_close: bool) -> bool:
        """Read what is left of the body, within bounds; whether its end was reached.

        With `half_close` the client is told that no further answer will come.
        """
        if self._waits_for_continue:
            return False
        transport = self._request.transport
        if half_close and transport is not None and transport.can_write_eof():
            with suppress(OSError, RuntimeError):
                transport.write_eof()
        discarded_bytes = 0
        with suppress(Exception):  # whatever it is, the connection is of no further use
            async with asyncio.timeout(DISCARD_S_MAX):
                while not self.at_eof() and discarded_bytes <= DISCARD_BYTES_MAX:
                    discarded_bytes += len(await self.readany())
        return self.is_eof()


class _Output:
    """Writes one response to a connection, no faster than its client takes it."""

    def __init__(self, request: web.BaseRequest, stall_timeout_s: float) -> None:
        self.sent_bytes = 0
        self.is_http_10 = request.version < (1, 1)
        self._request = request
        self._stall_timeout_s = stall_timeout_s

    async def send(self, head: bytes, response: Response) -> None:
        """Write all of it; `sent_bytes` counts those of the body.

        Raises ConnectionError (the client has gone), TimeoutError (it takes nothing), and whatever the
        response's stream raises: the caller then breaks the connection.
        """
        if response.stream is None:
            body = response.body
            if len(body) <= JOINED_BYTES_MAX:
                await self._write(b"".join((head, body)) if body else head)
                self.sent_bytes = len(body)
            else:
                await self._write(head)
                await self._write_slices(body)
            return
        stream = response.stream
        try:
            await self._write(head)
            if response.length is None:
                await self._send_unmeasured(stream)
            else:
                async for piece in stream:
                    await self._write_slices(piece)
                if self.sent_bytes != response.length:
                    raise RuntimeError(f"{self.sent_bytes} bytes were sent of {response.length} promised")
        finally:
            if (close := getattr(stream, "aclose", None)) is not None:
                await close()

    async def _send_unmeasured(self, stream: Any) -> None:
        async for piece in stream:
            if not piece:
                continue
            if self.is_http_10:
                await self._write(piece)
            else:
                await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.sent_bytes += len(piece)
        if not self.is_http_10:
            await self._write(b"0\r\n\r\n")

    async def _write_slices(self, piece: bytes | memoryview) -> None:
        if len(piece) <= SLICE_BYTES:
            await self._write(piece)
            self.sent_bytes += len(piece)
            return
        view = memoryview(piece)
        for offset in range(0, len(view), SLICE_BYTES):
            part = view[offset : offset + SLICE_BYTES]
            await self._write(part)
            self.sent_bytes += len(part)

    async def _write(self, data: bytes | memoryview) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(data)
        if self._request.protocol.writing_paused:
            await self._drained(transport)

    async def _drained(self, transport: asyncio.Transport) -> None:
        """Wait until the client has taken most of what was written; TimeoutError when it takes nothing."""
        waiting_bytes = transport.get_write_buffer_size()
        while True:
            try:
                async with asyncio.timeout(self._stall_timeout_s):
                    await self._request.writer.drain()
                return
            except TimeoutError:
                left_bytes = transport.get_write_buffer_size()
                if left_bytes >= waiting_bytes:
                    raise
                waiting_bytes = left_bytes

    def abort(self) -> None:
        """Break the connection, so that nobody takes what was sent for the whole answer."""
        if self._request.transport is not None:
            self._request.transport.abort()


class _Written(web.StreamResponse):
    """What aiohttp is told of an answer that has been written already."""

    def __init__(self, keeps_alive: bool) -> None:
        super().__init__()
        self._keeps_alive = keeps_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to do."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to do."""


KEEP_ALIVE: Final = _Written(True)
CLOSE: Final = _Written(False)


class _Refusal(_Written):
    """An answer to what aiohttp could not read as a request; the connection ends with it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(keeps_alive=False)
        self._data = data

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it."""
        if request.transport is not None:
            request.transport.write(self._data)


class _Connection(web.RequestHandler):
    """aiohttp's connection, with errors in S3's form, a bound on their number, and half-closing."""

    def __init__(self, protocols: "_Protocols", slots: asyncio.Semaphore, **options: Any) -> None:
        super().__init__(protocols, **options)
        self.was_connected = False
        self.broken_off: ConnectionResetError | None = None
        """The client closed its side in the middle of a body."""
        self._slots = slots

    @property
    def is_idle(self) -> bool:
        """No request is being answered or waiting to be."""
        waits = self._waiter is not None and not self._waiter.done()
        return (waits or not self._request_count) and not self._request_in_progress and not self._messages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.was_connected = True
        metrics.CONNECTIONS.inc()
        # uvloop's transports are no subclasses of asyncio's.
        cast(asyncio.WriteTransport, transport).set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        metrics.CONNECTIONS.dec()
        self._slots.release()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it
        """The client will send no more. It may still wait for the answer to what it has sent."""
        if self.is_idle or self.ssl_context is not None or self._parser is None:
            return False
        try:
            self._parser.feed_eof()
        except Exception as exc:  # the body is short, which is told where it is read
            self.broken_off = ConnectionResetError(str(exc))
            if self._current_request is not None:
                self._current_request._cancel(self.broken_off)
        self._close_when_idle()
        return True

    def _close_when_idle(self) -> None:
        """The client's last request may be answered any moment, and nothing else would ever end this."""
        if self.transport is None:
            return
        if self.is_idle:
            self.force_close()
        else:
            self._loop.call_later(ENDED_LOOK_S, self._close_when_idle)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP request, or not one of acceptable size. The connection ends."""
        exchange = Exchange(Request(request.method, "/", ()), Wire(_Source(request), 0))
        error: S3Error = BadRequest()
        if isinstance(exc, LineTooLong):
            error = RequestHeaderSectionTooLarge()
        elif status >= 500:
            error = InternalError()
        exchange.code = error.code
        host_id = "objstore"
        shown = render.render_error(error, "GET", "/", exchange.request_id, host_id)
        head = render.head(shown, exchange.request_id, host_id, is_http_10=False, keeps_alive=False)
        exchange.finish(error.status, len(shown.body))
        return _Refusal(head + bytes(shown.body))


class _Protocols(web.Server):
    """Makes connections, and knows the open ones."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        slots: asyncio.Semaphore,
        idle_timeout_s: float,
    ) -> None:
        super().__init__(handler)
        self._slots = slots
        self._options = {
            "access_log": None,
            "auto_decompress": False,  # bytes are stored as they are sent
            "keepalive_timeout": idle_timeout_s,
            "lingering_time": 0,  # see _Source.discard
            "logger": _log,
            "loop": asyncio.get_running_loop(),
            "max_field_size": LINE_BYTES_MAX,
            "max_headers": HEADERS_MAX,
            "max_line_size": LINE_BYTES_MAX,
            "read_bufsize": READ_BUFFER_BYTES,
        }

    def __call__(self) -> _Connection:
        return _Connection(self, self._slots, **self._options)

    def open_connections(self) -> list[_Connection]:
        return [connection for connection in self.connections if isinstance(connection, _Connection)]
