"""One thread for each journal drive, so that drives sync side by side and one that hangs hangs alone."""

import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from objstore import clock

R = TypeVar("R")

_Task = tuple[Callable[[], Any], int, "SimpleQueue[tuple[int, Any]]"]


class DriveSilent(OSError):
    """A drive did not finish in time. Its thread is left to it: the call may still take effect later."""


class Crew:
    """Runs one task per drive, all at once, and waits for them together."""

    def __init__(self, timeout_s: float, *, is_parallel: bool = True) -> None:
        """`timeout_s` bounds the wait for the slowest. Not parallel: one by one in the calling thread, in
        the order given, without a bound (tests that record the order of operations)."""
        self._timeout_s = timeout_s
        self._is_parallel = is_parallel
        self._queues: dict[int, SimpleQueue[_Task | None]] = {}
        self.silent: set[int] = set()
        """Drives whose thread has not come back. Their descriptors must not be closed (nor reused)."""

    def run(self, tasks: Mapping[int, Callable[[], R]]) -> tuple[dict[int, R], dict[int, OSError]]:
        """What each task returned, and the OSError of each that failed, by drive number.

        Other exceptions are raised here once all have ended.
        """
        outcomes = self._run_parallel(tasks) if self._is_parallel else _run_in_turn(tasks)
        done: dict[int, R] = {}
        failed: dict[int, OSError] = {}
        for number in tasks:
            match outcomes.get(number, DriveSilent(f"no answer within {self._timeout_s} s")):
                case OSError() as error:
                    failed[number] = error
                case BaseException() as error:
                    raise error
                case outcome:
                    done[number] = outcome
        return done, failed

    def _run_parallel(self, tasks: Mapping[int, Callable[[], R]]) -> dict[int, Any]:
        replies: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        waiting = set()
        for number, task in tasks.items():
            if number in self.silent:
                continue
            queue = self._queues.get(number) or self._start(number)
            queue.put((task, number, replies))
            waiting.add(number)
        outcomes: dict[int, Any] = {}
        deadline_s = clock.monotonic_s() + self._timeout_s
        while waiting:
            try:
                number, outcome = replies.get(timeout=max(deadline_s - clock.monotonic_s(), 0))
            except Empty:
                self.silent |= waiting
                break
            outcomes[number] = outcome
            waiting.discard(number)
        return outcomes

    def _start(self, number: int) -> "SimpleQueue[_Task | None]":
        queue = self._queues[number] = SimpleQueue()
        threading.Thread(target=_serve, args=(queue,), name=f"journal-{number}", daemon=True).start()
        return queue

    def close(self) -> None:
        """Let the threads end. Does not wait for one that hangs."""
        for queue in self._queues.values():
            queue.put(None)
        self._queues.clear()


def _serve(queue: "SimpleQueue[_Task | None]") -> None:
    while (work := queue.get()) is not None:
        task, number, replies = work
        replies.put((number, _outcome(task)))


def _outcome(task: Callable[[], R]) -> R | BaseException:
    try:
        return task()
    except BaseException as exc:
        return exc


def _run_in_turn(tasks: Mapping[int, Callable[[], R]]) -> dict[int, Any]:
    return {number: _outcome(task) for number, task in tasks.items()}
