"""Renaming an object: a version at its new key and the end of the old one, both or neither.

No byte moves: the new version refers to what the old one refers to. It keeps everything but key, version
id and time.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from objstore.meta import queries
from objstore.meta.commands.conditions import etag_matches
from objstore.meta.interface import (
    BucketMissing,
    ConditionFailed,
    Conflict,
    Database,
    KeyMissing,
    TokenReused,
)
from objstore.model import ObjectVersion

TOKEN_KEPT_MS: Final = 24 * 60 * 60 * 1000
"""How long a client's token stands for the rename that it came with."""
FORGOTTEN_MAX: Final = 100
"""Older tokens that are forgotten with each new one."""

_DONE = "SELECT digest, renamed_ms FROM rename_tokens WHERE bucket_id = ? AND token = ?"
_REMEMBER = (
    "INSERT INTO rename_tokens (bucket_id, token, digest, renamed_ms) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (bucket_id, token) DO UPDATE SET digest = excluded.digest, renamed_ms = excluded.renamed_ms"
)
_OLD_TOKENS = "SELECT bucket_id, token FROM rename_tokens WHERE renamed_ms < ? ORDER BY renamed_ms LIMIT ?"
_FORGET = "DELETE FROM rename_tokens WHERE bucket_id = ? AND token = ?"


@dataclass(frozen=True, slots=True)
class RenameConditions:
    """What one end of a rename must be like. Dates are seconds since the epoch; None: not asked.

    Asking for an ETag, or for a change since some time, asks for an object to be there.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since_s: int | None = None
    if_unmodified_since_s: int | None = None

    def check(self, version: ObjectVersion | None, key: str) -> None:
        """Raises ConditionFailed."""
        if version is None:
            if self.if_match is not None:
                raise ConditionFailed(condition="If-Match", key=key)
            if self.if_modified_since_s is not None:
                raise ConditionFailed(condition="If-Modified-Since", key=key)
            return
        modified_s = version.modified_ms // 1000
        if self.if_match is not None and not etag_matches(self.if_match, version.etag):
            raise ConditionFailed(condition="If-Match", key=key)
        if self.if_none_match is not None and etag_matches(self.if_none_match, version.etag):
            raise ConditionFailed(condition="If-None-Match", key=key)
        if self.if_modified_since_s is not None and modified_s <= self.if_modified_since_s:
            raise ConditionFailed(condition="If-Modified-Since", key=key)
        if self.if_unmodified_since_s is not None and modified_s > self.if_unmodified_since_s:
            raise ConditionFailed(condition="If-Unmodified-Since", key=key)


@dataclass(frozen=True, slots=True)
class RenameToken:
    """What a client calls its request, and what stands for all that it asked."""

    token: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class RenameVersion:
    """Put `source` at another key and end it where it is; the version made, None where `token` says that
    this was done before.

    `put` and `delete` are the commands that do so, encoded: a PutVersion that shares the source's bytes, a
    DeleteVersion of its key, either inside Announced. `annotation_set` is the source's as the caller read it,
    which `put` copies; None where it had no annotations. Raises BucketMissing, KeyMissing (no source),
    ConditionFailed, TokenReused (for another request), what the two raise, and Conflict when the source is
    not what the caller read: read again, then retry.
    """

    bucket_id: int
    source_key: str
    target_key: str
    source: ObjectVersion
    put: bytes
    delete: bytes
    source_conditions: RenameConditions
    target_conditions: RenameConditions
    token: RenameToken | None = None
    annotation_set: int | None = None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion | None:
        from objstore.meta import commands

        if db.one("SELECT 1 FROM buckets WHERE id = ?", (self.bucket_id,)) is None:
            raise BucketMissing()
        if self.token is not None and self._was_done(db, now_ms, self.token):
            return None
        source = queries.current(db, self.bucket_id, self.source_key)
        if source is None:
            raise KeyMissing(key=self.source_key)
        self.source_conditions.check(source, self.source_key)
        target = queries.current(db, self.bucket_id, self.target_key)
        self.target_conditions.check(target, self.target_key)
        if source != self.source or queries.annotations_to_copy(db, source) != self.annotation_set:
            raise Conflict("the object to be renamed has changed")
        made: ObjectVersion = commands.decode(self.put).apply(db, now_ms)
        commands.decode(self.delete).apply(db, now_ms)
        if self.token is not None:
            row = (self.bucket_id, self.token.token, self.token.digest, now_ms)
            db.execute(_REMEMBER, row)
            old = db.rows(_OLD_TOKENS, (now_ms - TOKEN_KEPT_MS, FORGOTTEN_MAX))
            db.many(_FORGET, old)
        return made

    def _was_done(self, db: Database, now_ms: int, token: RenameToken) -> bool:
        row = db.one(_DONE, (self.bucket_id, token.token))
        if row is None or row[1] < now_ms - TOKEN_KEPT_MS:
            return False
        if row[0] != token.digest:
            raise TokenReused(token=token.token)
        return True
