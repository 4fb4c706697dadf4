"""Replication: what is to be sent where is written with the change, or not at all.

Invariants kept here:
- Of the rows of `replications` for one target and key only the oldest has a due time that ever comes, so
  what happened to a key goes out in the order it happened.
- A version whose progress says PENDING for a target has a row for it.
- Neither a row's coming nor its going touches a version's time, sequence or id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from objstore.meta import queries
from objstore.meta.commands.buckets import REPLICATION, SetSubresource
from objstore.meta.commands.locks import ReplaceAttributes
from objstore.meta.commands.objects import Deleted, DeleteVersion, PutVersion
from objstore.meta.commands.uploads import CompleteUpload
from objstore.meta.commands.users import SetState
from objstore.meta.commands.versions import replace_attributes, with_extra
from objstore.meta.interface import BucketMissing, BucketStateInvalid, Database
from objstore.model import ObjectVersion, Versioning
from objstore.s3 import replication
from objstore.s3.replication import Progress, Status

CREATED: Final = "created"
"""A version or delete marker that was made just now."""
EXISTING: Final = "existing"
"""One that was there before, or that failed."""
CHANGED: Final = "changed"
"""New tags or locks of a version."""

RESYNC: Final = "replication_resync/"
"""What the names of states begin with that say which buckets are to be gone through (JSON)."""
EXISTING_ROWS_MAX: Final = 500
"""Versions of one key looked at in one command."""
NOT_YET_MS: Final = 2**62
"""The due time of a row that is not the oldest of its target and key."""

_ADD = (
    "INSERT INTO replications (sequence, target, bucket_id, key, version_id, kind, size, queued_ms, due_ms, "
    "attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
)
_FIRST = (
    "SELECT sequence FROM replications WHERE target = ? AND bucket_id = ? AND key = ? "
    "ORDER BY sequence LIMIT 1"
)
_ROW = "SELECT target, bucket_id, key, version_id, kind FROM replications WHERE sequence = ?"
_EXISTING = (
    "SELECT reverse_sequence, version_id FROM history WHERE bucket_id = ? AND key = ? "
    "AND reverse_sequence < ? ORDER BY reverse_sequence DESC LIMIT ?"
)
_BEFORE_ALL: Final = 2**62


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule whose prefix the key has: where it sends what, of versions with these tags."""

    target: str
    tags: Mapping[str, str] = field(default_factory=dict)
    markers: bool = False
    """Delete markers, too."""
    changes_of_replicas: bool = False


def follow(
    db: Database,
    now_ms: int,
    bucket_id: int,
    key: str,
    candidates: tuple[Candidate, ...],
    command: Any,
    result: Any,
) -> Any:
    """Queue what came of a command for where it is to go; what the command returns now.

    `candidates` come with the rule first that is to hold where several name one target.
    """
    if isinstance(result, Deleted):
        is_new = isinstance(command, DeleteVersion) and command.version_id is None and command.replica is None
        if is_new and result.is_delete_marker and result.version_id is not None:
            marker = queries.version(db, bucket_id, key, result.version_id)
            assert marker is not None, "made in this transaction"
            _queue_version(db, now_ms, marker, candidates, CREATED)
    elif isinstance(result, ObjectVersion) and isinstance(command, PutVersion | CompleteUpload):
        if replication.EXTRA not in result.attributes.extra:
            return _queue_version(db, now_ms, result, candidates, CREATED)
    elif isinstance(result, ObjectVersion) and isinstance(command, ReplaceAttributes):
        _queue_change(db, now_ms, result, candidates)
    return result


def _queue_version(
    db: Database, now_ms: int, version: ObjectVersion, candidates: tuple[Candidate, ...], kind: str
) -> ObjectVersion:
    """Queue a version for every target that wants it and neither has it nor is about to get it."""
    progress = replication.progress_of(version.attributes)
    wanted = [
        target
        for target, candidate in _chosen(version, candidates).items()
        if (candidate.markers or not version.is_delete_marker)
        and (target not in progress or progress[target].status == "FAILED")
    ]
    if not wanted:
        return version
    for target in wanted:
        _add(db, now_ms, version, target, kind)
    return _note(db, version, {**progress, **dict.fromkeys(wanted, Progress("PENDING"))})


def _chosen(version: ObjectVersion, candidates: tuple[Candidate, ...]) -> dict[str, Candidate]:
    """The rule that holds for each target: the first one whose tags the version has."""
    chosen: dict[str, Candidate] = {}
    for candidate in candidates:
        if candidate.tags.items() <= version.tags.items():
            chosen.setdefault(candidate.target, candidate)
    return chosen


def _queue_change(
    db: Database, now_ms: int, version: ObjectVersion, candidates: tuple[Candidate, ...]
) -> None:
    """Queue what changed of a version for where the version went; of a replica where that is asked for."""
    if replication.is_replica(version.attributes):
        chosen = _chosen(version, candidates)
        targets = [target for target, candidate in chosen.items() if candidate.changes_of_replicas]
    else:
        targets = list(replication.progress_of(version.attributes))
    for target in targets:
        _add(db, now_ms, version, target, CHANGED)


def _add(db: Database, now_ms: int, version: ObjectVersion, target: str, kind: str) -> None:
    key = version.key.encode()
    is_first = db.one(_FIRST, (target, version.bucket_id, key)) is None
    db.execute(
        _ADD,
        (
            db.next_sequence(),
            target,
            version.bucket_id,
            key,
            version.version_id,
            kind,
            version.size,
            now_ms,
            now_ms if is_first else NOT_YET_MS,
        ),
    )


def _note(db: Database, version: ObjectVersion, progress: Mapping[str, Progress]) -> ObjectVersion:
    """Keep how far a version's replication is; the version."""
    told = replication.as_text(progress) if progress else None
    return replace_attributes(db, version, with_extra(version.attributes, replication.EXTRA, told))


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one row. `status` None: it is not to be replicated any more, and nothing is said of it."""

    sequence: int
    status: str | None
    version_id: str | None = None
    """What the version is called there, where that is another id."""


@dataclass(frozen=True, slots=True)
class FinishReplications:
    """These rows are done with; the next one of each key is due. Rows already gone are no error.

    Returns the version of the last one that was concluded, if it is still there.
    """

    outcomes: tuple[Sent, ...]
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> ObjectVersion | None:
        version = None
        for sent in self.outcomes:
            row = db.one(_ROW, (sent.sequence,))
            if row is None:
                continue
            target, bucket_id, key, version_id, kind = row
            db.execute("DELETE FROM replications WHERE sequence = ?", (sent.sequence,))
            following = db.one(_FIRST, (target, bucket_id, key))
            if following is not None:
                db.execute("UPDATE replications SET due_ms = ? WHERE sequence = ?", (now_ms, following[0]))
            if kind != CHANGED or sent.status == "FAILED":
                version = _conclude(db, bucket_id, key.decode(), version_id, target, sent)
        return version


def _conclude(
    db: Database, bucket_id: int, key: str, version_id: str, target: str, sent: Sent
) -> ObjectVersion | None:
    version = queries.version(db, bucket_id, key, version_id)
    if version is None:
        return None
    progress = replication.progress_of(version.attributes)
    if target not in progress:  # a replica, of which a change was sent on
        return version
    before = progress.pop(target)
    if sent.status is not None:
        status: Status = "COMPLETED" if sent.status == "COMPLETED" else "FAILED"
        progress[target] = Progress(status, sent.version_id or before.version_id)
    return _note(db, version, progress)


@dataclass(frozen=True, slots=True)
class PostponeReplications:
    """These rows could not be sent now: each is due again at its time. Rows already gone are no error."""

    sequences: tuple[int, ...]
    due_ms: tuple[int, ...]
    """One for each of the sequences."""
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.many(
            "UPDATE replications SET due_ms = ?, attempts = attempts + 1 WHERE sequence = ?",
            zip(self.due_ms, self.sequences, strict=True),
        )


@dataclass(frozen=True, slots=True)
class QueueExisting:
    """Queue the versions of a key that are nowhere yet or failed, oldest first, for where they are to go.

    `after` is the sequence to go on from (0: from the oldest). Returns the one to go on from next, None
    when the key is done. Replicas are passed over, and so is what has been sent or is about to be.
    """

    bucket_id: int
    key: str
    candidates: tuple[Candidate, ...]
    after: int = 0
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> int | None:
        begin = -self.after if self.after else _BEFORE_ALL
        rows = db.rows(_EXISTING, (self.bucket_id, self.key.encode(), begin, EXISTING_ROWS_MAX))
        for _, version_id in rows:
            self._queue(db, now_ms, queries.version(db, self.bucket_id, self.key, version_id))
        if len(rows) == EXISTING_ROWS_MAX:
            return -int(rows[-1][0])
        self._queue(db, now_ms, queries.current(db, self.bucket_id, self.key))
        return None

    def _queue(self, db: Database, now_ms: int, version: ObjectVersion | None) -> None:
        if version is not None and not replication.is_replica(version.attributes):
            _queue_version(db, now_ms, version, self.candidates, EXISTING)


@dataclass(frozen=True, slots=True)
class SetReplication:
    """Replace a bucket's replication rules (None: there are none), and, with `resync`, have those rules
    applied to what is there already.

    Raises BucketMissing; BucketStateInvalid where versioning is not enabled.
    """

    bucket_id: int
    document: bytes | None
    resync: bool = False
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        bucket = queries.bucket(db, self.bucket_id)
        if bucket is None:
            raise BucketMissing()
        if self.document is not None and bucket.versioning != Versioning.ENABLED:
            raise BucketStateInvalid(bucket=bucket.name)
        SetSubresource(self.bucket_id, REPLICATION, self.document).apply(db, now_ms)
        if self.resync:
            SetState(resync_state(self.bucket_id), resync_of(None, is_asked_for=False)).apply(db, now_ms)


def resync_state(bucket_id: int) -> str:
    """The name of the state that says how far a bucket has been gone through."""
    return f"{RESYNC}{bucket_id}"


def resync_of(rule_id: str | None, *, is_asked_for: bool) -> bytes:
    """A walk that begins. Of one rule alone where its id is given; asked for by an operator: of rules that
    do not themselves ask for what exists, too."""
    return json.dumps({"rule": rule_id, "all": is_asked_for, "after": ""}).encode()
