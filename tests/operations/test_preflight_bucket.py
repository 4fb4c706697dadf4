"""PreflightBucket: what a browser asks before a request to a bucket itself, a listing for instance."""

import pytest

from tests.operations.requests import send

RULE = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://app.example.org"], "AllowedHeaders": ["x-*"]}


@pytest.fixture
def shared(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULE]})
    return bucket


def preflight(s3, bucket, method="GET", origin="https://app.example.org", query=None, **headers):
    asked = {"Origin": origin, "Access-Control-Request-Method": method, **headers}
    return send(s3, "OPTIONS", bucket, query=query, headers=asked, is_signed=False)


@pytest.mark.parametrize("query", [None, {"list-type": "2"}, {"uploads": ""}])
def test_a_request_that_a_rule_allows(s3, shared, query):
    answer = preflight(s3, shared, query=query)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example.org"
    assert answer.headers["access-control-allow-methods"] == "GET"


def test_headers_that_a_rule_allows(s3, shared):
    asked = {"Access-Control-Request-Headers": "X-Amz-Date"}
    assert preflight(s3, shared, **asked).headers["access-control-allow-headers"] == "x-amz-date"
    asked = {"Access-Control-Request-Headers": "Content-Type"}
    assert preflight(s3, shared, **asked).code == "AccessForbidden"


def test_what_no_rule_allows(s3, shared, bucket_name):
    for answer in (preflight(s3, shared, "PUT"), preflight(s3, shared, origin="https://evil.example.org")):
        assert (answer.status, answer.code) == (403, "AccessForbidden")
    s3.delete_bucket_cors(Bucket=shared)
    answer = preflight(s3, shared)
    assert (answer.status, answer.code) == (403, "AccessForbidden")


def test_what_is_no_preflight(s3, shared):
    answer = send(s3, "OPTIONS", shared, headers={"Origin": "https://app.example.org"}, is_signed=False)
    assert (answer.status, answer.code) == (400, "BadRequest")
    assert preflight(s3, "no-such-bucket-here").code == "AccessForbidden"
