"""What a start finds on the drives, and how the chain is put together from it. Decides by journal.py's rules.

Reading and mending only: nothing here changes who is a member.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from objstore.meta import segment
from objstore.meta.drive_journal import DriveJournal
from objstore.meta.interface import MetadataError
from objstore.meta.roster import Page, Roster
from objstore.meta.segment import HEADER_BYTES, Point, Record, SegmentName

logger: Final = logging.getLogger(__name__)


class JournalDamaged(MetadataError):
    """Records that were acknowledged cannot be read on any drive that is here. Nothing was changed."""

    highest = 0
    """The highest sequence of a good record seen behind the damage."""


class JournalMissing(MetadataError):
    """None of the drives that hold the journal is here. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The roster pages found on the drives that are here."""

    by_drive: Mapping[int, Page]

    @property
    def roster(self) -> Roster | None:
        """The highest roster any drive knows."""
        rosters = [page.roster for page in self.by_drive.values() if page.roster is not None]
        return max(rosters, key=lambda roster: roster.epoch, default=None)

    @property
    def promised(self) -> int:
        """The highest incarnation any drive knows to have begun."""
        return max((page.promised for page in self.by_drive.values()), default=0)

    @property
    def seen(self) -> set[int]:
        """The drives that have a roster to show."""
        return {number for number, page in self.by_drive.items() if page.roster is not None}


def read_pages(drives: Mapping[int, DriveJournal]) -> tuple[Pages, dict[int, OSError]]:
    """The pages of these drives, and the drives that could not be read. Raises UnknownFormat."""
    found: dict[int, Page] = {}
    failed: dict[int, OSError] = {}
    for number, drive in drives.items():
        try:
            page = drive.read_page()
        except OSError as exc:
            failed[number] = exc
            continue
        if page is not None:
            found[number] = page
    return Pages(found), failed


@dataclass(frozen=True, slots=True)
class Section:
    """One segment of the chain as put together from all members."""

    name: SegmentName
    start: Point | None
    """The place its first record follows; None when neither header nor record tells."""
    records: tuple[Record, ...]
    wrong: tuple[int, ...]
    """Members whose file is absent or differs from these bytes otherwise than by zeros behind them."""
    damaged_at: int | None
    """The sequence of a record that is bad everywhere while good ones follow; those are not in `records`."""
    highest: int
    """The highest sequence that this segment certainly held or must have held."""

    @property
    def data(self) -> bytes:
        """The segment's bytes as every member should have them."""
        assert self.start is not None
        header = segment.header(self.name, self.start.checksum)
        return header + b"".join(record.raw for record in self.records)


class Chain:
    """The chain under one roster, read from those of its members that are here, segment by segment."""

    def __init__(self, roster: Roster, members: Mapping[int, DriveJournal]) -> None:
        """Reads the directories only. Raises OSError when none of the members can be read."""
        self._roster = roster
        self.members = dict(members)
        self.failed: dict[int, OSError] = {}
        self._lengths: dict[int, dict[SegmentName, int]] = {}
        for number, drive in members.items():
            try:
                self._lengths[number] = drive.segments()
            except OSError as exc:
                self._give_up(number, exc)
        names = {name for lengths in self._lengths.values() for name in lengths}
        self._names = sorted(name for name in names if name.epoch <= roster.epoch)
        self._bounds = self._compute_bounds()
        self._last: Section | None = None
        self._is_agreed: dict[SegmentName, bool] = {}
        self.damaged: dict[SegmentName, int] = {}
        """Segments that no longer can be put together, and the sequence of the first record lost."""

    def _compute_bounds(self) -> dict[SegmentName, int | None]:
        """The last sequence each segment can speak of: a later segment, or the base, voids the rest."""
        bounds: dict[SegmentName, int | None] = {}
        bound: int | None = None
        for name in reversed(self._names):
            if name.epoch < self._roster.epoch:
                base = self._roster.base.sequence
                bound = base if bound is None else min(bound, base)
            bounds[name] = bound
            bound = name.first - 1 if bound is None else min(bound, name.first - 1)
        return bounds

    @property
    def names(self) -> list[SegmentName]:
        """The segments that can hold records of the chain, in its order."""
        return [name for name in self._names if self._holds_something(name)]

    @property
    def void(self) -> list[SegmentName]:
        """Segments all of whose records are void or were never written."""
        return [name for name in self._names if not self._holds_something(name)]

    def _holds_something(self, name: SegmentName) -> bool:
        bound = self._bounds[name]
        return bound is None or name.first <= bound

    def section(self, name: SegmentName) -> Section:
        """One segment, put together from the members that are here."""
        if self._last is None or self._last.name != name:
            self._last = self._assemble(name)
            self._is_agreed[name] = not self._last.wrong and self._last.damaged_at is None
        return self._last

    def _assemble(self, name: SegmentName) -> Section:
        files: dict[int, bytes | None] = {}
        for number in list(self.members):
            try:
                files[number] = self.members[number].read_segment(name)
            except OSError as exc:
                self._give_up(number, exc)
        distinct = {data for data in files.values() if data is not None}
        candidates: dict[int, Record] = {}
        start: Point | None = None
        for data in distinct:
            head = segment.parse_header(data)
            if head is not None and head[0] == name:
                start = Point(name.first - 1, head[1])
            for record in segment.parse(name, data).records:
                candidates.setdefault(record.sequence, record)
        first = candidates.get(name.first)
        if start is None and first is not None:
            start = Point(name.first - 1, first.link)
        records = self._run(name, start, candidates)
        following = name.first + len(records)
        bound = self._bounds[name]
        if bound is None:
            is_damaged = any(sequence >= following for sequence in candidates)
        else:
            is_damaged = following <= bound
        highest = max(candidates, default=0) if bound is None else bound
        section = Section(name, start, records, (), following if is_damaged else None, highest)
        if start is None:
            return replace(section, wrong=tuple(files))
        data_wanted = section.data
        return replace(
            section, wrong=tuple(number for number, data in files.items() if not _agrees(data, data_wanted))
        )

    def _run(
        self, name: SegmentName, start: Point | None, candidates: Mapping[int, Record]
    ) -> tuple[Record, ...]:
        """The linked records from the segment's first on, as far as they go and are not void."""
        records: list[Record] = []
        bound = self._bounds[name]
        before = start
        while before is not None and (bound is None or before.sequence < bound):
            record = candidates.get(before.sequence + 1)
            if record is None or record.link != before.checksum:
                break
            records.append(record)
            before = record.point
        return tuple(records)

    def find_end(self) -> Point:
        """The place after the last record of the chain: in the roster's own epoch, or its base.

        Raises JournalDamaged.
        """
        for name in reversed([name for name in self.names if name.epoch == self._roster.epoch]):
            section = self.section(name)
            if section.damaged_at is not None:
                error = JournalDamaged(
                    f"journal record {section.damaged_at} is damaged on every drive that is here"
                )
                error.highest = section.highest
                raise error
            if section.records:
                return section.records[-1].point
        return self._roster.base

    def replay_from(self, point: Point, end: Point) -> Iterator[Record]:
        """The records after `point` up to `end`, in order, each linked to the one before.

        Raises JournalDamaged when one is missing or `point` is not on this chain.
        """
        before = point
        names = self.names
        for index, name in enumerate(names):
            following = names[index + 1].first if index + 1 < len(names) else None
            if following is not None and following <= before.sequence + 1:
                continue
            for record in self.section(name).records:
                if record.sequence <= before.sequence:
                    continue
                if record.sequence != before.sequence + 1 or record.link != before.checksum:
                    break
                yield record
                before = record.point
        if before != end:
            raise JournalDamaged(f"no record links journal sequence {before.sequence} to {end.sequence}")

    def mend(self) -> None:
        """Make every member here hold the chain as far as it was read, and whole by the lengths of files.

        Void segments, torn tails and unfinished files go. Members that fail are in `failed` afterwards;
        segments of which no member has all records are in `damaged`.
        """
        for name in self.names:
            lengths = {self._lengths[number].get(name, -1) for number in self.members}
            if len(lengths) > 1 or not self._is_agreed.get(name, True):
                self._mend_section(self.section(name))
        needed = set(self.names)
        for number, drive in list(self.members.items()):
            try:
                drive.drop_unfinished()
                drive.drop_segments([name for name in self._lengths[number] if name not in needed])
            except OSError as exc:
                self._give_up(number, exc)

    def _mend_section(self, section: Section) -> None:
        if section.damaged_at is not None:
            self.damaged[section.name] = section.damaged_at
            return
        if section.start is None:
            return
        for number in section.wrong:
            drive = self.members.get(number)
            if drive is None:
                continue
            logger.warning("mending the journal", extra={"drive": number, "segment": str(section.name)})
            try:
                drive.put_segment(section.name, section.data)
            except OSError as exc:
                self._give_up(number, exc)

    def _give_up(self, number: int, error: OSError) -> None:
        self.failed[number] = error
        self.members.pop(number, None)


def _agrees(data: bytes | None, wanted: bytes) -> bool:
    """Whether a member's file holds these bytes and nothing behind them but zeros or nothing."""
    if data is None or not data.startswith(wanted):
        return False
    return data.count(0, len(wanted)) == len(data) - len(wanted) and len(data) >= HEADER_BYTES
