"""Walks over what is encrypted: versions, annotations, and uploads under way.

Each goes by primary key and reads every row; those that are not encrypted are told by one byte.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from objstore.meta.interface import Database, Row
from objstore.meta.rows import unpack_attributes
from objstore.model import Encryption

_ENCRYPTED: Final = 0x96
"""The first byte of attributes with encryption: an array of six."""
_CURRENT: Final = (
    "SELECT bucket_id, key, version_id, attributes FROM objects "
    "WHERE (bucket_id, key) > (?, ?) ORDER BY bucket_id, key LIMIT ?"
)
_PAST: Final = (
    "SELECT bucket_id, key, version_id, attributes, reverse_sequence FROM history "
    "WHERE (bucket_id, key, reverse_sequence) > (?, ?, ?) ORDER BY bucket_id, key, reverse_sequence LIMIT ?"
)
_UPLOADS: Final = (
    "SELECT bucket_id, key, upload_id, attributes FROM uploads "
    "WHERE (bucket_id, key, upload_id) > (?, ?, ?) ORDER BY bucket_id, key, upload_id LIMIT ?"
)
_ANNOTATIONS: Final = (
    "SELECT annotation_set, name, '', attributes FROM annotations "
    "WHERE (annotation_set, name) > (?, ?) ORDER BY annotation_set, name LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What is encrypted: a version or an upload by its id, or an annotation by the number of its set (in
    place of the bucket's) and its name (in place of the key); and what its data key is sealed with."""

    bucket_id: int
    key: str
    id: str
    encryption: Encryption


@dataclass(frozen=True, slots=True)
class Page:
    """What of a page of rows is encrypted; `last` is where to go on, None at the end."""

    found: tuple[Encrypted, ...]
    last: tuple[object, ...] | None


def current_after(db: Database, last: tuple[object, ...] | None, limit: int) -> Page:
    """Of `limit` current versions after `last`, those that are encrypted."""
    return _page(db.rows(_CURRENT, (*(last or (-1, b"")), limit)), limit, lambda row: (row[0], row[1]))


def past_after(db: Database, last: tuple[object, ...] | None, limit: int) -> Page:
    """Of `limit` noncurrent versions after `last`, those that are encrypted."""
    start = last or (-1, b"", 0)
    return _page(db.rows(_PAST, (*start, limit)), limit, lambda row: (row[0], row[1], row[4]))


def uploads_after(db: Database, last: tuple[object, ...] | None, limit: int) -> Page:
    """Of `limit` uploads under way after `last`, those that are encrypted."""
    start = last or (-1, b"", "")
    return _page(db.rows(_UPLOADS, (*start, limit)), limit, lambda row: (row[0], row[1], row[2]))


def annotations_after(db: Database, last: tuple[object, ...] | None, limit: int) -> Page:
    """Of `limit` annotations after `last`, those that are encrypted."""
    return _page(db.rows(_ANNOTATIONS, (*(last or (-1, b"")), limit)), limit, lambda row: (row[0], row[1]))


def _page(rows: list[Row], limit: int, place: Callable[[Row], tuple[object, ...]]) -> Page:
    found = []
    for row in rows:
        encryption = unpack_attributes(row[3]).encryption if row[3][0] == _ENCRYPTED else None
        if encryption is not None:
            found.append(Encrypted(row[0], row[1].decode(), row[2], encryption))
    return Page(tuple(found), place(rows[-1]) if len(rows) == limit else None)
