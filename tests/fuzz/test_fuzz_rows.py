"""What a row's `source_metadata` may hold, and what a submitter may say: one real worker ends every job clearly."""

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
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
from tests.fuzz.generators import AS_FOUND, naughty_strings, note, tried
from tests.fuzz.jail import assert_clear_message
from tests.hostile.support.naughty_strings import assert_harmless
from tests.hostile.support.poison import insert_job
from worker.client import Client, Completed


class Fed:
    """A worker, a client beside it, and the loop that both tests share."""

    def __init__(self, runner: asyncio.Runner, system: System, client: Client, worker: WorkerProcess) -> None:
        self.runner, self.system, self.client, self.worker = runner, system, client, worker
        self.rows = Rows(system)
        self.user_id: UUID = runner.run(client.get_or_create_user("ann@example.org"))

    async def all_end(self, surface: str) -> None:
        """Every job ends at its first attempt, and its owner reads why; nothing is left of it."""

        async def ended() -> bool:
            return not {"pending", "running"} & set(await self.rows.statuses())

        await until(ended)
        for job in await self.client.list_jobs(self.user_id):
            assert job.attempt == 1, job
            assert (job.status is JobStatus.FAILED) == (job.error_message is not None)
            assert_clear_message(job.error_message or "completed")
            await self.take(job)
            note(surface, job.status)
        assert self.worker.process.poll() is None
        # A job's end is committed a moment before its directory goes.
        await until(lambda: not job_scratch(self.system) and not alive(job_processes(self.worker.process.pid)))
        for entry in self.worker.log():
            assert entry["level"] not in ("error", "critical"), entry
            assert entry["event"] != "job.attempt_failed", entry

    async def take(self, job: Job) -> None:
        taken = await self.client.take_result(self.user_id, job.job_id)
        if isinstance(taken, Completed):
            assert_harmless(asdict(taken.run))


@pytest.fixture
def fed(system: System) -> Iterator[Fed]:
    # A host that nobody may name: no test asks a network.
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> tuple[Client, WorkerProcess]:
            limits = {"max_concurrent_jobs_per_user": 10**6, "daily_job_limit_per_user": 10**6}
            client = await stack.enter_async_context(Client.open(system.settings.model_copy(update=limits)))
            return client, await stack.enter_async_context(system.worker(GIT_ALLOWED_HOSTS="nobody.invalid"))

        client, worker = runner.run(start())
        yield Fed(runner, system, client, worker)
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


@tried(12, phases=AS_FOUND)
@given(
    documents=st.lists(st.tuples(st.sampled_from(["upload", "upload", "github"]), DOCUMENTS), min_size=1, max_size=8)
)
def test_job_rows_with_any_json(fed: Fed, documents: Sequence[tuple[str, Any]]) -> None:
    fed.runner.run(insert(fed, documents))


async def insert(fed: Fed, documents: Sequence[tuple[str, Any]]) -> None:
    for kind, document in documents:
        job_id = uuid.uuid4().hex
        try:
            await insert_job(
                fed.system.environment["DATABASE_URL"], job_id, fed.user_id, json.dumps(document), kind=kind
            )
        except asyncpg.DataError:  # NUL, or half a character
            note("rows", "refused by PostgreSQL")
        else:
            await fed.client._connections.queue.enqueue(job_id, 1)
    await fed.all_end("rows")


AUTHORS = st.sampled_from([*[None, "human", "ai"] * 3, "", "robot", "HUMAN", "\x00", "ai\n"])
SAID = st.fixed_dictionaries(
    {
        "filename": st.tuples(TEXTS, st.sampled_from([".py", ".py", ".zip", ".ZIP", ""])).map("".join),
        "content": st.sampled_from([b"x = 1\n", b"PK\5\6" + bytes(18)]) | st.binary(max_size=50),
        "authorship": st.tuples(st.none() | TEXTS, AUTHORS, st.none() | TEXTS),
        "idempotency_key": st.none() | TEXTS,
    }
)


@tried(12, phases=AS_FOUND)
@given(submissions=st.lists(SAID, min_size=1, max_size=6))
def test_any_submission(fed: Fed, submissions: Sequence[Mapping[str, Any]]) -> None:
    fed.runner.run(submit(fed, submissions))


async def submit(fed: Fed, submissions: Sequence[Mapping[str, Any]]) -> None:
    for said in submissions:
        project_name, author_type, author_model = said["authorship"]
        try:
            authorship = Authorship(project_name=project_name, author_type=author_type, author_model=author_model)
            await fed.client.submit_upload(fed.user_id, **{**said, "authorship": authorship})
        except PermanentError as error:
            assert_clear_message(str(error))
            note("submissions", "refused by the client")
    await fed.all_end("submissions")
