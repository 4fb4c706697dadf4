"""AWS Signature Version 4: who a request claims to come from, and whether the signature proves it.

Pure: no clock, no socket, no look-up. The caller goes through it in this order:

    claim = parse_claim(request)              # None: nobody claims anything (anonymous)
    check_claim(claim, request, now_s, regions)
    verify(claim, request, key)               # key = signing_key(secret, …) or DUMMY_KEY, see below

Invariants kept here:
- The path and query that are verified are the ones sent, never a decoded and re-joined form. They are
  canonicalised octet by octet, so that two targets with one canonical form name one resource.
- Every `x-amz-*` and `x-objstore-*` header must be among the signed headers, by header and by query alike:
  an unsigned one would let the holder of a presigned URL turn an upload into a copy of any object. The one
  exception is x-amz-content-sha256, which every canonical request ends with and which is thereby signed.
- Signatures are compared in constant time. For an unknown access key the caller verifies with DUMMY_KEY
  and then raises InvalidAccessKeyId, so that both answers take the same time.

Source: Amazon S3 API reference, "Authenticating Requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import islice, product
from operator import itemgetter
from typing import Final
from urllib.parse import unquote_to_bytes

from objstore.s3.errors import (
    AccessDenied,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    InvalidArgument,
    InvalidRequest,
    RequestTimeTooSkewed,
    S3Error,
    SignatureDoesNotMatch,
)

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
SKEW_S_MAX: Final = 15 * 60
EXPIRES_S_MAX: Final = 7 * 24 * 3600
SIGNED_HEADERS_MAX: Final = 200
CLAIM_PARTS_CACHED: Final = 256
"""Credential scopes and lists of signed headers: a client sends the same all day."""
SIGNING_KEYS_CACHED: Final = 4096

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING: Final = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
DUMMY_KEY: Final = hashlib.sha256(b"no such access key").digest()

MUST_BE_SIGNED: Final = ("x-amz-", "x-objstore-")
"""What the names of headers begin with that decide what a request does."""
_CONTENT_SHA256: Final = "x-amz-content-sha256"
_ONCE: Final = frozenset(
    {
        "authorization",
        "content-length",
        "content-md5",
        "date",
        "host",
        _CONTENT_SHA256,
        "x-amz-copy-source",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
        "x-amz-trailer",
    }
)
"""Headers whose repetition would let two readers see two requests."""

_QUERY_REQUIRED: Final = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_QUERY_SIGNATURE: Final = "X-Amz-Signature"
_POST_FIELDS: Final = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
_POST_FIELDS_V2: Final = ("AWSAccessKeyId", "Signature")
_POST_MARKS: Final = frozenset(name.lower() for name in _POST_FIELDS + _POST_FIELDS_V2)
_QUERY_MARKS: Final = frozenset({"X-Amz-Algorithm", "X-Amz-Credential", _QUERY_SIGNATURE})

_ISO_BASIC: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_DATE: Final = re.compile(r"\d{8}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_HEADER_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_CLEAN_PATH: Final = re.compile(r"[A-Za-z0-9._~/-]*")
_CLEAN_QUERY: Final = re.compile(r"[A-Za-z0-9._~-]*")
_PATH_PIECE: Final = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~/-]")
_SPACES: Final = re.compile(r"[ \t]+")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ENCODED: Final = tuple(chr(octet) if octet in _UNRESERVED else f"%{octet:02X}" for octet in range(256))

_NOT_SUPPORTED: Final = (
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
)
_CREDENTIAL_FORM: Final = (
    'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature covers, as it came over the wire.

    `raw_path` is the request target's path, still percent-encoded and starting with `/`; `raw_query` what
    followed the first `?`. Header names may be in any case; values are text as decoded from UTF-8 with
    surrogateescape. Repeated headers are repeated tuples.
    """

    method: str
    raw_path: str
    raw_query: str
    headers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signing key is good for."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its sender; nothing of it is proved before `verify`.

    `timestamp` is the signing time as the string to sign holds it and `time_s` the same in seconds since
    the epoch. `payload` is the last line of the canonical request: a SHA-256, or a word of this module.
    `expires_s` is None for header authentication.
    """

    access_key: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    time_s: int
    payload: str
    expires_s: int | None = None
    session_token: str | None = None
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    """The request's headers by lower-case name, in the order sent."""
    query: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """The request's query as canonically encoded pairs, in the order sent, without X-Amz-Signature."""

    @property
    def is_presigned(self) -> bool:
        """The signature is in the query."""
        return self.expires_s is not None


def parse_claim(request: SignedRequest) -> Claim | None:
    """The claim a request makes, or None when it makes none.

    Raises the error Amazon answers when a claim is there but cannot be read: InvalidArgument (two
    mechanisms, unknown mechanism), InvalidRequest (Signature Version 2, missing x-amz-content-sha256),
    AuthorizationHeaderMalformed, AuthorizationQueryParametersError, AccessDenied (no date).
    """
    headers = _fold(request.headers)
    query = _encoded_pairs(request.raw_query)
    authorization = headers.get("authorization")
    names = {name for name, _ in query}
    if authorization is None and not (_QUERY_MARKS & names):
        if "AWSAccessKeyId" in names and "Signature" in names:
            raise InvalidRequest(_NOT_SUPPORTED)
        return None
    _refuse_repeated(headers)
    if authorization is None:
        return _claim_in_query(headers, query)
    if _QUERY_MARKS & names or "Signature" in names:
        raise InvalidArgument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
            "string parameter or the Authorization header should be specified",
            ArgumentName="Authorization",
            ArgumentValue=authorization[0],
        )
    return _claim_in_header(authorization[0], headers, query)


def check_claim(
    claim: Claim, request: SignedRequest, now_s: int, regions: Sequence[str], service: str = "s3"
) -> None:
    """Refuse a claim that would not be acceptable even with a right signature.

    `regions` are the credential scopes accepted (the first one is named in the refusal); empty accepts
    any. Raises AccessDenied (unsigned headers, expired, not yet valid), RequestTimeTooSkewed,
    InvalidArgument (a presigned request with a payload that is no hash), and the
    malformed error of the claim's kind for a scope of another date, region or service.
    """
    _check_signed_headers(claim)
    _check_scope(claim, regions, service, _query_malformed if claim.is_presigned else _header_malformed)
    if claim.expires_s is None:
        _check_skew(claim, now_s)
        return
    if claim.payload != UNSIGNED_PAYLOAD and not _SHA256.fullmatch(claim.payload):
        raise InvalidArgument(
            f"{_CONTENT_SHA256} must be {UNSIGNED_PAYLOAD} or a valid sha256 value in a presigned request.",
            ArgumentName=_CONTENT_SHA256,
            ArgumentValue=claim.payload,
        )
    if claim.time_s > now_s + SKEW_S_MAX:
        raise AccessDenied("Request is not valid yet", ServerTime=iso_extended(now_s))
    if now_s > claim.time_s + claim.expires_s:
        expired = AccessDenied(
            "Request has expired",
            Expires=iso_extended(claim.time_s + claim.expires_s),
            ServerTime=iso_extended(now_s),
        )
        expired.elements["X-Amz-Expires"] = str(claim.expires_s)
        raise expired


def verify(claim: Claim, request: SignedRequest, key: bytes) -> None:
    """Prove the claim under `key`; raises SignatureDoesNotMatch with what was signed here.

    A path with `%2F` may have been signed as sent or with the slash decoded: both forms decode to the
    same key. A parameter given several times (`events` of MinIO's listening) may have been signed in the
    order of its values, or, as minio-go does, in that of the request. Whichever matches, it proves the same
    request.
    """
    path = canonical_path(request.raw_path)
    canonical = canonical_request(claim, request.method, path, _joined(claim.query))
    text = string_to_sign(claim, canonical)
    if not _is_signature(claim.signature, key, text) and not any(
        _is_signature(claim.signature, key, string_to_sign(claim, other))
        for other in _other_forms(claim, request.method, path)
    ):
        raise _mismatch(claim, text, canonical)
    if any(name not in claim.headers for name in claim.signed_headers):
        raise _mismatch(claim, text, canonical)


def _other_forms(claim: Claim, method: str, path: str) -> Iterator[str]:
    """What clients sign instead of the canonical request, of which see `verify`."""
    queries = [_joined(claim.query)]
    if len({name for name, _ in claim.query}) < len(claim.query):
        queries.append("&".join(f"{name}={value}" for name, value in sorted(claim.query, key=itemgetter(0))))
    paths = (path, path.replace("%2F", "/")) if "%2F" in path else (path,)
    for form, query in islice(product(paths, queries), 1, None):
        yield canonical_request(claim, method, form, query)


@lru_cache(SIGNING_KEYS_CACHED)
def signing_key(secret: str, date: str, region: str, service: str = "s3") -> bytes:
    """The key that signs all requests of one scope; cached, for it stays the same all day."""
    key = b"AWS4" + secret.encode("utf-8", "surrogateescape")
    for step in (date, region, service, TERMINATOR):
        key = hmac.digest(key, step.encode("utf-8", "surrogateescape"), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """The signature of a string to sign, in lower-case hexadecimal."""
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha256").hex()


def canonical_path(raw_path: str) -> str:
    """A raw path as it is signed: each octet percent-encoded once unless unreserved or `/`.

    Segments are left alone: `//`, `/./` and `/../` are parts of keys. `+` is a plus (`%2B`).
    """
    if _CLEAN_PATH.fullmatch(raw_path):
        return raw_path or "/"
    return _PATH_PIECE.sub(_encode_piece, raw_path)


def canonical_query(raw_query: str) -> str:
    """A raw query as it is signed: decoded (`+` is a space), encoded, then sorted by name and value."""
    return _joined(_encoded_pairs(raw_query))


def canonical_request(claim: Claim, method: str, path: str, query: str) -> str:
    """The canonical request of a path and a query as they are signed; a signed header that is absent stands
    in it with an empty value."""
    lines = [method, path, query]
    for name in claim.signed_headers:
        values = claim.headers.get(name, ())
        lines.append(f"{name}:{','.join(map(_trimmed, values))}")
    lines += ["", ";".join(claim.signed_headers), claim.payload]
    return "\n".join(lines)


def string_to_sign(claim: Claim, canonical: str) -> str:
    """What the signature is computed over."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{ALGORITHM}\n{claim.timestamp}\n{claim.scope}\n{digest}"


# ---------------------------------------------------------------------------------------- POST policies


def parse_post_claim(fields: Mapping[str, str]) -> Claim | None:
    """The claim a browser form makes in its fields (lower-case names), or None when it has no policy, or
    nothing that belongs to a signature.

    Raises InvalidArgument naming the field that is missing or wrong, of either version of signatures.
    """
    if "policy" not in fields:
        if "x-amz-signature" in fields:
            raise _post_field("Policy")
        return None
    if not fields.keys() & _POST_MARKS:
        return None
    is_version_2 = "x-amz-signature" not in fields and fields.keys() & {"signature", "awsaccesskeyid"}
    for name in _POST_FIELDS_V2 if is_version_2 else _POST_FIELDS:
        if name.lower() not in fields:
            raise _post_field(name)
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise InvalidArgument(
            f'X-Amz-Algorithm only supports "{ALGORITHM}"',
            ArgumentName="X-Amz-Algorithm",
            ArgumentValue=fields["x-amz-algorithm"],
        )
    credential, timestamp = fields["x-amz-credential"], fields["x-amz-date"]
    parts = credential.split("/")
    if len(parts) != 5 or not parts[0] or parts[4] != TERMINATOR:
        raise InvalidArgument(
            f"Error parsing the X-Amz-Credential parameter; {_CREDENTIAL_FORM}",
            ArgumentName="X-Amz-Credential",
            ArgumentValue=credential,
        )
    time_s = _iso_basic_s(timestamp)
    if time_s is None:
        raise InvalidArgument(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
            ArgumentName="X-Amz-Date",
            ArgumentValue=timestamp,
        )
    return Claim(
        access_key=parts[0],
        scope=Scope(parts[1], parts[2], parts[3]),
        signed_headers=(),
        signature=fields["x-amz-signature"],
        timestamp=timestamp,
        time_s=time_s,
        payload=UNSIGNED_PAYLOAD,
        session_token=fields.get("x-amz-security-token"),
    )


def check_post_claim(claim: Claim, regions: Sequence[str], service: str = "s3") -> None:
    """Refuse a form's claim of another date, region or service: InvalidArgument. When it ends, its policy
    says."""

    def malformed(why: str) -> S3Error:
        return InvalidArgument(
            _printable(why),
            ArgumentName="x-amz-credential",
            ArgumentValue=_printable(f"{claim.access_key}/{claim.scope}"),
        )

    _check_scope(claim, regions, service, malformed)


def verify_post_policy(claim: Claim, policy: str, key: bytes) -> None:
    """Prove a form's claim: its signature covers `policy`, the base64 text of the field as sent."""
    if not _is_signature(claim.signature, key, policy):
        raise SignatureDoesNotMatch(
            AWSAccessKeyId=claim.access_key,
            StringToSign=_printable(policy),
            SignatureProvided=_printable(claim.signature),
            StringToSignBytes=_octets(policy),
        )


# ---------------------------------------------------------------------------------------------- signing


def sign(
    request: SignedRequest,
    access_key: str,
    secret: str,
    region: str,
    at_s: int,
    payload: str = UNSIGNED_PAYLOAD,
    service: str = "s3",
) -> list[tuple[str, str]]:
    """The headers that authenticate `request`: x-amz-date, x-amz-content-sha256 and Authorization.

    All of its headers are signed; `host` must be among them. `payload` is the body's SHA-256 in
    hexadecimal, or one of the words of this module.
    """
    timestamp = _iso_basic(at_s)
    added = [("x-amz-date", timestamp), (_CONTENT_SHA256, payload)]
    headers = _fold([*request.headers, *added])
    claim = Claim(
        access_key=access_key,
        scope=Scope(timestamp[:8], region, service),
        signed_headers=tuple(sorted(headers)),
        signature="",
        timestamp=timestamp,
        time_s=at_s,
        payload=payload,
        headers=headers,
        query=_encoded_pairs(request.raw_query),
    )
    canonical = canonical_request(
        claim, request.method, canonical_path(request.raw_path), _joined(claim.query)
    )
    text = string_to_sign(claim, canonical)
    proof = signature(signing_key(secret, timestamp[:8], region, service), text)
    authorization = (
        f"{ALGORITHM} Credential={access_key}/{claim.scope}, "
        f"SignedHeaders={';'.join(claim.signed_headers)}, Signature={proof}"
    )
    return [*added, ("Authorization", authorization)]


def presign(
    request: SignedRequest,
    access_key: str,
    secret: str,
    region: str,
    at_s: int,
    expires_s: int,
    service: str = "s3",
) -> str:
    """The raw query that authenticates `request` for `expires_s` seconds, sent with exactly its headers."""
    timestamp = _iso_basic(at_s)
    scope = Scope(timestamp[:8], region, service)
    headers = _fold(request.headers)
    signed_headers = tuple(sorted(headers))
    query = [
        *_encoded_pairs(request.raw_query),
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", _encoded(f"{access_key}/{scope}")),
        ("X-Amz-Date", timestamp),
        ("X-Amz-Expires", str(expires_s)),
        ("X-Amz-SignedHeaders", _encoded(";".join(signed_headers))),
    ]
    claim = Claim(
        access_key=access_key,
        scope=scope,
        signed_headers=signed_headers,
        signature="",
        timestamp=timestamp,
        time_s=at_s,
        payload=UNSIGNED_PAYLOAD,
        expires_s=expires_s,
        headers=headers,
        query=query,
    )
    canonical = canonical_request(
        claim, request.method, canonical_path(request.raw_path), _joined(claim.query)
    )
    text = string_to_sign(claim, canonical)
    proof = signature(signing_key(secret, scope.date, region, service), text)
    return f"{_joined(query)}&{_QUERY_SIGNATURE}={proof}"


# ---------------------------------------------------------------------------------------------- parsing


def _claim_in_header(
    authorization: str, headers: Mapping[str, Sequence[str]], query: Sequence[tuple[str, str]]
) -> Claim:
    mechanism, _, rest = authorization.partition(" ")
    if mechanism in ("AWS", "AWS4-ECDSA-P256-SHA256"):
        raise InvalidRequest(_NOT_SUPPORTED)
    if mechanism != ALGORITHM:
        raise InvalidArgument(
            "Unsupported Authorization Type", ArgumentName="Authorization", ArgumentValue=authorization
        )
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        name, equals, value = piece.strip(" \t").partition("=")
        if not equals or name in parts or name not in ("Credential", "SignedHeaders", "Signature"):
            raise _header_malformed(_THREE_COMPONENTS)
        parts[name] = value
    if len(parts) != 3:
        raise _header_malformed(_THREE_COMPONENTS)
    access_key, scope = _credential(parts["Credential"], _header_malformed)
    signed_headers = _signed_headers(parts["SignedHeaders"], _header_malformed)
    timestamp, time_s = _signing_time(headers)
    payload = _one(headers, _CONTENT_SHA256)
    if payload is None:
        raise InvalidRequest(f"Missing required header for this request: {_CONTENT_SHA256}")
    if not _SHA256.fullmatch(payload) and payload != UNSIGNED_PAYLOAD and payload not in STREAMING:
        raise InvalidArgument(
            f"{_CONTENT_SHA256} must be {UNSIGNED_PAYLOAD}, {STREAMING_UNSIGNED_TRAILER}, "
            f"{STREAMING_SIGNED}, {STREAMING_SIGNED_TRAILER} or a valid sha256 value.",
            ArgumentName=_CONTENT_SHA256,
            ArgumentValue=payload,
        )
    return Claim(
        access_key=access_key,
        scope=scope,
        signed_headers=signed_headers,
        signature=parts["Signature"],
        timestamp=timestamp,
        time_s=time_s,
        payload=payload,
        session_token=_one(headers, "x-amz-security-token"),
        headers=headers,
        query=query,
    )


def _claim_in_query(headers: Mapping[str, Sequence[str]], query: Sequence[tuple[str, str]]) -> Claim:
    given: dict[str, str] = {}
    for name, encoded in query:
        if name.startswith("X-Amz-"):
            if name in given:
                raise AuthorizationQueryParametersError(f"{name} must be given once.")
            given[name] = unquote_to_bytes(encoded).decode("utf-8", "surrogateescape")
    if any(name not in given for name in _QUERY_REQUIRED):
        raise AuthorizationQueryParametersError(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    if given["X-Amz-Algorithm"] != ALGORITHM:
        raise AuthorizationQueryParametersError(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    access_key, scope = _credential(given["X-Amz-Credential"], _query_malformed)
    time_s = _iso_basic_s(given["X-Amz-Date"])
    if time_s is None:
        raise AuthorizationQueryParametersError(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""
        )
    signed_headers = _signed_headers(given["X-Amz-SignedHeaders"], AuthorizationQueryParametersError)
    return Claim(
        access_key=access_key,
        scope=scope,
        signed_headers=signed_headers,
        signature=given[_QUERY_SIGNATURE],
        timestamp=given["X-Amz-Date"],
        time_s=time_s,
        payload=_presigned_payload(given.get("X-Amz-Content-Sha256"), _one(headers, _CONTENT_SHA256)),
        expires_s=_expires_s(given["X-Amz-Expires"]),
        session_token=given.get("X-Amz-Security-Token"),
        headers=_completed(headers, signed_headers, query),
        query=[pair for pair in query if pair[0] != _QUERY_SIGNATURE],
    )


def _completed(
    headers: Mapping[str, Sequence[str]], signed_headers: Sequence[str], query: Sequence[tuple[str, str]]
) -> Mapping[str, Sequence[str]]:
    """The headers with those that are signed as headers, but stand in the query only: an older SDK for
    JavaScript presigns `x-amz-*` headers so, and nobody need send them again."""
    missing = {name for name in signed_headers if name.startswith("x-amz-") and name not in headers}
    if not missing:
        return headers
    hoisted = {
        name.lower(): [unquote_to_bytes(encoded).decode("utf-8", "surrogateescape")]
        for name, encoded in query
        if name.lower() in missing
    }
    return {**headers, **hoisted}


def _expires_s(text: str) -> int:
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        raise AuthorizationQueryParametersError("X-Amz-Expires should be a number")
    expires_s = int(text)
    if expires_s < 0:
        raise AuthorizationQueryParametersError("X-Amz-Expires must be non-negative")
    if expires_s < 1:
        raise AuthorizationQueryParametersError("X-Amz-Expires must be positive")
    if expires_s > EXPIRES_S_MAX:
        raise AuthorizationQueryParametersError(
            "X-Amz-Expires must be less than a week (in seconds); "
            f"that is, the given X-Amz-Expires must be less than {EXPIRES_S_MAX} seconds"
        )
    return expires_s


def _presigned_payload(in_query: str | None, in_header: str | None) -> str:
    """What ends the canonical request of a presigned URL: a hash where one is promised, else nothing is.

    Whether it is one that may be promised is looked at once it is clear that all headers are signed.
    """
    if in_query is not None and in_header is not None and in_query != in_header:
        raise InvalidArgument(
            f"{_CONTENT_SHA256} must have one value.", ArgumentName=_CONTENT_SHA256, ArgumentValue=in_header
        )
    payload = in_query if in_query is not None else in_header
    return UNSIGNED_PAYLOAD if payload is None else payload


@lru_cache(CLAIM_PARTS_CACHED)
def _credential(text: str, malformed: Callable[[str], S3Error]) -> tuple[str, Scope]:
    parts = text.split("/")
    if len(parts) != 5 or not all(parts):
        raise malformed(_CREDENTIAL_FORM)
    access_key, date, region, service, terminator = parts
    if terminator != TERMINATOR:
        raise malformed(f'incorrect terminal "{terminator}". This endpoint uses "{TERMINATOR}".')
    if not _DATE.fullmatch(date):
        raise malformed(
            f'incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".'
        )
    return access_key, Scope(date, region, service)


@lru_cache(CLAIM_PARTS_CACHED)
def _signed_headers(text: str, malformed: Callable[[str], S3Error]) -> tuple[str, ...]:
    names = tuple(text.split(";"))
    if (
        len(names) > SIGNED_HEADERS_MAX
        or len(set(names)) != len(names)
        or not all(_HEADER_NAME.fullmatch(name) for name in names)
    ):
        raise malformed("SignedHeaders must be lower-case header names, each once, separated by semicolons.")
    return names


def _signing_time(headers: Mapping[str, Sequence[str]]) -> tuple[str, int]:
    """The time a request was signed: x-amz-date if it is there, else Date in either of its forms.

    botocore ends its Date in `-0000`, which says UTC and is parsed as a time without a zone.
    """
    text = _one(headers, "x-amz-date")
    if text is None:
        text = _one(headers, "date")
        if text is not None and not _ISO_BASIC.fullmatch(text):
            try:
                at = parsedate_to_datetime(text)
            except ValueError:
                at = None
            text = None if at is None else _iso_basic(timegm(at.utctimetuple()))
    time_s = None if text is None else _iso_basic_s(text)
    if text is None or time_s is None:
        raise AccessDenied("AWS authentication requires a valid Date or x-amz-date header")
    return text, time_s


# ----------------------------------------------------------------------------------------------- checks


def _refuse_repeated(headers: Mapping[str, Sequence[str]]) -> None:
    for name, values in headers.items():
        if len(values) > 1 and name in _ONCE:
            raise InvalidRequest(f"The {name} header must be sent once.")


def _check_signed_headers(claim: Claim) -> None:
    unsigned = [
        name
        for name in claim.headers
        if name.startswith(MUST_BE_SIGNED) and name not in claim.signed_headers and name != _CONTENT_SHA256
    ]
    if "host" not in claim.signed_headers:
        unsigned.append("host")
    if unsigned:
        raise AccessDenied(
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(sorted(unsigned)),
        )


def _check_scope(
    claim: Claim, regions: Sequence[str], service: str, malformed: Callable[[str], S3Error]
) -> None:
    if claim.scope.date != claim.timestamp[:8]:
        raise malformed(
            f'Invalid credential date "{claim.scope.date}". '
            f'This date is not the same as X-Amz-Date: "{claim.timestamp[:8]}".'
        )
    if claim.scope.service != service:
        raise malformed(f'incorrect service "{claim.scope.service}". This endpoint belongs to "{service}".')
    if regions and claim.scope.region not in regions:
        error = malformed(f"the region '{claim.scope.region}' is wrong; expecting '{regions[0]}'")
        error.elements["Region"] = regions[0]
        raise error


def _check_skew(claim: Claim, now_s: int) -> None:
    if abs(claim.time_s - now_s) > SKEW_S_MAX:
        raise RequestTimeTooSkewed(
            RequestTime=claim.timestamp,
            ServerTime=iso_extended(now_s),
            MaxAllowedSkewMilliseconds=SKEW_S_MAX * 1000,
        )


def _is_signature(given: str, key: bytes, text: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), signature(key, text).encode("ascii"))


_THREE_COMPONENTS: Final = (
    "the authorization header requires three components: Credential, SignedHeaders, and Signature."
)


def _header_malformed(why: str) -> S3Error:
    return AuthorizationHeaderMalformed(f"The authorization header is malformed; {_printable(why)}")


def _query_malformed(why: str) -> S3Error:
    return AuthorizationQueryParametersError(
        f"Error parsing the X-Amz-Credential parameter; {_printable(why)}"
    )


def _post_field(name: str) -> S3Error:
    return InvalidArgument(
        f"Bucket POST must contain a field named '{name}'.  "
        "If it is specified, please check the order of the fields.",
        ArgumentName=name,
        ArgumentValue="",
    )


def _mismatch(claim: Claim, text: str, canonical: str) -> S3Error:
    return SignatureDoesNotMatch(
        AWSAccessKeyId=_printable(claim.access_key),
        StringToSign=_printable(text),
        SignatureProvided=_printable(claim.signature),
        StringToSignBytes=_octets(text),
        CanonicalRequest=_printable(canonical),
        CanonicalRequestBytes=_octets(canonical),
    )


# ------------------------------------------------------------------------------------------------- text


def _fold(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    folded: dict[str, list[str]] = {}
    for name, value in headers:
        folded.setdefault(name.lower(), []).append(value)
    return folded


def _one(headers: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = headers.get(name)
    return values[0].strip(" \t") if values else None


def _trimmed(value: str) -> str:
    if " " not in value and "\t" not in value:
        return value
    return _SPACES.sub(" ", value).strip(" ") if "  " in value or "\t" in value else value.strip(" ")


def _encode_piece(match: re.Match[str]) -> str:
    piece = match[0]
    if len(piece) == 3:
        return _ENCODED[int(piece[1:], 16)]
    return "".join(_ENCODED[octet] for octet in piece.encode("utf-8", "surrogateescape"))


def _encoded(text: str) -> str:
    return "".join([_ENCODED[octet] for octet in text.encode("utf-8", "surrogateescape")])


def _canonical_value(raw: str) -> str:
    if _CLEAN_QUERY.fullmatch(raw):
        return raw
    octets = unquote_to_bytes(raw.replace("+", " ").encode("utf-8", "surrogateescape"))
    return "".join([_ENCODED[octet] for octet in octets])


def _encoded_pairs(raw_query: str) -> list[tuple[str, str]]:
    pairs = []
    for piece in raw_query.split("&") if raw_query else ():
        if piece:
            name, _, value = piece.partition("=")
            pairs.append((_canonical_value(name), _canonical_value(value)))
    return pairs


def _joined(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def _iso_basic(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")


def iso_extended(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(64)
def _iso_basic_s(text: str) -> int | None:
    """Seconds since the epoch of `20130524T000000Z`; None if it is no such time."""
    if not _ISO_BASIC.fullmatch(text):
        return None
    try:
        return timegm(datetime.strptime(text, "%Y%m%dT%H%M%SZ").utctimetuple())
    except ValueError:
        return None


def _printable(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _octets(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").hex(" ")
