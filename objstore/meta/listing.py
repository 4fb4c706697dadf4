"""Listings of keys: objects, versions and uploads, with prefix, marker and delimiter.

All three are one walk over an index in key order (UTF-8 bytes). Keys that have the delimiter after the
prefix fold into a common prefix; having met its first key, the walk seeks past the last one: a folder of
a million keys costs what a folder of one does.

A marker inside or at a common prefix skips all of it: S3 leaves out common prefixes that are not
greater than the marker, so a page may end with one and it does not come again.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from objstore.meta.interface import Database, Row
from objstore.meta.rows import (
    HISTORY_COLUMNS,
    OBJECT_COLUMNS,
    UPLOAD_COLUMNS,
    ListedAttributes,
    listed_attributes,
    upload_of,
    version_of,
)
from objstore.model import ObjectVersion, Upload

KEYS_PER_PAGE_MAX: Final = 1000
_AFTER_ALL_KEYS: Final = b"\xff"  # no UTF-8 text has this byte
_ROWS_AT_FIRST: Final = 32
"""Rows to read first when folding: it is not yet known whether they are mostly keys or mostly folders."""
_ROWS_AFTER_SEEK: Final = 2
"""Rows to read after a seek past a common prefix: mostly the next row begins the next one."""

Position = tuple[Any, ...]
"""A place in an index: key bytes, then what orders rows of one key. Each index says which side it is on."""


def successor(prefix: bytes) -> bytes:
    """The least byte string above every key that begins with `prefix` (UTF-8: no byte is 0xff)."""
    return _AFTER_ALL_KEYS if not prefix else prefix[:-1] + bytes((prefix[-1] + 1,))


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """What `key`, which begins with `prefix`, folds into; None when no delimiter follows the prefix."""
    if not delimiter:
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


class _Index(Protocol):
    """An index in key order that can be entered anywhere."""

    def fetch(self, position: Position, end: bytes, limit: int) -> list[Row]:
        """Rows from `position` on with keys below `end`, in order, at most `limit`; the key comes first."""
        ...

    def before(self, key: bytes) -> Position:
        """The position before every row of `key` and of all keys above it."""
        ...

    def after(self, row: Row) -> Position:
        """The position just after this row."""
        ...


@dataclass(slots=True)
class _Walk:
    """What a walk found: rows and common prefixes, together at most the limit, and what came last."""

    rows: list[Row]
    prefixes: list[bytes]
    is_truncated: bool = False
    last: bytes | None = None


def _walk(
    index: _Index, marker: bytes, position: Position, prefix: bytes, delimiter: bytes, limit: int
) -> _Walk:
    """Rows from `position` on, which comes after key `marker`, with keys under `prefix`, folded."""
    found = _Walk([], [])
    if limit <= 0:
        return found
    end = successor(prefix)
    folded = common_prefix(marker, prefix, delimiter) if marker.startswith(prefix) else None
    if folded is not None:
        position = index.before(successor(folded))
    elif marker < prefix:
        position = index.before(prefix)
    batch = min(limit + 1, _ROWS_AT_FIRST) if delimiter else limit + 1
    while position[0] < end:
        rows = index.fetch(position, end, batch)
        skipped = 0
        for row in rows:
            key: bytes = row[0]
            if folded is not None and key.startswith(folded):
                skipped += 1
                continue
            if len(found.rows) + len(found.prefixes) == limit:
                found.is_truncated = True
                return found
            folded = common_prefix(key, prefix, delimiter)
            if folded is None:
                found.rows.append(row)
            else:
                found.prefixes.append(folded)
            found.last = key if folded is None else folded
        if len(rows) < batch:
            break
        position = index.after(rows[-1]) if folded is None else index.before(successor(folded))
        batch = _ROWS_AFTER_SEEK if 2 * skipped > len(rows) else min(2 * batch, limit + 1)
    return found


def _texts(prefixes: list[bytes]) -> tuple[str, ...]:
    return tuple(prefix.decode() for prefix in prefixes)


# Objects


class ListedObject(NamedTuple):
    """A current version as a listing of objects needs it: the row as it was read (OBJECT_COLUMNS).

    A thousand whole `ObjectVersion`s cost three times as much, and a listing shows little of them.
    """

    key_utf8: bytes
    version_id: str
    sequence: int
    modified_ms: int
    owner_id: str
    size: int
    etag: str
    packed_attributes: bytes
    packed_tags: bytes | None
    packed_lock: bytes | None
    upload_id: str | None
    parts_count: int | None

    @property
    def key(self) -> str:
        """The object's key."""
        return self.key_utf8.decode()

    @property
    def about(self) -> ListedAttributes:
        """What listings show of the attributes."""
        return listed_attributes(self.packed_attributes)


@dataclass(frozen=True, slots=True)
class ObjectPage:
    """Current versions in key order and common prefixes, together at most the limit.

    `last` is the key or common prefix that came last: the marker for the next page.
    """

    versions: tuple[ListedObject, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    last: str | None


_OBJECTS = (
    f"SELECT {OBJECT_COLUMNS.format('o')} FROM objects o "
    "WHERE o.bucket_id = ? AND o.key >= ? AND o.key < ? ORDER BY o.key LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class _Objects:
    db: Database
    bucket_id: int

    def fetch(self, position: Position, end: bytes, limit: int) -> list[Row]:
        return self.db.rows(_OBJECTS, (self.bucket_id, position[0], end, limit))

    def before(self, key: bytes) -> Position:
        return (key,)

    def after(self, row: Row) -> Position:
        return (row[0] + b"\0",)


def list_objects(
    db: Database,
    bucket_id: int,
    prefix: str = "",
    after: str = "",
    delimiter: str = "",
    limit: int = KEYS_PER_PAGE_MAX,
) -> ObjectPage:
    """Current live versions whose keys begin with `prefix` and come after `after`, folded by `delimiter`.

    `after` may be any text, also the `last` of the page before, be that a key or a common prefix.
    """
    marker = after.encode()
    position = (marker + b"\0" if marker else b"",)
    walk = _walk(_Objects(db, bucket_id), marker, position, prefix.encode(), delimiter.encode(), limit)
    return ObjectPage(
        versions=tuple(map(ListedObject._make, walk.rows)),
        common_prefixes=_texts(walk.prefixes),
        is_truncated=walk.is_truncated,
        last=None if walk.last is None else walk.last.decode(),
    )


# Versions


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Versions and delete markers in key order, newest first within a key (their blobs left out).

    `last` and `last_version_id` are the markers for the next page; the second is None after a common
    prefix.
    """

    versions: tuple[ObjectVersion, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    last: str | None
    last_version_id: str | None


_CURRENT_VERSIONS = (
    f"SELECT {OBJECT_COLUMNS.format('o')}, 0, -o.sequence FROM objects o "
    "WHERE o.bucket_id = ? AND o.key >= ? AND o.key < ? ORDER BY o.key LIMIT ?"
)
_PAST_VERSIONS = (
    f"SELECT {HISTORY_COLUMNS.format('h')}, h.is_delete_marker, h.reverse_sequence FROM history h "
    "WHERE h.bucket_id = ? AND (h.key, h.reverse_sequence) > (?, ?) AND h.key < ? "
    "ORDER BY h.key, h.reverse_sequence LIMIT ?"
)
_SEQUENCE_OF_VERSION = (
    "SELECT -sequence FROM objects WHERE bucket_id = ? AND key = ? AND version_id = ? UNION ALL "
    "SELECT reverse_sequence FROM history WHERE bucket_id = ? AND key = ? AND version_id = ?"
)
_NEWEST: Final = -(2**63)
_OLDEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Versions:
    """`objects` and `history` merged; a position is (key, reverse_sequence), rows come after it."""

    db: Database
    bucket_id: int

    def fetch(self, position: Position, end: bytes, limit: int) -> list[Row]:
        key, reverse_sequence = position
        live = self.db.rows(_CURRENT_VERSIONS, (self.bucket_id, key, end, limit + 1))
        if live and live[0][0] == key and live[0][-1] <= reverse_sequence:
            del live[0]
        past = self.db.rows(_PAST_VERSIONS, (self.bucket_id, key, reverse_sequence, end, limit))
        rows = sorted(live + past, key=lambda row: (row[0], row[-1])) if past else live
        return rows[:limit]

    def before(self, key: bytes) -> Position:
        return key, _NEWEST

    def after(self, row: Row) -> Position:
        return row[0], row[-1]


def list_versions(
    db: Database,
    bucket_id: int,
    prefix: str = "",
    key_marker: str = "",
    version_id_marker: str = "",
    delimiter: str = "",
    limit: int = KEYS_PER_PAGE_MAX,
) -> VersionPage:
    """All versions and delete markers of keys after `key_marker`, folded by `delimiter`.

    With `version_id_marker`, also those of `key_marker` older than that version; if it is gone (deleted
    between two pages) all that are left of that key, so that nothing is ever passed over.
    """
    marker = key_marker.encode()
    position: Position = (marker, _OLDEST if marker else _NEWEST)
    resumed_in: bytes | None = None
    if marker and version_id_marker:
        here = (bucket_id, marker, version_id_marker)
        row = db.one(_SEQUENCE_OF_VERSION, here + here)
        resumed_in = None if row is None else marker
        position = (marker, _NEWEST if row is None else row[0])
    walk = _walk(_Versions(db, bucket_id), marker, position, prefix.encode(), delimiter.encode(), limit)
    versions = []
    key_before = resumed_in
    for row in walk.rows:
        is_latest = row[0] != key_before
        versions.append(version_of(bucket_id, row[:12], is_delete_marker=bool(row[12]), is_latest=is_latest))
        key_before = row[0]
    ends_with_key = walk.rows and walk.rows[-1][0] == walk.last
    return VersionPage(
        versions=tuple(versions),
        common_prefixes=_texts(walk.prefixes),
        is_truncated=walk.is_truncated,
        last=None if walk.last is None else walk.last.decode(),
        last_version_id=walk.rows[-1][1] if ends_with_key else None,
    )


# Uploads


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Uploads under way by key, then by upload id: the order in which they began.

    `last` and `last_upload_id` are the markers for the next page; the second is None after a common
    prefix.
    """

    uploads: tuple[Upload, ...]
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    last: str | None
    last_upload_id: str | None


_UPLOADS = (
    f"SELECT {UPLOAD_COLUMNS} FROM uploads "
    "WHERE bucket_id = ? AND (key, upload_id) > (?, ?) AND key < ? ORDER BY key, upload_id LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class _Uploads:
    """A position is (key, upload id), rows come after it."""

    db: Database
    bucket_id: int

    def fetch(self, position: Position, end: bytes, limit: int) -> list[Row]:
        return self.db.rows(_UPLOADS, (self.bucket_id, *position, end, limit))

    def before(self, key: bytes) -> Position:
        return key, ""

    def after(self, row: Row) -> Position:
        return row[0], row[1]


def list_uploads(
    db: Database,
    bucket_id: int,
    prefix: str = "",
    key_marker: str = "",
    upload_id_marker: str = "",
    delimiter: str = "",
    limit: int = KEYS_PER_PAGE_MAX,
) -> UploadPage:
    """Uploads under way of keys after `key_marker`, folded by `delimiter`.

    With `upload_id_marker`, also those of `key_marker` with a greater upload id.
    """
    marker = key_marker.encode()
    index = _Uploads(db, bucket_id)
    if marker and not upload_id_marker:
        position = index.before(marker + b"\0")
    else:
        position = (marker, upload_id_marker if marker else "")
    walk = _walk(index, marker, position, prefix.encode(), delimiter.encode(), limit)
    ends_with_key = walk.rows and walk.rows[-1][0] == walk.last
    return UploadPage(
        uploads=tuple([upload_of(bucket_id, row) for row in walk.rows]),
        common_prefixes=_texts(walk.prefixes),
        is_truncated=walk.is_truncated,
        last=None if walk.last is None else walk.last.decode(),
        last_upload_id=walk.rows[-1][1] if ends_with_key else None,
    )
