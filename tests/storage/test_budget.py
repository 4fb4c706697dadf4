"""The memory budget: bounded, fair, and whole again whatever happens to those who wait."""

import asyncio

from objstore.storage.budget import MemoryBudget
from tests.storage.support import seeded


def test_what_is_not_there_is_waited_for_in_order() -> None:
    async def test() -> None:
        budget = MemoryBudget(100)
        order: list[int] = []

        async def want(number: int, length: int) -> None:
            await budget.take(length)
            order.append(number)

        await budget.take(60)
        waiting = [asyncio.create_task(want(number, length)) for number, length in enumerate([70, 10, 20])]
        await asyncio.sleep(0)
        assert order == []
        assert not budget.try_take(1), "nobody overtakes those who wait"
        budget.give(60)
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2]
        assert budget.free_bytes == 0

    asyncio.run(test())


def test_who_wants_more_than_there_is_gets_all_of_it() -> None:
    async def test() -> None:
        budget = MemoryBudget(100)
        await budget.take(1000)
        assert budget.free_bytes == 0
        budget.give(1000)
        assert budget.free_bytes == 100

    asyncio.run(test())


def test_cancelling_those_who_wait_leaks_nothing_and_lets_others_by() -> None:
    async def test() -> None:
        random = seeded()
        budget = MemoryBudget(100)
        peak = 0

        async def use(length: int) -> None:
            nonlocal peak
            await budget.take(length)
            try:
                peak = max(peak, 100 - budget.free_bytes)
                await asyncio.sleep(0)
            finally:
                budget.give(length)

        for _ in range(200):
            tasks = [asyncio.create_task(use(random.randrange(1, 90))) for _ in range(10)]
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            for task in random.sample(tasks, 5):
                task.cancel()
            await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
            assert (budget.free_bytes, budget.waiting) == (100, 0)
        assert 0 < peak <= 100

    asyncio.run(test())
