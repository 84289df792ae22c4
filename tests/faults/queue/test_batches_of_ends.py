"""Ends of several jobs in one transaction: killed before the commit, refused for one job, or with a lost answer."""

import signal
from collections import Counter

import pytest

from tests.fixtures.control.changed_worker import changed_worker, held_worker, release_jobs
from tests.fixtures.control.statement_gate import statement_gate
from tests.fixtures.database import Rows
from tests.fixtures.jobs import PYTHON_FILE, submit_for_many
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess
from worker.client import Client

JOBS = 12
SEVERAL = "(SELECT count(*) FROM changed) > 1"


async def statuses_are(rows: Rows, **expected: int) -> bool:
    return await rows.statuses() == expected


def ended(worker: WorkerProcess, event: str) -> Counter[str]:
    return Counter(entry["job_id"] for entry in worker.log() if entry["event"] == event)


@pytest.mark.fault("SIGKILL between the insert and the commit of several ends")
async def test_worker_killed_between_the_insert_and_the_commit_of_several_ends(system: System, client: Client) -> None:
    rows = Rows(system)
    jobs = await submit_for_many(client, JOBS, PYTHON_FILE)
    async with (
        statement_gate(system.environment["DATABASE_URL"], "analysis_runs", "INSERT", SEVERAL) as gate,
        held_worker(system, "first") as first,
    ):
        await until(lambda: statuses_are(rows, running=JOBS))
        release_jobs(system)
        await gate.until_reached()
        await first.stop(signal.SIGKILL)
        await gate.open()
    committed = sum(ended(first, "job.completed").values())
    assert JOBS - committed > 1  # the batch at the gate had several
    async with system.worker("second"):
        await until(lambda: statuses_are(rows, completed=JOBS), 180)
    assert sorted(await rows.runs()) == sorted(jobs)
    again = await rows.all("SELECT 1 FROM jobs WHERE attempt = 2")
    assert len(again) == JOBS - committed


@pytest.mark.slow
@pytest.mark.fault("PostgreSQL refuses one end of a batch")
async def test_end_that_postgresql_refuses_costs_no_other_job_of_the_batch(system: System, client: Client) -> None:
    rows = Rows(system)
    jobs = await submit_for_many(client, JOBS, PYTHON_FILE)
    refused = jobs[3]
    # What PostgreSQL says of a NUL in JSON. The program lets none through, so the database makes the error.
    await rows.all(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF EXISTS (SELECT 1 FROM changed WHERE job_id = '{refused}') THEN
                PERFORM '{{"a": "\\u0000"}}'::jsonb ->> 'a';
            END IF;
            RETURN NULL;
        END $$
    """)  # noqa: S608 - no input in it
    await rows.all(
        "CREATE TRIGGER refuse AFTER INSERT ON analysis_runs REFERENCING NEW TABLE AS changed"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    async with (
        statement_gate(system.environment["DATABASE_URL"], "analysis_runs", "INSERT", SEVERAL) as gate,
        held_worker(system, "worker") as worker,
    ):
        await until(lambda: statuses_are(rows, running=JOBS))
        release_jobs(system)
        await gate.until_reached()  # the batch has several ends
        await gate.open()
        await until(lambda: statuses_are(rows, completed=JOBS - 1, failed=1), 120)
        assert ended(worker, "job.completed") == {job: 1 for job in jobs if job != refused}
        assert ended(worker, "job.failed") == {refused: 1}
        assert ended(worker, "job.lease_lost") == {}
    row = await rows.job(refused)
    assert row["attempt"] == 3
    assert "internal error" in row["error_message"]
    assert sorted(await rows.runs()) == sorted(job for job in jobs if job != refused)


@pytest.mark.fault("lost answer to the commit of several ends")
async def test_ends_whose_commit_was_not_answered_are_written_once(
    proxied_system: System, system: System, client: Client, proxies: Proxies
) -> None:
    """The commit waits in PostgreSQL; the connection is cut; then it commits, and nobody hears of it."""
    rows = Rows(system)
    jobs = await submit_for_many(client, JOBS, PYTHON_FILE)
    condition = "(SELECT count(*) FROM analysis_runs WHERE xmin = NEW.xmin) > 1"
    async with (
        statement_gate(
            system.environment["DATABASE_URL"], "analysis_runs", "INSERT", condition, at_commit=True
        ) as gate,
        held_worker(proxied_system, "worker") as worker,
    ):
        await until(lambda: statuses_are(rows, running=JOBS))
        release_jobs(system)
        await gate.until_reached()
        waiting = JOBS - len(await rows.runs())
        assert waiting > 1
        await proxies.postgresql.disconnect()
        await gate.open()
        await until(lambda: some_more_runs(rows, JOBS - waiting))
        await proxies.postgresql.connect()
        await until(lambda: statuses_are(rows, completed=JOBS))
        await worker.until("job.completed", JOBS)
        assert ended(worker, "job.completed") == dict.fromkeys(jobs, 1)
        assert not ended(worker, "job.lease_lost")
    assert sorted(await rows.runs()) == sorted(jobs)
    assert await rows.all("SELECT 1 FROM jobs WHERE attempt <> 1 OR attempt_errors <> '[]'") == []


async def some_more_runs(rows: Rows, before: int) -> bool:
    return len(await rows.runs()) > before


BUSY_CHECKS = {
    "worker.jobs.lease_keeper.CHECK_SECONDS": 0.001,
    "worker.jobs.lease_keeper.HEARTBEAT_SECONDS": 0.002,
    "worker.process.job_pool.POLL_SECONDS": 0.05,
}
"""Leases are checked and renewed all the time, so that checks meet ends."""


async def test_attempt_that_completes_is_never_logged_as_lost(system: System, client: Client) -> None:
    rows = Rows(system)
    release_jobs(system)
    jobs = await submit_for_many(client, 400, PYTHON_FILE)
    async with changed_worker(system, "worker", BUSY_CHECKS, held=True) as worker:
        await until(lambda: statuses_are(rows, completed=len(jobs)), 120)
        await worker.until("job.completed", len(jobs))
    assert ended(worker, "job.completed") == dict.fromkeys(jobs, 1)
    assert not ended(worker, "job.lease_lost")
