"""The Python client against the real service with a real worker, blocking and asynchronous."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.network.http_service import ALL, RunningService, new_key, running_service
from tests.fixtures.network.tcp_proxy import TcpProxy
from tests.fixtures.worker_process import System, WorkerProcess
from tests.integration.clients.either_client import BOTH, either
from vibe8 import (
    AuthenticationError,
    ConflictError,
    EvaluationProject,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    PermissionDeniedError,
    Progress,
    RateLimitedError,
    WaitTimeoutError,
)
from worker.client import Client as OwnClient
from worker.client import ExportFormat

BEFORE = {"a.py": "import os\ndef f(x):\n    return eval(x)\n" * 50, "b.py": "import a\n"}
AFTER = {**BEFORE, "c.py": "import os\nimport sys\n"}
GATE = {
    "conditions": [{"kind": "new_findings", "max": 0, "severity": "info"}],
    "small_change_lines": 0,
    "roles": ["source"],
}
NOBODY = "f" * 32


@pytest.fixture
async def key(client: OwnClient, user_id: UUID) -> str:
    return await new_key(client, user_id, ALL)


@BOTH
async def test_from_a_file_to_the_answer_of_the_gate(
    make: Any, service: RunningService, worker: WorkerProcess, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "code.zip"
    path.write_bytes(make_zip(BEFORE))
    async with either(make, service.address, key) as vibe8:
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
async def test_what_has_no_result_says_why(make: Any, service: RunningService, worker: WorkerProcess, key: str) -> None:
    async with either(make, service.address, key) as vibe8:
        job = await vibe8.jobs.submit_file(b"no zip", filename="a.zip")
        ended = await vibe8.jobs.wait(job.job_id, timeout=120)
        assert (ended.status, ended.result_run_id) == ("failed", None)
        assert "not a zip" in ended.error_message
        result = await vibe8.jobs.result(job.job_id)
        assert (result.metrics, result.review, result.errors) == (None, None, (ended.error_message,))
        assert [each.status async for each in vibe8.jobs.watch(job.job_id, timeout=120)] == ["failed"]
        assert (await vibe8.jobs.retry(job.job_id)).status == "pending"
        assert (await vibe8.jobs.wait(job.job_id, timeout=120)).status == "failed"


@BOTH
async def test_repositories_and_evaluations(make: Any, service: RunningService, key: str) -> None:
    url = "https://github.com/owner/repo"
    async with either(make, service.address, key) as vibe8:
        made = await vibe8.repositories.add(url, schedule="daily", tags={"Team": ["Web"]}, token="s3cret")
        assert (made.tags, made.has_token, made.statistics) == ({"team": ("web",)}, True, None)
        assert (await vibe8.repositories.get(made.id)).statistics["runs"] == 0
        assert [each.id async for each in vibe8.repositories.iterate()] == [made.id]
        changed = await vibe8.repositories.change(made.id, schedule="", description="d")
        assert (changed.schedule, changed.description, changed.has_token) == (None, "d", True)
        assert (await vibe8.repositories.check(made.id)).check_pending is True
        secret = await vibe8.repositories.rotate_hook_secret(made.id)
        assert secret.secret not in repr(secret)
        assert await vibe8.repositories.report_push(made.id, secret.secret) == "checking"
        with pytest.raises(NotFoundError):
            await vibe8.repositories.report_push(made.id, "another")
        assert (await vibe8.repositories.follow(made.id)).notification_settings == {"when": "never"}
        assert [each.repository_id async for each in vibe8.repositories.iterate_followed()] == [made.id]
        assert await vibe8.repositories.unfollow(made.id) is None
        assert [each.id for each in await vibe8.repositories.trending()] in ([made.id], [])
        assert await vibe8.repositories.remove(made.id) is None

        projects = [
            EvaluationProject(url=url, author_type="human", task="todo"),
            EvaluationProject(url=f"{url}2", author_type="ai", author_model="m", task="todo"),
        ]
        evaluation = await vibe8.evaluations.submit("Todo apps", projects)
        assert [member.author_type for member in evaluation.members] == ["human", "ai"]
        assert [each.name async for each in vibe8.evaluations.iterate()] == ["Todo apps"]
        with pytest.raises(ConflictError):
            await vibe8.evaluations.results(evaluation.evaluation_id)
        await vibe8.evaluations.cancel(evaluation.evaluation_id)
        ended = await vibe8.evaluations.get(evaluation.evaluation_id)
        assert {member.state for member in ended.members} == {"cancelled"}
        assert (await vibe8.evaluations.results(evaluation.evaluation_id))["name"] == "Todo apps"
        assert await vibe8.evaluations.delete(evaluation.evaluation_id) is None


@BOTH
async def test_what_operators_do(make: Any, service: RunningService, worker: WorkerProcess, key: str) -> None:
    async with either(make, service.address, key) as vibe8:
        assert (await vibe8.ops.pause()).paused is True
        job = await vibe8.jobs.submit_file(b"x = 1\n", filename="a.py")
        assert (await vibe8.ops.queue()).paused is True
        (listed,) = [each async for each in vibe8.ops.iterate_jobs(status=["pending"])]
        assert (listed.job_id, listed.owner) == (job.job_id, "ann@example.org")
        assert (await vibe8.ops.job(job.job_id)).notices == ()
        assert (await vibe8.ops.cancel(job.job_id)).cancel_requested_at is not None
        assert (await vibe8.ops.resume()).changed is True
        failing = await vibe8.jobs.submit_file(b"no zip", filename="a.zip")
        assert (await vibe8.jobs.wait(failing.job_id, timeout=120)).status == "failed"
        assert (await vibe8.ops.retry(failing.job_id)).status == "pending"
        actions = [entry.action async for entry in vibe8.ops.iterate_audit(user="ann@example.org", limit=2)]
        assert actions.count("submit") == 2
        (running,) = await vibe8.ops.workers()
        assert await vibe8.ops.drain(running.replica_id) == (running.replica_id,)


@BOTH
async def test_accounts_and_the_service_itself(make: Any, service: RunningService, key: str) -> None:
    async with either(make, service.address, key) as vibe8:
        made = await vibe8.keys.create("ci", ["read"], rate_limit=2)
        assert made.key.startswith("v8_")
        assert made.key not in repr(made)
        assert [each.name for each in await vibe8.keys.list()] == ["ci", "test"]
        assert (await vibe8.usage.get()).used["jobs_per_day"] == 0
        assert "not_found" in {each.code for each in await vibe8.service.problems()}
        assert (await vibe8.service.description())["openapi"].startswith("3.1")
        async with either(make, service.address, made.key) as reader:
            with pytest.raises(PermissionDeniedError):
                await reader.jobs.submit_file(b"x", filename="a.py")
            assert (await reader.jobs.list()).items == ()
            with pytest.raises(RateLimitedError) as raised:
                await reader.jobs.list()
            assert raised.value.code == "rate_limited"
            assert 60 < (raised.value.retry_after or 0) <= 3600
        assert (await vibe8.keys.revoke(made.id)).is_active is False
        async with either(make, service.address, made.key) as revoked, either(make, service.address, None) as nobody:
            for each in (revoked, nobody):
                with pytest.raises(AuthenticationError):
                    await each.jobs.list()
    assert made.key not in service.process.log_file.read_text()


@BOTH
async def test_refusals_are_exceptions_with_their_code(make: Any, service: RunningService, key: str) -> None:
    async with either(make, service.address, key) as vibe8:
        with pytest.raises(NotFoundError) as missing:
            await vibe8.jobs.result(NOBODY)
        assert missing.value.code == "not_found"
        assert str(missing.value.request_id) in service.process.log_file.read_text()
        with pytest.raises(InvalidRequestError) as invalid:
            await vibe8.jobs.list(limit=1000)
        assert (invalid.value.status, invalid.value.code) == (422, "invalid_request")
        assert invalid.value.errors[0].field == "query.limit"
        with pytest.raises(InvalidRequestError) as wrong:
            await vibe8.jobs.submit_file(b"x", filename="a.txt")
        assert wrong.value.code == "invalid_input"
        with pytest.raises(InvalidRequestError) as large:
            await vibe8.jobs.submit_file(bytes(40 << 20), filename="a.zip")
        assert (large.value.status, large.value.code) == (413, "too_large")
        for _ in range(5):
            await vibe8.jobs.submit_file(b"x", filename="a.py")
        with pytest.raises(LimitExceededError) as limited:
            await vibe8.jobs.submit_file(b"x", filename="a.py")
        assert limited.value.code == "limit_exceeded"


@BOTH
async def test_a_submission_whose_answer_is_lost_is_one_job(
    make: Any, service: RunningService, client: OwnClient, user_id: UUID, key: str
) -> None:
    proxy = TcpProxy(("127.0.0.1", int(service.address.rpartition(":")[2])))
    await proxy.connect()
    proxy.hold_answers()
    async with either(make, f"http://127.0.0.1:{proxy.port}", key) as vibe8:
        submitting = asyncio.create_task(vibe8.jobs.submit_file(make_zip(BEFORE), filename="a.zip"))
        async with asyncio.timeout(60):
            while not (stored := await client.list_jobs(user_id)):
                await asyncio.sleep(0.02)
        await proxy.disconnect()
        proxy.release_answers()
        await proxy.connect()
        job = await submitting
        await proxy.disconnect()
    assert [each.job_id for each in stored] == [job.job_id]
    assert len(await client.list_jobs(user_id)) == 1


@BOTH
async def test_two_submissions_are_two_jobs_unless_they_have_one_key(
    make: Any, service: RunningService, key: str
) -> None:
    async with either(make, service.address, key) as vibe8:
        made = [await vibe8.jobs.submit_file(b"x = 1\n", filename="a.py") for _ in range(2)]
        same = [
            await vibe8.jobs.submit_repository("https://github.com/owner/repo", idempotency_key="build-17")
            for _ in range(2)
        ]
        assert len({job.job_id for job in (*made, *same)}) == 3
        assert [job.job_id async for job in vibe8.jobs.iterate(limit=2)] == [
            job.job_id for job in (same[0], *made[::-1])
        ]


@BOTH
async def test_a_job_is_followed_through_a_restart_of_the_service(
    make: Any, system: System, client: OwnClient, user_id: UUID, key: str, unused_tcp_port: int
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=make_zip(BEFORE))).job_id
    port = {"HTTP_PORT": str(unused_tcp_port)}
    seen: list[Progress] = []
    async with either(make, f"http://127.0.0.1:{unused_tcp_port}", key) as vibe8:

        async def follow() -> None:
            async for each in vibe8.jobs.watch(job_id, timeout=120):
                seen.append(each)  # noqa: PERF401 - what was seen is read while it grows

        async with running_service(system, "first", **port):
            following = asyncio.create_task(follow())
            async with asyncio.timeout(60):
                while not seen:
                    await asyncio.sleep(0.02)
        async with running_service(system, "second", **port), system.worker():
            await following
    assert (seen[0].status, seen[-1].status) == ("pending", "completed")
    assert len(seen) == len(set(seen)), "nothing is told twice"


@pytest.mark.settings(HTTP_MAX_STREAMS="1")
@BOTH
async def test_a_job_is_polled_where_no_stream_can_be_had(
    make: Any, system: System, service: RunningService, client: OwnClient, user_id: UUID, key: str
) -> None:
    job_id = (await client.submit_upload(user_id, filename="code.zip", content=make_zip(BEFORE))).job_id
    async with (
        either(make, service.address, key) as vibe8,
        service.client(key) as http,
        http.stream("GET", f"/api/v1/jobs/{job_id}/events") as occupied,
    ):
        assert occupied.status_code == 200
        following = vibe8.jobs.watch(job_id, timeout=120)
        assert (await anext(following)).status == "pending"
        async with system.worker():
            assert [each.status async for each in following][-1] == "completed"


@BOTH
async def test_waiting_ends_in_time_also_where_the_service_is_silent(
    make: Any, service: RunningService, client: OwnClient, user_id: UUID, key: str
) -> None:
    job_id = (await client.submit_upload(user_id, filename="a.py", content=b"x")).job_id
    proxy = TcpProxy(("127.0.0.1", int(service.address.rpartition(":")[2])))
    await proxy.connect()
    async with either(make, f"http://127.0.0.1:{proxy.port}", key) as vibe8:
        for silent in (False, True):
            if silent:
                proxy.stall()
            started = asyncio.get_running_loop().time()
            with pytest.raises(WaitTimeoutError, match="has not ended within 1 s"):
                await vibe8.jobs.wait(job_id, timeout=1)
            assert 0.9 < asyncio.get_running_loop().time() - started < 10
    proxy.resume()
    await proxy.disconnect()
