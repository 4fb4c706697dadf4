"""The seam to the facts: what a metadata engine offers, and how it says no.

Two kinds of failure. A *Refusal* is an answer: the command was considered inside its transaction and
its conditions do not hold; nothing was written. A *MetadataError* is a fault of the engine: Conflict
(look again and retry), Busy (too much waiting), Unavailable (no quorum of journals, no ledger).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

Row = tuple[Any, ...]
Result = TypeVar("Result", covariant=True)


@dataclass(frozen=True, slots=True)
class MetaDrive:
    """A usable drive as the metadata engine needs to know it: its number, never reused, and where it is."""

    number: int
    path: str


class Database(Protocol):
    """Six calls over which every command and query is written once, in SQL both engines share.

    A command runs inside one transaction; a query inside one read snapshot. Parameters are `?`.
    """

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one writing statement; the number of rows it changed."""
        ...

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        ...

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows; the caller bounds them with LIMIT."""
        ...

    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run one writing statement for each tuple of parameters."""
        ...

    def next_sequence(self) -> int:
        """The next commit sequence number: unique, growing in commit order, never reused."""
        ...

    def tell(self, event: Row) -> None:
        """Let those who listen know of `event` (plain values) once this is committed. Nothing is stored."""
        ...


_Function = TypeVar("_Function", bound=Callable[..., Any])
_one_statement: set[Callable[..., Any]] = set()


def one_statement(query: _Function) -> _Function:
    """Mark a query function that runs one statement and no more: that is a snapshot by itself, and two
    thirds of a point lookup's cost are the transaction around it."""
    _one_statement.add(query)
    return query


def is_one_statement(query: Callable[..., Any]) -> bool:
    """Whether a query function is marked so."""
    return query in _one_statement


class Command(Protocol[Result]):
    """One mutation, as a value that can be sent to whoever may write: see commands."""

    advances_epoch: ClassVar[bool]
    """Whether caches of configuration (buckets, users, keys) are stale once this is committed."""

    def apply(self, db: Database, now_ms: int) -> Result:
        """Decide every condition and write the rows, inside the transaction the engine has opened.

        `now_ms` never goes back from one command to the next. Raises Refusal or Conflict: then what
        this command wrote is undone and the others of its batch stand. Must depend on nothing but
        `db`, its own fields and `now_ms`.
        """
        ...


class MetadataError(Exception):
    """The engine could not decide; nothing was written as far as anyone will ever see."""


class Conflict(MetadataError):
    """Something changed between what the caller read and the command: read again, then retry."""


class Busy(MetadataError):
    """More commands are waiting than the bound allows."""


class Unavailable(MetadataError):
    """The ledger cannot be reached or has no quorum of journals now."""


class CommandTooLong(MetadataError):
    """The command is longer than any may be. It was not sent."""


class OutcomeUnknown(Unavailable):
    """The ledger was lost after the command was sent: it may or may not have been committed."""


class Refusal(Exception):
    """A command's conditions do not hold. `detail` is what the answer may mention (plain values).

    Subclasses are found by name when an answer comes over the ledger's socket.
    """

    by_name: ClassVar[dict[str, type["Refusal"]]] = {}

    def __init_subclass__(cls) -> None:
        Refusal.by_name[cls.__name__] = cls

    def __init__(self, **detail: Any) -> None:
        super().__init__(", ".join(f"{name}={value!r}" for name, value in detail.items()))
        self.detail = detail


class BucketMissing(Refusal):
    """detail: bucket (name) where known."""


class BucketExists(Refusal):
    """detail: bucket (name), owner_id."""


class Overtaken(Refusal):
    """The object was put or deleted since the upload began that is to replace it. detail: condition, key."""


class BucketNotEmpty(Refusal):
    """detail: bucket (name), versioned (whether there may be more versions than listings of keys show)."""


class TooManyBuckets(Refusal):
    """detail: limit."""


class NotArchived(Refusal):
    """Only what was archived can be restored. detail: storage_class."""


class RestoreUnderWay(Refusal):
    """The version's bytes are being fetched back already."""


class BucketStateInvalid(Refusal):
    """The bucket's versioning and object lock do not allow it. detail: bucket (name)."""


class IsDeleteMarker(Refusal):
    """The version named is a delete marker, which has no such thing. detail: key, version_id, modified_ms."""


class KeyMissing(Refusal):
    """No such object now. detail: key; marker_id where the latest version is a delete marker."""


class VersionMissing(Refusal):
    """detail: key, version_id."""


class UploadMissing(Refusal):
    """detail: upload_id."""


class PartInvalid(Refusal):
    """A part named by Complete is absent or has another ETag. detail: part_number, upload_id, etag."""


class ConditionFailed(Refusal):
    """A precondition is false. detail: condition (header name), key."""


class Locked(Refusal):
    """Object lock forbids it. detail: key, version_id."""


class TooManyAnnotations(Refusal):
    """The version has as many as one may have."""


class TokenReused(Refusal):
    """A client's token came with another request than before."""


class SubresourceMissing(Refusal):
    """detail: kind."""


class UserMissing(Refusal):
    """detail: user."""


class UserExists(Refusal):
    """detail: name."""


class UserNotEmpty(Refusal):
    """The user still owns buckets. detail: name, buckets (count)."""


class MasterKeyExists(Refusal):
    """That version of the master key is there, or the one before it is not. detail: name."""


class MasterKeyMissing(Refusal):
    """detail: name."""


class KeyExists(Refusal):
    """The access key is taken. detail: access_key."""


class MfaRequired(Refusal):
    """MFA delete is enabled, or to be, and no code of a device came with the request."""


class MfaDeviceExists(Refusal):
    """Another device has the serial number. detail: serial."""


class MfaDeviceMissing(Refusal):
    """detail: serial."""


class TooManyMfaDevices(Refusal):
    """The user has as many as one may have. detail: limit."""


class AccessKeyMissing(Refusal):
    """detail: access_key."""
