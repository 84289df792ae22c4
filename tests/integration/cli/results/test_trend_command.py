"""`vibe8 trend` and `vibe8 runs --project`."""

import asyncio
import json
import uuid
from dataclasses import replace
from uuid import UUID

import pytest
from rich.console import Console
from sqlalchemy import text

from domain.runs import RunOrigin
from domain.statistics.trends import LEAST_RUNS
from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line
from worker.cli.output.runs.trend import show_trend

COMPLETE = {"files": 1, "analyzed": 1, "skipped": [], "skipped_total": 0, "collectors": {"lint": "ok"}}


async def store(database: Database, user_id: UUID, count: int, project: str) -> list[str]:
    """Store runs of the project, a day apart, the oldest first."""
    stored = []
    for number in range(count):
        metrics = {"lint": {"total": 5 + 2 * number, "suppressed": 3}}
        run = replace(
            new_run(user_id, uuid.uuid4().hex, metrics=metrics, completeness=COMPLETE),
            origin=RunOrigin(submission_type="upload", upload_filename="a.py", project_name=project),
        )
        async with database.unit_of_work() as work:
            await RunRepository(work).insert_many([SerializedRun.of(run)])
            await work.execute(
                text("UPDATE analysis_runs SET created_at = CAST('2026-01-01 12:00+00' AS timestamptz) "
                     "+ make_interval(days => :days) WHERE run_id = :id"),
                {"days": number, "id": run.run_id},
            )  # fmt: skip
        stored.append(str(run.run_id))
    return stored


async def test_trends_are_told_from_eight_runs_on(cli: System, database: Database, local_user: UUID) -> None:
    many = await store(database, local_user, LEAST_RUNS, "P")
    few = await store(database, local_user, 2, "Q\x1b[31m")
    shown, by_run, as_json, listed, unknown = await asyncio.gather(
        cli.run("trend", "P"),
        cli.run("trend", few[0]),
        cli.run("trend", "P", "--json"),
        cli.run("runs", "--project", "P", "--json"),
        cli.run("trend", "R"),
    )
    assert shown.code == 0, shown.error
    lines = shown.out.splitlines()
    assert lines[0] == "P: 8 comparable runs from 2026-01-01 to 2026-01-08"
    assert ["lint", "total", "5", "19", "+2", "<0.001", "rises"] in [line.split() for line in lines]
    assert lines[-1] == "1 number is the same in all runs"
    assert ["lint", "total", "5", "7", "-", "-", "-"] in [line.split() for line in by_run.out.splitlines()]
    assert by_run.out.splitlines()[-1] == "a trend is told from 8 runs on; one run of each commit counts"
    document = json.loads(as_json.out)
    assert [run["run_id"] for run in document["runs"]] == many
    assert document["trends"][1] == {
        "metric": "lint", "key": "total", "values": [5, 7, 9, 11, 13, 15, 17, 19], "slope_per_run": 2.0,
        "p_value": pytest.approx(0.0008, abs=1e-4), "significant": True,
    }  # fmt: skip
    assert [run["source"]["run_id"] for run in json.loads(listed.out)] == many[::-1]
    assert_error_line(unknown, 2, "no run is of a project 'R'")


def test_a_series_that_is_broken_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"project": "P\n", "branch": "b\x1b[31m", "runs": [], "break_reason": "the newest run is incomplete"}
    show_trend(Console(width=200), {**document, "trends": []})
    assert capsys.readouterr().out.splitlines() == [
        "P\\n, branch b\\x1b[31m: 0 comparable runs",
        "no earlier run counts: the newest run is incomplete",
    ]
