"""The only reader of the clock and the only source of ids, so that tests can hold both."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

RANDOM_BYTES: Final = 10
_RANDOMS_AT_A_TIME: Final = 400

_wall_ns: Callable[[], int] = time.time_ns
_randoms: deque[bytes] = deque()
os.register_at_fork(after_in_child=_randoms.clear)


def now_ms() -> int:
    """Milliseconds since the Unix epoch, UTC. May jump backwards: never order commits by it."""
    return _wall_ns() // 1_000_000


def now_s() -> int:
    """Whole seconds since the Unix epoch, UTC."""
    return _wall_ns() // 1_000_000_000


def monotonic_s() -> float:
    """Seconds on a clock that never jumps; only differences mean something."""
    return time.monotonic()


def random_bytes() -> bytes:
    """RANDOM_BYTES bytes of the system's randomness, which occur once; from any thread.

    Fetched many at a time: each call of the kernel lets go of the interpreter lock, and a thread that has
    others beside it waits longer to get it back than all the rest of an id takes.
    """
    while True:
        try:
            return _randoms.popleft()
        except IndexError:
            fresh = os.urandom(RANDOM_BYTES * _RANDOMS_AT_A_TIME)
            _randoms.extend(fresh[at : at + RANDOM_BYTES] for at in range(0, len(fresh), RANDOM_BYTES))


def new_id() -> bytes:
    """16 bytes that occur once: 48 bits of milliseconds, then 80 random bits.

    Ids made later on one machine sort later (to the millisecond), which keeps index inserts at the
    right-hand edge. Layout after RFC 9562 section 5.7 (UUIDv7) without its version bits.
    """
    return now_ms().to_bytes(6, "big") + random_bytes()


def id_ms(identifier: bytes) -> int:
    """When `new_id` made this id, in milliseconds since the Unix epoch."""
    return int.from_bytes(identifier[:6], "big")


@contextmanager
def held(at_ms: int) -> Iterator[Callable[[int], None]]:
    """Hold the wall clock of this process at `at_ms`; yields a function that moves it on by ms."""
    global _wall_ns
    before, now_ns = _wall_ns, [at_ms * 1_000_000]

    def advance(ms: int) -> None:
        now_ns[0] += ms * 1_000_000

    _wall_ns = lambda: now_ns[0]  # noqa: E731
    try:
        yield advance
    finally:
        _wall_ns = before
