"""The audit log: an entry for each act, in the act's own transaction."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.audit import Action, Actor, AuditCursor, Resource
from domain.errors import ForbiddenError, IllegalTransitionError, LimitExceededError, NotFoundError
from infrastructure.database.access.audit_log import AuditRepository
from infrastructure.database.engine import Database
from infrastructure.database.repositories.maintenance import MaintenanceRepository
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.jobs import PYTHON_FILE, claim_next, end_attempt, new_run
from tests.fixtures.worker_process import System
from worker.client import Client, UploadSubmission
from worker.client.operator import OperatorClient
from worker.jobs.cleanup import cleanup

ADDRESS, AGENT = "2001:db8::7", "example/1.0"
Entry = tuple[str, str, str | None, str | None, str | None]


async def entries(database: Database) -> list[Entry]:
    """Return each entry's action, resource, address and agent, oldest first."""
    query = """
        SELECT action, resource_type, resource_id, host(ip_address) AS address, user_agent FROM audit_logs
        ORDER BY created_at, id
    """
    async with database.unit_of_work() as work:
        return [tuple(row) for row in await work.execute(text(query))]


async def actions(database: Database) -> list[str]:
    return [entry[0] for entry in await entries(database)]


async def complete(database: Database, user_id: UUID, job_id: str) -> UUID:
    async with database.unit_of_work() as work:
        claim = await claim_next(work, 600)
        assert claim is not None
        assert claim.job.job_id == job_id
        run = new_run(user_id, job_id)
        await end_attempt(work, claim, run)
    return run.run_id


async def test_each_act_of_a_user_leaves_one_entry_with_its_address(
    client: Client, user_id: UUID, database: Database
) -> None:
    asked = client.for_request(ADDRESS, AGENT)
    job = await asked.submit_repository(user_id, url="https://github.com/owner/repo")
    run_id = await complete(database, user_id, job.job_id)
    other = await asked.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    await asked.take_result(user_id, job.job_id)
    await asked.cancel_job(user_id, other.job_id)
    failed = await asked.submit_repository(user_id, url="https://github.com/owner/repo")
    await asked.cancel_job(user_id, failed.job_id)
    await asked.retry_job(user_id, failed.job_id)
    await asked.delete_run(user_id, run_id)
    assert await entries(database) == [
        ("submit", "job", job.job_id, ADDRESS, AGENT),
        ("submit", "job", other.job_id, ADDRESS, AGENT),
        ("take", "job", job.job_id, ADDRESS, AGENT),
        ("cancel", "job", other.job_id, ADDRESS, AGENT),
        ("submit", "job", failed.job_id, ADDRESS, AGENT),
        ("cancel", "job", failed.job_id, ADDRESS, AGENT),
        ("retry", "job", failed.job_id, ADDRESS, AGENT),
        ("delete_run", "run", str(run_id), ADDRESS, AGENT),
    ]
    async with database.unit_of_work() as work:
        found = await AuditRepository(work).list_entries(limit=100)
    assert {entry.user_id for entry in found} == {user_id}
    assert found[-1].details == {"source": "github"}
    assert found[5].details == {"status": "completed", "run_id": str(run_id)}


async def test_a_pinned_run_leaves_an_entry(client: Client, user_id: UUID, database: Database) -> None:
    job = await client.submit_repository(user_id, url="https://github.com/owner/repo")
    run_id = await complete(database, user_id, job.job_id)
    async with database.unit_of_work() as work:
        await work.execute(text("UPDATE analysis_runs SET project_key = 'p'"))
    await client.pin_baseline(user_id, run_id)
    assert (await entries(database))[1:] == [("pin", "run", str(run_id), None, None)]


async def test_what_is_refused_or_rolled_back_leaves_no_entry(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    other = await client.get_or_create_user("b@example.org")
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, idempotency_key="k")
    again = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, idempotency_key="k")
    assert again.job_id == job.job_id
    for call in (client.cancel_job, client.retry_job, client.take_result):
        with pytest.raises(ForbiddenError):
            await call(other, job.job_id)
    with pytest.raises(IllegalTransitionError):
        await client.retry_job(user_id, job.job_id)
    too_many = system.settings.max_concurrent_jobs_per_user + 1
    with pytest.raises(LimitExceededError):
        await client.submit_many(other, [UploadSubmission(filename="a.py", content=PYTHON_FILE)] * too_many)
    assert await actions(database) == ["submit"]


async def test_a_running_jobs_cancellation_is_one_entry_however_often_it_is_asked_for(
    client: Client, user_id: UUID, database: Database
) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with database.unit_of_work() as work:
        assert await claim_next(work, 600) is not None
    for _ in range(3):
        await client.cancel_job(user_id, job.job_id)
    assert await actions(database) == ["submit", "cancel"]


async def test_two_takes_or_deletions_at_once_leave_one_entry(
    client: Client, user_id: UUID, database: Database
) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    run_id = await complete(database, user_id, job.job_id)
    await asyncio.gather(*(client.take_result(user_id, job.job_id) for _ in range(5)), return_exceptions=True)
    await asyncio.gather(*(client.delete_run(user_id, run_id) for _ in range(5)), return_exceptions=True)
    assert await actions(database) == ["submit", "take", "delete_run"]


async def test_an_operators_acts_name_the_owner_and_say_who_acted(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    jobs = [await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE) for _ in range(2)]
    async with OperatorClient.open(system.settings) as operator:
        await operator.cancel_jobs([job.job_id for job in jobs])
        await operator.retry_jobs([job.job_id for job in jobs], limited_user=None)
        newest = await operator.list_audit_entries(limit=2)
    async with database.unit_of_work() as work:
        found = await AuditRepository(work).list_entries(action=Action.CANCEL, limit=10)
    assert {entry.resource_id for entry in found} == {job.job_id for job in jobs}
    assert all(entry.user_id == user_id and entry.details["by"] == "operator" for entry in found)
    assert [entry.action for entry in newest] == ["cancel", "cancel"]  # no upload of a cancelled job is kept


async def test_pause_and_resume_leave_an_entry_when_they_change_something(database: Database) -> None:
    for paused in (True, True, False, False):
        async with database.unit_of_work() as work:
            await MaintenanceRepository(work).set_paused(paused=paused)
    assert await entries(database) == [("pause", "fleet", None, None, None), ("resume", "fleet", None, None, None)]


async def test_a_cleanup_is_one_entry_with_its_counts(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with database.unit_of_work() as work:
        await work.execute(text("UPDATE jobs SET run_after = now() - interval '10 days'"))
    await cleanup(database, system.settings)
    await cleanup(database, system.settings)
    async with database.unit_of_work() as work:
        second, first = await AuditRepository(work).list_entries(action=Action.CLEANUP, limit=10)
    assert first.details == {"rows": {"stale_pending": 1}, "failed_steps": 0}
    assert second.details == {"rows": {}, "failed_steps": 0}


async def test_deleting_a_user_leaves_the_entries_with_the_id_alone(
    client: Client, user_id: UUID, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.database.chunks.CHUNK_ROWS", 3)
    other = await client.get_or_create_user("b@example.org")
    asked = client.for_request(ADDRESS, AGENT)
    for _ in range(4):
        job = await asked.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        await asked.cancel_job(user_id, job.job_id)
    kept = await asked.submit_upload(other, filename="a.py", content=PYTHON_FILE)
    await asked.delete_user(user_id)
    found = await entries(database)
    assert [entry[0] for entry in found] == [*["submit", "cancel"] * 4, "submit", "delete_user"]
    assert found[8] == ("submit", "job", kept.job_id, ADDRESS, AGENT)
    assert {entry[3:] for entry in [*found[:8], found[9]]} == {(None, None)}
    assert found[9][2] == str(user_id)
    async with database.unit_of_work() as work:
        assert len(await AuditRepository(work).list_entries(user_id=user_id, limit=100)) == 9


async def test_an_act_during_the_users_deletion_leaves_no_address(
    client: Client, user_id: UUID, database: Database
) -> None:
    asked = client.for_request(ADDRESS, AGENT)
    for _ in range(5):
        await asked.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    jobs = [job.job_id for job in await client.list_jobs(user_id)]
    results = await asyncio.gather(
        asked.delete_user(user_id), *(asked.cancel_job(user_id, job_id) for job_id in jobs), return_exceptions=True
    )
    assert results[0] is None
    refused = [result for result in results[1:] if isinstance(result, BaseException)]
    assert all(isinstance(error, NotFoundError) for error in refused), refused
    assert {entry[3:] for entry in await entries(database)} == {(None, None)}


async def insert_many(database: Database, count: int, user_id: UUID) -> None:
    """Insert old entries of other users, two of them a second, and every thousandth of this user."""
    async with database.unit_of_work() as work:
        await work.execute(
            text("""
                INSERT INTO audit_logs (user_id, action, resource_type, resource_id, ip_address, created_at)
                SELECT CASE number % 1000 WHEN 0 THEN CAST(:user_id AS uuid) ELSE gen_random_uuid() END,
                    CASE number % 500 WHEN 0 THEN 'delete_user' ELSE 'submit' END, 'job', md5(number::text),
                    '192.0.2.1', now() - number / 2 * interval '1 second'
                FROM generate_series(1, CAST(:count AS int)) AS number
            """),
            {"count": count, "user_id": user_id},
        )
    async with database.unit_of_work() as work:
        await work.execute(text("ANALYZE audit_logs"))


async def test_pages_hold_every_entry_once_also_among_equal_times(database: Database) -> None:
    user_id = uuid.uuid4()
    await insert_many(database, 5_000, user_id)
    found: list[Any] = []
    after: AuditCursor | None = None
    while True:
        async with database.unit_of_work() as work:
            page = await AuditRepository(work).list_entries(limit=333, after=after)
        if not page:
            break
        found += page
        after = page[-1].cursor
    assert len({entry.entry_id for entry in found}) == len(found) == 5_000
    assert [entry.created_at for entry in found] == sorted((entry.created_at for entry in found), reverse=True)
    since = datetime.now(UTC) - timedelta(seconds=1_000)
    async with database.unit_of_work() as work:
        mine = await AuditRepository(work).list_entries(user_id=user_id, action=None, since=since, limit=10)
        both = await AuditRepository(work).list_entries(user_id=user_id, action=Action.DELETE_USER, limit=10)
    assert len(mine) == 1
    assert len(both) == 5


async def test_no_statement_reads_the_whole_log_of_100_000_entries(database: Database) -> None:
    user_id, now = uuid.uuid4(), datetime.now(UTC)
    await insert_many(database, 100_000, user_id)
    after = AuditCursor(created_at=now - timedelta(hours=2), entry_id=uuid.uuid4())
    calls = {
        "all": lambda work: AuditRepository(work).list_entries(limit=100, after=after),
        "since": lambda work: AuditRepository(work).list_entries(limit=100, since=now - timedelta(hours=1)),
        "user": lambda work: AuditRepository(work).list_entries(user_id=user_id, limit=100, after=after),
        "action": lambda work: AuditRepository(work).list_entries(action=Action.DELETE_USER, limit=100),
        "both": lambda work: AuditRepository(work).list_entries(user_id=user_id, action=Action.SUBMIT, limit=100),
        "forget": lambda work: AuditRepository(work).forget_addresses(user_id, 5_000),
    }
    async with database.unit_of_work() as work:
        query = "SELECT tableoid::regclass::text FROM audit_logs GROUP BY tableoid HAVING count(*) > 1000"
        large = (await work.scalars(text(query))).all()
    assert large
    for name, call in calls.items():
        plan = await plans_of(database, call)
        for partition in large:
            assert f"on {partition}" in plan, (name, plan)
            assert f"Seq Scan on {partition}" not in plan, (name, plan)


async def test_entries_are_recorded_with_hostile_text(database: Database) -> None:
    async with database.unit_of_work() as work:
        await AuditRepository(work).record(
            Action.DRAIN, Resource.FLEET, "a\x00\ud800b", actor=Actor(operator=True), details={"x": "\x00"}
        )
        (found,) = await AuditRepository(work).list_entries(limit=1)
    assert found.resource_id == "a\\x00\\ud800b"
    assert found.details == {"x": "\\x00", "by": "operator"}
