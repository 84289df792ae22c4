"""Procrastinate: jobs and their events in PostgreSQL."""

import sys
from collections.abc import Sequence
from pathlib import Path

import procrastinate

from benchmarks.peers import database
from benchmarks.peers.peer import SLOTS, About

ABOUT = About(
    packages=("procrastinate", "psycopg"),
    jobs=4_000,
    server="PostgreSQL",
    claim_durable=True,
    end_durable=True,
    result_stored=False,
    set_up="its quickstart: PsycopgConnector, `procrastinate worker --concurrency=20`, LISTEN/NOTIFY on",
)
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database.URL))


async def nothing() -> None:
    """Do nothing."""


app.task(name="nothing")(nothing)


def worker_command() -> Sequence[str]:
    program = str(Path(sys.executable).with_name("procrastinate"))
    return [program, f"--app={__name__}.app", "worker", f"--concurrency={SLOTS}"]


async def submit(count: int) -> None:
    async with app.open_async():
        if not await database.has_table("procrastinate_jobs"):
            await app.schema_manager.apply_schema_async()
        await database.execute("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        await app.tasks["nothing"].batch_defer_async(*[{}] * count)


async def moments() -> tuple[int, float, float]:
    ended, first, last = await database.row("""
        SELECT count(*) FILTER (WHERE type = 'succeeded'),
            extract(epoch FROM min(at) FILTER (WHERE type = 'started'))::float8,
            extract(epoch FROM max(at) FILTER (WHERE type = 'succeeded'))::float8
        FROM procrastinate_events
    """)
    return ended, first, last
