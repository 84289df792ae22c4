"""Turns: who is claimed next, however many wait."""

import asyncio
import random
import uuid
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.jobs import LEASE_SECONDS, Claim
from domain.plans import PlanLimits, Plans
from domain.sources import SourceKind
from infrastructure.database.engine import Database
from infrastructure.database.repositories.claims import ClaimRepository
from infrastructure.database.repositories.jobs import JobRepository
from infrastructure.database.repositories.submissions import NewJob, SubmissionRepository
from infrastructure.database.repositories.users import UserRepository

NO_LIMITS = Plans.same(PlanLimits(unfinished_jobs=10**6, jobs_per_day=10**6))
ROWS_READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'jobs'"
SOURCE = {"git_repo_url": "https://github.com/a/b", "git_branch": None}


async def new_user(database: Database) -> UUID:
    async with database.unit_of_work() as work:
        return await UserRepository(work).get_or_create(f"{uuid.uuid4().hex}@example.org")


async def submit(database: Database, user_id: UUID, count: int = 1, *, small: bool = False) -> list[str]:
    new = [
        NewJob(job_id=uuid.uuid4().hex, source_kind=SourceKind.UPLOAD, source_metadata={"upload_filename": "a.py"},
               upload=b"x = 1\n")
        if small
        else NewJob(job_id=uuid.uuid4().hex, source_kind=SourceKind.GITHUB, source_metadata=SOURCE)
        for _ in range(count)
    ]  # fmt: skip
    async with database.unit_of_work() as work:
        submitted = await SubmissionRepository(work).submit(user_id, new, NO_LIMITS)
    return [each.job.job_id for each in submitted]


async def claim(database: Database, limit: int = 1, *, only_small: bool = False, share: int = 1) -> list[Claim]:
    async with database.autocommit() as work:
        claims = await ClaimRepository(work).claim(
            limit, worker_id="w", lease_seconds=LEASE_SECONDS, only_small=only_small, share=share
        )
    return list(claims)


async def assign_turns(database: Database) -> int:
    async with database.autocommit() as work:
        return await ClaimRepository(work).assign_turns(1_000)


async def execute(database: Database, statement: str, **values: object) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(statement), values)


async def defer(database: Database, job_id: str, *, seconds: int) -> None:
    statement = """
        UPDATE jobs SET status = 'pending', lease_token = NULL, turn = NULL,
            run_after = now() + make_interval(secs => :seconds)
        WHERE job_id = :job_id
    """
    await execute(database, statement, job_id=job_id, seconds=seconds)


def jain(counts: list[int]) -> float:
    """Jain's fairness index: 1 where all got the same, 1/n where one got everything."""
    return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


async def test_newcomer_waits_for_at_most_one_job_of_each_waiting_user(database: Database) -> None:
    for _ in range(40):
        await submit(database, await new_user(database), 5)
    await claim(database, 60)
    newcomer = await new_user(database)
    await submit(database, newcomer)
    order = [each.job.user_id for each in await claim(database, 200)]
    assert order.index(newcomer) <= 40
    assert Counter(order[: order.index(newcomer)]).most_common(1)[0][1] <= 1


async def test_claims_are_shared_evenly_between_a_hog_and_100_users_and_a_newcomer_comes_soon(
    database: Database,
) -> None:
    hog = await new_user(database)
    for _ in range(10):
        await submit(database, hog, 2_000)
    users = [hog, *[await new_user(database) for _ in range(100)]]
    for user in users[1:]:
        await submit(database, user, 40)
    order = await claim_in_twenties(database, 1_500)
    newcomer = await new_user(database)
    await submit(database, newcomer)
    order += await claim_in_twenties(database, 1_500)
    served = Counter(order)
    assert sum(served.values()) == 3_000
    assert jain([served[user] for user in users]) >= 0.95
    assert 1_500 <= order.index(newcomer) <= 1_500 + len(users)


async def claim_in_twenties(database: Database, jobs: int) -> list[UUID]:
    """Claim so many jobs, 20 at a time, and return their owners in the order of the claims."""
    order = []
    for _ in range(jobs // 20):
        order += [each.job.user_id for each in await claim(database, 20)]
    return order


async def test_newcomers_at_full_capacity_starve_nobody(database: Database) -> None:
    old = [await new_user(database) for _ in range(10)]
    for user in old:
        await submit(database, user, 10)
    served: Counter[UUID] = Counter()
    for _ in range(15):
        for _ in range(20):
            await submit(database, await new_user(database))
        served.update(each.job.user_id for each in await claim(database, 20))
    assert all(served[user] >= 2 for user in old)


async def test_cancelled_backlog_is_forgotten(database: Database) -> None:
    user, other = await new_user(database), await new_user(database)
    backlog = [job_id for _ in range(10) for job_id in await submit(database, user, 2_000)]
    await submit(database, other, 20)
    async with database.unit_of_work() as work:
        await JobRepository(work).cancel_all(backlog)
    (job_id,) = await submit(database, user)
    assert job_id in [each.job.job_id for each in await claim(database, 3)]


async def test_eight_claimers_get_each_job_once_and_never_nothing_while_jobs_are_due(database: Database) -> None:
    users = [await new_user(database) for _ in range(5)]
    for user in users:
        await submit(database, user, 80)
    claimed: list[str] = []
    empty = 0

    async def claimer() -> None:
        nonlocal empty
        while len(claimed) < 400:
            got = await claim(database, random.randint(1, 7))
            if not got and len(claimed) < 400 - 8 * 7:
                empty += 1
            claimed.extend(each.job.job_id for each in got)
            if not got:
                await asyncio.sleep(0)

    await asyncio.gather(*(claimer() for _ in range(8)))
    assert len(claimed) == len(set(claimed)) == 400
    assert empty == 0


async def test_order_of_one_user_is_the_order_of_submission(database: Database) -> None:
    user = await new_user(database)
    first, second = await submit(database, user, 30), await submit(database, user, 5)
    assert [each.job.job_id for each in await claim(database, 50)] == first + second


async def test_only_small_jobs_are_claimed_where_only_they_are_wanted(database: Database) -> None:
    user = await new_user(database)
    await submit(database, user, 3)
    (small,) = await submit(database, user, small=True)
    (got,) = await claim(database, 5, only_small=True)
    assert (got.job.job_id, got.upload) == (small, b"x = 1\n")


async def test_rows_of_other_programs_get_turns_as_if_submitted_now(database: Database) -> None:
    hog, user = await new_user(database), await new_user(database)
    await submit(database, user)
    await execute(
        database,
        """
        INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata)
        SELECT 'foreign-' || n, :hog, 'pending', 'github', jsonb_build_object('git_repo_url', 'https://github.com/a/b')
        FROM generate_series(100, 399) AS n
        """,
        hog=hog,
    )
    assert len(await claim(database, 50)) == 1
    assert await assign_turns(database) == 300
    await submit(database, user)
    order = [each.job.user_id for each in await claim(database, 10)]
    assert order.index(user) <= 1
    assert await assign_turns(database) == 0


async def test_deferred_job_comes_next_when_it_is_due(database: Database) -> None:
    user = await new_user(database)
    await submit(database, user, 20)
    (first,) = await claim(database)
    await defer(database, first.job.job_id, seconds=3600)
    assert await assign_turns(database) == 0
    await defer(database, first.job.job_id, seconds=-1)
    assert await assign_turns(database) == 1
    assert first.job.job_id in [each.job.job_id for each in await claim(database, 2)]


async def test_paused_fleet_claims_nothing(database: Database) -> None:
    await submit(database, await new_user(database), 3)
    await execute(database, "INSERT INTO fleet_controls (name) VALUES ('paused')")
    assert await claim(database, 3) == []


async def test_job_of_a_newer_version_is_left_alone(database: Database) -> None:
    newer, known = await submit(database, await new_user(database)), await submit(database, await new_user(database))
    await execute(database, "UPDATE jobs SET version = 99 WHERE job_id = :job_id", job_id=newer[0])
    assert [each.job.job_id for each in await claim(database, 5)] == known


@pytest.mark.parametrize("only_small", [False, True])
@pytest.mark.parametrize("analyzed", [False, True])
async def test_a_claim_reads_the_rows_that_it_takes_and_not_the_backlog(
    database: Database, *, analyzed: bool, only_small: bool
) -> None:
    """The statistics are from before the backlog: there are none, or they say that no job is pending."""
    await execute(database, "ALTER TABLE jobs SET (autovacuum_enabled = false)")
    user_id = await new_user(database)
    await submit(database, user_id, 1_000, small=True)
    await execute(database, "UPDATE jobs SET status = 'completed'")
    if analyzed:
        await execute(database, "ANALYZE jobs")
    await submit(database, user_id, 3_000, small=True)
    async with database.unit_of_work() as work:
        before = await work.scalar(text(ROWS_READ)) or 0
        claims = await ClaimRepository(work).claim(10, worker_id="w", lease_seconds=30, only_small=only_small)
        assert len(claims) == 10
        assert await work.scalar(text(ROWS_READ)) - before < 100


def users_of(claims: list[Claim]) -> Counter[UUID]:
    return Counter(each.job.user_id for each in claims)


async def test_small_upload_brings_its_users_next_small_uploads_along(database: Database) -> None:
    ann, bob = [await new_user(database) for _ in range(2)]
    first = await submit(database, ann, 2, small=True)
    await submit(database, ann, 2)
    last = await submit(database, ann, 6, small=True)
    await submit(database, bob, 3)
    claims = await claim(database, 2, share=4)
    assert users_of(claims) == {ann: 4, bob: 1}
    assert [each.job.job_id for each in claims if each.job.user_id == ann] == [*first, *last[:2]]
    assert {each.upload for each in claims} == {b"x = 1\n", None}
    assert users_of(await claim(database, 1, share=1)) == {bob: 1}


async def test_claim_that_has_its_users_share_already_brings_none_along(database: Database) -> None:
    ann = await new_user(database)
    await submit(database, ann, 9, small=True)
    assert len(await claim(database, 6, share=4)) == 6
    assert len(await claim(database, 2, share=4)) == 3
    assert await claim(database, 2, share=4) == []


async def test_companions_cost_their_user_turns_and_no_one_else(database: Database) -> None:
    """Small uploads are claimed eight at a time, yet users get the same number of jobs, and newcomers come next."""
    ann, bob, newcomer = [await new_user(database) for _ in range(3)]
    await submit(database, ann, 40, small=True)
    await submit(database, bob, 40)
    order = []
    for _ in range(18):
        order += [each.job.user_id for each in await claim(database, 1, share=8)]
    assert order == ([ann] * 8 + [bob] * 8) * 2
    await submit(database, newcomer)
    following = [each.job.user_id for each in await claim(database, 3)]
    assert following.index(newcomer) <= 2


async def test_claimers_that_share_get_each_job_once(database: Database) -> None:
    for _ in range(6):
        await submit(database, await new_user(database), 40, small=True)
    claimed: list[str] = []

    async def claim_all() -> None:
        while claims := await claim(database, 2, share=8):
            claimed.extend(each.job.job_id for each in claims)

    await asyncio.gather(*(claim_all() for _ in range(8)))
    claimed += [each.job.job_id for each in await claim(database, 240)]
    assert len(claimed) == len(set(claimed)) == 240
