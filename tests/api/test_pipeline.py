"""The life of a request, seen from outside: who may, in what order it is decided, what every answer has."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from objstore import clock, log, metrics
from objstore.api import matching, operations
from objstore.api.call import Call, Reply
from objstore.api.exchange import Request
from objstore.api.handlers import keepalive
from objstore.api.operations import OPERATIONS
from objstore.meta.interface import Unavailable
from objstore.model import Identity
from objstore.s3 import errors, sigv4
from tests.api.support import OTHER, OWNER, REGION, ROOT, SECRETS, Answer, Door, running_door

AnyTest = Callable[[Door], Awaitable[Any]]


def with_door(test: AnyTest, **options: Any) -> None:
    """Run `test` against a door with the bucket `bucket-1` of OWNER's and the object `k` in it."""

    async def run() -> None:
        async with running_door(**options) as door:
            for target, body in (("/bucket-1", b""), ("/bucket-1/k", b"hello")):
                made = await door.send(door.signed("PUT", target, body=body, identity=OWNER))
                assert made.status == 200, made
            await test(door)

    asyncio.run(run())


async def ask(
    door: Door, method: str, target: str, identity: Identity | None = ROOT, **headers: str
) -> Answer:
    """One request without a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if identity is not None:
        raw = door.signed(method, target, named, identity=identity)
    else:
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"host": door.host, **named}.items())
        raw = f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()
    async with door.connection() as connection:
        connection.write(raw)
        return await connection.answer(method=method)


@pytest.mark.parametrize(
    ("method", "target", "identity", "status", "code"),
    [
        ("GET", "/bucket-1/k", OWNER, 200, ""),
        ("GET", "/bucket-1/k", ROOT, 200, ""),
        ("GET", "/bucket-1/k", OTHER, 403, "AccessDenied"),
        ("GET", "/bucket-1/k", None, 403, "AccessDenied"),
        ("GET", "/bucket-1/missing", OWNER, 404, "NoSuchKey"),
        ("GET", "/bucket-1/missing", OTHER, 403, "AccessDenied"),
        ("GET", "/bucket-1/missing", None, 403, "AccessDenied"),
        ("PUT", "/bucket-1/new", OTHER, 403, "AccessDenied"),
        ("DELETE", "/bucket-1/k", OTHER, 403, "AccessDenied"),
        ("DELETE", "/bucket-1", None, 403, "AccessDenied"),
        ("GET", "/bucket-1", OTHER, 403, "AccessDenied"),
        ("GET", "/missing", OTHER, 404, "NoSuchBucket"),
        ("GET", "/missing", None, 404, "NoSuchBucket"),
        ("GET", "/missing/k", None, 404, "NoSuchBucket"),
        ("PUT", "/new-bucket", None, 403, "AccessDenied"),
        ("PUT", "/new-bucket", OTHER, 200, ""),
        ("GET", "/Not_A_Bucket", OTHER, 400, "InvalidBucketName"),
        ("GET", "/health", OTHER, 400, "InvalidBucketName"),
        ("PUT", "/metrics", ROOT, 400, "InvalidBucketName"),
        ("GET", "/", None, 403, "AccessDenied"),
        ("GET", "/", OTHER, 200, ""),
        ("GET", "/bucket-1?session", OWNER, 501, "NotImplemented"),
        ("GET", "/bucket-1?unheard-of", OWNER, 501, "NotImplemented"),
        ("DELETE", "/bucket-1?unheard-of", OWNER, 501, "NotImplemented"),
        ("POST", "/bucket-1/k", OWNER, 405, "MethodNotAllowed"),
        ("PATCH", "/bucket-1/k", OWNER, 405, "MethodNotAllowed"),
        ("PUT", "/bucket-1/k", OWNER, 411, "MissingContentLength"),
    ],
)
def test_who_may_do_what(method: str, target: str, identity: Identity | None, status: int, code: str) -> None:
    async def test(door: Door) -> None:
        answer = await ask(door, method, target, identity)
        assert (answer.status, answer.code) == (status, code)

    with_door(test)


def test_every_answer_has_its_ids_and_every_error_its_document() -> None:
    async def test(door: Door) -> None:
        seen = set()
        for method, target in (("GET", "/"), ("GET", "/bucket-1/k"), ("HEAD", "/bucket-1"), ("GET", "/nope")):
            answer = await ask(door, method, target)
            assert answer.headers["x-amz-id-2"] == "test-host"
            assert len(answer.headers["x-amz-request-id"]) == 16
            assert "date" in answer.headers
            seen.add(answer.headers["x-amz-request-id"])
        assert len(seen) == 4
        answer = await ask(door, "GET", "/bucket-1/a%20b")
        request_id = answer.headers["x-amz-request-id"]
        assert answer.body.decode() == (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
            "<Message>The specified key does not exist.</Message><Key>a b</Key>"
            f"<Resource>/bucket-1/a%20b</Resource><RequestId>{request_id}</RequestId>"
            "<HostId>test-host</HostId></Error>"
        )
        assert answer.headers["content-type"] == "application/xml"

    with_door(test)


def test_error_to_head_is_the_status_alone_and_the_connection_stays_usable() -> None:
    async def test(door: Door) -> None:
        async with door.connection() as connection:
            for target, status in (("/bucket-1/missing", 404), ("/bucket-1/k", 200), ("/nope", 404)):
                connection.write(door.signed("HEAD", target))
                answer = await connection.answer(method="HEAD")
                assert answer.status == status
            connection.write(door.signed("GET", "/bucket-1/k"))
            assert (await connection.answer()).body == b"hello"

    with_door(test)


def test_not_modified_and_no_content_have_no_body_and_no_length() -> None:
    async def test(door: Door) -> None:
        etag = (await ask(door, "GET", "/bucket-1/k")).headers["etag"]
        async with door.connection() as connection:
            connection.write(door.signed("GET", "/bucket-1/k", {"if-none-match": etag}))
            answer = await connection.answer()
            assert (answer.status, answer.headers["etag"]) == (304, etag)
            assert "last-modified" in answer.headers
            assert "content-length" not in answer.headers
            connection.write(door.signed("DELETE", "/bucket-1/k"))
            answer = await connection.answer()
            assert answer.status == 204
            assert "content-length" not in answer.headers
            connection.write(door.signed("GET", "/bucket-1"))
            assert (await connection.answer()).status == 200

    with_door(test)


def test_head_bucket_names_the_region_even_when_it_refuses() -> None:
    async def test(door: Door) -> None:
        for identity, status in ((OWNER, 200), (OTHER, 403), (None, 403)):
            answer = await ask(door, "HEAD", "/bucket-1", identity)
            assert (answer.status, answer.headers["x-amz-bucket-region"]) == (status, REGION)
        wrong = door.signed("HEAD", "/bucket-1").replace(b"/us-east-1/", b"/eu-west-1/")
        async with door.connection() as connection:
            connection.write(wrong)
            answer = await connection.answer(method="HEAD")
        assert (answer.status, answer.headers["x-amz-bucket-region"]) == (400, REGION)
        answer = await door.send(wrong.replace(b"HEAD", b"GET"))
        assert (answer.code, answer.element("Region")) == ("AuthorizationHeaderMalformed", REGION)

    with_door(test)


def test_bucket_of_another_owner_than_expected_is_denied() -> None:
    async def test(door: Door) -> None:
        mine = await ask(door, "GET", "/bucket-1/k", x_amz_expected_bucket_owner=OWNER.user_id)
        assert mine.status == 200
        for method in ("GET", "PUT", "DELETE"):
            answer = await ask(door, method, "/bucket-1/k", x_amz_expected_bucket_owner=ROOT.user_id)
            assert (answer.status, answer.code) == (403, "AccessDenied")

    with_door(test)


def test_operation_that_is_not_offered_answers_under_its_own_name() -> None:
    async def test(door: Door) -> None:
        before = counted("CreateSession", "501")
        answer = await ask(door, "GET", "/bucket-1?session")
        assert "CreateSession" in answer.element("Message")
        assert counted("CreateSession", "501") == before + 1

    with_door(test)


def test_every_row_without_a_handler_is_501() -> None:
    async def test(door: Door) -> None:
        for row in OPERATIONS:
            if row.handler is not None:
                continue
            path = {"service": "/", "bucket": "/bucket-1", "object": "/bucket-1/k"}[row.scope]
            target = path + ("?" + "&".join(row.query) if row.query else "")
            headers = {row.header: "x"} if row.header else {}
            answer = await door.send(door.signed(row.method, target, headers, body=b""))
            assert (answer.status, answer.code) == (501, "NotImplemented"), row.name
            assert row.name in answer.element("Message")

    with_door(test)


def counted(operation: str, status: str) -> float:
    sample = metrics.REQUEST_SECONDS.labels(operation, status)
    return sum(bucket.get() for bucket in sample._buckets)


def test_unforeseen_failure_tells_the_client_nothing_and_the_log_everything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def wrap(services: Any) -> Any:
        def explode(*_: Any) -> None:
            raise ZeroDivisionError("secret detail")

        return replace(services, objects=SimpleNamespace(find=explode))

    async def run() -> None:
        async with running_door(wrap=wrap) as door:
            assert (await door.send(door.signed("PUT", "/bucket-1", body=b""))).status == 200
            with caplog.at_level(logging.ERROR):
                answer = await ask(door, "GET", "/bucket-1/k")
        assert (answer.status, answer.code) == (500, "InternalError")
        assert b"secret" not in answer.body
        record = caplog.records[-1]
        assert record.exc_info is not None
        assert getattr(record, "request_id", None) == answer.headers["x-amz-request-id"]

    asyncio.run(run())


def test_continue_is_said_only_to_an_upload_that_is_welcome() -> None:
    async def test(door: Door) -> None:
        expect = {"expect": "100-continue"}
        refused = [
            (OTHER, "/bucket-1/e", 5, 403),
            (OWNER, "/missing/e", 5, 404),
            (OWNER, "/bucket-1/e", 6 * 1024**3, 400),
            (OWNER, "/bucket-1/e?unheard-of", 5, 501),
        ]
        for identity, target, length, status in refused:
            request = door.signed("PUT", target, expect, identity=identity)
            async with door.connection() as connection:
                connection.write(
                    request.replace(b"\r\n\r\n", f"\r\ncontent-length: {length}\r\n\r\n".encode())
                )
                assert (await connection.answer()).status == status
                assert connection.interim == []
        request = door.signed("PUT", "/bucket-1/e", expect, identity=OWNER)
        async with door.connection() as connection:
            connection.write(request.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n"))
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.write(b"hello")
            assert (await connection.answer()).status == 200
            connection.write(door.signed("GET", "/bucket-1/e"))
            assert (await connection.answer()).body == b"hello"

    with_door(test)


def test_continue_is_said_for_an_empty_body_too() -> None:
    """botocore misreads the next answer on a connection where one came without: aws cli waits a minute."""

    async def test(door: Door) -> None:
        for identity, status in ((OWNER, 200), (OTHER, 403)):
            request = door.signed("PUT", "/bucket-1/e", {"expect": "100-continue"}, identity=identity)
            async with door.connection() as connection:
                connection.write(request.replace(b"\r\n\r\n", b"\r\ncontent-length: 0\r\n\r\n"))
                assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                assert (await connection.answer()).status == status

    with_door(test)


@pytest.mark.parametrize(
    ("headers", "payload", "body", "status", "code"),
    [
        ({}, hashlib.sha256(b"hello").hexdigest(), b"hello", 200, ""),
        ({}, hashlib.sha256(b"other").hexdigest(), b"hello", 400, "XAmzContentSHA256Mismatch"),
        ({}, sigv4.EMPTY_SHA256, b"hello", 400, "XAmzContentSHA256Mismatch"),
        ({}, sigv4.EMPTY_SHA256, b"", 200, ""),
        ({"content-md5": "XUFAKrxLKna5cZ2REBfFkg=="}, sigv4.UNSIGNED_PAYLOAD, b"hello", 200, ""),
        ({"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, sigv4.UNSIGNED_PAYLOAD, b"hello", 400, "BadDigest"),
        ({"content-md5": "x"}, sigv4.UNSIGNED_PAYLOAD, b"hello", 400, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, sigv4.UNSIGNED_PAYLOAD, b"hello", 400, "BadDigest"),
    ],
)
def test_body_must_be_what_its_headers_promise(
    headers: dict[str, str], payload: str, body: bytes, status: int, code: str
) -> None:
    async def test(door: Door) -> None:
        answer = await door.send(
            door.signed("PUT", "/bucket-1/new", headers, body, identity=OWNER, payload=payload)
        )
        assert (answer.status, answer.code) == (status, code)
        assert (await ask(door, "GET", "/bucket-1/new")).status == (200 if status == 200 else 404)

    with_door(test)


def test_large_signed_body_is_hashed_whole() -> None:
    body = bytes(range(256)) * 20_000

    async def test(door: Door) -> None:
        payload = hashlib.sha256(body).hexdigest()
        for sent, status in ((body, 200), (body[:-1] + b"x", 400)):
            answer = await door.send(door.signed("PUT", "/bucket-1/big", body=sent, payload=payload))
            assert answer.status == status

    with_door(test)


def test_digests_of_a_document_are_checked() -> None:
    body = b"<Delete><Object><Key>k</Key></Object></Delete>"

    async def test(door: Door) -> None:
        wrong = {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
        answer = await door.send(door.signed("POST", "/bucket-1?delete", wrong, body))
        assert (answer.status, answer.code) == (400, "BadDigest")
        wrong = {"x-amz-checksum-crc32": "AAAAAA=="}
        answer = await door.send(door.signed("POST", "/bucket-1?delete", wrong, body))
        assert (answer.status, answer.code) == (400, "BadDigest")
        assert (await ask(door, "GET", "/bucket-1/k")).status == 200
        answer = await door.send(door.signed("POST", "/bucket-1?delete", body=body))
        assert answer.status == 200
        assert (await ask(door, "GET", "/bucket-1/k")).status == 404

    with_door(test)


def presigned(door: Door, method: str, target: str, expires_s: int = 60) -> str:
    path, _, query = target.partition("?")
    request = sigv4.SignedRequest(method, path, query, [("host", door.host)])
    signed_query = sigv4.presign(request, "OWNERKEY", SECRETS["OWNERKEY"], REGION, clock.now_s(), expires_s)
    return f"{path}?{signed_query}"


def test_presigned_request_is_its_signers() -> None:
    async def test(door: Door) -> None:
        url = presigned(door, "GET", "/bucket-1/k")
        assert (await ask(door, "GET", url, None)).body == b"hello"
        for method, changed in (
            ("PUT", url),
            ("DELETE", url),
            ("GET", url.replace("/k?", "/other?")),
            ("GET", url + "&versionId=null"),
            ("GET", url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")),
        ):
            answer = await ask(door, method, changed, None)
            assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
        answer = await ask(door, "GET", url, None, x_amz_copy_source="/bucket-1/other")
        assert answer.status in (403, 501)
        answer = await ask(door, "GET", url, None, x_amz_acl="public-read")
        assert (answer.status, answer.code) == (403, "AccessDenied")

    with_door(test)


def test_header_presigned_in_the_query_counts_as_a_header() -> None:
    async def test(door: Door) -> None:
        url = presigned(door, "PUT", "/bucket-1/new?x-amz-meta-color=blue&x-amz-checksum-crc32=NhCmhg%3D%3D")
        raw = f"PUT {url} HTTP/1.1\r\nhost: {door.host}\r\ncontent-length: 5\r\n\r\n".encode()
        wrong = await door.send(raw + b"other")
        assert (wrong.status, wrong.code) == (400, "BadDigest")
        assert (await door.send(raw + b"hello")).status == 200
        assert (await ask(door, "HEAD", "/bucket-1/new")).headers["x-amz-meta-color"] == "blue"
        unsigned = await door.send(
            door.signed("PUT", "/bucket-1/plain?x-amz-meta-color=red", body=b"", identity=OWNER)
        )
        assert unsigned.status == 200
        assert "x-amz-meta-color" not in (await ask(door, "HEAD", "/bucket-1/plain")).headers
        conflicting = raw.replace(b"content-length", b"x-amz-meta-color: red\r\ncontent-length")
        refused = await door.send(conflicting + b"hello")
        assert (refused.status, refused.code) == (403, "AccessDenied")  # nobody signed that header

    with_door(test)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda raw: raw.replace(b"Signature=", b"Signature=0"), 403, "SignatureDoesNotMatch"),
        (lambda raw: raw.replace(b"ROOTKEY", b"NOBODYKEY"), 403, "InvalidAccessKeyId"),
        (lambda raw: raw.replace(b"\r\n\r\n", b"\r\nx-amz-acl: private\r\n\r\n"), 403, "AccessDenied"),
        (lambda raw: raw.replace(b"AWS4-HMAC-SHA256", b"AWS4-HMAC-SHA1"), 400, "InvalidArgument"),
        (lambda raw: raw.replace(b"/s3/", b"/sts/"), 400, "AuthorizationHeaderMalformed"),
        (
            lambda raw: raw.replace(b"\r\n\r\n", b"\r\nx-amz-security-token: t\r\n\r\n"),
            403,
            "AccessDenied",
        ),
        (
            lambda raw: raw.replace(b"GET /bucket-1/k ", b"GET /bucket-1/k?X-Amz-Signature=0 "),
            400,
            "InvalidArgument",
        ),
    ],
)
def test_claim_that_does_not_hold_is_refused(
    change: Callable[[bytes], bytes], status: int, code: str
) -> None:
    async def test(door: Door) -> None:
        answer = await door.send(change(door.signed("GET", "/bucket-1/k")))
        assert (answer.status, answer.code) == (status, code)
        if code == "SignatureDoesNotMatch":
            assert answer.element("CanonicalRequest").startswith("GET\n/bucket-1/k\n")
            assert answer.element("StringToSign").startswith("AWS4-HMAC-SHA256\n")

    with_door(test)


def test_request_too_far_from_now_is_refused() -> None:
    async def test(door: Door) -> None:
        for skew_s in (-1000, 1000):
            answer = await door.send(door.signed("GET", "/bucket-1/k", at_s=clock.now_s() + skew_s))
            assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")

    with_door(test)


def test_token_of_temporary_credentials_is_not_known_here() -> None:
    async def test(door: Door) -> None:
        answer = await ask(door, "GET", "/bucket-1/k", x_amz_security_token="token")
        assert (answer.status, answer.code) == (400, "InvalidToken")

    with_door(test)


def test_virtual_hosts_name_their_bucket() -> None:
    async def test(door: Door) -> None:
        host = {"host": "bucket-1.s3.example.org"}
        assert (await door.send(door.signed("GET", "/k", host))).body == b"hello"
        assert (await door.send(door.signed("GET", "/", host))).element("Name") == "bucket-1"
        for tricky in ("s3.example.org", "bucket-1.s3.example.org.evil.org", "xs3.example.org"):
            answer = await door.send(door.signed("GET", "/k", {"host": tricky}))
            assert answer.code in ("NoSuchBucket", "InvalidBucketName")
        answer = await door.send(door.signed("GET", "/metrics", host))
        assert answer.code == "NoSuchKey", "a key of the bucket, not the server's page"

    with_door(test, domains=("s3.example.org",), pages={"/metrics": page})


async def page(_: Request) -> tuple[int, str, bytes]:
    return 200, "text/plain", b"up 1\n"


def test_pages_beside_s3_need_no_signature() -> None:
    async def test(door: Door) -> None:
        answer = await ask(door, "GET", "/metrics?x=1", None)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"up 1\n", "text/plain")
        answer = await ask(door, "HEAD", "/health/live", None)
        assert (answer.status, answer.headers["content-length"]) == (200, "5")
        assert (await ask(door, "POST", "/metrics", None)).status == 405
        assert (await ask(door, "GET", "/metrics/other", None)).code == "InvalidBucketName"
        assert (await ask(door, "GET", "/metrics/other", ROOT)).code == "InvalidBucketName"

    with_door(test, pages={"/metrics": page, "/health/live": page})


def test_exchange_is_counted_and_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[Any, ...]] = []
    monkeypatch.setattr(log, "access", lambda *fields: lines.append(fields))

    async def test(door: Door) -> None:
        lines.clear()
        before = counted("GetObject", "200")
        received, sent = metrics.RECEIVED_BYTES._value.get(), metrics.SENT_BYTES._value.get()
        await ask(door, "GET", "/bucket-1/k?response-content-type=a", user_agent="test/1")
        await ask(door, "GET", "/bucket-1/missing", OTHER)
        await door.send(door.signed("PUT", "/bucket-1/k", body=b"1234567"))
        assert counted("GetObject", "200") == before + 1
        assert metrics.RECEIVED_BYTES._value.get() - received == 7
        assert metrics.SENT_BYTES._value.get() - sent > 5
        get, missing, put = lines
        assert get[1:5] == ("127.0.0.1", "ROOTKEY", "GET", "/bucket-1/k")
        assert get[5:10] == ("GetObject", 200, "", 0, 5)
        assert get[11] == "test/1"
        assert missing[5:8] == ("GetObject", 403, "AccessDenied")
        assert put[5:10] == ("PutObject", 200, "", 7, 0)

    with_door(test)


def test_late_answer_is_chunked_and_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(call: Call) -> Reply:
        async def pieces() -> Any:
            yield b"<?xml version='1.0'?>"
            for _ in range(3):
                await asyncio.sleep(0.01)
                yield b" "
            yield b"<Done/>"

        return Reply(headers={"content-type": "application/xml"}, stream=pieces())

    row = next(row for row in OPERATIONS if row.name == "GetBucketLocation")
    slow = operations.Operation(row.name, row.method, row.scope, row.query, row.action, late)

    async def test(door: Door) -> None:
        monkeypatch.setattr(matching, "match", lambda *_: slow)
        async with door.connection() as connection:
            for _ in range(2):
                connection.write(door.signed("GET", "/bucket-1?location"))
                answer = await connection.answer()
                assert answer.headers["transfer-encoding"] == "chunked"
                assert answer.body == b"<?xml version='1.0'?>   <Done/>"

    with_door(test)


def test_what_fails_after_the_answer_began_counts_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[Any, ...]] = []
    monkeypatch.setattr(log, "access", lambda *fields: lines.append(fields))
    monkeypatch.setattr(keepalive, "QUICK_S", 0.01)

    async def fail() -> None:
        await asyncio.sleep(0.05)
        raise errors.ServiceUnavailable

    async def late(call: Call) -> Reply:
        return await keepalive.answer(call, fail(), lambda _: Reply())

    row = next(row for row in OPERATIONS if row.name == "GetBucketLocation")
    slow = operations.Operation(row.name, row.method, row.scope, row.query, row.action, late)

    async def test(door: Door) -> None:
        monkeypatch.setattr(matching, "match", lambda *_: slow)
        before = counted("GetBucketLocation", "503")
        lines.clear()
        answer = await ask(door, "GET", "/bucket-1?location")
        assert answer.status == 200 and b"<Code>ServiceUnavailable</Code>" in answer.body
        assert counted("GetBucketLocation", "503") == before + 1
        assert [line[5:8] for line in lines] == [("GetBucketLocation", 200, "ServiceUnavailable")]

    with_door(test)


class ReturningIndex:
    """An index that is being built anew: `open` when it is there."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.wait_s = 10.0

    @property
    def is_readable(self) -> bool:
        return self.open.is_set()

    async def wait_readable(self) -> None:
        try:
            await asyncio.wait_for(self.open.wait(), self.wait_s)
        except TimeoutError:
            raise Unavailable("no ledger says where the index is") from None


def test_a_request_waits_for_an_index_that_is_built_anew() -> None:
    """Just after a start that lost the index's drive, one worker may be ready before the other."""
    index = ReturningIndex()

    async def test(door: Door) -> None:
        index.open.clear()
        asked = asyncio.create_task(ask(door, "GET", "/bucket-1/k"))
        await asyncio.sleep(0.1)
        assert not asked.done()
        index.open.set()
        assert (await asked).status == 200
        index.open.clear()
        index.wait_s = 0.05
        late = await ask(door, "GET", "/bucket-1/k")
        assert (late.status, late.code) == (503, "ServiceUnavailable")
        index.open.set()

    with_door(test, index=index)
