"""Calls about tracked repositories: what is accepted, refused, listed and forgotten, and what PostgreSQL reads."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from domain.options import JobOptions
from domain.tracking.follows import FollowSettings, FollowWhen
from domain.tracking.repository import AnalysisStatus, RepositoryCursor
from domain.tracking.settings import RepositorySettings
from infrastructure.database.engine import Database
from infrastructure.database.tracking.checks import CheckRepository, NextCheck
from infrastructure.database.tracking.follows import FollowRepository
from infrastructure.database.tracking.hook_deliveries import HookDeliveryRepository
from infrastructure.database.tracking.repositories import TrackedRepositories
from infrastructure.database.tracking.run_ends import RunEndRepository
from infrastructure.database.tracking.statistics import RepositoryStatisticsRepository
from worker.client import Client
from worker.client.repositories.changes import RepositoryChanges

URL = "https://github.com/Owner/repo"
pytestmark = pytest.mark.settings(WEBHOOK_SECRETS="x" * 32)


async def rows(client: Client, query: str, **values: Any) -> list[Any]:
    async with client._database.unit_of_work() as work:
        return list((await work.execute(text(query), values)).all())


async def test_a_repository_keeps_what_it_was_given(client: Client, user_id: UUID) -> None:
    settings = RepositorySettings(branches=("main",), exclude=("docs",), notify_url="https://x.example/h", public=True)
    added = await client.repositories.add(
        user_id,
        url="https://GitHub.com/Owner/repo.git/",
        schedule="Daily",
        settings=settings,
        tags={"Domain": ["Web", "web"]},
        description="a \x00 tool",
        language="Python",
    )
    assert added == await client.repositories.get(user_id, added.repository_id)
    assert (added.name, added.full_name, added.url) == ("repo", "Owner/repo", URL)
    assert added.clone_url == f"{URL}.git"
    assert (added.schedule, added.tags, added.settings) == ("daily", {"domain": ["web"]}, settings.to_json())
    assert (added.description, added.language) == ("a \\x00 tool", "Python")
    assert added.analysis_status is AnalysisStatus.PENDING
    assert added.next_check_at is not None
    assert (await rows(client, "SELECT action, details FROM audit_logs")) == [("track", {"url": URL})]


async def test_a_repository_is_tracked_once_however_it_is_written(client: Client, user_id: UUID) -> None:
    first = await client.repositories.add(user_id, url=URL)
    for url in (URL, f"{URL}.git", f"{URL}/", "https://GITHUB.com:443/Owner/repo"):
        with pytest.raises(InvalidInputError, match=str(first.repository_id)):
            await client.repositories.add(user_id, url=url)
    other = await client.get_or_create_user("bob@example.org")
    await client.repositories.add(other, url=URL)
    added = await asyncio.gather(
        *(client.repositories.add(other, url=f"{URL}2") for _ in range(10)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in added) == ["InvalidInputError"] * 9 + ["TrackedRepository"]


TAGS: Mapping[str, Any] = {
    "1 MB": {"domain": ["x" * (1 << 20)]},
    "nested": {"domain": {"web": ["x"]}},
    "NUL": {"do\0main": ["x"]},
    "NUL in a value": {"domain": ["x\0"]},
    "many": {str(n): ["x"] for n in range(1000)},
}


@pytest.mark.parametrize(
    "given",
    [
        {"url": "git@github.com:a/b"},
        {"url": "https://example.org/a/b"},
        {"url": "https://user:token@github.com/a/b"},
        {"schedule": "* * * * * *"},
        {"schedule": "0 0 30 2 *"},
        {"settings": RepositorySettings(branches=("a..b",))},
        {"settings": RepositorySettings(notify_url="http://127.0.0.1/")},
        {"settings": RepositorySettings(notify_url="https://10.0.0.1/")},
        *({"tags": tags} for tags in TAGS.values()),
        {"token": "x" * 10_000},
        {"token": "a\nb"},
        {"token": ""},
        {"description": "x" * 10_000},
        {"language": "x" * 1_000},
    ],
    ids=str,
)
async def test_bad_input_is_refused_in_one_line_and_stores_nothing(
    client: Client, user_id: UUID, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await client.repositories.add(user_id, **{"url": URL, **given})
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert await client.repositories.list(user_id) == []
    changes = {key: value for key, value in given.items() if key != "url" and value != ""}
    if changes:
        added = await client.repositories.add(user_id, url=URL)
        with pytest.raises(InvalidInputError):
            await client.repositories.update(user_id, added.repository_id, RepositoryChanges(**changes))
        assert await client.repositories.get(user_id, added.repository_id) == added


async def test_an_unknown_user_tracks_nothing(client: Client) -> None:
    with pytest.raises(NotFoundError):
        await client.repositories.add(uuid.uuid4(), url=URL)


async def test_changes_replace_and_clear(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(
        user_id, url=URL, schedule="daily", token="s3cret", description="one", tags={"a": ["b"]}
    )
    assert added.has_token
    update = client.repositories.update
    same = await update(user_id, added.repository_id, RepositoryChanges())
    assert same == added
    changes = RepositoryChanges(
        schedule="", token="", description="", tags={}, settings=RepositorySettings(public=True)
    )
    changed = await update(user_id, added.repository_id, changes)
    assert (changed.schedule, changed.next_check_at, changed.has_token) == (None, None, False)
    assert (changed.description, changed.tags, changed.settings) == (None, {}, {"public": True})
    ((details,),) = await rows(client, "SELECT details FROM audit_logs WHERE action = 'update_repository'")
    assert details == {
        "schedule": "None", "token": "changed", "tags": "changed", "settings": "changed", "description": "None",
    }  # fmt: skip


async def test_pages_are_in_the_order_of_urls_and_of_status_and_tags(client: Client, user_id: UUID) -> None:
    for number in range(5):
        tags = {"domain": ["web", "api"] if number % 2 else ["web"]}
        await client.repositories.add(user_id, url=f"{URL}{number}", tags=tags)
    listed, after = [], None
    while page := await client.repositories.list(user_id, limit=2, after=after):
        listed += page
        after = page[-1].cursor
    assert [each.url for each in listed] == [f"{URL}{number}" for number in range(5)]
    apis = await client.repositories.list(user_id, tags={"DOMAIN": ["api"]})
    assert [each.url[-1] for each in apis] == ["1", "3"]
    assert await client.repositories.list(user_id, status=AnalysisStatus.FAILED) == []
    assert len(await client.repositories.list(user_id, status=AnalysisStatus.PENDING)) == 5


async def test_a_repository_is_found_by_url_and_by_the_beginning_of_its_id(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(user_id, url=URL)
    whole = str(added.repository_id)
    for named in (URL, f"{URL}.git", whole, whole[:9], whole.replace("-", "")[:12].upper()):
        assert await client.repositories.find_id(user_id, named) == added.repository_id
    other = await client.get_or_create_user("bob@example.org")
    for named in (URL, whole[:9], "zzz", "", "\0"):
        with pytest.raises(NotFoundError):
            await client.repositories.find_id(other, named)


async def test_a_user_sees_and_follows_public_repositories_only(client: Client, user_id: UUID) -> None:
    settings = RepositorySettings(notify_url="https://own.example.org/secret-path")
    added = await client.repositories.add(user_id, url=URL, settings=settings)
    other = await client.get_or_create_user("bob@example.org")
    follow = FollowSettings(when=FollowWhen.END, notify_url="https://bob.example.org/")
    for call in (
        client.repositories.get(other, added.repository_id),
        client.repositories.follow(other, added.repository_id, follow),
        client.repositories.statistics(other, added.repository_id),
    ):
        with pytest.raises(ForbiddenError):
            await call
    public = RepositoryChanges(settings=RepositorySettings(notify_url=settings.notify_url, public=True))
    await client.repositories.update(user_id, added.repository_id, public)
    seen = await client.repositories.get(other, added.repository_id)
    assert (seen.url, seen.settings, seen.last_error) == (URL, {"public": True}, None)
    await client.repositories.follow(other, added.repository_id, follow)
    changed = await client.repositories.follow(other, added.repository_id, FollowSettings())
    assert await client.repositories.list_followed(other) == [changed]
    for owner_only in (client.repositories.check, client.repositories.remove, client.repositories.rotate_hook_secret):
        with pytest.raises(ForbiddenError):
            await owner_only(other, added.repository_id)
    await client.repositories.unfollow(other, added.repository_id)
    with pytest.raises(NotFoundError):
        await client.repositories.unfollow(other, added.repository_id)


async def test_removing_a_repository_removes_its_followers_and_keeps_its_runs(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(user_id, url=URL)
    await client.repositories.follow(user_id, added.repository_id, FollowSettings())
    job = await client.submit_repository(user_id, url=URL, options=JobOptions(repository_id=added.repository_id))
    await client.repositories.remove(user_id, added.repository_id)
    with pytest.raises(NotFoundError):
        await client.repositories.get(user_id, added.repository_id)
    assert await client.repositories.list_followed(user_id) == []
    assert (await client.get_job(user_id, job.job_id)).options == {"repository_id": str(added.repository_id)}


async def test_a_job_names_only_its_owner_s_repository_of_its_url(client: Client, user_id: UUID) -> None:
    added = await client.repositories.add(user_id, url=URL)
    other = await client.get_or_create_user("eve@example.org")
    options = JobOptions(repository_id=added.repository_id)
    with pytest.raises(ForbiddenError):
        await client.submit_repository(other, url=URL, options=options)
    with pytest.raises(InvalidInputError):
        await client.submit_repository(user_id, url=f"{URL}2", options=options)
    with pytest.raises(InvalidInputError):
        await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n", options=options)
    with pytest.raises(NotFoundError):
        await client.submit_repository(user_id, url=URL, options=JobOptions(repository_id=uuid.uuid4()))


# Deletion of users


async def test_a_deleted_user_leaves_no_repository_and_no_follow(client: Client, user_id: UUID) -> None:
    other = await client.get_or_create_user("bob@example.org")
    added = await client.repositories.add(user_id, url=URL, settings=RepositorySettings(public=True))
    bobs = await client.repositories.add(other, url=URL, settings=RepositorySettings(public=True))
    await client.repositories.follow(other, added.repository_id, FollowSettings())
    await client.repositories.follow(user_id, bobs.repository_id, FollowSettings())
    secret = await client.repositories.rotate_hook_secret(user_id, added.repository_id)
    push = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": secret}
    await client.repositories.receive_hook(added.repository_id, push, b"{}")
    await client.delete_user(user_id)
    assert [row.id for row in await rows(client, "SELECT id FROM repositories")] == [bobs.repository_id]
    for table in ("user_repository_follows", "repository_hook_deliveries"):
        assert await rows(client, f"SELECT * FROM {table}") == []  # noqa: S608 - a fixed name


# What PostgreSQL reads

PlannedCall = Callable[[AsyncConnection], Awaitable[Any]]
GROWING = ("repositories", "user_repository_follows", "repository_hook_deliveries", "jobs", "analysis_runs", "insights")


async def plans_of(database: Database, call: PlannedCall) -> str:
    """Return the plans of the statements of a call, which is rolled back."""
    statements: list[tuple[str, Any]] = []

    def record(_c: Any, _cursor: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> None:
        statements.append((statement, parameters))

    async with database.unit_of_work() as work:
        savepoint = await work.begin_nested()
        event.listen(work.sync_connection, "before_cursor_execute", record)
        await call(work)
        event.remove(work.sync_connection, "before_cursor_execute", record)
        lines: list[str] = []
        for statement, parameters in statements:
            lines += (await work.exec_driver_sql(f"EXPLAIN {statement}", tuple(parameters))).scalars().all()
        await savepoint.rollback()
    return "\n".join(lines)


FILL = (
    """
    INSERT INTO repositories (owner_id, name, full_name, url, clone_url, tags, settings, schedule,
        next_check_at, check_requested_at, hook_secret)
    SELECT :owner, 'r', 'o/r' || n, 'https://h/o/r' || n, 'https://h/o/r' || n,
        jsonb_build_object('domain', jsonb_build_array('d' || n % 1000)), jsonb_build_object('public', n % 2 = 0),
        'daily', now() + n * interval '1 s' - interval '1 hour', CASE WHEN n % 100 = 0 THEN now() END, 'x'
    FROM generate_series(1, 100000) AS n
    """,
    "INSERT INTO user_repository_follows (user_id, repository_id) SELECT :owner, id FROM repositories",
    "INSERT INTO repository_hook_deliveries SELECT id, 'x', now() - interval '1 day' FROM repositories",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY repository_stats",
    """
    INSERT INTO jobs (job_id, user_id, status, source_kind)
    SELECT n::text, :owner, 'completed', 'github' FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO analysis_runs (user_id, submission_type, metrics, project_key, review_verdict, created_at)
    SELECT :owner, 'github', '{}', 'p' || n % 100, 'APPROVED', now() - n * interval '1 s'
    FROM generate_series(1, 20000) AS n
    """,
    """
    INSERT INTO tracked_job_ends (job_id, user_id, repository_id, status, run_id, branch, head, finished_at)
    SELECT 'x', :owner, (SELECT id FROM repositories LIMIT 1), 'completed', run_id, 'main', 'a', now()
    FROM analysis_runs LIMIT 1
    """,
)
"""100,000 repositories of a user with followers, deliveries and statistics, runs and jobs, and the end of one."""


async def insert_many(database: Database, user_id: UUID) -> UUID:
    """Insert the rows of FILL. Returns the id of a repository."""
    async with database.unit_of_work() as work:
        for statement in FILL:
            await work.execute(text(statement), {"owner": user_id} if ":owner" in statement else {})
        found: UUID = await work.scalar(text("SELECT id FROM repositories WHERE url = 'https://h/o/r5000'"))
    async with database.autocommit() as work:
        await work.execute(text("VACUUM ANALYZE"))
    return found


async def check_once(work: AsyncConnection) -> None:
    """Claim a check, and write each of its ends: the first releases the claim, the plans of all are what counts."""
    checks = CheckRepository(work)
    (claim,) = await checks.claim(1, lease_seconds=60, scheduled=True)
    await checks.advance(claim, "main", "a" * 40)
    nothing = NextCheck(scheduled=None)
    assert await checks.succeed(claim, nothing, "main")
    await checks.fail(claim, nothing, "no", None)
    await checks.refuse(claim, nothing, "no")
    await checks.abandon(claim)


async def test_no_statement_reads_all_of_100_000_repositories(
    client: Client, user_id: UUID, database: Database
) -> None:
    repository_id = await insert_many(database, user_id)
    after = RepositoryCursor(url="https://h/o/r50000")
    tags = {"domain": ["d5"]}
    calls: dict[str, PlannedCall] = {
        "get": lambda work: TrackedRepositories(work).get(repository_id),
        "url": lambda work: TrackedRepositories(work).find_by_url(user_id, "https://h/o/r5"),
        "prefix": lambda work: TrackedRepositories(work).find_by_prefix(user_id, repository_id.hex[:8]),
        "list": lambda work: TrackedRepositories(work).list_page(user_id, limit=50, after=after),
        "list failed": lambda work: TrackedRepositories(work).list_page(
            user_id, limit=50, status=AnalysisStatus.FAILED
        ),
        "tags": lambda work: TrackedRepositories(work).list_page(user_id, limit=50, tags=tags),
        "claim": lambda work: CheckRepository(work).claim(2, lease_seconds=60, scheduled=True),
        "check": check_once,
        "end": lambda work: RunEndRepository(work).apply_next(),
        "request": lambda work: TrackedRepositories(work).request_check(repository_id),
        "see": lambda work: HookDeliveryRepository(work).see(repository_id, "y"),
        "delete old": lambda work: HookDeliveryRepository(work).delete_old(1000),
        "followed": lambda work: FollowRepository(work).list_page(user_id, limit=50),
        "unfollow": lambda work: FollowRepository(work).unfollow(user_id, repository_id),
        "statistics": lambda work: RepositoryStatisticsRepository(work).get(repository_id),
        "trending": lambda work: RepositoryStatisticsRepository(work).trending(user_id, 20),
        "remove": lambda work: TrackedRepositories(work).remove(repository_id),
        "delete user's": lambda work: TrackedRepositories(work).delete_of_user(user_id, 100),
        "delete user's follows": lambda work: FollowRepository(work).delete_of_user(user_id, 100),
    }
    plans = {name: await plans_of(database, call) for name, call in calls.items()}
    for name, plan in plans.items():
        for table in (*GROWING, "repository_stats"):
            assert f"Seq Scan on {table}" not in plan, (name, plan)
    assert "ix_repositories_tags" in plans["tags"], plans["tags"]
    assert "ix_repositories_due" in plans["claim"], plans["claim"]
    assert "ix_repositories_asked" in plans["claim"], plans["claim"]
    assert "ix_repositories_owner_status" in plans["list failed"], plans["list failed"]
