"""How a ledger starts: find the roster, the chain and the index, and make them agree. Rules: journal.py."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import apsw

from objstore.meta import index, position, roster, snapshot
from objstore.meta.crew import Crew
from objstore.meta.drive_journal import DriveJournal
from objstore.meta.index import INDEX_DIRECTORY, IndexDirectory, LedgerDatabase
from objstore.meta.interface import Database, MetadataError, MetaDrive
from objstore.meta.journal import Journal, JournalLost
from objstore.meta.position import ORIGIN, Position
from objstore.meta.recovery import Chain, JournalDamaged, JournalMissing, Pages, read_pages
from objstore.meta.roster import Page, Roster
from objstore.meta.segment import Point, Record

logger: Final = logging.getLogger(__name__)

SNAPSHOT_TEMPORARY: Final = "snapshot.tmp"
REPLAY_RECORDS: Final = 500
"""Records applied in one transaction of a replay."""


class Schema(Protocol):
    """What brings a database to this program's tables: the module objstore.meta.schema, or a test's own."""

    @property
    def VERSION(self) -> int: ...

    def install(self, db: Database, /) -> int: ...


Survey = Callable[[], tuple[Sequence[MetaDrive], Sequence[int]]]
"""The drives that are usable now, and the numbers of all that belong to the deployment. Quick; any thread."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """What a ledger is told. Times in seconds."""

    drives: tuple[MetaDrive, ...]
    """The drives that are usable now."""
    deployment: tuple[int, ...]
    """Numbers of all drives that belong to the deployment now, with those that are away."""
    copies: int
    """m + 1: drives that hold the journal."""
    socket_path: str = ""
    index_directory: str | None = None
    is_new: bool = True
    """Nothing but what formatting makes lies on the drives: where no journal is found either, a new one
    may be begun."""
    rebuild_index: bool = False
    """Trust no index that is there: build it anew from snapshot and journal."""
    boot_id: str | None = None
    """Tells one run of the machine from the next; None: ask the system."""
    survey: Survey | None = None
    """Asked now and then which drives are usable and which belong; None: nothing ever changes."""
    drive_timeout_s: float = 10.0
    """A journal drive that has not synced by then has failed."""
    is_parallel: bool = True
    """Whether journal drives are written side by side and upkeep runs in a thread (not: tests)."""


@dataclass(slots=True)
class Index:
    """An open index."""

    directory: IndexDirectory
    path: Path
    connection: apsw.Connection
    position: Position


@dataclass(slots=True)
class Started:
    """What a ledger goes on with."""

    index: Index
    roster: Roster
    journal: Journal | None
    """None: reads only, for the reason given."""
    reason: str
    drives: dict[int, DriveJournal]
    """The open drives; with a journal, its own."""
    identities: dict[int, str]
    """Each drive's uuid."""
    directories: list[IndexDirectory]
    boot_id: str
    needs_snapshot: bool = False
    """The journal behind the newest snapshot has a hole that the index does not have."""

    def close(self, crew: Crew) -> None:
        """Release drives and directories. The index's connection is its user's to close."""
        for number, drive in self.drives.items():
            if number not in crew.silent:
                drive.close()
        for directory in self.directories:
            directory.close()
        crew.close()


def start(settings: LedgerSettings, schema: Schema, crew: Crew) -> Started:
    """Bring up journal and index. Nothing is changed on any drive before it is known what counts.

    Raises JournalMissing, JournalDamaged, UnknownFormat, SchemaUnknown, and OSError where no drive at
    all can be used.
    """
    drives = _open_drives(settings.drives)
    identities = {number: drive.identity for number, drive in drives.items()}
    pages, failed = read_pages(drives)
    for number, error in failed.items():
        logger.error("journal drive failed", extra={"drive": number, "error": str(error)})
        drives.pop(number).close()
    starting = _Start(settings, schema, crew, drives, identities, pages)
    try:
        return starting.run()
    except BaseException:
        starting.abandon()
        raise


def _open_drives(found: Iterable[MetaDrive]) -> dict[int, DriveJournal]:
    drives: dict[int, DriveJournal] = {}
    for drive in found:
        try:
            drives[drive.number] = DriveJournal.open(drive)
        except OSError as exc:
            logger.error("journal drive cannot be opened", extra={"drive": drive.number, "error": str(exc)})
    return drives


class _Start:
    def __init__(
        self,
        settings: LedgerSettings,
        schema: Schema,
        crew: Crew,
        drives: dict[int, DriveJournal],
        identities: dict[int, str],
        pages: Pages,
    ) -> None:
        self.settings = settings
        self.schema = schema
        self.crew = crew
        self.drives = drives
        self.identities = identities
        self.pages = pages
        self.boot_id = index.boot_id() if settings.boot_id is None else settings.boot_id
        self.incarnation = pages.promised + 1
        self.epoch = roster.first_epoch(self.incarnation)
        self.directories: list[IndexDirectory] = []
        self.index: Index | None = None
        self.unwritable: dict[int, DriveJournal] = {}
        """Drives that can still be read from while the chain is mended, and are let go then."""

    def run(self) -> Started:
        found = self.pages.roster
        if found is None or (not found.is_sure(self.pages.seen) and self._is_unfinished_creation(found)):
            return self._create()
        found = self._without_replaced(found)
        if found.schema > self.schema.VERSION:
            raise roster.UnknownFormat(
                f"metadata has schema version {found.schema}; this program knows up to {self.schema.VERSION}"
            )
        members = {number: self.drives[number] for number in found.members if number in self.drives}
        chain = Chain(found, members)
        if not chain.members:
            raise JournalMissing(
                f"none of the drives that hold the journal ({_listed(found.members)}) is here"
            )
        return self._recover(found, chain)

    def abandon(self) -> None:
        """Release everything after a failure."""
        if self.index is not None:
            self.index.connection.close()
        for directory in self.directories:
            directory.close()
        self._close_unwritable()
        for number, drive in self.drives.items():
            if number not in self.crew.silent:
                drive.close()

    def _close_unwritable(self) -> None:
        for number, drive in self.unwritable.items():
            if number not in self.crew.silent:
                drive.close()
        self.unwritable.clear()

    def _without_replaced(self, found: Roster) -> Roster:
        """The roster without drives that no longer belong, where all its other drives are here (rule 10)."""
        gone = set(found.drives) - set(self.settings.deployment)
        rest = set(found.drives) - gone
        if not gone or len(gone) >= found.copies or not rest or not rest <= self.pages.seen:
            return found
        logger.warning("drives of the roster were replaced", extra={"drives": sorted(gone)})
        return replace(found, drives=tuple(sorted(rest)))

    # A deployment without a journal

    def _is_unfinished_creation(self, found: Roster) -> bool:
        """Whether the journal's very first start was cut short: nothing was ever committed under it."""
        if not self._is_complete or found.base.sequence:
            return False
        members = [self.drives.get(number) for number in found.members]
        return all(
            member is not None
            and not member.segments()
            and [name.sequence for name in snapshot.names(member)] == [0]
            for member in members
        )

    @property
    def _is_complete(self) -> bool:
        """Whether every drive of the deployment is here."""
        return set(self.drives) >= set(self.settings.deployment)

    def _create(self) -> Started:
        if not (self.settings.is_new and self._is_complete):
            raise JournalMissing(
                f"no journal is found on {len(self.drives)} of {len(self.settings.deployment)} drives, "
                "and they are not new"
            )
        if self.pages.roster is None and any(
            drive.segments() or any(name.sequence for name in snapshot.names(drive))
            for drive in self.drives.values()
        ):
            raise JournalMissing("there are journal files but no roster that says which of them count")
        copies = min(self.settings.copies, len(self.drives))
        members = sorted(self.drives)[:copies]
        first = roster.new(self.incarnation, members, self.drives, copies, self.schema.VERSION)
        if not self._promise(first, None):
            raise JournalLost("too few drives can be written to begin a journal")
        self.index = self._build_new()
        self._publish_snapshot(members)
        journal = Journal(first, self.incarnation, first.base, self.drives, self.crew)
        journal.start(first)
        return self._started(first, journal, "")

    # A journal is there

    def _recover(self, found: Roster, chain: Chain) -> Started:
        is_sure = found.is_sure(self.pages.seen)
        trusted = self._find_trusted_index(found)
        is_promoted = False
        try:
            end = chain.find_end()
        except JournalDamaged as exc:
            if trusted is None or trusted.position.point.sequence < exc.highest or not is_sure:
                raise
            logger.error("the journal is damaged; the index holds what it lost", extra={"error": str(exc)})
            end, is_promoted = trusted.position.point, True
        if trusted is not None and trusted.position.point.sequence > end.sequence and is_sure:
            logger.error("the index is ahead of the journal; it holds what the journal lost")
            end, is_promoted = trusted.position.point, True
        self.index = self._bring_to(trusted, found, chain, end)
        if not is_sure:
            missing = [number for number in found.drives if number not in self.pages.seen]
            reason = (
                f"drives {_listed(missing)} (of {_listed(found.drives)}) are away and may know of later "
                "changes: what is here can be read; writes go on when they are back or replaced "
                "(objstore drive replace)"
            )
            return self._started(found, None, reason)
        return self._take_over(found, chain, end, is_promoted)

    def _take_over(self, found: Roster, chain: Chain, end: Point, is_promoted: bool) -> Started:
        """Begin an epoch of our own on what was found."""
        if not self._promise(found, found):
            away = {number for number in found.drives if number not in self.drives}
            reason = (
                f"drives {_listed(away)} (of {_listed(found.drives)}) are away or cannot be written: what is "
                "here can be read; writes go on when they are back or replaced (objstore drive replace)"
            )
            return self._started(found, None, reason)
        chain.mend()
        for number in chain.failed:
            if number in self.drives:
                self.unwritable[number] = self.drives.pop(number)
        self._close_unwritable()
        members = sorted(number for number in chain.members if number in self.drives)
        if not members:
            return self._started(found, None, "no journal drive can be written")
        must_publish = is_promoted or found.schema != self.schema.VERSION
        if must_publish:
            self._migrate()
            self._publish_snapshot(members)
            members = [number for number in members if number in self.drives]
        everywhere = {*self.drives, *self.settings.deployment}
        next_roster = replace(
            found,
            epoch=self.epoch,
            base=end,
            members=tuple(members),
            drives=tuple(sorted(everywhere)),
            copies=min(self.settings.copies, len(everywhere)),
            schema=self.schema.VERSION,
        )
        journal = Journal(found, self.incarnation, end, self.drives, self.crew)
        try:
            journal.start(next_roster)
        except JournalLost as exc:
            return self._started(found, None, str(exc))
        self.drives = journal.drives
        started = self._started(next_roster, journal, "")
        started.needs_snapshot = bool(chain.damaged)
        if must_publish:
            self._forget_older(members)
        return started

    def _promise(self, told: Roster, found: Roster | None) -> bool:
        """Make sure that no other ledger can ever begin this incarnation."""
        page = Page(found, self.incarnation)
        _, failed = self.crew.run(
            {number: partial(drive.write_page, page) for number, drive in self.drives.items()}
        )
        for number, error in failed.items():
            logger.error("journal drive failed", extra={"drive": number, "error": str(error)})
            self.unwritable[number] = self.drives.pop(number)
        return told.has_promise_quorum(self.drives) and told.has_quorum(self.drives)

    def _started(self, told: Roster, journal: Journal | None, reason: str) -> Started:
        assert self.index is not None
        self._close_unwritable()
        return Started(
            index=self.index,
            roster=told,
            journal=journal,
            reason=reason,
            drives=self.drives,
            identities=self.identities,
            directories=self.directories,
            boot_id=self.boot_id,
        )

    # The index

    def _candidate_paths(self) -> Iterator[Path]:
        if self.settings.index_directory is not None:
            yield Path(self.settings.index_directory)
        for _, drive in sorted(self.drives.items()):
            yield Path(drive.drive.path) / INDEX_DIRECTORY

    def _find_trusted_index(self, found: Roster) -> Index | None:
        """The trusted index that is furthest; the others are given up."""
        best: Index | None = None
        for directory in self._existing_directories():
            is_wanted = self.settings.index_directory in (None, str(directory.path))
            may_open = is_wanted and not self.settings.rebuild_index
            opened = self._open_trusted(directory, found) if may_open else None
            if opened is None:
                continue
            if best is None or opened.position.point.sequence > best.position.point.sequence:
                best, opened = opened, best
            if opened is not None:
                opened.connection.close()
        return best

    def _existing_directories(self) -> Iterator[IndexDirectory]:
        for path in self._candidate_paths():
            try:
                yield self._directory(path, must_exist=True)
            except FileNotFoundError:
                continue
            except OSError as exc:
                logger.warning("index directory cannot be used", extra={"path": str(path), "error": str(exc)})

    def _open_trusted(self, directory: IndexDirectory, found: Roster) -> Index | None:
        try:
            state = directory.read_state()
            path = directory.find_trusted(self.boot_id)
            if path is None or state is None:
                return None
            connection = index.connect(path)
        except (OSError, apsw.Error) as exc:
            logger.warning("index cannot be opened", extra={"path": str(directory.path), "error": str(exc)})
            return None
        try:
            stands = position.read(LedgerDatabase(connection, 0))
            is_current = stands is not None and index.schema_version(connection) == found.schema
            if stands is not None and is_current and (state.is_clean or index.is_sound(connection)):
                return Index(directory, path, connection, stands)
            logger.warning("index is not sound", extra={"path": str(path)})
        except apsw.Error as exc:
            logger.warning("index is damaged", extra={"path": str(path), "error": str(exc)})
        connection.close(True)
        return None

    def _bring_to(self, trusted: Index | None, found: Roster, chain: Chain, end: Point) -> Index:
        """An index that stands at `end`: the trusted one moved on, or one built anew."""
        if trusted is not None:
            try:
                trusted.directory.begin_use(trusted.path, self.boot_id)
                replay(trusted, chain, end)
                self._drop_other_indexes(trusted)
                return trusted
            except (JournalDamaged, apsw.Error, OSError) as exc:
                logger.warning("index is rebuilt", extra={"path": str(trusted.path), "reason": str(exc)})
                trusted.connection.close(True)
                trusted.directory.distrust()
        return self._rebuild(found, chain, end)

    def _rebuild(self, found: Roster, chain: Chain, end: Point) -> Index:
        """An index at `end` built from the newest snapshot that serves, where there is room for it."""
        sources = {
            (name, number)
            for number, drive in chain.members.items()
            for name in _names_or_none(drive)
            if name.schema == found.schema and name.sequence <= end.sequence
        }
        reason = "no snapshot is left"
        for name, number in sorted(sources, key=lambda each: (-each[0].sequence, each[1])):
            for path in self._candidate_paths():
                try:
                    directory = self._directory(path)
                    rebuilt = self._restore(chain.members[number], name, directory)
                    replay(rebuilt, chain, end)
                except (JournalDamaged, _BadSnapshot) as exc:
                    reason = f"snapshot {name} on drive {number}: {exc}"
                    logger.error("index cannot be rebuilt from a snapshot", extra={"reason": reason})
                    break
                except (OSError, apsw.Error) as exc:  # a sync that failed, too: build it elsewhere
                    reason = f"{path}: {exc}"
                    logger.warning("index cannot be built here", extra={"reason": reason})
                    continue
                logger.info("index rebuilt", extra={"path": str(rebuilt.path), "sequence": end.sequence})
                self._drop_other_indexes(rebuilt)
                return rebuilt
        raise JournalDamaged(f"the index cannot be rebuilt: {reason}")

    def _restore(self, drive: DriveJournal, name: snapshot.SnapshotName, directory: IndexDirectory) -> Index:
        """A new index from a snapshot. Raises _BadSnapshot, OSError, apsw.Error."""
        path = directory.new_path()
        directory.begin_use(path, self.boot_id)
        stands = snapshot.restore(drive, name, directory.descriptor, path.name)
        if stands is None:
            raise _BadSnapshot("it is damaged")
        connection = index.connect(path)
        if position.read(LedgerDatabase(connection, 0)) != stands:
            connection.close(True)
            raise _BadSnapshot("its database stands elsewhere than its header says")
        return Index(directory, path, connection, stands)

    def _build_new(self) -> Index:
        """An empty index in the first directory that takes it. Raises OSError, apsw.Error."""
        error: Exception = OSError("there is no directory for the index")
        for path in self._candidate_paths():
            try:
                directory = self._directory(path)
                new_path = directory.new_path()
                directory.begin_use(new_path, self.boot_id)
                connection = index.connect(new_path, is_new=True)
                _in_transaction(connection, self._lay_out)
            except (OSError, apsw.Error) as exc:
                logger.warning("index cannot be built here", extra={"path": str(path), "error": str(exc)})
                error = exc
                continue
            return Index(directory, new_path, connection, ORIGIN)
        raise error

    def _directory(self, path: Path, *, must_exist: bool = False) -> IndexDirectory:
        for directory in self.directories:
            if directory.path == path:
                return directory
        directory = IndexDirectory(path, must_exist=must_exist)
        self.directories.append(directory)
        return directory

    def _lay_out(self, db: LedgerDatabase) -> None:
        self.schema.install(db)
        position.write(db, ORIGIN)

    def _migrate(self) -> None:
        assert self.index is not None
        _in_transaction(self.index.connection, self.schema.install)

    def _drop_other_indexes(self, kept: Index) -> None:
        for directory in self._existing_directories():
            directory.drop_others(kept.path if directory is kept.directory else None)

    # Snapshots at the start

    def _publish_snapshot(self, members: Iterable[int]) -> None:
        """Put a snapshot of the index as it is on these drives; those that fail are closed."""
        assert self.index is not None
        told, path = take(self.index)
        try:
            for number in list(members):
                try:
                    snapshot.put_from_file(self.drives[number], told, path)
                except OSError as exc:
                    logger.error("journal drive failed", extra={"drive": number, "error": str(exc)})
                    self.drives.pop(number).close()
        finally:
            self.index.directory.remove(path.name)

    def _forget_older(self, members: Iterable[int]) -> None:
        """Drop what a snapshot of another schema, or a journal with a hole, can no longer be used for."""
        assert self.index is not None
        kept = snapshot.SnapshotName(self.index.position.point.sequence, self.schema.VERSION)
        for number in members:
            drive = self.drives.get(number)
            if drive is not None:
                snapshot.drop(drive, [name for name in snapshot.names(drive) if name != kept])
                drive.drop_segments(list(drive.segments()))


class _BadSnapshot(MetadataError):
    pass


def take(source: Index) -> tuple[snapshot.Header, Path]:
    """A snapshot of an index in a file beside it, and its header. May run beside commits.

    Raises apsw.Error, OSError.
    """
    path = source.directory.path / SNAPSHOT_TEMPORARY
    source.directory.remove(path.name)
    connection = apsw.Connection(str(source.path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.execute("VACUUM INTO ?", (str(path),))
    finally:
        connection.close()
    copy = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        stands, schema = position.read(LedgerDatabase(copy, 0)), index.schema_version(copy)
    finally:
        copy.close()
    assert stands is not None and schema is not None
    return snapshot.describe(path, schema, stands), path


def replay(target: Index, chain: Chain, end: Point) -> None:
    """Bring an index to `end` of the chain.

    Raises JournalDamaged when a record is missing or does not fit the rows it was made from; OSError,
    apsw.Error.
    """
    records = chain.replay_from(target.position.point, end)
    while batch := list(islice(records, REPLAY_RECORDS)):
        try:
            _in_transaction(target.connection, lambda db, batch=batch: _apply(db, batch))
        except apsw.AbortError as exc:
            sequences = f"{batch[0].sequence} to {batch[-1].sequence}"
            raise JournalDamaged(f"a journal record of {sequences} does not fit the index") from exc
        target.position = Position.after(batch[-1])
    assert target.position.point == end


def _apply(db: LedgerDatabase, records: list[Record]) -> None:
    for record in records:
        if record.changeset:
            apsw.Changeset.apply(record.changeset, db.connection)
    position.write(db, Position.after(records[-1]))


def _in_transaction(connection: apsw.Connection, work: "Work") -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        work(LedgerDatabase(connection, 0))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Work(Protocol):
    def __call__(self, db: LedgerDatabase, /) -> object: ...


def _names_or_none(drive: DriveJournal) -> list[snapshot.SnapshotName]:
    try:
        return snapshot.names(drive)
    except OSError:
        return []


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"
