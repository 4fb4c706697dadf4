"""What every background job is given: its settings, and a pace that gives way to clients."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

from objstore import clock
from objstore.config import Config
from objstore.remote.endpoint import Endpoint

R = TypeVar("R")

NICENESS: Final = 10


@dataclass(frozen=True, slots=True)
class JobSettings:
    """How patient and how eager the jobs are. Times in seconds."""

    garbage_grace_s: float = 30.0
    """Bytes of deleted objects stay this long after the deletion."""
    garbage_every_s: float = 5.0
    repair_every_s: float = 1.0
    repair_retry_s: float = 15.0
    """First pause before a blob that could not be made whole is tried again; doubles each time."""
    repair_retry_s_max: float = 600.0
    heal_every_s: float = 2.0
    heal_settle_s: float = 5.0
    """A drive that appeared must stay this long before blobs are healed onto it."""
    heal_loss_s: float = 900.0
    """A drive that vanished must be away this long before its shards are made again elsewhere."""
    compaction_every_s: float = 30.0
    scrub_cycle_s: float = 14 * 86400.0
    """Every stored byte is read and verified once in this time; 0: never."""
    scrub_every_s: float = 1.0
    orphan_grace_s: float = 86400.0
    """A blob that nothing refers to must be older than this before it counts as left over."""
    orphan_every_s: float = 6 * 3600.0
    orphan_first_s: float = 600.0
    """From the start of the server to the first scan."""
    lifecycle_day_s: float = 0.0
    """How long a day of lifecycle rules is; 0: a day."""
    inventory_day_s: float = 0.0
    """How long a day of inventories is; 0: a day."""
    bucket_logs_every_s: float = 300.0
    spool_directories: tuple[Path, ...] = ()
    """Where access logs wait for delivery: the system directories of the drives."""
    targets: tuple[str, ...] = field(default=(), repr=False)
    """Where events can go, each as name=url, with its credentials."""
    events_retry_s: float = 86_400.0
    remotes: tuple[Endpoint, ...] = ()
    """Other servers that buckets are replicated to."""
    replication_retry_s: float = 7 * 86_400.0
    busy_share: float = 0.25
    """The part of the time that heavy jobs work while clients keep the machine busy: the floor."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """The jobs' part of the server's settings."""
        return cls(
            garbage_grace_s=config.garbage_grace_s,
            orphan_grace_s=config.orphan_grace_s,
            scrub_cycle_s=config.scrub_cycle_days * 86400.0,
            lifecycle_day_s=config.lifecycle_debug_day_s,
            inventory_day_s=config.inventory_debug_day_s,
            bucket_logs_every_s=config.bucket_logs_every_s,
            targets=tuple(target.get_secret_value() for target in config.targets),
            events_retry_s=config.events_retry_hours * 3600.0,
            remotes=tuple(map(Endpoint.of, config.remotes)),
            replication_retry_s=config.replication_retry_hours * 3600.0,
        )


class Job(Protocol):
    """One background job."""

    name: str

    async def run(self) -> float:
        """Do what is due now; the seconds until there may be more. May raise, may be cancelled anywhere."""
        ...


class Pace:
    """Lets heavy jobs give way to clients, but never stop: at least `busy_share` of the time is theirs.

    A job calls `rest` after each piece of work. While the machine is otherwise idle it only yields to
    the event loop; while others use the processors it pauses in proportion to what it worked.
    """

    def __init__(self, busy_share: float, is_busy: Callable[[], bool] | None = None) -> None:
        self._rest_per_work = 1 / busy_share - 1
        self._is_busy = is_busy or MachineLoad().is_busy

    async def rest(self, worked_s: float) -> None:
        """Pause after `worked_s` seconds of work."""
        await asyncio.sleep(worked_s * self._rest_per_work if self._is_busy() else 0)


class MachineLoad:
    """Whether others than us keep the processors busy, from /proc/stat.

    This process runs niced (`lower_priority`), and niced time is counted apart there, so our own
    computing does not look like the clients'. Where there is no /proc/stat the machine counts as busy.
    """

    BUSY_SHARE: Final = 0.3
    SAMPLE_S: Final = 1.0

    def __init__(self, path: Path = Path("/proc/stat")) -> None:
        self._path = path
        self._sampled_s = float("-inf")
        self._times: Sequence[int] = ()
        self._answer = True

    def is_busy(self) -> bool:
        """Whether more than BUSY_SHARE of the processors' time went to others since the last sample."""
        now_s = clock.monotonic_s()
        if now_s - self._sampled_s >= self.SAMPLE_S:
            self._sampled_s = now_s
            self._answer = self._sample()
        return self._answer

    def _sample(self) -> bool:
        try:
            with self._path.open("rb") as file:
                times = [int(ticks) for ticks in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return True
        before, self._times = self._times, times
        if len(before) != 8 or len(times) != 8:
            return True
        user, _nice, system, _idle, _iowait, irq, softirq, _steal = spent = [
            now - then for now, then in zip(times, before, strict=True)
        ]
        return user + system + irq + softirq > self.BUSY_SHARE * max(1, sum(spent))


def lower_priority() -> None:
    """Let the system prefer the processes that answer clients. Once, in the jobs process."""
    with suppress(OSError):
        os.nice(NICENESS)


async def all_of(steps: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """The results of `steps`, run together. When one fails, that is raised after all have ended."""
    outcomes = await asyncio.gather(*steps, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes  # type: ignore[return-value]
