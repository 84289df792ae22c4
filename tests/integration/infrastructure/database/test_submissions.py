"""Submissions with their limits and idempotency keys, and users."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from domain.errors import ForbiddenError, InvalidInputError, LimitExceededError, NotFoundError
from domain.jobs import JobStatus
from domain.plans import PlanLimits, Plans
from domain.sources import SourceKind
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.engine import Database
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.submissions import NewJob, SubmissionRepository, Submitted
from infrastructure.database.repositories.users import UserRepository
from tests.fixtures.jobs import NO_LIMITS, REPOSITORY, UPLOAD, get_job, new_job, new_user, submit


async def test_a_submitted_job_is_pending_and_due_with_its_first_wakeup(database: Database) -> None:
    user_id = await new_user(database)
    job = await submit(database, user_id, REPOSITORY)
    assert (job.status, job.attempt, job.turn, job.progress) == (JobStatus.PENDING, 0, 1, 0)
    assert (job.user_id, job.source_kind, job.source_metadata) == (user_id, SourceKind.GITHUB, REPOSITORY)
    assert job.run_after == job.created_at
    assert job.created_at.tzinfo is not None
    assert await get_job(database, job.job_id) == job


async def test_the_data_of_an_upload_is_stored_but_not_returned(database: Database) -> None:
    job = await submit(database, await new_user(database), UPLOAD)
    assert job.source_metadata == {"upload_filename": "a.py", "project_name": "P"}
    async with database.unit_of_work() as connection:
        stored = await connection.scalar(text("SELECT source_metadata FROM jobs"))
    assert stored == UPLOAD


async def test_fifty_concurrent_submissions_never_exceed_five_unfinished_jobs(database: Database) -> None:
    user_id = await new_user(database)
    limits = Plans.same(PlanLimits(unfinished_jobs=5, jobs_per_day=100))
    results = await asyncio.gather(
        *(submit(database, user_id, limits=limits) for _ in range(50)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(results) - len(refused) == 5
    assert {type(error) for error in refused} == {LimitExceededError}
    async with database.unit_of_work() as connection:
        usage = await UsageRepository(connection).usage(user_id)
    assert (usage.unfinished, usage.today, usage.analyses) == (5, 5, 5)  # refused submissions do not count


async def test_the_daily_limit_counts_deleted_jobs(database: Database) -> None:
    user_id = await new_user(database)
    limits = Plans.same(PlanLimits(unfinished_jobs=5, jobs_per_day=2))
    for _ in range(2):
        job = await submit(database, user_id, limits=limits)
        async with database.unit_of_work() as connection:
            jobs = JobRepository(connection)
            await jobs.request_cancel(job.job_id)
            assert await jobs.delete(job.job_id)
    with pytest.raises(LimitExceededError, match="2 jobs today"):
        await submit(database, user_id, limits=limits)


async def test_yesterdays_submissions_do_not_count_today(database: Database) -> None:
    user_id = await new_user(database)
    async with database.unit_of_work() as connection:
        await connection.execute(
            text("INSERT INTO daily_usage VALUES (:id, (now() AT TIME ZONE 'UTC')::date - 1, 100)"), {"id": user_id}
        )
        assert (await UsageRepository(connection).usage(user_id)).today == 0
    await submit(database, user_id)
    async with database.unit_of_work() as connection:
        assert (await UsageRepository(connection).usage(user_id)).today == 1


async def test_twenty_concurrent_submissions_with_one_idempotency_key_make_one_job(database: Database) -> None:
    user_id = await new_user(database)
    jobs = await asyncio.gather(*(submit(database, user_id, idempotency_key="k") for _ in range(20)))
    assert len({job.job_id for job in jobs}) == 1
    async with database.unit_of_work() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM jobs")) == 1
        assert (await UsageRepository(connection).usage(user_id)).today == 1


async def test_a_known_idempotency_key_of_the_same_user_is_not_limited(database: Database) -> None:
    first, second = await new_user(database), await new_user(database, "b@example.org")
    one = Plans.same(PlanLimits(unfinished_jobs=1))
    job = await submit(database, first, idempotency_key="k", limits=one)
    assert (await submit(database, first, idempotency_key="k", limits=one)).job_id == job.job_id
    assert (await submit(database, second, idempotency_key="k", limits=one)).job_id != job.job_id


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x00b", "a\nb"])
async def test_a_bad_idempotency_key_is_refused(database: Database, key: str) -> None:
    with pytest.raises(InvalidInputError, match="idempotency key"):
        await submit(database, await new_user(database), idempotency_key=key)


async def test_submitting_for_an_unknown_user_is_refused(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await submit(database, uuid.uuid4())


async def test_unsafe_characters_in_metadata_are_escaped(database: Database) -> None:
    job = await submit(
        database, await new_user(database), {"git_repo_url": "a\x00b", "k\ud800": float("nan"), "git_branch": "\u202e"}
    )
    assert job.source_metadata == {"git_repo_url": "a\\x00b", "k\\ud800": None, "git_branch": "\\u202e"}


async def test_concurrent_get_or_create_makes_one_user(database: Database) -> None:
    ids = await asyncio.gather(*(new_user(database) for _ in range(20)))
    assert len(set(ids)) == 1


async def test_an_identity_is_added_to_an_email_and_then_finds_the_user(database: Database) -> None:
    async with database.unit_of_work() as connection:
        users = UserRepository(connection)
        plain = await users.get_or_create("a@example.org")
        assert await users.get_or_create("a@example.org", "auth0|1") == plain
        assert await users.get_or_create("moved@example.org", "auth0|1") == plain
        assert await users.get_or_create("a@example.org") == plain


async def test_an_email_with_an_identity_is_refused_to_another_identity(database: Database) -> None:
    async with database.unit_of_work() as connection:
        users = UserRepository(connection)
        await users.get_or_create("a@example.org", "auth0|1")
        with pytest.raises(ForbiddenError):
            await users.get_or_create("a@example.org", "auth0|2")


async def test_one_identity_with_many_concurrent_emails_is_one_user(database: Database) -> None:
    async def sign_in(number: int) -> uuid.UUID:
        async with database.unit_of_work() as connection:
            return await UserRepository(connection).get_or_create(f"{number}@example.org", "auth0|1")

    ids = await asyncio.gather(*(sign_in(number) for number in range(20)))
    assert len(set(ids)) == 1


@pytest.mark.parametrize("email", ["", "nobody", "a\x00@b", "@" * 400])
async def test_an_invalid_email_is_refused(database: Database, email: str) -> None:
    with pytest.raises(InvalidInputError):
        await new_user(database, email)


async def test_deleting_a_user_deletes_their_jobs(database: Database) -> None:
    user_id, other = await new_user(database), await new_user(database, "b@example.org")
    mine, theirs = await submit(database, user_id), await submit(database, other)
    async with database.unit_of_work() as connection:
        deleted = await UserRepository(connection).delete(user_id, 100)
        assert (deleted.complete, deleted.job_ids) == (True, (mine.job_id,))
    async with database.unit_of_work() as connection:
        left = (await connection.scalars(text("SELECT job_id FROM jobs"))).all()
        assert left == [theirs.job_id]
        with pytest.raises(NotFoundError):
            await UserRepository(connection).delete(user_id, 100)


async def submit_all(database: Database, user_id: uuid.UUID, jobs: list[NewJob], **limits: Any) -> list[Submitted]:
    async with database.unit_of_work() as connection:
        return await SubmissionRepository(connection).submit(
            user_id, jobs, Plans.same(PlanLimits(**limits)) if limits else NO_LIMITS
        )


async def test_a_batch_is_submitted_in_its_order(database: Database) -> None:
    user_id = await new_user(database)
    new = [new_job(UPLOAD if number % 2 else REPOSITORY) for number in range(200)]
    submitted = await submit_all(database, user_id, new)
    assert [each.job.job_id for each in submitted] == [job.job_id for job in new]
    assert all(each.created for each in submitted)
    async with database.unit_of_work() as connection:
        jobs = JobRepository(connection)
        listed = await jobs.list_jobs(user_id, limit=1000)
        assert [job.job_id for job in reversed(listed)] == [job.job_id for job in new]
        usage = await UsageRepository(connection).usage(user_id)
        assert (usage.unfinished, usage.today, usage.analyses) == (200, 200, 200)
        stored = await connection.scalar(text("SELECT count(*) FROM jobs WHERE source_metadata ? 'file_data'"))
    assert stored == 100


@pytest.mark.parametrize(
    ("limits", "word"),
    [({"unfinished_jobs": 4}, "unfinished"), ({"jobs_per_day": 4}, "today"), ({"analyses_per_month": 4}, "this month")],
)
async def test_a_batch_is_submitted_whole_or_not_at_all(database: Database, limits: dict[str, int], word: str) -> None:
    user_id = await new_user(database)
    await submit(database, user_id)
    with pytest.raises(LimitExceededError, match=rf"{word}.* \(limit 4, plan free\) and want 4 more"):
        await submit_all(database, user_id, [new_job() for _ in range(4)], **limits)
    async with database.unit_of_work() as connection:
        usage = await UsageRepository(connection).usage(user_id)
        assert (usage.unfinished, usage.today, usage.analyses) == (1, 1, 1)
    assert len(await submit_all(database, user_id, [new_job() for _ in range(3)], **limits)) == 3


async def test_equal_keys_in_a_batch_are_one_job_and_known_keys_do_not_count(database: Database) -> None:
    user_id = await new_user(database)
    known = await submit(database, user_id, idempotency_key="known")
    keys = ["new", "known", "new", None, "known"]
    submitted = await submit_all(database, user_id, [new_job(idempotency_key=key) for key in keys], unfinished_jobs=3)
    assert [each.created for each in submitted] == [True, False, False, True, False]
    assert submitted[0].job.job_id == submitted[2].job.job_id
    assert {submitted[1].job.job_id, submitted[4].job.job_id} == {known.job_id}
    again = await submit_all(database, user_id, [new_job(idempotency_key="known")] * 9, unfinished_jobs=3)
    assert not any(each.created for each in again)


async def test_concurrent_batches_respect_the_limit_and_share_keys(database: Database) -> None:
    users = [await new_user(database), await new_user(database, "b@example.org")]

    async def batch(number: int) -> list[Submitted]:
        new = [new_job(idempotency_key="shared"), *(new_job() for _ in range(1 + number % 3))]
        return await submit_all(database, users[number % 2], new, unfinished_jobs=7)

    done = await asyncio.gather(*(batch(number) for number in range(24)), return_exceptions=True)
    refused = [each for each in done if isinstance(each, BaseException)]
    assert {type(error) for error in refused} == {LimitExceededError}
    async with database.unit_of_work() as connection:
        for user_id in users:
            unfinished = (await UsageRepository(connection).usage(user_id)).unfinished
            batches = [each for each in done if not isinstance(each, BaseException) and each[0].job.user_id == user_id]
            created = [each.job.job_id for submitted in batches for each in submitted if each.created]
            assert len(created) == len(set(created)) == unfinished <= 7
            assert len({submitted[0].job.job_id for submitted in batches}) == 1


async def test_a_batch_for_an_unknown_user_is_refused(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await submit_all(database, uuid.uuid4(), [new_job()])
