"""Signatures: AWS's published examples, botocore as the other side, and requests that must be refused."""

import hashlib
import random
import timeit
from calendar import timegm
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from objstore import clock
from objstore.s3 import sigv4
from objstore.s3.errors import S3Error
from objstore.s3.sigv4 import SignedRequest

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
AT_S = timegm((2013, 5, 24, 0, 0, 0))
HOST = ("Host", "examplebucket.s3.amazonaws.com")
PATH_HOST = ("Host", "s3.amazonaws.com")
REDUCED = ("x-amz-storage-class", "REDUCED_REDUNDANCY")


def authenticate(
    request: SignedRequest, now_s: int = AT_S, regions: tuple[str, ...] = (REGION,)
) -> sigv4.Claim:
    claim = sigv4.parse_claim(request)
    assert claim is not None
    sigv4.check_claim(claim, request, now_s, regions)
    scope = claim.scope
    sigv4.verify(claim, request, sigv4.signing_key(SECRET, scope.date, scope.region, scope.service))
    return claim


def signed(
    method: str = "GET",
    raw_path: str = "/bucket/key",
    raw_query: str = "",
    headers: tuple[tuple[str, str], ...] = (HOST,),
    payload: str = sigv4.EMPTY_SHA256,
    extra: tuple[tuple[str, str], ...] = (),
    **scope: str,
) -> SignedRequest:
    """A request signed with `headers`, then given `extra` headers that the signature does not know."""
    request = SignedRequest(method, raw_path, raw_query, headers)
    added = sigv4.sign(
        request, ACCESS_KEY, SECRET, scope.get("region", REGION), AT_S, payload, scope.get("service", "s3")
    )
    return SignedRequest(method, raw_path, raw_query, [*headers, *added, *extra])


def presigned(
    method: str = "GET",
    raw_path: str = "/bucket/key",
    raw_query: str = "",
    headers: tuple[tuple[str, str], ...] = (HOST,),
    expires_s: int = 600,
) -> SignedRequest:
    request = SignedRequest(method, raw_path, raw_query, headers)
    query = sigv4.presign(request, ACCESS_KEY, SECRET, REGION, AT_S, expires_s)
    return SignedRequest(method, raw_path, query, headers)


def refusal(request: SignedRequest, now_s: int = AT_S) -> S3Error:
    with pytest.raises(S3Error) as caught:
        authenticate(request, now_s)
    return caught.value


# ------------------------------------------------------------------------------ what AWS has published

AWS_EXAMPLES = [
    pytest.param(
        ("GET", "/test.txt", "", (HOST, ("Range", "bytes=0-9"))),
        sigv4.EMPTY_SHA256,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        id="get-object",
    ),
    pytest.param(
        ("PUT", "/test$file.text", "", (HOST, ("Date", "Fri, 24 May 2013 00:00:00 GMT"), REDUCED)),
        hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        id="put-object",
    ),
    pytest.param(
        ("GET", "/", "lifecycle", (HOST,)),
        sigv4.EMPTY_SHA256,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        id="get-bucket-lifecycle",
    ),
    pytest.param(
        ("GET", "/", "max-keys=2&prefix=J", (HOST,)),
        sigv4.EMPTY_SHA256,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        id="list-objects",
    ),
    pytest.param(
        (
            "PUT",
            "/examplebucket/chunkObject.txt",
            "",
            (
                PATH_HOST,
                ("Content-Encoding", "aws-chunked"),
                ("Content-Length", "66824"),
                ("x-amz-decoded-content-length", "66560"),
                REDUCED,
            ),
        ),
        sigv4.STREAMING_SIGNED,
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        id="chunked-upload-seed",
    ),
    pytest.param(
        (
            "PUT",
            "/examplebucket/chunkObject.txt",
            "",
            (
                PATH_HOST,
                ("Content-Encoding", "aws-chunked"),
                ("x-amz-decoded-content-length", "66560"),
                REDUCED,
                ("x-amz-trailer", "x-amz-checksum-crc32c"),
            ),
        ),
        sigv4.STREAMING_SIGNED_TRAILER,
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        id="chunked-upload-with-trailer-seed",
    ),
]


@pytest.mark.parametrize(("request_", "payload", "expected"), AWS_EXAMPLES)
def test_the_published_examples_have_the_published_signatures(request_, payload, expected):
    request = signed(*request_, payload)
    assert authenticate(request).signature == expected


def test_the_published_presigned_url_has_the_published_signature():
    request = presigned("GET", "/test.txt", "", (HOST,), 86400)
    claim = authenticate(request, AT_S + 86400)
    assert claim.signature == "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


# ------------------------------------------------------------------------------------ what botocore sends

PIECES = ["a", "Z", "0", " ", "+", "%", "%2F", "/", "//", ".", "..", "~", "!", "$", "&", "'", "(", ")", "*"]
PIECES += [
    ",",
    ";",
    "=",
    "@",
    "[",
    "]",
    "{",
    "|",
    "}",
    "^",
    '"',
    "<",
    ">",
    "\\",
    "`",
    "ü",
    "日",
    "😀",
    "\x01",
]


def random_text(random_: random.Random, longest: int = 12) -> str:
    return "".join(random_.choice(PIECES) for _ in range(random_.randint(1, longest)))


def from_botocore(request: AWSRequest) -> SignedRequest:
    parts = urlsplit(request.url)
    host = request.headers.get("Host") or parts.netloc
    headers = [(name, value) for name, value in request.headers.items() if name.lower() != "host"]
    return SignedRequest(request.method, parts.path, parts.query, [("Host", host), *headers])


@pytest.mark.parametrize("seed", range(8))
def test_requests_signed_by_botocore_are_verified(seed):
    print("seed", seed)
    random_ = random.Random(seed)
    now_s = clock.now_s()
    for _ in range(60):
        key, method = random_text(random_), random_.choice(["GET", "PUT", "HEAD", "DELETE", "POST"])
        url = f"http://127.0.0.1:9000/bucket/{quote(key, safe='/~')}"
        names = {random_text(random_, 4) for _ in range(random_.randint(0, 4))}
        query = {name: random_.choice(["", random_text(random_)]) for name in names}
        headers = {
            "x-amz-meta-spaces": random_.choice(["  a   b ", "a\tb", "", "plain", "ünï"]),
            "Content-Type": "text/plain",
            "x-amz-meta-UPPER": "Value",
        }
        request = AWSRequest(
            method,
            url + ("?" + urlencode(query, quote_via=quote) if query else ""),
            headers=headers if random_.random() < 0.7 else {},
            data=random_.choice([b"", b"body"]),
        )
        credentials = Credentials(ACCESS_KEY, SECRET)
        if random_.random() < 0.5:
            S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
        else:
            request.data = b""  # botocore would fold it into the query
            S3SigV4QueryAuth(credentials, "s3", REGION, expires=60).add_auth(request)
        claim = authenticate(from_botocore(request), now_s)
        assert claim.access_key == ACCESS_KEY


# ------------------------------------------------------------------------------------- canonicalisation


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("", "/"),
        ("/", "/"),
        ("/b//c", "/b//c"),
        ("/b/./c/../d", "/b/./c/../d"),
        ("/b/%2e%2e/x", "/b/../x"),
        ("/b/a+b", "/b/a%2Bb"),
        ("/b/a%2bb", "/b/a%2Bb"),
        ("/b/a%20b", "/b/a%20b"),
        ("/b/a b", "/b/a%20b"),
        ("/b/%c3%bc", "/b/%C3%BC"),
        ("/b/ü", "/b/%C3%BC"),
        ("/b/\udcff", "/b/%FF"),
        ("/b/%7E~", "/b/~~"),
        ("/b/a%2Fb", "/b/a%2Fb"),
        ("/b/a%2fb", "/b/a%2Fb"),
        ("/b/;=@$&,!'()*:", "/b/%3B%3D%40%24%26%2C%21%27%28%29%2A%3A"),
        ("/b/100%", "/b/100%25"),
    ],
)
def test_a_path_is_encoded_once_and_its_segments_left_alone(raw, canonical):
    assert sigv4.canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("", ""),
        ("acl", "acl="),
        ("acl=", "acl="),
        ("b=2&a=1", "a=1&b=2"),
        ("a=b&a=a", "a=a&a=b"),
        ("prefix=a+b", "prefix=a%20b"),
        ("prefix=a%2Bb", "prefix=a%2Bb"),
        ("prefix=a%2fb/c", "prefix=a%2Fb%2Fc"),
        ("a=1&&b=2", "a=1&b=2"),
        ("a=b=c", "a=b%3Dc"),
        ("%61=%7e", "a=~"),
        ("ü=日", "%C3%BC=%E6%97%A5"),
        ("a%21=1&a!=2&a%20=3", "a%20=3&a%21=1&a%21=2"),  # sorted after encoding
    ],
)
def test_a_query_is_decoded_encoded_and_then_sorted(raw, canonical):
    assert sigv4.canonical_query(raw) == canonical


def test_an_encoded_slash_may_be_signed_as_sent_or_decoded():
    sent = "/bucket/a%2Fb"
    as_sent = signed(raw_path=sent)
    decoded = signed(raw_path="/bucket/a/b")
    authenticate(as_sent)
    authenticate(SignedRequest("GET", sent, "", decoded.headers))
    assert refusal(SignedRequest("GET", "/bucket/a%2Fc", "", as_sent.headers)).code == "SignatureDoesNotMatch"


def test_a_parameter_given_twice_may_be_signed_in_the_order_sent():
    """As minio-go does, which mc listens with: it sorts by name alone."""
    sent = "ping=10&events=b&events=a"
    spare = signed(raw_query=sent)
    authenticate(spare)
    claim = sigv4.parse_claim(spare)
    assert claim is not None
    key = sigv4.signing_key(SECRET, "20130524", REGION)
    for order, code in (
        ("events=b&events=a&ping=10", None),
        ("ping=10&events=b&events=a", "SignatureDoesNotMatch"),
    ):
        canonical = sigv4.canonical_request(claim, "GET", spare.raw_path, order)
        proof = sigv4.signature(key, sigv4.string_to_sign(claim, canonical))
        headers = [
            (name, value.replace(claim.signature, proof) if name.lower() == "authorization" else value)
            for name, value in spare.headers
        ]
        request = SignedRequest("GET", spare.raw_path, sent, headers)
        if code is None:
            authenticate(request)
        else:
            assert refusal(request).code == code


def test_header_values_are_trimmed_and_folded_and_repeated_ones_joined():
    headers = (HOST, ("x-amz-meta-a", "  one   two "), ("x-amz-meta-b", "1"), ("X-Amz-Meta-B", "2"))
    request = signed(headers=headers)
    folded = [(n, "one two" if n == "x-amz-meta-a" else v) for n, v in request.headers if n != "X-Amz-Meta-B"]
    folded = [(n, "1,2" if n == "x-amz-meta-b" else v) for n, v in folded]
    authenticate(SignedRequest("GET", "/bucket/key", "", folded))


# ----------------------------------------------------------------------------------------------- refusals


def without(request: SignedRequest, *names: str) -> SignedRequest:
    headers = [header for header in request.headers if header[0].lower() not in names]
    return SignedRequest(request.method, request.raw_path, request.raw_query, headers)


def with_authorization(value: str) -> SignedRequest:
    request = signed()
    return SignedRequest(
        "GET", request.raw_path, "", [*without(request, "authorization").headers, ("Authorization", value)]
    )


def authorization(
    credential: str = f"{ACCESS_KEY}/20130524/{REGION}/s3/aws4_request",
    names: str = "host;x-amz-content-sha256;x-amz-date",
    signature: str = "0" * 64,
) -> str:
    return f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"


UNSIGNED_HEADERS = [
    "x-amz-copy-source",
    "x-amz-acl",
    "x-amz-tagging",
    "x-amz-meta-a",
    "X-Amz-Website-Redirect-Location",
    "x-amz-server-side-encryption",
    "x-amz-security-token",
    "x-amz-object-lock-mode",
]


@pytest.mark.parametrize("header", UNSIGNED_HEADERS)
@pytest.mark.parametrize("make", [signed, presigned])
def test_an_unsigned_amz_header_is_refused(make, header):
    request = make()
    request = SignedRequest(
        request.method, request.raw_path, request.raw_query, [*request.headers, (header, "v")]
    )
    error = refusal(request)
    assert (error.status, error.code) == (403, "AccessDenied")
    assert error.elements["HeadersNotSigned"] == header.lower()


def test_a_signed_header_may_stand_in_the_query_alone():
    """An older SDK for JavaScript presigns so, and nobody need send again what the URL says."""
    encrypted = ("x-amz-server-side-encryption", "aws:kms")
    query = "x-amz-server-side-encryption=aws%3Akms"
    url = presigned("PUT", raw_query=query, headers=(HOST, encrypted))
    authenticate(url)
    authenticate(without(url, encrypted[0]))
    other = SignedRequest(url.method, url.raw_path, url.raw_query, [HOST, (encrypted[0], "AES256")])
    assert refusal(other).code == "SignatureDoesNotMatch"
    left_out = presigned("PUT", headers=(HOST, encrypted))
    assert refusal(without(left_out, encrypted[0])).code == "SignatureDoesNotMatch"


def test_an_unsigned_header_is_named_before_the_payload_is_looked_at():
    url = presigned("PUT")
    sent = [HOST, ("x-amz-date", "20211122T191045Z"), ("x-amz-content-sha256", sigv4.STREAMING_SIGNED)]
    error = refusal(SignedRequest(url.method, url.raw_path, url.raw_query, sent))
    assert (error.code, error.elements["HeadersNotSigned"]) == ("AccessDenied", "x-amz-date")


def test_an_unsigned_content_sha256_is_signed_by_the_last_line_of_the_canonical_request():
    claim = sigv4.parse_claim(signed())
    assert claim is not None
    request = with_authorization(authorization(names="host;x-amz-date"))
    assert (
        refusal(request).code == "SignatureDoesNotMatch"
    )  # not AccessDenied: it got as far as the signature
    url = presigned("PUT")
    changed = SignedRequest(
        "PUT", url.raw_path, url.raw_query, [*url.headers, ("x-amz-content-sha256", "0" * 64)]
    )
    assert refusal(changed).code == "SignatureDoesNotMatch"
    same = SignedRequest(
        "PUT", url.raw_path, url.raw_query, [*url.headers, ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]
    )
    authenticate(same)


HEADER_REFUSALS = [
    ("AWS AKID:c2ln", 400, "InvalidRequest"),
    ("Basic dXNlcjpwYXNz", 400, "InvalidArgument"),
    ("Bearer token", 400, "InvalidArgument"),
    ("AWS4-ECDSA-P256-SHA256 Credential=a, SignedHeaders=b, Signature=c", 400, "InvalidRequest"),
    ("AWS4-HMAC-SHA256", 400, "AuthorizationHeaderMalformed"),
    ("AWS4-HMAC-SHA256 Credential=a", 400, "AuthorizationHeaderMalformed"),
    (authorization() + ", Signature=1", 400, "AuthorizationHeaderMalformed"),
    (authorization() + ", Extra=1", 400, "AuthorizationHeaderMalformed"),
    (authorization(credential=ACCESS_KEY), 400, "AuthorizationHeaderMalformed"),
    (authorization(credential=f"a/{ACCESS_KEY}/20130524/us-east-1/s3/aws4_request"), 400, None),
    (authorization(credential="/20130524/us-east-1/s3/aws4_request"), 400, "AuthorizationHeaderMalformed"),
    (authorization(credential=f"{ACCESS_KEY}/2013/us-east-1/s3/aws4_request"), 400, None),
    (authorization(credential=f"{ACCESS_KEY}/20130525/us-east-1/s3/aws4_request"), 400, None),
    (authorization(credential=f"{ACCESS_KEY}/20130524/us-west-2/s3/aws4_request"), 400, None),
    (authorization(credential=f"{ACCESS_KEY}/20130524/us-east-1/ec2/aws4_request"), 400, None),
    (authorization(credential=f"{ACCESS_KEY}/20130524/us-east-1/s3/aws3_request"), 400, None),
    (authorization(names=""), 400, "AuthorizationHeaderMalformed"),
    (authorization(names="Host;x-amz-date"), 400, "AuthorizationHeaderMalformed"),
    (authorization(names="host;host;x-amz-date"), 400, "AuthorizationHeaderMalformed"),
    (authorization(names=";".join(f"h{i}" for i in range(500))), 400, "AuthorizationHeaderMalformed"),
    (authorization(names="x-amz-date"), 403, "AccessDenied"),  # host is not signed
    (authorization(), 403, "SignatureDoesNotMatch"),
    (authorization(signature=""), 403, "SignatureDoesNotMatch"),
    (authorization(signature="ü" * 64), 403, "SignatureDoesNotMatch"),
]


@pytest.mark.parametrize(("value", "status", "code"), HEADER_REFUSALS)
def test_authorization_headers_that_are_refused(value, status, code):
    error = refusal(with_authorization(value))
    assert (error.status, error.code) == (status, code or "AuthorizationHeaderMalformed")


def test_a_refusal_for_the_wrong_region_names_the_right_one():
    error = refusal(signed(region="eu-west-1"))
    assert error.elements["Region"] == REGION
    assert error.message == (
        "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"
    )


def test_accepted_regions_are_configurable():
    request = signed(region="eu-west-1")
    assert authenticate(request, regions=("us-east-1", "eu-west-1")).scope.region == "eu-west-1"
    assert authenticate(request, regions=()).scope.region == "eu-west-1"


def test_a_wrong_signature_is_explained():
    request = signed()
    headers = [(n, "bytes=0-1" if n == "Range" else v) for n, v in request.headers]
    error = refusal(SignedRequest("GET", "/bucket/other", "", headers))
    assert (error.status, error.code) == (403, "SignatureDoesNotMatch")
    assert error.elements["CanonicalRequest"].startswith("GET\n/bucket/other\n\nhost:examplebucket.s3")
    assert error.elements["StringToSign"].startswith("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1")
    assert bytes.fromhex(error.elements["StringToSignBytes"]).decode() == error.elements["StringToSign"]
    assert error.elements["AWSAccessKeyId"] == ACCESS_KEY
    assert len(error.elements["SignatureProvided"]) == 64


@pytest.mark.parametrize(
    "change", [("HEAD", "/bucket/key", ""), ("GET", "/bucket/kex", ""), ("GET", "/bucket/key", "acl")]
)
@pytest.mark.parametrize("make", [signed, presigned])
def test_a_signature_is_good_for_one_method_path_and_query(make, change):
    request = make()
    method, path, query = change
    joined = "&".join(part for part in (request.raw_query, query) if part)
    assert refusal(SignedRequest(method, path, joined, request.headers)).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("make", [signed, presigned])
def test_a_signature_is_good_for_one_host(make):
    request = make()
    other = [(n, "evil.example" if n == "Host" else v) for n, v in request.headers]
    changed = SignedRequest(request.method, request.raw_path, request.raw_query, other)
    assert refusal(changed).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["authorization", "host", "x-amz-date", "x-amz-content-sha256"])
def test_a_repeated_header_that_readers_could_disagree_on_is_refused(name):
    request = signed()
    value = next(v for n, v in request.headers if n.lower() == name)
    repeated = SignedRequest("GET", request.raw_path, "", [*request.headers, (name, value)])
    assert refusal(repeated).status == 400


def test_a_signed_header_that_is_absent_is_refused_even_when_signed_as_empty():
    request = signed(headers=(HOST, ("x-empty", "")))
    assert refusal(without(request, "x-empty")).code == "SignatureDoesNotMatch"


def test_the_payload_must_be_named():
    assert refusal(without(signed(), "x-amz-content-sha256")).code == "InvalidRequest"


@pytest.mark.parametrize(
    "payload",
    [
        "unsigned-payload",
        "",
        "0" * 63,
        "Z" * 64,
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD",
    ],
)
def test_a_payload_word_that_is_unknown_is_refused(payload):
    assert refusal(signed(payload=payload)).code == "InvalidArgument"


@pytest.mark.parametrize("word", sorted(sigv4.STREAMING))
def test_a_presigned_request_may_not_stream(word):
    for header in ({}, {"x": "1"}):
        url = presigned("PUT", headers=(HOST, ("x-amz-content-sha256", word)))
        assert refusal(url).status == 400, header
    assert refusal(presigned("PUT", raw_query=f"X-Amz-Content-Sha256={word}")).status == 400


@pytest.mark.parametrize(("offset_s", "code"), [(0, None), (900, None), (-900, None), (901, 1), (-901, 1)])
def test_a_request_is_good_for_fifteen_minutes_either_way(offset_s, code):
    if code is None:
        authenticate(signed(), AT_S + offset_s)
    else:
        error = refusal(signed(), AT_S + offset_s)
        assert (error.status, error.code) == (403, "RequestTimeTooSkewed")
        assert error.elements["MaxAllowedSkewMilliseconds"] == "900000"


@pytest.mark.parametrize(
    "date", ["Fri, 24 May 2013 00:00:00 GMT", "Fri, 24 May 2013 00:00:00 -0000", "20130524T000000Z"]
)
def test_a_date_header_alone_will_do(date):
    headers = (HOST, ("Date", date))
    request = signed(headers=headers)
    claim = sigv4.parse_claim(request)
    assert claim is not None
    names = tuple(name for name in claim.signed_headers if name != "x-amz-date")
    bare = without(request, "x-amz-date", "authorization")
    canonical = sigv4.canonical_request(
        sigv4.Claim(
            ACCESS_KEY,
            claim.scope,
            names,
            "",
            claim.timestamp,
            claim.time_s,
            claim.payload,
            headers=claim.headers,
        ),
        "GET",
        "/bucket/key",
        "",
    )
    key = sigv4.signing_key(SECRET, "20130524", REGION)
    proof = sigv4.signature(key, sigv4.string_to_sign(claim, canonical))
    header = ("Authorization", authorization(names=";".join(names), signature=proof))
    authenticate(SignedRequest("GET", "/bucket/key", "", [*bare.headers, header]))


@pytest.mark.parametrize("date", [None, "yesterday", "20130524T250000Z", "2013-05-24T00:00:00Z"])
def test_a_request_without_a_readable_date_is_refused(date):
    request = without(signed(), "x-amz-date")
    headers = [*request.headers, *([("x-amz-date", date)] if date else [])]
    error = refusal(SignedRequest("GET", "/bucket/key", "", headers))
    assert (error.status, error.code) == (403, "AccessDenied")


def changed_query(request: SignedRequest, name: str, value: str | None) -> SignedRequest:
    pieces = [piece for piece in request.raw_query.split("&") if not piece.startswith(name + "=")]
    if value is not None:
        pieces.append(f"{name}={value}")
    return SignedRequest(request.method, request.raw_path, "&".join(pieces), request.headers)


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("X-Amz-Expires", "0", 400, None),
        ("X-Amz-Expires", "-1", 400, None),
        ("X-Amz-Expires", "604801", 400, None),
        ("X-Amz-Expires", "9" * 5000, 400, None),
        ("X-Amz-Expires", "ten", 400, None),
        ("X-Amz-Expires", "٣", 400, None),
        ("X-Amz-Expires", None, 400, None),
        ("X-Amz-Expires", "601", 403, "SignatureDoesNotMatch"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", 400, None),
        ("X-Amz-Algorithm", None, 400, None),
        ("X-Amz-Date", "20130524", 400, None),
        ("X-Amz-Date", None, 400, None),
        ("X-Amz-Credential", "a/b/20130524/us-east-1/s3/aws4_request", 400, None),
        ("X-Amz-Credential", f"{ACCESS_KEY}/20130524/eu-west-1/s3/aws4_request", 400, None),
        ("X-Amz-Credential", f"{ACCESS_KEY}/20130524/us-east-1/iam/aws4_request", 400, None),
        ("X-Amz-Credential", f"{ACCESS_KEY}/20130525/us-east-1/s3/aws4_request", 400, None),
        ("X-Amz-SignedHeaders", "", 400, None),
        ("X-Amz-SignedHeaders", "range", 403, "AccessDenied"),
        ("X-Amz-Signature", None, 400, None),
        ("X-Amz-Signature", "0" * 64, 403, "SignatureDoesNotMatch"),
    ],
)
def test_presigned_queries_that_are_refused(name, value, status, code):
    error = refusal(changed_query(presigned(), name, value))
    assert (error.status, error.code) == (status, code or "AuthorizationQueryParametersError")


@pytest.mark.parametrize("name", ["X-Amz-Expires", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Date"])
def test_a_repeated_authentication_parameter_is_refused(name):
    request = presigned()
    piece = next(piece for piece in request.raw_query.split("&") if piece.startswith(name))
    for query in (f"{request.raw_query}&{piece}", f"{piece.replace('X-', '%58-')}&{request.raw_query}"):
        error = refusal(SignedRequest("GET", request.raw_path, query, request.headers))
        assert (error.status, error.code) == (400, "AuthorizationQueryParametersError")


def test_a_presigned_request_begins_and_ends():
    request = presigned(expires_s=600)
    authenticate(request, AT_S + 600)
    authenticate(request, AT_S - 900)
    late, early = refusal(request, AT_S + 601), refusal(request, AT_S - 901)
    assert (late.status, late.code, late.message) == (403, "AccessDenied", "Request has expired")
    assert late.elements["X-Amz-Expires"] == "600"
    assert late.elements["Expires"] == "2013-05-24T00:10:00Z"
    assert (early.status, early.code) == (403, "AccessDenied")


def test_a_request_may_not_prove_itself_twice():
    request = signed(raw_query="X-Amz-Signature=00")
    error = refusal(request)
    assert (error.status, error.code) == (400, "InvalidArgument")
    assert error.message.startswith("Only one auth mechanism allowed")


def test_signature_version_2_in_the_query_is_refused():
    with pytest.raises(S3Error) as caught:
        sigv4.parse_claim(SignedRequest("GET", "/", "AWSAccessKeyId=a&Signature=b&Expires=1", [HOST]))
    assert caught.value.code == "InvalidRequest"


def test_a_request_that_claims_nothing_is_anonymous():
    assert sigv4.parse_claim(SignedRequest("GET", "/bucket/key", "prefix=a", [HOST, REDUCED])) is None


# --------------------------------------------------------------------------------------- POST and speed


def post_fields(policy: str = "e30=") -> dict[str, str]:
    key = sigv4.signing_key(SECRET, "20130524", REGION)
    return {
        "policy": policy,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{ACCESS_KEY}/20130524/{REGION}/s3/aws4_request",
        "x-amz-date": "20130524T000000Z",
        "x-amz-signature": sigv4.signature(key, policy),
    }


def test_a_form_is_proved_by_the_signature_over_its_policy():
    fields = post_fields()
    claim = sigv4.parse_post_claim(fields)
    assert claim is not None
    sigv4.check_post_claim(claim, (REGION,))
    key = sigv4.signing_key(SECRET, "20130524", REGION)
    sigv4.verify_post_policy(claim, fields["policy"], key)
    with pytest.raises(S3Error) as caught:
        sigv4.verify_post_policy(claim, "e30K", key)
    assert caught.value.code == "SignatureDoesNotMatch"
    assert sigv4.parse_post_claim({"key": "a"}) is None
    assert sigv4.parse_post_claim({"key": "a", "policy": "e30="}) is None


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("20130524/us-west-9/s3/aws4_request", "the region 'us-west-9' is wrong"),
        ("20130524/us-east-1/ec2/aws4_request", 'incorrect service "ec2"'),
        ("20130525/us-east-1/s3/aws4_request", 'Invalid credential date "20130525"'),
    ],
)
def test_the_scope_of_a_form_is_an_argument_of_it(scope, message):
    credential = f"{ACCESS_KEY}/{scope}"
    claim = sigv4.parse_post_claim({**post_fields(), "x-amz-credential": credential})
    assert claim is not None
    with pytest.raises(S3Error, match=message) as caught:
        sigv4.check_post_claim(claim, (REGION,))
    told = caught.value.elements
    assert (caught.value.code, told["ArgumentName"], told["ArgumentValue"]) == (
        "InvalidArgument",
        "x-amz-credential",
        credential,
    )


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"awsaccesskeyid": "a"}, "Signature"),
        ({"signature": "a"}, "AWSAccessKeyId"),
        ({"x-amz-date": "20130524T000000Z", "x-amz-signature": "a"}, "X-Amz-Algorithm"),
    ],
)
def test_a_form_that_lacks_part_of_a_signature_is_told_which(fields, missing):
    with pytest.raises(S3Error) as caught:
        sigv4.parse_post_claim({"policy": "e30=", **fields})
    assert caught.value.elements["ArgumentName"] == missing


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-amz-signature", None, "InvalidArgument"),
        ("x-amz-credential", None, "InvalidArgument"),
        ("x-amz-credential", "a/b", "InvalidArgument"),
        ("x-amz-date", "today", "InvalidArgument"),
        ("x-amz-algorithm", "none", "InvalidArgument"),
        ("policy", None, "InvalidArgument"),
    ],
)
def test_forms_whose_claim_is_refused(name, value, code):
    fields = post_fields()
    del fields[name]
    if value is not None:
        fields[name] = value
    with pytest.raises(S3Error) as caught:
        sigv4.parse_post_claim(fields)
    assert caught.value.code == code


def test_verification_is_quick():
    """The design allows 40 microseconds; the bound here is loose because test machines are busy."""
    headers = (HOST, ("Content-Type", "text/plain"), ("x-amz-checksum-crc32", "AAAAAA=="))
    request = signed("PUT", "/bucket/some/key%20name", "x-id=PutObject", headers)
    request = SignedRequest(
        "PUT",
        request.raw_path,
        request.raw_query,
        [*request.headers, ("User-Agent", "Boto3/1.44"), ("Accept-Encoding", "identity")],
    )
    seconds = min(timeit.repeat(lambda: authenticate(request), number=200, repeat=10)) / 200
    print(f"{seconds * 1e6:.0f} microseconds")
    assert seconds < 200e-6
