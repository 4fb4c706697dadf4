"""A bucket as a website."""

from typing import Literal

from objstore.s3.xml import document, element

Protocol = Literal["http", "https"]


@document
class ErrorDocument:
    key: str


@document
class IndexDocument:
    suffix: str


@document
class RedirectAllRequestsTo:
    host_name: str
    protocol: Protocol | None = None


@document
class Condition:
    http_error_code_returned_equals: str | None = None
    key_prefix_equals: str | None = None


@document
class Redirect:
    host_name: str | None = None
    http_redirect_code: str | None = None
    protocol: Protocol | None = None
    replace_key_prefix_with: str | None = None
    replace_key_with: str | None = None


@document
class RoutingRule:
    condition: Condition | None = None
    redirect: Redirect


@document
class WebsiteConfiguration:
    error_document: ErrorDocument | None = None
    index_document: IndexDocument | None = None
    redirect_all_requests_to: RedirectAllRequestsTo | None = None
    routing_rules: tuple[RoutingRule, ...] | None = element("RoutingRule", wrap="RoutingRules", default=None)
