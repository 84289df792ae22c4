"""Job rows and submissions with any content: a worker ends each of their jobs with a result or a clear error."""

import asyncio
import base64
import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import PermanentError
from domain.jobs import Job, JobStatus
from domain.sources import Authorship
from tests.fixtures.database import Rows
from tests.fixtures.processes import alive, job_processes, job_scratch
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System, WorkerProcess
from tests.fuzz.generators import WITHOUT_SHRINKING, count_outcome, fuzz_settings, naughty_strings
from tests.fuzz.jail import assert_clear_message
from tests.hostile.support.naughty_strings import assert_harmless
from tests.hostile.support.poison import insert_job
from worker.client import Client, Completed


class FuzzedWorker:
    """A worker process, a client, and the event loop on which both tests run."""

    def __init__(self, runner: asyncio.Runner, system: System, client: Client, worker: WorkerProcess) -> None:
        self.runner, self.system, self.client, self.worker = runner, system, client, worker
        self.rows = Rows(system)
        self.user_id: UUID = runner.run(client.get_or_create_user("ann@example.org"))

    async def assert_jobs_end(self, job_ids: Collection[str], surface: str) -> None:
        """Assert that each job ends at its first attempt with a result or a clear error, and leaves nothing behind."""

        async def ended() -> bool:
            return not {"pending", "running"} & set(await self.rows.statuses())

        await until(ended)
        jobs = await self.client.list_jobs(self.user_id)
        assert {job.job_id for job in jobs} == set(job_ids)
        for job in jobs:
            assert job.attempt == 1, job
            assert (job.status is JobStatus.FAILED) == (job.error_message is not None)
            assert_clear_message(job.error_message or "completed")
            await self.take_result(job)
            count_outcome(surface, job.status)
        assert self.worker.process.poll() is None
        # The directory of a job is deleted shortly after its end is committed.
        await until(lambda: not job_scratch(self.system) and not alive(job_processes(self.worker.process.pid)))
        for entry in self.worker.log():
            assert entry["level"] not in ("error", "critical"), entry
            assert entry["event"] != "job.attempt_failed", entry

    async def take_result(self, job: Job) -> None:
        taken = await self.client.take_result(self.user_id, job.job_id)
        if isinstance(taken, Completed):
            assert_harmless(asdict(taken.run))


@pytest.fixture
def fuzzed(system: System) -> Iterator[FuzzedWorker]:
    # Only a host that does not exist is allowed, so that no test uses the network.
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> tuple[Client, WorkerProcess]:
            limits = {"max_concurrent_jobs_per_user": 10**6, "daily_job_limit_per_user": 10**6}
            client = await stack.enter_async_context(Client.open(system.settings.model_copy(update=limits)))
            return client, await stack.enter_async_context(system.worker(GIT_ALLOWED_HOSTS="nobody.invalid"))

        client, worker = runner.run(start())
        yield FuzzedWorker(runner, system, client, worker)
        runner.run(stack.aclose())


TEXTS = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(naughty_strings())
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DATA = st.sampled_from([base64.b64encode(data).decode() for data in (b"x = 1\n", b"def (:\n", b"PK\5\6" + bytes(18))])
FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "upload_filename": st.sampled_from(["a.py", "a.zip", "../a.py"]) | TEXTS,
    "file_data": DATA | TEXTS,
    "git_repo_url": st.sampled_from(["https://github.com/a/b", "https://nobody.test/a/b"]) | TEXTS,
    "git_branch": TEXTS,
    "project_name": TEXTS,
    "author_type": st.sampled_from(["human", "ai"]) | TEXTS,
    "author_model": TEXTS,
    "has_token": st.booleans(),
}
OBJECTS = st.fixed_dictionaries({}, optional={name: value | JSONS for name, value in FIELDS.items()})
UPLOADS = st.fixed_dictionaries(
    {"upload_filename": TEXTS.map(lambda text: f"{text}.py".replace("/", "")), "file_data": DATA},
    optional={name: FIELDS[name] | st.none() for name in ("project_name", "author_type", "author_model")},
)
DOCUMENTS = st.one_of(
    UPLOADS, UPLOADS, OBJECTS, JSONS, st.dictionaries(TEXTS, JSONS, max_size=2).map(lambda d: {"x": 1, **d})
)


@fuzz_settings(5, phases=WITHOUT_SHRINKING)
@given(
    documents=st.lists(st.tuples(st.sampled_from(["upload", "upload", "github"]), DOCUMENTS), min_size=1, max_size=8)
)
def test_job_rows_with_any_json(fuzzed: FuzzedWorker, documents: Sequence[tuple[str, Any]]) -> None:
    fuzzed.runner.run(insert(fuzzed, documents))


async def insert(fuzzed: FuzzedWorker, documents: Sequence[tuple[str, Any]]) -> None:
    job_ids = []
    for kind, document in documents:
        job_id = uuid.uuid4().hex
        try:
            await insert_job(
                fuzzed.system.environment["DATABASE_URL"], job_id, fuzzed.user_id, json.dumps(document), kind=kind
            )
        except asyncpg.DataError:  # NUL, or a lone surrogate
            count_outcome("rows", "refused by PostgreSQL")
        else:
            await fuzzed.client._connections.queue.enqueue([job_id])
            job_ids.append(job_id)
    await fuzzed.assert_jobs_end(job_ids, "rows")


AUTHORS = st.sampled_from([*[None, "human", "ai"] * 3, "", "robot", "HUMAN", "\x00", "ai\n"])
SUBMISSIONS = st.fixed_dictionaries(
    {
        "filename": st.tuples(TEXTS, st.sampled_from([".py", ".py", ".zip", ".ZIP", ""])).map("".join),
        "content": st.sampled_from([b"x = 1\n", b"PK\5\6" + bytes(18)]) | st.binary(max_size=50),
        "authorship": st.tuples(st.none() | TEXTS, AUTHORS, st.none() | TEXTS),
        "idempotency_key": st.none() | TEXTS,
    }
)


@fuzz_settings(5, phases=WITHOUT_SHRINKING)
@given(submissions=st.lists(SUBMISSIONS, min_size=1, max_size=6))
def test_any_submission(fuzzed: FuzzedWorker, submissions: Sequence[Mapping[str, Any]]) -> None:
    fuzzed.runner.run(submit(fuzzed, submissions))


async def submit(fuzzed: FuzzedWorker, submissions: Sequence[Mapping[str, Any]]) -> None:
    job_ids = set()
    for submission in submissions:
        project_name, author_type, author_model = submission["authorship"]
        try:
            authorship = Authorship(project_name=project_name, author_type=author_type, author_model=author_model)
            job = await fuzzed.client.submit_upload(fuzzed.user_id, **{**submission, "authorship": authorship})
        except PermanentError as error:
            assert_clear_message(str(error))
            count_outcome("submissions", "refused by the client")
        else:
            job_ids.add(job.job_id)
    await fuzzed.assert_jobs_end(job_ids, "submissions")
