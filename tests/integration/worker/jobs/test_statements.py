"""What a submission and a job cost PostgreSQL: every statement, so that their number cannot creep."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from sqlalchemy import Engine, event

from benchmarks.queue_workers import noop_pipeline
from domain.jobs import JobStatus
from infrastructure.observability.tracing import NoTracer
from tests.fixtures.jobs import PYTHON_FILE
from tests.fixtures.worker_process import System
from worker.client import Client, UploadSubmission
from worker.process.bootstrap import Services, open_services

SUBMIT = ["SELECT users", "SELECT jobs", "INSERT jobs", "commit"]
CLAIM = ["UPDATE jobs"]
"""A transaction by itself."""

END = ["INSERT analysis_runs", "UPDATE jobs", "commit"]


class Ledger:
    """Statements and ends of transactions, as `VERB table`."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def statement(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        flat = re.sub(r"\bWITH counted AS \(.*?\)\s+(?=INSERT INTO jobs)", "", " ".join(statement.split()))
        verb = re.search(r"\b(UPDATE jobs|INSERT INTO \w+|SELECT|DELETE)\b", self._main(flat))
        assert verb is not None, statement
        words = verb[0].replace("INSERT INTO", "INSERT")
        table = re.search(r"\bFROM (\w+)", flat)
        self.entries.append(f"SELECT {table[1]}" if words == "SELECT" and table else words)

    @staticmethod
    def _main(statement: str) -> str:
        """Without the common table expressions of a claim."""
        return statement[statement.index("UPDATE jobs") :] if "UPDATE jobs SET" in statement else statement

    def commit(self, _connection: Any) -> None:
        self.entries.append("commit")

    def rollback(self, connection: Any) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":  # there nothing is sent
            self.entries.append("rollback")

    def savepoint(self, _connection: Any, _name: str) -> None:
        self.entries.append("savepoint")

    def taken(self) -> list[str]:
        entries, self.entries = self.entries, []
        return entries


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    listeners: dict[str, Callable[..., Any]] = {
        "before_cursor_execute": ledger.statement,
        "commit": ledger.commit,
        "rollback": ledger.rollback,
        "savepoint": ledger.savepoint,
    }
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    yield ledger
    for name, listener in listeners.items():
        event.remove(Engine, name, listener)


@pytest.fixture
async def services(system: System) -> AsyncIterator[Services]:
    """A worker without its loops, whose pipeline does nothing."""
    settings = system.settings.model_copy(update={"facts_cache_mb": 0})
    with patch("worker.process.bootstrap.open_pipeline", noop_pipeline):
        async with open_services(settings, on_job=lambda: None, tracer=NoTracer()) as services:
            yield services


def upload(content: bytes = PYTHON_FILE, key: str | None = None) -> UploadSubmission:
    return UploadSubmission(filename="a.py", content=content, idempotency_key=key)


async def test_one_job_from_submission_to_end(
    client: Client, user_id: UUID, services: Services, ledger: Ledger
) -> None:
    ledger.taken()
    (job,) = await client.submit_many(user_id, [upload()])
    assert ledger.taken() == SUBMIT
    await services.pool.run_next()
    assert ledger.taken() == [*CLAIM, *END]
    assert (await client.get_job(user_id, job.job_id)).status is JobStatus.COMPLETED


async def test_a_batch_costs_what_one_costs(client: Client, user_id: UUID, ledger: Ledger) -> None:
    ledger.taken()
    await client.submit_many(user_id, [upload()] * 5)
    assert ledger.taken() == SUBMIT


async def test_an_idempotency_key_costs_one_more_and_a_known_one_less(
    client: Client, user_id: UUID, ledger: Ledger
) -> None:
    ledger.taken()
    await client.submit_many(user_id, [upload(key="k")])
    assert ledger.taken() == ["SELECT users", "SELECT jobs", *SUBMIT[1:]]
    await client.submit_many(user_id, [upload(key="k")])
    assert ledger.taken() == ["SELECT users", "SELECT jobs", "commit"]


async def test_a_large_upload_is_asked_for(client: Client, user_id: UUID, services: Services, ledger: Ledger) -> None:
    await client.submit_many(user_id, [upload(b"#" * 100_000)])
    ledger.taken()
    await services.pool.run_next()
    assert ledger.taken() == [*CLAIM, "SELECT jobs", "commit", *END]


async def test_a_ring_for_nothing_is_one_statement(services: Services, ledger: Ledger) -> None:
    ledger.taken()
    await services.pool.run_next()
    assert ledger.taken() == CLAIM
