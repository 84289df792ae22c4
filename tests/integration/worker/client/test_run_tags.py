"""Tags of runs: given at submission, changed later, and searched by an index."""

import asyncio
import uuid
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import InvalidInputError
from domain.runs import NewRun
from domain.tags import MAX_CATEGORIES
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.checks.plans import plans_of
from tests.fixtures.jobs import new_run, new_user
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client, JobOptions

WEB = {"domain": ["web"]}


async def stored(database: Database, user_id: UUID, **tags: list[str]) -> UUID:
    fields: dict[str, Any] = {name: getattr(new_run(user_id), name) for name in NewRun.__dataclass_fields__}
    run = NewRun(**{**fields, "run_id": uuid.uuid4(), "job_id": uuid.uuid4().hex, "tags": tags})
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    return run.run_id


async def test_tags_of_a_submission_are_those_of_its_run(system: System, client: Client, user_id: UUID) -> None:
    options = JobOptions(tags={"Domain": ["Web", "ＷＥＢ"], "kind": ["data  science"]})  # noqa: RUF001 - wanted
    async with system.worker():
        job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n", options=options)
        plain = await client.submit_upload(user_id, filename="b.py", content=b"x = 1\n")
        ended = [await until_finished(client, user_id, each.job_id) for each in (job, plain)]
    assert ended[0].result_run_id is not None
    run = await client.get_run(user_id, ended[0].result_run_id)
    assert run.tags == {"domain": ["web"], "kind": ["data science"]}
    assert run.options == {}
    assert [found.run_id for found in (await client.list_runs(user_id, tags=WEB)).runs] == [run.run_id]
    assert (await client.list_runs(user_id, tags={"domain": ["web"], "kind": ["other"]})).runs == []


async def test_pages_have_the_runs_with_all_of_the_tags(database: Database, client: Client, user_id: UUID) -> None:
    both = [await stored(database, user_id, domain=["api", "web"], kind=[str(number)]) for number in range(5)]
    await stored(database, user_id, domain=["api"])
    await stored(database, user_id)
    await stored(database, await new_user(database, "b@example.org"), domain=["web", "api"])
    wanted, found, after = {"Domain": ["WEB", "api"]}, [], None
    while True:
        page = await client.list_runs(user_id, limit=2, after=after, tags=wanted)
        found += [run.run_id for run in page.runs]
        if page.next is None:
            break
        after = page.next
    assert found == both[::-1]


async def test_concurrent_changes_are_all_kept(database: Database, client: Client, user_id: UUID) -> None:
    run_id = await stored(database, user_id)
    await asyncio.gather(*(client.tags.add(user_id, run_id, {f"c{number}": ["x"]}) for number in range(MAX_CATEGORIES)))
    assert len((await client.get_run(user_id, run_id)).tags) == MAX_CATEGORIES
    with pytest.raises(InvalidInputError, match="21 categories"):
        await client.tags.add(user_id, run_id, WEB)
    assert await client.tags.set(user_id, run_id, WEB) == WEB
    assert await client.tags.remove(user_id, run_id, WEB) == {}


async def test_only_a_change_leaves_an_entry_in_the_audit_log(
    database: Database, client: Client, user_id: UUID
) -> None:
    run_id = await stored(database, user_id)
    await client.tags.set(user_id, run_id, {})
    await client.tags.set(user_id, run_id, WEB)
    await client.tags.add(user_id, run_id, WEB)
    async with database.unit_of_work() as work:
        rows = await work.execute(text("SELECT resource_id FROM audit_logs WHERE action = 'tag_run'"))
    assert [row.resource_id for row in rows] == [str(run_id)]


@pytest.mark.parametrize(
    "tags", [{"a": ["x" * 1_000_000]}, {"a": {"b": ["c"]}}, {"a": ["b\0"]}, {"a\0": ["b"]}, [], {"a": [["b"]]}]
)
async def test_bad_tags_are_refused(database: Database, client: Client, user_id: UUID, tags: Any) -> None:
    run_id = await stored(database, user_id)
    for call in (client.tags.set, client.tags.add, client.tags.remove):
        with pytest.raises(InvalidInputError):
            await call(user_id, run_id, tags)
    with pytest.raises(InvalidInputError):
        await client.list_runs(user_id, tags=tags)
    assert (await client.get_run(user_id, run_id)).tags == {}


async def test_the_index_finds_runs_among_100_000(database: Database, user_id: UUID) -> None:
    async with database.unit_of_work() as work:
        await work.execute(
            text("""
                INSERT INTO analysis_runs (user_id, submission_type, metrics, tags, created_at)
                SELECT :user_id, 'upload', '{}', CAST(CASE
                    WHEN number % 20000 = 0 THEN '{"domain": ["rare", "web"]}'
                    WHEN number % 2 = 0 THEN '{"domain": ["web"]}' ELSE '{}' END AS jsonb),
                    now() - number * interval '1 second'
                FROM generate_series(1, 100000) AS number
            """),
            {"user_id": user_id},
        )
    async with database.autocommit() as work:
        await work.execute(text("ANALYZE analysis_runs"))

    async def plan(tags: dict[str, list[str]]) -> str:
        return await plans_of(database, lambda work: RunRepository(work).list_runs(user_id, limit=20, tags=tags))

    assert "ix_analysis_runs_tags" in await plan({"domain": ["rare"]})
    common = await plan({"domain": ["web"]})
    assert "Index Scan Backward" in common  # every other run has it, so the newest are soon found
    for each in (common, await plan({"domain": ["rare"]}), await plan({"domain": ["none"]})):
        assert "Seq Scan" not in each, each
