"""RenameObject."""

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, new_version_header
from objstore.s3.conditions import parse_http_date
from objstore.s3.errors import InvalidArgument, InvalidRequest, NoSuchKey
from objstore.s3.names import check_key
from objstore.service.renaming import RenameConditions, RenameToken

SOURCE: Final = "x-amz-rename-source"
CLIENT_TOKEN: Final = "x-amz-client-token"  # noqa: S105  (no password)
TOKEN_LENGTH_MAX: Final = 64


async def rename(call: Call) -> Reply:
    """RenameObject: in any bucket of ours, as in the directory buckets of AWS."""
    bucket, headers = bucket_of(call), call.headers
    source_key = _source_key(headers.get(SOURCE, ""), bucket.name)
    for action in ("s3:GetObject", "s3:DeleteObject"):
        await call.require(action, bucket.name, source_key)
    if source_key == call.key:
        raise InvalidRequest(
            "This rename request is illegal because it is trying to rename an object to itself."
        )
    source_conditions, target_conditions = _conditions(headers, f"{SOURCE}-"), _conditions(headers, "")
    try:
        version = await call.services.renames.rename(
            bucket,
            source_key,
            call.key,
            source_conditions=source_conditions,
            target_conditions=target_conditions,
            token=_token(headers, call.key, source_key),
            origin=call.origin,
        )
    except NoSuchKey:
        await call.require("s3:ListBucket", bucket.name)
        raise
    call.notes.version = version
    return Reply(headers={} if version is None else new_version_header(bucket, version.version_id))


def _source_key(header: str, bucket: str) -> str:
    """The key that `x-amz-rename-source` names: percent-encoded, with or without `/bucket/` before it.

    Raises InvalidArgument, KeyTooLong.
    """
    try:
        decoded = unquote_to_bytes(header.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError:
        raise InvalidArgument(
            "The rename source must be URL-encoded UTF-8.", ArgumentName=SOURCE, ArgumentValue=""
        ) from None
    key = decoded.removeprefix(f"/{bucket}/")
    if key == decoded:
        key = decoded.removeprefix("/")
    if not key:
        raise InvalidArgument("The rename source must name an object.", ArgumentName=SOURCE, ArgumentValue="")
    return check_key(key)


def _conditions(headers: Mapping[str, str], prefix: str) -> RenameConditions:
    return RenameConditions(
        headers.get(prefix + "if-match"),
        headers.get(prefix + "if-none-match"),
        parse_http_date(headers.get(prefix + "if-modified-since")),
        parse_http_date(headers.get(prefix + "if-unmodified-since")),
    )


def _token(headers: Mapping[str, str], key: str, source_key: str) -> RenameToken | None:
    """The client's token, bound to all that the request asks. Raises InvalidArgument."""
    token = headers.get(CLIENT_TOKEN)
    if token is None:
        return None
    if not 1 <= len(token) <= TOKEN_LENGTH_MAX or not all("!" <= character <= "~" for character in token):
        raise InvalidArgument(
            "The client token must have 1 to 64 visible ASCII characters.",
            ArgumentName=CLIENT_TOKEN,
            ArgumentValue=ascii(token)[1:-1],
        )
    asked = [key, source_key]
    asked += [f"{name}:{value}" for name, value in sorted(headers.items()) if _is_condition(name)]
    return RenameToken(token, hashlib.sha256("\0".join(asked).encode("utf-8", "surrogateescape")).digest())


def _is_condition(name: str) -> bool:
    return name.removeprefix(f"{SOURCE}-") in (
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
    )
