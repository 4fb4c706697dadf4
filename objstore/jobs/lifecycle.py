"""Does what the buckets' lifecycle rules ask for, and says beforehand what that would be.

Invariants kept here:
- Nothing goes but by a command that finds, inside its transaction, the very version and rules that were
  judged here (meta/commands/lifecycle.py). What is locked stays.
- Doubt keeps data. A wall clock that is suddenly far ahead of the time that was measured is not believed:
  a broken time server must not expire everything at once (`trusted_ms`).
- A pass goes over keys in pages, remembers how far it has come, and goes on there after a restart. Within
  a key the oldest version goes first, for each is judged by the one that came after it.

A pass is made when a day (UTC) begins, when rules changed, and again after one that left something to
look at: a delete marker may have lost its last version.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, cast

from objstore import clock, metrics
from objstore.events.records import RULES, Origin
from objstore.jobs import walk
from objstore.jobs.access_logs import RulesLog
from objstore.jobs.job import JobSettings, Pace, all_of
from objstore.jobs.telling import wanted_of
from objstore.meta import commands, queries
from objstore.meta.client import Metadata
from objstore.meta.commands import Announced, Deleted, ExpireUpload, ExpireVersion
from objstore.meta.commands.buckets import LIFECYCLE
from objstore.meta.commands.events import NOTIFICATION
from objstore.meta.commands.lifecycle import digest_of
from objstore.meta.interface import Command, Conflict, Locked
from objstore.model import Bucket, ObjectVersion, Upload
from objstore.s3 import tokens, xml
from objstore.s3.access_log import EXPIRED, MARKED, UPLOAD_EXPIRED
from objstore.s3.documents.lifecycle import DAY_MS, LifecycleConfiguration, LifecycleRule
from objstore.s3.documents.notification import NotificationConfiguration
from objstore.s3.errors import S3Error
from objstore.s3.expiry import (
    LATEST,
    Action,
    Calendar,
    Standing,
    Verdict,
    enabled_rules,
    judge,
    judge_transition,
    judge_upload,
    prefixes,
)

_EVENTS: Final = ("s3:LifecycleExpiration:Delete", "s3:LifecycleExpiration:DeleteMarkerCreated")
_ORIGIN: Final = Origin(_EVENTS[0], RULES, RULES, "", "")

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 30.0
"""How often the rules are looked at for a reason to make a pass."""
PAGE_ROWS: Final = 1000
KEYS_AT_ONCE: Final = 32
"""Keys of one page whose commands are under way together."""
SAVE_EVERY_S: Final = 600.0
"""How often the time last seen is written down when nothing else is."""
TRUSTED_STATE: Final = "lifecycle_trusted_ms"
"""Where an operator says that the clock was right at that time."""
JUMP_MS_MAX: Final = 7 * DAY_MS
"""How far the wall clock may be ahead of measured time, a stop of the server included."""
CATCH_UP: Final = 2
"""How many times as fast as measured time a clock that is not believed is followed."""


@dataclass(frozen=True, slots=True)
class Due:
    """Something that a rule has run out for: a version with where it stands, or an upload."""

    bucket: Bucket
    verdict: Verdict
    rules: bytes
    """Digest of the document it was judged by."""
    version: ObjectVersion | None = None
    successor: int = 0
    upload: Upload | None = None

    @property
    def key(self) -> str:
        """What it is about."""
        if self.version is not None:
            return self.version.key
        assert self.upload is not None
        return self.upload.key

    @property
    def id(self) -> str:
        """Version id or upload id."""
        if self.version is not None:
            return self.version.version_id
        assert self.upload is not None
        return self.upload.upload_id


@dataclass(frozen=True, slots=True)
class Page:
    """What is due among some keys; everything up to `last` has been looked at."""

    due: Sequence[Due]
    last: str


Judge = Callable[[ObjectVersion, Standing, int], Due | None]
"""What is due for a version with this standing, whose next newer version has this sequence."""


@dataclass(slots=True)
class Rulebook:
    """A bucket's rules as a pass applies them. `tiers`: the storage classes whose bytes lie elsewhere."""

    bucket: Bucket
    document: LifecycleConfiguration
    digest: bytes
    now_ms: int
    calendar: Calendar
    tiers: Collection[str] = ()
    aborts: list[LifecycleRule] = field(init=False)
    expires: list[LifecycleRule] = field(init=False)
    moves: list[LifecycleRule] = field(init=False)

    @property
    def rules(self) -> Sequence[LifecycleRule]:
        """Those that do something."""
        return enabled_rules(self.document)

    def __post_init__(self) -> None:
        self.aborts = [rule for rule in self.rules if rule.abort_incomplete_multipart_upload is not None]
        self.expires = [rule for rule in self.rules if rule.expiration or rule.noncurrent_version_expiration]
        self.moves = [rule for rule in self.rules if rule.transitions or rule.noncurrent_version_transitions]

    def of_version(self, version: ObjectVersion, standing: Standing, successor: int) -> Due | None:
        """What is due for a version that may go; a locked one may not for good."""
        verdict = judge(self.expires, version, standing, self.calendar)
        if verdict is None or verdict.due_ms > self.now_ms:
            return None
        return Due(self.bucket, verdict, self.digest, version=version, successor=successor)

    def transition_of(self, version: ObjectVersion, standing: Standing, successor: int) -> Due | None:
        """The transition that is due for a version. What is due to go is not moved first, unless it must stay
        because it is locked."""
        verdict = judge_transition(self.document, version, standing, self.calendar, self.now_ms, self.tiers)
        if verdict is None:
            return None
        expiry = self.of_version(version, standing, successor)
        if expiry is not None and not _is_locked(expiry):
            return None
        return Due(self.bucket, verdict, self.digest, version=version, successor=successor)

    def of_upload(self, upload: Upload) -> Due | None:
        """What is due for an upload."""
        verdict = judge_upload(self.aborts, upload.key, upload.initiated_ms, self.calendar)
        if verdict is None or verdict.due_ms > self.now_ms:
            return None
        return Due(self.bucket, verdict, self.digest, upload=upload)


def rulebook(
    bucket: Bucket, document: bytes, now_ms: int, calendar: Calendar, tiers: Collection[str] = ()
) -> Rulebook:
    """The rules of a stored document."""
    parsed = xml.parse(LifecycleConfiguration, document)
    return Rulebook(bucket, parsed, digest_of(document), now_ms, calendar, tiers)


def readable_rulebook(
    bucket: Bucket, document: bytes, now_ms: int, calendar: Calendar, tiers: Collection[str] = ()
) -> Rulebook | None:
    """The rules of a stored document; None, and a line in the log, if it cannot be read: the other buckets'
    rules are carried out all the same."""
    try:
        return rulebook(bucket, document, now_ms, calendar, tiers)
    except (S3Error, ValueError):
        log.exception("the lifecycle rules of bucket %s cannot be read: none is carried out", bucket.name)
        return None


async def buckets_with_rules(metadata: Metadata, after: str = "") -> AsyncIterator[tuple[Bucket, bytes]]:
    """Every bucket with a lifecycle document, and the document, by name, after `after`."""
    while page := await metadata.read(queries.subresources_of_kind, LIFECYCLE, after):
        for bucket, document in page:
            yield bucket, document
        after = page[-1][0].name


def due_versions(metadata: Metadata, book: Rulebook, prefix: str, after: str) -> AsyncIterator[Page]:
    """What is due to go among the versions of keys that begin with `prefix` and come after `after`."""
    return _judged_versions(metadata, book, book.of_version, prefix, after)


def due_transitions(metadata: Metadata, book: Rulebook, prefix: str, after: str) -> AsyncIterator[Page]:
    """What is due to be moved among them."""
    return _judged_versions(metadata, book, book.transition_of, prefix, after)


async def _judged_versions(
    metadata: Metadata, book: Rulebook, judge: Judge, prefix: str, after: str
) -> AsyncIterator[Page]:
    key_marker, version_marker = after, ""
    reader = _Reader(judge)
    while True:
        page = await metadata.read(
            queries.list_versions, book.bucket.id, prefix, key_marker, version_marker, "", PAGE_ROWS
        )
        due = list(reader.read(page.versions))
        if not page.is_truncated or page.last is None:
            yield Page([*due, *reader.end()], page.last or after)
            return
        # The last key may go on: a restart begins with it anew.
        done = next((v.key for v in reversed(page.versions) if v.key != page.last), after)
        yield Page(due, done)
        key_marker, version_marker = page.last, page.last_version_id or ""


class _Reader:
    """Reads versions in the order of a listing and finds out where each stands."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._newer: ObjectVersion | None = None
        self._count = 0
        self._marker: ObjectVersion | None = None
        """A latest delete marker of which it is not yet known whether it is alone."""

    def read(self, versions: Iterable[ObjectVersion]) -> Iterable[Due]:
        """What is due among the next versions."""
        for version in versions:
            newer = self._newer
            if newer is None or newer.key != version.key or version.is_latest:
                yield from self.end()
                newer, self._count = None, 0
            self._newer = version
            if newer is None and version.is_delete_marker:
                self._marker = version
                continue
            self._marker = None
            standing, successor = LATEST, 0
            if newer is not None:
                standing = Standing(newer.modified_ms, self._count)
                successor = newer.sequence
                self._count += not version.is_delete_marker
            due = self._judge(version, standing, successor)
            if due is not None:
                yield due

    def end(self) -> Iterable[Due]:
        """What is due of the key read last, there being no more of it."""
        marker, self._marker = self._marker, None
        due = None if marker is None else self._judge(marker, Standing(is_only=True), 0)
        return () if due is None else (due,)


async def due_uploads(metadata: Metadata, book: Rulebook, prefix: str, after: str) -> AsyncIterator[Page]:
    """What is due among the uploads under way of keys under `prefix`, after `after`."""
    key_marker, upload_marker = after, ""
    while True:
        page = await metadata.read(
            queries.list_uploads, book.bucket.id, prefix, key_marker, upload_marker, "", PAGE_ROWS
        )
        due = [one for one in map(book.of_upload, page.uploads) if one is not None]
        if not page.is_truncated or page.last is None:
            yield Page(due, page.last or after)
            return
        yield Page(due, next((u.key for u in reversed(page.uploads) if u.key != page.last), after))
        key_marker, upload_marker = page.last, page.last_upload_id or ""


async def plan(
    metadata: Metadata, bucket_name: str | None, calendar: Calendar, tiers: Collection[str] = ()
) -> AsyncIterator[Due]:
    """What a pass would do now, in one bucket or in all. Changes nothing."""
    async for bucket, document in buckets_with_rules(metadata):
        if bucket_name not in (None, bucket.name):
            continue
        book = rulebook(bucket, document, clock.now_ms(), calendar, tiers)
        for rules, walk_due in (
            (book.expires, due_versions),
            (book.moves, due_transitions),
            (book.aborts, due_uploads),
        ):
            for prefix in prefixes(rules):
                async for page in walk_due(metadata, book, prefix, ""):
                    for due in page.due:
                        yield due


def trusted_ms(now_ms: int, seen_ms: int | None, elapsed_ms: int) -> int:
    """The time to judge by, when `elapsed_ms` of measured time ago it was `seen_ms` (None: never asked)."""
    if seen_ms is None or now_ms <= seen_ms + elapsed_ms + JUMP_MS_MAX:
        return now_ms
    return seen_ms + CATCH_UP * elapsed_ms


class Lifecycle:
    """The lifecycle job."""

    name = "lifecycle"
    STATE: Final = "lifecycle"

    def __init__(
        self, metadata: Metadata, settings: JobSettings, pace: Pace, log: RulesLog | None = None
    ) -> None:
        self._metadata = metadata
        self._log = log
        self._pace = pace
        self._calendar = Calendar.of(settings.lifecycle_day_s)
        self._every_s = max(0.25, settings.lifecycle_day_s / 2) if settings.lifecycle_day_s else LOOK_EVERY_S
        self._state: dict[str, Any] | None = None
        self._seen_s = clock.monotonic_s()
        self._saved_s = float("-inf")
        self._has_more = False
        self._told: dict[int, NotificationConfiguration] = {}
        """Who is told of what happens in the bucket that is walked, if anybody is."""
        self._outcomes: Counter[str] = Counter()
        self.judged_ms: int | None = None
        """The time that rules were last judged by; None before the first time."""

    async def run(self) -> float:
        """Make a pass if there is a reason to."""
        if self._state is None:
            self._state = await walk.load(self._metadata, self.STATE)
        documents = [one async for one in buckets_with_rules(self._metadata)]
        now_ms = self.judged_ms = await self._now_ms()
        if not documents:
            if self._state.keys() - {"seen_ms"}:
                self._state = {"seen_ms": now_ms}
                await self._save()
            return self._every_s
        reason = [digest_of_all(documents), now_ms // DAY_MS]
        if self._has_more or self._calendar.debug_day_ms or self._state.get("done") != reason:
            if self._state.get("reason") != reason:
                self._state = {"seen_ms": now_ms, "reason": reason}
            await self._pass(documents, now_ms)
            self._state = {"seen_ms": now_ms, "done": reason}
            if not self._calendar.debug_day_ms:
                await self._save()
        elif clock.monotonic_s() - self._saved_s > SAVE_EVERY_S:
            await self._save()
        return self._every_s

    async def _now_ms(self) -> int:
        assert self._state is not None
        measured_s = clock.monotonic_s()
        wall_ms = clock.now_ms()
        elapsed_ms = int((measured_s - self._seen_s) * 1000)
        now_ms = trusted_ms(wall_ms, self._state.get("seen_ms"), elapsed_ms)
        if now_ms != wall_ms:
            said = await self._metadata.read(queries.state, TRUSTED_STATE)
            now_ms = trusted_ms(wall_ms, max(now_ms, int(said or 0)), 0)
        if now_ms != wall_ms:
            log.error(
                "the clock is %.1f days ahead of what was measured: lifecycle rules go by an earlier time; "
                "if the clock is right, say `objstore lifecycle trust-clock`",
                (wall_ms - now_ms) / DAY_MS,
            )
        self._seen_s, self._state["seen_ms"] = measured_s, now_ms
        return now_ms

    async def _save(self) -> None:
        assert self._state is not None
        await walk.save(self._metadata, self.STATE, self._state)
        self._saved_s = clock.monotonic_s()

    async def _pass(self, documents: Sequence[tuple[Bucket, bytes]], now_ms: int) -> None:
        assert self._state is not None
        resume = {name: self._state.get(name, "") for name in ("bucket", "phase", "prefix", "after")}
        self._outcomes.clear()
        for bucket, document in documents:
            if bucket.name < resume["bucket"]:
                continue
            if bucket.name > resume["bucket"]:
                resume = dict.fromkeys(resume, "")
            book = readable_rulebook(bucket, document, now_ms, self._calendar)
            if book is None:
                continue
            told = await self._metadata.read(queries.subresource, bucket.id, NOTIFICATION)
            self._told = {} if told is None else {bucket.id: xml.parse(NotificationConfiguration, told)}
            for phase, rules, walk_due in (
                ("1 versions", book.expires, due_versions),
                ("2 uploads", book.aborts, due_uploads),
            ):
                if phase < resume["phase"]:
                    continue
                for prefix in prefixes(rules):
                    is_here = resume["phase"] == phase and resume["bucket"] == bucket.name
                    if is_here and prefix.encode() < resume["prefix"].encode():
                        continue
                    after = resume["after"] if is_here and prefix == resume["prefix"] else ""
                    place = {"bucket": bucket.name, "phase": phase, "prefix": prefix}
                    await self._work_off(walk_due(self._metadata, book, prefix, after), place)
        # Only while it leads to something: what stays as it is must not be walked again and again.
        self._has_more = bool(self._outcomes["done"]) and bool(
            self._outcomes["changed"] or self._outcomes["noncurrent"]
        )

    async def _work_off(self, pages: AsyncIterator[Page], place: dict[str, str]) -> None:
        assert self._state is not None
        began_s = clock.monotonic_s()
        async for page in pages:
            await self._act(page.due)
            self._state.update(place, after=page.last)
            if clock.monotonic_s() - self._saved_s > LOOK_EVERY_S:
                await self._save()
            await self._pace.rest(clock.monotonic_s() - began_s)
            began_s = clock.monotonic_s()

    async def _act(self, due: Sequence[Due]) -> None:
        """Do what is due: keys together, the versions of one key from the oldest on."""
        by_key = [list(reversed(list(group))) for _, group in groupby(due, key=lambda one: one.key)]
        for start in range(0, len(by_key), KEYS_AT_ONCE):
            await all_of(map(self._act_on_key, by_key[start : start + KEYS_AT_ONCE]))

    async def _act_on_key(self, due: Sequence[Due]) -> None:
        for one in due:
            outcome = await self._act_on(one)
            metrics.LIFECYCLE_ACTIONS.labels(one.verdict.action.value, outcome).inc()
            self._outcomes[outcome] += 1
            if outcome == "done":
                self._outcomes["noncurrent"] += bool(one.successor)
                log.info(
                    "lifecycle rule %s of bucket %s: %s %s, %s %s",
                    one.verdict.rule_id,
                    one.bucket.name,
                    one.verdict.action.value,
                    one.key,
                    "upload" if one.version is None else "version",
                    one.id,
                )

    async def _act_on(self, due: Due) -> str:
        """What came of it: "done", "locked", or "changed" when it is no longer what was judged."""
        if due.version is None:
            is_done = await self._metadata.write(ExpireUpload(due.bucket.id, due.key, due.id, due.rules))
            if is_done and self._log is not None:
                self._log.tell(due.bucket, due.key, UPLOAD_EXPIRED, "", None)
            return "done" if is_done else "changed"
        if _is_locked(due):
            return "locked"
        command = ExpireVersion(
            due.bucket.id,
            due.key,
            due.id,
            due.version.sequence,
            due.version.tags,
            due.rules,
            due.bucket.owner_id,
            successor=due.successor,
            newer_kept=due.verdict.newer_kept,
            new_version_id=tokens.new_version_id(),
            is_marker=due.version.is_delete_marker,
        )
        try:
            deleted = await self._metadata.write(await self._announced(due, command))
        except Locked:
            return "locked"
        except Conflict:
            return "changed"
        if deleted is None:
            return "changed"
        if self._log is not None:
            is_marked = deleted.is_delete_marker and not due.version.is_delete_marker
            self._log.tell(due.bucket, due.key, MARKED if is_marked else EXPIRED, due.id, due.version)
        return "done"

    async def _announced(self, due: Due, command: ExpireVersion) -> Command[Deleted | None]:
        """The command, with word of it to those who want to be told of what rules delete."""
        document = self._told.get(due.bucket.id)
        wanted = wanted_of(self._metadata, document, due.bucket, due.key, _EVENTS, _ORIGIN)
        if not wanted:
            return command
        return cast(
            Command[Deleted | None], Announced(due.bucket.id, due.key, commands.encode(command), wanted)
        )


def _is_locked(due: Due) -> bool:
    """Whether to ask at all: the command has the last word, by a clock that cannot be set forward."""
    assert due.version is not None
    lock = due.version.lock
    if lock is None or due.verdict.action is not Action.EXPIRE_NONCURRENT:
        return False
    return lock.legal_hold or (lock.mode is not None and lock.retain_until_ms > clock.now_ms())


def digest_of_all(documents: Iterable[tuple[Bucket, bytes]]) -> str:
    """What stands for all buckets' rules together."""
    digest = hashlib.sha256()
    for bucket, document in documents:
        digest.update(b"%d:%s;" % (bucket.id, digest_of(document)))
    return digest.hexdigest()
