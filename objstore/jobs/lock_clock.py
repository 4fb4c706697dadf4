"""Tells the ledger that time passes: object locks end by a clock that only measured time moves.

See `meta/commands/locks.py`. What passed is read off the monotonic clock, which nobody can set. Telling
too little only makes locks last longer, so whenever it is unclear whether the ledger heard, it counts as
told.
"""

from typing import Final

from objstore import clock
from objstore.meta.client import Metadata
from objstore.meta.commands import AdvanceLockClock
from objstore.meta.interface import OutcomeUnknown

TELL_EVERY_S: Final = 60.0


class LockClock:
    """The job that moves the lock clock."""

    name = "lock_clock"

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._told_s = clock.monotonic_s()

    async def run(self) -> float:
        """Tell what passed since it was last told."""
        now_s = clock.monotonic_s()
        try:
            await self._metadata.write(AdvanceLockClock(int((now_s - self._told_s) * 1000)))
        except OutcomeUnknown:
            self._told_s = now_s
            raise
        self._told_s = now_s
        return TELL_EVERY_S
