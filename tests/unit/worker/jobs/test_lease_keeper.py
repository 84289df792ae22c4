"""Progress of jobs, as a worker publishes it."""

import asyncio
from collections.abc import Mapping
from typing import Any
from unittest.mock import Mock

import pytest

from worker.jobs import lease_keeper as leases
from worker.jobs.lease_keeper import MAX_PUBLISHING, LeaseKeeper


class RecordingQueue:
    """Records the published events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.published = asyncio.Event()

    async def publish(self, job_id: str, event: Mapping[str, Any]) -> None:
        self.events.append((event["stage"], event["progress"]))
        self.published.set()


class BlockedQueue:
    """Never finishes publishing an event."""

    def __init__(self) -> None:
        self.calls = 0

    async def publish(self, job_id: str, event: Mapping[str, Any]) -> None:
        self.calls += 1
        await asyncio.Event().wait()


async def test_progress_events_beyond_a_limit_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "FIRST_PROGRESS_DELAY_SECONDS", 0.0)
    queue, claim = BlockedQueue(), Mock()
    keeper = LeaseKeeper(Mock(), queue)  # type: ignore[arg-type]

    async def report() -> None:
        for number in range(10_000):
            keeper.report(claim, {"stage": f"s{number}\n" * 100, "progress": -number if number % 2 else 10**9})
        await asyncio.sleep(0)

    await keeper.hold(claim, report())
    assert queue.calls == MAX_PUBLISHING
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def test_progress_is_first_published_after_a_delay() -> None:
    queue, claim = RecordingQueue(), Mock()
    keeper = LeaseKeeper(Mock(), queue)  # type: ignore[arg-type]

    async def report(published: asyncio.Event | None) -> None:
        for progress in (1, 2, 3):
            keeper.report(claim, {"stage": "fetching", "progress": progress})
        if published is not None:
            await published.wait()
            keeper.report(claim, {"stage": "collecting", "progress": 50})
            await asyncio.sleep(0)

    await keeper.hold(claim, report(None))
    assert queue.events == []
    await keeper.hold(claim, report(queue.published))
    assert queue.events == [("fetching", 3), ("collecting", 50)]
