"""The x-amz-copy-source header: `[/]bucket/key[?versionId=…]` or a URL of it, percent-encoded once."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from objstore.s3.errors import InvalidArgument, InvalidBucketName
from objstore.s3.names import check_bucket_name, check_key
from objstore.s3.tokens import check_version_id

HEADER: Final = "x-amz-copy-source"
_VERSION: Final = "?versionId="
_ORIGIN: Final = re.compile(r"^https?://[^/]*", re.IGNORECASE)
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class CopySource:
    """What a copy is made of; `version_id` None: the current version."""

    bucket: str
    key: str
    version_id: str | None


def parse_copy_source(header: str) -> CopySource:
    """The source a header names. The key is decoded exactly once; a `+` in it is a space, as on S3.

    Raises InvalidArgument, KeyTooLong.
    """
    path, mark, version_id = header.rpartition(_VERSION)
    if not mark:
        path = header
    try:
        encoded = path.replace("+", " ").encode("utf-8", "surrogateescape")
        decoded = _ORIGIN.sub("", unquote_to_bytes(encoded).decode("utf-8"), count=1)
    except UnicodeDecodeError:
        raise _invalid("Invalid copy source encoding", header) from None
    if _LONE_PERCENT.search(path):
        raise _invalid("Invalid copy source encoding", header)
    bucket, _, key = decoded.removeprefix("/").partition("/")
    if not bucket or not key:
        raise InvalidArgument(
            "Invalid copy source object key", ArgumentName=HEADER, ArgumentValue=HEADER
        )  # sic, as S3 has it
    try:
        check_bucket_name(bucket)
    except InvalidBucketName:
        raise _invalid("Invalid copy source bucket name", header) from None
    return CopySource(bucket, check_key(key), check_version_id(version_id) if mark else None)


def _invalid(message: str, header: str) -> InvalidArgument:
    return InvalidArgument(message, ArgumentName=HEADER, ArgumentValue=ascii(header)[1:-1])
