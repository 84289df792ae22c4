"""Who gets a processor, and when."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import pytest

from worker.analysis.core_pool import CorePool


async def hold(cores: CorePool, turn: int, order: list[int], release: asyncio.Event) -> None:
    async with cores.acquire(1, turn=turn):
        order.append(turn)
        await release.wait()


async def test_lowest_turn_is_served_first() -> None:
    cores, order, release = CorePool(1), list[int](), asyncio.Event()
    async with cores.acquire():
        tasks = [asyncio.create_task(hold(cores, turn, order, release)) for turn in (7, 3, 5)]
        await asyncio.sleep(0)
        release.set()
    await asyncio.gather(*tasks)
    assert order == [3, 5, 7]


async def test_idle_cores_are_taken_together_unless_others_wait() -> None:
    cores = CorePool(4)
    async with cores.acquire() as all_cores:
        assert all_cores == 4
        waiting = [asyncio.create_task(cores.acquire().__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
    assert sorted(await asyncio.gather(*waiting)) == [1, 1, 2]


async def test_at_most_the_wanted_number_is_taken() -> None:
    async with AsyncExitStack() as stack:
        cores = CorePool(4)
        assert await stack.enter_async_context(cores.acquire(1)) == 1
        assert await stack.enter_async_context(cores.acquire()) == 3


async def test_waiting_is_reported_only_where_there_is_a_wait() -> None:
    cores, waits = CorePool(1), list[str]()

    async def note(name: str) -> None:
        waits.append(name)

    async with cores.acquire(while_waiting=partial(note, "first")):
        second = asyncio.create_task(cores.acquire(while_waiting=partial(note, "second")).__aenter__())
        await asyncio.sleep(0)
    await second
    assert waits == ["second"]


async def test_express_job_runs_beside_the_others_and_takes_no_core() -> None:
    cores = CorePool(1)
    async with cores.acquire(), cores.acquire(express=True) as beside:
        assert beside == 1
    async with cores.acquire() as taken:
        assert taken == 1


@pytest.mark.parametrize("granted", [False, True])
async def test_cancelled_waiter_keeps_no_core(granted: bool) -> None:
    cores = CorePool(1)
    async with cores.acquire():
        cancelled = asyncio.create_task(cores.acquire().__aenter__())
        await asyncio.sleep(0)
        if not granted:
            cancelled.cancel()
            await asyncio.gather(cancelled, return_exceptions=True)
    if granted:
        cancelled.cancel()  # its future has its result, but the task has not run since
        await asyncio.gather(cancelled, return_exceptions=True)
    async with asyncio.timeout(1), cores.acquire() as taken:
        assert taken == 1


class NoRoomError(Exception):
    pass


async def fail_when(event: asyncio.Event) -> None:
    await event.wait()
    raise NoRoomError


@pytest.mark.parametrize("first", ["core", "failure"])
async def test_core_that_is_granted_is_kept_though_the_work_beside_the_wait_fails(first: str) -> None:
    cores, failure = CorePool(1), asyncio.Event()
    async with cores.acquire():
        waiting = asyncio.create_task(cores.acquire(while_waiting=partial(fail_when, failure)).__aenter__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if first == "failure":
            failure.set()
    failure.set()  # in the step in which the core is granted
    assert await waiting == 1


async def test_work_that_fails_ends_the_wait_and_keeps_no_core() -> None:
    cores, failure = CorePool(1), asyncio.Event()
    async with cores.acquire():
        waiting = asyncio.create_task(cores.acquire(while_waiting=partial(fail_when, failure)).__aenter__())
        await asyncio.sleep(0)
        failure.set()
        with pytest.raises(NoRoomError):
            await waiting
    async with asyncio.timeout(1), cores.acquire() as taken:
        assert taken == 1
