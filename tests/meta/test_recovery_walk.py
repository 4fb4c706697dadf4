"""A random walk through everything that may happen to a ledger and its drives, judged by a model.

Drives leave and come back, break and heal, one or many; the process is killed between two file
operations; the machine restarts (so the index is not trusted). At any time:

- a ledger that takes commands holds exactly what was acknowledged (and, for what was sent and never
  answered, all of a batch or nothing of it);
- with at most m drives missing and no more than m broken since everything was last in order, a ledger
  starts, and where the deployment has more than 2 m drives it takes commands.
"""

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from objstore import durable
from objstore.meta import drive_journal, upkeep
from objstore.meta.interface import OutcomeUnknown, Unavailable
from objstore.meta.ledger_core import LedgerCore
from objstore.meta.recovery import JournalDamaged, JournalMissing
from tests.support.ledger import Put, Remove, abandon, make_roots, open_words, settings_for, words_of

SEED = int(os.environ.get("OBJSTORE_TEST_SEED", "20261121"))
WALKS = int(os.environ.get("OBJSTORE_WALKS", "8"))
STEPS = 40


class Killed(BaseException):
    """The process ends here."""


class Walk:
    """One deployment, its ledger if it runs, and the states it may be in."""

    def __init__(self, base: Path, drives: int, parity: int, rng: random.Random) -> None:
        self.rng = rng
        self.roots = make_roots(base, drives)
        self.parity = parity
        self.away: set[int] = set()
        self.broken: set[int] = set()
        self.suspects: set[int] = set()
        """Drives that were away or broken since the last time all was in order."""
        self.core: LedgerCore | None = None
        self.allowed: list[dict[str, str]] = [{}]
        self.boot = 0
        self.kill_after: int | None = None
        self.trace: list[str] = []
        self.commits = 0

    # What the drives do

    def __call__(self, name: str, path: str, details: tuple[Any, ...]) -> None:
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after < 0:
                raise Killed
        for number in self.broken:
            root = str(self.roots[number])
            if path == root or path.startswith(f"{root}/"):
                raise OSError(errno.EIO, "injected")

    def leave(self) -> None:
        if self.core is None:
            number = self.rng.randrange(len(self.roots))
            if number not in self.away:
                self.roots[number].rename(self._away(number))
                self.away.add(number)
                self.suspects.add(number)

    def come_back(self) -> None:
        if self.core is None and self.away:
            number = self.rng.choice(sorted(self.away))
            self._away(number).rename(self.roots[number])
            self.away.discard(number)

    def come_back_all(self) -> None:
        while self.core is None and self.away:
            self.come_back()
        self.broken.clear()

    def _away(self, number: int) -> Path:
        return self.roots[number].with_name(f"away{number}")

    def break_drive(self) -> None:
        number = self.rng.randrange(len(self.roots))
        self.broken.add(number)
        self.suspects.add(number)

    def heal_drives(self) -> None:
        self.broken.clear()

    def restart_machine(self) -> None:
        if self.core is not None:
            abandon(self.core)
            self.core = None
        self.boot += 1

    # What the ledger does

    def start(self) -> None:
        if self.core is not None:
            return
        settings = settings_for(
            self.roots, copies=self.parity + 1, boot_id=f"boot {self.boot}", deployment=len(self.roots)
        )
        try:
            self.core = open_words(settings)
        except Killed:
            return
        except (JournalMissing, JournalDamaged, OSError, Unavailable) as exc:
            self.trace.append(f"  no start: {exc}")
            must_start = len(self.suspects) <= self.parity and not self.broken
            assert not must_start, exc
            return
        status = self.core.status()
        self.trace.append(f"  started: {status.is_writable} {status.reason} {status.members}")
        if status.is_writable:
            found = words_of(self.core)
            assert found in self.allowed, (found, self.allowed)
            self.allowed = [found]
            if not self.away and not self.broken and len(status.members) == self.parity + 1:
                self.suspects.clear()
        elif len(self.suspects) <= self.parity and not self.broken and len(self.roots) > 2 * self.parity:
            raise AssertionError(f"takes no commands: {status.reason}")
        if self.core.failure is not None:
            self.kill()

    def stop(self) -> None:
        if self.core is not None:
            core, self.core = self.core, None
            core.close()

    def kill(self) -> None:
        if self.core is not None:
            abandon(self.core)
            self.core = None

    def kill_soon(self) -> None:
        self.kill_after = self.rng.randrange(40)

    def commit(self) -> None:
        if self.core is None:
            return
        self.commits += 1
        name = self.rng.choice("abcd")
        before = self.allowed
        if self.rng.random() < 0.2:
            command: Put | Remove = Remove(name)
            after = [{key: value for key, value in state.items() if key != name} for state in before]
        else:
            command = Put(name, str(self.commits) * 50)
            after = [state | {name: command.value} for state in before]
        self.allowed = [*before, *after]
        (outcome,) = self.core.commit([command])
        if isinstance(outcome, OutcomeUnknown):
            self.trace.append(f"  unknown: {outcome}")
        elif isinstance(outcome, Exception):
            self.trace.append(f"  refused: {outcome}")
            self.allowed = before
        else:
            self.allowed = after
            assert words_of(self.core) in after
        self.core.maintain()
        if self.core.failure is not None:
            self.kill()

    def snapshot(self) -> None:
        if self.core is not None:
            self.core.take_snapshot()
            self.core.maintain()

    def run(self) -> None:
        steps: list[tuple[int, Callable[[], None]]] = [
            (12, self.commit), (6, self.start), (2, self.stop), (2, self.kill), (2, self.restart_machine),
            (5, self.leave), (4, self.come_back), (1, self.come_back_all), (4, self.break_drive),
            (2, self.heal_drives), (5, self.kill_soon), (2, self.snapshot),
        ]  # fmt: skip
        choices = [step for weight, step in steps for _ in range(weight)]
        with durable.observed(self):
            self.start()
            for _ in range(STEPS):
                step = self.rng.choice(choices)
                self.trace.append(f"{step.__name__} away={sorted(self.away)} broken={sorted(self.broken)}")
                try:
                    step()
                except Killed:
                    self.trace.append("  killed")
                    self.kill_after = None
                    self.kill()
                self.kill_after = None if self.core is None else self.kill_after
        self.kill_after = None
        self.kill()
        self.broken.clear()
        self.come_back_all()
        self.start()
        assert self.core is not None and self.core.status().is_writable
        self.kill()


@pytest.mark.parametrize(
    ("drives", "parity"), [(6, 2), (4, 1), (5, 2), (4, 2), (3, 2), (2, 1), (3, 0), (1, 0)]
)
def test_whatever_happens_a_ledger_that_takes_commands_holds_what_was_acknowledged(
    drives: int, parity: int, memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive_journal, "SEGMENT_BYTES", 2048)
    monkeypatch.setattr(drive_journal, "_SMALL_RESERVE_BYTES", 2048)
    monkeypatch.setattr(upkeep, "RETRY_S", 0.0)
    monkeypatch.setattr(upkeep, "PROBE_S", 0.0)
    monkeypatch.setattr(upkeep, "REST_S", 0.0)
    for number in range(WALKS):
        seed = f"{SEED}-{drives}-{parity}-{number}"
        walk = Walk(memory_path / str(number), drives, parity, random.Random(seed))
        try:
            walk.run()
        except BaseException:
            print(f"seed {seed}", *walk.trace, sep="\n")
            raise
        finally:
            walk.kill()
