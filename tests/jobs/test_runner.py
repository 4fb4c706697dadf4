"""The runner: jobs stay alive, fail alone, give way to clients and stop when told."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from objstore.config import Config
from objstore.jobs import runner
from objstore.jobs.job import JobSettings, MachineLoad, Pace, all_of
from objstore.jobs.runner import keep_running, run_jobs, run_until
from objstore.meta import queries
from objstore.meta.interface import Unavailable
from objstore.service import build_services
from objstore.service.buckets import BucketRules
from objstore.service.encryption import EncryptionRules
from objstore.storage.interface import DriveState
from tests.jobs.fakes import QUICK, FakeStore, LocalMetadata, shared_state
from tests.support.keys import envelopes_over


class Counting:
    """A job that runs without a pause and fails the first times."""

    def __init__(self, name: str, failures: int = 0, failure: Exception | None = None) -> None:
        self.name = name
        self.runs = 0
        self._failures = failures
        self._failure = failure or RuntimeError("planned")

    async def run(self) -> float:
        self.runs += 1
        if self.runs <= self._failures:
            raise self._failure
        return 0


def run_for(jobs: list[Counting], seconds: float) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        await run_until(jobs, stop)

    asyncio.run(main())


@pytest.mark.parametrize("failure", [RuntimeError("bug"), Unavailable("no ledger"), OSError(5, "I/O")])
def test_a_failing_job_is_tried_again_and_takes_no_other_down(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr(runner, "BACK_OFF_S", 0.001)
    bad, good = Counting("bad", failures=3, failure=failure), Counting("good")
    run_for([bad, good], 0.2)
    assert bad.runs > 4 and good.runs > 4


def test_pauses_grow_while_a_job_fails_and_stay_bounded() -> None:
    pauses = [runner._back_off_s(failures) for failures in range(1, 12)]
    assert pauses[:4] == [1, 2, 4, 8] and pauses[-1] == runner.BACK_OFF_S_MAX
    assert runner._back_off_s(10**6) == runner.BACK_OFF_S_MAX


def test_stopping_interrupts_a_job_at_work() -> None:
    class Endless:
        name = "endless"

        async def run(self) -> float:
            await asyncio.Event().wait()
            return 0

    async def main() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stop.set)
        async with asyncio.timeout(5):
            await run_until([Endless()], stop)

    asyncio.run(main())


def test_cancelling_ends_a_job_rather_than_starting_it_again() -> None:
    async def main() -> None:
        job = Counting("job")
        task = asyncio.create_task(keep_running(job))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    asyncio.run(main())


def test_all_of_waits_for_all_before_it_raises() -> None:
    ended = []

    async def step(number: int) -> int:
        await asyncio.sleep(0.001 * number)
        ended.append(number)
        if number == 1:
            raise ValueError("planned")
        return number

    with pytest.raises(ValueError, match="planned"):
        asyncio.run(all_of(step(number) for number in range(4)))
    assert ended == [0, 1, 2, 3]


@pytest.mark.parametrize(("is_busy", "expected_s"), [(True, 0.3), (False, 0.0)])
def test_pace_gives_way_only_while_clients_are_busy(is_busy: bool, expected_s: float) -> None:
    async def main() -> None:
        pace = Pace(0.25, is_busy=lambda: is_busy)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await pace.rest(0.1)
        assert expected_s <= loop.time() - began_s + 0.001 < expected_s + 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("user", "nice", "system", "idle", "is_busy"),
    [(0, 0, 0, 100, False), (50, 0, 0, 50, True), (0, 0, 60, 40, True), (5, 90, 5, 0, False)],
    ids=["idle", "clients compute", "clients read", "only niced work, ours"],
)
def test_machine_load_counts_others_work_only(
    tmp_path: Path, user: int, nice: int, system: int, idle: int, is_busy: bool
) -> None:
    path = tmp_path / "stat"
    path.write_text("cpu 1000 1000 1000 1000 0 0 0 0 0 0\n")
    load = MachineLoad(path)
    load.SAMPLE_S = 0  # type: ignore[misc]
    assert load.is_busy(), "not known yet: the floor"
    path.write_text(f"cpu {1000 + user} {1000 + nice} {1000 + system} {1000 + idle} 0 0 0 0 0 0\n")
    assert load.is_busy() == is_busy


@pytest.mark.parametrize("text", ["", "cpu a b c", "intr 1 2 3"])
def test_where_the_load_is_not_told_the_machine_counts_as_busy(tmp_path: Path, text: str) -> None:
    (tmp_path / "stat").write_text(text)
    load = MachineLoad(tmp_path / "stat")
    load.SAMPLE_S = 0  # type: ignore[misc]
    assert load.is_busy() and load.is_busy()
    assert MachineLoad(tmp_path / "absent").is_busy()


def test_settings_are_those_of_the_server() -> None:
    config = Config(garbage_grace_s=5, orphan_grace_s=90_000, scrub_cycle_days=2)
    settings = JobSettings.of(config)
    assert (settings.garbage_grace_s, settings.orphan_grace_s, settings.scrub_cycle_s) == (5, 90_000, 172_800)


def test_all_jobs_together_delete_repair_and_heal(tmp_path: Path) -> None:
    settings = replace(
        QUICK, garbage_grace_s=0.01, garbage_every_s=0.01, repair_every_s=0.01, heal_every_s=0.01
    )

    async def main() -> None:
        scene, store, stop = LocalMetadata(), FakeStore(), asyncio.Event()
        shared = shared_state(tmp_path / "state")
        services = build_services(
            scene.metadata,
            store,
            shared,
            0,
            BucketRules(("us-east-1",)),
            envelopes_over(scene.metadata),
            EncryptionRules(),
        )
        running = asyncio.create_task(run_jobs(scene.metadata, store, shared, services, settings, stop))
        await asyncio.sleep(0.05)
        refs = [store.blob() for _ in range(10)]
        keys = [scene.name(ref) for ref in refs]
        store.drives[3].state = DriveState.OFFLINE
        await asyncio.sleep(0.05)
        store.replace(3)
        scene.drop(keys[0])
        async with asyncio.timeout(10):
            while store.good_shards(refs[0]) or any(  # noqa: ASYNC110 - the jobs tell nobody
                store.good_shards(found) != 6 for found in scene.ask(queries.blobs_after)
            ):
                await asyncio.sleep(0.01)
        stop.set()
        await running

    asyncio.run(main())
