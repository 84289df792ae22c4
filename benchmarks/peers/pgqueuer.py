"""PgQueuer: jobs and their log in PostgreSQL."""

import asyncio
import signal
import sys
from collections.abc import Sequence

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks.peers import database
from benchmarks.peers.peer import SLOTS, About

ABOUT = About(
    packages=("pgqueuer", "asyncpg"),
    jobs=8_000,
    server="PostgreSQL",
    claim_durable=True,
    end_durable=True,
    result_stored=False,
    set_up="its guide on running it from Python (its `pgq run` fails to start): asyncpg, uvloop, "
    "max_concurrent_tasks 20, batches of 10, durability `durable`",
)


async def nothing(_: Job) -> None:
    """Do nothing."""


def worker_command() -> Sequence[str]:
    return [sys.executable, "-m", "benchmarks.peers.pgqueuer"]


async def work() -> None:
    """Run a worker until SIGTERM."""
    connection = await asyncpg.connect(database.URL)
    queuer = PgQueuer.from_asyncpg_connection(connection)
    queuer.entrypoint("nothing")(nothing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, queuer.shutdown.set)
    await queuer.run(max_concurrent_tasks=SLOTS)


async def submit(count: int) -> None:
    connection = await asyncpg.connect(database.URL)
    queries = Queries(AsyncpgDriver(connection))
    if not await database.has_table("pgqueuer"):
        await queries.install()
    await database.execute("TRUNCATE pgqueuer, pgqueuer_log")
    await queries.enqueue(["nothing"] * count, [None] * count, [0] * count)
    await connection.close()


async def moments() -> tuple[int, float, float]:
    ended, first, last = await database.row("""
        SELECT count(*) FILTER (WHERE status = 'successful'),
            extract(epoch FROM min(created) FILTER (WHERE status = 'picked'))::float8,
            extract(epoch FROM max(created) FILTER (WHERE status = 'successful'))::float8
        FROM pgqueuer_log
    """)
    return ended, first, last


if __name__ == "__main__":
    uvloop.run(work())
