"""Workers that stop and continue after their lease: another worker runs the job, and the first writes nothing."""

import asyncio
import signal
from uuid import UUID

import pytest

from tests.faults.support.shifted_clocks import shifted_clock
from tests.fixtures.database import Rows
from tests.fixtures.jobs import slow_source
from tests.fixtures.processes import alive, job_processes
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client

STOPPED_SECONDS = 60


async def completed_by_second_attempt(rows: Rows, job_id: str) -> bool:
    row = await rows.job(job_id)
    return bool(row["status"] == "completed" and row["attempt"] == 2)


@pytest.mark.slow
@pytest.mark.fault("SIGSTOP for 60 s, then SIGCONT")
async def test_a_worker_stopped_for_a_minute_writes_nothing_afterwards(
    system: System, client: Client, user_id: UUID
) -> None:
    rows = Rows(system)
    async with system.worker("stopped") as stopped:
        job = await client.submit_upload(user_id, filename="slow.py", content=slow_source())
        await until(lambda: len(job_processes(stopped.process.pid)) >= 2)
        children = job_processes(stopped.process.pid)
        stopped.process.send_signal(signal.SIGSTOP)
        async with system.worker("second"):
            await until(lambda: completed_by_second_attempt(rows, job.job_id), STOPPED_SECONDS)
            assert not alive(children)
            before = await rows.job(job.job_id)
            await asyncio.sleep(5)
            stopped.process.send_signal(signal.SIGCONT)
            await stopped.until("job.lease_lost")
            assert await rows.job(job.job_id) == before
    assert await rows.runs() == [job.job_id]


@pytest.mark.slow
@pytest.mark.fault("event loop blocked for longer than the lease")
@pytest.mark.parametrize("point", ["stage-collecting", "before-commit"])
async def test_an_event_loop_blocked_for_longer_than_the_lease_writes_no_second_run(
    system: System, client: Client, user_id: UUID, point: str
) -> None:
    rows = Rows(system)
    async with system.worker("blocked", VIBE8_FAILPOINTS=f"{point}=50") as blocked:
        job = await client.submit_upload(user_id, filename="slow.py", content=slow_source(1500))
        await until(lambda: job_processes(blocked.process.pid))
        async with system.worker("second"):
            ended = await until_finished(client, user_id, job.job_id)
            await until(lambda: not alive(job_processes(blocked.process.pid)))
            assert ended.error_message is None
    assert await rows.runs() == [job.job_id]


@pytest.mark.fault("clocks of replicas 5 minutes off")
async def test_workers_with_clocks_five_minutes_apart(system: System, client: Client, user_id: UUID) -> None:
    """The database's clock decides: no early rescue, one cleanup per slot, and no job waits for a worker's clock."""
    rows = Rows(system)
    early_clock, late_clock = (
        shifted_clock(system.directory, name, offset) for name, offset in (("early", -300), ("late", 300))
    )
    async with system.worker("late", **late_clock) as late:
        job = await client.submit_upload(user_id, filename="slow.py", content=slow_source())
        await until(lambda: len(job_processes(late.process.pid)) >= 2)
        async with system.worker("early", **early_clock) as early:
            await until_finished(client, user_id, job.job_id)
            await late.stop()
            second = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
            await until_finished(client, user_id, second.job_id)
            completed = await early.until("job.completed")
            assert [entry["job_id"] for entry in completed] == [second.job_id]
            cleanups = [entry for log in (late, early) for entry in log.log() if entry["event"] == "cleanup.completed"]
    assert len(cleanups) == 1
    assert len(await rows.all("SELECT slot FROM cron_slots WHERE name = 'cleanup'")) == 1
    assert await rows.all("SELECT 1 FROM jobs WHERE attempt <> 1") == []
