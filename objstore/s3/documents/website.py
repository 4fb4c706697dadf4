"""A bucket as a website: its configuration, and the rules by which a path becomes a key or a redirect. Pure.

Source: Amazon S3 user guide, "Hosting a static website", "(Optional) Configuring a webpage redirect".
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from objstore.model import Bucket
from objstore.s3.errors import InvalidArgument, InvalidRequest, MalformedXML
from objstore.s3.xml import document, element

ROUTING_RULES_MAX: Final = 50
REDIRECT_CODE_DEFAULT: Final = 301


@document
class ErrorDocument:
    key: str


@document
class IndexDocument:
    suffix: str


@document
class RedirectAllRequestsTo:
    host_name: str
    protocol: str | None = None


@document
class Condition:
    http_error_code_returned_equals: str | None = None
    key_prefix_equals: str | None = None


@document
class Redirect:
    host_name: str | None = None
    http_redirect_code: str | None = None
    protocol: str | None = None
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


def check(wanted: WebsiteConfiguration, bucket: Bucket) -> None:
    """Raise InvalidArgument, InvalidRequest, MalformedXML unless this can be a website."""
    if wanted.redirect_all_requests_to is not None:
        if wanted.index_document or wanted.error_document or wanted.routing_rules is not None:
            raise InvalidArgument(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                ArgumentName="RedirectAllRequestsTo",
                ArgumentValue="not null",
            )
        _check_host(wanted.redirect_all_requests_to.host_name)
        _check_protocol(wanted.redirect_all_requests_to.protocol)
        return
    if wanted.index_document is None:
        raise InvalidArgument(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            ArgumentName="IndexDocument",
            ArgumentValue="null",
        )
    suffix = wanted.index_document.suffix
    if not suffix or "/" in suffix:
        raise InvalidArgument(
            "The IndexDocument Suffix is not well formed", ArgumentName="IndexDocument", ArgumentValue=suffix
        )
    if wanted.error_document is not None and not wanted.error_document.key:
        raise InvalidArgument(
            "The ErrorDocument Key is not well formed", ArgumentName="ErrorDocument", ArgumentValue=""
        )
    if wanted.routing_rules is not None:
        if not wanted.routing_rules:
            raise MalformedXML
        if len(wanted.routing_rules) > ROUTING_RULES_MAX:
            raise InvalidRequest(
                f"{len(wanted.routing_rules)} routing rules provided, the number of routing rules in a "
                f"website configuration is limited to {ROUTING_RULES_MAX}."
            )
        for rule in wanted.routing_rules:
            _check_rule(rule)


def _check_rule(rule: RoutingRule) -> None:
    condition, redirect = rule.condition, rule.redirect
    if condition is not None:
        code = condition.http_error_code_returned_equals
        if code is None and condition.key_prefix_equals is None:
            raise InvalidRequest(
                "Condition cannot be empty. To redirect all requests without a condition, the condition "
                "element shouldn't be present."
            )
        if code is not None and not (code.isascii() and code.isdigit() and 400 <= int(code) <= 599):
            raise InvalidRequest(
                f"The provided HTTP error code ({ascii(code)[1:-1]}) is not valid. Valid codes are 4XX or "
                "5XX."
            )
    code = redirect.http_redirect_code
    if code is not None and not (code.isascii() and code.isdigit() and 300 < int(code) <= 399):
        raise InvalidRequest(
            f"The provided HTTP redirect code ({ascii(code)[1:-1]}) is not valid. Valid codes are 3XX "
            "except 300."
        )
    if redirect.replace_key_prefix_with is not None and redirect.replace_key_with is not None:
        raise InvalidRequest("You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
    _check_protocol(redirect.protocol)
    if redirect.host_name is not None:
        _check_host(redirect.host_name)
    if all(
        value is None
        for value in (
            redirect.host_name,
            code,
            redirect.protocol,
            redirect.replace_key_prefix_with,
            redirect.replace_key_with,
        )
    ):
        raise MalformedXML


def _check_protocol(name: str | None) -> None:
    if name not in (None, "http", "https"):
        raise InvalidRequest(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected "
            "automatically."
        )


def _check_host(name: str) -> None:
    if not name or not name.isascii() or not name.isprintable() or set(name) & set(" /\\?#@"):
        raise InvalidArgument(
            "The host name is not valid.", ArgumentName="HostName", ArgumentValue=ascii(name)[1:-1]
        )


def rule_for(rules: Sequence[RoutingRule] | None, key: str, error_status: int | None) -> RoutingRule | None:
    """The first routing rule that holds for `key`, before it is looked up (`error_status` None) or after
    looking it up ended in that error."""
    for rule in rules or ():
        condition = rule.condition
        code = None if condition is None else condition.http_error_code_returned_equals
        prefix = None if condition is None else condition.key_prefix_equals
        if (code is None) != (error_status is None) or (code is not None and int(code) != error_status):
            continue
        if prefix is None or key.startswith(prefix):
            return rule
    return None


def redirect_of(rule: RoutingRule, key: str, scheme: str, host: str) -> tuple[int, str]:
    """Status and Location of a routing rule's redirect; `scheme` and `host` are the request's own."""
    redirect = rule.redirect
    if redirect.replace_key_with is not None:
        key = redirect.replace_key_with
    elif redirect.replace_key_prefix_with is not None:
        prefix = "" if rule.condition is None else rule.condition.key_prefix_equals or ""
        key = redirect.replace_key_prefix_with + key.removeprefix(prefix)
    status = int(redirect.http_redirect_code or REDIRECT_CODE_DEFAULT)
    return status, f"{redirect.protocol or scheme}://{redirect.host_name or host}/{_path(key)}"


def redirect_of_all(target: RedirectAllRequestsTo, raw_path: str, raw_query: str, scheme: str) -> str:
    """The Location of a request to a website that redirects all of them."""
    query = f"?{raw_query}" if raw_query else ""
    return f"{target.protocol or scheme}://{target.host_name}{raw_path}{query}"


def _path(key: str) -> str:
    """A key as a URL's path; a query or fragment that the rule's author wrote into it stays one."""
    return quote(key, safe="/?#=&%~:@!$'()*+,;")
