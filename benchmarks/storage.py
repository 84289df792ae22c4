"""Time and size of storing and reading one run with many findings: `python -m benchmarks.storage`.

Starts PostgreSQL and Valkey of its own in a temporary directory, as durable as those of `vibe8 up`. Prints medians.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from benchmarks.comparison import finding, run_of
from domain.metrics.report import Analysis
from domain.runs import NewRun, RunOrigin
from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.engine import Database
from infrastructure.database.migrate import upgrade
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.settings import Settings
from worker.client import Client

REPEATS = 5


def new_run(user_id: UUID, findings: int) -> NewRun:
    """Return a run with so many findings, of as many texts, and their files."""
    columns = {"severity": "low", "column": 5, "end_line": 9, "end_column": 20, "fingerprint": "0" * 16}
    measured = run_of([finding(number, **columns) for number in range(findings)])
    analysis = Analysis(
        metrics={},
        file_tree=measured.file_tree or {},
        findings=measured.findings,
        errors=(),
        completeness=measured.completeness,
        tool_versions=measured.tool_versions,
        timings_ms={},
        history={},
    )
    run_id = uuid.uuid4()
    origin = RunOrigin(submission_type="upload", upload_filename="a.zip")
    return NewRun(run_id=run_id, user_id=user_id, job_id=run_id.hex, origin=origin, analysis=analysis, duration_ms=1)


async def timed(name: str, call: Callable[[], Awaitable[object]]) -> None:
    """Print the median time of a call."""
    spent = []
    for _ in range(REPEATS):
        started = time.monotonic()
        await call()
        spent.append(time.monotonic() - started)
    print(f"{name:44}{statistics.median(spent):8.3f} s")


async def measure(database_url: str, settings: Settings, findings: int) -> None:
    """Print the times and sizes."""
    await upgrade(asyncpg_url(database_url))
    database = Database.from_settings(settings)
    async with Client.open(settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        run = new_run(user_id, findings)
        serialized = SerializedRun.of(run)

        async def insert() -> None:
            async with database.unit_of_work() as work:
                await RunRepository(work).delete(run.run_id)
                await RunRepository(work).insert_many([serialized])

        await timed("insert, in place of the one before", insert)
        async with database.unit_of_work() as work:
            stored = await work.scalar(text("SELECT pg_column_size(findings) FROM analysis_runs"))
        print(f"{'findings as JSON, as stored':44}{serialized.size / 1e6:8.1f} MB{stored / 1e6:8.1f} MB")
        await timed("read the whole run", lambda: client.get_run(user_id, run.run_id))
        await timed("first page of 50 findings", lambda: client.list_findings(user_id, run.run_id))
        await timed("50 findings by path", lambda: client.list_findings(user_id, run.run_id, path="d/9*"))
        await timed("page of the list of runs", lambda: client.list_runs(user_id))
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vibe8-storage-") as directory, EmbeddedStack(Path(directory)) as stack:
        addresses = {"database_url": stack.database_url, "redis_url": stack.redis_url}
        asyncio.run(measure(stack.database_url, Settings.model_validate(addresses), options.findings))


if __name__ == "__main__":
    main()
