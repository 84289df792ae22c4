"""Jobs that ask for some collectors or some files: their runs, comparisons and exports."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.errors import InvalidInputError
from domain.jobs import SELECTION_VERSION, JobStatus
from domain.runs import Run
from domain.sources import Authorship
from infrastructure.database.engine import Database
from tests.fixtures.archives import make_zip
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client, ExportFormat, JobOptions, comparison_to_json, run_to_json

CODE = '"""A module."""\n\nimport os\n\n\ndef run(command):\n    """Run it."""\n    assert command\n    return 1\n'
FILES = {"src/a.py": CODE, "src/vendor/b.py": CODE, "tests/test_a.py": "import os\nassert 1\n"}
WORSE = {**FILES, "src/a.py": CODE.replace("return 1", "return eval(command)")}


async def run_of(client: Client, user_id: UUID, files: dict[str, str], **options: Any) -> Run:
    job = await client.submit_upload(
        user_id,
        filename="a.zip",
        content=make_zip(files),
        authorship=Authorship(project_name="P"),
        options=JobOptions(**options),
    )
    ended = await until_finished(client, user_id, job.job_id)
    assert ended.status is JobStatus.COMPLETED, ended.error_message
    assert ended.result_run_id is not None
    return await client.get_run(user_id, ended.result_run_id)


def states(run: Run) -> set[tuple[str, str, str]]:
    return {(item["path"], item["rule"], item["state"]) for item in run.findings["items"]}


async def test_a_run_has_what_its_job_asked_for(system: System, client: Client, user_id: UUID) -> None:
    async with system.worker():
        run = await run_of(client, user_id, FILES, collectors=["lint"], include=["src"], exclude=["**/vendor"])
        broken = await client.submit_upload(
            user_id, filename="a.py", content=b"x = 1\n", options=JobOptions(include=("src",))
        )
        failed = await until_finished(client, user_id, broken.job_id)
    assert run.options == {"collectors": ["lint"], "include": ["src"], "exclude": ["**/vendor"]}
    assert run.completeness["files"] == 1
    assert run.completeness["not_selected"] == 2
    measured = {name for name, values in run.metrics.items() if any(value is not None for value in values.values())}
    assert measured == {"lint"}
    assert set(run.completeness["collectors"].values()) == {"ok", "not_requested"}
    assert run.quality_score is None
    assert run.review_verdict == "NOT_EVALUATED"
    assert [item["path"] for item in run.findings["items"]] == ["src/a.py"]
    assert failed.status is JobStatus.FAILED
    assert failed.error_message is not None
    assert "include and exclude leave out 1 of its files" in failed.error_message


async def test_every_export_of_such_a_run_says_what_was_not_asked_for(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker():
        run = await run_of(client, user_id, FILES, collectors=["lint", "security"], exclude=["tests"])
    exported = {form: await client.export_run(user_id, run.run_id, form) for form in ExportFormat}
    html = exported[ExportFormat.HTML].decode()
    assert "not requested" in html
    assert "1 Python file was left out by include and exclude" in html
    assert "docs | | not measured (not requested)" in exported[ExportFormat.MARKDOWN].decode().replace("  ", " ")
    assert b'"bandit"' in exported[ExportFormat.SARIF]
    assert b'"vulture"' not in exported[ExportFormat.SARIF]  # a run without results would close its alerts
    assert b"unknown" in exported[ExportFormat.BADGE]
    of_docs = await client.export_run(user_id, run.run_id, ExportFormat.BADGE_JSON, metric="docs")
    assert b"not measured" in of_docs
    assert run_to_json(run, None)["standing"]["grade"] is None


async def test_runs_of_other_files_are_compared_in_the_files_of_both(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker():
        whole = await run_of(client, user_id, FILES)
        part = await run_of(client, user_id, WORSE, exclude=["tests"])
        again = await run_of(client, user_id, FILES, baseline=part.run_id)
    assert part.baseline_run_id == whole.run_id
    assert part.comparison is not None
    assert part.comparison["files"]["removed"]["total"] == 0
    assert part.comparison["selections"] == {"before": {}, "after": {"exclude": ["tests"]}}
    of_tests = part.comparison["baseline_counts"]["lint"]
    assert {state for of_severity in of_tests.values() for state in of_severity} == {"unchanged", "not_measured"}
    assert ("src/a.py", "B307", "new") in states(part)
    assert part.review is not None
    statuses = {each["kind"]: each["status"] for each in part.review["criteria"]}
    assert statuses["new_findings"] == "fail"
    for kind in ("duplicated_share_increase", "documented_share_decrease", "quality_score_decrease"):
        assert statuses[kind] == "not_evaluated"
    # The other way round: what the earlier run left out is not new.
    assert again.comparison is not None
    assert again.comparison["files"]["added"]["total"] == 0
    assert {state for path, _, state in states(again) if path.startswith("tests/")} == {"not_measured"}
    html = await client.export_run(user_id, again.run_id, ExportFormat.HTML)
    assert b'The earlier run measured <span class="text">exclude tests</span>' in html


async def test_runs_of_other_collectors_are_compared_in_the_collectors_of_both(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker():
        lint = await run_of(client, user_id, FILES, collectors=["lint"])
        whole = await run_of(client, user_id, FILES, baseline=lint.run_id)
        later = await run_of(client, user_id, WORSE)
        subset = await run_of(client, user_id, WORSE, collectors=["lint"])
    found = comparison_to_json(await client.compare_runs(user_id, whole.run_id))
    by_metric: dict[str, set[str]] = {"lint": set(), "security": set()}
    for item in found["findings"]:
        by_metric.setdefault(item["metric"], set()).add(item["state"])
    assert by_metric["lint"] == {"unchanged"}
    assert by_metric["security"] == {"not_measured"}
    assert whole.review is not None
    assert "not measured in both runs" in str(whole.review["criteria"])
    # A run that measured less is no baseline by itself; one that measured more is.
    assert later.baseline_run_id == whole.run_id
    assert subset.baseline_run_id == whole.run_id
    assert {state for _, _, state in states(subset)} == {"unchanged"}


async def test_a_trend_has_the_runs_with_the_selection_of_the_newest(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker():
        first = await run_of(client, user_id, FILES)
        await run_of(client, user_id, FILES, collectors=["lint"])
        third = await run_of(client, user_id, WORSE)
        of_whole = await client.trend(user_id, "P")
        fourth = await run_of(client, user_id, WORSE, collectors=["lint"])
        of_lint = await client.trend(user_id, "P")
    assert [run.run_id for run in of_whole.series.runs] == [first.run_id, third.run_id]
    assert of_whole.series.break_reason is None
    assert [run.run_id for run in of_lint.series.runs][-1] == fourth.run_id
    assert {trend.metric for trend in of_lint.trends} == {"lint"}


async def test_a_subset_and_the_whole_do_not_disturb_each_others_cached_facts(
    system: System, client: Client, user_id: UUID
) -> None:
    files = {f"{name}/m{number}.py": CODE for name in ("src", "tests") for number in range(400)}
    async with system.worker():
        subset = await run_of(client, user_id, files, collectors=["lint", "size"])
        whole = await run_of(client, user_id, files)
        again = await run_of(client, user_id, files, collectors=["lint", "size"])
        part = await run_of(client, user_id, files, exclude=["tests"])
    assert subset.metrics == again.metrics
    assert subset.metrics["lint"] == whole.metrics["lint"]
    assert part.metrics["lint"]["total"] * 2 == whole.metrics["lint"]["total"]
    assert whole.completeness["collectors"]["docs"] == "ok"


async def test_options_are_checked_before_anything_is_stored(client: Client, user_id: UUID) -> None:
    bad: list[dict[str, Any]] = [
        {"collectors": ["lynt"]},
        {"collectors": "lint"},
        {"include": ["/src"]},
        {"exclude": ["a" * 1_000_000]},
        {"exclude": ["a"] * 1_000},
        {"tags": {"domain": ["x" * 1_000_000]}},
        {"tags": {"domain": {"web": {}}}},
        {"tags": {"do\0main": ["web"]}},
    ]
    for options in bad:
        with pytest.raises(InvalidInputError) as refused:
            await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n", options=JobOptions(**options))
        assert str(refused.value).isprintable()
    assert await client.list_jobs(user_id) == []


async def test_older_workers_leave_such_jobs_alone(database: Database, client: Client, user_id: UUID) -> None:
    jobs = [
        await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n", options=options)
        for options in (JobOptions(), JobOptions(exclude=("tests",)), JobOptions(tags={"domain": ["web"]}))
    ]
    async with database.unit_of_work() as work:
        rows = await work.execute(text("SELECT job_id, version FROM jobs"))
        versions = {row.job_id: row.version for row in rows}
    assert [versions[job.job_id] for job in jobs] == [2, SELECTION_VERSION, SELECTION_VERSION]
