"""The client of other S3 servers, against our own and against moto."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

import pytest

from objstore.model import Checksum, ChecksumType
from objstore.remote import client as module
from objstore.remote.client import NewPart, RemoteError, RemoteObject, RemoteS3, RemoteUnavailable
from objstore.remote.endpoint import Endpoint
from objstore.s3 import xml
from objstore.s3.documents.locking import LegalHold
from tests.support import moto
from tests.support.moto import Moto, running_moto
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server, free_port

R = TypeVar("R")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def foreign() -> Iterator[Moto]:
    with running_moto() as running:
        yield running


@pytest.fixture(params=["own", "moto"])
def place(request: pytest.FixtureRequest, server: Server, foreign: Moto) -> tuple[Endpoint, Any]:
    """An endpoint, and a boto3 client of the same server."""
    if request.param == "own":
        return Endpoint("own", server.endpoint, REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY), server.client()
    return Endpoint("moto", foreign.url, moto.REGION, moto.ACCESS_KEY, moto.SECRET_KEY), foreign.client()


@pytest.fixture
def endpoint(place: tuple[Endpoint, Any]) -> Endpoint:
    return place[0]


@pytest.fixture
def there(place: tuple[Endpoint, Any], bucket_name: str) -> Any:
    """The boto3 client, with the bucket made."""
    place[1].create_bucket(Bucket=bucket_name)
    yield place[1]
    place[1].close()


def run(endpoint: Endpoint, act: Callable[[RemoteS3], Awaitable[R]]) -> R:
    async def once() -> R:
        remote = RemoteS3(endpoint)
        try:
            return await act(remote)
        finally:
            await remote.close()
            await asyncio.sleep(0.01)  # connections broken off in mid-body take a moment to close

    return asyncio.run(once())


async def pieces(data: bytes, piece_bytes: int = 700_001) -> AsyncIterator[memoryview]:
    for offset in range(0, len(data), piece_bytes):
        yield memoryview(data)[offset : offset + piece_bytes]


def put(endpoint: Endpoint, bucket: str, key: str, data: bytes, *args: Any, **more: Any) -> RemoteObject:
    return run(endpoint, lambda remote: remote.put(bucket, key, len(data), pieces(data), *args, **more))


def got(endpoint: Endpoint, bucket: str, key: str, offset: int, length: int, **more: Any) -> bytes:
    async def read(remote: RemoteS3) -> bytes:
        async with aclosing(remote.get(bucket, key, offset, length, **more)) as stream:
            return b"".join([piece async for piece in stream])

    return run(endpoint, read)


@pytest.mark.parametrize("key", ["a", "dir/ü +~&=?%2F", "a//b/../c", "'()*!;:@$,"])
def test_put_head_get_delete(endpoint: Endpoint, there: Any, bucket_name: str, key: str) -> None:
    headers = {"content-type": "text/plain", "x-amz-meta-mine": "yes", "cache-control": "no-store"}
    made = put(endpoint, bucket_name, key, b"0123456789", headers)
    assert made.etag == hashlib.md5(b"0123456789").hexdigest()
    seen = there.get_object(Bucket=bucket_name, Key=key)
    assert (seen["Body"].read(), seen["ContentType"]) == (b"0123456789", "text/plain")
    assert (seen["Metadata"], seen["CacheControl"]) == ({"mine": "yes"}, "no-store")
    found = run(endpoint, lambda remote: remote.head(bucket_name, key))
    assert found is not None and (found.etag, found.size) == (made.etag, 10)
    assert found.headers["x-amz-meta-mine"] == "yes"
    assert got(endpoint, bucket_name, key, 2, 5) == b"23456"
    assert got(endpoint, bucket_name, key, 0, 10, etag=made.etag) == b"0123456789"
    assert got(endpoint, bucket_name, key, 3, 0) == b""
    run(endpoint, lambda remote: remote.delete(bucket_name, key))
    assert run(endpoint, lambda remote: remote.head(bucket_name, key)) is None


def test_an_empty_object(endpoint: Endpoint, there: Any, bucket_name: str) -> None:
    assert put(endpoint, bucket_name, "empty", b"").etag == hashlib.md5(b"").hexdigest()
    assert there.head_object(Bucket=bucket_name, Key="empty")["ContentLength"] == 0


def test_versions(endpoint: Endpoint, there: Any, bucket_name: str) -> None:
    there.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
    first = put(endpoint, bucket_name, "a", b"one")
    second = put(endpoint, bucket_name, "a", b"two!")
    assert first.version_id and second.version_id and first.version_id != second.version_id
    assert got(endpoint, bucket_name, "a", 0, 3, version_id=first.version_id) == b"one"
    marker = run(endpoint, lambda remote: remote.delete(bucket_name, "a"))
    assert marker
    assert run(endpoint, lambda remote: remote.head(bucket_name, "a")) is None
    old = run(endpoint, lambda remote: remote.head(bucket_name, "a", first.version_id))
    assert old is not None and old.size == 3
    run(endpoint, lambda remote: remote.delete(bucket_name, "a", marker))
    found = run(endpoint, lambda remote: remote.head(bucket_name, "a"))
    assert found is not None and found.version_id == second.version_id


def test_a_body_larger_than_the_buffer_is_streamed(
    endpoint: Endpoint, there: Any, bucket_name: str, seeded: random.Random
) -> None:
    data = seeded.randbytes(2 * MIB + 12345) * 5
    assert len(data) > module.BUFFER_BYTES
    assert put(endpoint, bucket_name, "a", data).etag == hashlib.md5(data).hexdigest()
    assert there.get_object(Bucket=bucket_name, Key="a")["Body"].read() == data
    assert "ContentEncoding" not in there.head_object(Bucket=bucket_name, Key="a")


def test_a_large_object_goes_in_parts(
    endpoint: Endpoint,
    there: Any,
    bucket_name: str,
    seeded: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MULTIPART_BYTES", 8 * MIB)
    data = seeded.randbytes(1 * MIB) * 17
    made = put(endpoint, bucket_name, "a", data, {"content-type": "text/plain"})
    assert made.etag.endswith("-3")
    seen = there.get_object(Bucket=bucket_name, Key="a")
    assert (seen["Body"].read(), seen["ContentType"]) == (data, "text/plain")


def test_the_caller_may_say_how_it_is_cut(
    endpoint: Endpoint, there: Any, bucket_name: str, seeded: random.Random
) -> None:
    data = seeded.randbytes(14 * MIB)
    sizes = [5 * MIB, 9 * MIB]  # the second is streamed
    made = put(endpoint, bucket_name, "a", data, parts=[NewPart(size) for size in sizes])
    digest = b"".join(hashlib.md5(part).digest() for part in (data[: 5 * MIB], data[5 * MIB :]))
    assert made.etag == f"{hashlib.md5(digest).hexdigest()}-2"
    assert there.get_object(Bucket=bucket_name, Key="a")["Body"].read() == data


def test_parts_with_checksums(server: Server, s3: Any, bucket: str) -> None:
    import base64

    own = Endpoint("own", server.endpoint, REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
    data = b"x" * 5 * MIB + b"y"

    def checksum(part: bytes) -> Checksum:
        digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
        return Checksum("SHA256", digest, ChecksumType.FULL_OBJECT)

    parts = [NewPart(5 * MIB, checksum(data[: 5 * MIB])), NewPart(1, checksum(b"y"))]
    put(own, bucket, "a", data, {"x-amz-checksum-algorithm": "SHA256"}, parts=parts)
    seen = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert seen["ChecksumSHA256"].endswith("-2")


def test_tags_and_other_documents(endpoint: Endpoint, there: Any, bucket_name: str) -> None:
    put(endpoint, bucket_name, "a", b"x")
    tags = {"one": "1", "two + three": "=2@/"}
    run(endpoint, lambda remote: remote.put_tagging(bucket_name, "a", tags))
    found = there.get_object_tagging(Bucket=bucket_name, Key="a")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == tags
    document = run(endpoint, lambda remote: remote.document(bucket_name, "a", {"tagging": ""}))
    assert b"two + three" in document
    assert run(endpoint, lambda remote: remote.document(bucket_name, query={"list-type": "2"}))
    held = xml.dumps(LegalHold(status="ON"))
    with pytest.raises(RemoteError):  # a bucket without locks
        run(endpoint, lambda remote: remote.put_document(bucket_name, "a", "legal-hold", held))


def test_refusals_tell_status_and_code(endpoint: Endpoint, there: Any, bucket_name: str) -> None:
    with pytest.raises(RemoteError) as caught:
        put(endpoint, f"{bucket_name}-none", "a", b"x")
    assert (caught.value.status, caught.value.code) == (404, "NoSuchBucket")
    with pytest.raises(RemoteError) as caught:
        got(endpoint, bucket_name, "none", 0, 1)
    assert (caught.value.status, caught.value.code) == (404, "NoSuchKey")
    etag = put(endpoint, bucket_name, "a", b"x").etag
    with pytest.raises(RemoteError) as caught:
        got(endpoint, bucket_name, "a", 0, 1, etag=etag[::-1])
    assert caught.value.status == 412


def test_wrong_credentials_are_refused(server: Server, bucket: str) -> None:
    wrong = Endpoint("own", server.endpoint, REGION, ROOT_ACCESS_KEY, "wrong")
    for data in (b"x", bytes(9 * MIB)):
        with pytest.raises((RemoteError, RemoteUnavailable)):
            put(wrong, bucket, "a", data)
    with pytest.raises(RemoteError) as caught:
        run(wrong, lambda remote: remote.delete(bucket, "a"))
    assert (caught.value.status, caught.value.code) == (403, "SignatureDoesNotMatch")
    assert "wrong" not in repr(wrong)


@pytest.mark.parametrize("size", [1000, 9 * MIB, 70 * MIB])
def test_a_body_that_breaks_off_leaves_nothing(server: Server, s3: Any, bucket: str, size: int) -> None:
    own = Endpoint("own", server.endpoint, REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)

    async def broken() -> AsyncIterator[bytes]:
        for _ in range(max(1, size // MIB - 1)):
            yield bytes(min(size - 1, MIB))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(own, lambda remote: remote.put(bucket, "a", size, broken()))
    with pytest.raises(EOFError):
        run(own, lambda remote: remote.put(bucket, "a", size, pieces(bytes(size - 1))))
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}", "http://169.254.169.254", "http://0.0.0.0:1", "http://nowhere.invalid"]
)
def test_what_cannot_be_reached_is_unavailable(url: str) -> None:
    nowhere = Endpoint("none", url.format(port=free_port()), REGION, "a", "b")
    with pytest.raises(RemoteUnavailable):
        run(nowhere, lambda remote: remote.head("bucket", "key"))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, b"", RemoteUnavailable),
        (500, b"<Error><Code>InternalError</Code></Error>", RemoteUnavailable),
        (400, b"<Error><Code>RequestTimeout</Code></Error>", RemoteUnavailable),
        (429, b"", RemoteUnavailable),
        (403, b"<Error><Code>AccessDenied</Code></Error>", RemoteError),
        (501, b"<Error><Code>NotImplemented</Code></Error>", RemoteError),
        (301, b"<Error><Code>PermanentRedirect</Code></Error>", RemoteError),
        (307, b"", RemoteError),
        (400, b"<!DOCTYPE html><html>&nbsp;", RemoteError),
    ],
)
def test_other_answers(status: int, body: bytes, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        _ask_of_canned(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)


def test_an_answer_that_breaks_off_is_unavailable() -> None:
    with pytest.raises(RemoteUnavailable):
        _ask_of_canned(b"HTTP/1.1 206 X\r\nContent-Length: 9\r\n\r\n1234")
    with pytest.raises(RemoteUnavailable):
        _ask_of_canned(b"HTTP/1.1 206 X\r\nContent-Length: 4\r\n\r\n1234")
    assert _ask_of_canned(b"HTTP/1.1 206 X\r\nContent-Length: 9\r\n\r\n123456789") == b"123456789"


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.2)
    with pytest.raises(RemoteUnavailable):
        _ask_of_canned(b"HTTP/1.1 206 X\r\nContent-Length: 9\r\n\r\n1", hangs=True)


def _ask_of_canned(answer: bytes, *, hangs: bool = False) -> bytes:
    """What comes of a GET of nine bytes that a server answers with these bytes."""

    async def once() -> bytes:
        served: list[asyncio.Future[None]] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(asyncio.get_running_loop().create_future())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            if hangs:
                await reader.read()
            writer.close()
            served[-1].set_result(None)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        remote = RemoteS3(Endpoint("canned", f"http://127.0.0.1:{port}", REGION, "a", "b"))
        try:
            async with aclosing(remote.get("bucket", "key", 0, 9)) as stream:
                return b"".join([piece async for piece in stream])
        finally:
            await remote.close()
            server.close()
            await asyncio.gather(*served)

    return asyncio.run(once())


def test_uploads_that_broke_off_are_given_up(endpoint: Endpoint, there: Any, bucket_name: str) -> None:
    for key in ("a", "a", "ab"):
        there.create_multipart_upload(Bucket=bucket_name, Key=key)
    assert run(endpoint, lambda remote: remote.abort_uploads(bucket_name, "a")) == 2
    (left,) = there.list_multipart_uploads(Bucket=bucket_name)["Uploads"]
    assert left["Key"] == "ab"
    assert run(endpoint, lambda remote: remote.abort_uploads(bucket_name, "a")) == 0
