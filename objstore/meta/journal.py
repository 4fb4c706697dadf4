"""The mirrored journal: the truth about the metadata, kept whole on m + 1 drives.

What is promised: a batch that was acknowledged is never lost while at most m of the deployment's
drives are gone, whichever they are, also when they go while the server is down; and nothing that was
refused or superseded ever comes back, whatever drive returns, however late.

Words. The *chain* is the sequence of records, each holding the checksum of the one before. The
*roster* names the drives that hold the chain now (its members), and where it began (its base). See
roster.py for the numbers: `copies` = m + 1 members wanted, write quorum W, majority.

The rules
 1. One ledger writes; it holds the drives' locks. It writes one record at a time.
 2. A record is acknowledged only when it is durable on EVERY member of the roster in force.
 3. A member that fails or stays silent is never asked again (not even to sync: the kernel may have
    dropped the pages). The ledger first makes a roster without it durable on W drives, and only then
    acknowledges the record that it failed on. With fewer members left than a majority the record is
    not acknowledged: the roster made durable has its base BEFORE the record, which voids it, and the
    answer is Unavailable. Where even that fails, the outcome is unknown: the ledger stops, and the
    start that follows decides.
 4. Every roster begins a new epoch, higher than any before; its records are in segments of their own.
    Records of an earlier epoch that lie beyond the base of a later one are void.
 5. Every roster has a member of the one before among its members (it knows the chain up to the
    base), and every member of a roster holds the chain up to its base before the roster is written.
 6. A start promises its incarnation, a number higher than any it sees, to enough drives that any two
    such sets share one, before it writes a roster; epochs begin with the incarnation. So two ledgers
    never write different rosters of one epoch, and of two rosters the higher epoch is the later.
 7. A start takes the highest roster it sees. If W or more of its drives show no roster, a later one may
    exist: the start serves reads of what it found, and takes no command.
 8. The chain is put together from the members' segments, record by record: any good copy will do. A
    record that is bad everywhere and has nothing good behind it was never acknowledged (or was on no
    member that is left): it is cut. One that has good records behind it is rot: it is mended from
    another member and never cut; where no member has it, the start fails and says so.
 9. A drive outside the roster has nothing to say about the chain. It becomes a member by copying all
    of it, read back, and by a new roster. What it held before stays until the copy is whole.
10. A drive that was replaced (the identity files of the others say so: an operator's word that it never
    comes back) does not count as missing, nor for any quorum, where all other drives of the roster are
    there, and at most m were.

Why that is enough
 - Acknowledged records survive. By 2 and 3 an acknowledged record is on every member of the roster in
   force then; by 5 it is on every member of each later roster. A start finds the latest roster that
   counts (next point), so one member of it that is left suffices. Of the `copies` members at most m are
   gone; where the roster has shrunk, losing members is losing more than m copies of the recent past,
   which is why replacements are recruited at once.
 - The latest roster is found. It is durable on W drives; if fewer than W are missing, one of them is
   seen. Drives that join or leave do not weaken this: a roster counts only if it is durable on W of the
   drives of the one before as well as on W of its own, so whoever knows only the one before, and misses
   fewer than W of its drives, sees the later one.
 - Replaced drives (10). A start that knows of the replacement sees every drive that is left. One that does
    not know of it has none of those, since the word was written to all of them: it has replaced drives
    alone, m at most, and with n >= 2 m that is too few for a promise. With n < 2 m (1+2, 2+3) it would take
    a second server started on the very drives that were declared lost.
 - With n drives and m allowed to be gone: W = min(m + 1, n // 2 + 1). If n > 2 m, W = m + 1: every start
   that misses at most m drives is sure and can write, since n - m >= W drives are there. If n <= 2 m, W
   is a majority of the drives: a start that misses W or more of them may find a member and serve reads,
   but not commands; that is the price of never forking.
 - What was refused stays refused. A record rolled back (3) lies beyond the base of the roster that was
   durable before the refusal went out; by 6 and 7 no start prefers an older one.
 - A late drive changes nothing. Its roster is of an earlier epoch than one that is seen (rule 7), so its
   segments are not read (9). If it is the ONLY one seen, the start is not sure and takes no command.
 - An unacknowledged record on some member, the ledger having died in between, is rolled forward when
   that member is there at the start and void for ever when it is not: the roster of that start has its
   base at the end of the chain found.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from objstore import clock
from objstore.meta import drive_journal, segment
from objstore.meta.crew import Crew
from objstore.meta.drive_journal import DriveJournal
from objstore.meta.interface import MetaDrive, Unavailable
from objstore.meta.roster import Page, Roster
from objstore.meta.segment import HEADER_BYTES, Point, SegmentName

logger: Final = logging.getLogger(__name__)


class JournalLost(Exception):
    """The journal cannot go on and what became of the last record is open: stop; a start decides."""


class RolledBack(Unavailable):
    """Too few members took the record; it is void for good."""


class Journal:
    """The journal of a ledger that runs. For one thread at a time."""

    def __init__(
        self, roster: Roster, promised: int, end: Point, drives: Mapping[int, DriveJournal], crew: Crew
    ) -> None:
        """`roster` is the one found, in force until `start`; `drives` are all that are open; `promised`
        the incarnation that the ledger's epochs begin with."""
        self.roster = roster
        self.end = end
        self.drives = dict(drives)
        self.failed: dict[int, tuple[str, float]] = {}
        """Drives given up: the reason, and when (monotonic seconds)."""
        self._promised = promised
        self._crew = crew
        self._begin_segment()

    @property
    def is_writable(self) -> bool:
        """Whether enough members are left to take commands."""
        return len(self.roster.members) >= self.roster.majority

    @property
    def reason(self) -> str:
        """Why commands are not taken; empty where they are."""
        if self.is_writable:
            return ""
        members = self.roster.members
        return (
            f"{len(members)} of {self.roster.copies} journal drives "
            f"({', '.join(map(str, members)) or 'none'}) {'is' if len(members) == 1 else 'are'} left and "
            f"{self.roster.majority} are needed: reads go on; writes do when a drive is back or replaced "
            "(objstore drive replace)"
        )

    @property
    def members(self) -> list[DriveJournal]:
        """The drives that hold the journal."""
        return [self.drives[number] for number in self.roster.members]

    def append(self, issued: int, clock_ms: int, changeset: bytes) -> Point:
        """Make one more record durable on every member; the place after it.

        Raises Unavailable (nothing was written), RolledBack (what was written is void), JournalLost.
        """
        if not self.is_writable:
            raise Unavailable(self.reason)
        before = self.end
        after, pieces = segment.record(self.roster.epoch, before, issued, clock_ms, changeset)
        length = sum(map(len, pieces))
        if self._used + length > drive_journal.SEGMENT_BYTES:
            self._begin_segment()
        name, link = self._name, self._link
        failed = self._for_each(self.roster.members, lambda drive: partial(drive.append, name, link, pieces))
        self._used += length
        if failed:
            survivors = [number for number in self.roster.members if number not in failed]
            is_kept = len(survivors) >= self.roster.majority and self._change(after, survivors)
            if not is_kept:
                survivors = [number for number in survivors if number in self.drives]
                self._change(before, survivors)
                raise RolledBack(
                    f"{len(survivors)} journal drives took the record; {self.roster.majority} are needed"
                )
        self.end = after
        return after

    def roll(self) -> None:
        """Let the next record begin a new segment: those before it change no more."""
        self._begin_segment()

    def admit(self, drive: DriveJournal) -> None:
        """Make a drive that holds the whole chain a member. Raises JournalLost."""
        self.drives[drive.number] = drive
        self._change(self.end, {*self.roster.members, drive.number})

    def give_up(self, number: int, error: OSError) -> None:
        """Never ask this drive again; if it is a member, go on without it. Raises JournalLost."""
        self._discard(number, error)
        if number in self.roster.members:
            self._change(self.end, (member for member in self.roster.members if member != number))

    def check_in_place(self) -> None:
        """Give up the drives whose journal is no longer where it was. Raises JournalLost."""
        failed = self._for_each(self.drives, lambda drive: drive.check_in_place)
        if failed.keys() & set(self.roster.members):
            self._change(self.end, [member for member in self.roster.members if member not in failed])

    def welcome(self, found: MetaDrive, identity: str | None) -> DriveJournal | None:
        """Open a drive (again): it learns the roster and may become a member. None where it fails.

        `identity` is the uuid it had before, if it was seen before.
        """
        page = Page(self.roster, self._promised)

        def open_and_tell() -> DriveJournal:
            drive = DriveJournal.open(found, identity)
            try:
                drive.write_page(page)
            except BaseException:
                drive.close()
                raise
            return drive

        opened, failed = self._crew.run({found.number: open_and_tell})
        if found.number in failed:
            self.failed[found.number] = (str(failed[found.number]), clock.monotonic_s())
            return None
        self.failed.pop(found.number, None)
        self.drives[found.number] = opened[found.number]
        return opened[found.number]

    def belong(self, deployment: Iterable[int]) -> None:
        """These drives make up the deployment now; others are let go. Raises JournalLost."""
        belonging = set(deployment)
        for number in [number for number in self.drives if number not in belonging]:
            self._discard(number, OSError("it has left the deployment"))
        if tuple(sorted(belonging)) != self.roster.drives:
            members = [number for number in self.roster.members if number in self.drives]
            self._change(self.end, members, drives=belonging)

    def close(self) -> None:
        """Release every drive. What was appended is durable already."""
        for number, drive in self.drives.items():
            if number not in self._crew.silent:
                drive.close()
        self._crew.close()

    def start(self, roster: Roster) -> None:
        """Go on under a roster of this incarnation. Raises JournalLost when it cannot be made to count."""
        self._install(roster)

    def _change(self, base: Point, members: Iterable[int], drives: Iterable[int] | None = None) -> bool:
        """Go on with these members from `base`; whether they are a majority. Raises JournalLost."""
        self._install(self.roster.after(base, members, drives=drives))
        return self.is_writable

    def _install(self, candidate: Roster) -> None:
        """Make a roster durable and go on under it, without the members that fail meanwhile."""
        while True:
            if not candidate.members:
                raise JournalLost("no journal drive is left")
            page = Page(candidate, self._promised)
            failed = self._for_each(self.drives, _page_writer(page))
            if not failed.keys() & set(candidate.members):
                break
            left = tuple(number for number in candidate.members if number not in failed)
            candidate = replace(candidate, epoch=candidate.epoch + 1, members=left)
        if not (self.roster.has_quorum(self.drives) and candidate.has_quorum(self.drives)):
            raise JournalLost(
                f"{len(self.drives)} drives took the roster; {candidate.write_quorum} are needed"
            )
        logger.info(
            "journal roster",
            extra={"epoch": candidate.epoch, "members": candidate.members, "before": self.roster.members},
        )
        self.roster = candidate
        self.end = candidate.base
        self._begin_segment()

    def _begin_segment(self) -> None:
        """The next record goes into a new segment; each member makes the file when it comes."""
        self._name = SegmentName(self.roster.epoch, self.end.sequence + 1)
        self._link = self.end.checksum
        self._used = HEADER_BYTES

    def _for_each(
        self, numbers: Iterable[int], task: Callable[[DriveJournal], Callable[[], None]]
    ) -> dict[int, OSError]:
        """Run a task on these drives side by side; those that failed are given up."""
        _, failed = self._crew.run({number: task(self.drives[number]) for number in numbers})
        for number, error in failed.items():
            self._discard(number, error)
        return failed

    def _discard(self, number: int, error: OSError) -> None:
        logger.error("journal drive failed", extra={"drive": number, "error": str(error)})
        self.failed[number] = (str(error), clock.monotonic_s())
        drive = self.drives.pop(number)
        if number not in self._crew.silent:
            drive.close()


def _page_writer(page: Page) -> Callable[[DriveJournal], Callable[[], None]]:
    return lambda drive: partial(drive.write_page, page)
