"""The Python client: from a file to what was found in it, with a real service and a real worker, in both modes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.network.http_service import RunningService
from tests.fixtures.worker_process import WorkerProcess
from tests.integration.clients.either_client import BOTH, either
from vibe8 import (
    NotFoundError,
)
from worker.client import ExportFormat

BEFORE = {"a.py": "import os\ndef f(x):\n    return eval(x)\n" * 50, "b.py": "import a\n"}
AFTER = {**BEFORE, "c.py": "import os\nimport sys\n"}
GATE = {
    "conditions": [{"kind": "new_findings", "max": 0, "severity": "info"}],
    "small_change_lines": 0,
    "roles": ["source"],
}


@BOTH
async def test_from_a_file_to_the_answer_of_the_gate(
    make: Any, module_service: RunningService, module_worker: WorkerProcess, own_key: str, tmp_path: Path
) -> None:
    path = tmp_path / "code.zip"
    path.write_bytes(make_zip(BEFORE))
    async with either(make, module_service.address, own_key) as vibe8:
        first = await vibe8.jobs.submit_file(path, project_name="shop", author_type="ai", author_model="m")
        assert first.source_metadata["author_model"] == "m"
        seen = [each async for each in vibe8.jobs.watch(first.job_id, timeout=120)]
        assert [each.progress for each in seen] == sorted(each.progress for each in seen)
        assert (seen[-1].status, seen[-1].finished) == ("completed", True)
        assert [each.finished for each in seen].count(True) == 1

        second = await vibe8.jobs.submit_file(
            make_zip(AFTER), filename="code.zip", project_name="shop", options={"gate": GATE}
        )
        ended = await vibe8.jobs.wait(second.job_id, timeout=120)
        assert (ended.status, ended.finished) == ("completed", True)
        result = await vibe8.jobs.result(second.job_id)
        assert result.job == ended
        assert result.source.run_id == ended.result_run_id
        assert result.metrics["lint"]["total"] > 0
        assert result.review.rejected
        assert result.review.criteria[0].status == "fail"
        assert {finding.path for finding in result.findings.items if finding.state == "new"} == {"c.py"}
        await read_every_part(vibe8, result, seen[-1].result_run_id)
        assert await vibe8.jobs.webhooks(second.job_id) == ()
        assert await vibe8.jobs.delete(second.job_id) is None
        with pytest.raises(NotFoundError):
            await vibe8.jobs.get(second.job_id)


async def read_every_part(vibe8: Any, result: Any, earlier: str) -> None:
    run_id = result.source.run_id
    whole = await vibe8.runs.get(run_id)
    assert (whole.job, whole.metrics, whole.findings) == (None, result.metrics, result.findings)
    assert [run.source.run_id async for run in vibe8.runs.iterate(project="shop", limit=1)] == [run_id, earlier]
    page = await vibe8.runs.list(project="shop", limit=1)
    assert (page.items, page.next is None) == ((await vibe8.runs.summary(run_id),), False)
    assert await vibe8.runs.file_tree(run_id) == whole.file_tree
    assert await vibe8.runs.history(run_id) == whole.history
    assert await vibe8.runs.insights(run_id) == whole.insights
    first = await vibe8.runs.findings(run_id, metric=["lint", "security"], limit=2)
    found = [each async for each in vibe8.runs.iterate_findings(run_id, metric=["lint", "security"], limit=7)]
    assert (tuple(found[:2]), len(found)) == (first.findings, first.matching)
    compared = await vibe8.runs.compare(run_id, baseline=earlier)
    assert (compared.baseline_run_id, compared.fixed.total) == (earlier, 0)
    assert {finding.state for finding in compared.findings} == {"new", "unchanged"}
    for form in ExportFormat:
        assert await vibe8.runs.export(run_id, form), form
    assert json.loads(await vibe8.runs.export(run_id, "sarif"))["version"] == "2.1.0"
    assert await vibe8.runs.set_tags(run_id, {"Team": ["Web"]}) == {"team": ("web",)}
    assert [run.tags async for run in vibe8.runs.iterate(tag=["team=web"])] == [{"team": ("web",)}]
    assert await vibe8.runs.pin(run_id) is None
    assert [run.run_id for run in (await vibe8.projects.trend("shop")).runs][-1] == run_id
    await read_reports(vibe8, run_id)
    assert await vibe8.runs.delete(earlier) is None
    with pytest.raises(NotFoundError):
        await vibe8.runs.get(earlier)


async def read_reports(vibe8: Any, run_id: str) -> None:
    report = await vibe8.reports.share(run_id, password="correct horse", max_views=3)
    assert (report.state, report.has_password, report.max_views) == ("open", True, 3)
    assert [each async for each in vibe8.reports.iterate(limit=1)] == [report]
    assert (await vibe8.reports.withdraw(report.short_code)).state == "withdrawn"
    assert (await vibe8.reports.get(report.short_code)).state == "withdrawn"


@BOTH
async def test_what_has_no_result_says_why(
    make: Any, module_service: RunningService, module_worker: WorkerProcess, own_key: str
) -> None:
    async with either(make, module_service.address, own_key) as vibe8:
        job = await vibe8.jobs.submit_file(b"no zip", filename="a.zip")
        ended = await vibe8.jobs.wait(job.job_id, timeout=120)
        assert (ended.status, ended.result_run_id) == ("failed", None)
        assert "not a zip" in ended.error_message
        result = await vibe8.jobs.result(job.job_id)
        assert (result.metrics, result.review, result.errors) == (None, None, (ended.error_message,))
        assert [each.status async for each in vibe8.jobs.watch(job.job_id, timeout=120)] == ["failed"]
        assert (await vibe8.jobs.retry(job.job_id)).status == "pending"
        assert (await vibe8.jobs.wait(job.job_id, timeout=120)).status == "failed"
