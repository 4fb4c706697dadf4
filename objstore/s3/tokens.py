"""Opaque strings handed to clients and taken back: continuation tokens, upload ids, version ids.

A continuation token is base64url of: format version (1 byte), check (8 bytes), msgpack of its fields. The
check is a BLAKE2b digest over version, purpose and fields. It keeps clients from building or changing
tokens, and a token of one bucket or listing from being used in another; it is no secret: whoever forges
one can but start a listing elsewhere.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

import msgpack

from objstore import clock
from objstore.model import NULL_VERSION
from objstore.s3.errors import InvalidArgument, NoSuchUpload

TOKEN_CHARACTERS_MAX: Final = 4096
_FORMAT: Final = b"\x01"
_CHECK_BYTES: Final = 8
_ID: Final = re.compile(r"[0-9a-f]{32}")

Field = str | int | None


def encode_token(purpose: str, fields: Sequence[Field]) -> str:
    """A token that `decode_token` turns back into `fields`, given the same `purpose`.

    `purpose` says what the token continues: "list-objects-v2:bucket-name".
    """
    payload = msgpack.packb(list(fields))
    return base64.urlsafe_b64encode(_FORMAT + _check(purpose, payload) + payload).decode("ascii")


def decode_token(purpose: str, token: str) -> list[Field]:
    """The fields of a token made for the same `purpose`; raises InvalidArgument for any other string."""
    try:
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise ValueError("too long")
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        check, payload = raw[1 : 1 + _CHECK_BYTES], raw[1 + _CHECK_BYTES :]
        if raw[:1] != _FORMAT or not hmac.compare_digest(check, _check(purpose, payload)):
            raise ValueError("not a token of ours")
        fields: list[Field] = msgpack.unpackb(payload)
    except (binascii.Error, ValueError):
        raise InvalidArgument(
            "The continuation token provided is incorrect", ArgumentName="continuation-token"
        ) from None
    return fields


def new_upload_id() -> str:
    """An upload id that occurs once; later ones sort later."""
    return clock.new_id().hex()


def is_upload_id(text: str) -> bool:
    """Whether this could be an upload's id."""
    return _ID.fullmatch(text) is not None


def check_upload_id(upload_id: str) -> str:
    """`upload_id`, if it could be one; raises NoSuchUpload."""
    if not is_upload_id(upload_id):
        raise NoSuchUpload(UploadId=upload_id)
    return upload_id


def new_version_id() -> str:
    """A version id that occurs once. Versions are ordered by commit, never by their ids."""
    return clock.new_id().hex()


def version_id_of(upload_id: str) -> str:
    """The version id of what an upload becomes, where versioning is enabled: told from its beginning on."""
    return hashlib.blake2b(upload_id.encode(), digest_size=16, person=b"objstore-version").hexdigest()


def is_version_id(text: str) -> bool:
    """Whether this could be a version's id."""
    return text == NULL_VERSION or _ID.fullmatch(text) is not None


def check_version_id(version_id: str, parameter: str = "versionId") -> str:
    """`version_id`, if it could be one (or `null`); raises InvalidArgument, naming the parameter."""
    if version_id == "":
        raise InvalidArgument(
            "Version id cannot be the empty string", ArgumentName=parameter, ArgumentValue=""
        )
    if not is_version_id(version_id):
        raise InvalidArgument(
            "Invalid version id specified", ArgumentName=parameter, ArgumentValue=version_id
        )
    return version_id


def _check(purpose: str, payload: bytes) -> bytes:
    return hashlib.blake2b(
        purpose.encode("utf-8", "surrogateescape") + b"\0" + payload,
        digest_size=_CHECK_BYTES,
        person=b"objstore-token",
    ).digest()
