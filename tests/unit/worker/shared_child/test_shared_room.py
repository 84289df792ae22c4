"""Room: small uploads of one user that may share a child count as one job."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from domain.sources import SMALL_UPLOAD_BYTES
from worker.analysis.shared_child.room import children_needed
from worker.process.job_pool import JobPool


def claim(user: str, size: int | None = 100, filename: str | None = "a.py") -> Any:
    job = SimpleNamespace(user_id=user, source_metadata={"upload_filename": filename}, small=size is not None)
    return SimpleNamespace(job=job, upload=None if size is None else b"x" * size)


@pytest.mark.parametrize(
    ("claims", "children"),
    [
        ([], 0),
        ([claim("ann")] * 8, 1),
        ([claim("ann")] * 9, 2),
        ([claim("ann")] * 8 + [claim("bob")], 2),
        ([claim("ann"), claim("ann", None), claim("ann", None, None)], 3),
        ([claim("ann", filename="a.zip")] * 3, 3),
        ([claim("ann", filename=None)] * 2, 2),
        ([claim("ann", SMALL_UPLOAD_BYTES // 2)] * 4, 2),
        ([claim("ann", SMALL_UPLOAD_BYTES)] * 3, 3),
    ],
)
def test_children_that_jobs_need(claims: Sequence[Any], children: int) -> None:
    assert children_needed(claims, 8) == children


def test_without_sharing_each_job_needs_a_child() -> None:
    assert children_needed([claim("ann")] * 5, 1) == 5


class Runner:
    """Runner whose claims bring up to `share` jobs along, and whose jobs run until they are cancelled."""

    def __init__(self, due: int) -> None:
        self.leases = Mock(healthy=True)
        self.limits: list[int] = []
        self._due = due

    async def claim(self, limit: int, *, share: int = 1, **_: Any) -> Sequence[Any]:
        count = min(self._due, max(limit, share))
        self._due -= count
        self.limits.append(limit)
        return [claim("ann") for _ in range(count)]

    async def assign_turns(self, _: int) -> int:
        return 0

    async def run(self, *_: Any, **__: Any) -> None:
        await asyncio.Event().wait()


async def test_pool_claims_until_its_room_is_full_of_shared_children() -> None:
    runner, backpressure = Runner(100), Mock()
    backpressure.reason.return_value = None
    pool = JobPool(runner, backpressure, room=4, share=8)  # type: ignore[arg-type]
    task = asyncio.create_task(pool.run())
    async with asyncio.timeout(5):
        while pool.free:
            await asyncio.sleep(0)
    assert (pool.busy, pool.free, runner.limits) == (32, 0, [4, 3, 2, 1])
    force = asyncio.Event()
    force.set()
    await pool.drain(0, force)
    task.cancel()
