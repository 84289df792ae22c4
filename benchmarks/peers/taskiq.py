"""taskiq with taskiq-redis: jobs in a Redis stream, results in Redis."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers import keys
from benchmarks.peers.peer import SLOTS, About

ABOUT = About(
    packages=("taskiq", "taskiq-redis", "redis"),
    jobs=3_000,
    server="Redis",
    claim_durable=False,
    end_durable=False,
    result_stored=True,
    set_up="taskiq-redis's page: RedisStreamBroker and RedisAsyncResultBackend, `taskiq worker --workers 1 "
    "--max-async-tasks 20`, uvloop",
)
ADDRESS = keys.url(13)
backend: RedisAsyncResultBackend[float] = RedisAsyncResultBackend(redis_url=ADDRESS)
broker = RedisStreamBroker(url=ADDRESS).with_result_backend(backend)
submitted: list[str] = []


async def nothing() -> float:
    """Do nothing but tell the time, so that the stored result says when it ran."""
    return time.time()


task = broker.task(task_name="nothing")(nothing)


def worker_command() -> Sequence[str]:
    program = str(Path(sys.executable).with_name("taskiq"))
    return [program, "worker", f"{__name__}:broker", "--workers", "1", "--max-async-tasks", str(SLOTS)]


async def submit(count: int) -> None:
    await keys.clear(ADDRESS)
    await broker.startup()
    submitted[:] = [(await task.kiq()).task_id for _ in range(count)]


async def moments() -> tuple[int, float, float]:
    missing = [task_id for task_id in submitted[-1:] if not await backend.is_result_ready(task_id)]
    if missing:
        return 0, 0.0, 0.0
    results = [await backend.get_result(task_id) for task_id in submitted if await backend.is_result_ready(task_id)]
    times = [result.return_value for result in results if not result.is_err]
    return len(times), min(times), max(times)
