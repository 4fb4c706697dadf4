"""Buckets as websites, at a domain of their own."""

import itertools
from types import SimpleNamespace

import pytest

from tests.operations.sharing import open_up, policy, statement
from tests.support.raw import exchange, request_bytes
from tests.support.server import Server

DOMAIN = "website.test"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    running = Server(
        tmp_path_factory.mktemp("website"), environment={"OBJSTORE_WEBSITE_DOMAINS": DOMAIN}
    ).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


@pytest.fixture
def s3(web):
    return web.client()


@pytest.fixture
def site(web, s3):
    """A site that everyone may read and nobody may list, and how to visit it."""
    name = f"site-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    open_up(s3, name)
    s3.put_bucket_policy(Bucket=name, Policy=policy(statement(name, "s3:GetObject")))
    for key, text in {
        "index.html": "home",
        "docs/index.html": "docs",
        "page": "page",
        "error.html": "sorry",
        "a b/ü.txt": "odd",
        "health/live": "alive",
    }.items():
        s3.put_object(Bucket=name, Key=key, Body=text.encode(), ContentType="text/html")
    configuration = {"IndexDocument": {"Suffix": "index.html"}}
    s3.put_bucket_website(Bucket=name, WebsiteConfiguration=configuration)

    def visit(path, method="GET", **headers):
        named = [(key.replace("_", "-"), value) for key, value in headers.items()]
        host = f"{name}.{DOMAIN}:{web.port}"
        data = request_bytes(method, path, [("Host", host), *named])
        return exchange(web.port, data, is_head=method == "HEAD")

    return SimpleNamespace(name=name, visit=visit, configure=lambda **more: configure(s3, name, more))


def configure(s3, name, more):
    wanted = {"IndexDocument": {"Suffix": "index.html"}, **more}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    s3.put_bucket_website(Bucket=name, WebsiteConfiguration=wanted)


def let_list(s3, name):
    s3.put_bucket_policy(Bucket=name, Policy=policy(statement(name, ["s3:GetObject", "s3:ListBucket"])))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", b"home"),
        ("/?query=1", b"home"),
        ("/docs/", b"docs"),
        ("/page", b"page"),
        ("/a%20b/%C3%BC.txt", b"odd"),
        ("/index.html?uploads", b"home"),
        ("/health/live", b"alive"),
    ],
)
def test_pages(site, path, body):
    answer = site.visit(path)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "text/html"
    head = site.visit(path, "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(body)), b"")


def test_parts_and_conditions(site):
    etag = site.visit("/page").headers["etag"]
    assert site.visit("/page", If_None_Match=etag).status == 304
    part = site.visit("/page", Range="bytes=1-2")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"ag", "bytes 1-2/4")


def test_a_folder_without_its_slash(site):
    answer = site.visit("/docs")
    assert (answer.status, answer.headers["location"]) == (302, "/docs/")


def test_errors_are_pages(site, s3):
    answer = site.visit("/none")
    assert (answer.status, answer.headers["x-amz-error-code"]) == (403, "AccessDenied")
    let_list(s3, site.name)
    answer = site.visit("/none")
    assert (answer.status, answer.headers["x-amz-error-code"]) == (404, "NoSuchKey")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for line in (
        b"<h1>404 Not Found</h1>",
        b"<li>Code: NoSuchKey</li>",
        b"<li>Message: The specified key does not exist.</li>",
        b"<li>Key: none</li>",
        b"<li>RequestId: ",
    ):
        assert line in answer.body
    head = site.visit("/none", "HEAD")
    assert (head.status, head.headers["x-amz-error-detail-key"]) == (404, "none")
    assert "x-amz-error-detail-key" not in site.visit("/a%0D%0Ab:%20c").headers
    escaped = site.visit("/%3Cscript%3E")
    assert b"<script>" not in escaped.body


def test_only_reading(site):
    for method in ("PUT", "POST", "DELETE"):
        answer = site.visit("/page", method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert b"<li>ResourceType: OBJECT</li>" in answer.body


def test_the_sites_own_page_for_errors(site, s3):
    let_list(s3, site.name)
    site.configure(ErrorDocument={"Key": "error.html"})
    answer = site.visit("/none", Range="bytes=0-1", If_None_Match="*")
    assert (answer.status, answer.body) == (404, b"sorry")
    assert answer.headers["x-amz-error-code"] == "NoSuchKey"
    site.configure(ErrorDocument={"Key": "none.html"})
    answer = site.visit("/none")
    assert (answer.status, b"<li>Code: NoSuchKey</li>" in answer.body) == (404, True)
    _, said, why = answer.body.partition(
        b"<h3>An Error Occurred While Attempting to Retrieve a Custom Error "
    )
    assert said
    assert b"<li>Key: none.html</li>" in why


def test_an_object_that_redirects(site, s3):
    s3.put_object(Bucket=site.name, Key="moved", Body=b"", WebsiteRedirectLocation="/page?x=1")
    answer = site.visit("/moved")
    assert (answer.status, answer.headers["location"], answer.body) == (301, "/page?x=1", b"")


def test_routing_rules(site, s3):
    let_list(s3, site.name)
    site.configure(
        RoutingRules=[
            {
                "Condition": {"KeyPrefixEquals": "old/"},
                "Redirect": {"ReplaceKeyPrefixWith": "docs/", "HttpRedirectCode": "302"},
            },
            {
                "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "shop/"},
                "Redirect": {"HostName": "shop.example", "Protocol": "https"},
            },
        ]
    )
    answer = site.visit("/old/index.html")
    assert answer.status == 302
    assert answer.headers["location"].startswith(f"http://{site.name}.{DOMAIN}:")
    assert answer.headers["location"].endswith("/docs/index.html")
    answer = site.visit("/shop/x")
    assert (answer.status, answer.headers["location"]) == (301, "https://shop.example/shop/x")
    assert site.visit("/other").status == 404
    assert site.visit("/page").status == 200


def test_a_site_that_sends_everyone_away(site):
    site.configure(IndexDocument=None, RedirectAllRequestsTo={"HostName": "example.org"})
    answer = site.visit("/a%20b?c=d")
    assert (answer.status, answer.headers["location"]) == (301, "http://example.org/a%20b?c=d")


def test_what_is_no_site(web, s3, site):
    s3.delete_bucket_website(Bucket=site.name)
    answer = site.visit("/")
    assert (answer.status, answer.headers["x-amz-error-code"]) == (404, "NoSuchWebsiteConfiguration")
    data = request_bytes("GET", "/", [("Host", f"nobody-has-this.{DOMAIN}")])
    answer = exchange(web.port, data)
    assert (answer.status, answer.headers["x-amz-error-code"]) == (404, "NoSuchBucket")


def test_pages_are_shared_with_other_origins_by_the_buckets_rules(site, s3):
    rules = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["http://a"]}]}
    s3.put_bucket_cors(Bucket=site.name, CORSConfiguration=rules)
    assert site.visit("/", Origin="http://a").headers["access-control-allow-origin"] == "http://a"
    assert "access-control-allow-origin" not in site.visit("/", Origin="http://b").headers


def test_a_bucket_that_is_not_public(site, s3):
    s3.delete_bucket_policy(Bucket=site.name)
    answer = site.visit("/")
    assert (answer.status, answer.headers["x-amz-error-code"]) == (403, "AccessDenied")
    assert site.visit("/docs").status == 403  # and nobody learns that there is docs/index.html
