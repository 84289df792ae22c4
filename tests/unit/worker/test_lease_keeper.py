"""What a child says of its progress, as far as the worker passes it on."""

import asyncio
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import pytest

from worker.jobs import lease_keeper as leases
from worker.jobs.lease_keeper import MAX_PUBLISHING, LeaseKeeper


class Attentive:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []
        self.anything = asyncio.Event()

    async def publish(self, job_id: str, event: Mapping[str, Any]) -> None:
        self.heard.append((event["stage"], event["progress"]))
        self.anything.set()


class Deaf:
    """A queue whose messages never arrive."""

    def __init__(self) -> None:
        self.asked = 0

    async def publish(self, job_id: str, event: Mapping[str, Any]) -> None:
        self.asked += 1
        await asyncio.Event().wait()


async def test_a_child_that_talks_without_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "FIRST_PROGRESS_DELAY_SECONDS", 0.0)
    queue, claim = Deaf(), Mock()
    keeper = LeaseKeeper(Mock(), queue)  # type: ignore[arg-type]

    async def talk() -> None:
        for number in range(10_000):
            keeper.report(claim, {"stage": f"s{number}\n" * 100, "progress": -number if number % 2 else 10**9})
        await asyncio.sleep(0)

    await keeper.hold(claim, talk())
    assert queue.asked == MAX_PUBLISHING
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_the_first_moment_is_told_once_and_only_of_a_job_that_lasts_longer() -> None:
    queue, claim = Attentive(), Mock()
    keeper = LeaseKeeper(Mock(), queue)  # type: ignore[arg-type]

    async def talk(then: asyncio.Event | None) -> None:
        for progress in (1, 2, 3):
            keeper.report(claim, {"stage": "fetching", "progress": progress})
        if then is not None:
            await then.wait()
            keeper.report(claim, {"stage": "collecting", "progress": 50})
            await asyncio.sleep(0)

    await keeper.hold(claim, talk(None))
    assert queue.heard == []
    await keeper.hold(claim, talk(queue.anything))
    assert queue.heard == [("fetching", 3), ("collecting", 50)]
