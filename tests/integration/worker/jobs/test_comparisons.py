"""Jobs of one project, one after the other: each run is compared with its baseline."""

from uuid import UUID

import pytest

from domain.errors import InvalidInputError
from domain.jobs import JobStatus
from domain.runs import Run
from domain.sources import Authorship
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client, comparison_to_json

FIRST = b"import os\n\n\ndef f(x):\n    assert x\n    return 1\n"
SECOND = b"# moved down\n\n\n" + FIRST.replace(b"return 1", b"return eval(x)").replace(b"    assert x\n", b"")


async def run_of(client: Client, user_id: UUID, content: bytes, *, project: str | None = "P") -> Run:
    job = await client.submit_upload(
        user_id, filename="a.py", content=content, authorship=Authorship(project_name=project)
    )
    ended = await until_finished(client, user_id, job.job_id)
    assert ended.status is JobStatus.COMPLETED
    assert ended.result_run_id is not None
    return await client.get_run(user_id, ended.result_run_id)


def states(run: Run) -> dict[str, str | None]:
    return {item["rule"]: item.get("state") for item in run.findings["items"]}


async def test_runs_of_a_project_are_compared(system: System, client: Client, user_id: UUID) -> None:
    async with system.worker():
        first = await run_of(client, user_id, FIRST)
        second = await run_of(client, user_id, SECOND)
        other = await run_of(client, user_id, SECOND, project="another")
        await client.pin_baseline(user_id, first.run_id)
        third = await run_of(client, user_id, FIRST)
    assert (first.baseline_run_id, first.comparison) == (None, None)
    assert (other.baseline_run_id, other.comparison) == (None, None)
    assert second.baseline_run_id == first.run_id
    assert second.comparison is not None
    assert second.comparison["chosen_as"] == "same branch"
    assert {rule: states(second)[rule] for rule in ("F401", "B307")} == {"F401": "unchanged", "B307": "new"}
    assert [item["rule"] for item in second.comparison["fixed"]["items"]] == ["B101"]
    assert second.comparison["files"]["changed"] == {"total": 1, "items": ["a.py"]}
    since = {item["rule"]: item["first_seen_at"] for item in second.findings["items"]}
    assert since["F401"] == first.created_at.isoformat() < since["B307"]
    assert third.baseline_run_id == first.run_id  # the pinned one, not the newest
    assert third.comparison is not None
    assert third.comparison["chosen_as"] == "pinned"
    assert set(states(third).values()) == {"unchanged"}

    again = await client.compare_runs(user_id, second.run_id)
    assert again.baseline_run_id == first.run_id
    assert again.document["counts"] == second.comparison["counts"]
    across = comparison_to_json(await client.compare_runs(user_id, other.run_id, second.run_id))
    assert {item["state"] for item in across["findings"]} == {"unchanged"}
    with pytest.raises(InvalidInputError, match="has no baseline"):
        await client.compare_runs(user_id, first.run_id)
    await client.delete_run(user_id, first.run_id)
    left = await client.get_run(user_id, second.run_id)
    assert left.baseline_run_id is None
    assert left.comparison is not None
