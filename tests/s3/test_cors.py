"""Cross-origin rules: which is found for a request, and what it answers."""

from typing import Any

import pytest

from objstore.s3.documents.cors import CORSConfiguration, CORSRule, find, requested_headers


def rule(*origins: str, methods: tuple[str, ...] = ("GET",), **more: Any) -> CORSRule:
    return CORSRule(allowed_origins=origins, allowed_methods=methods, **more)


@pytest.mark.parametrize(
    ("pattern", "origin", "expected"),
    [
        ("*", "http://a", "*"),
        ("http://a", "http://a", "http://a"),
        ("http://a", "http://a:81", None),
        ("http://a", "http://A", None),
        ("http://*.b", "http://a.b", "http://a.b"),
        ("http://*.b", "http://a.c.b", "http://a.c.b"),
        ("http://*.b", "http://.b", "http://.b"),
        ("http://*.b", "http://b", None),
        ("*.put", "foo.put", "foo.put"),
        ("start*end", "startend", "startend"),
        ("start*end", "start1end", "start1end"),
        ("start*end", "star", None),
        ("aba*aba", "ababa", None),
        ("prefix*", "prefix", "prefix"),
        ("null", "null", "null"),
    ],
)
def test_origins(pattern: str, origin: str, expected: str | None) -> None:
    match = find(CORSConfiguration(rules=(rule(pattern),)), origin, "GET")
    assert (match and match.origin) == expected


def test_the_first_rule_that_fits_answers() -> None:
    rules = CORSConfiguration(
        rules=(
            rule("http://a", methods=("PUT",), id="1"),
            rule("http://b", id="2"),
            rule("http://a", allowed_headers=("x-a",), id="3"),
            rule("*", allowed_headers=("*",), id="4"),
        )
    )

    def answers(origin: str, method: str, *headers: str) -> str | None:
        match = find(rules, origin, method, headers)
        return match.rule.id if match else None

    assert answers("http://a", "PUT") == "1"
    assert answers("http://a", "GET") == "3"
    assert answers("http://a", "GET", "x-a") == "3"
    assert answers("http://a", "GET", "x-a", "x-b") == "4"
    assert answers("http://b", "GET") == "2"
    assert answers("http://b", "DELETE") is None


@pytest.mark.parametrize(
    ("allowed", "requested", "is_allowed"),
    [
        ((), "x-a", False),
        (("X-A",), "x-a", True),
        (("x-amz-*",), "X-Amz-Date, x-amz-acl", True),
        (("x-amz-*",), "x-amz-date, content-type", False),
        (("*",), "anything", True),
    ],
)
def test_requested_headers(allowed: tuple[str, ...], requested: str, is_allowed: bool) -> None:
    rules = CORSConfiguration(rules=(rule("*", allowed_headers=allowed),))
    assert (find(rules, "http://a", "GET", requested_headers(requested)) is not None) is is_allowed


def test_credentials_only_where_the_origin_is_named() -> None:
    named = find(CORSConfiguration(rules=(rule("http://a", expose_headers=("ETag",)),)), "http://a", "GET")
    anyone = find(CORSConfiguration(rules=(rule("*", max_age_seconds=0),)), "http://a", "GET")
    assert named is not None
    assert anyone is not None
    vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
    assert named.headers() == {
        "access-control-allow-origin": "http://a",
        "access-control-allow-methods": "GET",
        "access-control-expose-headers": "ETag",
        "access-control-allow-credentials": "true",
        "vary": vary,
    }
    assert anyone.preflight_headers(["x-a"]) == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET",
        "access-control-max-age": "0",
        "vary": vary,
        "access-control-allow-headers": "x-a",
    }
