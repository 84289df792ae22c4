"""The token of a private repository appears in no row, Redis key, message, log, file or process list."""

import asyncio
import logging
import signal
import threading
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from domain.errors import PermanentError
from domain.jobs import Job, JobStatus
from tests.fixtures.checks.result_documents import CheckedClient
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import Fault, GitServer
from tests.fixtures.processes import alive, descendants, job_scratch
from tests.fixtures.servers import Servers
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from tests.hostile.support.leaks import (
    ProcessSnapshot,
    database_text,
    encodings_of,
    files_below,
    found_in,
    redis_contents,
)
from worker.client import Client

TOKEN = "ghp_S3cret/T0ken+that=nobody&may:see"  # contains characters that encodings change
FORMS = encodings_of(TOKEN)
NAME = "owner/private"

pytestmark = pytest.mark.settings(LOG_LEVEL="debug")


@pytest.fixture(autouse=True)
def private_repository(git_server: GitServer, tmp_path: Path) -> None:
    """Serve a repository that requires the token."""
    tree = WorkTree(tmp_path / "tree")
    tree.commit("one", a_py="x = 1\n")
    git_server.add(NAME, tree.dot_git, token=TOKEN)


@dataclass
class LeakCheck:
    """Search for the token in every place where it could leak."""

    system: System
    servers: Servers
    redis: "Redis"
    messages: list[bytes]
    forms: Sequence[bytes] = tuple(FORMS)

    async def assert_no_leak(self, *workers: WorkerProcess) -> None:
        """Assert that the token is in no row, key, message, log or file."""
        assert not found_in(await database_text(self.system.environment["DATABASE_URL"]), self.forms)
        for key, value in (await redis_contents(self.redis)).items():
            assert not found_in(key + b" " + value, self.forms), key
        assert not found_in(b"\n".join(self.messages), self.forms)
        for worker in workers:
            assert not found_in(worker.log_file.read_bytes(), self.forms)
        scratch = Path(self.system.environment["SCRATCH_DIR"])
        for path, data in files_below(scratch, self.servers.directory):
            assert not found_in(str(path).encode() + data, self.forms), path

    async def token_keys(self) -> list[bytes]:
        return [key for key in await redis_contents(self.redis) if key.startswith(b"vibe8:token:")]


@pytest.fixture
async def leak_check(git_system: System, servers: Servers) -> AsyncIterator[LeakCheck]:
    async with Redis.from_url(git_system.environment["REDIS_URL"]) as redis, redis.pubsub() as pubsub:
        messages: list[bytes] = []
        await pubsub.psubscribe("*")

        async def record() -> None:
            async for message in pubsub.listen():
                messages.append(repr(message).encode())  # noqa: PERF401 - the iterator never ends

        recording = asyncio.create_task(record())
        yield LeakCheck(system=git_system, servers=servers, redis=redis, messages=messages)
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)


@asynccontextmanager
async def blocked_clone(git_server: GitServer, client: Client, user_id: UUID) -> AsyncIterator[Job]:
    """Submit a job of the private repository, whose clone is blocked until the end of the `with` block."""
    unblock = git_server.blocked_fetches[NAME] = threading.Event()
    job = await client.submit_repository(user_id, url=git_server.url(NAME), token=TOKEN)
    await until(lambda: git_server.waiting_fetches)
    try:
        yield job
    finally:
        unblock.set()


def assert_only_git_has_the_token(pid: int) -> None:
    """Assert that only git has the token, in its environment, which no other user can read."""
    snapshot = ProcessSnapshot(pid)
    git = snapshot.named("^git")
    assert git
    assert any(FORMS[1] in facts["environ"] for facts in git)
    others = [facts for facts in snapshot.processes if facts not in git]
    assert len(others) >= 4  # worker, zygote, supervisor, child
    for facts in snapshot.processes:
        assert not found_in(facts["cmdline"], FORMS)
        assert b"Max core file size        1                    1 " in facts["limits"]
    for facts in others:
        assert not found_in(facts["environ"], FORMS)


@pytest.mark.parametrize("place", ["row", "key", "value", "message", "log", "scratch"])
async def test_leak_check_finds_a_secret_in_every_place(
    git_system: System, leak_check: LeakCheck, place: str, tmp_path: Path
) -> None:
    """Without this test the tests below would prove nothing."""
    Path(git_system.environment["SCRATCH_DIR"]).mkdir()
    worker = WorkerProcess(process=None, log_file=tmp_path / "log")  # type: ignore[arg-type]
    worker.log_file.touch()
    for index in range(len(FORMS)):
        form = encodings_of(uuid.uuid4().hex)[index]  # a new secret, because earlier ones stay where they were found
        leak_check.forms = [form]
        await leak_check.assert_no_leak(worker)
        text = f"<{form.decode()}>"
        if place == "row":
            async with CheckedClient.open(git_system.settings) as client:
                await client.get_or_create_user(f"{text}@example.org")
        elif place == "message":
            await leak_check.redis.publish("x", text)
            await until(lambda form=form: found_in(leak_check.messages[-1], [form]))  # type: ignore[misc]
        elif place in ("key", "value"):
            await leak_check.redis.set(text if place == "key" else "k", text)
        else:
            (worker.log_file if place == "log" else Path(git_system.environment["SCRATCH_DIR"]) / "f").write_text(text)
        with pytest.raises(AssertionError):
            await leak_check.assert_no_leak(worker)


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_token_is_not_exposed_while_its_job_runs_and_afterwards(
    git_server: GitServer, git_system: System, leak_check: LeakCheck, log_format: str
) -> None:
    async with CheckedClient.open(git_system.settings) as client, git_system.worker(LOG_FORMAT=log_format) as worker:
        user_id = await client.get_or_create_user("ann@example.org")
        async with blocked_clone(git_server, client, user_id) as job:
            (key,) = await leak_check.token_keys()
            assert key.decode() == f"vibe8:token:{job.job_id}"
            assert 0 < await leak_check.redis.ttl(key) <= git_system.settings.token_ttl
            await leak_check.assert_no_leak(worker)
            assert_only_git_has_the_token(worker.process.pid)
        assert (await until_finished(client, user_id, job.job_id)).status is JobStatus.COMPLETED
        assert any(found_in(str(headers).encode(), FORMS) for _, _, headers in git_server.requests)
        await until(lambda: has_no_token_key(leak_check))
        await client.take_result(user_id, job.job_id)
        await leak_check.assert_no_leak(worker)
        assert leak_check.messages
        assert job_scratch(git_system) == []


async def has_no_token_key(leak_check: LeakCheck) -> bool:
    return not await leak_check.token_keys()


ECHOES = {
    # answer of the host, and expected part of the job's error
    "401": (Fault(401, {"WWW-Authenticate": f'Basic realm="{TOKEN}"'}, TOKEN.encode()), "does not accept the token"),
    "403": (Fault(403, {"Content-Type": "text/plain"}, TOKEN.encode()), "access denied"),
    "moved": (Fault(301, {"Location": f"https://{TOKEN}@evil.test/"}), "redirect"),
    "remote": (
        Fault(
            200,
            {"Content-Type": "application/x-git-upload-pack-advertisement"},
            b"001e# service=git-upload-pack\n0000" + f"{8 + len(TOKEN):04x}ERR {TOKEN}".encode(),
        ),
        "refuses to send the repository",
    ),
}


@pytest.mark.parametrize("echo", ECHOES)
async def test_token_that_the_host_sends_back_is_in_no_error_and_no_log(
    git_server: GitServer, git_system: System, leak_check: LeakCheck, echo: str
) -> None:
    fault, message = ECHOES[echo]
    git_server.fail(NAME, fault)
    async with CheckedClient.open(git_system.settings) as client, git_system.worker() as worker:
        user_id = await client.get_or_create_user("ann@example.org")
        job = await client.submit_repository(user_id, url=git_server.url(NAME), token=TOKEN)
        ended = await until_finished(client, user_id, job.job_id)
        assert ended.status is JobStatus.FAILED
        assert message in (ended.error_message or "")
        await until(lambda: has_no_token_key(leak_check))
        await leak_check.assert_no_leak(worker)


async def test_token_survives_a_killed_worker_for_the_next_attempt_only(
    git_server: GitServer, git_system: System, leak_check: LeakCheck
) -> None:
    async with CheckedClient.open(git_system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        async with git_system.worker("first") as first, blocked_clone(git_server, client, user_id) as job:
            children = descendants(first.process.pid)
            first.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.process.wait)
            await until(lambda: not alive(children))
            assert job_scratch(git_system)
            await leak_check.assert_no_leak(first)
        await expire_lease(git_system, job.job_id)
        async with git_system.worker("second") as second:
            ended = await until_finished(client, user_id, job.job_id)
            assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 2)
            await until(lambda: has_no_token_key(leak_check))
            await leak_check.assert_no_leak(first, second)


async def expire_lease(system: System, job_id: str, *, failed_attempts: int = 0) -> None:
    """Expire the lease as if the worker had died, after so many earlier failed attempts."""
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    await connection.execute(
        """
        UPDATE jobs SET lease_expires_at = now() - interval '1 second', attempt_errors = (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'attempt', n, 'at', now(), 'kind', 'worker lost', 'message', 'x')), '[]')
            FROM generate_series(1, $2) AS n)
        WHERE job_id = $1
        """,
        job_id,
        failed_attempts,
    )
    await connection.close()


async def test_token_is_deleted_when_the_job_has_lost_its_last_worker(
    git_server: GitServer, git_system: System, leak_check: LeakCheck
) -> None:
    async with CheckedClient.open(git_system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        async with git_system.worker("first") as first, blocked_clone(git_server, client, user_id) as job:
            first.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.process.wait)
        await expire_lease(git_system, job.job_id, failed_attempts=2)
        assert await leak_check.token_keys()
        async with git_system.worker("second"):
            ended = await until_finished(client, user_id, job.job_id)
            assert (ended.status, ended.error_message) == (JobStatus.FAILED, "worker lost")
            await until(lambda: has_no_token_key(leak_check))


async def test_crashing_process_writes_no_core_dump(
    git_server: GitServer, git_system: System, leak_check: LeakCheck
) -> None:
    async with CheckedClient.open(git_system.settings) as client, git_system.worker() as worker:
        user_id = await client.get_or_create_user("ann@example.org")
        async with blocked_clone(git_server, client, user_id) as job:
            for process in descendants(worker.process.pid):
                if process.name().startswith("git"):
                    process.send_signal(signal.SIGSEGV)
            (error, *_) = await until(lambda: attempt_errors(git_system, job.job_id))
            assert "signal 11" in error
        assert [path for path, _ in files_below(git_system.directory) if path.name.startswith("core")] == []
        await client.cancel_job(user_id, job.job_id)
        await until(lambda: has_no_token_key(leak_check))
        await leak_check.assert_no_leak(worker)


async def attempt_errors(system: System, job_id: str) -> list[str]:
    return [
        str(row)
        for row in await Rows(system).all(
            "SELECT jsonb_array_elements(attempt_errors) AS error FROM jobs WHERE job_id = $1", job_id
        )
    ]


@pytest.mark.parametrize("end", ["cancel", "delete_user", "limit", "host"])
async def test_token_is_deleted_at_every_other_end_of_a_job(
    git_server: GitServer, git_system: System, leak_check: LeakCheck, end: str
) -> None:
    async with CheckedClient.open(git_system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        if end == "limit":
            for _ in range(5):
                await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
        url = "https://evil.test/o/r" if end == "host" else git_server.url(NAME)
        if end in ("limit", "host"):
            with pytest.raises(PermanentError) as caught:
                await client.submit_repository(user_id, url=url, token=TOKEN)
            assert not found_in(repr(caught.value).encode(), FORMS)
        else:
            job = await client.submit_repository(user_id, url=url, token=TOKEN)
            assert await leak_check.token_keys()
            await (client.cancel_job(user_id, job.job_id) if end == "cancel" else client.delete_user(user_id))
        assert not await leak_check.token_keys()
        await leak_check.assert_no_leak()


@pytest.mark.parametrize("command", ["analyze", "submit"])
async def test_command_reads_the_token_from_its_environment_without_exposing_it(
    git_server: GitServer, git_system: System, leak_check: LeakCheck, command: str
) -> None:
    async with git_system.worker() as worker:
        arguments = [command, git_server.url(NAME), *(["--wait"] if command == "submit" else [])]
        unblock = git_server.blocked_fetches[NAME] = threading.Event()
        running = asyncio.create_task(git_system.run(*arguments, VIBE8_GIT_TOKEN=TOKEN, LOG_LEVEL="debug"))
        try:
            await until(lambda: git_server.waiting_fetches)
            await leak_check.assert_no_leak(worker)
            if command == "submit":
                assert_only_git_has_the_token(worker.process.pid)
        finally:
            unblock.set()
        done = await running
        assert done.code == 0, done.error
        assert not found_in((done.out + done.error).encode(), FORMS)
        await until(lambda: has_no_token_key(leak_check))
        await leak_check.assert_no_leak(worker)


async def test_client_logs_no_token(
    git_server: GitServer, git_system: System, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with CheckedClient.open(git_system.settings) as client:
        user_id = await client.get_or_create_user("ann@example.org")
        job = await client.submit_repository(user_id, url=git_server.url(NAME), token=TOKEN)
        assert not found_in(repr((job, client.__dict__)).encode(), FORMS)
    shown = capsys.readouterr()
    assert not found_in((caplog.text + shown.out + shown.err).encode(), FORMS)
