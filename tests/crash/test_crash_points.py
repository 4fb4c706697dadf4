"""Power is cut at every file operation of short workloads: what was acknowledged is there, what was
refused is not, and a second start finds what the first one did.

Each workload runs once against a real ledger core while a recorder writes down its file operations.
Then, for cut points among all prefixes and for each way in which a file system may lose what was not
synced, the drives are rebuilt as the cut would leave them, and the ledger is started on them as after
a restart of the machine (so the SQLite index is never trusted and always rebuilt).
"""

import errno
import itertools
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from objstore import durable
from objstore.meta import drive_journal, upkeep
from objstore.meta.interface import OutcomeUnknown
from objstore.meta.ledger_core import LedgerCore
from tests.support.crash_points import Disk, Loss, Recorder
from tests.support.ledger import (
    MoreWords,
    Put,
    Remove,
    Words,
    abandon,
    make_roots,
    open_words,
    settings_for,
    words_of,
)

pytestmark = pytest.mark.crash

SEED = int(os.environ.get("OBJSTORE_TEST_SEED", "20261121"))
STATES_PER_WORKLOAD = int(os.environ.get("OBJSTORE_CRASH_STATES", "150"))
"""How many of a workload's crash states are tried; 0: every one of them."""


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory in memory where there is one: crash states are many, and syncing them proves nothing."""
    memory = Path("/dev/shm")
    path = Path(
        tempfile.mkdtemp(prefix="objstore-crash-", dir=memory if os.access(memory, os.W_OK) else None)
    )
    yield path
    shutil.rmtree(path)


@dataclass
class Run:
    """A workload under way: the ledger, the model, and what may be there after a cut."""

    roots: list[Path]
    recorder: Recorder
    core: LedgerCore | None = None
    model: dict[str, str] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    """Roots on which every operation fails now."""
    schema: Any = field(default_factory=Words)

    def start(self) -> None:
        self.core = open_words(settings_for(self.roots, deployment=6), self.schema)
        assert words_of(self.core) == self.model

    def stop(self) -> None:
        assert self.core is not None
        self.core.close()
        self.core = None

    def die(self) -> None:
        """The process is killed: nothing is closed in order."""
        assert self.core is not None
        abandon(self.core)
        self.core = None

    def commit(self, *batch: Put | Remove) -> list[Any]:
        """Commit a batch; before its answer both outcomes are allowed, after it only the one told."""
        assert self.core is not None
        after = dict(self.model)
        for command in batch:
            if isinstance(command, Remove):
                after.pop(command.name, None)
            elif not (command.only_new and command.name in after):
                after[command.name] = command.value
        self.recorder.mark([self.model, after])
        outcomes = self.core.commit(batch)
        if any(isinstance(outcome, OutcomeUnknown) for outcome in outcomes):
            return outcomes
        if all(isinstance(outcome, Exception) for outcome in outcomes):
            after = self.model
        self.model = after
        self.recorder.mark([after])
        self.core.maintain()
        return outcomes

    def __call__(self, name: str, path: str, details: tuple[Any, ...]) -> None:
        """Observe one operation: fail it, or let it happen and write it down."""
        if any(path.startswith(root) for root in self.failing):
            raise OSError(errno.EIO, "injected")
        self.recorder(name, path, details)


def first_start(run: Run) -> None:
    run.start()
    run.stop()


def one_command(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))


def batches_in_a_row(run: Run) -> None:
    run.start()
    for number in range(4):
        run.commit(Put("a", str(number)), Put(f"b{number}", "x" * 700))
    run.commit(Remove("b1"), Remove("absent"))


def refusals_among_others(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"), Put("a", "2", only_new=True), Put("b", "1", only_new=True))
    run.commit(Put("a", "3", only_new=True))
    run.commit(Remove("a"), Put("a", "4", only_new=True))


def stop_and_start(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))
    run.stop()
    run.start()
    run.commit(Put("a", "2"), Put("b", "1"))
    run.stop()


def kill_and_start(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))
    run.die()
    run.start()
    run.commit(Put("a", "2"))
    run.die()
    run.start()


def segments_that_fill_up(run: Run) -> None:
    run.start()
    for number in range(8):
        run.commit(Put(f"w{number}", "x" * 1500))


def snapshot_and_more(run: Run) -> None:
    run.start()
    for number in range(3):
        run.commit(Put(f"w{number}", "x" * 1500))
        assert run.core is not None
        run.core.take_snapshot()
        run.core.maintain()
    run.commit(Remove("w0"), Put("w1", "short"))


def journal_drive_fails(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))
    run.failing = {str(run.roots[1])}
    run.commit(Put("a", "2"))
    run.commit(Put("b", "1"))
    run.die()
    run.failing = set()
    run.start()
    run.commit(Put("b", "2"))


def two_journal_drives_fail(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))
    run.failing = {str(run.roots[0] / "journal"), str(run.roots[2])}
    refused = run.commit(Put("a", "refused"))
    assert isinstance(refused[0], Exception)
    run.commit(Put("b", "1"))
    run.failing = set()
    run.die()
    run.start()
    run.commit(Put("a", "3"))


def drive_away_for_a_while(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))
    run.stop()
    away = run.roots[0].with_name("away")
    everywhere, run.roots = run.roots, [root if root != run.roots[0] else away for root in run.roots]
    run.start()
    run.commit(Put("a", "2"), Put("b", "1"))
    run.stop()
    run.roots = everywhere
    run.start()
    run.commit(Remove("b"))
    run.stop()


def schema_grows(run: Run) -> None:
    run.start()
    run.commit(Put("a", "1"))
    run.stop()
    run.schema = MoreWords()
    run.start()
    run.commit(Put("a", "2"))
    run.stop()


WORKLOADS: list[Callable[[Run], None]] = [
    first_start,
    one_command,
    batches_in_a_row,
    refusals_among_others,
    stop_and_start,
    kill_and_start,
    segments_that_fill_up,
    snapshot_and_more,
    journal_drive_fails,
    two_journal_drives_fail,
    drive_away_for_a_while,
    schema_grows,
]


@contextmanager
def small_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive_journal, "SEGMENT_BYTES", 4096)
        patch.setattr(drive_journal, "_SMALL_RESERVE_BYTES", 4096)
        patch.setattr(upkeep, "RETRY_S", 0.0)
        yield


def recorded(workload: Callable[[Run], None], base: Path) -> Run:
    roots = make_roots(base / "live")
    run = Run(roots, Recorder(roots))
    run.recorder.mark([{}])
    with durable.observed(run):
        workload(run)
        if run.core is not None:
            run.die()
    return run


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__)
def test_a_power_cut_loses_nothing_acknowledged_and_revives_nothing_refused(
    workload: Callable[[Run], None], base: Path
) -> None:
    print(f"seed {SEED}")
    with small_segments():
        run = recorded(workload, base)
        states = list(itertools.product(range(len(run.recorder.operations) + 1), Loss))
        rng = random.Random(SEED)
        if STATES_PER_WORKLOAD and len(states) > STATES_PER_WORKLOAD:
            states = sorted(rng.sample(states, STATES_PER_WORKLOAD), key=lambda state: state[0])
        disk, applied = Disk(run.recorder.roots), 0
        for number, (cut, loss) in enumerate(states):
            while applied < cut:
                disk.apply(run.recorder.operations[applied])
                applied += 1
            check_state(run, disk, cut, loss, base / f"state{number}")


def check_state(run: Run, disk: Disk, cut: int, loss: Loss, where: Path) -> None:
    moved = {root: where / root.name for root in run.recorder.roots}
    disk.leave(loss, SEED + cut, moved)
    allowed = run.recorder.said_before(cut)[-1]
    context = f"after {cut} operations ({loss.value}); {where}"
    settings = settings_for(moved.values(), boot_id="the next boot")
    core = open_words(settings, run.schema)
    found = words_of(core)
    assert found in allowed, context
    assert core.status().is_writable, context
    assert core.commit([Put("after", "the cut")]) != [], context
    abandon(core)
    for root in random.Random(SEED + cut).sample(list(moved.values()), 2):
        shutil.rmtree(root)  # whatever two drives hold, the others hold it as well
    again = open_words(settings_for(moved.values(), boot_id="yet another"), run.schema)
    assert words_of(again) == found | {"after": "the cut"}, context
    abandon(again)
    shutil.rmtree(where)


@pytest.mark.parametrize(
    "workload", [batches_in_a_row, snapshot_and_more, two_journal_drives_fail], ids=lambda w: w.__name__
)
def test_a_second_power_cut_during_recovery_does_no_harm(workload: Callable[[Run], None], base: Path) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    with small_segments():
        run = recorded(workload, base)
        operations = run.recorder.operations
        for number in range(4):
            cut = rng.randrange(len(operations) // 2, len(operations) + 1)
            disk = Disk(run.recorder.roots)
            for operation in operations[:cut]:
                disk.apply(operation)
            allowed = run.recorder.said_before(cut)[-1]
            roots = [base / f"first{number}" / root.name for root in run.roots]
            disk.leave(Loss.RANDOM, SEED + cut, dict(zip(run.recorder.roots, roots, strict=True)))
            recover_and_cut_again(run, allowed, roots, base / f"second{number}", rng)


def recover_and_cut_again(
    run: Run, allowed: list[dict[str, str]], roots: list[Path], where: Path, rng: random.Random
) -> None:
    before = Disk.of(roots)
    recorder = Recorder(roots)
    with recorder.recording():
        core = open_words(settings_for(roots, boot_id="the next boot"), run.schema)
        assert words_of(core) in allowed
        abandon(core)
    for cut in sorted(rng.sample(range(len(recorder.operations) + 1), 12)):
        disk = before.copy()
        for operation in recorder.operations[:cut]:
            disk.apply(operation)
        loss = rng.choice(list(Loss))
        moved = {root: where / str(cut) / root.name for root in roots}
        disk.leave(loss, SEED + cut, moved)
        again = open_words(settings_for(moved.values(), boot_id="yet another"), run.schema)
        assert words_of(again) in allowed, f"second cut after {cut} operations ({loss.value})"
        assert again.status().is_writable
        abandon(again)
