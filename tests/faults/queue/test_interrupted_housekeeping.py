"""Cleanup, retention and the deletion of a user, killed in the middle of a chunk: the next one goes on."""

import asyncio
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from tests.fixtures.control.statement_gate import StatementGate, statement_gate
from tests.fixtures.database import Rows
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from worker.client import Client
from worker.jobs.cleanup import SLOT_LEASE_SECONDS

CHUNK = 5_000
ROWS = 3 * CHUNK + 100
GATE = "(SELECT count(*) FROM changed) > 0 AND nextval('chunks') = 2"
"""The second chunk waits at the gate: with its changes, but not committed."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A kind of housekeeping: the rows that it finds, and what it does with them."""

    table: str
    event: str
    insert: str
    """SQL with `$1`, the user, and `$2`, the number of rows."""
    left: str
    """SQL that counts the rows that are still to be done."""


JOBS = """
    INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, run_after, updated_at, started_at, turn)
    SELECT 'job-' || n, $1, '{status}', 'upload', '{{"upload_filename": "a.py"}}', now() - interval '2 days',
        now() - interval '2 days', now() - interval '2 days', n
    FROM generate_series(1, $2::int) AS n
"""
RUNS = """
    INSERT INTO analysis_runs (user_id, submission_type, metrics, created_at, job_id)
    SELECT $1, 'upload', '{}', now() - interval '40 days', 'job-' || n FROM generate_series(1, $2::int) AS n
"""
WORK = {
    "pending jobs that are stale": Work(
        table="jobs",
        event="UPDATE",
        insert=JOBS.format(status="pending"),
        left="SELECT count(*) AS n FROM jobs WHERE status = 'pending'",
    ),
    "running jobs that are stale": Work(
        table="jobs",
        event="UPDATE",
        insert=JOBS.format(status="running"),
        left="SELECT count(*) AS n FROM jobs WHERE status = 'running'",
    ),
    "completed jobs": Work(
        table="jobs", event="DELETE", insert=JOBS.format(status="completed"), left="SELECT count(*) AS n FROM jobs"
    ),
    "old runs": Work(
        table="analysis_runs", event="DELETE", insert=RUNS, left="SELECT count(*) AS n FROM analysis_runs"
    ),
}


async def left(rows: Rows, work: Work) -> int:
    return int((await rows.all(work.left))[0]["n"])


async def gate_at_second_chunk(stack: AsyncExitStack, system: System, work: Work) -> StatementGate:
    await Rows(system).all("CREATE SEQUENCE chunks")
    return await stack.enter_async_context(
        statement_gate(system.environment["DATABASE_URL"], work.table, work.event, GATE)
    )


@pytest.mark.settings(RUN_RETENTION_DAYS="30")
@pytest.mark.parametrize("name", WORK)
async def test_cleanup_of_a_killed_worker_is_resumed_by_another(system: System, user_id: UUID, name: str) -> None:
    rows, work = Rows(system), WORK[name]
    await rows.all("INSERT INTO fleet_controls (name) VALUES ('paused')")  # no worker claims the stale jobs
    await rows.all(work.insert, user_id, ROWS)
    async with AsyncExitStack() as stack:
        gate = await gate_at_second_chunk(stack, system, work)
        first = await stack.enter_async_context(system.worker("first"))
        await gate.until_reached()
        await first.stop(signal.SIGKILL)
        await gate.open()

    async def chunk_is_rolled_back() -> bool:
        return await left(rows, work) == ROWS - CHUNK and not await open_transactions(rows)

    await until(chunk_is_rolled_back)
    await rows.all("UPDATE cron_slots SET claimed_at = now() - make_interval(secs => $1)", SLOT_LEASE_SECONDS + 1)
    async with system.worker("second") as second:
        (done,) = await second.until("cleanup.completed")
        assert await left(rows, work) == 0
        jobs = ROWS - CHUNK if work.table == "jobs" else 0
        assert done["deleted"] + done["stale"] == jobs
    assert len(await rows.all("SELECT 1 FROM cron_slots WHERE name = 'cleanup.completed'")) == 1


async def open_transactions(rows: Rows) -> bool:
    """Return whether another session of this database is in a transaction."""
    return bool(
        await rows.all(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND xact_start IS NOT NULL"
        )
    )


DELETE_USER = """
import asyncio, sys, uuid
from infrastructure.settings import load_settings
from worker.client import Client

async def main():
    async with Client.open(load_settings()) as client:
        await client.delete_user(uuid.UUID(sys.argv[1]))

asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["completed jobs", "old runs"])
async def test_deletion_of_a_user_by_a_killed_program_is_resumed_by_the_next_call(
    system: System, client: Client, user_id: UUID, name: str
) -> None:
    rows, work = Rows(system), WORK[name]
    await rows.all(work.insert, user_id, ROWS)
    async with AsyncExitStack() as stack:
        gate = await gate_at_second_chunk(stack, system, work)
        root = str(Path(__file__).parents[3])
        program = subprocess.Popen(
            [sys.executable, "-c", DELETE_USER, str(user_id)], env=system.process_environment(PYTHONPATH=root)
        )
        await gate.until_reached()
        program.kill()
        await asyncio.to_thread(program.wait)
        await gate.open()

    async def chunk_is_rolled_back() -> bool:
        return await left(rows, work) == ROWS - CHUNK and not await open_transactions(rows)

    await until(chunk_is_rolled_back)
    assert len(await rows.all("SELECT 1 FROM users")) == 1
    await client.delete_user(user_id)
    assert await left(rows, work) == 0
    assert await rows.all("SELECT 1 FROM users") == []
