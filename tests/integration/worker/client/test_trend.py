"""Trends of a project: which runs count, how it is named, and what PostgreSQL reads."""

import random
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from domain.findings.baseline import Project
from domain.runs import RunOrigin
from domain.statistics.trends import LEAST_RUNS
from infrastructure.database.engine import Database
from infrastructure.database.queries.trends import _RUNS, TrendQuery
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from tests.integration.infrastructure.database.buffers import count_buffers
from worker.client import Client, ExportFormat, trend_to_json
from worker.client.runs.owned_runs import MOST_TREND_POINTS

URL = "https://github.com/Owner/repo"
COMPLETE = {
    "files": 1,
    "analyzed": 1,
    "skipped": [],
    "skipped_total": 0,
    "collectors": {"lint": "ok", "docs": "partial"},
}
FAILED = {**COMPLETE, "collectors": {"lint": "ok", "docs": "failed"}}
START = datetime(2026, 1, 1, tzinfo=UTC)


def metrics(total: int, source: int) -> dict[str, Any]:
    return {
        "lint": {"total": total, "suppressed": None, "by_role": {"source": {"total": source}, "test": {"total": 1}}},
        "deps": {"total_modules": 4, "package_health": [{"package": "p"}]},
        "churn": {"totalChurn": total},
    }


async def stored(database: Database, user_id: UUID, number: int, **more: Any) -> UUID:
    """Store a run that is `number` days younger than START."""
    origin = {"git_repo_url": URL, "git_branch": "main", "git_commit_sha": f"{number:040x}", **more.pop("origin", {})}
    default = more.pop("on_default_branch", True)
    values = {"completeness": COMPLETE, "metrics": metrics(100 + number, 10 + number), "tool_versions": {"ruff": "1"}}
    run = replace(
        new_run(user_id, uuid.uuid4().hex, **(values | more)),
        origin=RunOrigin(submission_type="github", **origin),
        on_default_branch=default,
    )
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
        await work.execute(
            text("UPDATE analysis_runs SET created_at = :at, quality_score = :quality WHERE run_id = :id"),
            {"at": START + timedelta(days=number), "quality": 50.0 + number, "id": run.run_id},
        )
    return run.run_id


async def test_numbers_of_source_files_are_followed_from_run_to_run(
    database: Database, client: Client, user_id: UUID
) -> None:
    runs = [await stored(database, user_id, number) for number in range(LEAST_RUNS)]
    found = await client.trend(user_id, URL)
    assert [run.run_id for run in found.series.runs] == runs
    assert (found.branch, found.series.break_reason) == ("main", None)
    by_name = {(trend.metric, trend.key): trend for trend in found.trends}
    assert set(by_name) == {("lint", "total"), ("deps", "total_modules"), ("quality", "quality_score")}
    assert by_name["quality", "quality_score"].values == tuple(50.0 + number for number in range(LEAST_RUNS))
    lint = by_name["lint", "total"]
    assert lint.values == tuple(range(10, 10 + LEAST_RUNS))
    assert (lint.slope, lint.is_significant) == (1.0, True)
    assert by_name["deps", "total_modules"].slope == 0.0
    document = trend_to_json(found)
    assert document["runs"][0] == {
        "run_id": str(runs[0]), "created_at": START.isoformat(), "commit": "0" * 40,
    }  # fmt: skip


async def test_only_comparable_runs_of_the_branch_count(database: Database, client: Client, user_id: UUID) -> None:
    other = await client.get_or_create_user("other@example.org")
    await stored(database, user_id, 0, tool_versions={"ruff": "0"})
    await stored(database, user_id, 1)
    first = await stored(database, user_id, 2, origin={"git_commit_sha": f"{1:040x}"})  # the commit of run 1 again
    await stored(database, user_id, 3, origin={"git_branch": "dev"}, on_default_branch=False)
    await stored(database, user_id, 4, origin={"git_repo_url": "https://github.com/owner/other"})
    await stored(database, other, 5)
    last = await stored(database, user_id, 6)
    found = await client.trend(user_id, URL)
    assert [run.run_id for run in found.series.runs] == [first, last]
    assert found.series.break_reason == "another version of ruff"
    assert {trend.slope for trend in found.trends} == {None}
    dev = await client.trend(user_id, URL, "dev")
    assert (dev.branch, len(dev.series.runs)) == ("dev", 1)
    await stored(database, user_id, 7, completeness=FAILED)
    newest = await client.trend(user_id, URL)
    assert (newest.series.runs, newest.trends, newest.series.break_reason) == ((), [], "the newest run is incomplete")


async def test_without_a_default_branch_that_of_the_newest_run_counts(
    database: Database, client: Client, user_id: UUID
) -> None:
    for number, branch in enumerate(("b", "a", "b")):
        await stored(database, user_id, number, origin={"git_branch": branch}, on_default_branch=False)
    assert (await client.trend(user_id, URL)).branch == "b"
    await stored(database, user_id, 3, origin={"git_branch": "a"}, on_default_branch=None)
    assert (await client.trend(user_id, URL)).branch == "a"


async def test_a_project_is_named_by_url_name_file_or_run(database: Database, client: Client, user_id: UUID) -> None:
    by_url = await stored(database, user_id, 0)
    upload = {"git_repo_url": None, "git_branch": None, "git_commit_sha": None}
    by_name = await stored(database, user_id, 1, origin={**upload, "project_name": "P", "upload_filename": "a.py"})
    by_file = await stored(database, user_id, 2, origin={**upload, "upload_filename": "b\x00.py"})
    nameless = await stored(database, user_id, 3, origin=upload)
    names = {
        URL: by_url, "http://x@GITHUB.com/Owner/repo.git/": by_url, "github.com/Owner/repo": by_url,
        str(by_url): by_url, by_url.hex[:12]: by_url, "P": by_name, str(by_name): by_name, "b\x00.py": by_file,
        str(by_file): by_file,
    }  # fmt: skip
    for name, run_id in names.items():
        assert [run.run_id for run in (await client.trend(user_id, name)).series.runs] == [run_id], name
        assert [run.run_id for run in (await client.list_runs(user_id, project=name)).runs] == [run_id], name
    assert (await client.trend(user_id, "P")).branch is None
    for unknown in ("a.py", "p", "", "' OR '1'='1", "\ud800", uuid.uuid4().hex, "x" * 10_000, "http://[::1"):
        with pytest.raises(NotFoundError) as caught:
            await client.trend(user_id, unknown)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 250
        with pytest.raises(NotFoundError):
            await client.list_runs(user_id, project=unknown)
    with pytest.raises(NotFoundError, match="is of no project"):
        await client.trend(user_id, str(nameless))
    with pytest.raises(NotFoundError, match="has no run of branch 'x'"):
        await client.trend(user_id, URL, "x")
    other = await client.get_or_create_user("other@example.org")
    with pytest.raises(ForbiddenError):
        await client.trend(other, str(by_url))
    for named in (URL, by_url.hex[:12]):
        with pytest.raises(NotFoundError):
            await client.trend(other, named)
    prefix = by_url.hex[:7]
    async with database.unit_of_work() as work:
        await work.execute(
            text("UPDATE analysis_runs SET run_id = CAST(:new AS uuid) WHERE run_id = :old"),
            {"new": prefix + ("0" if by_url.hex[7] != "0" else "1") + by_url.hex[8:], "old": nameless},
        )
    with pytest.raises(InvalidInputError, match="several run ids begin"):
        await client.trend(user_id, prefix)


async def trend_section(client: Client, user_id: UUID, run_id: UUID) -> str:
    """Return the text of the section on the trend in the report of a run."""
    report = (await client.export_run(user_id, run_id, ExportFormat.HTML)).decode()
    _, _, after = report.partition('<section id="trend">')
    section, end, _ = after.partition("</section>")
    assert end
    return " ".join(re.sub("<[^>]*>", " ", section).split()).replace(" .", ".")


async def test_report_has_the_trend_up_to_its_run(database: Database, client: Client, user_id: UUID) -> None:
    await stored(database, user_id, 0, tool_versions={"ruff": "0"})
    runs = [await stored(database, user_id, number) for number in range(1, 5)]
    await stored(database, user_id, 5, origin={"git_branch": "dev"}, on_default_branch=False)
    text = await trend_section(client, user_id, runs[2])
    assert text.startswith("Trend 3 runs, from 2026-01-02 00:00 UTC (000000000000) to 2026-01-04 00:00 UTC (")
    assert "No earlier run counts: another version of ruff." in text
    assert "quality score 51 51 to 53 53" in text
    assert "lint total 11 11 to 13 13" in text
    assert "totalChurn" not in text
    first = await trend_section(client, user_id, runs[0])
    assert first == "Trend None is known: another version of ruff."


async def test_report_has_the_newest_runs_of_a_long_trend(database: Database, client: Client, user_id: UUID) -> None:
    for number in range(MOST_TREND_POINTS + 2):
        last = await stored(database, user_id, number)
    text = await trend_section(client, user_id, last)
    assert f"Trend {MOST_TREND_POINTS} runs, from 2026-01-03 00:00 UTC" in text
    assert f"No earlier run counts: only the newest {MOST_TREND_POINTS} runs count." in text


async def test_report_says_why_it_has_no_trend(database: Database, client: Client, user_id: UUID) -> None:
    of_nothing = {"git_repo_url": None, "git_branch": None, "git_commit_sha": None}
    nameless = await stored(database, user_id, 0, origin=of_nothing)
    assert await trend_section(client, user_id, nameless) == "Trend None is known: this run is of no project."
    single = await stored(database, user_id, 1)
    assert "there is no earlier run of this branch." in await trend_section(client, user_id, single)
    broken = await stored(database, user_id, 2, completeness=FAILED)
    assert "the newest run is incomplete." in await trend_section(client, user_id, broken)


async def test_pages_of_a_projects_runs_leave_out_others(database: Database, client: Client, user_id: UUID) -> None:
    wanted = []
    for number in range(6):
        more = {} if number % 2 else {"origin": {"git_repo_url": "https://github.com/owner/other"}}
        run_id = await stored(database, user_id, number, **more)
        wanted += [run_id] if number % 2 else []
    first = await client.list_runs(user_id, project=URL, limit=2)
    second = await client.list_runs(user_id, project=URL, limit=2, after=first.next)
    assert [run.run_id for run in (*first.runs, *second.runs)] == wanted[::-1]
    assert second.next is None


async def test_the_statement_uses_the_index_and_reads_no_large_document(database: Database, user_id: UUID) -> None:
    noise = random.Random(1)
    large = {"total": 1, "items": [{"metric": "lint", "message": noise.randbytes(100_000).hex()}]}
    for number in range(20):
        await stored(database, user_id, number, findings=large, file_tree={**large, "type": "directory"})
    project = Project.of(url=URL, name=None, filename=None)
    assert project is not None
    async with database.unit_of_work() as work:
        await work.execute(text("SET LOCAL enable_seqscan = off"))  # so few rows are not worth an index
        query = TrendQuery(work, user_id)
        assert len(await query.runs(project.key, "main")) == 20
        buffers = await count_buffers(work, lambda: query.runs(project.key, "main"))
        early = await query.runs(project.key, "main", until=START + timedelta(days=4))
        assert [run.created_at.day for run in early] == [5, 4, 3, 2, 1]
        everything = await count_buffers(
            work,
            lambda: work.execute(text("SELECT length(findings::text), length(file_tree::text) FROM analysis_runs")),
        )
        values = {"user_id": user_id, "project_key": project.key, "branch": "main", "until": None, "limit": 1_000}
        plans = list(await work.scalars(text(f"EXPLAIN {_RUNS}"), values))
    assert buffers < 100 < everything, (buffers, everything)
    plan = "\n".join(plans)
    assert "Index Scan Backward using ix_analysis_runs_project" in plan
    assert "Sort" not in plan
