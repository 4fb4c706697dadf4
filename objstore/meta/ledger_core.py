"""The ledger without its socket: commit batches of commands, in order, in one thread.

A batch is one SQLite transaction and one journal record. Order of things, and what a failure at each
point means (see journal.py for the record itself):

1. `BEGIN IMMEDIATE`; each command in a savepoint; the changeset is taken. A command that refuses is
   undone alone. Nothing is written anywhere yet: any failure here ends in ROLLBACK and Unavailable.
2. The record is durable on every journal drive. Before that: ROLLBACK, Unavailable. From here on the
   batch has happened, whatever becomes of the index.
3. The position is written and the transaction committed. A failure here (the index's drive is bad)
   leaves the index behind the journal: the ledger stops, answers OutcomeUnknown, and the next start
   brings the index up, elsewhere if need be.
4. Answers go out. Readers see the batch from 3 on, so nothing is ever seen that could vanish.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import apsw

from objstore import clock, metrics
from objstore.meta import index, position
from objstore.meta import schema as tables
from objstore.meta.crew import Crew
from objstore.meta.index import LedgerDatabase
from objstore.meta.index_sync import IndexNotWritten, IndexSync
from objstore.meta.interface import (
    Command,
    Conflict,
    MetadataError,
    OutcomeUnknown,
    Refusal,
    Row,
    Unavailable,
)
from objstore.meta.journal import JournalLost
from objstore.meta.position import Position
from objstore.meta.start import LedgerSettings, Schema, Started, start
from objstore.meta.upkeep import Upkeep
from objstore.shared_state import SharedState

logger: Final = logging.getLogger(__name__)

CHECKPOINT_PAGES: Final = 2000
"""The WAL is copied into the index past this: 8 MB, a few milliseconds."""
CHECKPOINT_PAGES_FORCED: Final = 20_000
"""Past this, readers are made to wait a moment so that the WAL can begin anew."""
INSPECT_S: Final = 10.0
"""Between two looks at an index that readers find damaged."""

_INDEX_FAULTS: Final = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)
"""After one of these the index is not trusted any more."""


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """How a ledger stands, for the operator."""

    is_writable: bool
    reason: str
    epoch: int
    sequence: int
    members: tuple[int, ...]
    copies: int
    drives: tuple[int, ...]
    failed_drives: dict[int, str]
    journal_bytes: int
    snapshot_sequence: int
    index_path: str


class LedgerCore:
    """A started ledger. Drive it from one thread: `commit` and `maintain` in turn, then `close`."""

    def __init__(
        self, started: Started, settings: LedgerSettings, shared: SharedState | None, crew: Crew
    ) -> None:
        self._started = started
        self._settings = settings
        self._shared = shared
        self._crew = crew
        self._index = started.index
        place = started.index.path.stat()
        self._index_place = (place.st_dev, place.st_ino)
        self._connection = started.index.connection
        self._execute = started.index.connection.execute
        self._journal = started.journal
        self._position = started.index.position
        self._database = LedgerDatabase(self._connection, self._position.issued)
        self._wal_pages = 0
        self._inspected_s = -INSPECT_S
        self._connection.set_wal_hook(self._note_wal_pages)
        self._upkeep = Upkeep(started, settings)
        self._sync = IndexSync(started.index.path, is_parallel=settings.is_parallel)
        self.failure: str | None = None
        """Why this ledger must stop and start anew; None while all is well."""
        self.told: list[Row] = []
        """What the last batch told those who listen."""

    @classmethod
    def open(
        cls, settings: LedgerSettings, shared: SharedState | None = None, schema: Schema = tables
    ) -> Self:
        """Recover, and be ready to commit (or at least to be read from). Raises what `start` raises."""
        crew = Crew(settings.drive_timeout_s, is_parallel=settings.is_parallel)
        try:
            started = start(settings, schema, crew)
        except BaseException:
            crew.close()
            raise
        bad = index.unjournalable_tables(started.index.connection)
        assert not bad, f"tables without a primary key that forbids NULL: {bad}"
        if started.reason:
            logger.error("the ledger takes no commands", extra={"reason": started.reason})
        self = cls(started, settings, shared, crew)
        self.maintain()
        return self

    @property
    def index_path(self) -> str:
        """Where readers find the index."""
        return str(self._index.path)

    @property
    def generation(self) -> int:
        """Stands for this index file; one built anew has another."""
        return index.generation_of(self._index.path)

    @property
    def is_upkeep_due(self) -> bool:
        """Whether `maintain` has something to do before its second is over."""
        return self._wal_pages >= CHECKPOINT_PAGES or self._upkeep.is_due

    def commit(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Decide and commit commands in order, all in one record; for each its result or an exception.

        `told` is then what they told of what was committed.
        Exceptions are values here: Refusal and Conflict from the command itself, Unavailable (nothing
        was written), OutcomeUnknown (`failure` is set then), MetadataError for a command with a defect.
        """
        self.told = []
        if self.failure is not None:
            return [Unavailable(self.failure)] * len(batch)
        if self._journal is None:
            return [Unavailable(self._started.reason)] * len(batch)
        began_s = clock.monotonic_s()
        try:
            outcomes = self._commit(batch)
        except Unavailable as exc:
            outcomes = [exc] * len(batch)
        except _IndexLost as exc:
            if isinstance(exc.__cause__, _INDEX_FAULTS):
                self._index.directory.distrust()
            outcomes = self._stop(f"the index cannot be used: {exc}", batch, is_written=exc.is_written)
        except JournalLost as exc:
            outcomes = self._stop(f"the journal cannot go on: {exc}", batch, is_written=True)
        except (
            Exception
        ) as exc:  # a defect of ours: how far the batch came, and on which drives, is not known
            logger.exception("a commit failed")
            outcomes = self._stop(f"a commit failed: {type(exc).__name__}", batch, is_written=True)
        metrics.LEDGER_BATCH_COMMANDS.observe(len(batch))
        metrics.LEDGER_COMMIT_SECONDS.observe(clock.monotonic_s() - began_s)
        return outcomes

    def _stop(self, reason: str, batch: Sequence[Command[Any]], *, is_written: bool) -> list[Any]:
        self.failure = reason
        logger.error("the ledger must start anew", extra={"reason": reason})
        return [(OutcomeUnknown if is_written else Unavailable)(reason)] * len(batch)

    def _commit(self, batch: Sequence[Command[Any]]) -> list[Any]:
        assert self._journal is not None
        before = self._position
        now_ms = max(clock.now_ms(), before.clock_ms)
        is_written = False
        self._database.told = []
        try:
            self._execute("BEGIN IMMEDIATE")
            session = apsw.Session(self._connection, "main")
            session.attach()
            try:
                outcomes = [self._decide(command, now_ms) for command in batch]
                changeset = session.changeset()
            finally:
                session.close()
            if not changeset:
                self._execute("ROLLBACK")
                self._database.issued = before.issued
                return outcomes
            point = self._journal.append(self._database.issued, now_ms, changeset)
            is_written = True
            after = Position(point, self._database.issued, now_ms)
            position.write(self._database, after)
            self._execute("COMMIT")
        except (Unavailable, JournalLost):
            self._undo(before)
            raise
        except apsw.Error as exc:
            if not is_written and not isinstance(exc, _INDEX_FAULTS):
                self._undo(before)
                raise Unavailable(f"index: {exc}") from exc
            raise _IndexLost(exc, is_written) from exc
        self.told = self._database.told
        self._position = self._index.position = after
        self._upkeep.journal_bytes += len(changeset)
        self._tell_others(batch, outcomes)
        return outcomes

    def _undo(self, before: Position) -> None:
        self._database.issued = before.issued
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except apsw.Error as exc:
            raise _IndexLost(exc, is_written=True) from exc

    def _decide(self, command: Command[Any], now_ms: int) -> Any:
        """One command in its savepoint: its result, or the exception that undid it."""
        self._execute("SAVEPOINT command")
        told_before = len(self._database.told)
        try:
            result = command.apply(self._database, now_ms)
        except (Refusal, Conflict) as exc:
            outcome: Any = exc
        except (*_INDEX_FAULTS, apsw.FullError):
            raise
        except Exception as exc:
            logger.exception("a command failed", extra={"command": type(command).__name__})
            outcome = MetadataError(f"{type(command).__name__} failed: {type(exc).__name__}")
        else:
            self._execute("RELEASE command")
            return result
        del self._database.told[told_before:]
        self._execute("ROLLBACK TO command")
        self._execute("RELEASE command")
        return outcome

    def _tell_others(self, batch: Sequence[Command[Any]], outcomes: Sequence[Any]) -> None:
        if self._shared is None:
            return
        for command, outcome in zip(batch, outcomes, strict=True):
            if command.advances_epoch and not isinstance(outcome, Exception):
                self._shared.advance_epoch()
                return

    def maintain(self) -> None:
        """What must be done between batches, and at least every second: checkpoints, snapshots, finding
        new journal drives. Takes milliseconds; longer work runs in a thread."""
        if self.failure is not None:
            return
        if not self._is_index_in_place():
            self._stop("the index is no longer where readers look for it", (), is_written=False)
            return
        try:
            self._checkpoint()
            self._sync.step(self._position.point.sequence)
            self._upkeep.step()
        except JournalLost as exc:
            self._stop(f"the journal cannot go on: {exc}", (), is_written=False)
        except (*_INDEX_FAULTS, IndexNotWritten) as exc:
            self._index.directory.distrust()
            self._stop(f"the index cannot be used: {exc}", (), is_written=False)
        if self._upkeep.restart_reason is not None:
            self._stop(self._upkeep.restart_reason, (), is_written=False)
        metrics.LEDGER_SEQUENCE.set(self._position.point.sequence)
        metrics.JOURNAL_BYTES.set(self._upkeep.journal_bytes)
        metrics.JOURNAL_DRIVES.set(len(self._journal.roster.members) if self._journal else 0)

    def _is_index_in_place(self) -> bool:
        """Whether the file that readers open is still the one written here: its drive may have gone away,
        and the open descriptor would not show it."""
        try:
            now = self._index.path.stat()
        except OSError:
            return False
        return (now.st_dev, now.st_ino) == self._index_place

    def take_snapshot(self) -> None:
        """Have a snapshot taken by the next `maintain`, however short the journal is."""
        self._upkeep.want_snapshot()

    def verify_journal(self, callback: Callable[[list[str]], None], *, is_deep: bool = False) -> None:
        """Have every byte of journal and snapshots read and mended; `callback` is told what was found, by
        a later `maintain`. Deep: the index is compared with the journal, too; where it differs, the
        ledger stops for a rebuild."""
        if self._journal is None or self.failure is not None:
            callback([self.failure or self._started.reason])
        else:
            self._upkeep.want_verification(callback, is_deep=is_deep)

    def rebuild_index(self) -> None:
        """Stop, and have the next start trust no index: it builds one from snapshot and journal."""
        if self.failure is None:
            self._index.directory.distrust()
            self._stop("the index is to be built anew", (), is_written=False)

    def inspect_index(self) -> None:
        """A reader found the index damaged: look (not too often), and stop for a rebuild if it is."""
        now_s = clock.monotonic_s()
        if self.failure is not None or now_s < self._inspected_s + INSPECT_S:
            return
        self._inspected_s = now_s
        if not index.is_sound(self._connection):
            self._index.directory.distrust()
            self._stop("the index is damaged", (), is_written=False)

    def _note_wal_pages(self, _: apsw.Connection, __: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        if self._wal_pages < CHECKPOINT_PAGES:
            return
        is_forced = self._wal_pages >= CHECKPOINT_PAGES_FORCED
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if is_forced else apsw.SQLITE_CHECKPOINT_PASSIVE
        self._wal_pages = 0
        try:
            self._connection.set_busy_timeout(50)
            self._connection.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            logger.info("a reader keeps the WAL from beginning anew")
        finally:
            self._connection.set_busy_timeout(index.BUSY_WAIT_MS)

    def status(self) -> LedgerStatus:
        """How things stand now."""
        journal = self._journal
        told = journal.roster if journal is not None else self._started.roster
        return LedgerStatus(
            is_writable=self.failure is None and journal is not None and journal.is_writable,
            reason=self.failure or (self._started.reason if journal is None else journal.reason),
            epoch=told.epoch,
            sequence=self._position.point.sequence,
            members=told.members,
            copies=told.copies,
            drives=told.drives,
            failed_drives={n: reason for n, (reason, _) in journal.failed.items()} if journal else {},
            journal_bytes=self._upkeep.journal_bytes,
            snapshot_sequence=self._upkeep.snapshot_sequence,
            index_path=self.index_path,
        )

    def close(self) -> None:
        """Stop in order: the index is checkpointed, synced and marked clean; drives are released."""
        self._upkeep.close()
        try:
            if self.failure is None:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._connection.close(True)
            self._sync.close()
            if self.failure is None:
                self._index.directory.end_use(self._index.path, self._started.boot_id)
        except (apsw.Error, OSError, IndexNotWritten) as exc:
            logger.error("the index could not be closed cleanly", extra={"error": str(exc)})
            self._index.directory.distrust()  # what a failed sync leaves behind is not known
        finally:
            self._started.close(self._crew)


class _IndexLost(Exception):
    def __init__(self, cause: Exception, is_written: bool) -> None:
        super().__init__(str(cause))
        self.is_written = is_written
