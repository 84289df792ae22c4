"""Workers killed while they end the last member of an evaluation: it ends once, with all results."""

import asyncio
import signal
import time
from uuid import UUID

import pytest

from domain.evaluations.evaluation import EvaluationStatus, MemberState
from infrastructure.database.engine import Database
from tests.fixtures.control.evaluations import item
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import System
from tests.integration.infrastructure.database.concurrency.test_evaluation_ends import counted_ends, ends
from worker.client import Client

__all__ = ["counted_ends"]

RESCUE_SECONDS = 45


@pytest.mark.fault("SIGKILL between the end of an evaluation and the commit")
async def test_evaluation_whose_worker_is_killed_as_it_ends(
    system: System, client: Client, user_id: UUID, database: Database
) -> None:
    async with system.worker("first", VIBE8_FAILPOINTS="evaluation-ended") as first:
        items = [item("human", 0), item("a model", 1), item("a model", 2)]
        evaluation_id = (await client.evaluations.submit(user_id, name="x", items=items)).summary.evaluation_id
        assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
        died = time.monotonic()
    evaluation = await client.evaluations.get(user_id, evaluation_id)
    assert not evaluation.summary.status.finished
    assert await ends(database) == 0
    async with system.worker("second"):

        async def ended() -> bool:
            found = await client.evaluations.get(user_id, evaluation_id)
            return found.summary.status is EvaluationStatus.COMPLETED

        await until(ended, RESCUE_SECONDS - (time.monotonic() - died))
    evaluation = await client.evaluations.get(user_id, evaluation_id)
    assert {member.outcome.state for member in evaluation.members} == {MemberState.COMPLETED}
    assert {member.outcome.run_id for member in evaluation.members} == {
        run.run_id for run in (await client.list_runs(user_id)).runs
    }
    assert await ends(database) == 1
    results = await client.evaluations.results(user_id, evaluation_id)
    assert [(group["author"], group["projects"]) for group in results["groups"]] == [("human", 1), ("a model", 2)]
    assert None not in [pair["p"] for pair in results["overall"]["pairs"]]
