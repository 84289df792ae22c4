"""SQL statements of a submission and of a job, so that their number does not grow unnoticed."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import patch
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import Engine, event

from benchmarks.queue_workers import noop_pipeline
from domain.jobs import JobStatus
from infrastructure.observability.tracing import NoTracer
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.worker_process import System
from worker.client import Client, UploadSubmission
from worker.process.bootstrap import Services, open_services

SUBMIT = ["SELECT users", "INSERT usage_tracking", "commit"]
"""Lock the user; check and count all limits, and insert the jobs, in one statement."""
CLAIM = ["UPDATE jobs", "UPDATE jobs"]
"""Claim, and assign turns at most each half a second. Sent in autocommit mode."""

END = ["UPDATE jobs", "commit"]
"""Lock the owners and the jobs, insert the runs, delete the uploads and end the jobs, in one statement."""


class StatementLog:
    """The statements that were sent, as `VERB table`, and the ends of transactions.

    SQLAlchemy reports its statements; asyncpg's own ones, and what ends transactions, pass through two of its methods.
    """

    def __init__(self) -> None:
        self.entries: list[str] = []

    def recording(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def record(connection: asyncpg.Connection, query: str, *arguments: Any, **options: Any) -> Any:
            if query.lstrip().startswith("WITH"):
                self.statement(None, None, query)
            elif query.startswith(("COMMIT", "ROLLBACK", "SAVEPOINT")):
                self.entries.append(query.partition(" ")[0].rstrip(";").lower())
            return await method(connection, query, *arguments, **options)

        return record

    def statement(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        flat = re.sub(r"\bWITH counted AS \(.*?\)\s+(?=INSERT INTO jobs)", "", " ".join(statement.split()))
        verb = re.search(r"\b(UPDATE jobs|INSERT INTO \w+|SELECT|DELETE)\b", self._main(flat))
        assert verb is not None, statement
        words = verb[0].replace("INSERT INTO", "INSERT")
        table = re.search(r"\bFROM (\w+)", flat)
        self.entries.append(f"SELECT {table[1]}" if words == "SELECT" and table else words)

    @staticmethod
    def _main(statement: str) -> str:
        """Remove the common table expressions of a claim."""
        return statement[statement.index("UPDATE jobs") :] if "UPDATE jobs SET" in statement else statement

    def take(self) -> list[str]:
        entries, self.entries = self.entries, []
        return entries


@pytest.fixture
def statements() -> Iterator[StatementLog]:
    statements = StatementLog()
    listener = (Engine, "before_cursor_execute", statements.statement)
    event.listen(*listener)
    with (
        patch.object(asyncpg.Connection, "fetch", statements.recording(asyncpg.Connection.fetch)),
        patch.object(asyncpg.Connection, "execute", statements.recording(asyncpg.Connection.execute)),
    ):
        yield statements
    event.remove(*listener)


@pytest.fixture
async def services(system: System) -> AsyncIterator[Services]:
    """The services of a worker, without its loops and with a pipeline that does nothing."""
    settings = system.settings.model_copy(update={"facts_cache_mb": 0})
    with patch("worker.process.bootstrap.open_pipeline", noop_pipeline):
        async with open_services(settings, on_job=lambda: None, tracer=NoTracer()) as services:
            yield services


async def run_due_jobs(services: Services) -> None:
    """Claim and run what is due, as the loop of the pool does after a wake-up."""
    services.pool._assigned_at = -math.inf
    services.pool.wake()
    await services.pool._claim_due()
    await asyncio.gather(*services.pool._tasks, *services.pool._ending)


def upload(content: bytes = PYTHON_FILE, key: str | None = None) -> UploadSubmission:
    return UploadSubmission(filename="a.py", content=content, idempotency_key=key)


async def test_statements_of_a_job_from_submission_to_end(
    client: Client, user_id: UUID, services: Services, statements: StatementLog
) -> None:
    statements.take()
    (job,) = await client.submit_many(user_id, [upload()])
    assert statements.take() == SUBMIT
    await run_due_jobs(services)
    assert statements.take() == [*CLAIM, *END]
    assert (await client.get_job(user_id, job.job_id)).status is JobStatus.COMPLETED


async def test_a_batch_takes_as_many_statements_as_one_job(
    client: Client, user_id: UUID, statements: StatementLog
) -> None:
    statements.take()
    await client.submit_many(user_id, [upload()] * 5)
    assert statements.take() == SUBMIT


async def test_a_new_idempotency_key_takes_one_statement_more_and_a_known_one_less(
    client: Client, user_id: UUID, statements: StatementLog
) -> None:
    statements.take()
    await client.submit_many(user_id, [upload(key="k")])
    assert statements.take() == [SUBMIT[0], "SELECT jobs", *SUBMIT[1:]]
    await client.submit_many(user_id, [upload(key="k")])
    assert statements.take() == ["SELECT users", "SELECT jobs", "commit"]


async def test_a_large_upload_takes_one_more_query(
    client: Client, user_id: UUID, services: Services, statements: StatementLog
) -> None:
    await client.submit_many(user_id, [upload(b"#" * 100_000)])
    statements.take()
    await run_due_jobs(services)
    assert statements.take() == [*CLAIM, "SELECT job_uploads", "commit", *END]


async def test_a_wakeup_without_a_due_job_takes_no_more_than_a_claim(
    services: Services, statements: StatementLog
) -> None:
    statements.take()
    await run_due_jobs(services)
    assert statements.take() == CLAIM
