"""What a client says about an object in headers, and the headers it gets back: both ways, pure.

Headers come in with lower-case names, repeated ones joined by a comma, and go out the same way. Form
fields of a POST upload are read by the same functions. Whatever is let in here is sent back verbatim
later, so nothing is let in that could not stand in a response (a CR, LF or NUL in a header makes an
object that nobody can GET).
"""

import base64
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from objstore.model import RESTORE, Attributes, Checksum, ObjectLock, ObjectVersion
from objstore.s3 import errors, replication
from objstore.s3.errors import (
    InvalidArgument,
    InvalidRedirectLocation,
    InvalidRequest,
    InvalidStorageClass,
    InvalidTag,
    MetadataTooLarge,
    RequestHeaderSectionTooLarge,
    TooManyTags,
)
from objstore.s3.xml import write_instant

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
METADATA_PREFIX: Final = "x-amz-meta-"
USER_METADATA_BYTES_MAX: Final = 2 * 1024
SYSTEM_METADATA_BYTES_MAX: Final = 8 * 1024
TAGS_MAX: Final = 10
TAG_KEY_MAX: Final = 128
TAG_VALUE_MAX: Final = 256
REDIRECT_BYTES_MAX: Final = 2 * 1024
DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
REDIRECT_HEADER: Final = "x-amz-website-redirect-location"

SYSTEM_HEADERS: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
"""Stored as sent and sent back, Expires too when it is no date."""

STORAGE_CLASSES: Final = frozenset(
    (
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
    )
)
CANNED_ACLS: Final = frozenset(
    (
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    )
)
_NOT_OFFERED: Final = (
    "x-amz-write-offset-bytes",
    "x-amz-object-lock-event-hold",
)
"""Headers (by prefix) whose promise would be broken if they were ignored."""

_OVERRIDES: Final = tuple(f"response-{name}" for name in SYSTEM_HEADERS)
NAME_CHARACTERS: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
"""Those of a header's name, in lower case."""
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TAG_PUNCTUATION: Final = frozenset("_.:/=+-@")


# --- in ---------------------------------------------------------------------------------------------


def parse_attributes(headers: Mapping[str, str]) -> Attributes:
    """System headers, user metadata and storage class of an upload; the checksum is the writer's to add.

    Raises InvalidArgument for a value that cannot be sent back, MetadataTooLarge, InvalidStorageClass,
    NotImplemented for what would have to be promised.
    """
    stored: dict[str, str] = {}
    metadata: dict[str, str] = {}
    storage_class = "STANDARD"
    for name, value in headers.items():
        if name.startswith(METADATA_PREFIX):
            metadata[name[len(METADATA_PREFIX) :]] = value
        elif name in SYSTEM_HEADERS:
            stored[name] = value
        elif name.startswith("x-amz-"):
            if name == "x-amz-storage-class":
                storage_class = _storage_class(value)
            elif name == REDIRECT_HEADER:
                stored[name] = _redirect(value)
            elif name == "x-amz-acl":
                _check_canned_acl(value)
            elif name.startswith(_NOT_OFFERED):
                raise errors.NotImplemented(Header=name)
    if metadata:
        _check_metadata(metadata)
    return Attributes(headers=_system_headers(stored), metadata=metadata, storage_class=storage_class)


def _system_headers(stored: dict[str, str]) -> dict[str, str]:
    if not stored:
        return stored
    if "content-encoding" in stored:
        encodings = (part.strip() for part in stored["content-encoding"].split(","))
        stored["content-encoding"] = ",".join(
            encoding for encoding in encodings if encoding and encoding.lower() != "aws-chunked"
        )
    kept = {name: value for name, value in stored.items() if value}
    for name, value in kept.items():
        check_sendable(name, value)
    if sum(len(name) + len(value) for name, value in kept.items()) > SYSTEM_METADATA_BYTES_MAX:
        raise RequestHeaderSectionTooLarge(MaxSizeAllowed=SYSTEM_METADATA_BYTES_MAX)
    return kept


def check_sendable(name: str, value: str) -> None:
    """Refuse a header value that is not printable ASCII: it would break the response it goes out with."""
    if not value.isascii() or not value.replace("\t", " ").isprintable():
        raise InvalidArgument(
            f"The value of {name} must be printable ASCII.",
            ArgumentName=name,
            ArgumentValue=value.encode("ascii", "backslashreplace").decode(),
        )


def _check_metadata(metadata: Mapping[str, str]) -> None:
    size = 0
    for name, value in metadata.items():
        if not name or not NAME_CHARACTERS.issuperset(name):
            raise InvalidArgument(
                "The name of a metadata header is not valid.",
                ArgumentName=ascii(METADATA_PREFIX + name)[1:-1],
            )
        try:
            size += len(name) + len(value.encode())
        except UnicodeEncodeError:  # bytes that are no UTF-8 arrive as surrogates
            raise InvalidArgument(
                "Metadata values must be UTF-8.", ArgumentName=METADATA_PREFIX + name
            ) from None
        if any((character < " " and character != "\t") or character == "\x7f" for character in value):
            check_sendable(METADATA_PREFIX + name, value)
    if size > USER_METADATA_BYTES_MAX:
        raise MetadataTooLarge(Size=size, MaxSizeAllowed=USER_METADATA_BYTES_MAX)


def _storage_class(value: str) -> str:
    if value not in STORAGE_CLASSES:
        raise InvalidStorageClass(StorageClassRequested=ascii(value)[1:-1])
    return value


def _redirect(value: str) -> str:
    if not value.startswith(("/", "http://", "https://")):
        raise InvalidRedirectLocation()
    if len(value) > REDIRECT_BYTES_MAX:
        raise InvalidArgument(
            "The length of website redirect location cannot exceed 2,048 characters.",
            ArgumentName=REDIRECT_HEADER,
        )
    return value


def _check_canned_acl(value: str) -> None:
    """ACLs are off: a canned one is accepted and means nothing, an unknown one is a mistake."""
    if value not in CANNED_ACLS:
        raise InvalidArgument(ArgumentName="x-amz-acl", ArgumentValue=ascii(value)[1:-1])


def parse_tagging(value: str) -> dict[str, str]:
    """The tags of an x-amz-tagging header: URL-encoded `key=value` pairs joined by `&`.

    `key` alone is a tag with an empty value; a `&` with nothing beside it says nothing.

    Raises InvalidArgument (not such pairs, a key twice), InvalidTag, TooManyTags.
    """
    if not value:
        return {}
    try:
        pairs = parse_qsl(value, keep_blank_values=True, errors="strict", max_num_fields=100)
    except (ValueError, UnicodeError):
        pairs = [("", "")]
    keys = {key for key, _ in pairs}
    if "" in keys or len(keys) < len(pairs) or "," in value or _LONE_PERCENT.search(value):
        raise InvalidArgument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters"
            " without tag name duplicates.",
            ArgumentName="x-amz-tagging",
            ArgumentValue=ascii(value)[1:-1],
        )
    check_tags(pairs)
    return dict(pairs)


def check_tags(
    pairs: Iterable[tuple[str, str]],
    limit: int = TAGS_MAX,
    reserved: str = "Your TagKey cannot be prefixed with aws:",
) -> None:
    """The limits of a tag set. Raises TooManyTags, InvalidTag (with the words `reserved`: a key `aws:…`)."""
    tags = list(pairs)
    if len(tags) > limit:
        raise TooManyTags(f"Object tags cannot be greater than {limit}")
    for key, value in tags:
        if not key or len(key) > TAG_KEY_MAX or not _is_tag_text(key):
            raise InvalidTag("The TagKey you have provided is invalid", TagKey=ascii(key)[1:-1])
        if len(value) > TAG_VALUE_MAX or not _is_tag_text(value):
            raise InvalidTag(
                "The TagValue you have provided is invalid", TagKey=key, TagValue=ascii(value)[1:-1]
            )
        if key.startswith("aws:"):
            raise InvalidTag(reserved, TagKey=key)


def _is_tag_text(text: str) -> bool:
    return all(
        character in _TAG_PUNCTUATION or unicodedata.category(character)[0] in "LNZ" for character in text
    )


def parse_lock(headers: Mapping[str, str], now_ms: int) -> ObjectLock | None:
    """The x-amz-object-lock-* headers of an upload; None without them.

    Raises InvalidArgument (of mode and date one without the other, too).
    """
    mode = headers.get("x-amz-object-lock-mode")
    until = headers.get("x-amz-object-lock-retain-until-date")
    hold = headers.get("x-amz-object-lock-legal-hold")
    if mode is None and until is None and hold is None:
        return None
    if (mode is None) != (until is None):
        raise InvalidArgument(
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ArgumentName="x-amz-object-lock-mode" if mode is None else "x-amz-object-lock-retain-until-date",
        )
    if mode is not None and mode not in ("GOVERNANCE", "COMPLIANCE"):
        raise InvalidArgument(
            "Unknown wormMode directive.",
            ArgumentName="x-amz-object-lock-mode",
            ArgumentValue=ascii(mode)[1:-1],
        )
    if hold is not None and hold not in ("ON", "OFF"):
        raise InvalidArgument(
            "Legal Hold must be either of 'ON' or 'OFF'",
            ArgumentName="x-amz-object-lock-legal-hold",
            ArgumentValue=ascii(hold)[1:-1],
        )
    until_ms = _iso_ms(until) if until is not None else 0
    if until is not None and until_ms <= now_ms:
        raise InvalidArgument(
            "The retain until date must be in the future!",
            ArgumentName="x-amz-object-lock-retain-until-date",
            ArgumentValue=ascii(until)[1:-1],
        )
    return ObjectLock(mode, until_ms, None if hold is None else hold == "ON")


def _iso_ms(value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            "The retain until date must be provided in ISO 8601 format",
            ArgumentName="x-amz-object-lock-retain-until-date",
            ArgumentValue=ascii(value)[1:-1],
        ) from None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def parse_overrides(query: Mapping[str, str], *, is_signed: bool) -> dict[str, str]:
    """The response headers that the query asks to be replaced (`response-content-type` and so on).

    Raises InvalidRequest on an unsigned request (anyone could make a public object look like anything),
    InvalidArgument for a value that cannot be sent.
    """
    wanted = {name: query[name] for name in _OVERRIDES if name in query}
    if wanted and not is_signed:
        raise InvalidRequest("Request specific response headers cannot be used for anonymous GET requests.")
    for name, value in wanted.items():
        check_sendable(name, value)
    return {name.removeprefix("response-"): value for name, value in wanted.items() if value}


# --- out --------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def http_date(ms: int) -> str:
    """RFC 1123 GMT, whole seconds (rounded down, as conditions compare)."""
    return _http_date(ms // 1000)


def object_headers(version: ObjectVersion, *, shows_version_id: bool) -> dict[str, str]:
    """The headers of a GET or HEAD of one version, without those of its length, range and checksum."""
    attributes = version.attributes
    headers = {
        "etag": f'"{version.etag}"',
        "last-modified": _http_date(version.modified_ms // 1000),
        "accept-ranges": "bytes",
        "content-type": DEFAULT_CONTENT_TYPE,
    }
    if attributes.headers:
        headers.update(attributes.headers)
    for name, value in attributes.metadata.items():
        headers[METADATA_PREFIX + name] = value if value.isascii() else _encoded_word(value)
    if shows_version_id:
        headers["x-amz-version-id"] = version.version_id
    if attributes.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = attributes.storage_class
    if RESTORE in attributes.extra:
        headers["x-amz-restore"] = restore_header(attributes)
    if version.tags:
        headers["x-amz-tagging-count"] = str(len(version.tags))
    if version.lock is not None:
        headers.update(lock_headers(version.lock))
    if replication.EXTRA in attributes.extra:
        headers[replication.HEADER] = replication.status_of(attributes) or ""
    return headers


def restore_header(attributes: Attributes) -> str:
    """The value of x-amz-restore, for what was asked back."""
    until_ms = attributes.restored_until_ms
    if until_ms is None:
        return 'ongoing-request="true"'
    return f'ongoing-request="false", expiry-date="{http_date(until_ms)}"'


def lock_headers(lock: ObjectLock) -> dict[str, str]:
    """The x-amz-object-lock-* headers that tell what protects a version."""
    headers = {}
    if lock.mode is not None:
        headers["x-amz-object-lock-mode"] = lock.mode
        headers["x-amz-object-lock-retain-until-date"] = write_instant(lock.retain_until_ms)
    if lock.legal_hold is not None:
        headers["x-amz-object-lock-legal-hold"] = "ON" if lock.legal_hold else "OFF"
    return headers


def checksum_headers(checksum: Checksum | None) -> dict[str, str]:
    """`x-amz-checksum-<algorithm>` and `x-amz-checksum-type`; nothing when there is no checksum."""
    if checksum is None:
        return {}
    return {
        f"x-amz-checksum-{checksum.algorithm.lower()}": checksum.value,
        "x-amz-checksum-type": checksum.type.value,
    }


def _encoded_word(value: str) -> str:
    """Non-ASCII user metadata as one RFC 2047 encoded word, which is how S3 sends it."""
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="
