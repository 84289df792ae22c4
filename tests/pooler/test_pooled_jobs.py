"""The life of jobs behind PgBouncer: submit, claim, heartbeat, cancel, complete, retry, batched ends, cleanup."""

import asyncio

from domain.errors import LimitExceededError
from domain.jobs import JobStatus
from infrastructure.database.engine import Database
from infrastructure.database.repositories.attempt_ends import EndResult
from infrastructure.database.repositories.attempts import CANCELLED
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import PYTHON_FILE, backdate, submit_for_many
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from tests.integration.worker.jobs.test_end_batcher import CountingDatabase, claim_many, completed, statuses
from tests.pooler.held_jobs import all_completed, assert_no_outage, hold_job
from worker.client import Client
from worker.jobs.end_batcher import EndBatcher


async def test_two_workers_complete_each_job_once(
    pooled_git_system: System, pooled_client: Client, system: System
) -> None:
    async with pooled_git_system.worker("one") as one, pooled_git_system.worker("two") as two:
        jobs = await submit_for_many(pooled_client, 40, PYTHON_FILE)
        await all_completed(system, len(jobs))
        assert await Rows(system).all("SELECT 1 FROM jobs WHERE attempt <> 1") == []
        for worker in (one, two):
            assert_no_outage(worker.log())
            assert await worker.stop() == 0


async def test_running_job_keeps_its_lease_and_is_cancelled_and_retried(
    pooled_git_system: System, pooled_client: Client, git_server: GitServer, small_tree: WorkTree, system: System
) -> None:
    rows = Rows(system)
    async with pooled_git_system.worker() as worker:
        held = await hold_job(pooled_client, git_server, small_tree)
        first = (await rows.job(held.job.job_id))["lease_expires_at"]

        async def renewed() -> bool:
            return bool((await rows.job(held.job.job_id))["lease_expires_at"] > first)

        await until(renewed)
        await pooled_client.cancel_job(held.user_id, held.job.job_id)
        cancelled = await until_finished(pooled_client, held.user_id, held.job.job_id)
        assert (cancelled.status, cancelled.error_message) == (JobStatus.FAILED, CANCELLED)
        held.release.set()
        await pooled_client.retry_job(held.user_id, held.job.job_id)
        ended = await until_finished(pooled_client, held.user_id, held.job.job_id)
        assert ended.status is JobStatus.COMPLETED
        result = await pooled_client.take_result(held.user_id, held.job.job_id)
        assert result is not None
        assert len((await pooled_client.list_runs(held.user_id)).runs) == 1
        await pooled_client.delete_user(held.user_id)
        assert_no_outage(worker.log())
    assert await rows.runs() == []


async def test_ends_share_a_transaction(pooled_database: Database) -> None:
    claims = await claim_many(pooled_database, 7)
    database = CountingDatabase(pooled_database)
    batcher = EndBatcher(database)  # type: ignore[arg-type]
    writes = [asyncio.create_task(batcher.write(completed(claim))) for claim in claims]
    await until(lambda: database.transactions)
    database.release_first.set()
    assert await asyncio.gather(*writes) == [EndResult.WRITTEN] * 7
    assert database.transactions <= 2
    assert await statuses(pooled_database, claims) == [JobStatus.COMPLETED] * 7


async def test_submissions_of_one_user_at_once_keep_the_limit(pooled_client: Client, system: System) -> None:
    user_id = await pooled_client.get_or_create_user("ann@example.org")
    limit = system.settings.max_concurrent_jobs_per_user

    async def submit(number: int) -> bool:
        try:
            await pooled_client.submit_upload(user_id, filename=f"{number}.py", content=PYTHON_FILE)
        except LimitExceededError:
            return False
        return True

    assert sum(await asyncio.gather(*(submit(number) for number in range(2 * limit)))) == limit


async def test_cleanup_deletes_finished_jobs_and_fails_stale_ones(
    pooled_system: System, pooled_client: Client, system: System, database: Database
) -> None:
    rows = Rows(system)
    old, stale = await submit_for_many(pooled_client, 2, PYTHON_FILE)
    await rows.all("UPDATE jobs SET status = 'failed', finished_at = now() WHERE job_id = $1", old)
    async with database.unit_of_work() as work:
        await backdate(work, "jobs", "job_id", old, finished_at=86_400, updated_at=86_400)
        await backdate(work, "jobs", "job_id", stale, run_after=2 * 86_400, updated_at=2 * 86_400)
    cleaned = await pooled_system.run("cleanup", "--json")
    assert cleaned.code == 0, cleaned.error
    assert await rows.all("SELECT job_id, error_message FROM jobs") == [{"job_id": stale, "error_message": "stale"}]
