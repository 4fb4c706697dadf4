"""The ledger core: what a batch does, and what a failure at each point of it means."""

import errno
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from objstore import clock, durable
from objstore.meta import drive_journal, index_sync, ledger_core, upkeep
from objstore.meta.interface import ConditionFailed, MetadataError, OutcomeUnknown, Unavailable
from objstore.meta.ledger_core import LedgerCore
from objstore.shared_state import SharedState
from tests.support import sqlite_files
from tests.support.ledger import (
    Defective,
    Now,
    Put,
    Remove,
    Words,
    abandon,
    make_roots,
    open_words,
    settings_for,
    words_of,
)


@pytest.fixture
def roots(memory_path: Path) -> list[Path]:
    return make_roots(memory_path)


@pytest.fixture
def core(roots: list[Path]) -> Iterator[LedgerCore]:
    opened = open_words(settings_for(roots))
    yield opened
    opened.close()


def test_each_command_of_a_batch_has_its_own_end(core: LedgerCore) -> None:
    first, again, removed, defect = core.commit(
        [Put("a", "1"), Put("a", "2", only_new=True), Remove("absent"), Defective()]
    )
    assert (first, removed) == (1, 0)
    assert isinstance(again, ConditionFailed) and again.detail == {"condition": "If-None-Match", "key": "a"}
    assert isinstance(defect, MetadataError)
    assert words_of(core) == {"a": "1"}


def test_a_batch_of_refusals_writes_no_record(core: LedgerCore) -> None:
    core.commit([Put("a", "1")])
    before = core.status().sequence
    core.commit([Put("a", "2", only_new=True), Defective(), Now()])
    assert core.status().sequence == before


def test_sequence_numbers_are_never_given_twice(roots: list[Path]) -> None:
    given: list[int] = []
    for _ in range(3):
        core = open_words(settings_for(roots))
        given += core.commit([Put("a", "1"), Defective(), Put("b", "2")])[::2]
        core.close()
        shutil.rmtree(roots[0] / "index")
    assert given == sorted(set(given))


def test_time_never_goes_back_even_through_a_restart(roots: list[Path]) -> None:
    with clock.held(5_000):
        core = open_words(settings_for(roots))
        assert core.commit([Now(), Put("a", "1")])[0] == 5_000
        core.close()
    with clock.held(3_000) as advance:
        core = open_words(settings_for(roots))
        assert core.commit([Now()]) == [5_000]
        advance(3_000)
        assert core.commit([Now()]) == [6_000]
        core.close()


def test_the_configuration_epoch_moves_on_success_only(roots: list[Path], memory_path: Path) -> None:
    SharedState.create(memory_path / "state")
    shared = SharedState(memory_path / "state")
    core = LedgerCore.open(settings_for(roots), shared, Words())
    core.commit([Put("a", "1")])
    assert shared.epoch == 0
    core.commit([Remove("a"), Put("b", "1"), Remove("b")])
    assert shared.epoch == 1
    core.close()


def test_a_schema_whose_changes_no_journal_would_hold_is_refused(roots: list[Path]) -> None:
    class Careless(Words):
        def install(self, db: Any) -> int:
            before = super().install(db)
            db.execute("CREATE TABLE IF NOT EXISTS keyless (value TEXT)")
            return before

    with pytest.raises(AssertionError, match="keyless"):
        open_words(settings_for(roots), Careless())


def test_the_wal_is_copied_into_the_index_before_it_grows_large(
    core: LedgerCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_core, "CHECKPOINT_PAGES", 20)
    wal = Path(f"{core.index_path}-wal")
    for number in range(60):
        core.commit([Put(f"w{number}", "x" * 3000)])
        core.maintain()
    assert wal.stat().st_size < 60 * 4096


# Failures


def test_an_index_that_fails_before_the_record_is_written_refuses(
    core: LedgerCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise apsw.FullError("disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Put, "apply", full)
        (outcome,) = core.commit([Put("a", "1")])
    assert type(outcome) is Unavailable
    assert core.failure is None
    assert core.commit([Put("b", "1")]) == [1]


def test_an_index_that_fails_after_the_record_is_written_stops_and_the_next_start_has_it(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = open_words(settings_for(roots))

    def broken(*_: Any) -> None:
        raise apsw.IOError("index drive is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ledger_core.position, "write", broken)
        (outcome,) = core.commit([Put("a", "1")])
    assert isinstance(outcome, OutcomeUnknown)
    assert core.failure is not None
    assert isinstance(core.commit([Put("b", "1")])[0], Unavailable)
    core.close()
    again = open_words(settings_for(roots))
    assert again.index_path != core.index_path, "an index that failed is built anew"
    assert words_of(again) == {"a": "1"}
    again.close()


def test_a_damaged_index_stops_the_ledger_when_a_reader_reports_it(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.inspect_index()
    assert core.failure is None
    core.close()
    core = open_words(settings_for(roots))
    core._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    with open(core.index_path, "r+b") as file:
        file.seek(8192)
        file.write(bytes(4096))
    core._connection.execute("PRAGMA shrink_memory").fetchall()
    core._connection.execute("PRAGMA cache_size = 0").fetchall()
    core.inspect_index()
    assert core.failure is not None
    core.close()
    again = open_words(settings_for(roots))
    assert words_of(again) == {}
    again.close()


class Fault:
    """Fails the Nth file operation below a prefix: alone, or with every one after it on that drive."""

    def __init__(self, roots: list[Path], nth: int, *, lasting: bool, code: int) -> None:
        self._roots = [str(root) for root in roots]
        self._left = nth
        self._lasting = lasting
        self._code = code
        self.broken: str | None = None
        self.is_over = False

    def __call__(self, name: str, path: str, details: tuple[Any, ...]) -> None:
        if self.is_over:
            return
        root = next((root for root in self._roots if path.startswith(root)), None)
        if root is None:
            return
        self._left -= 1
        if self._left == 0:
            self.broken = root
            raise OSError(self._code, "injected")
        if self._lasting and self._left < 0 and root == self.broken:
            raise OSError(self._code, "injected")


def workload(roots: list[Path], fault: durable.Observer) -> tuple[dict[str, str], dict[str, str | None]]:
    """What was acknowledged, and what may be either way, after commits with a fault on the way."""
    model: dict[str, str] = {}
    unknown: dict[str, str | None] = {}
    core: LedgerCore | None = None
    with durable.observed(fault):
        for number in range(8):
            try:
                core = core or open_words(settings_for(roots))
            except (OSError, MetadataError, apsw.Error):  # the process ends and is started again
                continue
            name, value = f"w{number % 3}", f"{number}" * 300
            (outcome,) = core.commit([Put(name, value)])
            if isinstance(outcome, OutcomeUnknown):
                unknown[name] = value
            elif not isinstance(outcome, Exception):
                model[name] = value
                unknown.pop(name, None)
            if number == 4:
                core.take_snapshot()
            core.maintain()
            if core.failure is not None:
                abandon(core)
                core = None
    if core is not None:
        abandon(core)
    return model, unknown


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for good"])
def test_whichever_file_operation_fails_nothing_acknowledged_is_lost(
    lasting: bool, code: int, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_journal, "SEGMENT_BYTES", 1024)
    monkeypatch.setattr(drive_journal, "_SMALL_RESERVE_BYTES", 1024)
    monkeypatch.setattr(upkeep, "PROBE_S", 0.0)
    monkeypatch.setattr(upkeep, "REST_S", 0.0)
    monkeypatch.setattr(upkeep, "RETRY_S", 0.0)
    for nth in itertools.count(1, 4):
        made = make_roots(memory_path / str(nth))
        open_words(settings_for(made)).close()  # the first start needs every drive
        fault = Fault(made, nth, lasting=lasting, code=code)
        model, unknown = workload(made, fault)
        if fault.broken is None:
            break
        assert len(model) == 3, f"operation {nth}: one bad drive of six must not stop commits"
        lost = [root for root in made if str(root) != fault.broken][nth % 5]
        shutil.rmtree(lost)  # the drive that failed, and one more: m are gone
        if lasting:
            shutil.rmtree(fault.broken)
        core = open_words(settings_for(made, boot_id="the next boot"))
        found = words_of(core)
        assert all(found.get(name) in (value, unknown.get(name, value)) for name, value in model.items()), nth
        assert core.status().is_writable, nth
        core.close()
        shutil.rmtree(memory_path / str(nth))
    assert nth > 150


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_whichever_of_sqlites_own_operations_fails_nothing_acknowledged_is_lost(
    code: int, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RETRY_S", 0.0)
    seen: set[str] = set()
    for nth in itertools.count(1, 3):
        made = make_roots(memory_path / str(nth))
        open_words(settings_for(made)).close()
        fault = Fault(made, nth, lasting=False, code=code)

        def observer(name: str, path: str, details: tuple[Any, ...], fault: Fault = fault) -> None:
            seen.add(name)
            fault(name, path, details)

        with sqlite_files.observed(observer):
            model, unknown = workload(made, lambda name, path, details: None)
        if fault.broken is None:
            break
        core = open_words(settings_for(made))
        found = words_of(core)
        assert all(found.get(name) in (value, unknown.get(name, value)) for name, value in model.items()), nth
        assert set(found) <= {*model, *unknown}
        assert core.commit([Put("after", "it")])[0] > 0
        core.close()
        shutil.rmtree(memory_path / str(nth))
    assert nth > 30
    assert {"write", "truncate", "unlink"} <= seen


@pytest.mark.parametrize("failing", list(itertools.combinations((0, 1, 2), 2)))
def test_a_record_that_too_few_drives_took_is_refused_and_stays_refused(
    failing: tuple[int, ...], roots: list[Path]
) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    with durable.observed(failing_on(roots, failing)):
        (outcome,) = core.commit([Put("a", "refused")])
    assert type(outcome) is not OutcomeUnknown and isinstance(outcome, Unavailable)
    assert words_of(core) == {"a": "1"}
    core.maintain()
    assert core.commit([Put("b", "1")]) == [2], "replacements have been recruited"
    abandon(core)
    again = open_words(settings_for(roots, boot_id="the next boot"))
    assert words_of(again) == {"a": "1", "b": "1"}
    abandon(again)
    for number in failing:
        shutil.rmtree(roots[number])
    last = open_words(settings_for(roots, boot_id="one more boot", deployment=6))
    assert words_of(last) == {"a": "1", "b": "1"}
    last.close()


def failing_on(roots: list[Path], numbers: tuple[int, ...]) -> Callable[..., None]:
    prefixes = tuple(f"{roots[number]}/journal" for number in numbers)

    def observe(name: str, path: str, details: tuple[Any, ...]) -> None:
        if path.startswith(prefixes):
            raise OSError(errno.EIO, "injected")

    return observe


def test_when_every_journal_drive_fails_the_outcome_is_unknown_and_the_ledger_stops(
    roots: list[Path],
) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    with durable.observed(failing_on(roots, (0, 1, 2))):
        (outcome,) = core.commit([Put("a", "2")])
    assert isinstance(outcome, OutcomeUnknown)
    assert core.failure is not None
    abandon(core)
    again = open_words(settings_for(roots, boot_id="the next boot"))
    assert words_of(again) in ({"a": "1"}, {"a": "2"})
    again.close()


def test_a_drive_that_hangs_is_left_behind(roots: list[Path]) -> None:
    core = open_words(settings_for(roots, is_parallel=True, drive_timeout_s=0.3))
    core.commit([Put("a", "1")])
    release = threading.Event()

    def hang(name: str, path: str, details: tuple[Any, ...]) -> None:
        if path.startswith(str(roots[1])) and threading.current_thread().name == "journal-2":
            release.wait(20)

    with durable.observed(hang):
        began = time.monotonic()
        assert core.commit([Put("b", "2")]) == [2]
        assert time.monotonic() - began < 5
        assert core.commit([Put("c", "3")]) == [3]
        assert 2 not in core.status().members
        release.set()
        core.close()
    again = open_words(settings_for(roots))
    assert words_of(again) == {"a": "1", "b": "2", "c": "3"}
    again.close()


def test_commits_go_on_while_a_journal_drive_is_recruited(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = open_words(settings_for(roots, is_parallel=True))
    for number in range(50):
        core.commit([Put(f"w{number}", "x" * 500)])
    copying = threading.Event()
    go_on = threading.Event()

    def slowly(name: str, path: str, details: tuple[Any, ...]) -> None:
        if path.startswith(str(roots[0])) and name in ("write", "create"):
            raise OSError(errno.EIO, "injected")
        if threading.current_thread().name == "upkeep":
            copying.set()
            go_on.wait(20)

    with durable.observed(slowly):
        core.commit([Put("first", "after the loss")])
        core.maintain()
        assert copying.wait(20)
        for number in range(20):
            assert isinstance(core.commit([Put(f"meanwhile{number}", "y")])[0], int)
        go_on.set()
        deadline = time.monotonic() + 20
        while len(core.status().members) < 3 and time.monotonic() < deadline:
            core.maintain()
            time.sleep(0.01)
    assert core.status().members == (2, 3, 4)
    core.commit([Put("last", "word")])
    model = words_of(core)
    abandon(core)
    for number in (0, 1, 2):  # only the recruit is left of the journal
        shutil.rmtree(roots[number])
    again = open_words(settings_for(roots, deployment=6))
    assert words_of(again) == model
    again.close()


def test_commits_go_on_while_a_snapshot_is_taken(roots: list[Path]) -> None:
    core = open_words(settings_for(roots, is_parallel=True))
    for number in range(200):
        core.commit([Put(f"w{number}", "x" * 500)])
    core.take_snapshot()
    core.maintain()
    for number in range(50):
        assert isinstance(core.commit([Put(f"meanwhile{number}", "y")])[0], int)
    deadline = time.monotonic() + 20
    while not core.status().snapshot_sequence and time.monotonic() < deadline:
        core.maintain()
        time.sleep(0.01)
    assert core.status().snapshot_sequence >= 200
    model = words_of(core)
    abandon(core)
    again = open_words(settings_for(roots, boot_id="the next boot"))
    assert words_of(again) == model
    again.close()


def test_a_defect_in_mid_commit_stops_the_ledger_and_leaves_the_outcome_open(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the record is on a drive is not known, so no further one may take its place in the chain."""
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    whole = drive_journal.DriveJournal.append
    calls = itertools.count()

    def half(self: drive_journal.DriveJournal, *args: Any) -> None:
        if next(calls) == 1:
            raise MemoryError
        whole(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(drive_journal.DriveJournal, "append", half)
        assert [type(outcome) for outcome in core.commit([Put("a", "2")])] == [OutcomeUnknown]
    assert [type(outcome) for outcome in core.commit([Put("b", "3")])] == [Unavailable]
    abandon(core)
    again = open_words(settings_for(roots))
    assert words_of(again) in ({"a": "1"}, {"a": "2"})
    again.close()


def test_an_index_whose_last_sync_failed_is_built_anew(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    index_path = core.index_path

    def failing(operation: str, path: str, details: tuple[Any, ...]) -> None:
        if operation == "sync" and path == index_path:
            raise OSError(errno.EIO, "failed")

    with durable.observed(failing):
        core.close()
    again = open_words(settings_for(roots))
    assert again.index_path != index_path and words_of(again) == {"a": "1"}
    again.close()


def test_an_index_that_cannot_be_written_back_is_built_anew_while_the_ledger_runs(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a failed write-back only to those who sync; SQLite does not."""
    monkeypatch.setattr(index_sync, "SYNC_S", 0)
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    core.maintain()
    assert core.failure is None
    index_path = core.index_path

    def failing(operation: str, path: str, details: tuple[Any, ...]) -> None:
        if operation == "sync" and path.startswith(index_path):
            raise OSError(errno.EIO, "failed")

    with durable.observed(failing):
        core.maintain()
        assert core.failure is None, "nothing was written to it since"
        core.commit([Put("b", "2")])
        core.maintain()
    assert core.failure is not None and "index" in core.failure
    core.close()
    again = open_words(settings_for(roots))
    assert again.index_path != index_path and words_of(again) == {"a": "1", "b": "2"}
    again.close()


def test_syncing_the_index_holds_up_no_commit(roots: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_sync, "SYNC_S", 0)
    core = open_words(settings_for(roots, is_parallel=True))
    syncing, go_on = threading.Event(), threading.Event()

    def slowly(operation: str, path: str, details: tuple[Any, ...]) -> None:
        if operation == "sync" and threading.current_thread().name == "index-sync":
            syncing.set()
            go_on.wait(20)

    with durable.observed(slowly):
        core.commit([Put("a", "1")])
        core.maintain()
        assert syncing.wait(20)
        assert core.commit([Put("b", "2")]) == [2]
        go_on.set()
        core.close()
    again = open_words(settings_for(roots))
    assert words_of(again) == {"a": "1", "b": "2"}
    again.close()


def test_an_index_built_on_a_drive_that_cannot_take_it_is_built_on_another(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    core.close()
    shutil.rmtree(roots[0] / "index")

    def failing(operation: str, path: str, details: tuple[Any, ...]) -> None:
        if operation == "sync" and path.startswith(f"{roots[0]}/index/metadata-"):
            raise OSError(errno.EIO, "failed")

    with durable.observed(failing):
        again = open_words(settings_for(roots))
    assert again.index_path.startswith(str(roots[1])) and words_of(again) == {"a": "1"}
    again.close()


# A drive that held the journal earlier


@pytest.fixture
def stale(roots: list[Path]) -> set[str]:
    """Drives 2 and 3 hold the journal and want drive 1, which holds it up to an earlier time: its files."""
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    core.take_snapshot()
    core.maintain()
    core.commit([Put("b", "2")])
    abandon(core)
    hidden = roots[0].rename(roots[0].with_name("hidden"))
    core = open_words(settings_for(roots, deployment=6))
    for _ in range(2):
        core.commit([Put("c", "3")])
        core.take_snapshot()
        core.maintain()
    core.commit([Put("d", "4")])
    assert core.status().members == (2, 3, 4)
    abandon(core)
    hidden.rename(roots[0])
    shutil.rmtree(roots[3])
    return copy_on(roots[0])


WORDS: dict[str, str] = {"a": "1", "b": "2", "c": "3", "d": "4"}


def copy_on(root: Path) -> set[str]:
    return {path.name for room in ("journal", "snapshots") for path in (root / room).iterdir()}


def recruiting(roots: list[Path], fault: Callable[..., None]) -> LedgerCore:
    with durable.observed(fault):
        return open_words(settings_for(roots, deployment=6))


def test_a_stale_copy_of_the_journal_stays_until_the_new_one_is_whole(
    roots: list[Path], stale: set[str]
) -> None:
    operations: list[tuple[str, str]] = []

    def record(operation: str, path: str, details: tuple[Any, ...]) -> None:
        if path.startswith((f"{roots[0]}/journal/", f"{roots[0]}/snapshots/")):
            operations.append((operation, path.rpartition("/")[2]))

    core = recruiting(roots, record)
    assert core.status().members == (1, 2, 3)
    new = copy_on(roots[0]) - {"roster"}
    dropped = [
        at for at, (operation, name) in enumerate(operations) if operation == "unlink" and name in stale
    ]
    made = [at for at, (operation, name) in enumerate(operations) if operation == "rename"]
    assert dropped and len(made) >= len(new - stale) and min(dropped) > max(made[: len(new)])
    assert not new & {operations[at][1] for at in dropped}
    core.commit([Put("e", "5")])
    abandon(core)
    for number in (1, 2):
        shutil.rmtree(roots[number])
    again = open_words(settings_for(roots, deployment=6))
    assert words_of(again) == WORDS | {"e": "5"}
    again.close()


@pytest.mark.parametrize("operation", ["create", "write", "sync", "rename", "sync_directory", "read"])
def test_a_copy_of_the_journal_that_fails_takes_nothing_from_the_stale_one(
    roots: list[Path], stale: set[str], operation: str
) -> None:
    def failing(name: str, path: str, details: tuple[Any, ...]) -> None:
        is_copying = path.startswith((f"{roots[0]}/journal", f"{roots[0]}/snapshots"))
        if name == operation and is_copying and not path.endswith(("roster", "roster.tmp")):
            if name == "sync_directory" and path.endswith("journal"):
                return  # the roster's
            raise OSError(errno.EIO, "injected")

    core = recruiting(roots, failing)
    assert 1 not in core.status().members and words_of(core) == WORDS
    assert stale - {"roster"} <= copy_on(roots[0])
    abandon(core)


def test_on_a_drive_too_full_for_two_the_stale_copy_goes_first(
    roots: list[Path], stale: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RETRY_S", 0)

    def full(name: str, path: str, details: tuple[Any, ...]) -> None:
        is_copying = path.startswith((f"{roots[0]}/journal/0", f"{roots[0]}/snapshots/"))
        if name == "write" and is_copying and stale & copy_on(roots[0]) - {"roster"}:
            raise OSError(errno.ENOSPC, "injected")

    with durable.observed(full):
        core = open_words(settings_for(roots, deployment=6))
        assert core.status().members == (2, 3)
        core.maintain()
    assert core.status().members == (1, 2, 3) and words_of(core) == WORDS
    core.close()
