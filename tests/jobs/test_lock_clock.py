"""The job that moves the lock clock: by time that passed, whatever the wall clock says."""

import asyncio

import pytest

from objstore import clock
from objstore.jobs.lock_clock import LockClock
from objstore.meta.commands import AdvanceLockClock, DeleteVersion, PutVersion
from objstore.meta.interface import Locked, OutcomeUnknown
from objstore.model import Attributes, ObjectLock
from tests.jobs.fakes import OWNER, START_MS, LocalMetadata

HOUR_MS = 3_600_000


class HeldMonotonic:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> HeldMonotonic:
    held = HeldMonotonic()
    monkeypatch.setattr(clock, "monotonic_s", held)
    return held


def locked_for(facts: LocalMetadata, ms: int) -> None:
    lock = ObjectLock("COMPLIANCE", clock.now_ms() + ms)
    facts.apply(PutVersion(facts.bucket_id, "key", 0, "etag", OWNER, Attributes(), lock=lock))


def remove(facts: LocalMetadata) -> None:
    facts.apply(DeleteVersion(facts.bucket_id, "key", OWNER, version_id="null"))


def test_setting_the_wall_clock_forward_unlocks_nothing(monotonic: HeldMonotonic) -> None:
    with clock.held(START_MS) as advance:
        facts = LocalMetadata()
        locked_for(facts, HOUR_MS)
        job = LockClock(facts.metadata)
        advance(100 * HOUR_MS)
        for _ in range(3):
            monotonic.now_s += 60
            asyncio.run(job.run())
        with pytest.raises(Locked):
            remove(facts)


def test_time_that_passes_on_both_clocks_unlocks(monotonic: HeldMonotonic) -> None:
    with clock.held(START_MS) as advance:
        facts = LocalMetadata()
        locked_for(facts, HOUR_MS)
        job = LockClock(facts.metadata)
        for _ in range(60):
            with pytest.raises(Locked):
                remove(facts)
            monotonic.now_s += 60
            advance(60_000)
            assert asyncio.run(job.run()) <= 60
        remove(facts)


def test_what_could_not_be_told_is_told_later_but_never_twice(monotonic: HeldMonotonic) -> None:
    facts = LocalMetadata()
    job = LockClock(facts.metadata)
    for failure, told_ms in ((ConnectionError(), 120_000), (OutcomeUnknown(), 60_000)):

        def fail(command: object, failure: Exception = failure) -> None:
            raise failure

        facts.fail, facts.written = fail, []
        monotonic.now_s += 60
        with pytest.raises(type(failure)):
            asyncio.run(job.run())
        facts.fail = lambda command: None
        monotonic.now_s += 60
        asyncio.run(job.run())
        assert facts.written == [AdvanceLockClock(told_ms)]
