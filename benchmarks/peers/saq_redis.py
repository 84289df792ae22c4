"""SAQ with its queue in Redis."""

from collections.abc import Sequence

from saq import Queue

from benchmarks.peers import keys, saq_jobs
from benchmarks.peers.peer import About

ABOUT = About(
    packages=("saq", "redis"),
    jobs=3_000,
    server="Redis",
    claim_durable=False,
    end_durable=False,
    result_stored=True,
    set_up="its getting-started page: a redis:// address, hiredis, concurrency 20, results kept for 600 s; "
    "its sweeper aborts one or two jobs when a worker starts",
)
ADDRESS = keys.url(11)
queue = Queue.from_url(ADDRESS)
settings = saq_jobs.worker_settings(queue)


def worker_command() -> Sequence[str]:
    return saq_jobs.worker_command(__name__)


async def submit(count: int) -> None:
    await keys.clear(ADDRESS)
    await queue.connect()
    for _ in range(count):
        await queue.enqueue("nothing")


async def moments() -> tuple[int, float, float]:
    if await queue.count("queued"):
        return 0, 0.0, 0.0
    return saq_jobs.moments_of(await keys.values(ADDRESS, "saq:job:*"))
