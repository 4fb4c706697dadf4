"""Routing rules of a website: which holds for a key, and where it sends the browser."""

import pytest

from objstore.s3.documents.website import (
    Condition,
    Redirect,
    RedirectAllRequestsTo,
    RoutingRule,
    redirect_of,
    redirect_of_all,
    rule_for,
)


def rule(prefix: str | None = None, error: str | None = None, **redirect: str) -> RoutingRule:
    condition = None
    if prefix is not None or error is not None:
        condition = Condition(key_prefix_equals=prefix, http_error_code_returned_equals=error)
    return RoutingRule(condition=condition, redirect=Redirect(**redirect))  # type: ignore[arg-type]


RULES = (
    rule("docs/", host_name="1"),
    rule("images/", "404", host_name="2"),
    rule(None, "404", host_name="3"),
    rule(None, "403", host_name="4"),
)


@pytest.mark.parametrize(
    ("key", "error", "expected"),
    [
        ("docs/a", None, "1"),
        ("other", None, None),
        ("images/a", None, None),
        ("images/a", 404, "2"),
        ("other", 404, "3"),
        ("images/a", 403, "4"),
        ("docs/a", 403, "4"),
        ("other", 412, None),
    ],
)
def test_which_rule_holds(key: str, error: int | None, expected: str | None) -> None:
    found = rule_for(RULES, key, error)
    assert (found and found.redirect.host_name) == expected
    assert rule_for(None, key, error) is None


def test_a_rule_without_condition_holds_for_every_request() -> None:
    always = rule(host_name="h")
    assert rule_for([always], "any", None) is always
    assert rule_for([always], "any", 404) is None


@pytest.mark.parametrize(
    ("given", "key", "status", "location"),
    [
        (rule("docs/", replace_key_prefix_with="documents/"), "docs/a", 301, "http://me/documents/a"),
        (rule("images/", replace_key_with="gone.html"), "images/a", 301, "http://me/gone.html"),
        (rule("a", host_name="there", protocol="https"), "a b", 301, "https://there/a%20b"),
        (rule(None, "404", host_name="h", http_redirect_code="302"), "x/ü", 302, "http://h/x/%C3%BC"),
        (rule(None, "404", replace_key_prefix_with="report/"), "x", 301, "http://me/report/x"),
        (rule(None, "404", replace_key_with="find?q=1#top"), "x", 301, "http://me/find?q=1#top"),
    ],
)
def test_redirects(given: RoutingRule, key: str, status: int, location: str) -> None:
    assert redirect_of(given, key, "http", "me") == (status, location)


def test_a_website_that_sends_everyone_away() -> None:
    away = RedirectAllRequestsTo(host_name="example.org")
    assert redirect_of_all(away, "/a%20b", "q=1", "http") == "http://example.org/a%20b?q=1"
    away = RedirectAllRequestsTo(host_name="example.org", protocol="https")
    assert redirect_of_all(away, "/", "", "http") == "https://example.org/"
