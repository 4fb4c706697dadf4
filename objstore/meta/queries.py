"""Every read of the facts but the listings of keys (listing.py, named here too): point lookups and walks.

Each function takes the database first and runs in one snapshot. Walks take the last id seen and a
limit, and go by primary key, so that a job can stop anywhere and go on.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from objstore.meta.interface import Database, Row, one_statement
from objstore.meta.layout import Layout
from objstore.meta.listing import (
    ListedObject,
    ObjectPage,
    UploadPage,
    VersionPage,
    list_objects,
    list_uploads,
    list_versions,
)
from objstore.meta.rows import (
    ACCESS_KEY_COLUMNS,
    BUCKET_COLUMNS,
    HISTORY_COLUMNS,
    MASTER_KEY_COLUMNS,
    MFA_DEVICE_COLUMNS,
    OBJECT_COLUMNS,
    PART_COLUMNS,
    UPLOAD_COLUMNS,
    USER_COLUMNS,
    access_key_of,
    annotation_of,
    bucket_of,
    master_key_of,
    part_of,
    upload_of,
    user_of,
    version_of,
)
from objstore.model import (
    AccessKey,
    Annotation,
    BlobRef,
    Bucket,
    MasterKey,
    MfaDevice,
    ObjectVersion,
    Part,
    Upload,
    User,
)

__all__ = [
    "Counts",
    "Event",
    "ListedObject",
    "ObjectPage",
    "PartPage",
    "Repair",
    "Replication",
    "UploadPage",
    "VersionPage",
    "access_key",
    "account_public_access_block",
    "all_buckets",
    "annotation",
    "annotation_set",
    "annotations",
    "annotations_to_copy",
    "blob",
    "blobs_after",
    "blobs_known",
    "blobs_lying",
    "bucket",
    "bucket_by_name",
    "buckets_of",
    "counts",
    "current",
    "dropped_annotations",
    "dropped_uploads",
    "event_targets",
    "events_for",
    "events_waiting",
    "family_members",
    "garbage_after",
    "garbage_before",
    "keys_after",
    "keys_of",
    "list_objects",
    "list_parts",
    "list_uploads",
    "list_versions",
    "manifest",
    "master_key",
    "master_keys",
    "mfa_device",
    "mfa_devices_of",
    "parts_between",
    "repairs_due",
    "replication_targets",
    "replications_at_least",
    "replications_by_target",
    "replications_due",
    "replications_waiting",
    "state",
    "states_between",
    "subresource",
    "subresources",
    "subresources_of_kind",
    "top",
    "upload",
    "user_by_email",
    "user_by_id",
    "user_by_name",
    "users",
    "version",
]

# Annotations

_ANNOTATION_COLUMNS = "a.name, a.size, a.etag, a.modified_ms, a.attributes, b.id, b.size, b.locator"
_ANNOTATION_SET = "SELECT annotation_set FROM objects WHERE bucket_id = ? AND key = ? AND version_id = ?"
_PAST_ANNOTATION_SET = "SELECT annotation_set FROM history WHERE bucket_id = ? AND key = ? AND version_id = ?"
_ANNOTATIONS = (
    f"SELECT {_ANNOTATION_COLUMNS} FROM annotations a JOIN blobs b ON b.id = a.blob_id "
    "WHERE a.annotation_set = ? AND a.name >= ? AND a.name > ? ORDER BY a.name LIMIT ?"
)


def annotation_set(db: Database, version: ObjectVersion) -> int | None:
    """The set of a version's annotations; None where it never had one, or is gone."""
    where = version.bucket_id, version.key.encode(), version.version_id
    row = db.one(_ANNOTATION_SET, where) or db.one(_PAST_ANNOTATION_SET, where)
    return None if row is None else row[0]


def annotations_to_copy(db: Database, version: ObjectVersion) -> int | None:
    """The set of a version's annotations; None where it has none now."""
    return annotation_set(db, version) if annotations(db, version, "", None, 1) else None


def annotation(db: Database, version: ObjectVersion, name: str) -> Annotation | None:
    """A version's annotation of this name."""
    found = annotations(db, version, name, None, 1)
    return found[0] if found and found[0].name == name else None


def annotations(
    db: Database, version: ObjectVersion, prefix: str, after: str | None, limit: int
) -> list[Annotation]:
    """Up to `limit` of a version's annotations by name (its bytes): from `prefix` on, after `after`.

    Those behind the prefix may be among the last.
    """
    set_ = annotation_set(db, version)
    if set_ is None:
        return []
    start = b"" if after is None else after.encode()
    rows = db.rows(_ANNOTATIONS, (set_, prefix.encode(), start, limit))
    return [annotation_of(row) for row in rows]


# Buckets

_BUCKET = f"SELECT {BUCKET_COLUMNS} FROM buckets WHERE id = ?"
_BUCKET_BY_NAME = f"SELECT {BUCKET_COLUMNS} FROM buckets WHERE name = ?"
_BUCKETS = f"SELECT {BUCKET_COLUMNS} FROM buckets WHERE name > ? ORDER BY name LIMIT ?"
_BUCKETS_OF = (
    f"SELECT {BUCKET_COLUMNS} FROM buckets WHERE owner_id = ? AND name > ? AND name >= ? AND name < ? "
    "AND (region = ? OR ? = '') ORDER BY name LIMIT ?"
)
_AFTER_ALL_NAMES = "\x7f"  # bucket names are ASCII


def bucket(db: Database, bucket_id: int) -> Bucket | None:
    """The bucket of this id."""
    row = db.one(_BUCKET, (bucket_id,))
    return None if row is None else bucket_of(row)


def bucket_by_name(db: Database, name: str) -> Bucket | None:
    """The bucket that has this name now."""
    row = db.one(_BUCKET_BY_NAME, (name,))
    return None if row is None else bucket_of(row)


def buckets_of(
    db: Database, owner_id: str, prefix: str = "", after: str = "", limit: int = 10_000, region: str = ""
) -> list[Bucket]:
    """An owner's buckets by name: those that begin with `prefix`, come after `after`, lie in `region`."""
    end = prefix + _AFTER_ALL_NAMES
    rows = db.rows(_BUCKETS_OF, (owner_id, after, prefix, end, region, region, limit))
    return [bucket_of(row) for row in rows]


def all_buckets(db: Database, after: str = "", limit: int = 1000) -> list[Bucket]:
    """Buckets of all owners by name, after `after`."""
    return [bucket_of(row) for row in db.rows(_BUCKETS, (after, limit))]


def subresource(db: Database, bucket_id: int, kind: str) -> bytes | None:
    """One piece of a bucket's configuration."""
    row = db.one(
        "SELECT document FROM bucket_subresources WHERE bucket_id = ? AND kind = ?", (bucket_id, kind)
    )
    return None if row is None else row[0]


def subresources_between(
    db: Database, bucket_id: int, after: str, before: str, limit: int
) -> list[tuple[str, bytes]]:
    """Up to `limit` pieces of a bucket's configuration by kind, of those strictly between two kinds."""
    found = db.rows(
        "SELECT kind, document FROM bucket_subresources "
        "WHERE bucket_id = ? AND kind > ? AND kind < ? ORDER BY kind LIMIT ?",
        (bucket_id, after, before, limit),
    )
    return [(kind, document) for kind, document in found]


def subresources(db: Database, bucket_id: int) -> dict[str, bytes]:
    """All of a bucket's configuration by kind."""
    return dict(db.rows("SELECT kind, document FROM bucket_subresources WHERE bucket_id = ?", (bucket_id,)))


def subresources_of_kind(
    db: Database, kind: str, after: str = "", limit: int = 100
) -> list[tuple[Bucket, bytes]]:
    """Buckets with a piece of configuration of this kind, and that piece, by name, after `after`."""
    columns = ", ".join(f"b.{column}" for column in BUCKET_COLUMNS.split(", "))
    rows = db.rows(
        f"SELECT {columns}, s.document FROM bucket_subresources s JOIN buckets b ON b.id = s.bucket_id "
        "WHERE s.kind = ? AND b.name > ? ORDER BY b.name LIMIT ?",
        (kind, after, limit),
    )
    return [(bucket_of(row[:-1]), row[-1]) for row in rows]


def family_members(
    db: Database, family: str, after: tuple[str, str] = ("", ""), limit: int = 1000
) -> list[tuple[Bucket, str, bytes]]:
    """Configurations of a family (kinds `<family>/<id>`) in all buckets: bucket, id and document, by name of
    bucket and id, after such a pair."""
    columns = ", ".join(f"b.{column}" for column in BUCKET_COLUMNS.split(", "))
    rows = db.rows(
        f"SELECT {columns}, s.kind, s.document "
        "FROM bucket_subresources s JOIN buckets b ON b.id = s.bucket_id "
        "WHERE s.kind > ? AND s.kind < ? AND (b.name, s.kind) > (?, ?) ORDER BY b.name, s.kind LIMIT ?",
        (f"{family}/", f"{family}0", after[0], f"{family}/{after[1]}", limit),
    )
    return [(bucket_of(row[:-2]), row[-2].partition("/")[2], row[-1]) for row in rows]


def account_public_access_block(db: Database, owner_id: str) -> bytes | None:
    """The document that blocks public access to all buckets of an owner (SetAccountPublicAccessBlock)."""
    return state(db, f"publicAccessBlock/{owner_id}")


# Objects

_CURRENT = (
    f"SELECT {OBJECT_COLUMNS.format('o')}, o.blob_id, b.size, b.locator "
    "FROM objects o LEFT JOIN blobs b ON b.id = o.blob_id WHERE o.bucket_id = ? AND o.key = ?"
)
_PAST = (
    f"SELECT {HISTORY_COLUMNS.format('h')}, h.blob_id, b.size, b.locator, h.is_delete_marker "
    "FROM history h LEFT JOIN blobs b ON b.id = h.blob_id WHERE h.bucket_id = ? AND h.key = ? "
)
_PAST_VERSION = _PAST + "AND h.version_id = ?"
_NEWEST_PAST = _PAST + "ORDER BY h.reverse_sequence LIMIT 1"


@one_statement
def current(db: Database, bucket_id: int, key: str) -> ObjectVersion | None:
    """The current version if it is live: None for a key never written, deleted or under a marker."""
    row = db.one(_CURRENT, (bucket_id, key.encode()))
    return None if row is None else version_of(bucket_id, row)


def top(db: Database, bucket_id: int, key: str) -> ObjectVersion | None:
    """The latest version, be it a delete marker; None for a key without any."""
    live = current(db, bucket_id, key)
    if live is not None:
        return live
    row = db.one(_NEWEST_PAST, (bucket_id, key.encode()))
    return None if row is None else version_of(bucket_id, row, is_delete_marker=bool(row[15]))


def version(db: Database, bucket_id: int, key: str, version_id: str) -> ObjectVersion | None:
    """One version or delete marker of a key by its id."""
    latest = top(db, bucket_id, key)
    if latest is None or latest.version_id == version_id:
        return latest
    row = db.one(_PAST_VERSION, (bucket_id, key.encode(), version_id))
    if row is None:
        return None
    return version_of(bucket_id, row, is_delete_marker=bool(row[15]), is_latest=False)


# Uploads and parts

_UPLOAD = f"SELECT {UPLOAD_COLUMNS} FROM uploads WHERE bucket_id = ? AND key = ? AND upload_id = ?"
_PARTS_BETWEEN = (
    f"SELECT {PART_COLUMNS} FROM parts p LEFT JOIN blobs b ON b.id = p.blob_id "
    "WHERE p.upload_id = ? AND p.part_number BETWEEN ? AND ? ORDER BY p.part_number"
)
_PARTS_AFTER = (
    f"SELECT {PART_COLUMNS} FROM parts p LEFT JOIN blobs b ON b.id = p.blob_id "
    "WHERE p.upload_id = ? AND p.part_number > ? ORDER BY p.part_number LIMIT ?"
)

_MANIFEST = "SELECT layout FROM manifests WHERE upload_id = ?"
_DROPPED_MANIFEST = "SELECT layout FROM dropped_uploads WHERE upload_id = ?"


@dataclass(frozen=True, slots=True)
class PartPage:
    """Parts in order of their numbers, and whether there are more."""

    parts: tuple[Part, ...]
    is_truncated: bool


def upload(db: Database, bucket_id: int, key: str, upload_id: str) -> Upload | None:
    """An upload under way."""
    row = db.one(_UPLOAD, (bucket_id, key.encode(), upload_id))
    return None if row is None else upload_of(bucket_id, row)


def list_parts(db: Database, upload_id: str, after: int = 0, limit: int = 1000) -> PartPage:
    """Parts of an upload under way or completed, numbered above `after`."""
    rows = db.rows(_PARTS_AFTER, (upload_id, after, limit + 1))
    return PartPage(tuple(part_of(row) for row in rows[:limit]), len(rows) > limit > 0)


def parts_between(db: Database, upload_id: str, first: int, last: int) -> list[Part]:
    """The parts with numbers from `first` to `last`, both included."""
    return [part_of(row) for row in db.rows(_PARTS_BETWEEN, (upload_id, first, last))]


def manifest(db: Database, upload_id: str) -> Layout | None:
    """Which parts make up the bytes of an object completed from this upload; also when no version refers to
    it any more, until its parts are released. None for any other upload."""
    row = db.one(_MANIFEST, (upload_id,)) or db.one(_DROPPED_MANIFEST, (upload_id,))
    return None if row is None or row[0] is None else Layout.unpack(row[0])


# Blobs


@dataclass(frozen=True, slots=True)
class Repair:
    """A repair that is due. `blob` is None when no row names the blob: it is gone, or not named *yet*.

    Only the second can turn into a need for repair, so let a young one wait (PostponeRepair).
    """

    blob_id: bytes
    reason: str
    queued_ms: int
    attempts: int
    report: int
    """Stands for the last time it was reported (FinishRepair)."""
    blob: BlobRef | None


def blob(db: Database, blob_id: bytes) -> BlobRef | None:
    """Where a blob lies that something refers to."""
    row = db.one("SELECT id, size, locator FROM blobs WHERE id = ?", (blob_id,))
    return None if row is None else BlobRef(*row)


def blobs_after(db: Database, after: bytes = b"", limit: int = 1000) -> list[BlobRef]:
    """Blobs that something refers to, by id, after `after`."""
    rows = db.rows("SELECT id, size, locator FROM blobs WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
    return [BlobRef(*row) for row in rows]


def blobs_known(db: Database, blob_ids: Iterable[bytes]) -> set[bytes]:
    """Those of these ids that something refers to or that are garbage still to be deleted."""
    known = (
        "SELECT id FROM blobs WHERE id = ? UNION ALL SELECT blob_id FROM garbage WHERE blob_id = ? LIMIT 1"
    )
    return {blob_id for blob_id in blob_ids if db.one(known, (blob_id, blob_id)) is not None}


def garbage_before(db: Database, ms: int, limit: int = 1000) -> list[BlobRef]:
    """Blobs that became garbage before `ms`, oldest first."""
    rows = db.rows(
        "SELECT blob_id, size, locator FROM garbage WHERE since_ms < ? ORDER BY since_ms, blob_id LIMIT ?",
        (ms, limit),
    )
    return [BlobRef(*row) for row in rows]


def garbage_after(
    db: Database, after_ms: int, after_id: bytes, before_ms: int, limit: int = 1000
) -> list[tuple[int, BlobRef]]:
    """When each blob became garbage, and the blob, oldest first: after (time, id), before `before_ms`."""
    rows = db.rows(
        "SELECT since_ms, blob_id, size, locator FROM garbage "
        "WHERE (since_ms, blob_id) > (?, ?) AND since_ms < ? ORDER BY since_ms, blob_id LIMIT ?",
        (after_ms, after_id, before_ms, limit),
    )
    return [(since_ms, BlobRef(*blob)) for since_ms, *blob in rows]


def blobs_lying(db: Database, blob_ids: Iterable[bytes]) -> dict[bytes, BlobRef]:
    """Where those of these blobs lie that something refers to or that are garbage still to be deleted."""
    lying = (
        "SELECT id, size, locator FROM blobs WHERE id = ? UNION ALL "
        "SELECT blob_id, size, locator FROM garbage WHERE blob_id = ? LIMIT 1"
    )
    rows = [db.one(lying, (blob_id, blob_id)) for blob_id in blob_ids]
    return {row[0]: BlobRef(*row) for row in rows if row is not None}


def dropped_uploads(
    db: Database, after: str = "", limit: int = 1000, before_ms: int = 2**63 - 1
) -> list[str]:
    """Ids of uploads that were dropped before `before_ms`, whose parts are to be released (ReleaseParts)."""
    rows = db.rows(
        "SELECT upload_id FROM dropped_uploads WHERE upload_id > ? AND since_ms < ? "
        "ORDER BY upload_id LIMIT ?",
        (after, before_ms, limit),
    )
    return [row[0] for row in rows]


def dropped_annotations(db: Database, after: int = 0, limit: int = 1000) -> list[int]:
    """Sets of annotations whose versions are gone, to be released (ReleaseAnnotations)."""
    rows = db.rows(
        "SELECT annotation_set FROM dropped_annotations WHERE annotation_set > ? "
        "ORDER BY annotation_set LIMIT ?",
        (after, limit),
    )
    return [row[0] for row in rows]


def repairs_due(db: Database, ms: int, limit: int = 1000) -> list[Repair]:
    """Repairs due at `ms`, longest due first."""
    rows = db.rows(
        "SELECT r.blob_id, r.reason, r.queued_ms, r.attempts, r.report, b.size, b.locator "
        "FROM repairs r LEFT JOIN blobs b ON b.id = r.blob_id "
        "WHERE r.due_ms <= ? ORDER BY r.due_ms, r.blob_id LIMIT ?",
        (ms, limit),
    )
    return [
        Repair(
            blob_id,
            reason,
            queued_ms,
            attempts,
            report,
            None if size is None else BlobRef(blob_id, size, locator),
        )
        for blob_id, reason, queued_ms, attempts, report, size, locator in rows
    ]


# Events


@dataclass(frozen=True, slots=True)
class Event:
    """An event that a target is to be told of. `about` is what the request knew, in JSON."""

    sequence: int
    target: str
    bucket_id: int
    key: str
    event: str
    about: bytes
    version_id: str | None
    size: int | None
    etag: str | None
    time_ms: int


def event_targets(db: Database) -> list[str]:
    """The targets that events wait for: an index seek each."""
    found: list[str] = []
    while row := db.one(
        "SELECT target FROM outbox WHERE target > ? ORDER BY target LIMIT 1", (found[-1] if found else "",)
    ):
        found.append(row[0])
    return found


def events_for(db: Database, target: str, limit: int = 100, after: int = 0) -> list[Event]:
    """The oldest events past the sequence `after` that wait for a target, in the order they happened."""
    rows = db.rows(
        "SELECT sequence, target, bucket_id, key, event, about, version_id, size, etag, time_ms FROM outbox "
        "WHERE target = ? AND sequence > ? ORDER BY sequence LIMIT ?",
        (target, after, limit),
    )
    return [event_of(row) for row in rows]


def event_of(row: Row) -> Event:
    """The event of a row of the outbox."""
    sequence, target, bucket_id, key, *rest = row
    return Event(sequence, target, bucket_id, key.decode(), *rest)


def events_waiting(db: Database) -> dict[str, int]:
    """How many events wait for each target that any wait for: a scan of an index of the outbox."""
    return dict(db.rows("SELECT target, COUNT(*) FROM outbox GROUP BY target"))


# Replication


@dataclass(frozen=True, slots=True)
class Replication:
    """Something that a target is to be sent: a version, a delete marker, or what changed of a version."""

    sequence: int
    target: str
    bucket_id: int
    key: str
    version_id: str
    kind: str
    size: int
    queued_ms: int
    attempts: int


_REPLICATIONS_DUE = (
    "SELECT sequence, target, bucket_id, key, version_id, kind, size, queued_ms, attempts FROM replications "
    "WHERE target = ? AND due_ms <= ? ORDER BY due_ms, sequence LIMIT ?"
)


def replication_targets(db: Database) -> list[str]:
    """The targets that something waits for: an index seek each."""
    found: list[str] = []
    while row := db.one(
        "SELECT target FROM replications WHERE target > ? ORDER BY target LIMIT 1",
        (found[-1] if found else "",),
    ):
        found.append(row[0])
    return found


def replications_due(db: Database, target: str, ms: int, limit: int = 100) -> list[Replication]:
    """What may be sent at `ms`, longest due first; never two of one key."""
    rows = db.rows(_REPLICATIONS_DUE, (target, ms, limit))
    return [
        Replication(sequence, arn, bucket_id, key.decode(), *rest)
        for sequence, arn, bucket_id, key, *rest in rows
    ]


def replications_waiting(db: Database) -> tuple[int, int, int | None]:
    """How many wait, their bytes, and when the oldest was queued: a scan of them all."""
    row = db.one("SELECT COUNT(*), COALESCE(SUM(size), 0), MIN(queued_ms) FROM replications")
    return (0, 0, None) if row is None else (row[0], row[1], row[2])


def replications_by_target(db: Database) -> list[tuple[str, int, int, int]]:
    """For each target how many wait, their bytes, and when the oldest was queued: a scan of them all."""
    rows = db.rows(
        "SELECT target, COUNT(*), SUM(size), MIN(queued_ms) FROM replications GROUP BY target ORDER BY target"
    )
    return [(target, count, size, since_ms) for target, count, size, since_ms in rows]


def replications_at_least(db: Database, count: int) -> bool:
    """Whether so many wait, at least."""
    row = db.one("SELECT COUNT(*) FROM (SELECT 1 FROM replications LIMIT ?) AS some", (count,))
    return row is not None and int(row[0]) >= count


def states_between(db: Database, after: str, before: str, limit: int = 100) -> list[tuple[str, bytes]]:
    """Small values of the deployment (SetState) by name, of those strictly between two names."""
    rows = db.rows(
        "SELECT name, value FROM state WHERE name > ? AND name < ? ORDER BY name LIMIT ?",
        (after, before, limit),
    )
    return [(name, value) for name, value in rows]


def keys_after(db: Database, bucket_id: int, after: str, prefix: str, limit: int) -> list[str]:
    """Up to `limit` keys that have any version or delete marker and come after `after`, in order."""
    found: list[str] = []
    last, begin = after.encode(), prefix.encode()
    while len(found) < limit:
        row = db.one(_NEXT_KEY, (bucket_id, last, begin, bucket_id, last, begin))
        if row is None or row[0] is None or not row[0].startswith(begin):
            break
        last = row[0]
        found.append(last.decode())
    return found


_NEXT_KEY = (
    "SELECT MIN(key) FROM ("
    "SELECT * FROM (SELECT key FROM objects WHERE bucket_id = ? AND key > ? AND key >= ? "
    "ORDER BY key LIMIT 1) AS present UNION ALL "
    "SELECT * FROM (SELECT key FROM history WHERE bucket_id = ? AND key > ? AND key >= ? "
    "ORDER BY key LIMIT 1) AS past) AS following"
)

# Users, keys, state

_USER_BY_ID = f"SELECT {USER_COLUMNS} FROM users WHERE id = ?"
_USER_BY_NAME = f"SELECT {USER_COLUMNS} FROM users WHERE name = ?"
_USER_BY_EMAIL = f"SELECT {USER_COLUMNS} FROM users WHERE email = ?"
_USERS = f"SELECT {USER_COLUMNS} FROM users WHERE name > ? ORDER BY name LIMIT ?"
_ACCESS_KEY = f"SELECT {ACCESS_KEY_COLUMNS} FROM access_keys WHERE access_key = ?"
_KEYS_OF = f"SELECT {ACCESS_KEY_COLUMNS} FROM access_keys WHERE user_id = ? ORDER BY access_key"


def user_by_id(db: Database, user_id: str) -> User | None:
    """The user with this canonical id."""
    row = db.one(_USER_BY_ID, (user_id,))
    return None if row is None else user_of(row)


def user_by_name(db: Database, name: str) -> User | None:
    """The user of this name."""
    row = db.one(_USER_BY_NAME, (name,))
    return None if row is None else user_of(row)


def user_by_email(db: Database, email: str) -> User | None:
    """The user with this e-mail address; nobody has the empty one."""
    row = db.one(_USER_BY_EMAIL, (email,)) if email else None
    return None if row is None else user_of(row)


def users(db: Database, after: str = "", limit: int = 1000) -> list[User]:
    """Users by name, after `after`."""
    return [user_of(row) for row in db.rows(_USERS, (after, limit))]


def access_key(db: Database, access_key: str) -> AccessKey | None:
    """The access key of this name, enabled or not."""
    row = db.one(_ACCESS_KEY, (access_key,))
    return None if row is None else access_key_of(row)


def keys_of(db: Database, user_id: str) -> list[AccessKey]:
    """A user's access keys."""
    return [access_key_of(row) for row in db.rows(_KEYS_OF, (user_id,))]


def mfa_device(db: Database, serial: str) -> MfaDevice | None:
    """The device of this serial number."""
    row = db.one(f"SELECT {MFA_DEVICE_COLUMNS} FROM mfa_devices WHERE serial = ?", (serial,))
    return None if row is None else MfaDevice(*row)


def mfa_devices_of(db: Database, user_id: str) -> list[MfaDevice]:
    """A user's devices, by serial number."""
    rows = db.rows(
        f"SELECT {MFA_DEVICE_COLUMNS} FROM mfa_devices WHERE user_id = ? ORDER BY serial", (user_id,)
    )
    return [MfaDevice(*row) for row in rows]


def master_key(db: Database, name: str) -> list[MasterKey]:
    """All versions of a master key, oldest first: version n is the n-th. Empty when there is no such key."""
    rows = db.rows(f"SELECT {MASTER_KEY_COLUMNS} FROM master_keys WHERE name = ? ORDER BY version", (name,))
    return [master_key_of(row) for row in rows]


def master_keys(db: Database, after: str = "", limit: int = 1000) -> list[MasterKey]:
    """All versions of the master keys with names after `after`, up to `limit` rows, by name and version."""
    rows = db.rows(
        f"SELECT {MASTER_KEY_COLUMNS} FROM master_keys WHERE name > ? ORDER BY name, version LIMIT ?",
        (after, limit),
    )
    return [master_key_of(row) for row in rows]


def state(db: Database, name: str) -> bytes | None:
    """One small value of the deployment (SetState)."""
    row = db.one("SELECT value FROM state WHERE name = ?", (name,))
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of what there are."""

    buckets: int
    uploads: int
    dropped_uploads: int
    garbage: int
    garbage_bytes: int
    repairs: int
    users: int


def counts(db: Database) -> Counts:
    """Counts for metrics: of tables that stay small; a scan of each of them."""
    row = db.one(
        "SELECT (SELECT COUNT(*) FROM buckets), (SELECT COUNT(*) FROM uploads), "
        "(SELECT COUNT(*) FROM dropped_uploads), (SELECT COUNT(*) FROM garbage), "
        "(SELECT COALESCE(SUM(size), 0) FROM garbage), (SELECT COUNT(*) FROM repairs), "
        "(SELECT COUNT(*) FROM users)"
    )
    assert row is not None
    return Counts(*row)
