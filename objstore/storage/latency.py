"""How fast the drives answer: when to ask another one, and which to leave alone for a while.

Thresholds are percentiles of what was measured lately, not constants: a hard disk is not slow for
being no SSD. A slow drive is tried again when SLOW_S have passed.
"""

from collections import deque
from statistics import median
from typing import Final

from objstore import clock

SAMPLES: Final = 64
SAMPLES_MIN: Final = 5
WINDOW_S: Final = 15.0
HEDGE_S_MIN: Final = 0.02
HEDGE_S_MAX: Final = 2.0
HEDGE_FACTOR: Final = 3.0
SLOW_S: Final = 10.0
SLOW_FACTOR: Final = 8.0
SLOW_S_MIN: Final = 0.02
"""A drive that mostly answers within this is never called slow."""


class Latencies:
    """Durations of reads, by drive. `add` may be called in any thread; `review` now and then in one."""

    def __init__(self) -> None:
        self.hedge_s = HEDGE_S_MAX
        """A read that takes longer than this is worth asking elsewhere."""
        self._samples: dict[str, deque[tuple[float, float]]] = {}
        self._slow_until_s: dict[str, float] = {}
        self._is_new = False

    def add(self, path: str, seconds: float) -> None:
        """A read of the drive at `path` took this long."""
        samples = self._samples.get(path)
        if samples is None:
            samples = self._samples.setdefault(path, deque(maxlen=SAMPLES))
        samples.append((clock.monotonic_s(), seconds))
        self._is_new = True

    def is_slow(self, path: str) -> bool:
        """Whether reads should go around this drive for now."""
        until_s = self._slow_until_s.get(path)
        return until_s is not None and clock.monotonic_s() < until_s

    def review(self) -> None:
        """Draw the consequences of what was measured since."""
        if not self._is_new:
            return
        self._is_new = False
        now_s = clock.monotonic_s()
        recent = {
            path: [seconds for at_s, seconds in tuple(samples) if now_s - at_s < WINDOW_S]
            for path, samples in self._samples.items()
        }
        medians = {path: median(values) for path, values in recent.items() if len(values) >= SAMPLES_MIN}
        for path, typical_s in medians.items():
            others = [value for other, value in medians.items() if other != path]
            if others and typical_s > max(SLOW_S_MIN, SLOW_FACTOR * median(others)):
                self._slow_until_s[path] = now_s + SLOW_S
                self._samples[path].clear()
        usual = sorted(
            seconds for path, values in recent.items() if not self.is_slow(path) for seconds in values
        )
        if len(usual) >= SAMPLES_MIN:
            percentile_95_s = usual[min(len(usual) - 1, len(usual) * 95 // 100)]
            self.hedge_s = min(HEDGE_S_MAX, max(HEDGE_S_MIN, HEDGE_FACTOR * percentile_95_s))
