"""ListObjects, ListObjectsV2 and ListObjectVersions: their results, and how they encode keys.

With encoding-type=url the caller passes names through `url_encoded` first: the codec writes what it is
given.
"""

from typing import Final, Literal
from urllib.parse import quote

from objstore.s3.documents.owner import Owner
from objstore.s3.xml import ETag, Moment, document, element

MAX_KEYS: Final = 1000


def url_encoded(name: str) -> str:
    """`name` as encoding-type=url shows it: a space is `%20`, a plus `%2B`, a slash stays.

    (A plus for a space would be wrong: botocore decodes `%20` only.)
    """
    return quote(name, safe="/")


@document
class CommonPrefixes:
    """Keys rolled up by the delimiter, one element a prefix."""

    prefix: str


@document
class RestoreStatus:
    is_restore_in_progress: bool
    restore_expiry_date: Moment | None = None


@document
class Contents:
    """One listed object."""

    key: str
    last_modified: Moment
    etag: ETag = element("ETag")
    checksum_algorithm: tuple[str, ...] = element("ChecksumAlgorithm", default=())
    checksum_type: str | None = None
    size: int
    owner: Owner | None = None
    storage_class: str = "STANDARD"
    restore_status: RestoreStatus | None = None


@document("ListBucketResult")
class ListObjectsResult:
    """Version 1. `next_marker` belongs there only with a delimiter; else clients use the last key."""

    name: str
    prefix: str = ""
    marker: str = ""
    next_marker: str | None = None
    max_keys: int
    delimiter: str | None = None
    is_truncated: bool
    encoding_type: Literal["url"] | None = None
    contents: tuple[Contents, ...] = ()
    common_prefixes: tuple[CommonPrefixes, ...] = ()


@document("ListBucketResult")
class ListObjectsV2Result:
    """Version 2. `key_count` counts objects and common prefixes."""

    name: str
    prefix: str = ""
    continuation_token: str | None = None
    next_continuation_token: str | None = None
    start_after: str | None = None
    key_count: int
    max_keys: int
    delimiter: str | None = None
    is_truncated: bool
    encoding_type: Literal["url"] | None = None
    contents: tuple[Contents, ...] = ()
    common_prefixes: tuple[CommonPrefixes, ...] = ()


@document
class Version:
    """One object version in a listing of versions."""

    key: str
    version_id: str
    is_latest: bool
    last_modified: Moment
    etag: ETag = element("ETag")
    checksum_algorithm: tuple[str, ...] = element("ChecksumAlgorithm", default=())
    checksum_type: str | None = None
    size: int
    owner: Owner | None = None
    storage_class: str = "STANDARD"
    restore_status: RestoreStatus | None = None


@document
class DeleteMarker:
    """One delete marker in a listing of versions."""

    key: str
    version_id: str
    is_latest: bool
    last_modified: Moment
    owner: Owner | None = None


@document
class ListVersionsResult:
    """`entries` holds versions and delete markers in the order listed."""

    name: str
    prefix: str = ""
    key_marker: str = ""
    version_id_marker: str = ""
    next_key_marker: str | None = None
    next_version_id_marker: str | None = None
    max_keys: int
    delimiter: str | None = None
    is_truncated: bool
    encoding_type: Literal["url"] | None = None
    entries: tuple[Version | DeleteMarker, ...] = ()
    common_prefixes: tuple[CommonPrefixes, ...] = ()
