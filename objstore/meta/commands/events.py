"""Events: the outbox is written with the change that it tells of, or not at all.

A command on an object goes as it is where nobody is to be told. Where somebody is, or the bucket is
replicated, it goes inside `Announced`, which carries it out and writes one row for each target in the
same transaction: so no change that was committed goes untold, and nothing is told that was refused.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from objstore.meta.commands.buckets import SetSubresource
from objstore.meta.commands.objects import Deleted, DeleteVersion
from objstore.meta.commands.replication import Candidate, follow
from objstore.meta.interface import Database
from objstore.model import NULL_VERSION, ObjectVersion

NOTIFICATION = "notification"
"""The kind of subresource that says who is told."""
LIVE: Final = "*"
"""The target that stands for whoever listens now; no target that is configured has this name."""
_ADD = (
    "INSERT INTO outbox (sequence, target, bucket_id, key, event, about, version_id, size, etag, time_ms) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody to be told if this event comes of a command. `about` is what the request knows, in JSON."""

    event: str
    target: str
    about: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """Another command on the object `key`, encoded, who is to be told of it, and where it is replicated to.
    Returns what it returns.

    Who listens (`LIVE`) is told once it is committed, and nothing of it is kept.

    Of the notices those whose event fits what came of it are written: a delete may have put a marker, may
    have removed something, or nothing, of which nobody is told. Raises what the command raises.
    """

    bucket_id: int
    key: str
    command: bytes
    notices: tuple[Notice, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """The replication rules that may send on what comes of it."""
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> Any:
        from objstore.meta import commands

        command = commands.decode(self.command)
        assert not command.advances_epoch, "what is announced is about objects"
        result = command.apply(db, now_ms)
        if self.candidates:
            result = follow(db, now_ms, self.bucket_id, self.key, self.candidates, command, result)
        version_id, size, etag = None, None, None
        notices = self.notices
        if isinstance(result, ObjectVersion):
            version_id, size, etag = result.version_id, result.size, result.etag
        elif isinstance(result, Deleted):
            version_id = result.version_id
            is_new_marker = result.is_delete_marker and _makes_marker(command)
            if not is_new_marker and not result.existed:
                return result
            notices = tuple(
                notice for notice in notices if notice.event.endswith(":DeleteMarkerCreated") is is_new_marker
            )
        elif result is None:
            return result
        if version_id == NULL_VERSION:
            version_id = None
        for notice in notices:
            row = (
                db.next_sequence(),
                notice.target,
                self.bucket_id,
                self.key.encode(),
                notice.event,
                notice.about,
                version_id,
                size,
                etag,
                now_ms,
            )
            if notice.target == LIVE:
                db.tell(row)
            else:
                db.execute(_ADD, row)
        return result


def _makes_marker(command: Any) -> bool:
    """Whether a marker in the result is one that the command made (else it removed it)."""
    if isinstance(command, DeleteVersion):
        return command.version_id is None
    return bool(command.makes_marker)


@dataclass(frozen=True, slots=True)
class SetNotification:
    """Replace who is told of what happens in a bucket (None: nobody), and send them a test event.

    Raises BucketMissing.
    """

    bucket_id: int
    document: bytes | None
    tests: tuple[Notice, ...] = ()
    advances_epoch: ClassVar[bool] = True

    def apply(self, db: Database, now_ms: int) -> None:
        SetSubresource(self.bucket_id, NOTIFICATION, self.document).apply(db, now_ms)
        for test in self.tests:
            row = (db.next_sequence(), test.target, self.bucket_id, b"", test.event, test.about)
            db.execute(_ADD, (*row, None, None, None, now_ms))


@dataclass(frozen=True, slots=True)
class ForgetEvents:
    """These events were delivered, or given up. Those already forgotten are no error."""

    sequences: tuple[int, ...]
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        db.many("DELETE FROM outbox WHERE sequence = ?", [(sequence,) for sequence in self.sequences])
