"""Request bodies: opened by their headers, read in pieces, counted, and broken off when they lie."""

import asyncio
import hashlib
import random
from collections.abc import Mapping

import pytest

from objstore import blocking, clock
from objstore.api import body as body_module
from objstore.api.authenticate import NOBODY, Proof
from objstore.api.body import PUT_BYTES_MAX, ChunkedBody, PlainBody, Wire, open_body
from objstore.api.call import Operation
from objstore.api.operations import OPERATIONS
from objstore.s3 import sigv4
from objstore.s3.errors import (
    EntityTooLarge,
    IncompleteBody,
    MalformedXML,
    MissingContentLength,
    RequestTimeout,
    S3Error,
    SignatureDoesNotMatch,
    XAmzContentSHA256Mismatch,
)

ROWS = {row.name: row for row in OPERATIONS}


class Pieces:
    """A connection that delivers these pieces; `error` breaks it off."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.error = error
        self.was_welcomed = False

    async def readany(self) -> bytes:
        await asyncio.sleep(0)
        if not self.pieces and self.error is not None:
            raise self.error
        return self.pieces.pop(0) if self.pieces else b""

    def read_nowait(self) -> bytes:
        return b""

    def at_eof(self) -> bool:
        return not self.pieces and self.error is None

    def send_continue(self) -> None:
        self.was_welcomed = True


def opened(
    operation: Operation, headers: Mapping[str, str], source: Pieces, proof: Proof = NOBODY
) -> PlainBody | ChunkedBody:
    return open_body(Wire(source, 5), operation, proof, headers)


def signed(payload: str) -> Proof:
    """The proof of a request whose signature covers `payload`."""
    key = sigv4.signing_key("secret", "20240101", "us-east-1")
    claim = sigv4.Claim(
        access_key="K",
        scope=sigv4.Scope("20240101", "us-east-1", "s3"),
        signed_headers=(),
        signature="0" * 64,
        timestamp="20240101T000000Z",
        time_s=0,
        payload=payload,
    )
    return Proof(NOBODY.identity, claim, key)


async def collected(body: PlainBody | ChunkedBody) -> bytes:
    return b"".join([piece async for piece in body])


PUT = ROWS["PutObject"]
DELETE_MANY = ROWS["DeleteObjects"]


@pytest.mark.parametrize(
    ("operation", "headers", "error"),
    [
        (PUT, {}, MissingContentLength),
        (ROWS["UploadPart"], {}, MissingContentLength),
        (PUT, {"content-length": str(PUT_BYTES_MAX + 1)}, EntityTooLarge),
        (ROWS["UploadPart"], {"content-length": str(PUT_BYTES_MAX + 1)}, EntityTooLarge),
        (DELETE_MANY, {"content-length": str(100 * 1024 * 1024)}, MalformedXML),
        (
            PUT,
            {
                "content-length": "100",
                "x-amz-content-sha256": sigv4.STREAMING_UNSIGNED_TRAILER,
                "x-amz-decoded-content-length": str(PUT_BYTES_MAX + 1),
            },
            EntityTooLarge,
        ),
        (
            PUT,
            {"content-length": "100", "x-amz-content-sha256": sigv4.STREAMING_UNSIGNED_TRAILER},
            MissingContentLength,
        ),
    ],
)
def test_length_is_judged_before_anything_is_read(
    operation: Operation, headers: dict[str, str], error: type[S3Error]
) -> None:
    source = Pieces(b"x")
    with pytest.raises(error):
        opened(operation, headers, source)
    assert not source.was_welcomed


def test_sender_is_welcomed_when_the_first_piece_is_asked_for() -> None:
    source = Pieces(b"ab", b"c")
    body = opened(PUT, {"content-length": "3"}, source)
    assert (body.length, source.was_welcomed) == (3, False)
    assert asyncio.run(collected(body)) == b"abc"
    assert source.was_welcomed


def test_body_without_length_is_none_except_for_uploads() -> None:
    body = opened(ROWS["CreateBucket"], {}, Pieces())
    assert (body.length, asyncio.run(body.read(10))) == (0, b"")
    framed = opened(PUT, {"transfer-encoding": "chunked"}, Pieces(b"ab", b"c"))
    assert (framed.length, asyncio.run(collected(framed))) == (None, b"abc")


def test_body_without_length_is_bounded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "PUT_BYTES_MAX", 5)
    for pieces, fits in (((b"abc", b"de"), True), ((b"abc", b"def"), False)):
        body = opened(PUT, {"transfer-encoding": "chunked"}, Pieces(*pieces))
        if fits:
            assert asyncio.run(collected(body)) == b"abcde"
        else:
            with pytest.raises(EntityTooLarge):
                asyncio.run(collected(body))


def test_read_is_bounded_by_what_its_caller_allows() -> None:
    for headers in ({"content-length": "6"}, {"transfer-encoding": "chunked"}):
        with pytest.raises(EntityTooLarge):
            asyncio.run(opened(PUT, headers, Pieces(b"abc", b"def")).read(5))
        assert asyncio.run(opened(PUT, headers, Pieces(b"abc", b"def")).read(6)) == b"abcdef"


@pytest.mark.parametrize("error", [ConnectionResetError(), RuntimeError("closed"), ValueError("bad chunk")])
def test_connection_that_breaks_is_an_incomplete_body(error: Exception) -> None:
    for headers in ({"content-length": "6"}, {"transfer-encoding": "chunked"}):
        with pytest.raises(IncompleteBody):
            asyncio.run(collected(opened(PUT, headers, Pieces(b"abc", error=error))))


def test_body_that_ends_early_is_incomplete() -> None:
    with pytest.raises(IncompleteBody):
        asyncio.run(collected(opened(PUT, {"content-length": "6"}, Pieces(b"abc"))))


def test_promised_digest_is_kept_or_the_body_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    hops = []
    run = blocking.run

    async def counting(function: object, *args: object) -> object:
        hops.append(function)
        return await run(function, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(blocking, "run", counting)
    large, small = b"x" * 1_000_000, b"y" * 1000
    proof = signed(hashlib.sha256(large + small).hexdigest())
    headers = {"content-length": str(len(large + small))}
    assert asyncio.run(collected(opened(PUT, headers, Pieces(large, small), proof))) == large + small
    assert len(hops) == 1, "the large piece is hashed in a thread, the small one is not"
    with pytest.raises(XAmzContentSHA256Mismatch):
        asyncio.run(collected(opened(PUT, headers, Pieces(large, b"z" * 1000), proof)))


def signed_chunks(data: bytes, chunk_bytes: int, proof: Proof) -> bytes:
    """`data` in signed aws-chunked framing."""
    from objstore.s3.chunked import ChunkSigning

    assert proof.claim is not None and proof.key is not None
    signing, previous, out = ChunkSigning.of(proof.claim, proof.key), proof.claim.signature, b""
    for offset in [*range(0, len(data), chunk_bytes), len(data)]:
        chunk = data[offset : offset + chunk_bytes]
        previous, _ = signing.chunk(previous, hashlib.sha256(chunk).hexdigest())
        out += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), previous.encode(), chunk)
    return out


def test_signed_chunks_come_out_whole_however_they_are_cut(seeded: random.Random) -> None:
    data = seeded.randbytes(700_000)
    proof = signed(sigv4.STREAMING_SIGNED)
    framed = signed_chunks(data, 65_536, proof)
    headers = {"content-length": str(len(framed)), "x-amz-decoded-content-length": str(len(data))}
    for _ in range(5):
        cuts = sorted(seeded.sample(range(1, len(framed)), seeded.randrange(6)))
        pieces = [framed[a:b] for a, b in zip([0, *cuts], [*cuts, len(framed)], strict=True)]
        body = opened(PUT, headers, Pieces(*pieces), proof)
        assert body.length == len(data)
        assert asyncio.run(collected(body)) == data
    at = framed.index(data[100_000:100_020])
    changed = framed[:at] + b"?" + framed[at + 1 :]
    with pytest.raises(SignatureDoesNotMatch):
        asyncio.run(collected(opened(PUT, headers, Pieces(changed), proof)))


def test_sender_that_says_nothing_is_given_up() -> None:
    class Silent(Pieces):
        async def readany(self) -> bytes:
            await asyncio.sleep(60)
            return b""

        def at_eof(self) -> bool:
            return False

    body = open_body(Wire(Silent(), 0.05), PUT, NOBODY, {"content-length": "5"})
    with pytest.raises(RequestTimeout):
        asyncio.run(collected(body))


def test_sender_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]

    class Trickle(Pieces):
        async def readany(self) -> bytes:
            now_s[0] += 4.0
            return b"x"

        def at_eof(self) -> bool:
            return False

    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s[0])
    body = open_body(Wire(Trickle(), 60), PUT, NOBODY, {"content-length": "1000"})
    with pytest.raises(RequestTimeout):
        asyncio.run(collected(body))
    assert body_module.RATE_GRACE_S <= now_s[0] <= 2 * body_module.RATE_GRACE_S
