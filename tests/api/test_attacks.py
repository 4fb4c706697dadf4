"""Attacks on the S3 door, over raw sockets: each is refused as it should be, and changes nothing.

The numbers are those of the attack table the server was designed against: S1 to S11 (authentication, names),
S22 (timing), S29 to S36 (HTTP, XML, SQL, limits, what answers tell).
"""

import base64
import gzip
import hashlib
import re
import socket
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from objstore.api.authenticate import authenticate
from objstore.model import Identity
from objstore.s3.errors import S3Error
from objstore.s3.sigv4 import SignedRequest
from tests.support.raw import Answer, Signer, exchange, request_bytes
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

SECRET_KEY, SECRET = "secret", b"the secret object"
BODY = b"new body"
STREAM_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAM_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAM_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


class Target:
    """A bucket with one secret object, and how to attack it."""

    def __init__(self, server: Server, s3: Any, bucket: str) -> None:
        self.server, self.s3, self.bucket = server, s3, bucket
        self.host = f"127.0.0.1:{server.port}"
        s3.put_object(Bucket=bucket, Key=SECRET_KEY, Body=SECRET, Metadata={"kept": "yes"})
        self.before = self.state()

    def state(self) -> list[tuple[Any, ...]]:
        """All that is in the bucket."""
        page = self.s3.list_object_versions(Bucket=self.bucket)
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        found = []
        for entry in page.get("Versions", []):
            answer = self.s3.get_object(Bucket=self.bucket, Key=entry["Key"])
            found.append((entry["Key"], answer["Body"].read(), answer["Metadata"], answer["ContentType"]))
        return [*found, *page.get("DeleteMarkers", []), *uploads]

    def signer(self, **changes: Any) -> Signer:
        return Signer(self.host, **changes)

    def path(self, key: str = "key") -> str:
        return f"/{self.bucket}/{key}"

    def send(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        is_head: bool = False,
    ) -> Answer:
        return exchange(self.server.port, request_bytes(method, target, headers, body), is_head=is_head)

    def signed(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        **how: Any,
    ) -> Answer:
        """Send a request that is signed (`how` it is signed: see Signer.headers)."""
        framed = how.pop("framed", body)
        signer = how.pop("signer", None) or self.signer()
        return self.send(method, target, signer.headers(method, target, headers, body, **how), framed)

    def raw(self, data: bytes | Sequence[bytes]) -> Answer:
        return exchange(self.server.port, data)


@pytest.fixture
def target(server, s3, bucket):
    """The target of an attack, which must be as it was afterwards."""
    target = Target(server, s3, bucket)
    yield target
    assert target.state() == target.before


@pytest.fixture
def open_target(server, s3, bucket):
    """A target that a test may change."""
    return Target(server, s3, bucket)


# ------------------------------------------------------------------------------ S1: unsigned x-amz headers

UNSIGNED = [
    ("x-amz-copy-source", "/{bucket}/secret"),
    ("X-AMZ-Copy-Source", "/{bucket}/secret"),
    ("x-amz-acl", "public-read"),
    ("x-amz-tagging", "a=b"),
    ("x-amz-meta-a", "b"),
    ("x-amz-website-redirect-location", "https://evil.example/"),
    ("x-amz-storage-class", "GLACIER"),
    ("x-amz-server-side-encryption", "AES256"),
    ("x-amz-object-lock-legal-hold", "ON"),
    ("x-amz-checksum-crc32", "AAAAAA=="),
    ("x-amz-security-token", "token"),
    ("x-amz-decoded-content-length", "1"),
]


@pytest.mark.parametrize(("name", "value"), UNSIGNED)
def test_s1_an_unsigned_amz_header_with_header_authentication(target, name, value):
    extra = [(name, value.format(bucket=target.bucket))]
    answer = target.signed("PUT", target.path(), body=BODY, unsigned=extra)
    assert answer.refusal == (403, "AccessDenied")
    assert name.lower().encode() in answer.body


@pytest.mark.parametrize(("name", "value"), UNSIGNED)
def test_s1_an_unsigned_amz_header_with_a_presigned_url(target, name, value):
    url = target.signer().presigned("PUT", target.path())
    headers = [("Host", target.host), (name, value.format(bucket=target.bucket))]
    assert target.send("PUT", url, headers, BODY).refusal == (403, "AccessDenied")


# ------------------------------------------------------------------- S2, S3: trailers without a signature

TRAILED = b"8\r\nnew body\r\n0\r\nx-amz-checksum-crc32:" + base64.b64encode(
    zlib.crc32(BODY).to_bytes(4, "big")
)
TRAILED += b"\r\n\r\n"
TRAILED_HEADERS = [
    ("Content-Encoding", "aws-chunked"),
    ("x-amz-decoded-content-length", str(len(BODY))),
    ("x-amz-trailer", "x-amz-checksum-crc32"),
]


def test_unsigned_trailers_under_a_right_signature_are_taken(open_target):
    answer = open_target.signed(
        "PUT", open_target.path(), TRAILED_HEADERS, payload=STREAM_UNSIGNED, framed=TRAILED
    )
    assert answer.status == 200
    assert open_target.s3.get_object(Bucket=open_target.bucket, Key="key")["Body"].read() == BODY


def test_s2_a_wrong_signature_is_refused_before_the_body(target):
    signer = target.signer(secret="wrong")
    headers = signer.headers("PUT", target.path(), TRAILED_HEADERS, payload=STREAM_UNSIGNED)
    headers.append(("Content-Length", "1000000"))
    began = time.monotonic()
    assert target.send("PUT", target.path(), headers).refusal == (403, "SignatureDoesNotMatch")
    assert time.monotonic() - began < 5


def test_s2_no_signature_is_refused_before_the_body(target):
    headers = [("Host", target.host), *TRAILED_HEADERS, ("x-amz-content-sha256", STREAM_UNSIGNED)]
    headers.append(("Content-Length", "1000000"))
    assert target.send("PUT", target.path(), headers).refusal == (403, "AccessDenied")


@pytest.mark.parametrize("word", [STREAM_UNSIGNED, STREAM_SIGNED, STREAM_SIGNED_TRAILER])
def test_s3_a_presigned_request_may_not_stream(target, word):
    headers = [*TRAILED_HEADERS, ("x-amz-content-sha256", word)]
    url = target.signer().presigned("PUT", target.path(), headers=headers, payload=word)
    answer = target.send("PUT", url, [("Host", target.host), *headers], TRAILED)
    assert answer.status in (400, 403)
    url = target.signer().presigned("PUT", target.path())
    assert target.send("PUT", url, [("Host", target.host), *headers], TRAILED).status in (400, 403)


# ------------------------------------------------------------------------------- S4: signed chunks changed

PIECES = [bytes([65 + number]) * 100 for number in range(4)]
A, B, C, D, LAST = range(5)


def send_chunks(
    target: Target,
    change: Callable[[list[bytes]], list[bytes]],
    length: int = 400,
) -> Answer:
    signer = target.signer()
    headers = [("Content-Encoding", "aws-chunked"), ("x-amz-decoded-content-length", str(length))]
    all_headers = signer.headers("PUT", target.path(), headers, payload=STREAM_SIGNED)
    body = b"".join(change(signer.chunks(PIECES)))
    return target.send("PUT", target.path(), all_headers, body)


def test_signed_chunks_are_taken(open_target):
    assert send_chunks(open_target, lambda chunks: chunks).status == 200
    assert open_target.s3.get_object(Bucket=open_target.bucket, Key="key")["Body"].read() == b"".join(PIECES)


def in_order(*order: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda chunks: [chunks[position] for position in order]


def resized(chunks: list[bytes]) -> list[bytes]:
    return [chunks[0].replace(b"64;", b"63;"), *chunks[1:]]


def with_other_data(chunks: list[bytes]) -> list[bytes]:
    return [chunks[0], chunks[1].replace(b"B", b"X"), *chunks[2:]]


@pytest.mark.parametrize(
    ("change", "length", "refusal"),
    [
        (in_order(B, A, C, D, LAST), 400, (403, "SignatureDoesNotMatch")),
        (in_order(A, B, D, LAST), 300, (403, "SignatureDoesNotMatch")),
        (in_order(A, A, B, C, D, LAST), 500, (403, "SignatureDoesNotMatch")),
        (in_order(A, B, C, LAST), 300, (403, "SignatureDoesNotMatch")),
        (in_order(A, B, C, D), 400, (400, "IncompleteBody")),
        (in_order(A, B, C, D, LAST), 399, (400, "IncompleteBody")),
        (in_order(A, B, C, D, LAST), 401, (400, "IncompleteBody")),
        (in_order(A, B, C, D, LAST, LAST), 400, (400, "IncompleteBody")),
        (resized, 400, (403, "SignatureDoesNotMatch")),
        (with_other_data, 400, (403, "SignatureDoesNotMatch")),
    ],
)
def test_s4_chunks_that_are_not_what_was_signed(target, change, length, refusal):
    answer = send_chunks(target, change, length)
    assert answer.refusal == refusal or (change is resized and answer.status in (400, 403))


def test_s4_a_bad_trailer_signature(target):
    signer = target.signer()
    headers = signer.headers(
        "PUT",
        target.path(),
        [("x-amz-decoded-content-length", "400"), ("x-amz-trailer", "x-amz-checksum-crc32")],
        payload=STREAM_SIGNED_TRAILER,
    )
    chunks = b"".join(signer.chunks(PIECES))[:-2]
    value = base64.b64encode(zlib.crc32(b"".join(PIECES)).to_bytes(4, "big")).decode()
    trailer = signer.trailer(f"x-amz-checksum-crc32:{value}\n")
    wrong = trailer[:-6] + bytes([trailer[-6] ^ 1]) + trailer[-5:]
    assert target.send("PUT", target.path(), headers, chunks + wrong).status in (400, 403)
    bare = trailer[: trailer.index(b"x-amz-trailer-signature")] + b"\r\n"
    assert target.send("PUT", target.path(), headers, chunks + bare).status == 400


@pytest.mark.parametrize("length", ["-1", "x", "", "99999999999999999999", "1e3"])
def test_s4_a_decoded_length_that_is_none(target, length):
    headers = [("x-amz-decoded-content-length", length)]
    answer = target.signed("PUT", target.path(), headers, payload=STREAM_UNSIGNED, framed=TRAILED)
    assert answer.status in (400, 411)


# --------------------------------------------------------------------------- S5: bodies other than promised


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.parametrize(
    ("headers", "payload", "refusal"),
    [
        ([], hashlib.sha256(b"other").hexdigest(), (400, "XAmzContentSHA256Mismatch")),
        ([], hashlib.sha256(b"").hexdigest(), (400, "XAmzContentSHA256Mismatch")),
        ([], "unsigned-payload", (400, "InvalidArgument")),
        ([], "", (400, "InvalidArgument")),
        ([("Content-MD5", md5(b"other"))], None, (400, "BadDigest")),
        ([("Content-MD5", "junk")], None, (400, "InvalidDigest")),
        ([("Content-MD5", "")], None, (400, "InvalidDigest")),
        ([("x-amz-checksum-crc32", "AAAAAA==")], None, (400, "BadDigest")),
        ([("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")], None, (400, "BadDigest")),
        ([("x-amz-checksum-sha256", base64.b64encode(b"\0" * 32).decode())], None, (400, "BadDigest")),
        ([("x-amz-checksum-crc32", "AAAA")], None, (400, "InvalidRequest")),
        ([("x-amz-checksum-crc16", "AAA=")], None, (400, "InvalidRequest")),
        (
            [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")],
            None,
            (400, "InvalidRequest"),
        ),
    ],
)
def test_s5_a_body_that_is_not_what_its_headers_say(target, headers, payload, refusal):
    answer = target.signed("PUT", target.path(SECRET_KEY), headers, BODY, payload=payload)
    assert answer.refusal == refusal


def test_s5_the_payload_must_be_named(target):
    headers = [h for h in target.signer().headers("PUT", target.path(), body=BODY) if "sha256" not in h[0]]
    assert target.send("PUT", target.path(), headers, BODY).status in (400, 403)


def test_s5_a_presigned_checksum_of_nothing_and_then_data(target):
    extra = [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-sdk-checksum-algorithm", "CRC32")]
    url = target.signer().presigned("PUT", target.path(), extra=extra)
    assert target.send("PUT", url, [("Host", target.host)], BODY).refusal == (400, "BadDigest")


@pytest.mark.parametrize("length", [len(BODY) + 10, 10**6])
def test_s5_a_body_shorter_than_announced(target, length):
    headers = target.signer().headers("PUT", target.path(SECRET_KEY), payload="UNSIGNED-PAYLOAD")
    data = request_bytes("PUT", target.path(SECRET_KEY), [*headers, ("Content-Length", str(length))], BODY)
    with socket.create_connection(("127.0.0.1", target.server.port), 10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert answer == b"" or b"400" in answer.split(b"\r\n")[0]


# --------------------------------------------------------------------------------- S6: presigned URLs changed


def test_presigned_urls_work(open_target):
    url = open_target.signer().presigned("GET", open_target.path(SECRET_KEY))
    answer = open_target.send("GET", url, [("Host", open_target.host)])
    assert (answer.status, answer.body) == (200, SECRET)
    url = open_target.signer().presigned("PUT", open_target.path("uploaded"))
    assert open_target.send("PUT", url, [("Host", open_target.host)], BODY).status == 200


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda url: url.replace("/secret", "/other"), (403, "SignatureDoesNotMatch")),
        (lambda url: url + "&response-content-type=text/html", (403, "SignatureDoesNotMatch")),
        (lambda url: url + "&versionId=null", (403, "SignatureDoesNotMatch")),
        (lambda url: url + "&X-Amz-Expires=600", (400, "AuthorizationQueryParametersError")),
        (lambda url: url.replace("Expires=600", "Expires=60000"), (403, "SignatureDoesNotMatch")),
        (lambda url: url.replace("%2Fs3%2F", "%2Fiam%2F"), (400, "AuthorizationQueryParametersError")),
        (lambda url: url.replace("%2Fs3%2F", "%2Fs3%2Fs3%2F"), (400, "AuthorizationQueryParametersError")),
        (lambda url: re.sub("Signature=..", "Signature=", url), (403, "SignatureDoesNotMatch")),
        (lambda url: re.sub("&X-Amz-Signature=.*", "", url), (400, "AuthorizationQueryParametersError")),
        (lambda url: re.sub("X-Amz-Date=[^&]*&", "", url), (400, "AuthorizationQueryParametersError")),
        (lambda url: url.replace("=host", "="), (400, "AuthorizationQueryParametersError")),
    ],
)
def test_s6_a_presigned_url_that_was_changed(target, change, refusal):
    url = change(target.signer().presigned("GET", target.path(SECRET_KEY)))
    answer = target.send("GET", url, [("Host", target.host)])
    assert answer.refusal == refusal or (answer.status == 400 and answer.code == "InvalidArgument")
    assert SECRET not in answer.body


def test_s6_a_presigned_url_with_another_method_or_host(target):
    url = target.signer().presigned("GET", target.path(SECRET_KEY))
    for method in ("PUT", "DELETE", "POST"):
        assert target.send(method, url, [("Host", target.host)]).status in (403, 405, 501)
    assert target.send("HEAD", url, [("Host", target.host)], is_head=True).status == 403
    assert target.send("GET", url, [("Host", "evil.example")]).refusal == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("expires", "offset_s", "refusal"),
    [
        (0, 0, (400, "AuthorizationQueryParametersError")),
        (-1, 0, (400, "AuthorizationQueryParametersError")),
        (604801, 0, (400, "AuthorizationQueryParametersError")),
        ("9" * 30, 0, (400, "AuthorizationQueryParametersError")),
        ("x", 0, (400, "AuthorizationQueryParametersError")),
        (60, -120, (403, "AccessDenied")),
        (60, 3600, (403, "AccessDenied")),
    ],
)
def test_s6_a_presigned_url_out_of_its_time(target, expires, offset_s, refusal):
    url = target.signer(offset_s=offset_s).presigned("GET", target.path(SECRET_KEY), expires=expires)
    assert target.send("GET", url, [("Host", target.host)]).refusal == refusal


@pytest.mark.parametrize("changes", [{"region": "mars-north-1"}, {"service": "iam"}])
def test_s6_a_scope_of_another_region_or_service(target, changes):
    url = target.signer(**changes).presigned("GET", target.path(SECRET_KEY))
    assert target.send("GET", url, [("Host", target.host)]).refusal == (
        400,
        "AuthorizationQueryParametersError",
    )
    answer = target.signed("GET", target.path(SECRET_KEY), signer=target.signer(**changes))
    assert answer.refusal == (400, "AuthorizationHeaderMalformed")
    if "region" in changes:
        assert f"<Region>{REGION}</Region>".encode() in answer.body


# ------------------------------------------------------------------------- S7: authentication taken twice


def test_s7_authentication_by_header_and_query_at_once(target):
    url = target.signer().presigned("GET", target.path(SECRET_KEY))
    assert target.signed("GET", url).refusal == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS AKID:signature",
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-ECDSA-P256-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=0",
        "Negotiate \x01",
        "",
    ],
)
def test_s7_authorization_that_is_none(target, authorization):
    headers = [("Host", target.host), ("Authorization", authorization), ("x-amz-date", "20130524T000000Z")]
    assert target.send("GET", target.path(SECRET_KEY), headers).status == 400


def test_s7_a_wrong_signature_of_version_2_in_the_query(target):
    query = f"?AWSAccessKeyId={ROOT_ACCESS_KEY}&Expires=4000000000&Signature=AAAA"
    assert target.send("GET", target.path(SECRET_KEY) + query, [("Host", target.host)]).status == 403


@pytest.mark.parametrize(
    ("names", "status"),
    [((), 400), (("x-amz-content-sha256", "x-amz-date"), 403), (("host", "x-amz-content-sha256"), 403)],
)
def test_s7_what_must_be_signed_and_is_not(target, names, status):
    assert target.signed("GET", target.path(SECRET_KEY), signed_names=names).status == status


def test_s7_a_signed_header_that_is_absent(target):
    names = ("host", "x-amz-content-sha256", "x-amz-date", "x-amz-meta-absent")
    answer = target.signed("GET", target.path(SECRET_KEY), signed_names=names)
    assert answer.refusal == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("name", ["x-amz-date", "Authorization", "x-amz-content-sha256", "Host"])
def test_s7_a_header_twice(target, name):
    headers = target.signer().headers("GET", target.path(SECRET_KEY))
    value = next(v for n, v in headers if n.lower() == name.lower())
    for twice in ([*headers, (name, value)], [(name, value), *headers]):
        answer = target.send("GET", target.path(SECRET_KEY), twice)
        assert answer.status == 400
        assert SECRET not in answer.body


def test_s7_a_clock_that_is_off(target):
    for offset_s in (-1000, 1000):
        answer = target.signed("GET", target.path(SECRET_KEY), signer=target.signer(offset_s=offset_s))
        assert answer.refusal == (403, "RequestTimeTooSkewed")


def test_s7_an_unknown_key_and_a_wrong_secret(target):
    unknown = target.signer(access_key="NOSUCHKEY")
    assert target.signed("GET", target.path(SECRET_KEY), signer=unknown).refusal == (
        403,
        "InvalidAccessKeyId",
    )
    wrong = target.signer(secret="wrong")
    assert target.signed("GET", target.path(SECRET_KEY), signer=wrong).refusal == (
        403,
        "SignatureDoesNotMatch",
    )


# ---------------------------------------------------------------------------------- S8, S9: paths as sent

OPAQUE = {
    "a//b": "a//b",
    "a/./b": "a/./b",
    "a/../b": "a/../b",
    "../b": "../b",
    "%2e%2e/b": "../b",
    "a%2Fb": "a/b",
    "a%2fb": "a/b",
    "a+b": "a+b",
    "a%20b": "a b",
    "a;b=c": "a;b=c",
    "%25ff": "%ff",
    "a%252Fb": "a%2Fb",
    "%E6%97%A5": "日",
    "a/": "a/",
    "a%5Cb": "a\\b",
    "a%01b": "a\x01b",
    "%F0%9F%98%80": "😀",
}


@pytest.mark.parametrize(("sent", "key"), OPAQUE.items())
def test_s8_a_key_is_what_was_sent_decoded_once(open_target, sent, key):
    path = open_target.path(sent)
    canonical = path.replace("%2f", "%2F").replace("+", "%2B").replace(";", "%3B").replace("=", "%3D")
    canonical = canonical.replace("%2e", ".")
    answer = open_target.signed("PUT", path, body=BODY, canonical_path=canonical)
    assert answer.status == 200, answer.body
    assert open_target.s3.get_object(Bucket=open_target.bucket, Key=key)["Body"].read() == BODY
    listed = open_target.s3.list_objects_v2(Bucket=open_target.bucket)["Contents"]
    assert {entry["Key"] for entry in listed} == {SECRET_KEY, key}


@pytest.mark.parametrize(
    "sent", ["%", "%f", "%zz", "%ff", "%C3", "%c0%ae", "%ED%A0%80", "a%", "\udcff", "a#b"]
)
def test_s8_what_is_no_utf8_or_no_escape_is_refused(target, sent):
    path = target.path(sent)
    assert target.signed("PUT", path, body=BODY).status == 400
    assert target.signed("GET", target.path(SECRET_KEY) + "?versionId=%zz").status == 400


def test_s8_plus_and_space_are_two_keys(open_target):
    plus, space = open_target.path("a+b"), open_target.path("a%20b")
    assert open_target.signed("PUT", plus, body=b"+", canonical_path=open_target.path("a%2Bb")).status == 200
    assert open_target.signed("PUT", space, body=b" ").status == 200
    # The signature of one is none of the other.
    answer = open_target.signed("GET", plus, canonical_path=space)
    assert answer.refusal == (403, "SignatureDoesNotMatch")


def test_s8_an_absolute_target_is_the_path_in_it(open_target):
    path = open_target.path(SECRET_KEY)
    headers = open_target.signer().headers("GET", path)
    answer = open_target.send("GET", f"http://{open_target.host}{path}", headers)
    assert (answer.status, answer.body) == (200, SECRET)


def test_s8_the_order_of_a_query_is_no_matter_its_values_are(open_target):
    signed = f"/{open_target.bucket}?list-type=2&prefix=a%20b"
    headers = open_target.signer().headers("GET", signed)
    for same in ("?prefix=a+b&list-type=2", "?prefix=%61%20b&list-type=2"):
        assert open_target.send("GET", f"/{open_target.bucket}{same}", headers).status == 200
    for other in ("?prefix=a&list-type=2", "?prefix=a%2Bb&list-type=2", "?list-type=2", "?prefix=a%20b"):
        answer = open_target.send("GET", f"/{open_target.bucket}{other}", headers)
        assert answer.refusal == (403, "SignatureDoesNotMatch")


def test_s9_authentication_for_one_bucket_reaches_no_other(target, server, other):
    """A second user signs a path that starts with a bucket of theirs."""
    mine = f"mine-{target.bucket}"
    other.create_bucket(Bucket=mine)
    credentials = other._request_signer._credentials
    signer = target.signer(access_key=credentials.access_key, secret=credentials.secret_key)
    for path in (
        f"/{mine}/../{target.bucket}/{SECRET_KEY}",
        f"/{mine}/%2e%2e/{target.bucket}/{SECRET_KEY}",
        f"/{mine}/..%2F{target.bucket}/{SECRET_KEY}",
        f"/{mine}%2F..%2F{target.bucket}/{SECRET_KEY}",
        f"//{target.bucket}/{SECRET_KEY}",
        f"/./{target.bucket}/{SECRET_KEY}",
        f"/../{target.bucket}/{SECRET_KEY}",
    ):
        for method in ("GET", "PUT", "DELETE"):
            answer = target.signed(method, path, signer=signer, canonical_path=path.replace("%2e", "."))
            assert SECRET not in answer.body
    listed = other.list_objects_v2(Bucket=mine).get("Contents", [])
    assert {entry["Key"] for entry in listed} <= {f"../{target.bucket}/{SECRET_KEY}"}


# ---------------------------------------------------------------------- S10, S11: keys in bodies, odd keys


def test_s10_every_key_of_a_document_is_authorised(target, other):
    answer = other.delete_objects(Bucket=target.bucket, Delete={"Objects": [{"Key": SECRET_KEY}]})
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]


def test_s10_the_source_of_a_copy_is_authorised(target, other):
    mine = f"copies-{target.bucket}"
    other.create_bucket(Bucket=mine)
    for source in (f"{target.bucket}/{SECRET_KEY}", f"{mine}/../{target.bucket}/{SECRET_KEY}"):
        with pytest.raises(other.exceptions.ClientError) as caught:
            other.copy_object(Bucket=mine, Key="stolen", CopySource=source)
        assert caught.value.response["Error"]["Code"] in ("AccessDenied", "NoSuchKey")
    assert other.list_objects_v2(Bucket=mine)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [("x" * 1025, 400), ("%00", 400), ("a%00b", 400), ("%E3%81%82" * 342, 400), ("x" * 20_000, 400)],
)
def test_s11_keys_that_are_refused(target, sent, status):
    assert target.signed("PUT", target.path(sent), body=BODY).status == status


@pytest.mark.parametrize(
    "key", ["objstore.json", "shards/00/x", "packs/x.pack", "..", "CON", "x" * 1024, "a/" * 200, ".", "~"]
)
def test_s11_names_of_internal_things_are_ordinary_keys(open_target, key):
    s3, bucket = open_target.s3, open_target.bucket
    s3.put_object(Bucket=bucket, Key=key, Body=BODY)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == BODY
    s3.delete_object(Bucket=bucket, Key=key)
    assert open_target.state() == open_target.before


# -------------------------------------------------------------------------------------------- S22: timing


def test_s22_an_unknown_key_takes_as_long_as_a_wrong_signature():
    class Credentials:
        def find(self, access_key: str) -> tuple[Identity, str] | None:
            return (Identity("u", "u", "u", access_key), "secret") if access_key == "KNOWN" else None

    def seconds(access_key: str) -> float:
        headers = Signer("h", access_key=access_key, secret="wrong").headers("GET", "/b/k")
        request = SignedRequest("GET", "/b/k", "", headers)
        taken = []
        for _ in range(400):
            began = time.perf_counter()
            try:
                authenticate(request, Credentials(), (REGION,))
            except S3Error:
                taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    seconds("KNOWN")
    ratios = [seconds("UNKNOWN") / seconds("KNOWN") for _ in range(7)]
    print(ratios)
    assert 0.6 < statistics.median(ratios) < 1.6


# --------------------------------------------------------------------------------- S29: header injection


@pytest.mark.parametrize(
    "value", ["a\x00b", "a\x01b", "a\x7fb", "a\udcffb", "a\rb", "a\nb", "a\r\nX-Evil: 1", "a\r\n b"]
)
@pytest.mark.parametrize("name", ["x-amz-meta-a", "Content-Type", "Cache-Control", "Content-Disposition"])
def test_s29_what_could_not_be_sent_back_is_not_taken(target, name, value):
    """As far as such a request can be told from two others it is refused; never is an object made by it."""
    headers = target.signer().headers("PUT", target.path(), [(name, value)], BODY)
    assert target.send("PUT", target.path(), headers, BODY).status in (0, 400, 403)


@pytest.mark.parametrize("value", ["a%0D%0AX-Evil%3A%201", "a%00b", "%ff", "a%0Ab", "%C3%BC", "%01"])
@pytest.mark.parametrize(
    "name", ["response-content-type", "response-content-disposition", "response-expires"]
)
def test_s29_overrides_that_could_not_be_sent(target, name, value):
    path = f"{target.path(SECRET_KEY)}?{name}={value}"
    answer = target.signed("GET", path)
    assert answer.status == 400
    assert "x-evil" not in answer.headers


def test_s29_overrides_are_for_signed_requests_alone(target):
    path = f"{target.path(SECRET_KEY)}?response-content-type=text/html"
    assert target.send("GET", path, [("Host", target.host)]).status in (400, 403)


def test_s29_a_key_in_a_location_header_is_encoded(open_target):
    answer = open_target.s3.create_multipart_upload(Bucket=open_target.bucket, Key="a\r\nX-Evil: 1")
    assert "x-evil" not in answer["ResponseMetadata"]["HTTPHeaders"]


# --------------------------------------------------------------------------------- S30, S31: HTTP itself


def plain(target: Target, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


SMUGGLED = [
    ("POST / HTTP/1.1", "Host: h", "Content-Length: 3", "Transfer-Encoding: chunked"),
    ("POST / HTTP/1.1", "Host: h", "Content-Length: 3", "Content-Length: 4"),
    ("POST / HTTP/1.1", "Host: h", "Content-Length: 3, 3"),
    ("POST / HTTP/1.1", "Host: h", "Content-Length: +3"),
    ("POST / HTTP/1.1", "Host: h", "Content-Length: 0x3"),
    ("POST / HTTP/1.1", "Host: h", "Content-Length: -1"),
    ("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip, chunked"),
    ("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked, chunked"),
    ("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: identity"),
    ("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: xchunked"),
    ("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    ("POST / HTTP/1.1", "Host: h", "Transfer-Encoding : chunked"),
    ("POST / HTTP/1.1", "Host: h", "Content-Length : 3"),
    ("GET / HTTP/1.1", "Host: h", "X: a", " folded"),
    ("GET / HTTP/1.1", "Host: h", "X: a\x00b"),
    ("GET / HTTP/1.1", "Host: h", "X Y: a"),
    ("GET / HTTP/1.1",),
    ("GET / HTTP/1.1", "Host: a", "Host: b"),
    ("GET / HTTP/1.1 x", "Host: h"),
    ("GET /a b HTTP/1.1", "Host: h"),
    ("GET  / HTTP/1.1", "Host: h"),
    ("GET / HTTP/9.9", "Host: h"),
    ("G@T / HTTP/1.1", "Host: h"),
]


@pytest.mark.parametrize("lines", SMUGGLED, ids=lambda lines: " | ".join(lines))
def test_s30_what_two_http_readers_could_read_in_two_ways(target, lines):
    answer = target.raw(plain(target, *lines, body=b"abc"))
    assert answer.status in (400, 403, 501, 505), answer
    assert answer.status == 400 or "HTTP/9.9" in lines[0] or "G@T" in lines[0]
    assert answer.is_closed


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\nHost: h\n\n", b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", b"\x16\x03\x01junk\r\n\r\n"],
)
def test_s30_bare_line_feeds_and_junk(target, data):
    with socket.create_connection(("127.0.0.1", target.server.port), 10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400") or answer.startswith(b"HTTP/1.0 400")
    assert answer.count(b"HTTP/1.") <= 1


def test_s30_a_second_request_hidden_in_a_body_is_not_answered(target):
    hidden = plain(target, f"DELETE {target.path(SECRET_KEY)} HTTP/1.1", f"Host: {target.host}")
    headers = target.signer().headers("PUT", target.path(SECRET_KEY), payload="UNSIGNED-PAYLOAD")
    headers += [("Content-Length", str(len(hidden))), ("Transfer-Encoding", "chunked")]
    answer = target.send("PUT", target.path(SECRET_KEY), headers, hidden)
    assert answer.status == 400
    assert answer.is_closed


def test_s31_a_url_as_long_as_a_session_token_makes_it(target):
    url = target.signer().presigned("GET", target.path(SECRET_KEY), extra=[("x-pad", "x" * 20_000)])
    answer = target.send("GET", url, [("Host", target.host)])
    assert answer.status == 200


@pytest.mark.parametrize("size", [40_000, 500_000])
def test_s31_lines_longer_than_that_are_refused(target, size):
    assert target.raw(plain(target, f"GET /{'x' * size} HTTP/1.1", "Host: h")).status in (0, 400, 414, 431)
    long = f"X: {'x' * size}"
    assert target.raw(plain(target, "GET / HTTP/1.1", "Host: h", long)).status in (0, 400, 431)


def test_s31_headers_without_end_are_refused(target):
    lines = [f"X-{number}: {'x' * 1000}" for number in range(2000)]
    assert target.raw(plain(target, "GET / HTTP/1.1", "Host: h", *lines)).status in (0, 400, 431)


def test_s31_metadata_has_a_limit(target):
    headers = [(f"x-amz-meta-{number}", "x" * 300) for number in range(8)]
    answer = target.signed("PUT", target.path(), headers, BODY)
    assert answer.refusal == (400, "MetadataTooLarge")


# -------------------------------------------------------------------------------------------- S32: XML

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
DELETE = "<Delete>{}</Delete>"
ENTRY = "<Object><Key>secret</Key></Object>"

DOCUMENTS = {
    "laughs": f'<!DOCTYPE d [<!ENTITY l0 "secret">{LAUGHS}]>'
    + DELETE.format("<Object><Key>&l8;</Key></Object>"),
    "one entity": f'<!DOCTYPE d [<!ENTITY e "secret">]>{DELETE.format("<Object><Key>&e;</Key></Object>")}',
    "a file": '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    + DELETE.format("<Object><Key>&e;</Key></Object>"),
    "a url": '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x.dtd"><Delete>' + ENTRY + "</Delete>",
    "a doctype alone": "<!DOCTYPE Delete>" + DELETE.format(ENTRY),
    "depth": DELETE.format("<Object>" * 100_000 + "</Object>" * 100_000),
    "1,001 keys": DELETE.format("<Object><Key>k</Key></Object>" * 1001),
    "no keys": "<Delete></Delete>",
    "two keys in one": DELETE.format("<Object><Key>secret</Key><Key>a</Key></Object>"),
    "quiet twice": DELETE.format(f"{ENTRY}<Quiet>true</Quiet><Quiet>false</Quiet>"),
    "another root": f"<Remove>{ENTRY}</Remove>",
    "another namespace": f'<Delete xmlns="http://evil.example/">{ENTRY}</Delete>',
    "no end": f"<Delete>{ENTRY}",
    "two roots": DELETE.format(ENTRY) * 2,
    "text": "delete everything",
    "json": '{"Delete": "secret"}',
    "unknown element": DELETE.format(f"{ENTRY}<Evil/>"),
    "not a boolean": DELETE.format(f"{ENTRY}<Quiet>maybe</Quiet>"),
    "not a number": DELETE.format("<Object><Key>secret</Key><Size>many</Size></Object>"),
}


def delete_document(target: Target, body: bytes) -> Answer:
    headers = [("Content-MD5", md5(body))]
    return target.signed("POST", f"/{target.bucket}?delete", headers, body)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_s32_documents_that_are_refused(target, name):
    began = time.monotonic()
    assert delete_document(target, DOCUMENTS[name].encode()).refusal == (400, "MalformedXML")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-7", "utf-32", "cp037", "latin-1"])
def test_s32_documents_in_other_encodings(target, encoding):
    declared = f'<?xml version="1.0" encoding="{encoding}"?>' + DELETE.format(ENTRY)
    assert delete_document(target, declared.encode(encoding)).refusal == (400, "MalformedXML")


def test_s32_bytes_that_are_no_utf8(target):
    body = DELETE.format(ENTRY).encode().replace(b"secret", b"secret\xff")
    assert delete_document(target, body).refusal == (400, "MalformedXML")


def test_s32_a_document_of_many_bytes(target):
    body = DELETE.format("<Object><Key>" + "x" * 10_000_000 + "</Key></Object>").encode()
    assert delete_document(target, body).status == 400


def test_s32_no_document(target):
    answer = delete_document(target, b"")
    assert (answer.status, answer.code) in ((400, "MalformedXML"), (400, "MissingRequestBodyError"))


# --------------------------------------------------------------------------- S33, S34: bodies, SQL


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "aws-chunked, gzip"])
def test_s33_a_body_is_stored_as_sent(open_target, coding):
    bomb = gzip.compress(b"\0" * 10_000_000)
    answer = open_target.signed("PUT", open_target.path(), [("Content-Encoding", coding)], bomb)
    assert answer.status == 200
    stored = open_target.signed("GET", open_target.path())
    assert stored.body == bomb
    assert stored.headers["content-encoding"] == coding.removeprefix("aws-chunked, ")


SQL = ["%", "_", "'", "' OR '1'='1", "'; DROP TABLE objects; --", '"', "\\", "%25", "a%", "*", "?", "[a-z]"]


@pytest.mark.parametrize("text", SQL)
@pytest.mark.parametrize("name", ["prefix", "delimiter", "start-after", "marker", "key-marker"])
def test_s34_sql_means_nothing(target, name, text):
    versions = "&versions" if name == "key-marker" else "&list-type=2" if name != "marker" else ""
    answer = target.signed("GET", f"/{target.bucket}?{name}={quote(text, safe='')}{versions}")
    assert answer.status == 200
    finds = {"prefix": False, "delimiter": True}.get(name, text < SECRET_KEY)
    assert (SECRET_KEY.encode() in answer.body) == finds


# --------------------------------------------------------------------------------------------- S35: limits


@pytest.mark.parametrize(
    "query",
    [
        "list-type=2&max-keys=-1",
        "list-type=2&max-keys=9223372036854775808",
        "list-type=2&max-keys=" + "9" * 5000,
        "list-type=2&max-keys=1e3",
        "list-type=2&max-keys=0x10",
        "list-type=2&max-keys=%D9%A3",
        "max-keys=junk",
        "versions&max-keys=-1",
        "uploads&max-uploads=-1",
        "list-type=2&continuation-token=junk",
        "list-type=2&encoding-type=html",
        "list-type=2&prefix=a&prefix=b",
        "list-type=2&fetch-owner=maybe",
    ],
)
def test_s35_queries_of_listings(target, query):
    assert target.signed("GET", f"/{target.bucket}?{query}").status == 400


@pytest.mark.parametrize(
    "query", ["max-buckets=0", "max-buckets=-1", "max-buckets=10001", "max-buckets=" + "9" * 99]
)
def test_s35_queries_of_list_buckets(target, query):
    assert target.signed("GET", f"/?{query}").refusal == (400, "InvalidArgument")


def test_s35_long_prefixes_and_delimiters_take_no_time(target):
    began = time.monotonic()
    for name in ("prefix", "delimiter", "start-after"):
        answer = target.signed("GET", f"/{target.bucket}?list-type=2&{name}={'a' * 20_000}")
        assert answer.status in (200, 400)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", ["0", "10001", "-1", "x", "1" * 5000, "%D9%A3"])
def test_s35_part_numbers(target, number):
    upload = target.s3.create_multipart_upload(Bucket=target.bucket, Key="key")["UploadId"]
    try:
        path = f"{target.path()}?partNumber={number}&uploadId={upload}"
        assert target.signed("PUT", path, body=BODY).status == 400
        assert target.signed("GET", f"{target.path(SECRET_KEY)}?partNumber={number}").status in (400, 416)
    finally:
        target.s3.abort_multipart_upload(Bucket=target.bucket, Key="key", UploadId=upload)


def test_s35_more_than_5_gib_is_refused_before_it_is_sent(target):
    headers = target.signer().headers("PUT", target.path(), payload="UNSIGNED-PAYLOAD")
    headers.append(("Content-Length", str(5 * 1024**3 + 1)))
    assert target.send("PUT", target.path(), headers).refusal == (400, "EntityTooLarge")


@pytest.mark.parametrize(
    "value", ["bytes=0-" + "9" * 5000, "bytes=" + "9" * 5000 + "-", "bytes=" + "0-0," * 5000]
)
def test_s35_ranges(target, value):
    answer = target.signed("GET", target.path(SECRET_KEY), [("Range", value)])
    assert answer.status in (200, 206, 416)


# ----------------------------------------------------------------------------- S36: what answers tell


@pytest.mark.parametrize("key", [SECRET_KEY, "not-there"])
def test_s36_strangers_do_not_learn_what_exists(target, key, other):
    credentials = other._request_signer._credentials
    stranger = target.signer(access_key=credentials.access_key, secret=credentials.secret_key)
    for headers in (
        [],
        [("If-None-Match", "*")],
        [("If-Match", '"x"')],
        [("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")],
        [("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")],
        [("Range", "bytes=100000-")],
    ):
        for method in ("GET", "HEAD"):
            signed = stranger.headers(method, target.path(key), headers)
            for sent in (signed, [("Host", target.host), *headers]):
                answer = target.send(method, target.path(key), sent, is_head=method == "HEAD")
                assert answer.status == 403
                assert "etag" not in answer.headers
                assert "last-modified" not in answer.headers
                assert "content-range" not in answer.headers
    for query in ("", "?list-type=2", "?versions", "?uploads", "?location"):
        assert target.signed("GET", f"/{target.bucket}{query}", signer=stranger).refusal == (
            403,
            "AccessDenied",
        )


def test_s36_an_internal_path_is_never_told(target):
    for path in ("/%00", target.path("x" * 2000), f"/{target.bucket}?unknown", "/.."):
        answer = target.signed("GET", path)
        for word in (b"Traceback", b"/objstore/", b"sqlite", b"python", b".py"):
            assert word not in answer.body


def test_a_subresource_nobody_knows_is_never_a_listing(target):
    for query in ("?unknown", "?policyx", "?Acl", "?intelligent-tiering&id=a", "?x=&list-type=2"):
        assert target.signed("GET", f"/{target.bucket}{query}").status in (400, 404, 405, 501)
    answer = target.signed("DELETE", f"/{target.bucket}?unknown")
    assert answer.status in (400, 405, 501)
    answer = target.signed("DELETE", f"{target.path(SECRET_KEY)}?unknown")
    assert answer.status in (400, 405, 501)


def test_every_answer_has_its_request_ids(target):
    answers = [
        target.signed("GET", target.path(SECRET_KEY)),
        target.signed("GET", target.path("not-there")),
        target.send("GET", target.path(SECRET_KEY), [("Host", target.host)]),
        target.send("GET", "/", [("Host", target.host), ("Authorization", "x")]),
    ]
    for answer in answers:
        assert answer.headers["x-amz-request-id"]
        assert answer.headers["x-amz-id-2"]
    ids = {answer.headers["x-amz-request-id"] for answer in answers}
    assert len(ids) == len(answers)
    document = answers[1].body
    assert answers[1].headers["x-amz-request-id"].encode() in document
    assert b"xmlns" not in document


def test_no_secret_is_in_the_log(target):
    target.signed("GET", target.path(SECRET_KEY), signer=target.signer(secret="wrong"))
    assert ROOT_SECRET_KEY not in target.server.log_tail(10_000_000)
