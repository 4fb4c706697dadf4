"""One drive's part in the journal: its directories, its roster page, its segments.

Nothing here decides anything: what the copies on several drives mean together is journal.py (while
the ledger runs) and recovery.py (when it starts). An OSError from any method means that this drive
can no longer be trusted with the journal until it is opened again and copied to.
"""

import errno
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final, Self

from objstore import durable
from objstore.meta import roster, segment
from objstore.meta.interface import MetaDrive
from objstore.meta.segment import SegmentName

SEGMENT_BYTES: Final = 16 << 20
"""A segment is full when the next record would end past this; space for it is reserved ahead."""
_SMALL_RESERVE_BYTES: Final = 1 << 20
"""What is tried on a drive too full for a whole segment."""
JOURNAL_DIRECTORY: Final = "journal"
SNAPSHOT_DIRECTORY: Final = "snapshots"
IDENTITY_NAME: Final = "objstore.json"
"""Belongs to the blob store; only the drive's uuid is read here, to tell whether it is the same drive."""
TEMPORARY_SUFFIX: Final = ".tmp"


class ForeignDrive(OSError):
    """Another drive lies at this path than the one that was there when the ledger started."""


class DriveJournal:
    """The journal and snapshot directories of one drive. For one thread at a time."""

    def __init__(self, drive: MetaDrive, root: int, journal: int, snapshots: int, identity: str) -> None:
        self.number = drive.number
        self.drive = drive
        self.journal = journal
        self.snapshots = snapshots
        self.identity = identity
        self.root = root
        self._open_name: SegmentName | None = None
        self._segment = -1
        self._used = 0

    @classmethod
    def open(cls, drive: MetaDrive, identity: str | None = None) -> Self:
        """The drive's directories, made where absent.

        `identity` is the uuid its identity file told before (None: not seen before); nothing is made on
        a drive where it tells another. Raises ForeignDrive, OSError.
        """
        root = durable.open_root(drive.path)
        try:
            found = _uuid_of(root)
            if identity is not None and found != identity:
                raise ForeignDrive(f"{drive.path} is not drive {drive.number} any more")
            for name in (JOURNAL_DIRECTORY, SNAPSHOT_DIRECTORY):
                durable.make_directory(root, name)
            durable.sync_directory(root)
            journal = durable.open_directory(root, JOURNAL_DIRECTORY)
            snapshots = durable.open_directory(root, SNAPSHOT_DIRECTORY)
        except BaseException:
            durable.close(root)
            raise
        return cls(drive, root, journal, snapshots, found)

    def close(self) -> None:
        """Release the descriptors; the open segment gives back the space reserved behind its records."""
        self._end_segment()
        for descriptor in (self.journal, self.snapshots, self.root):
            with suppress(OSError):
                durable.close(descriptor)

    # The roster page

    def read_page(self) -> roster.Page | None:
        """What the roster file says; None where it is absent or rotten. Raises UnknownFormat."""
        return roster.read(self.journal)

    def write_page(self, page: roster.Page) -> None:
        """Durable on return."""
        roster.write(self.journal, page)

    # Appending

    def append(self, name: SegmentName, link: bytes, pieces: Sequence[bytes]) -> None:
        """Add one record to the segment `name`, begun first if it is not the open one; durable on return."""
        length = sum(map(len, pieces))
        if name != self._open_name:
            self._begin_segment(name, segment.header(name, link), pieces, length)
            return
        durable.write_synced(self._segment, self._used, pieces)
        self._used += length

    def _begin_segment(self, name: SegmentName, header: bytes, pieces: Sequence[bytes], length: int) -> None:
        self._end_segment()
        descriptor = durable.create(self.journal, str(name))
        self._segment, self._open_name, self._used = descriptor, name, len(header) + length
        try:
            durable.allocate(descriptor, 0, max(SEGMENT_BYTES, self._used))
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            durable.allocate(descriptor, 0, max(_SMALL_RESERVE_BYTES, self._used))
        durable.write(descriptor, 0, [header, *pieces])
        durable.sync(descriptor)
        durable.sync_directory(self.journal)

    def _end_segment(self) -> None:
        if self._open_name is None:
            return
        descriptor, self._segment, self._open_name = self._segment, -1, None
        with suppress(OSError):  # what matters in it is durable: only zeros are cut
            durable.truncate(descriptor, self._used)
        with suppress(OSError):
            durable.close(descriptor)

    @property
    def open_segment(self) -> tuple[SegmentName, int] | None:
        """The segment being appended to and how many of its bytes are records, if any is open."""
        return None if self._open_name is None else (self._open_name, self._used)

    def check_in_place(self) -> None:
        """Raises ForeignDrive when the journal's directory, or the open segment, is no longer what lies at
        its path: what is appended would be durable and yet lost."""
        opened = [self.journal] if self._open_name is None else [self.journal, self._segment]
        for descriptor in opened:
            if not durable.is_in_place(descriptor):
                raise ForeignDrive(f"{durable.path_of(descriptor)} was removed or covered")

    # Whole segments

    def segments(self) -> dict[SegmentName, int]:
        """Every segment file here and its length, in no order."""
        found = {}
        for name in durable.names(self.journal):
            parsed = SegmentName.parse(name)
            if parsed is not None:
                found[parsed] = durable.length_of(self.journal, name)
        return found

    def read_segment(self, name: SegmentName) -> bytes | None:
        """A segment's bytes as they are; None when the file is absent."""
        try:
            return durable.read_file(self.journal, str(name))
        except FileNotFoundError:
            return None

    def put_segment(self, name: SegmentName, data: bytes) -> None:
        """Make the segment `name` hold exactly these bytes, durable and read back."""
        durable.write_file(self.journal, str(name), data)
        descriptor = durable.open_file(self.journal, str(name))
        try:
            durable.forget_cached(descriptor)
            if durable.read(descriptor, 0, len(data) + 1) != data:
                raise OSError(errno.EIO, f"segment {name} reads back otherwise than it was written")
        finally:
            durable.close(descriptor)

    def drop_segments(self, names: Sequence[SegmentName]) -> None:
        """Remove segments that nothing needs any more. Absent ones are fine. Durable some time later."""
        for name in names:
            with suppress(FileNotFoundError):
                durable.unlink(self.journal, str(name))

    def clear(self, *, keep: Collection[str] = ()) -> None:
        """Remove every segment, snapshot and unfinished file but those named: a stale copy goes. Durable."""
        for directory in (self.journal, self.snapshots):
            for name in durable.names(directory):
                if name != roster.ROSTER_NAME and name not in keep:
                    durable.unlink(directory, name)
            durable.sync_directory(directory)

    def drop_unfinished(self) -> None:
        """Remove temporary files that a crash left behind."""
        for directory in (self.journal, self.snapshots):
            for name in durable.names(directory):
                if name.endswith(TEMPORARY_SUFFIX):
                    with suppress(FileNotFoundError):
                        durable.unlink(directory, name)


def _uuid_of(root: int) -> str:
    """The uuid in a drive's identity file; empty where there is no such file or it cannot be read."""
    try:
        return str(json.loads(durable.read_file(root, IDENTITY_NAME))["uuid"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""
