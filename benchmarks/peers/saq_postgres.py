"""SAQ with its queue in PostgreSQL."""

from collections.abc import Sequence

import asyncpg
from saq import Queue

from benchmarks.peers import database, saq_jobs
from benchmarks.peers.peer import About

ABOUT = About(
    packages=("saq", "psycopg"),
    jobs=1_500,
    server="PostgreSQL",
    claim_durable=True,
    end_durable=True,
    result_stored=True,
    set_up="its getting-started page with a postgresql:// address, concurrency 20, results kept for 600 s",
)
queue = Queue.from_url(database.URL)
settings = saq_jobs.worker_settings(queue)


def worker_command() -> Sequence[str]:
    return saq_jobs.worker_command(__name__)


async def submit(count: int) -> None:
    await queue.connect()
    await database.execute("TRUNCATE saq_jobs")
    for _ in range(count):
        await queue.enqueue("nothing")
    await queue.disconnect()


async def moments() -> tuple[int, float, float]:
    (left,) = await database.row("SELECT count(*) FROM saq_jobs WHERE status = ANY($1)", saq_jobs.OPEN)
    if left:
        return 0, 0.0, 0.0
    connection = await asyncpg.connect(database.URL)
    rows = await connection.fetch("SELECT job FROM saq_jobs")
    await connection.close()
    return saq_jobs.moments_of(row["job"] for row in rows)
