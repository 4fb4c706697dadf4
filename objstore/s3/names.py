"""Names: which bucket names and keys there may be, and what a request target and Host name.

A key is text whose UTF-8 bytes are the key; nothing in it is special, `/`, `.` and `..` least of all. It is
decoded from the raw request target exactly once, strictly.

Source: Amazon S3 user guide, "General purpose bucket naming rules", "Naming Amazon S3 objects".
"""

import ipaddress
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from objstore.s3.errors import InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLong

KEY_BYTES_MAX: Final = 1024
BUCKET_CHARACTERS_MIN: Final = 3
BUCKET_CHARACTERS_MAX: Final = 63
QUERY_PARAMETERS_MAX: Final = 200

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")
_RESERVED_NAMES: Final = frozenset({"health", "metrics"})
"""Paths of the server itself, which must not lie inside somebody's bucket."""
_RESERVED_PREFIXES: Final = ("xn--", "sthree-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """What a request target and Host name. Empty `bucket`: the service; empty `key`: the bucket.

    `raw_path` and `raw_query` are the target's own, as a signature covers them.
    """

    bucket: str
    key: str
    raw_path: str
    raw_query: str
    path_style: bool


def check_bucket_name(name: str) -> str:
    """`name`, if a bucket may have it; raises InvalidBucketName.

    The prefix amzn-s3-demo-, which Amazon keeps for its own examples, is allowed here.
    """
    if (
        not BUCKET_CHARACTERS_MIN <= len(name) <= BUCKET_CHARACTERS_MAX
        or not _BUCKET.fullmatch(name)
        or ".." in name
        or name in _RESERVED_NAMES
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
        or _is_address(name)
    ):
        raise InvalidBucketName(BucketName=name)
    return name


def check_key(key: str) -> str:
    """`key`, if an object may have it: 1 to 1,024 bytes of UTF-8 without NUL.

    NUL is refused because no XML document could ever list it. Raises KeyTooLong, InvalidArgument.
    """
    try:
        size = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidArgument("Object key must be valid UTF-8.", ArgumentName="key") from None
    if size > KEY_BYTES_MAX:
        raise KeyTooLong(MaxSizeAllowed=KEY_BYTES_MAX, Size=size)
    if not key or "\0" in key:
        raise InvalidArgument(
            "Object key must not be empty or contain NUL.", ArgumentName="key", ArgumentValue=""
        )
    return key


def parse_target(raw_target: str, host: str, domains: Sequence[str] = ()) -> Address:
    """The address of a request: its raw target (origin or absolute form) and its Host header.

    With a Host of `bucket.domain` for one of `domains` (lower case) the bucket is named there, else by the
    first path segment. The names are decoded but not yet judged (`check_bucket_name`, `check_key`).
    Raises InvalidURI.
    """
    absolute = _ABSOLUTE.match(raw_target)
    target = raw_target[absolute.end() :] or "/" if absolute else raw_target
    if target.startswith("?"):
        target = "/" + target
    raw_path, _, raw_query = target.partition("?")
    if not raw_path.startswith("/") or "#" in target:
        raise InvalidURI(URI=raw_target)
    bucket = bucket_in_host(host, domains)
    if bucket is not None:
        return Address(bucket, decode_strictly(raw_path[1:]), raw_path, raw_query, path_style=False)
    raw_bucket, _, raw_key = raw_path[1:].partition("/")
    if raw_key and not raw_bucket:
        raise InvalidURI(URI=raw_target)
    bucket, key = decode_strictly(raw_bucket), decode_strictly(raw_key)
    return Address(bucket, key, raw_path, raw_query, path_style=True)


def parse_query(raw_query: str, repeatable: Container[str] = ()) -> dict[str, str]:
    """The parameters of a raw query, decoded once (`+` is a space); a flag without `=` has the value ''.

    The values of a `repeatable` parameter given several times are joined by commas. Raises InvalidURI for a
    bad escape, InvalidArgument for another parameter given twice or too many of them.
    """
    parameters: dict[str, str] = {}
    for piece in raw_query.split("&") if raw_query else ():
        if not piece:
            continue
        raw_name, _, raw_value = piece.partition("=")
        name = decode_strictly(raw_name.replace("+", " "))
        value = decode_strictly(raw_value.replace("+", " "))
        if name in parameters and name in repeatable:
            value = f"{parameters[name]},{value}"
        elif name in parameters:
            raise InvalidArgument(
                "A query parameter must be given once.", ArgumentName=name, ArgumentValue=raw_value
            )
        parameters[name] = value
        if len(parameters) > QUERY_PARAMETERS_MAX:
            raise InvalidArgument("The request has too many query parameters.")
    return parameters


def decode_strictly(raw: str) -> str:
    """Percent-decode once; raises InvalidURI unless every `%` starts an escape and the bytes are UTF-8."""
    if "%" not in raw and raw.isascii():
        return raw
    if _BAD_ESCAPE.search(raw):
        raise InvalidURI(URI=raw)
    try:
        return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8")
    except UnicodeError:
        raise InvalidURI() from None


def bucket_in_host(host: str, domains: Sequence[str]) -> str | None:
    """The bucket that a Host header of `bucket.domain` names; None for any other host.

    Where several of the domains fit, the first one counts: longer ones come first (`regional_forms`).
    """
    name = host.lower().rpartition(":")[0] if _has_port(host) else host.lower()
    name = name.removesuffix(".")  # the root of all domain names, which may be written
    for domain in domains:
        if name == domain:
            return None
        if name.endswith("." + domain):
            return name.removesuffix("." + domain)
    return None


def regional_forms(domains: Iterable[str], regions: Iterable[str], service: str) -> tuple[str, ...]:
    """The domains, and those that clients make of them as AWS's own are made; longer ones first.

    `service` is how AWS's name begins ("s3", "s3-website"), which a domain may begin with too: of
    `s3.example.org` come `s3.REGION.example.org`, `s3-REGION.example.org` and, for IPv6,
    `s3.dualstack.REGION.example.org`.
    """
    forms = set(domains)
    for domain in tuple(forms):
        base = domain.removeprefix(f"{service}.")
        for region in regions:
            forms |= {
                f"{service}.{region}.{base}",
                f"{service}-{region}.{base}",
                f"{service}.dualstack.{region}.{base}",
            }
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _has_port(host: str) -> bool:
    _, colon, port = host.rpartition(":")
    return bool(colon) and port.isascii() and (port.isdigit() or port == "")


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
