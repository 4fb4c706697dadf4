"""Which drives are slow is told by comparing them, not by a constant."""

from objstore.storage.latency import HEDGE_S_MAX, HEDGE_S_MIN, SLOW_S_MIN, Latencies


def _measured(**typical_s: float) -> Latencies:
    latencies = Latencies()
    for _ in range(20):
        for path, seconds in typical_s.items():
            latencies.add(path, seconds)
    latencies.review()
    return latencies


def test_nothing_is_known_at_first() -> None:
    latencies = Latencies()
    latencies.review()
    assert latencies.hedge_s == HEDGE_S_MAX
    assert not latencies.is_slow("a")


def test_a_drive_much_slower_than_the_others_is_slow() -> None:
    latencies = _measured(a=0.002, b=0.003, c=0.5)
    assert [latencies.is_slow(path) for path in "abc"] == [False, False, True]
    assert latencies.hedge_s == HEDGE_S_MIN


def test_drives_that_are_all_slow_are_not_slow() -> None:
    latencies = _measured(a=0.5, b=0.6, c=0.7)
    assert not any(latencies.is_slow(path) for path in "abc")
    assert latencies.hedge_s > 1.0


def test_a_fast_drive_is_not_slow_for_being_slower_than_the_page_cache() -> None:
    latencies = _measured(a=0.0001, b=0.0001, c=SLOW_S_MIN * 0.9)
    assert not latencies.is_slow("c")


def test_one_drive_alone_is_never_slow() -> None:
    assert not _measured(a=3.0).is_slow("a")
