"""One row or one ring that nobody can read must not keep a worker from everybody else's jobs."""

from contextlib import AsyncExitStack
from uuid import UUID

import pytest
from redis.asyncio import Redis

from domain.jobs import JobStatus
from infrastructure.redis.queue import QUEUE_NAME, deserialize, serialize
from tests.fixtures.database import Rows
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, until_finished
from tests.hostile.support.poison import bell, insert_job, ring
from worker.client import Client

DEEP = "[" * 3_000 + "]" * 3_000
LONG = "1" + "0" * 5_000
FILE = '"upload_filename": "a.py", "file_data": "eCA9IDEK"'
ROWS = {
    # the source as JSON: what the job's error says
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


async def test_rows_that_nobody_can_read_fail_and_the_next_job_is_done(
    system: System, client: Client, user_id: UUID
) -> None:
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


async def test_a_source_that_is_no_object_can_be_cancelled_and_taken(
    system: System, client: Client, user_id: UUID
) -> None:
    await insert_job(system.environment["DATABASE_URL"], "odd", user_id, "5")
    assert (await client.cancel_job(user_id, "odd")).error_message == "cancelled by user"
    await client.take_result(user_id, "odd")


BELLS = {
    b"function": bell(f=["x"]),
    b"tries": bell(t="9"),
    b"tries-huge": bell(t=1e308),
    b"tries-true": bell(t=True),
    b"time": bell(et="x"),
    b"time-huge": bell(et=10**30),
    b"time-none": bell(et=None),
    b"arguments": bell(a=5),
    b"arguments-many": bell(a=["a", "b"]),
    b"arguments-none": bell(a=[]),
    b"keywords": bell(k=[1]),
    b"keywords-other": bell(k={"y": 1}),
    b"keywords-ctx": bell(k={"ctx": {}}),
    b"unknown": bell(f="x\x1b[31m"),
    b"pickle": b"\x80\x04cos\nsystem\n(S'touch /tmp/pwned'\ntR.",
    b"scalar": b"5",
    b"nan": b'{"t": NaN, "f": "analyze", "a": [], "k": {}, "et": NaN}',
    b"deep": b"[" * 100_000,
    b"long": b'{"f": 1' + b"0" * 5_000 + b"}",
    b"empty": b"",
    b"\xff\xfe": bell(),
    b"\x1b[31mred\nline": bell(),
}


async def test_rings_that_nobody_can_read_leave_no_worker_deaf(system: System, client: Client, user_id: UUID) -> None:
    async with Redis.from_url(system.environment["REDIS_URL"]) as redis, AsyncExitStack() as stack:
        for arq_id, message in BELLS.items():
            await ring(redis, arq_id, message)
        worker = await stack.enter_async_context(system.worker())

        async def all_answered() -> bool:
            return not await redis.zcard(QUEUE_NAME)

        await until(all_answered)
        for _ in range(2):
            job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
            assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
            await ring(redis, b"list", None)  # a type that ARQ does not expect: it ends, and is started again
            await worker.until("redis.unavailable")
        assert worker.process.poll() is None
        assert "\x1b" not in worker.log_file.read_text()


@pytest.mark.parametrize("message", list(BELLS.values()), ids=[ascii(name) for name in BELLS])
def test_a_message_is_read_as_it_was_written_or_not_at_all(message: bytes) -> None:
    try:
        read = deserialize(message)
    except (ValueError, RecursionError):
        return
    assert deserialize(serialize(read)) == read
