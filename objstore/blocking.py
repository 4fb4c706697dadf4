"""The only hop from the event loop to threads: bounded pools, so that no queue grows without limit."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

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
