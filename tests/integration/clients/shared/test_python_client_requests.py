"""The Python client's calls against a real service, blocking and asynchronous."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.fixtures.archives import make_zip
from tests.fixtures.network.http_service import RunningService
from tests.fixtures.network.tcp_proxy import TcpProxy
from tests.integration.clients.either_client import BOTH, either
from vibe8 import (
    AuthenticationError,
    ConflictError,
    EvaluationProject,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    WaitTimeoutError,
)
from worker.client import Client as OwnClient

BEFORE = {"a.py": "import os\ndef f(x):\n    return eval(x)\n" * 50, "b.py": "import a\n"}
NOBODY = "f" * 32


@BOTH
async def test_repositories_and_evaluations(make: Any, module_service: RunningService, own_key: str) -> None:
    url = "https://github.com/owner/repo"
    async with either(make, module_service.address, own_key) as vibe8:
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
async def test_accounts_and_the_service_itself(make: Any, module_service: RunningService, own_key: str) -> None:
    async with either(make, module_service.address, own_key) as vibe8:
        made = await vibe8.keys.create("ci", ["read"], rate_limit=2)
        assert made.key.startswith("v8_")
        assert made.key not in repr(made)
        assert [each.name for each in await vibe8.keys.list()] == ["ci", "test"]
        assert (await vibe8.usage.get()).used["jobs_per_day"] == 0
        assert "not_found" in {each.code for each in await vibe8.service.problems()}
        assert (await vibe8.service.description())["openapi"].startswith("3.1")
        async with either(make, module_service.address, made.key) as reader:
            with pytest.raises(PermissionDeniedError):
                await reader.jobs.submit_file(b"x", filename="a.py")
            assert (await reader.jobs.list()).items == ()
            with pytest.raises(RateLimitedError) as raised:
                await reader.jobs.list()
            assert raised.value.code == "rate_limited"
            assert 60 < (raised.value.retry_after or 0) <= 3600
        assert (await vibe8.keys.revoke(made.id)).is_active is False
        async with (
            either(make, module_service.address, made.key) as revoked,
            either(make, module_service.address, None) as nobody,
        ):
            for each in (revoked, nobody):
                with pytest.raises(AuthenticationError):
                    await each.jobs.list()
    assert made.key not in module_service.process.log_file.read_text()


@BOTH
async def test_refusals_are_exceptions_with_their_code(make: Any, module_service: RunningService, own_key: str) -> None:
    async with either(make, module_service.address, own_key) as vibe8:
        with pytest.raises(NotFoundError) as missing:
            await vibe8.jobs.result(NOBODY)
        assert missing.value.code == "not_found"
        await module_service.process.until_text(str(missing.value.request_id))
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
    make: Any, module_service: RunningService, module_client: OwnClient, own_user: UUID, own_key: str
) -> None:
    proxy = TcpProxy(("127.0.0.1", int(module_service.address.rpartition(":")[2])))
    await proxy.connect()
    proxy.hold_answers()
    async with either(make, f"http://127.0.0.1:{proxy.port}", own_key) as vibe8:
        submitting = asyncio.create_task(vibe8.jobs.submit_file(make_zip(BEFORE), filename="a.zip"))
        async with asyncio.timeout(60):
            while not (stored := await module_client.list_jobs(own_user)):
                await asyncio.sleep(0.02)
        await proxy.disconnect()
        proxy.release_answers()
        await proxy.connect()
        job = await submitting
        await proxy.disconnect()
    assert [each.job_id for each in stored] == [job.job_id]
    assert len(await module_client.list_jobs(own_user)) == 1


@BOTH
async def test_two_submissions_are_two_jobs_unless_they_have_one_key(
    make: Any, module_service: RunningService, own_key: str
) -> None:
    async with either(make, module_service.address, own_key) as vibe8:
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
async def test_waiting_ends_in_time_also_where_the_service_is_silent(
    make: Any, module_service: RunningService, module_client: OwnClient, own_user: UUID, own_key: str
) -> None:
    job_id = (await module_client.submit_upload(own_user, filename="a.py", content=b"x")).job_id
    proxy = TcpProxy(("127.0.0.1", int(module_service.address.rpartition(":")[2])))
    await proxy.connect()
    async with either(make, f"http://127.0.0.1:{proxy.port}", own_key) as vibe8:
        for silent in (False, True):
            if silent:
                proxy.stall()
            started = asyncio.get_running_loop().time()
            with pytest.raises(WaitTimeoutError, match="has not ended within 1 s"):
                await vibe8.jobs.wait(job_id, timeout=1)
            assert 0.9 < asyncio.get_running_loop().time() - started < 10
    proxy.resume()
    await proxy.disconnect()
