"""The only hop from the event loop to threads: bounded pools, so that no queue grows without limit."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

COMPUTE_THREADS: Final = max(2, os.cpu_count() or 1)
_compute = ThreadPoolExecutor(COMPUTE_THREADS, thread_name_prefix="compute")


async def run(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run `function` in the computing pool; for more than about 1 ms of work that releases the GIL."""
    loop = asyncio.get_running_loop()
    if kwargs:
        return await loop.run_in_executor(_compute, lambda: function(*args, **kwargs))
    return await loop.run_in_executor(_compute, function, *args)


class PoolFull(Exception):
    """More calls are waiting than the bound allows: what the threads serve is too slow or hangs."""


class Pool:
    """A few threads for one thing that may hang, such as a drive; so that it hangs alone.

    The threads are daemons, started when needed: one that never comes back does not keep the process
    from ending. Cheaper per call than a ThreadPoolExecutor behind asyncio, which hot paths notice.
    """

    def __init__(self, name: str, threads: int, waiting_max: int) -> None:
        self._name = name
        self._threads_max = threads
        self._waiting_max = waiting_max
        self._threads = 0
        self._unfinished = 0
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def unfinished(self) -> int:
        """Calls waiting or running now."""
        return self._unfinished

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[R]":
        """Start `function` in a thread; a future of the running loop. Cancelling it does not stop the call.

        Raises PoolFull.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        with self._lock:
            if self._closed or self._unfinished >= self._waiting_max + self._threads_max:
                raise PoolFull(f"{self._unfinished} calls are waiting for {self._name}")
            self._unfinished += 1
            if self._threads < min(self._unfinished, self._threads_max):
                self._threads += 1
                threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        self._calls.put((loop, future, partial(function, *args, **kwargs)))
        return future

    def close(self) -> None:
        """Let the threads end after the calls they have. Does not wait."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            loop, future, function = call
            outcome: Any = None
            error: BaseException | None = None
            try:
                outcome = function()
            except BaseException as exc:
                error = exc
            with self._lock:
                self._unfinished -= 1
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, future, outcome, error)
            del call, future, function, outcome, error  # hold nothing while idle


_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


def _settle(future: "asyncio.Future[Any]", outcome: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(outcome)
