"""What a child says of its progress, as far as the worker passes it on."""

import asyncio
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

from worker.leases import MAX_PUBLISHING, LeaseKeeper


class Deaf:
    """A doorbell whose messages never arrive."""

    def __init__(self) -> None:
        self.asked = 0

    async def publish(self, job_id: str, event: Mapping[str, Any]) -> None:
        self.asked += 1
        await asyncio.Event().wait()


async def test_a_child_that_talks_without_end_fills_no_memory() -> None:
    doorbell, claim = Deaf(), Mock()
    keeper = LeaseKeeper(Mock(), doorbell)  # type: ignore[arg-type]

    async def talk() -> None:
        for number in range(10_000):
            keeper.report(claim, {"stage": f"s{number}\n" * 100, "progress": -number if number % 2 else 10**9})
        await asyncio.sleep(0)

    await keeper.hold(claim, talk())
    assert doorbell.asked == MAX_PUBLISHING
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
