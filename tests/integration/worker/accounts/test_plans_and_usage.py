"""Plans: what is counted, refused, begun again and shown, on a real database."""

import asyncio
import json
import uuid
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.audit import Action, Actor
from domain.errors import InvalidInputError, LimitExceededError, NotFoundError
from domain.plans import PlanLimits, Plans, Tier
from infrastructure.database.access.usage import KEPT_MONTHS, UsageRepository, month_of
from infrastructure.database.engine import Database
from infrastructure.database.repositories.cleanup import CleanupRepository
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from infrastructure.database.repositories.submissions import SubmissionRepository
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.jobs import NO_LIMITS, PYTHON_FILE, new_job, new_run, new_user, submit
from tests.fixtures.worker_process import System
from worker.client import Client, UploadSubmission
from worker.client.operator import OperatorClient

TIERS: dict[str, dict[str, int | None]] = {
    "free": {"analyses_per_month": 3, "reports_per_month": 2, "repositories": 1, "unfinished_jobs": 50},
    "pro": {"upload_mb": 6, "unfinished_jobs": None, "jobs_per_day": 200, "analyses_per_month": 100},
    "team": {"analyses_per_month": 0, "reports_per_month": 0, "unfinished_jobs": 0, "jobs_per_day": 0},
}
tiers = pytest.mark.settings(TIER_LIMITS=json.dumps(TIERS))


async def execute(database: Database, query: str, **values: Any) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(query), values)


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.unit_of_work() as work:
        return [tuple(row) for row in await work.execute(text(query))]


MONTHS = "SELECT analyses_count, reports_count, repositories_count FROM usage_tracking ORDER BY month_year DESC"


async def test_a_hundred_racing_submissions_never_pass_a_months_limit(database: Database) -> None:
    """Of each user, in batches, with and without a first row of the month."""
    users = [await new_user(database, f"{number}@example.org") for number in range(2)]
    plans = Plans.same(PlanLimits(analyses_per_month=17))
    await submit(database, users[1], limits=plans)
    results = await asyncio.gather(
        *(submit(database, users[number % 2], limits=plans) for number in range(100)), return_exceptions=True
    )
    refused = [each for each in results if isinstance(each, BaseException)]
    assert len(results) - len(refused) == 17 + 16
    assert {type(each) for each in refused} == {LimitExceededError}
    assert await rows(database, MONTHS) == [(17, 0, 0)] * 2
    assert await rows(database, "SELECT count(*) FROM jobs") == [(34,)]


async def test_a_refused_submission_leaves_nothing(database: Database) -> None:
    user_id = await new_user(database)
    async with database.unit_of_work() as work:
        for limits in (
            PlanLimits(analyses_per_month=0), PlanLimits(jobs_per_day=0), PlanLimits(unfinished_jobs=0),
        ):  # fmt: skip
            with pytest.raises(LimitExceededError, match="limit 0"):
                await UploadedOnce(work).submit(user_id, Plans.same(limits))
    for table in ("jobs", "job_uploads", "usage_tracking", "daily_usage", "audit_logs"):
        assert await rows(database, f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 - names above


class UploadedOnce:
    """A submission of one upload within the caller's transaction, which goes on when it is refused."""

    def __init__(self, work: Any) -> None:
        self._submissions = SubmissionRepository(work)

    async def submit(self, user_id: UUID, plans: Plans) -> None:
        await self._submissions.submit(user_id, [new_job({"upload_filename": "a.py"})], plans)


@tiers
async def test_replays_are_free_also_when_everything_is_used(client: Client, user_id: UUID, database: Database) -> None:
    first = [
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, idempotency_key=f"k{number}")
        for number in range(3)
    ]
    again = [
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE, idempotency_key=f"k{number}")
        for number in range(3)
    ]
    assert [job.job_id for job in again] == [job.job_id for job in first]
    with pytest.raises(LimitExceededError, match=r"3 analyses this month \(limit 3, plan free\)") as caught:
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    assert caught.value.resets_at == (await client.usage.get(user_id)).usage.month_ends
    assert await rows(database, MONTHS) == [(3, 0, 0)]


@tiers
async def test_the_month_begins_again_and_the_old_one_stays(client: Client, user_id: UUID, database: Database) -> None:
    for _ in range(3):
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    await execute(
        database,
        """
        UPDATE usage_tracking
        SET month_year = to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 second', 'YYYY-MM')
        """,
    )
    assert (await client.usage.get(user_id)).usage.analyses == 0
    await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    found = await client.usage.get(user_id)
    assert [(each.analyses, each.month == found.usage.month) for each in found.months] == [(1, True), (3, False)]


@pytest.mark.parametrize(
    ("zone", "moment", "month"),
    [
        ("UTC", "2026-12-31 23:59:59.999999+00", "2026-12"),
        ("Asia/Tokyo", "2027-01-01 08:59:59+09", "2026-12"),
        ("America/Lima", "2026-12-31 19:00:00-05", "2027-01"),
        ("UTC", "2024-02-29 23:59:59+00", "2024-02"),
    ],
)
async def test_the_month_is_that_of_utc_in_every_time_zone(
    database: Database, zone: str, moment: str, month: str
) -> None:
    async with database.unit_of_work() as work:
        await work.execute(text(f"SET LOCAL TIME ZONE '{zone}'"))
        query = "SELECT " + month_of(f"TIMESTAMPTZ '{moment}'")
        assert await work.scalar(text(query)) == month


@tiers
async def test_another_tier_counts_from_the_next_submission_on(system: System, client: Client, user_id: UUID) -> None:
    for _ in range(3):
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with OperatorClient.open(system.settings) as operator:
        assert await operator.set_tier(user_id, Tier.PRO) == "free"
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
        assert await operator.set_tier(user_id, Tier.PRO) == "pro"
        with pytest.raises(NotFoundError):
            await operator.set_tier(uuid.uuid4(), Tier.PRO)
        assert await operator.set_tier(user_id, Tier.TEAM) == "pro"
        entries = await operator.list_audit_entries(action=Action.SET_TIER)
    assert [(each.action, each.details) for each in entries] == [
        ("set_tier", {"from": "pro", "to": "team", "by": "operator"}),
        ("set_tier", {"from": "free", "to": "pro", "by": "operator"}),
    ]
    assert {(each.user_id, each.resource_id) for each in entries} == {(user_id, str(user_id))}
    with pytest.raises(LimitExceededError, match=r"4 unfinished jobs \(limit 0, plan team\)"):
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    with pytest.raises(LimitExceededError, match="limit 0"):
        await client.submit_many(user_id, [UploadSubmission(filename="a.py", content=PYTHON_FILE)] * 2)


@tiers
async def test_an_upload_is_as_large_as_the_plan_says(system: System, client: Client, user_id: UUID) -> None:
    large = UploadSubmission(filename="large.py", content=b"#" * (5 * 1024 * 1024 + 1), idempotency_key="k")
    small = UploadSubmission(filename="a.py", content=PYTHON_FILE)
    with pytest.raises(InvalidInputError, match=r"^'large.py' \(5242881 bytes\) is larger than 5 MB \(plan free;"):
        await client.submit_many(user_id, [large])
    with pytest.raises(InvalidInputError, match=r"^submission 2 of 2: 'large.py'"):
        await client.submit_many(user_id, [small, large])
    async with OperatorClient.open(system.settings) as operator:
        await operator.set_tier(user_id, Tier.PRO)
        (job,) = await client.submit_many(user_id, [large])
        await operator.set_tier(user_id, Tier.FREE)
    assert (await client.submit_many(user_id, [large]))[0].job_id == job.job_id  # a replay writes nothing
    with pytest.raises(InvalidInputError, match=r"larger than 6 MB"):
        await client.submit_upload(user_id, filename="large.py", content=b"#" * (6 * 1024 * 1024 + 1))


@tiers
async def test_racing_reports_never_pass_the_limit(client: Client, user_id: UUID, database: Database) -> None:
    limits = PlanLimits(reports_per_month=4)

    async def share() -> None:
        async with database.unit_of_work() as work:
            usage = UsageRepository(work)
            await usage.lock_user(user_id)
            await usage.count_report(user_id, limits)

    results = await asyncio.gather(*(share() for _ in range(30)), return_exceptions=True)
    refused = [each for each in results if isinstance(each, BaseException)]
    assert len(refused) == 26
    assert all("4 reports this month (limit 4" in str(each) for each in refused)
    assert await rows(database, MONTHS) == [(0, 4, 0)]
    other = await client.get_or_create_user("b@example.org")
    async with database.unit_of_work() as work:
        with pytest.raises(LimitExceededError, match="limit 0"):
            await UsageRepository(work).count_report(other, PlanLimits(reports_per_month=0))
        await UsageRepository(work).count_report(other, PlanLimits())
    assert sorted(await rows(database, MONTHS)) == [(0, 1, 0), (0, 4, 0)]


@tiers
async def test_shared_reports_count_and_tracked_repositories_are_limited(
    client: Client, user_id: UUID, database: Database
) -> None:
    async with database.unit_of_work() as work:
        run = new_run(user_id)
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    for _ in range(2):
        await client.reports.create(user_id, run.run_id)
    with pytest.raises(LimitExceededError, match=r"2 reports this month \(limit 2, plan free\)"):
        await client.reports.create(user_id, run.run_id)
    assert len(await client.reports.list(user_id)) == 2
    await client.repositories.add(user_id, url="https://github.com/owner/one")
    with pytest.raises(LimitExceededError, match=r"1 repositories \(limit 1, plan free\)"):
        await client.repositories.add(user_id, url="https://github.com/owner/two")
    with pytest.raises(InvalidInputError):  # it is tracked already, whatever the limit
        await client.repositories.add(user_id, url="https://github.com/owner/one")
    assert len(await client.repositories.list(user_id)) == 1
    assert await rows(database, MONTHS) == [(0, 2, 1)]


async def test_repositories_are_limited_at_a_time_and_the_month_keeps_the_most(
    client: Client, user_id: UUID, database: Database
) -> None:
    limits = PlanLimits(repositories=2)
    async with database.unit_of_work() as work:
        usage = UsageRepository(work)
        for tracked in (0, 1, 0):
            await usage.count_repository(user_id, limits, tracked=tracked)
        with pytest.raises(LimitExceededError, match="2 repositories"):
            await usage.count_repository(user_id, limits, tracked=2)
    assert (await client.usage.get(user_id)).usage.repositories == 2
    await submit(database, user_id)
    assert await rows(database, MONTHS) == [(1, 0, 2)]


@tiers
async def test_usage_says_what_is_used_and_what_the_limits_are(client: Client, user_id: UUID) -> None:
    for _ in range(2):
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    found = await client.usage.get(user_id)
    assert (found.limits.tier, found.limits.analyses_per_month, found.limits.upload_mb) == ("free", 3, 5)
    document = found.to_json()
    assert document["used"] == {
        "analyses_per_month": 2, "reports_per_month": 0, "unfinished_jobs": 2, "jobs_per_day": 2, "repositories": 0,
    }  # fmt: skip
    assert document["limits"] == {**TIERS["free"], "jobs_per_day": 100, "upload_mb": 5}
    assert document["months"] == [{"month": document["month"], "analyses": 2, "reports": 0, "repositories": 0}]
    assert document["month_ends_at"].endswith("-01T00:00:00+00:00")
    with pytest.raises(NotFoundError):
        await client.usage.get(uuid.uuid4())


async def test_unfinished_jobs_without_a_limit_are_not_counted_one_by_one(
    client: Client, user_id: UUID, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.database.access.usage.MOST_COUNTED", 3)
    await execute(database, "UPDATE users SET tier = 'enterprise'")
    for _ in range(6):
        await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    assert (await client.usage.get(user_id)).usage.unfinished == 3


async def test_months_older_than_two_years_are_deleted(user_id: UUID, database: Database) -> None:
    await execute(
        database,
        """
        INSERT INTO usage_tracking (user_id, month_year)
        SELECT :user_id, to_char((now() AT TIME ZONE 'UTC') - make_interval(months => number), 'YYYY-MM')
        FROM generate_series(0, 40) AS number
        """,
        user_id=user_id,
    )
    async with database.unit_of_work() as work:
        assert (await CleanupRepository(work).delete_old_months(10)).rows == 10
        assert (await CleanupRepository(work).delete_old_months(100)).rows == 41 - 10 - KEPT_MONTHS
        assert len(await UsageRepository(work).months(user_id, 100)) == KEPT_MONTHS


async def test_unknown_tiers_and_negative_counts_are_refused_by_the_database(user_id: UUID, database: Database) -> None:
    for query in (
        "UPDATE users SET tier = 'gold'",
        "INSERT INTO usage_tracking (user_id, month_year, analyses_count) SELECT id, '2026-12', -1 FROM users",
    ):
        with pytest.raises(Exception, match="check constraint"):
            await execute(database, query)


FILL = (
    "INSERT INTO users (email) SELECT number || '@example.org' FROM generate_series(1, 5000) AS number",
    """
    INSERT INTO usage_tracking (user_id, month_year, analyses_count)
    SELECT id, to_char(now() AT TIME ZONE 'UTC' - make_interval(months => number), 'YYYY-MM'), 5
    FROM users, generate_series(0, 19) AS number
    """,
    "INSERT INTO daily_usage SELECT id, current_date - number, 1 FROM users, generate_series(0, 6) AS number",
    "ANALYZE users, usage_tracking, daily_usage",
)
"""100,000 months of five thousand users."""


async def test_no_statement_reads_all_of_100_000_months(user_id: UUID, database: Database) -> None:
    for query in FILL:
        await execute(database, query)
    limits = PlanLimits(analyses_per_month=50, unfinished_jobs=5, jobs_per_day=100, reports_per_month=5)
    calls: dict[str, Any] = {
        "submit": lambda work: UploadedOnce(work).submit(user_id, Plans.same(limits)),
        "submit without limits": lambda work: UploadedOnce(work).submit(user_id, NO_LIMITS),
        "usage": lambda work: UsageRepository(work).usage(user_id, count_to=6),
        "months": lambda work: UsageRepository(work).months(user_id, 24),
        "report": lambda work: UsageRepository(work).count_report(user_id, limits),
        "repository": lambda work: UsageRepository(work).count_repository(user_id, limits, tracked=1),
        "cleanup": lambda work: CleanupRepository(work).delete_old_months(5_000),
        "tier": lambda work: UsageRepository(work).tier(user_id),
        "lock": lambda work: UsageRepository(work).lock_user(user_id),
        "set tier": lambda work: UsageRepository(work).set_tier(user_id, Tier.TEAM, Actor(operator=True)),
    }
    for name, call in calls.items():
        plan = await plans_of(database, call)
        assert name in ("tier", "lock", "set tier") or "usage_tracking" in plan, (name, plan)
        for table in ("users", "usage_tracking", "daily_usage"):
            assert f"Seq Scan on {table}" not in plan, (name, plan)
    size = "SELECT pg_table_size('usage_tracking') / 100000.0, pg_indexes_size('usage_tracking') / 100000.0"
    ((table, indexes),) = await rows(database, size)
    print(f"{table:.0f} bytes a month, {indexes:.0f} of its indexes")
