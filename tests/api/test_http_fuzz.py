"""Requests changed at random: the answer is always one of S3's, never a 500, and the door stays open."""

import asyncio
import random

from tests.api.support import Answer, Connection, Door, running_door

REQUESTS = 1500

LINES = (
    ("GET", "/"),
    ("PUT", "/bucket-1"),
    ("HEAD", "/bucket-1"),
    ("GET", "/bucket-1"),
    ("GET", "/bucket-1?list-type=2&prefix=a&delimiter=/&max-keys=3&encoding-type=url"),
    ("GET", "/bucket-1?versions&key-marker=k"),
    ("GET", "/bucket-1?uploads"),
    ("GET", "/bucket-1?location"),
    ("POST", "/bucket-1?delete"),
    ("POST", "/bucket-1"),
    ("PUT", "/bucket-1/k"),
    ("GET", "/bucket-1/k"),
    ("HEAD", "/bucket-1/k"),
    ("DELETE", "/bucket-1/other"),
    ("GET", "/bucket-1/k?attributes"),
    ("GET", "/bucket-1/k?versionId=null&response-content-type=text/plain"),
    ("POST", "/bucket-1/k?uploads"),
    ("PUT", "/bucket-1/k?uploadId=abc&partNumber=1"),
    ("GET", "/bucket-1/k?uploadId=abc"),
    ("POST", "/bucket-1/k?uploadId=abc"),
    ("DELETE", "/bucket-1/k?uploadId=abc"),
)
HEADERS = (
    ("range", "bytes=0-1"),
    ("if-match", '"abc"'),
    ("if-none-match", "*"),
    ("if-modified-since", "Mon, 16 Nov 2009 17:50:30 GMT"),
    ("x-amz-copy-source", "/bucket-1/k?versionId=null"),
    ("x-amz-metadata-directive", "REPLACE"),
    ("x-amz-tagging", "a=b&c=d"),
    ("x-amz-acl", "private"),
    ("x-amz-checksum-crc32", "NhCmhg=="),
    ("x-amz-sdk-checksum-algorithm", "SHA256"),
    ("x-amz-object-attributes", "ETag,ObjectSize"),
    ("x-amz-object-lock-mode", "GOVERNANCE"),
    ("x-amz-object-lock-retain-until-date", "2099-01-01T00:00:00Z"),
    ("x-amz-storage-class", "STANDARD"),
    ("x-amz-expected-bucket-owner", "a" * 64),
    ("x-amz-meta-a", "b"),
    ("x-amz-mp-object-size", "5"),
    ("x-amz-copy-source-range", "bytes=0-1"),
    ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
    ("content-encoding", "aws-chunked,gzip"),
    ("x-amz-decoded-content-length", "5"),
    ("content-type", "multipart/form-data; boundary=x"),
    ("expires", "never"),
    ("origin", "http://example.org"),
)
BODIES = (
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"<Delete><Object><Key>k</Key></Object></Delete>",
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    b"<CreateBucketConfiguration><LocationConstraint>us-east-1</LocationConstraint></CreateBucketConfiguration>",
    b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello\r\n--x--\r\n',
)
METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH")
ODD = (
    "\0",
    "%",
    "%zz",
    "é",
    "\xff",
    "'",
    '"',
    "<",
    "&",
    "=",
    "?",
    "#",
    "/",
    "..",
    ";",
    ",",
    "-1",
    "9" * 25,
    " ",
)


def mutated(text: str, random_: random.Random) -> str:
    """`text` with something odd put in, left out or repeated."""
    at = random_.randrange(len(text) + 1)
    match random_.randrange(3):
        case 0:
            return text[:at] + random_.choice(ODD) + text[at:]
        case 1:
            return text[:at] + text[at + random_.randrange(1, 5) :]
        case _:
            return text[:at] + text[max(0, at - 5) :]


def sendable(text: str, *, is_target: bool = False) -> str:
    """Without what would make it another request line or header: that is tested elsewhere."""
    for character in "\r\n\0" + (" " if is_target else ""):
        text = text.replace(character, "")
    return text


def random_request(door: Door, random_: random.Random) -> tuple[str, bytes]:
    method, target = random_.choice(LINES)
    if random_.random() < 0.05:
        method = random_.choice(METHODS)
    headers = dict(random_.sample(HEADERS, random_.choice((0, 0, 0, 1, 2, 4))))
    body = random_.choice(BODIES)
    for _ in range(random_.choice((0, 0, 1, 2))):
        match random_.randrange(3):
            case 0:
                target = "/" + sendable(mutated(target, random_), is_target=True).lstrip("/")
            case 1 if headers:
                name = random_.choice(list(headers))
                headers[name] = sendable(mutated(headers[name], random_))
            case _:
                body = mutated(body.decode("latin-1"), random_).encode("latin-1", "replace")
    payload = "UNSIGNED-PAYLOAD"
    if "x-amz-decoded-content-length" in headers and random_.random() < 0.5:
        payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    raw = door.signed(method, target.encode().decode("latin-1"), headers, body, payload=payload)
    return method, raw


async def exchange(connection: Connection, method: str, raw: bytes) -> Answer:
    connection.write(raw)
    return await connection.answer(method=method)


def test_no_request_is_answered_with_an_internal_error(seeded: random.Random) -> None:
    async def run() -> None:
        async with running_door() as door:
            for target, body in (("/bucket-1", b""), ("/bucket-1/k", b"hello")):
                assert (await door.send(door.signed("PUT", target, body=body))).status == 200
            statuses: dict[int, int] = {}
            sent = 0
            while sent < REQUESTS:
                async with door.connection() as connection:
                    while sent < REQUESTS:
                        method, raw = random_request(door, seeded)
                        sent += 1
                        answer = await exchange(connection, method, raw)
                        statuses[answer.status] = statuses.get(answer.status, 0) + 1
                        assert answer.status != 500, (raw, answer)
                        assert answer.headers["x-amz-request-id"]
                        if answer.status >= 400 and method != "HEAD":
                            assert answer.code, (raw, answer)
                        if answer.headers.get("connection") == "close":
                            break
            assert {200, 400, 404, 501} <= set(statuses), statuses
            assert statuses[200] > REQUESTS / 10, statuses
            assert (await door.send(door.signed("PUT", "/bucket-1", body=b""))).status in (200, 409)

    asyncio.run(run())
