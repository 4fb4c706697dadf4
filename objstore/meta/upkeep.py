"""What a ledger does beside committing: snapshots, new journal drives, drives that come back.

`step` runs in the ledger's thread between batches and is short. Long work (copying) runs in one thread
at a time, on descriptors of its own, and what it found out is put into effect by a later `step`.
"""

import errno
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import apsw

from objstore import clock, metrics
from objstore.meta import comparison, snapshot
from objstore.meta.drive_journal import DriveJournal
from objstore.meta.interface import MetaDrive
from objstore.meta.journal import Journal
from objstore.meta.recovery import Chain, JournalDamaged
from objstore.meta.roster import Roster
from objstore.meta.segment import SegmentName
from objstore.meta.snapshot import GENERATIONS_KEPT, SnapshotName
from objstore.meta.start import SNAPSHOT_TEMPORARY, LedgerSettings, Started, take

logger: Final = logging.getLogger(__name__)

SNAPSHOT_JOURNAL_BYTES_MIN: Final = 64 << 20
"""No snapshot is taken before the journal behind the last one is this long."""
PROBE_S: Final = 5.0
"""Between two looks for drives that were away."""
REST_S: Final = 60.0
"""How long a drive that failed is left alone before it may prove itself."""
RETRY_S: Final = 60.0
"""After a snapshot or a copy that failed."""
VERIFY_S: Final = 24 * 3600.0
"""Between two readings of every byte of every journal and snapshot."""
CLOSE_S: Final = 3.0
"""How long a ledger that stops waits for upkeep under way."""
HELPLESS_S: Final = 15.0
"""How long a ledger that takes no commands waits before it starts anew to look again."""


@dataclass(slots=True)
class _Job:
    """Long work under way: what it is, and what to do in the ledger's thread when it has ended."""

    finish: Callable[[], None]
    error: Exception | None = None
    is_done: bool = False


class Upkeep:
    """The upkeep of one ledger."""

    def __init__(self, started: Started, settings: LedgerSettings) -> None:
        self._started = started
        self._settings = settings
        self._began_s = clock.monotonic_s()
        self._job: _Job | None = None
        self._thread: threading.Thread | None = None
        self._probe_due_s = self._began_s + PROBE_S
        self._retry_due_s = 0.0
        self.journal_bytes = 0
        """Length of the journal behind the newest snapshot."""
        self.snapshot_sequence = 0
        self.restart_reason: str | None = None
        """Why the ledger should stop and start anew: drives are back that may know more."""
        if started.journal is not None:
            self._measure(started.journal)
        self._is_snapshot_wanted = started.needs_snapshot
        self._verify_due_s = self._began_s + VERIFY_S
        self._cramped: set[int] = set()
        """Drives that had no room for a new copy of the journal beside the one they hold from earlier."""
        self._verify_callbacks: list[Callable[[list[str]], None]] = []
        self._is_verification_deep = False

    def _measure(self, journal: Journal) -> None:
        """What the newest snapshot covers and how long the journal behind it is, from the first member."""
        for drive in journal.members[:1]:
            taken = snapshot.names(drive)
            self.snapshot_sequence = taken[-1].sequence if taken else 0
            segments = drive.segments()
            after = [name for name in sorted(segments) if name.first > self.snapshot_sequence]
            self.journal_bytes = sum(segments[name] for name in after)

    @property
    def is_due(self) -> bool:
        """Whether `step` has something to do that should not wait for its second to be over."""
        if self._job is not None:
            return self._job.is_done
        journal = self._started.journal
        if journal is None or clock.monotonic_s() < self._retry_due_s:
            return False
        return len(journal.roster.members) < journal.roster.copies and self._candidate(journal) is not None

    def step(self) -> None:
        """Put ended work into effect, and begin what is due. Raises JournalLost."""
        now_s = clock.monotonic_s()
        if now_s >= self._probe_due_s:
            self._probe_due_s = now_s + PROBE_S
            self._look_at_drives(now_s)
        if self._job is not None and not self._job.is_done:
            return
        self._end_job(now_s)
        journal = self._started.journal
        if journal is None or now_s < self._retry_due_s:
            return
        if len(journal.roster.members) < journal.roster.copies and (candidate := self._candidate(journal)):
            self._begin(*self._recruit(journal, candidate))
        elif self._is_snapshot_due(journal):
            self._begin(*self._snapshot(journal))
        elif now_s >= self._verify_due_s:
            self._begin(*self._verify(journal))

    def _end_job(self, now_s: float) -> None:
        job, self._job = self._job, None
        if job is None:
            return
        if job.error is None:
            job.finish()
            return
        self._retry_due_s = now_s + RETRY_S
        logger.error("upkeep failed", extra={"error": str(job.error)})

    def close(self) -> None:
        """Give what runs a moment to end; what it leaves unfinished, the next start removes."""
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _begin(self, work: Callable[[], None], finish: Callable[[], None]) -> None:
        job = self._job = _Job(finish)

        def run() -> None:
            try:
                work()
            except Exception as exc:
                job.error = exc
            job.is_done = True

        if not self._settings.is_parallel:
            run()
            self._end_job(clock.monotonic_s())
            return
        self._thread = threading.Thread(target=run, name="upkeep", daemon=True)
        self._thread.start()

    # Drives that come and go

    def _look_at_drives(self, now_s: float) -> None:
        """Let go of drives that are no longer where they were, and open those that are (back) there."""
        usable, deployment = self._survey()
        journal = self._started.journal
        if journal is None:
            self._look_for_help(usable, now_s)
            return
        journal.check_in_place()
        for found in usable:
            if found.number not in journal.drives and self._is_rested(journal, found.number, now_s):
                opened = journal.welcome(found, self._started.identities.get(found.number))
                if opened is not None:
                    self._started.identities[found.number] = opened.identity
        journal.belong(deployment)

    def _survey(self) -> tuple[Sequence[MetaDrive], Sequence[int]]:
        if self._settings.survey is None:
            return self._settings.drives, self._settings.deployment
        return self._settings.survey()

    def _look_for_help(self, usable: Sequence[MetaDrive], now_s: float) -> None:
        """Without a journal to write: start anew when a drive has come, and now and then in any case."""
        come = [drive.number for drive in usable if drive.number not in self._started.drives]
        if come and any(_can_be_opened(drive) for drive in usable if drive.number in come):
            self.restart_reason = f"drives {come} have come"
        elif now_s >= self._began_s + HELPLESS_S:
            self.restart_reason = self._started.reason

    @staticmethod
    def _is_rested(journal: Journal, number: int, now_s: float) -> bool:
        return number not in journal.failed or now_s >= journal.failed[number][1] + REST_S

    def _candidate(self, journal: Journal) -> MetaDrive | None:
        """A healthy drive that does not hold the journal yet, lowest number first."""
        for number in sorted(journal.drives):
            if number not in journal.roster.members:
                return journal.drives[number].drive
        return None

    # A new journal drive

    def _recruit(self, journal: Journal, drive: MetaDrive) -> tuple[Callable[[], None], Callable[[], None]]:
        """Copy the whole journal to a drive in a thread; then, between two batches, what came since."""
        journal.roll()
        told = journal.roster
        sources = [(member.drive, member.identity) for member in journal.members]
        last = journal.end.sequence
        identity = self._started.identities[drive.number]

        def copy() -> None:
            with ExitStack() as opened:
                members = {}
                for source, source_identity in sources:
                    handle = opened.enter_context(closing(DriveJournal.open(source, source_identity)))
                    members[source.number] = handle
                target = opened.enter_context(closing(DriveJournal.open(drive, identity)))
                self._copy_whole(Chain(told, members), last, target)

        def admit() -> None:
            target = journal.drives.get(drive.number)
            if target is None or journal.roster != told:
                return  # things have changed meanwhile: try again
            chain = Chain(told, {member.number: member for member in journal.members})
            try:
                _copy_segments(chain, [name for name in chain.names if name.first > last], target)
            except OSError as exc:
                journal.give_up(drive.number, exc)
                return
            journal.admit(target)
            logger.info("journal drive recruited", extra={"drive": drive.number})

        return copy, admit

    def _copy_whole(self, chain: Chain, last: int, target: DriveJournal) -> None:
        """Make a drive hold the chain up to sequence `last` and nothing else. Raises OSError.

        The copy that it may hold from earlier goes when the new one is whole: until then it may be the
        last there is. Only on a drive too full for both does it go first, at the second attempt.
        """
        if target.number in self._cramped:
            logger.warning("a stale journal makes room for the new one", extra={"drive": target.number})
            target.clear()
        names = [name for name in chain.names if name.first <= last]
        try:
            copied = _copy_snapshots(chain.members.values(), target)
            _copy_segments(chain, names, target)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                self._cramped.add(target.number)
            raise
        target.clear(keep={str(name) for name in (*copied, *names)})
        self._cramped.discard(target.number)

    # Verifying

    def want_verification(self, callback: Callable[[list[str]], None], *, is_deep: bool) -> None:
        """Read every byte of every journal and snapshot soon, mend what can be mended, and tell what was
        found, in sentences; nothing where all is well. Deep: compare the index with the journal, too,
        and build it anew where it differs."""
        self._verify_callbacks.append(callback)
        self._is_verification_deep |= is_deep
        self._verify_due_s = self._retry_due_s = 0.0

    def _verify(self, journal: Journal) -> tuple[Callable[[], None], Callable[[], None]]:
        journal.roll()
        told = journal.roster
        members = [(member.drive, member.identity) for member in journal.members]
        last = journal.end.sequence
        findings: list[str] = []
        callbacks, self._verify_callbacks = self._verify_callbacks, []
        is_deep, self._is_verification_deep = self._is_verification_deep, False
        self._verify_due_s = clock.monotonic_s() + VERIFY_S

        def work() -> None:
            try:
                with ExitStack() as opened:
                    handles = {
                        drive.number: opened.enter_context(closing(DriveJournal.open(drive, identity)))
                        for drive, identity in members
                    }
                    findings.extend(verify_segments(Chain(told, handles), last))
                    findings.extend(verify_snapshots(list(handles.values())))
                    if is_deep:
                        findings.extend(self._compare(told, handles))
            except (OSError, apsw.Error, JournalDamaged) as exc:
                findings.append(f"verifying was not finished: {exc}")

        def finish() -> None:
            for finding in findings:
                logger.error("journal verified", extra={"finding": finding})
            if any(finding.endswith(BEYOND_REPAIR) for finding in findings):
                self.want_snapshot()
            for callback in callbacks:
                callback(findings)
            if any(DIFFERS in finding for finding in findings):
                self._started.index.directory.distrust()
                self.restart_reason = "the index differs from the journal"

        return work, finish

    def _compare(self, told: Roster, handles: Mapping[int, DriveJournal]) -> list[str]:
        _, copy = take(self._started.index)
        try:
            return comparison.differences(self._started.index, copy, told, handles)
        finally:
            self._started.index.directory.remove(copy.name)

    # Snapshots

    def _is_snapshot_due(self, journal: Journal) -> bool:
        if self._is_snapshot_wanted:
            return True
        if self.journal_bytes < SNAPSHOT_JOURNAL_BYTES_MIN:
            return False
        is_longer = "SELECT ? >= 2 * page_count * page_size FROM pragma_page_count, pragma_page_size"
        rows = self._started.index.connection.execute(is_longer, (self.journal_bytes,)).fetchall()
        return rows == [(1,)]

    def want_snapshot(self) -> None:
        """Take a snapshot at the next step, however short the journal is."""
        self._is_snapshot_wanted = True
        self._retry_due_s = 0.0

    def _snapshot(self, journal: Journal) -> tuple[Callable[[], None], Callable[[], None]]:
        """Take one and put it on every member in a thread; then drop what it makes unneeded."""
        self._is_snapshot_wanted = False
        members = [(drive.drive, drive.identity) for drive in journal.members]
        taken: list[snapshot.Header] = []
        failed: dict[int, OSError] = {}
        length_before = self.journal_bytes

        def work() -> None:
            try:
                told, path = take(self._started.index)
                try:
                    for drive, identity in members:
                        try:
                            with closing(DriveJournal.open(drive, identity)) as target:
                                snapshot.put_from_file(target, told, path)
                        except OSError as exc:
                            failed[drive.number] = exc
                finally:
                    self._started.index.directory.remove(SNAPSHOT_TEMPORARY)
            except (OSError, apsw.Error):
                metrics.SNAPSHOTS.labels("failed").inc()
                raise
            taken.append(told)

        def finish() -> None:
            for number, error in failed.items():
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    journal.give_up(number, error)
            lacking = failed.keys() & set(journal.roster.members)
            metrics.SNAPSHOTS.labels("failed" if lacking else "taken").inc()
            if lacking:
                self._retry_due_s = clock.monotonic_s() + RETRY_S
                return
            self.snapshot_sequence = taken[0].position.point.sequence
            self.journal_bytes = max(self.journal_bytes - length_before, 0)
            for drive in journal.members:
                try:
                    _drop_covered(drive)
                except OSError as exc:
                    journal.give_up(drive.number, exc)
            logger.info("snapshot taken", extra={"sequence": self.snapshot_sequence})

        return work, finish


DIFFERS: Final = "the index differs from the journal"
BEYOND_REPAIR: Final = "on every drive: a new snapshot makes up for it"


def verify_segments(chain: Chain, last: int) -> list[str]:
    """Read every segment up to sequence `last` on every member and mend what differs; what was found."""
    findings = []
    for name in [name for name in chain.names if name.first <= last]:
        section = chain.section(name)
        if section.damaged_at is not None:
            findings.append(f"journal record {section.damaged_at} is damaged {BEYOND_REPAIR}")
            continue
        if section.start is None:
            continue
        for number in section.wrong:
            chain.members[number].put_segment(name, section.data)
            findings.append(f"drive {number}: segment {name} was damaged and is mended")
    findings += [f"drive {number}: {error}" for number, error in chain.failed.items()]
    return findings


def verify_snapshots(drives: Sequence[DriveJournal]) -> list[str]:
    """Read every snapshot on every member and mend what is damaged or absent; what was found."""
    findings = []
    for name in sorted({name for drive in drives for name in snapshot.names(drive)}):
        good = [drive for drive in drives if snapshot.is_whole(drive, name)]
        for drive in drives:
            if drive in good:
                continue
            if not good or not snapshot.copy(good[0], drive, name):
                findings.append(f"snapshot {name} is damaged {BEYOND_REPAIR}")
                break
            findings.append(f"drive {drive.number}: snapshot {name} was damaged or absent and is mended")
    return findings


def _can_be_opened(drive: MetaDrive) -> bool:
    try:
        DriveJournal.open(drive).close()
    except OSError:
        return False
    return True


def _copy_snapshots(sources: Collection[DriveJournal], target: DriveJournal) -> list[SnapshotName]:
    """Copy every snapshot from a member whose copy checks; which there are. Raises OSError."""
    names = sorted({name for source in sources for name in snapshot.names(source)})
    for name in names:
        if not any(snapshot.copy(source, target, name) for source in sources):
            raise OSError(errno.EIO, f"snapshot {name} is damaged on every journal drive")
    return names


def _copy_segments(chain: Chain, names: Iterable[SegmentName], target: DriveJournal) -> None:
    """Copy segments as the members together have them. Raises OSError."""
    for name in names:
        section = chain.section(name)
        if section.damaged_at is not None:
            raise OSError(errno.EIO, f"journal record {section.damaged_at} is damaged on every journal drive")
        if section.start is not None:
            target.put_segment(name, section.data)


def _drop_covered(drive: DriveJournal) -> None:
    """Keep the newest generations of snapshots, and the segments that the oldest of them needs."""
    taken = snapshot.names(drive)
    kept = taken[-GENERATIONS_KEPT:]
    snapshot.drop(drive, taken[:-GENERATIONS_KEPT])
    drive.drop_segments(covered(sorted(drive.segments()), kept[0]))


def covered(names: list[SegmentName], oldest: SnapshotName) -> list[SegmentName]:
    """The segments (in order) all of whose records a snapshot has; never the last one."""
    return [name for name, following in pairwise(names) if following.first <= oldest.sequence + 1]
