"""What the socket refuses, bounds and survives: raw bytes against the door (attacks S29 to S35)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from objstore.api.server import Limits
from tests.api.support import Door, running_door

HOST = b"Host: 127.0.0.1\r\n"


def with_door(test: Callable[[Door], Awaitable[Any]], limits: Limits | None = None, **options: Any) -> None:
    """Run `test` against a door with the bucket `bucket-1` of root's."""

    async def run() -> None:
        async with running_door(limits, **options) as door:
            made = await door.send(door.signed("PUT", "/bucket-1", body=b""))
            assert made.status == 200, made
            await test(door)

    asyncio.run(run())


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n  folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X\x01A: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b": a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"no colon\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/3.0\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
        b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"G\xc3\x84T / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 5, 5\r\n\r\nhello",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 0x5\r\n\r\nhello",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 1_0\r\n\r\nhellohello",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"PUT /bucket-1/k HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"x-amz-date: 1\r\nx-amz-date: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: a\r\nauthorization: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"x-amz-copy-source: a/b\r\nX-Amz-Copy-Source: c/d\r\n\r\n",
    ],
    ids=lambda raw: repr(raw)[2:90],
)
def test_ambiguous_or_malformed_request_is_refused_and_the_connection_closed(raw: bytes) -> None:
    async def test(door: Door) -> None:
        async with door.connection() as connection:
            connection.write(raw)
            connection.write(b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n")
            answer = await connection.answer()
            assert answer.status == 400, answer
            assert answer.code in ("BadRequest", "InvalidRequest"), answer
            assert answer.headers["connection"] == "close"
            assert answer.headers["x-amz-request-id"] == answer.element("RequestId")
            assert await connection.is_closed()
        assert door.facts.written[1:] == []

    with_door(test)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/bucket-1/%", "InvalidURI"),
        ("/bucket-1/%zz", "InvalidURI"),
        ("/bucket-1/%ff", "InvalidURI"),
        ("/bucket-1/%ed%a0%80", "InvalidURI"),
        ("//key", "InvalidURI"),
        ("/bucket-1/k?a=%", "InvalidURI"),
        ("/bucket-1/k?versionId=1&versionId=2", "InvalidArgument"),
        ("/bucket-1/k%00", "InvalidArgument"),
        ("/bucket-1/" + "k" * 1025, "KeyTooLongError"),
        ("/bucket-1/" + "%C3%A4" * 513, "KeyTooLongError"),
        ("/bucket-1?" + "&".join(f"p{i}=1" for i in range(300)), "InvalidArgument"),
        ("/bucket-1?max-keys=-1", "InvalidArgument"),
        ("/bucket-1?max-keys=9223372036854775808", "InvalidArgument"),
        ("/bucket-1?max-keys=abc", "InvalidArgument"),
        ("/bucket-1/k?partNumber=0", "InvalidArgument"),
        ("/bucket-1/k?partNumber=10001", "InvalidArgument"),
    ],
    ids=lambda value: value[:40],
)
def test_bad_target_is_refused_without_losing_the_connection(target: str, code: str) -> None:
    async def test(door: Door) -> None:
        assert (await door.send(door.signed("PUT", "/bucket-1/k", body=b"x"))).status == 200
        async with door.connection() as connection:
            for _ in range(2):
                connection.write(door.signed("GET", target))
                answer = await connection.answer()
                assert (answer.status, answer.code) == (400, code), answer

    with_door(test)


@pytest.mark.parametrize(
    "key",
    ["a//b", "a/./b", "a/../b", "../../etc/passwd", "/lead", "trail/", "a%2Fb", "+ +", "ä", "\\", ".", ".."],
)
def test_key_is_taken_as_it_is_sent(key: str) -> None:
    from urllib.parse import quote

    async def test(door: Door) -> None:
        target = "/bucket-1/" + quote(key, safe="/.")
        assert (await door.send(door.signed("PUT", target, body=key.encode()))).status == 200
        assert (await door.send(door.signed("GET", target))).body == key.encode()
        listed = await door.send(door.signed("GET", "/bucket-1?encoding-type=url"))
        assert listed.element("Key") == quote(key, safe="/")

    with_door(test)


def test_absolute_form_names_the_same_object() -> None:
    async def test(door: Door) -> None:
        assert (await door.send(door.signed("PUT", "/bucket-1/a%2Fb", body=b"x"))).status == 200
        request = door.signed("GET", "/bucket-1/a%2Fb").replace(
            b"GET /", f"GET http://{door.host}/".encode(), 1
        )
        assert (await door.send(request)).body == b"x"

    with_door(test)


def test_long_request_lines_and_headers_pass_up_to_their_bound() -> None:
    async def test(door: Door) -> None:
        fits, too_long = "t" * 20_000, "t" * 40_000
        assert (await door.send(door.signed("GET", f"/bucket-1?marker={fits}"))).status == 200
        assert (await door.send(door.signed("GET", "/bucket-1", {"x-note": fits}))).status == 200
        for request in (
            door.signed("GET", f"/bucket-1?marker={too_long}"),
            door.signed("GET", "/bucket-1", {"x-note": too_long}),
        ):
            answer = await door.send(request)
            assert (answer.status, answer.code) == (400, "RequestHeaderSectionTooLarge")
        many = {f"x-n{number}": "1" for number in range(400)}
        assert (await door.send(door.signed("GET", "/bucket-1", many))).status == 400

    with_door(test)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-meta-a": "x" * 2100},
        {f"x-amz-meta-{number}": "x" * 50 for number in range(40)},
    ],
)
def test_metadata_has_a_bound(headers: dict[str, str]) -> None:
    async def test(door: Door) -> None:
        answer = await door.send(door.signed("PUT", "/bucket-1/k", headers, body=b""))
        assert (answer.status, answer.code) == (400, "MetadataTooLarge")

    with_door(test)


def test_stored_headers_come_back_byte_for_byte_and_never_split_a_response() -> None:
    async def test(door: Door) -> None:
        headers = {
            "content-disposition": 'attachment; filename="a b.txt"',
            "cache-control": "max-age=1",
            "expires": "never ever",
            "content-type": "text/plain; charset=utf-8",
            "x-amz-meta-word": "=?UTF-8?B?w6Q=?=",
        }
        assert (await door.send(door.signed("PUT", "/bucket-1/k", headers, body=b"x"))).status == 200
        answer = await door.send(door.signed("GET", "/bucket-1/k"))
        assert answer.status == 200
        assert {name: answer.headers[name] for name in headers} == headers
        for value in ("a%0d%0ax-evil:%201", "a%0a", "a%0d", "a%00b"):
            answer = await door.send(door.signed("GET", f"/bucket-1/k?response-content-disposition={value}"))
            assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
            assert "x-evil" not in answer.headers

    with_door(test)


def test_header_that_cannot_be_sent_never_reaches_the_socket() -> None:
    from objstore.api.render import Response, head

    for name, value in (("x-a", "b\r\nc: d"), ("x-a", "b\nc"), ("x-a", "b\rc"), ("x-a", "\0"), ("x\n", "b")):
        with pytest.raises(ValueError, match="cannot be sent"):
            head(Response(200, {name: value}), "R", "H", is_http_10=False, keeps_alive=True)


def test_compressed_body_is_stored_as_sent() -> None:
    import gzip

    body = gzip.compress(bytes(1_000_000))

    async def test(door: Door) -> None:
        headers = {"content-encoding": "gzip"}
        assert (await door.send(door.signed("PUT", "/bucket-1/k", headers, body=body))).status == 200
        answer = await door.send(door.signed("GET", "/bucket-1/k"))
        assert (answer.body, answer.headers["content-encoding"]) == (body, "gzip")

    with_door(test)


def test_hostile_documents_are_refused() -> None:
    laughs = (
        b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>'
    )
    too_many = b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>"
    too_long = b"<Delete>" + b" " * 10_000_000 + b"</Delete>"

    async def test(door: Door) -> None:
        for body in (laughs, too_many, too_long, "<Delete/>".encode("utf-16"), b"<Delete></Delete>"):
            answer = await door.send(door.signed("POST", "/bucket-1?delete", body=body))
            assert (answer.status, answer.code) == (400, "MalformedXML"), body[:60]
        answer = await door.send(door.signed("POST", "/bucket-1?delete", body=b""))
        assert (answer.status, answer.code) == (400, "MissingRequestBodyError")

    with_door(test)


def test_unauthenticated_upload_is_answered_before_its_body_is_read() -> None:
    async def test(door: Door) -> None:
        request = (
            b"PUT /bucket-1/k HTTP/1.1\r\n"
            + HOST
            + b"Content-Length: 5000000000\r\nExpect: 100-continue\r\n\r\n"
        )
        async with door.connection() as connection:
            connection.write(request)
            answer = await connection.answer()
            assert (answer.status, answer.code) == (403, "AccessDenied")
            assert connection.interim == []
            assert await connection.is_closed()

    with_door(test)


def test_body_sent_in_spite_of_a_refusal_is_read_a_little_so_that_the_refusal_is_seen() -> None:
    async def test(door: Door) -> None:
        async with door.connection() as connection:
            connection.write(b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
            connection.write(bytes(500_000))
            answer = await connection.answer()
            assert (answer.status, answer.headers["connection"]) == (403, "close")
        async with door.connection() as connection:
            connection.write(b"PUT /bucket-1/k HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")
            connection.write(bytes(100_000))
            assert (await connection.answer()).status == 403
            connection.write(door.signed("GET", "/bucket-1"))
            assert (await connection.answer()).status == 200, "a short body is read, the connection kept"

    with_door(test)


def test_slow_body_is_broken_off() -> None:
    async def test(door: Door) -> None:
        request = door.signed("PUT", "/bucket-1/k", body=b"x" * 100)
        began = time.monotonic()
        async with door.connection() as connection:
            connection.write(request[:-50])
            answer = await connection.answer()
            assert (answer.status, answer.code) == (400, "RequestTimeout")
            assert await connection.is_closed()
        assert time.monotonic() - began < 5
        assert (await door.send(door.signed("HEAD", "/bucket-1/k"))).status == 404

    with_door(test, Limits(stall_timeout_s=0.3))


def test_silent_and_half_said_requests_are_closed() -> None:
    async def test(door: Door) -> None:
        for said in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + HOST + b"X-A: "):
            async with door.connection() as connection:
                connection.write(said)
                assert await connection.is_closed(3)
        async with door.connection() as connection:  # bytes that trickle do not help
            connection.write(b"GET / HTTP/1.1\r\n")
            for _ in range(8):
                connection.write(b"X-A: 1\r\n")
                await asyncio.sleep(0.1)
            assert await connection.is_closed(3)

    with_door(test, Limits(idle_timeout_s=0.4))


def test_download_that_is_not_taken_is_broken_off() -> None:
    async def test(door: Door) -> None:
        body = bytes(30_000_000)
        assert (await door.send(door.signed("PUT", "/bucket-1/k", body=body))).status == 200
        async with door.connection() as connection:
            connection.write(door.signed("GET", "/bucket-1/k"))
            await asyncio.sleep(1.5)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await connection.answer()

    with_door(test, Limits(stall_timeout_s=0.3))


def test_connections_beyond_the_bound_wait_for_their_turn() -> None:
    async def test(door: Door) -> None:
        async with door.connection() as first, door.connection() as second, door.connection() as third:
            for connection in (first, second):
                connection.write(door.signed("GET", "/bucket-1"))
                assert (await connection.answer()).status == 200
            third.write(door.signed("GET", "/bucket-1"))
            with pytest.raises(TimeoutError):
                await third.answer(0.3)
            first.writer.close()
            assert (await third.answer()).status == 200

    with_door(test, Limits(connections_max=2))


def test_pipelined_requests_are_answered_in_order() -> None:
    async def test(door: Door) -> None:
        for number in range(20):
            body = str(number).encode()
            assert (await door.send(door.signed("PUT", f"/bucket-1/{number}", body=body))).status == 200
        async with door.connection() as connection:
            connection.write(b"".join(door.signed("GET", f"/bucket-1/{number}") for number in range(20)))
            for number in range(20):
                assert (await connection.answer()).body == str(number).encode()

    with_door(test)


def test_client_that_hangs_up_midway_harms_nobody() -> None:
    async def test(door: Door) -> None:
        request = door.signed("PUT", "/bucket-1/k", body=b"x" * 100_000)
        for cut in (10, 200, len(request) - 99_999, len(request) - 1):
            async with door.connection() as connection:
                connection.write(request[:cut])
        big = bytes(20_000_000)
        assert (await door.send(door.signed("PUT", "/bucket-1/big", body=big))).status == 200
        for _ in range(3):
            async with door.connection() as connection:
                connection.write(door.signed("GET", "/bucket-1/big"))
                await connection.reader.readexactly(1000)
        await asyncio.sleep(0.1)
        assert (await door.send(door.signed("GET", "/bucket-1/k"))).status == 404
        assert door.store.deleted or len(door.store.blobs) == 1

    with_door(test)


def test_client_that_ends_its_side_early_gets_its_answer() -> None:
    async def test(door: Door) -> None:
        answer = await door.send(door.signed("GET", "/bucket-1"), half_close=True)
        assert answer.status == 200
        short = door.signed("PUT", "/bucket-1/k", body=b"x" * 100)[:-1]
        answer = await door.send(short, half_close=True)
        assert (answer.status, answer.code) == (400, "IncompleteBody")
        assert (await door.send(door.signed("GET", "/bucket-1/k"))).status == 404

    with_door(test)


def test_a_connection_that_its_client_has_ended_is_closed_after_the_answer() -> None:
    """However soon the end comes: with the request, or while what is left of a refused body is read."""

    async def test(door: Door) -> None:
        for _ in range(3):
            for request in (door.signed("GET", "/bucket-1"), door.signed("PUT", "/nowhere/k", body=b"x")):
                async with door.connection() as connection:
                    connection.write(request)
                    connection.writer.write_eof()
                    assert (await connection.answer()).status in (200, 404)
                    assert await asyncio.wait_for(connection.reader.read(), 2) == b""

    with_door(test, Limits(connections_max=2))


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nhello\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_broken_http_chunks_store_nothing(chunks: bytes) -> None:
    async def test(door: Door) -> None:
        request = door.signed("PUT", "/bucket-1/k", {"transfer-encoding": "chunked"}) + chunks
        answer = await door.send(request, half_close=True)
        assert (answer.status, answer.code) in ((400, "IncompleteBody"), (400, "BadRequest"))
        assert (await door.send(door.signed("GET", "/bucket-1/k"))).status == 404

    with_door(test)


def test_http_10_is_answered_without_chunks_and_closed_unless_asked() -> None:
    async def test(door: Door) -> None:
        request = door.signed("GET", "/bucket-1").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        async with door.connection() as connection:
            connection.write(request)
            answer = await connection.answer()
            assert answer.status == 200
            assert "transfer-encoding" not in answer.headers
            assert await connection.is_closed()
        kept = request.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n", 1)
        async with door.connection() as connection:
            for _ in range(2):
                connection.write(kept)
                assert (await connection.answer()).headers["connection"] == "keep-alive"

    with_door(test)


def test_failure_in_mid_body_breaks_the_connection() -> None:
    async def test(door: Door) -> None:
        body = bytes(2_000_000)
        assert (await door.send(door.signed("PUT", "/bucket-1/k", body=body))).status == 200
        door.store.answers_now = False
        whole = door.store.get

        def broken(ref: Any, offset: int = 0, length: int | None = None) -> Any:
            async def pieces() -> Any:
                async for piece in whole(ref, offset, length):
                    yield piece
                    break
                raise RuntimeError("the drive is gone")

            return pieces()

        door.store.get = broken  # type: ignore[method-assign]
        async with door.connection() as connection:
            connection.write(door.signed("GET", "/bucket-1/k"))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)) as caught:
                await connection.answer()
            if isinstance(caught.value, asyncio.IncompleteReadError):
                assert len(caught.value.partial) < len(body)

    with_door(test)


def test_drain_finishes_what_runs_and_closes_what_idles() -> None:
    async def run() -> None:
        async with running_door() as door:
            assert (await door.send(door.signed("PUT", "/bucket-1", body=b""))).status == 200
            request = door.signed("PUT", "/bucket-1/k", body=b"x" * 1000)
            async with door.connection() as idle, door.connection() as busy:
                idle.write(door.signed("GET", "/bucket-1"))
                assert (await idle.answer()).status == 200
                busy.write(request[:-10])
                await asyncio.sleep(0.1)
                draining = asyncio.create_task(door.server.drain(5))
                assert await idle.is_closed(1)
                with pytest.raises(OSError):
                    async with door.connection():
                        pass
                busy.write(request[-10:])
                answer = await busy.answer()
                assert (answer.status, answer.headers["connection"]) == (200, "close")
                await asyncio.wait_for(draining, 2)
                assert await busy.is_closed(1)

    asyncio.run(run())


def test_drain_does_not_wait_for_ever() -> None:
    async def run() -> None:
        async with running_door() as door:
            assert (await door.send(door.signed("PUT", "/bucket-1", body=b""))).status == 200
            async with door.connection() as busy:
                busy.write(door.signed("PUT", "/bucket-1/k", body=b"x" * 1000)[:-10])
                await asyncio.sleep(0.1)
                began = time.monotonic()
                await door.server.drain(0.3)
                assert time.monotonic() - began < 2
                assert await busy.is_closed(1)

    asyncio.run(run())


def test_many_idle_connections_cost_little() -> None:
    async def test(door: Door) -> None:
        connections = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(300)]
        began = time.monotonic()
        assert (await door.send(door.signed("GET", "/bucket-1"))).status == 200
        assert time.monotonic() - began < 1
        for _, writer in connections:
            writer.close()

    with_door(test)
