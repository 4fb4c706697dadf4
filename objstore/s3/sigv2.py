"""Signature Version 2 in presigned URLs and browser forms: what aws cli 1 and boto3 still make by default.

Both presign with this version for a region of the classic partition that is older than version 4, such
as us-east-1, unless told otherwise; a server that refuses it needs a flag in every script that shares a
link. Requests that carry version 2 in the Authorization header are refused (`sigv4.parse_claim`): no
client of today sends them.

Kept here:
- Version 2 does not sign every query parameter. A parameter that is neither signed nor harmless (the
  paging of a listing) refuses the request, so that nobody can turn a link into another operation.
- Every x-amz-* header is part of what is signed, so none can be added.
- Streaming payloads do not go together with a signature in the query.
- Of a header and a query parameter of one name, the header is what was signed.

Source: Amazon S3 API reference, "Signing and authenticating REST requests" (Signature Version 2) and
"Browser-based uploads using POST" (Signature Version 2).
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from objstore.s3.errors import AccessDenied, InvalidRequest, SignatureDoesNotMatch
from objstore.s3.sigv4 import STREAMING, SignedRequest, iso_extended

ACCESS_KEY: Final = "AWSAccessKeyId"
SIGNATURE: Final = "Signature"
EXPIRES: Final = "Expires"
_OWN: Final = frozenset({ACCESS_KEY, SIGNATURE, EXPIRES})
_SIGNED_PARAMETERS: Final = frozenset(
    {
        "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle",
        "location", "logging", "metrics", "notification", "object-lock", "partNumber", "policy",
        "replication", "requestPayment", "response-cache-control", "response-content-disposition",
        "response-content-encoding", "response-content-language", "response-content-type",
        "response-expires", "restore", "select", "select-type", "storageClass", "tagging", "torrent",
        "uploadId", "uploads", "versionId", "versioning", "versions", "website",
    }
)  # fmt: skip
"""Parameters that are part of the canonical resource; later ones than these nobody signs."""
_HARMLESS_PARAMETERS: Final = frozenset(
    {
        "continuation-token", "delimiter", "encoding-type", "fetch-owner", "key-marker", "list-type",
        "marker", "max-keys", "max-parts", "max-uploads", "part-number-marker", "prefix", "start-after",
        "upload-id-marker", "version-id-marker", "x-id",
    }
)  # fmt: skip
"""Parameters that clients send unsigned and that only choose which part of a listing is shown."""
_SIGNED_HEADERS: Final = frozenset({"content-md5", "content-type"})


@dataclass(frozen=True, slots=True)
class PresignedV2:
    """What a presigned URL of this version claims. `expires_s` is in seconds since the epoch."""

    access_key: str
    signature: str
    expires_s: int
    text: str
    """The string to sign."""
    is_streaming: bool = False
    """Whether a streaming payload is announced, which nobody may send so."""


def parse(request: SignedRequest, bucket: str, *, is_path_style: bool) -> PresignedV2 | None:
    """The claim in the query, or None when there is none of this version.

    `bucket` is what the address names; with a host-style address it is not part of the raw path.
    Raises AccessDenied (a part is missing, doubled or not a number; an unsigned parameter).
    """
    pairs = [_decoded(piece) for piece in request.raw_query.split("&") if piece]
    given = {name for name, _ in pairs}
    if ACCESS_KEY not in given or SIGNATURE not in given:
        return None
    headers = _fold(request.headers)
    if len(given) != len(pairs):
        raise AccessDenied("A query parameter of a presigned URL stands in it twice.")
    query = dict(pairs)
    if "authorization" in headers or "X-Amz-Signature" in query:
        raise InvalidRequest("Only one auth mechanism allowed.")
    expires = query.get(EXPIRES) or ""
    if not (expires.isascii() and expires.isdigit()):
        raise AccessDenied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        )
    for name, value in pairs:
        lower = name.lower()
        if lower.startswith("x-amz-") or lower in _SIGNED_HEADERS:
            headers.setdefault(lower, value or "")
        elif name not in _OWN and name not in _SIGNED_PARAMETERS and name not in _HARMLESS_PARAMETERS:
            raise AccessDenied(f"The query parameter {name} is not covered by the signature.")
    resource = request.raw_path if is_path_style or not bucket else f"/{bucket}{request.raw_path}"
    if resource == f"/{bucket}":
        resource += "/"  # the bucket itself, however it is addressed
    signed = sorted((name, value) for name, value in pairs if name in _SIGNED_PARAMETERS)
    if signed:
        resource += "?" + "&".join(name if value is None else f"{name}={value}" for name, value in signed)
    text = "\n".join(
        (
            request.method,
            headers.get("content-md5", ""),
            headers.get("content-type", ""),
            expires,
            *(f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-amz-")),
            resource,
        )
    )
    is_streaming = headers.get("x-amz-content-sha256") in STREAMING
    return PresignedV2(query[ACCESS_KEY] or "", query[SIGNATURE] or "", int(expires), text, is_streaming)


def check(claim: PresignedV2, now_s: int) -> None:
    """Raises AccessDenied for a claim whose time is over."""
    if now_s > claim.expires_s:
        raise AccessDenied(
            "Request has expired", Expires=iso_extended(claim.expires_s), ServerTime=iso_extended(now_s)
        )


def verify(claim: PresignedV2, secret: str) -> None:
    """Prove the claim; raises SignatureDoesNotMatch with what was signed here, InvalidRequest for a proved
    one with a streaming payload."""
    _verify(claim.access_key, claim.signature, claim.text, secret)
    if claim.is_streaming:
        raise InvalidRequest("A streaming payload cannot be sent to a presigned URL.")


def verify_form(fields: Mapping[str, str], secret: str) -> None:
    """Prove a browser form (lower-case field names): its signature covers `policy` as sent."""
    _verify(fields["awsaccesskeyid"], fields["signature"], fields["policy"], secret)


def is_form(fields: Mapping[str, str]) -> bool:
    """Whether a browser form is signed with this version."""
    return {"policy", "signature", "awsaccesskeyid"} <= fields.keys() and "x-amz-signature" not in fields


def signature(secret: str, text: str) -> str:
    """The signature of a string to sign: base64 of HMAC-SHA1."""
    return base64.b64encode(hmac.digest(secret.encode(), text.encode("utf-8", "replace"), "sha1")).decode()


def _verify(access_key: str, given: str, text: str, secret: str) -> None:
    if not hmac.compare_digest(signature(secret, text).encode(), given.encode("utf-8", "replace")):
        printable = text.encode("utf-8", "replace").decode()
        raise SignatureDoesNotMatch(
            AWSAccessKeyId=access_key,
            StringToSign=printable,
            SignatureProvided=given.encode("utf-8", "replace").decode(),
            StringToSignBytes=printable.encode().hex(" "),
        )


def _decoded(piece: str) -> tuple[str, str | None]:
    name, equals, value = piece.partition("=")
    return unquote_plus(name), unquote_plus(value) if equals else None


def _fold(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers
