"""The end of a job is one log line, without secrets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from domain.jobs import JobStatus
from tests.fixtures.archives import make_zip
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import PYTHON_FILE, slow_source
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from tests.hostile.support.poison import insert_job
from worker.client import Client

ENDS = ("job.completed", "job.failed")
TOKEN = "s3cret-t0ken"
STAGES = {"fetching", "core_wait", "collecting", "looking_up", "finishing"}
FAILED_BEFORE = {"at": "2026-01-01T00:00:00+00:00", "kind": "TransientError", "message": "m"}


@asynccontextmanager
async def connected(system: System) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    try:
        yield connection
    finally:
        await connection.close()


async def end_line(worker: WorkerProcess, job_id: str) -> dict[str, Any]:
    """Return the one line about the job's end. Fails if there are several, a traceback or the token in the log."""

    def ends() -> list[dict[str, Any]]:
        return [entry for entry in worker.log() if entry["event"] in ENDS and entry.get("job_id") == job_id]

    await until(ends)
    (line,) = ends()
    text = worker.log_file.read_text()
    assert "Traceback" not in text
    assert TOKEN not in text
    return line


async def test_completed_upload(client: Client, user_id: UUID, worker: WorkerProcess) -> None:
    source = make_zip({"a.py": PYTHON_FILE, "broken.py": "def (:\n"})
    job = await client.submit_upload(user_id, filename="Mine.ZIP", content=source)
    ended = await until_finished(client, user_id, job.job_id)
    line = await end_line(worker, job.job_id)
    assert ended.started_at
    assert line["queue_wait_ms"] == round((ended.started_at - ended.run_after).total_seconds() * 1000)
    assert (line["event"], line["outcome"], line["source"]) == ("job.completed", "completed", "upload .zip")
    assert (line["attempt"], line["user_id"], line["level"]) == (1, str(user_id), "info")
    assert (line["files"], line["lines"], line["errors"]) == (2, 2, 1)
    assert set(line["stages_ms"]) == STAGES
    assert line["duration_ms"] >= max(line["stages_ms"].values()) > 0


async def test_private_repository(
    git_server: GitServer, git_system: System, git_client: Client, tmp_path: Path
) -> None:
    tree = WorkTree(tmp_path / "tree")
    tree.commit("one", a_py="x = 1\ny = 2\n")
    url = git_server.add("owner/private", tree.dot_git, token=TOKEN)
    user_id = await git_client.get_or_create_user("ann@example.org")
    async with git_system.worker(LOG_LEVEL="debug") as worker:
        job = await git_client.submit_repository(user_id, url=url, token=TOKEN)
        line = await end_line(worker, job.job_id)
        assert (line["outcome"], line["source"]) == ("completed", f"{git_server.allowed_host}/owner/private")
        wrong = await git_client.submit_repository(user_id, url=url, token=f"{TOKEN}!")
        line = await end_line(worker, wrong.job_id)
        assert (line["outcome"], line["kind"], "files" in line) == ("failed", "PermanentError", False)
        assert "does not accept the token" in line["reason"]
        assert set(line["stages_ms"]) == {"fetching"}


async def test_invalid_uploads_and_sources_are_one_line_each(
    system: System, client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    mistakes = {
        "a.zip": (b"no zip", "not a zip", "upload .zip"),
        "b.zip": (make_zip({"README": "x"}), "no Python file", "upload .zip"),
    }
    for filename, (content, words, source) in mistakes.items():
        job = await client.submit_upload(user_id, filename=filename, content=content)
        line = await end_line(worker, job.job_id)
        assert (line["outcome"], line["kind"], line["source"]) == ("failed", "InvalidInputError", source)
        assert words in line["reason"]
    address = f"https://ann:{TOKEN}@github.com:1/owner/repository"
    rows = {
        f'{{"git_repo_url": "{address}"}}': "github.com:1/owner/repository",
        '{"git_repo_url": "http://[x"}': "unreadable address",
        '{"git_repo_url": 5}': "unreadable address",
        "null": "unreadable address",
    }
    for number, metadata in enumerate(rows):  # they are not enqueued: maintenance finds them
        await insert_job(system.environment["DATABASE_URL"], f"row-{number}", user_id, metadata, kind="github")
    for number, source in enumerate(rows.values()):
        assert (await end_line(worker, f"row-{number}"))["source"] == source


async def test_cancelled_job(client: Client, user_id: UUID, worker: WorkerProcess) -> None:
    job = await client.submit_upload(user_id, filename="slow.py", content=slow_source())

    async def collecting() -> bool:
        return (await client.get_job(user_id, job.job_id)).status is JobStatus.RUNNING

    await until(collecting)
    await client.cancel_job(user_id, job.job_id)
    line = await end_line(worker, job.job_id)
    assert (line["event"], line["outcome"], line["reason"]) == ("job.failed", "cancelled", "cancelled by user")


async def test_failure_of_the_last_attempt(system: System) -> None:
    """A host that cannot be reached: a transient fault, which is tried three times."""
    system = system.with_settings(GIT_ALLOWED_HOSTS="127.0.0.1:1")
    before = json.dumps([{**FAILED_BEFORE, "attempt": attempt} for attempt in (1, 2)])
    async with Client.open(system.settings) as client, connected(system) as rows:
        user_id = await client.get_or_create_user("ann@example.org")
        job = await client.submit_repository(user_id, url="https://127.0.0.1:1/o/r")
        await rows.execute("UPDATE jobs SET attempt = 2, attempt_errors = $1::jsonb", before)
        async with system.worker() as worker:
            line = await end_line(worker, job.job_id)
            (attempt,) = await worker.until("job.attempt_failed")
    assert (line["outcome"], line["attempt"], line["source"]) == ("failed", 3, "127.0.0.1:1/o/r")
    assert line["reason"] == attempt["reason"]
    assert line["kind"] == attempt["kind"] == "ServiceUnavailableError"


async def test_job_whose_last_worker_was_lost(system: System, client: Client, user_id: UUID) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    before = json.dumps([{**FAILED_BEFORE, "attempt": attempt} for attempt in (1, 2)])
    async with connected(system) as rows:
        await rows.execute(
            "UPDATE jobs SET status = 'running', attempt = 3, attempt_errors = $1::jsonb,"
            " lease_expires_at = now() - interval '1 second'",
            before,
        )
    async with system.worker() as worker:
        line = await end_line(worker, job.job_id)
    assert (line["event"], line["outcome"], line["reason"]) == ("job.failed", "failed", "worker lost")
    assert (line["attempt"], line["user_id"], line["source"]) == (3, str(user_id), "upload .py")


async def test_job_that_was_not_claimed_for_a_day(system: System, client: Client, user_id: UUID) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=PYTHON_FILE)
    async with connected(system) as rows:  # of a newer version, so that no worker claims it
        await rows.execute("UPDATE jobs SET run_after = now() - interval '2 days', version = 32767")
    async with system.worker() as worker:
        line = await end_line(worker, job.job_id)
    assert (line["event"], line["outcome"], line["kind"], line["reason"]) == ("job.failed", "failed", "stale", "stale")
    assert (line["attempt"], line["user_id"], line["source"]) == (0, str(user_id), "upload .py")
