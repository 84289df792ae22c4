"""Runs: written, read, listed in pages, deleted."""

import uuid
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.errors import NotFoundError
from domain.runs import RunCursor, RunOrigin, RunSummary
from infrastructure.database.engine import Database
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import backdate, claim_next, end_attempt, get_job, new_run, new_user, submit


async def test_a_run_is_read_as_it_was_written(database: Database) -> None:
    origin = RunOrigin(
        submission_type="github",
        project_name="P",
        author_type="ai",
        author_model="m",
        git_repo_url="https://github.com/o/r",
        git_branch="main",
        git_commit_sha="0" * 40,
    )
    run = replace(new_run(await new_user(database), errors=("lint collector failed: x",)), origin=origin)
    async with database.unit_of_work() as connection:
        await RunRepository(connection).insert_many([SerializedRun.of(run)])
    async with database.unit_of_work() as connection:
        found = await RunRepository(connection).get(run.run_id)
        summary = await RunRepository(connection).summary(run.run_id)
        tree = await RunRepository(connection).file_tree(run.run_id)
    assert (found.origin, found.job_id, found.user_id, found.duration_ms) == (origin, "job", run.user_id, 12)
    for name in ("metrics", "file_tree", "findings", "completeness", "tool_versions", "timings_ms", "history"):
        assert getattr(found, name) == getattr(run.analysis, name)
    assert found.errors == ("lint collector failed: x",)
    assert tree == run.analysis.file_tree
    assert type(summary) is RunSummary
    assert summary == RunSummary(**{name: getattr(found, name) for name in RunSummary.__dataclass_fields__})


async def test_unsafe_text_and_numbers_are_escaped(database: Database) -> None:
    run = new_run(
        await new_user(database),
        file_tree={"name": "a\x00\ud800\u202e", "k\x00": [float("inf"), float("nan"), "\udcff"]},
        errors=["x\x00"],
    )
    run = replace(run, origin=RunOrigin(submission_type="upload", upload_filename="\x1b[2J.py"))
    async with database.unit_of_work() as connection:
        await RunRepository(connection).insert_many([SerializedRun.of(run)])
        found = await RunRepository(connection).get(run.run_id)
    assert found.file_tree == {"name": "a\\x00\\ud800\\u202e", "k\\x00": [None, None, "\\xff"]}
    assert found.errors == ("x\\x00",)
    assert found.origin.upload_filename == "\\x1b[2J.py"


async def test_a_second_run_of_a_job_is_refused(database: Database) -> None:
    user_id = await new_user(database)
    async with database.unit_of_work() as connection:
        runs = RunRepository(connection)
        await runs.insert_many([SerializedRun.of(new_run(user_id))])
    with pytest.raises(IntegrityError):
        async with database.unit_of_work() as connection:
            await RunRepository(connection).insert_many([SerializedRun.of(new_run(user_id))])
    async with database.unit_of_work() as connection:
        assert await RunRepository(connection).count(user_id) == 1


async def test_a_run_of_a_deleted_user_is_refused(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.unit_of_work() as connection:
            await RunRepository(connection).insert_many([SerializedRun.of(new_run(uuid.uuid4()))])


async def test_an_unknown_run_is_not_found(database: Database) -> None:
    async with database.unit_of_work() as connection:
        runs = RunRepository(connection)
        for question in (runs.get, runs.summary, runs.file_tree):
            with pytest.raises(NotFoundError):
                await question(uuid.uuid4())
        assert await runs.delete(uuid.uuid4()) is False


async def test_a_row_of_the_original_system_can_be_read(database: Database) -> None:
    user_id = await new_user(database)
    async with database.unit_of_work() as connection:
        run_id = await connection.scalar(
            text(
                "INSERT INTO analysis_runs (user_id, submission_type, metrics) VALUES (:id, 'upload', '{}') "
                "RETURNING run_id"
            ),
            {"id": user_id},
        )
        run = await RunRepository(connection).get(run_id)
    assert (run.file_tree, run.job_id, run.duration_ms, run.errors) == (None, None, 0, ())
    assert run.findings == {"total": 0, "items": []}


async def test_pages_are_newest_first_and_complete_with_equal_times(database: Database) -> None:
    user_id, other = await new_user(database), await new_user(database, "b@example.org")
    async with database.unit_of_work() as connection:  # one transaction, so all runs have the same `created_at`
        runs = RunRepository(connection)
        made = [new_run(user_id, f"job {number}") for number in range(7)]
        for run in (*made, new_run(other, "other")):
            await runs.insert_many([SerializedRun.of(run)])
        await backdate(connection, "analysis_runs", "run_id", made[3].run_id, created_at=60)
        await backdate(connection, "analysis_runs", "run_id", made[5].run_id, created_at=-60)
        seen, after = [], None
        while page := await runs.list_runs(user_id, limit=2, after=after):
            seen += page
            after = RunCursor(created_at=page[-1].created_at, run_id=page[-1].run_id)
    assert len(seen) == 7
    assert {run.run_id for run in seen} == {run.run_id for run in made}
    assert (seen[0].run_id, seen[-1].run_id) == (made[5].run_id, made[3].run_id)
    assert [(run.created_at, run.run_id) for run in seen] == sorted(
        ((run.created_at, run.run_id) for run in seen), reverse=True
    )


async def test_deleting_a_run_clears_it_from_its_job(database: Database) -> None:
    user_id = await new_user(database)
    job = await submit(database, user_id)
    run = new_run(user_id, job.job_id)
    async with database.unit_of_work() as connection:
        held = await claim_next(connection, 30)
        assert held is not None
        await end_attempt(connection, held, run)
    assert (await get_job(database, job.job_id)).result_run_id == run.run_id
    async with database.unit_of_work() as connection:
        assert await RunRepository(connection).delete(run.run_id) is True
    assert (await get_job(database, job.job_id)).result_run_id is None


async def test_deleting_a_job_keeps_its_run(database: Database) -> None:
    user_id = await new_user(database)
    job = await submit(database, user_id)
    run = new_run(user_id, job.job_id)
    async with database.unit_of_work() as connection:
        jobs, runs = JobRepository(connection), RunRepository(connection)
        held = await claim_next(connection, 30)
        assert held is not None
        await end_attempt(connection, held, run)
        assert await jobs.delete(job.job_id) is True
        assert (await runs.get(run.run_id)).job_id == job.job_id


async def test_a_run_whose_baseline_is_deleted_has_none(database: Database) -> None:
    user_id = await new_user(database)
    before = new_run(user_id, "a")
    after = replace(new_run(user_id, "b"), baseline_run_id=before.run_id)
    async with database.unit_of_work() as connection:
        runs = RunRepository(connection)
        for run in (before, after):
            await runs.insert_many([SerializedRun.of(run)])
        assert (await runs.get(after.run_id)).baseline_run_id == before.run_id
        assert (await runs.summary(after.run_id)).baseline_run_id == before.run_id
        assert await runs.delete(before.run_id) is True
        assert (await runs.get(after.run_id)).baseline_run_id is None
        assert (await runs.summary(after.run_id)).baseline_run_id is None
        assert [run.baseline_run_id for run in await runs.list_runs(user_id, limit=9)] == [None]
