"""PreflightBucket, PreflightObject, and the CORS headers of answers to the requests themselves."""

from urllib.parse import urlsplit

import pytest

from tests.operations.requests import send
from tests.support.raw import exchange, request_bytes

RULES = [
    {
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://app.example.org", "https://*.wild.example"],
        "AllowedHeaders": ["x-amz-*", "Content-Type"],
        "ExposeHeaders": ["ETag", "x-amz-request-id"],
        "MaxAgeSeconds": 600,
    },
    {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
]
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


@pytest.fixture
def shared(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": RULES})
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    return bucket


def preflight(s3, target, **headers):
    """Nobody signs a preflight."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    bucket, _, rest = target.partition("/")
    key, _, raw_query = rest.partition("?")
    query = dict(pair.split("=", 1) for pair in raw_query.split("&")) if raw_query else None
    return send(s3, "OPTIONS", bucket, key, query=query, headers=named, is_signed=False)


def asked(method, requested=""):
    headers = {"Access_Control_Request_Method": method}
    return {**headers, "Access_Control_Request_Headers": requested} if requested else headers


def test_a_request_that_a_rule_allows(s3, shared):
    origin = "https://app.example.org"
    answer = preflight(s3, f"{shared}/key", Origin=origin, **asked("PUT", "x-amz-meta-a, content-type"))
    assert answer.status == 200
    headers = answer.headers
    assert headers["access-control-allow-origin"] == origin
    assert headers["access-control-allow-methods"] == "GET, PUT"
    assert headers["access-control-allow-headers"] == "x-amz-meta-a, content-type"
    assert headers["access-control-expose-headers"] == "ETag, x-amz-request-id"
    assert headers["access-control-max-age"] == "600"
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["vary"] == VARY
    assert answer.body == b""


def test_an_origin_that_anything_stands_for(s3, shared):
    answer = preflight(s3, f"{shared}/key", Origin="https://a.wild.example", **asked("PUT"))
    assert answer.headers["access-control-allow-origin"] == "https://a.wild.example"
    answer = preflight(s3, f"{shared}/key", Origin="http://anywhere", **asked("GET"))
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "method", "requested"),
    [
        ("http://anywhere", "PUT", ""),
        ("http://anywhere", "GET", "x-amz-meta-a"),
        ("https://app.example.org", "DELETE", ""),
        ("https://app.example.org", "PUT", "x-other"),
        ("https://wild.example", "PUT", ""),
    ],
)
def test_a_request_that_no_rule_allows(s3, shared, origin, method, requested):
    answer = preflight(s3, f"{shared}/key", Origin=origin, **asked(method, requested))
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    assert "access-control-allow-origin" not in answer.headers


def test_what_is_no_preflight(s3, shared):
    for headers in ({}, {"Origin": "https://app.example.org"}, asked("GET")):
        answer = preflight(s3, f"{shared}/key", **headers)
        assert (answer.status, answer.code) == (400, "BadRequest")
    answer = preflight(s3, f"{shared}/key", Origin="https://app.example.org", **asked("PATCH"))
    assert (answer.status, answer.code) == (400, "BadRequest")


def test_buckets_and_requests_with_a_query_are_asked_about_as_well(s3, shared):
    for target in (shared, f"{shared}/key?uploads=", f"{shared}/key?X-Amz-Signature=0&X-Amz-Date=never"):
        answer = preflight(s3, target, Origin="https://app.example.org", **asked("PUT"))
        assert answer.status == 200, target


def test_a_bucket_without_rules(s3, bucket):
    origin = "https://app.example.org"
    for name, said in ((bucket, b"CORS is not enabled"), ("no-such-bucket-here", b"Bucket not found")):
        for headers, method in (({}, b"OPTIONS"), (asked("GET"), b"GET")):
            answer = preflight(s3, f"{name}/key", Origin=origin, **headers)
            assert (answer.status, answer.code) == (403, "AccessForbidden")
            assert b"CORSResponse: " + said in answer.body
            assert b"<Method>%b</Method><ResourceType>BUCKET</ResourceType>" % method in answer.body
        assert preflight(s3, f"{name}/key").code == "BadRequest"


def test_a_program_may_name_the_method_it_asks_about(s3, shared):
    """What is no browser can send Access-Control-Request-Method with any request."""
    headers = {"Origin": "https://app.example.org"}
    assert "access-control-allow-origin" not in send(s3, "HEAD", shared, "key", headers=headers).headers
    headers["Access-Control-Request-Method"] = "GET"
    answer = send(s3, "HEAD", shared, "key", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
    headers["Access-Control-Request-Headers"] = "x-other"
    assert "access-control-allow-origin" not in send(s3, "HEAD", shared, "key", headers=headers).headers


@pytest.mark.parametrize("key", ["key", "none"])
def test_answers_say_who_may_read_them(s3, shared, key):
    answer = send(s3, "GET", shared, key, headers={"Origin": "https://app.example.org"})
    assert answer.status == (200 if key == "key" else 404)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
    assert answer.headers["access-control-allow-methods"] == "GET, PUT"
    assert answer.headers["access-control-expose-headers"] == "ETag, x-amz-request-id"
    assert answer.headers["vary"] == VARY
    assert answer.headers["access-control-allow-credentials"] == "true"


def test_answers_to_other_origins_say_nothing(s3, shared, bucket_name):
    answer = send(s3, "PUT", shared, "key", headers={"Origin": "http://anywhere"}, body=b"x")
    assert answer.status == 200
    assert not {"access-control-allow-origin", "vary"} & answer.headers.keys()
    answer = send(s3, "GET", shared, "key")
    assert "vary" not in answer.headers
    other = f"{bucket_name}-plain"
    s3.create_bucket(Bucket=other)
    answer = send(s3, "GET", other, headers={"Origin": "https://app.example.org"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_change_of_rules_is_heeded_at_once(s3, shared):
    headers = {"Origin": "http://anywhere"}
    assert send(s3, "GET", shared, "key", headers=headers).headers["access-control-allow-origin"] == "*"
    s3.delete_bucket_cors(Bucket=shared)
    for _ in range(5):  # whichever worker is asked
        answer = send(s3, "GET", shared, "key", headers=headers)
        assert "access-control-allow-origin" not in answer.headers


def test_the_host_named_by_nothing_else_is_no_preflight(server):
    port = urlsplit(server.endpoint).port or 0
    answer = exchange(port, request_bytes("OPTIONS", "/", [("Host", "x"), ("Origin", "http://a")]))
    assert answer.status in (405, 501)
