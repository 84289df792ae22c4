"""Invalid rows and queue entries must not keep a worker from other users' jobs."""

import asyncio
import json
from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.jobs import JobStatus
from infrastructure.redis.queue import QUEUE_NAME, deserialize, job_channel, serialize
from tests.fixtures.database import Rows
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from tests.hostile.support.poison import enqueue_message, insert_job, job_message
from worker.client import Client

DEEP = "[" * 3_000 + "]" * 3_000
LONG = "1" + "0" * 5_000
FILE = '"upload_filename": "a.py", "file_data": "eCA9IDEK"'
ROWS = {
    # source as JSON: words of the job's error
    "5": "names no source",
    '"upload_filename"': "names no source",
    "null": "names no source",
    "true": "names no source",
    "[]": "names no source",
    '["upload_filename", "file_data"]': "names no source",
    "{}": "names no source",
    '{"upload_filename": 5}': "names no source",
    '{"upload_filename": null}': "names no source",
    f'{{"upload_filename": {DEEP}}}': "names no source",
    f'{{{FILE}, "more": {LONG}}}': "names no source",
    f'{{{FILE}, "more": {DEEP}}}': "names no source",
    f'{{{FILE}, "more": "{"x" * 70_000}"}}': "names no source",
    f'{{{FILE}, "project_name": 5}}': "'project_name' must be text or null",
    f'{{{FILE}, "author_model": ["m"]}}': "'author_model' must be text or null",
    f'{{{FILE}, "author_type": {{}}}}': "'author_type' must be text or null",
    '{"upload_filename": "a.py"}': "the upload is empty",
    '{"upload_filename": "a.py", "file_data": 5}': "not valid base64",
    '{"upload_filename": "a.py", "file_data": {"a": 1}}': "not valid base64",
    f'{{"upload_filename": "a.py", "file_data": "{"A" * 12_000_000}"}}': "larger than 5 MB",
    '{"upload_filename": "../a.py", "file_data": "eCA9IDEK"}': "not a plain file name",
    '{"upload_filename": "a.exe", "file_data": "eCA9IDEK"}': "upload a .py or a .zip file",
}
REPOSITORIES = {
    "{}": "names no source",
    '{"git_repo_url": 5}': "names no source",
    '{"git_repo_url": "https://github.com/o/r", "git_branch": 5}': "'git_branch' must be text or null",
    '{"git_repo_url": "ext::sh -c x"}': "plain ASCII",
    '{"git_repo_url": "https://evil.test/o/r"}': "is not allowed",
    '{"git_repo_url": "https://github.com/o/r", "git_branch": "-x"}': "is not a branch name",
    '{"git_repo_url": "https://github.com/o/r", "has_token": [1]}': "token lost, submit again",
}


async def test_invalid_rows_fail_and_the_next_job_completes(system: System, client: Client, user_id: UUID) -> None:
    rows, expected = Rows(system), {}
    for kind, sources in (("upload", ROWS), ("github", REPOSITORIES)):
        for number, (source, words) in enumerate(sources.items()):
            expected[f"{kind}-{number}"] = words
            await insert_job(system.environment["DATABASE_URL"], f"{kind}-{number}", user_id, source, kind=kind)
    await insert_job(system.environment["DATABASE_URL"], "upload-none", user_id, None)
    expected["upload-none"] = "names no source"
    assert {job.status for job in await client.list_jobs(user_id)} == {JobStatus.PENDING}
    other = await client.get_or_create_user("bob@example.org")
    async with system.worker() as worker:
        good = await client.submit_upload(other, filename="a.py", content=b"x = 1\n")
        assert (await until_finished(client, other, good.job_id)).status is JobStatus.COMPLETED

        async def all_ended() -> bool:
            return set(await rows.statuses()) == {"completed", "failed"}

        await until(all_ended)
        assert worker.process.poll() is None
        assert not [entry for entry in worker.log() if entry["level"] == "error"]
    for job_id, words in expected.items():
        job = await client.get_job(user_id, job_id)
        assert (job.status, job.attempt) == (JobStatus.FAILED, 1), job
        assert words in (job.error_message or ""), job_id
        assert "\n" not in (job.error_message or "")


async def test_job_whose_source_is_no_object_can_be_cancelled_and_taken(
    system: System, client: Client, user_id: UUID
) -> None:
    await insert_job(system.environment["DATABASE_URL"], "odd", user_id, "5")
    assert (await client.cancel_job(user_id, "odd")).error_message == "cancelled by user"
    await client.take_result(user_id, "odd")


MESSAGES = {
    b"function": job_message(f=["x"]),
    b"tries": job_message(t="9"),
    b"tries-huge": job_message(t=1e308),
    b"tries-true": job_message(t=True),
    b"time": job_message(et="x"),
    b"time-huge": job_message(et=10**30),
    b"time-none": job_message(et=None),
    b"arguments": job_message(a=5),
    b"arguments-many": job_message(a=["a", "b"]),
    b"arguments-none": job_message(a=[]),
    b"keywords": job_message(k=[1]),
    b"keywords-other": job_message(k={"y": 1}),
    b"keywords-ctx": job_message(k={"ctx": {}}),
    b"unknown": job_message(f="x\x1b[31m"),
    b"pickle": b"\x80\x04cos\nsystem\n(S'touch /tmp/pwned'\ntR.",
    b"scalar": b"5",
    b"nan": b'{"t": NaN, "f": "analyze", "a": [], "k": {}, "et": NaN}',
    b"deep": b"[" * 100_000,
    b"long": b'{"f": 1' + b"0" * 5_000 + b"}",
    b"empty": b"",
    b"\xff\xfe": job_message(),
    b"\x1b[31mred\nline": job_message(),
}


async def test_worker_still_takes_jobs_after_invalid_messages(system: System, client: Client, user_id: UUID) -> None:
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis, AsyncExitStack() as stack:
        for arq_id, message in MESSAGES.items():
            await enqueue_message(redis, arq_id, message)
        worker = await stack.enter_async_context(system.worker())

        async def queue_empty() -> bool:
            return not await redis.zcard(QUEUE_NAME)

        await until(queue_empty)
        for _ in range(2):
            job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
            await enqueue_message(redis, b"list", None)
            await redis.set("vibe8:alive", "x")
        await worker.until("queue.entries_unreadable")
        assert worker.process.poll() is None
        assert "\x1b" not in worker.log_file.read_text()


async def test_forged_events_do_not_hide_the_end_of_a_job(client: Client, system: System, user_id: UUID) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    forged = json.dumps({"status": "running", "stage": "collecting", "progress": 5})

    async def forge(redis: Redis) -> None:
        while True:
            await redis.publish(job_channel(job.job_id), forged)
            await asyncio.sleep(0.05)

    async with Redis.from_url(system.environment["REDIS_URL"]) as redis, asyncio.timeout(20):
        forging = asyncio.create_task(forge(redis))
        async for seen in client.watch(user_id, job.job_id):
            if seen.status is JobStatus.RUNNING:
                await Rows(system).all(
                    "UPDATE jobs SET status = 'failed', finished_at = now() WHERE job_id = $1", job.job_id
                )
        forging.cancel()
    assert seen.status is JobStatus.FAILED


READABLE = {
    b"arguments-many",
    b"arguments-none",
    b"keywords-other",
    b"keywords-ctx",
    b"unknown",
    b"\xff\xfe",
    b"\x1b[31mred\nline",
}
"""Names of the messages whose fields have the types that ARQ expects."""


@pytest.mark.parametrize("name", MESSAGES, ids=ascii)
def test_a_message_is_decoded_as_it_was_encoded_or_refused(name: bytes) -> None:
    if name in READABLE:
        message = deserialize(MESSAGES[name])
        assert deserialize(serialize(message)) == message == json.loads(MESSAGES[name])
    else:
        with pytest.raises((ValueError, RecursionError)):
            deserialize(MESSAGES[name])
