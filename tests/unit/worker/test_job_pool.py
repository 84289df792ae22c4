"""The pool of jobs: when it claims, how much, and when it takes wake-ups."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import Mock

from structlog.testing import capture_logs

from domain.errors import ServiceUnavailableError
from worker.process.job_pool import JobPool


class FakeRunner:
    """Claims from a list of jobs. Each job works until `finish`; its end is written at once, or at `write_ends`."""

    def __init__(self, jobs: int, *, small: bool = True, slow_ends: bool = False) -> None:
        self.leases = Mock(healthy=True)
        self.failing = False
        self.claims: list[int] = []
        self.log: list[str] = []
        self.running = 0
        self._due: list[Any] = []
        self.add(jobs, small=small)
        self._finish = asyncio.Event()
        self._finish_express = asyncio.Event()
        self._written = asyncio.Event()
        self._slow_ends = slow_ends
        self.takes_ends = True
        self._changed = asyncio.Event()

    def add(self, jobs: int, *, small: bool = True) -> None:
        """Submit so many jobs."""
        self._due += [Mock(**{"job.small": small}) for _ in range(jobs)]

    async def claim(self, limit: int, *, only_small: bool = False, share: int = 1) -> Sequence[Any]:
        await asyncio.sleep(0)
        if self.failing:
            self.claims.append(0)
            self._changed.set()
            raise ServiceUnavailableError("PostgreSQL is away")
        claimed = [claim for claim in self._due if claim.job.small or not only_small][:limit]
        self._due = [claim for claim in self._due if claim not in claimed]
        self.claims.append(len(claimed))
        self.log.append("claim")
        self._changed.set()
        return claimed

    async def assign_turns(self, limit: int) -> int:
        self.log.append("assign")
        return 0

    async def run(self, claim: Any, *, express: bool = False, on_ending: Callable[[], None]) -> None:
        self.running += 1
        await (self._finish_express if express else self._finish).wait()
        if self.takes_ends:
            on_ending()
        if self._slow_ends:
            await self._written.wait()
        self.running -= 1

    def finish(self) -> None:
        """Let all running jobs end at the same moment, as those do that share a transaction."""
        self._finish.set()
        self._finish = asyncio.Event()

    def finish_express(self) -> None:
        """Let the job in the express slot end its work."""
        self._finish_express.set()
        self._finish_express = asyncio.Event()

    def write_ends(self) -> None:
        """Let the ends be written of all jobs whose work is done."""
        self._written.set()
        self._written = asyncio.Event()

    async def until_claims(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.claims) < count:
                self._changed.clear()
                await self._changed.wait()
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def running_pool(runner: FakeRunner, room: int) -> AsyncIterator[JobPool]:
    backpressure = Mock()
    backpressure.reason.return_value = None
    pool = JobPool(runner, backpressure, room=room)  # type: ignore[arg-type]
    task = asyncio.create_task(pool.run())
    try:
        yield pool
    finally:
        task.cancel()
        runner.finish()
        runner.finish_express()
        await asyncio.sleep(0)
        runner.write_ends()
        await asyncio.gather(task, return_exceptions=True)


async def test_jobs_that_end_together_are_replaced_by_one_claim() -> None:
    runner = FakeRunner(30)
    async with running_pool(runner, room=10):
        await runner.until_claims(1)
        for number in (2, 3):
            runner.finish()
            await runner.until_claims(number)
        assert runner.claims == [10, 10, 10]


async def test_jobs_whose_ends_are_being_written_leave_their_room_to_others() -> None:
    runner = FakeRunner(30, slow_ends=True)
    async with running_pool(runner, room=10) as pool:
        await runner.until_claims(1)
        runner.finish()
        await runner.until_claims(2)
        assert (runner.claims, pool.busy, pool.free) == ([10, 10], 20, 0)


async def test_jobs_whose_ends_do_not_fit_into_the_next_transaction_keep_their_room() -> None:
    runner = FakeRunner(30, slow_ends=True)
    async with running_pool(runner, room=10) as pool:
        await runner.until_claims(1)
        runner.finish()
        await runner.until_claims(2)
        runner.takes_ends = False
        runner.finish()
        for _ in range(20):
            await asyncio.sleep(0)
        assert (runner.claims, pool.busy, pool.free) == ([10, 10], 20, 0)
        runner.write_ends()
        await runner.until_claims(3)
        assert (runner.claims, pool.busy) == ([10, 10, 10], 10)


async def test_so_many_jobs_whose_ends_wait_and_no_more_leave_their_room() -> None:
    runner = FakeRunner(200, slow_ends=True)
    async with running_pool(runner, room=60) as pool:
        for number in (1, 2, 3):
            await runner.until_claims(number)
            runner.finish()
        for _ in range(20):
            await asyncio.sleep(0)
        assert (sum(runner.claims), pool.busy, pool.free) == (160, 160, 0)
        runner.write_ends()
        await runner.until_claims(4)
        assert sum(runner.claims) == 200


async def test_draining_waits_for_ends_that_are_being_written() -> None:
    runner = FakeRunner(10, slow_ends=True)
    async with running_pool(runner, room=10) as pool:
        await runner.until_claims(1)
        runner.finish()
        await asyncio.sleep(0)
        drained = asyncio.create_task(pool.drain(60, asyncio.Event()))
        for _ in range(20):
            await asyncio.sleep(0)
        assert (drained.done(), pool.busy) == (False, 10)
        runner.write_ends()
        await drained
        assert (runner.running, pool.busy) == (0, 0)


async def test_the_express_slot_is_free_while_the_end_of_its_job_is_written() -> None:
    runner = FakeRunner(1, small=False, slow_ends=True)
    async with running_pool(runner, room=1) as pool:
        await runner.until_claims(2)
        runner.add(2)
        pool.wake()
        await runner.until_claims(3)
        runner.finish_express()
        await runner.until_claims(4)
        assert (runner.claims, pool.busy) == ([1, 0, 1, 1], 3)


async def test_a_backlog_needs_no_wakeups() -> None:
    runner = FakeRunner(15)
    async with running_pool(runner, room=10) as pool:
        assert pool.wakeups_wanted > 0
        await runner.until_claims(1)
        assert pool.wakeups_wanted == 0
        runner.finish()
        await runner.until_claims(2)
        assert (runner.claims, runner.running) == ([10, 5], 5)
        assert pool.wakeups_wanted > 0


async def test_a_backlog_of_large_jobs_does_not_keep_the_wakeup_of_a_small_one_from_the_express_slot() -> None:
    runner = FakeRunner(2, small=False)
    async with running_pool(runner, room=1) as pool:
        await runner.until_claims(2)
        assert (runner.claims, pool.free, pool.wakeups_wanted) == ([1, 0], 0, 1)
        runner.add(1)
        pool.wake()
        await runner.until_claims(3)
        assert (runner.claims, pool.wakeups_wanted) == ([1, 0, 1], 0)


async def test_a_worker_full_of_small_jobs_leaves_wakeups_to_others() -> None:
    runner = FakeRunner(2)
    async with running_pool(runner, room=2) as pool:
        await runner.until_claims(1)
        assert (pool.free, pool.wakeups_wanted) == (0, 0)


async def test_no_wakeup_is_taken_for_room_that_the_next_claim_may_fill() -> None:
    runner = FakeRunner(1)
    async with running_pool(runner, room=3) as pool:
        await runner.until_claims(1)
        assert pool.wakeups_wanted == 2
        pool.wake()
        assert pool.wakeups_wanted == 1
        await runner.until_claims(2)
        assert pool.wakeups_wanted == 2


async def test_a_claim_does_not_wait_for_the_assignment_of_turns() -> None:
    runner = FakeRunner(1)
    async with running_pool(runner, room=2):
        await runner.until_claims(1)
        assert runner.log[:2] == ["claim", "assign"]


async def test_end_of_an_outage_is_logged_after_its_first_failed_claim() -> None:
    runner = FakeRunner(0)
    runner.failing = True
    with capture_logs() as logs:
        async with running_pool(runner, room=2) as pool:
            await runner.until_claims(1)
            pool.wake()
            await runner.until_claims(2)
            runner.failing = False
            pool.wake()
            await runner.until_claims(3)
    assert [(line["event"], line.get("reason"), line.get("after")) for line in logs] == [
        ("claim.failed", "PostgreSQL is away", None),
        ("service.available", None, "claim.failed"),
    ]
