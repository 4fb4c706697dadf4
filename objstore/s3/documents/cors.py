"""Cross-origin rules of a bucket: which documents may be kept, and what they answer a browser. Pure.

Source: Amazon S3 user guide, "Elements of a CORS configuration"; the Fetch standard, "CORS protocol".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from objstore.model import Bucket
from objstore.s3.errors import InvalidRequest, MalformedXML
from objstore.s3.object_headers import NAME_CHARACTERS
from objstore.s3.xml import document, element

RULES_MAX: Final = 100
ID_CHARACTERS_MAX: Final = 255
METHODS: Final = ("GET", "PUT", "HEAD", "POST", "DELETE")
VARY: Final = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
"""The request headers that an answer depends on: without it a cache serves one site's answer to another."""


@document
class CORSRule:
    id: str | None = element("ID", default=None)
    allowed_headers: tuple[str, ...] = element("AllowedHeader", default=())
    allowed_methods: tuple[str, ...] = element("AllowedMethod")
    allowed_origins: tuple[str, ...] = element("AllowedOrigin")
    expose_headers: tuple[str, ...] = element("ExposeHeader", default=())
    max_age_seconds: int | None = None


@document
class CORSConfiguration:
    rules: tuple[CORSRule, ...] = element("CORSRule")


def check(wanted: CORSConfiguration, bucket: Bucket) -> None:
    """Raise InvalidRequest, MalformedXML unless these rules can be kept."""
    if not 1 <= len(wanted.rules) <= RULES_MAX:
        raise MalformedXML
    ids = [rule.id for rule in wanted.rules if rule.id]
    if len(set(ids)) < len(ids):
        raise InvalidRequest("RuleId must be unique.")
    for rule in wanted.rules:
        _check_rule(rule)


def _check_rule(rule: CORSRule) -> None:
    if rule.id is not None and len(rule.id) > ID_CHARACTERS_MAX:
        raise InvalidRequest(f"RuleId must not be longer than {ID_CHARACTERS_MAX} characters.")
    for method in rule.allowed_methods:
        if method not in METHODS:
            raise InvalidRequest(
                f"Found unsupported HTTP method in CORS config. Unsupported method is {ascii(method)[1:-1]}"
            )
    for origin in rule.allowed_origins:
        if origin:  # S3 keeps an empty one, which no request has
            _check_text("AllowedOrigin", origin)
    for header in rule.allowed_headers:
        _check_header("AllowedHeader", header)
    for header in rule.expose_headers:
        if "*" in header:
            raise InvalidRequest(
                f'ExposeHeader "{ascii(header)[1:-1]}" contains wildcard. We currently do not support '
                "wildcard for ExposeHeader."
            )
        _check_header("ExposeHeader", header)
    if rule.max_age_seconds is not None and not -(2**31) <= rule.max_age_seconds < 2**31:
        raise MalformedXML  # a negative one is kept, as on S3: browsers then remember nothing


def _check_text(name: str, value: str) -> None:
    """Refuse more than one wildcard, and what could not stand in a header."""
    if value.count("*") > 1:
        raise InvalidRequest(f'{name} "{ascii(value)[1:-1]}" can not have more than one wildcard.')
    if not value or not value.isascii() or not value.isprintable() or " " in value or "," in value:
        raise InvalidRequest(f'{name} "{ascii(value)[1:-1]}" is not valid.')


def _check_header(name: str, value: str) -> None:
    """Refuse, too, what no header's name can hold (`*` is a character of names)."""
    _check_text(name, value)
    if not NAME_CHARACTERS.issuperset(value.lower()):
        raise InvalidRequest(f'{name} "{ascii(value)[1:-1]}" contains invalid character.')


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that lets a request in, and the origin to name in the answer."""

    rule: CORSRule
    origin: str

    def headers(self) -> dict[str, str]:
        """The headers of the answer to the request itself.

        Credentials are let through only where the rule names the origin: a browser would refuse them
        together with `*`.
        """
        rule = self.rule
        answer = {
            "access-control-allow-origin": self.origin,
            "access-control-allow-methods": ", ".join(rule.allowed_methods),
        }
        if rule.expose_headers:
            answer["access-control-expose-headers"] = ", ".join(rule.expose_headers)
        if rule.max_age_seconds is not None:
            answer["access-control-max-age"] = str(rule.max_age_seconds)
        if self.origin != "*":
            answer["access-control-allow-credentials"] = "true"
        answer["vary"] = VARY
        return answer

    def preflight_headers(self, requested: Sequence[str]) -> dict[str, str]:
        """The headers of the answer to a preflight that asked for these request headers."""
        answer = self.headers()
        if requested:
            answer["access-control-allow-headers"] = ", ".join(requested)
        return answer


def find(
    configuration: CORSConfiguration, origin: str, method: str, requested: Sequence[str] = ()
) -> Match | None:
    """The first rule that allows `origin` to send `method` with the `requested` headers; None: no rule."""
    for rule in configuration.rules:
        if method not in rule.allowed_methods:
            continue
        allowed = next((each for each in rule.allowed_origins if _matches(each, origin)), None)
        if allowed is None or not all(_allows_header(rule, name) for name in requested):
            continue
        return Match(rule, "*" if allowed == "*" else origin)
    return None


def requested_headers(value: str) -> list[str]:
    """The names of an Access-Control-Request-Headers header, in lower case."""
    return [name for part in value.split(",") if (name := part.strip().lower())]


def _allows_header(rule: CORSRule, name: str) -> bool:
    return any(_matches(each.lower(), name) for each in rule.allowed_headers)


def _matches(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, in which one `*` stands for anything."""
    before, wildcard, after = pattern.partition("*")
    if not wildcard:
        return pattern == text
    return len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after)
