"""Many submissions in one call: all or none, also under concurrency, and all enqueued at once."""

import asyncio
import re
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.errors import InvalidInputError, LimitExceededError, NotFoundError, ServiceUnavailableError
from domain.jobs import Job, JobStatus
from infrastructure.redis.queue import MAX_WAKEUPS
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.network.tcp_proxy import Proxies
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client, RepositorySubmission, Submission, UploadSubmission
from worker.client.jobs import submissions

URL = "https://github.com/owner/repo"


def upload(name: str = "a.py", content: bytes = PYTHON_FILE, **more: Any) -> UploadSubmission:
    return UploadSubmission(filename=name, content=content, **more)


async def tokens(redis: Redis) -> set[str]:
    return {key.decode().rpartition(":")[2] async for key in redis.scan_iter("vibe8:token:*")}


async def test_batch_is_completed(client: Client, user_id: UUID, worker: WorkerProcess) -> None:
    jobs = await client.submit_many(user_id, [upload(f"{number}.py") for number in range(5)])
    assert [job.source_metadata["upload_filename"] for job in jobs] == [f"{number}.py" for number in range(5)]
    ended = [await until_finished(client, user_id, job.job_id) for job in jobs]
    assert {job.status for job in ended} == {JobStatus.COMPLETED}


async def test_all_jobs_are_enqueued_and_all_tokens_stored(client: Client, user_id: UUID, redis: Redis) -> None:
    batch: list[Submission] = [upload(), RepositorySubmission(url=URL, token="t1"), RepositorySubmission(url=URL)]
    jobs = await client.submit_many(user_id, batch)
    entries = [entry.decode() for entry in await redis.zrange("vibe8:queue", 0, -1)]
    assert {entry.partition(":")[0] for entry in entries} == {job.job_id for job in jobs}
    for entry in entries:
        assert re.fullmatch(r"[0-9a-f]{32}:[0-9a-f]{8}", entry)
        assert await redis.exists(f"arq:job:{entry}")
    assert await tokens(redis) == {jobs[1].job_id}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (upload("a.txt"), "'a.txt' is neither a .py nor a .zip file"),
        (upload(content=b""), "'a.py' is empty"),
        (upload(idempotency_key=""), "an idempotency key must be"),
        (upload(notify_url="https://example.org"), "WEBHOOK_SECRETS is not set"),
        (RepositorySubmission(url="http://github.com/owner/repo"), "must start with https://"),
        (RepositorySubmission(url=URL, branch="-x"), "is not a branch name"),
        (RepositorySubmission(url=URL, token="two\nlines"), "a token must be"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_one_invalid_submission_leaves_nothing(
    client: Client, user_id: UUID, redis: Redis, bad: Submission, words: str
) -> None:
    batch: list[Submission] = [upload(), RepositorySubmission(url=URL, token="t"), bad, upload()]
    with pytest.raises(InvalidInputError, match=words) as caught:
        await client.submit_many(user_id, batch)
    if "token" not in words:
        assert str(caught.value).startswith("submission 3 of 4: ")
    assert await client.list_jobs(user_id) == []
    assert await tokens(redis) == set()
    assert await redis.keys("*") == []


async def test_batch_over_the_limit_leaves_nothing(client: Client, user_id: UUID, redis: Redis) -> None:
    with pytest.raises(LimitExceededError, match=r"limit 5, plan free\) and want 6 more"):
        await client.submit_many(user_id, [RepositorySubmission(url=URL, token="t")] * 6)
    assert await redis.keys("*") == []
    assert len(await client.submit_many(user_id, [upload()] * 5)) == 5


async def test_empty_batch_creates_no_job(client: Client, user_id: UUID) -> None:
    assert await client.submit_many(user_id, []) == []


async def test_concurrent_batches_of_two_users_stay_within_the_limits(
    client: Client, user_id: UUID, redis: Redis
) -> None:
    users = [user_id, await client.get_or_create_user("bob@example.org")]

    async def batch(number: int) -> list[Job]:
        shared = upload(idempotency_key="shared")
        with_token = RepositorySubmission(url=URL, token=f"t{number}")
        return await client.submit_many(users[number % 2], [shared, with_token])

    done = await asyncio.gather(*(batch(number) for number in range(20)), return_exceptions=True)
    refused = [each for each in done if isinstance(each, BaseException)]
    assert {type(error) for error in refused} == {LimitExceededError}
    with_tokens = set()
    for user in users:
        jobs = await client.list_jobs(user)
        assert len(jobs) == 5  # the shared one, and one each of the four batches that were not too many
        with_tokens |= {job.job_id for job in jobs if job.source_metadata.get("has_token")}
        shared = {job.job_id for each in done if not isinstance(each, BaseException) for job in each}
        assert {job.job_id for job in jobs} <= shared
    assert await tokens(redis) == with_tokens


async def test_number_and_size_of_submissions_are_limited(
    client: Client, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInputError, match="1001 submissions are more than 1000 at once"):
        await client.submit_many(user_id, [upload()] * 1001)
    monkeypatch.setattr(submissions, "MAX_TOTAL_MB", 1)
    half = upload(content=b"#" * (512 * 1024))
    assert len(await client.submit_many(user_id, [half, half])) == 2
    with pytest.raises(InvalidInputError, match="more than 1 MB together"):
        await client.submit_many(user_id, [half, half, upload()])


async def test_thousand_submissions_in_one_call(system: System, redis: Redis) -> None:
    limits = {"max_concurrent_jobs_per_user": 1000, "daily_job_limit_per_user": 1000}
    async with Client.open(system.settings.model_copy(update=limits)) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        jobs = await client.submit_many(user_id, [upload(f"{number}.py") for number in range(1000)])
        assert len({job.job_id for job in jobs}) == 1000
        assert await redis.zcard("vibe8:queue") == MAX_WAKEUPS
        with pytest.raises(LimitExceededError):
            await client.submit_many(user_id, [upload()])


async def test_unknown_user_cannot_submit(client: Client, redis: Redis) -> None:
    with pytest.raises(NotFoundError):
        await client.submit_many(UUID(int=1), [RepositorySubmission(url=URL, token="t")])
    assert await redis.keys("*") == []


async def test_unreachable_redis_is_an_error_only_for_submissions_with_a_token(
    proxied_system: System, proxies: Proxies, user_id: UUID
) -> None:
    async with Client.open(proxied_system.settings) as client:
        await proxies.redis.disconnect()
        assert len(await client.submit_many(user_id, [upload(), upload()])) == 2
        with pytest.raises(ServiceUnavailableError):
            await client.submit_many(user_id, [upload(), RepositorySubmission(url=URL, token="t")])
        assert len(await client.list_jobs(user_id)) == 2
