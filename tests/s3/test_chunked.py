"""The aws-chunked decoder: AWS's published uploads, cuts anywhere, and bodies that must be refused."""

import base64
import hashlib
import random
from dataclasses import replace

import pytest
from awscrt import checksums as crt

from objstore.s3 import sigv4
from objstore.s3.chunked import AwsChunkedDecoder, ChunkSigning, Payload, parse_payload
from objstore.s3.errors import IncompleteBody, MalformedTrailer, S3Error, SignatureDoesNotMatch

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = sigv4.signing_key(SECRET, "20130524", "us-east-1")
SCOPE = "20130524/us-east-1/s3/aws4_request"
DATA = b"a" * 66560
CRC32C = "x-amz-checksum-crc32c"


def signing(seed: str) -> ChunkSigning:
    return ChunkSigning(seed, KEY, "20130524T000000Z", SCOPE)


SEED = signing("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
TRAILER_SEED = signing("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")


def chunk(data: bytes, signature: str | None = None) -> bytes:
    extension = f";chunk-signature={signature}" if signature else ""
    return f"{len(data):x}{extension}\r\n".encode() + data + b"\r\n"


def signed_body(data: bytes, size: int, seed: ChunkSigning, trailers: dict[str, str] | None = None) -> bytes:
    """`data` in signed chunks of `size` bytes."""
    previous, body = seed.seed, b""
    for piece in [*(data[i : i + size] for i in range(0, len(data), size)), b""]:
        previous, _ = seed.chunk(previous, hashlib.sha256(piece).hexdigest())
        body += chunk(piece, previous) if piece else f"0;chunk-signature={previous}\r\n".encode()
    if trailers is not None:
        lines = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        signature, _ = seed.trailer(previous, hashlib.sha256(lines.encode()).hexdigest())
        body += lines.replace("\n", "\r\n").encode() + f"x-amz-trailer-signature:{signature}\r\n".encode()
    return body + b"\r\n"


def unsigned_body(data: bytes, size: int, trailers: dict[str, str] | None = None) -> bytes:
    body = b"".join(chunk(data[i : i + size]) for i in range(0, len(data), size)) + b"0\r\n"
    return body + "".join(f"{n}:{v}\r\n" for n, v in (trailers or {}).items()).encode() + b"\r\n"


def payload(length: int, *, is_signed: bool = False, trailers: tuple[str, ...] = ()) -> Payload:
    return Payload(is_chunked=True, is_signed=is_signed, decoded_length=length, trailers=trailers)


def decode(decoder: AwsChunkedDecoder, body: bytes, cut: int = 1 << 30) -> bytes:
    pieces = [piece for i in range(0, len(body), cut) for piece in decoder.feed(body[i : i + cut])]
    decoder.finish()
    return b"".join(pieces)


def crc32c(data: bytes) -> str:
    return base64.b64encode(crt.crc32c(data).to_bytes(4, "big")).decode()


# ------------------------------------------------------------------------------ what AWS has published

AWS_CHUNKS = [
    (DATA[:65536], "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (DATA[65536:], "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
]
AWS_LAST = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
AWS_TRAILER_CHUNKS = [
    (DATA[:65536], "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
    (DATA[65536:], "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
]
AWS_TRAILER_LAST = "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
AWS_TRAILER_SIGNATURE = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def test_the_published_chunked_upload_is_decoded():
    body = b"".join(chunk(*c) for c in AWS_CHUNKS) + f"0;chunk-signature={AWS_LAST}\r\n\r\n".encode()
    assert len(body) == 66824
    assert decode(AwsChunkedDecoder(payload(66560, is_signed=True), SEED), body) == DATA


@pytest.mark.parametrize(
    "end", ["\r\n{}\r\n\r\n", "\n{}\r\n\r\n", "\n\r\n\r\n{}\r\n\r\n", "\r\n{}\r\n", "\r\n{}\n"]
)
def test_the_published_upload_with_a_trailer_is_decoded(end):
    body = b"".join(chunk(*c) for c in AWS_TRAILER_CHUNKS)
    body += f"0;chunk-signature={AWS_TRAILER_LAST}\r\n{CRC32C}:sOO8/Q==".encode()
    body += end.format(f"x-amz-trailer-signature:{AWS_TRAILER_SIGNATURE}").encode()
    decoder = AwsChunkedDecoder(payload(66560, is_signed=True, trailers=(CRC32C,)), TRAILER_SEED)
    assert decode(decoder, body) == DATA
    assert decoder.trailers == {CRC32C: "sOO8/Q=="}


# --------------------------------------------------------------------------------------- cuts anywhere


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 64, 1000, 1 << 20])
@pytest.mark.parametrize("size", [1, 5, 64, 700])
@pytest.mark.parametrize("length", [0, 1, 64, 700])
def test_a_body_may_be_cut_anywhere(length, size, cut):
    data = random.Random(length).randbytes(length)
    trailers = {CRC32C: crc32c(data)}
    for is_signed in (False, True):
        for given in (None, trailers):
            if is_signed:
                body, seed = signed_body(data, size, SEED, given), SEED
            else:
                body, seed = unsigned_body(data, size, given), None
            decoder = AwsChunkedDecoder(
                payload(length, is_signed=is_signed, trailers=tuple(given or ())), seed
            )
            assert decode(decoder, body, cut) == data
            assert decoder.trailers == (given or {})


def test_the_last_empty_line_may_be_missing():
    assert decode(AwsChunkedDecoder(payload(3)), b"3\r\nabc\r\n0\r\n") == b"abc"


def test_a_piece_that_is_all_data_is_not_copied():
    decoder = AwsChunkedDecoder(payload(8))
    assert decoder.feed(b"8\r\n") == []
    data = b"abcd"
    assert decoder.feed(data)[0] is data


# ----------------------------------------------------------------------------------------------- refusals


def signed_pieces(count: int = 4, size: int = 10) -> list[bytes]:
    body = signed_body(b"".join(bytes([65 + i]) * size for i in range(count)), size, SEED)
    pieces, start = [], 0
    for _ in range(count):
        stop = body.index(b"\r\n", body.index(b"\r\n", start) + 2) + 2
        pieces.append(body[start:stop])
        start = stop
    return [*pieces, body[start:]]


A, B, C, D, LAST = range(5)


@pytest.mark.parametrize(
    ("order", "length", "error"),
    [
        ((A, B, C, D, LAST), 40, None),
        ((B, A, C, D, LAST), 40, SignatureDoesNotMatch),
        ((A, B, D, LAST), 30, SignatureDoesNotMatch),
        ((A, B, D, LAST), 40, SignatureDoesNotMatch),
        ((A, A, B, C, D, LAST), 50, SignatureDoesNotMatch),
        ((A, B, C, LAST), 30, SignatureDoesNotMatch),
        ((A, B, C, LAST), 40, IncompleteBody),
        ((A, B, C, D), 40, IncompleteBody),
        ((A, B, C, D, LAST), 39, IncompleteBody),
        ((A, B, C, D, LAST), 41, IncompleteBody),
        ((A, B, C, D, LAST, A), 40, IncompleteBody),
        ((LAST,), 0, SignatureDoesNotMatch),
        ((), 0, IncompleteBody),
    ],
)
def test_chunks_cannot_be_moved_dropped_or_repeated(order, length, error):
    pieces = signed_pieces()
    body = b"".join(pieces[i] for i in order)
    decoder = AwsChunkedDecoder(payload(length, is_signed=True), SEED)
    if error is None:
        assert len(decode(decoder, body)) == length
    else:
        with pytest.raises(error):
            decode(decoder, body)


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_no_byte_of_a_signed_body_can_be_changed(position):
    body = bytearray(signed_body(b"some bytes to be signed" * 8, 50, SEED, {CRC32C: "AAAAAA=="}))
    position %= len(body)
    body[position] ^= 0x01
    decoder = AwsChunkedDecoder(payload(184, is_signed=True, trailers=(CRC32C,)), SEED)
    with pytest.raises(S3Error) as caught:
        decode(decoder, bytes(body))
    assert caught.value.status in (400, 403)


def test_a_body_of_another_request_is_refused():
    other = replace(SEED, seed="0" * 64)
    with pytest.raises(SignatureDoesNotMatch):
        decode(AwsChunkedDecoder(payload(3, is_signed=True), other), signed_body(b"abc", 3, SEED))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"3\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"3\r\nabcd\r\n0\r\n\r\n", IncompleteBody),
        (b"3\r\nabc0\r\n\r\n", IncompleteBody),
        (b"3\r\nab", IncompleteBody),
        (b"3\r\nabc", IncompleteBody),
        (b"3\r\nabc\r\n", IncompleteBody),
        (b"x\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"-3\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"+3\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b" 3\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"0x3\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"3;chunk-signature=" + b"0" * 64 + b"\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"ffffffffffffffff\r\nabc\r\n", IncompleteBody),
        (b"00000000000000000003\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"3" * 2000, IncompleteBody),
        (b"\r\n3\r\nabc\r\n0\r\n\r\n", IncompleteBody),
        (b"3\r\nabc\r\n0\r\n\r\nmore", IncompleteBody),
        (b"3\r\nabc\r\n0\r\nx-amz-meta-a:1\r\n\r\n", MalformedTrailer),
        (b"3\r\nabc\r\n0\r\nno colon\r\n\r\n", MalformedTrailer),
        (b"3\r\nabc\r\n0\r\n" + b"x" * 20000, IncompleteBody),
        (b"3\r\nabc\r\n0\r\n" + b"\xff:\xff\r\n\r\n", MalformedTrailer),
        (b"3\r\nabc\r\n0\r\nx-amz-trailer-signature:00\r\n\r\n", MalformedTrailer),
    ],
)
def test_bodies_that_are_refused(body, error):
    with pytest.raises(error):
        decode(AwsChunkedDecoder(payload(3)), body)


@pytest.mark.parametrize(
    "trailer",
    ["", f"{CRC32C}:a\r\n{CRC32C}:a\r\n", "x-amz-checksum-crc32:a\r\n", f"{CRC32C}:a\r\nx-amz-meta-b:1\r\n"],
)
def test_exactly_the_promised_trailers_must_come(trailer):
    decoder = AwsChunkedDecoder(payload(3, trailers=(CRC32C,)))
    with pytest.raises(MalformedTrailer):
        decode(decoder, f"3\r\nabc\r\n0\r\n{trailer}\r\n".encode())


@pytest.mark.parametrize("change", ["no signature", "wrong signature", "changed value"])
def test_signed_trailers_must_be_signed(change):
    body = signed_body(b"abc", 3, SEED, {CRC32C: "AAAAAA=="})
    if change == "no signature":
        body = body[: body.index(b"x-amz-trailer-signature")] + b"\r\n"
    elif change == "wrong signature":
        body = body[:-68] + b"0" * 64 + b"\r\n\r\n"
    else:
        body = body.replace(b"AAAAAA==", b"BAAAAA==")
    decoder = AwsChunkedDecoder(payload(3, is_signed=True, trailers=(CRC32C,)), SEED)
    with pytest.raises((MalformedTrailer, SignatureDoesNotMatch)):
        decode(decoder, body)


# ------------------------------------------------------------------------------------ what headers say


def claim(word: str) -> sigv4.Claim:
    scope = sigv4.Scope("20130524", "us-east-1", "s3")
    return sigv4.Claim("AK", scope, ("host",), "0" * 64, "20130524T000000Z", 0, word)


LENGTH = {"x-amz-decoded-content-length": "10"}
TRAILER = {"x-amz-trailer": CRC32C}


@pytest.mark.parametrize(
    ("claimed", "headers", "expected"),
    [
        (None, {}, Payload()),
        ("UNSIGNED-PAYLOAD", {}, Payload()),
        ("UNSIGNED-PAYLOAD", {"content-encoding": "aws-chunked"}, Payload()),
        ("0" * 64, {}, Payload(sha256="0" * 64)),
        (None, {"x-amz-content-sha256": "0" * 64}, Payload(sha256="0" * 64)),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", LENGTH, payload(10, is_signed=True)),
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            LENGTH | TRAILER,
            payload(10, is_signed=True, trailers=(CRC32C,)),
        ),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", LENGTH | TRAILER, payload(10, trailers=(CRC32C,))),
        (None, LENGTH | TRAILER | {"content-encoding": "gzip, AWS-chunked"}, payload(10, trailers=(CRC32C,))),
        (None, LENGTH | {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, payload(10)),
    ],
)
def test_how_a_body_is_framed(claimed, headers, expected):
    assert parse_payload(claim(claimed) if claimed else None, headers) == expected


@pytest.mark.parametrize(
    ("claimed", "headers", "code"),
    [
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {}, "MissingContentLength"),
        (
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            {"x-amz-decoded-content-length": "-1"},
            "MissingContentLength",
        ),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", {"x-amz-decoded-content-length": "a"}, "MissingContentLength"),
        (
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            {"x-amz-decoded-content-length": "9" * 5000},
            "InvalidArgument",
        ),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", LENGTH | {"x-amz-trailer": "x-amz-meta-a"}, "InvalidRequest"),
        (
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            LENGTH | {"x-amz-trailer": f"{CRC32C},x-amz-checksum-sha1"},
            "InvalidRequest",
        ),
        (None, LENGTH | {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, "InvalidRequest"),
    ],
)
def test_framings_that_are_refused(claimed, headers, code):
    with pytest.raises(S3Error) as caught:
        parse_payload(claim(claimed) if claimed else None, headers)
    assert caught.value.code == code
