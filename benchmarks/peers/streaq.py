"""streaQ: jobs in Redis streams."""

import sys
from collections.abc import Sequence
from pathlib import Path

from streaq import Worker

from benchmarks.peers import keys
from benchmarks.peers.peer import SLOTS, About

ABOUT = About(
    packages=("streaq", "coredis"),
    jobs=6_000,
    server="Redis",
    claim_durable=False,
    end_durable=False,
    result_stored=True,
    set_up="its getting-started page: `streaq run`, concurrency 20, results kept for 300 s, uvloop",
)
ADDRESS = keys.url(12)
worker = Worker(redis_url=ADDRESS, concurrency=SLOTS)


async def nothing() -> None:
    """Do nothing."""


task = worker.task(nothing)


def worker_command() -> Sequence[str]:
    return [str(Path(sys.executable).with_name("streaq")), "run", f"{__name__}:worker"]


async def submit(count: int) -> None:
    await keys.clear(ADDRESS)
    async with worker:
        tasks = [task.enqueue() for _ in range(count)]
        await worker.enqueue_many(tasks)


async def moments() -> tuple[int, float, float]:
    documents = await keys.values(ADDRESS, f"{worker.results_key}*")
    if not documents:
        return 0, 0.0, 0.0
    results = [await worker.deserialize(document) for document in documents]
    good = [result for result in results if result["s"]]
    return len(good), min(result["st"] for result in good) / 1000, max(result["ft"] for result in good) / 1000
