"""What lifecycle rules do, decided once more inside the transaction.

A rule was judged against a snapshot, and since then a client may have written, tagged, locked or deleted
the version, or changed the rules. So each command carries what was judged and does nothing at all unless
it is still exactly so: an object that was replaced is never deleted in place of the one that expired.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import xxhash

from objstore.meta import queries
from objstore.meta.commands.buckets import LIFECYCLE, REPLICATION
from objstore.meta.commands.objects import Deleted, DeleteVersion
from objstore.meta.commands.uploads import AbortUpload
from objstore.meta.interface import Database
from objstore.meta.rows import unpack_tags
from objstore.model import NULL_VERSION
from objstore.s3 import replication

_LATEST = (
    "SELECT -sequence, version_id, 0, tags FROM objects WHERE bucket_id = ? AND key = ? UNION ALL "
    "SELECT reverse_sequence, version_id, is_delete_marker, tags FROM history "
    "WHERE bucket_id = ? AND key = ? ORDER BY 1 LIMIT 1"
)
_PAST = (
    "SELECT reverse_sequence, version_id, is_delete_marker, tags FROM history "
    "WHERE bucket_id = ? AND key = ? AND version_id = ?"
)
_SUCCESSOR = (
    "SELECT reverse_sequence FROM history WHERE bucket_id = ? AND key = ? AND reverse_sequence < ? "
    "ORDER BY reverse_sequence DESC LIMIT 1"
)
_CURRENT = "SELECT -sequence FROM objects WHERE bucket_id = ? AND key = ?"
_NEWER = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM history WHERE bucket_id = ? AND key = ? AND reverse_sequence < ? "
    "AND is_delete_marker = 0 LIMIT ?) AS newer"
)
_OTHER = "SELECT 1 FROM history WHERE bucket_id = ? AND key = ? AND version_id <> ? LIMIT 1"


def digest_of(document: bytes) -> bytes:
    """What stands for a lifecycle document in the commands below. Taken once a command: it must be quick,
    for a document may have a thousand rules."""
    return xxhash.xxh3_128_digest(document)


def _rules_stand(db: Database, bucket_id: int, rules: bytes) -> bool:
    document = queries.subresource(db, bucket_id, LIFECYCLE)
    return document is not None and digest_of(document) == rules


class Judged(Protocol):
    """What a rule was judged by: see ExpireVersion."""

    @property
    def bucket_id(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def version_id(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def rules(self) -> bytes: ...
    @property
    def successor(self) -> int: ...
    @property
    def newer_kept(self) -> int: ...
    @property
    def is_marker(self) -> bool: ...


def stands(db: Database, judged: Judged) -> bool:
    """Whether rules, version and its standing among those of its key are still what was judged."""
    if not _rules_stand(db, judged.bucket_id, judged.rules):
        return False
    slot = (judged.bucket_id, judged.key.encode())
    row = db.one(_PAST, (*slot, judged.version_id)) if judged.successor else db.one(_LATEST, slot + slot)
    if row is None:
        return False
    reverse_sequence, version_id, is_delete_marker, tags = row
    found = (version_id, -reverse_sequence, bool(is_delete_marker), unpack_tags(tags))
    if found != (judged.version_id, judged.sequence, judged.is_marker, judged.tags):
        return False
    return not judged.successor or _is_still_noncurrent(db, judged, slot)


def _is_still_noncurrent(db: Database, judged: Judged, slot: tuple[int, bytes]) -> bool:
    """Whether its successor is the one it was judged by, and enough newer ones stand before it."""
    reverse_sequence = -judged.sequence
    successor = db.one(_SUCCESSOR, (*slot, reverse_sequence)) or db.one(_CURRENT, slot)
    if successor is None or -successor[0] != judged.successor:
        return False
    if not judged.newer_kept:
        return True
    newer = db.one(_NEWER, (*slot, reverse_sequence, judged.newer_kept))
    return newer is not None and newer[0] == judged.newer_kept


def is_awaited(db: Database, bucket_id: int, key: str, version_id: str) -> bool:
    """Whether a version is to be replicated and is not yet where it is to go."""
    if queries.subresource(db, bucket_id, REPLICATION) is None:
        return False
    version = queries.version(db, bucket_id, key, version_id)
    return version is not None and replication.is_unsent(version.attributes)


@dataclass(frozen=True, slots=True)
class ExpireVersion:
    """A lifecycle rule has run out for one version: delete it as DELETE would, if all is as it was judged.

    `sequence` and `tags` are the version's, `rules` the digest of the document it was judged by.
    `successor` is the sequence of the next newer version (0: it is the latest), `newer_kept` how many
    newer noncurrent versions must be there. A latest live version goes as DELETE without a version id
    takes it (`new_version_id` for its marker), every other one for good; a latest delete marker only if
    nothing else of its key is left. What is still to be replicated, or failed to be, is not removed for good
    while the bucket has rules for that.
    Returns what was done, None when something is no longer so.

    Raises Locked; Conflict when versioning was enabled meanwhile and no `new_version_id` is proposed.
    """

    bucket_id: int
    key: str
    version_id: str
    sequence: int
    tags: Mapping[str, str]
    rules: bytes
    owner_id: str
    successor: int = 0
    newer_kept: int = 0
    new_version_id: str = NULL_VERSION
    is_marker: bool = False
    """The version is a delete marker."""
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> Deleted | None:
        if not stands(db, self):
            return None
        slot = (self.bucket_id, self.key.encode())
        is_for_good = bool(self.successor or self.is_marker)
        if is_for_good and is_awaited(db, self.bucket_id, self.key, self.version_id):
            return None
        if not self.successor and self.is_marker and db.one(_OTHER, (*slot, self.version_id)) is not None:
            return None
        return DeleteVersion(
            self.bucket_id,
            self.key,
            self.owner_id,
            version_id=self.version_id if is_for_good else None,
            new_version_id=self.new_version_id,
        ).apply(db, now_ms)

    @property
    def makes_marker(self) -> bool:
        """Whether a delete marker in the result is a new one."""
        return not self.is_marker and not self.successor


@dataclass(frozen=True, slots=True)
class ExpireUpload:
    """A lifecycle rule has run out for an upload under way: give it up. Returns whether it was there still
    and the rules are those it was judged by (`rules`: their digest)."""

    bucket_id: int
    key: str
    upload_id: str
    rules: bytes
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> bool:
        if not _rules_stand(db, self.bucket_id, self.rules):
            return False
        if queries.upload(db, self.bucket_id, self.key, self.upload_id) is None:
            return False
        AbortUpload(self.bucket_id, self.key, self.upload_id).apply(db, now_ms)
        return True
