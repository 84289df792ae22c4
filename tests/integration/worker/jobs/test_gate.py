"""The quality gate at the end of jobs: baselines, policies, verdicts, and what they refuse."""

import uuid
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from domain.gate.policy import Condition, ConditionKind, Policy
from domain.jobs import JobStatus
from domain.runs import Run
from domain.sources import Authorship
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import System, until_finished
from worker.client import Client, JobOptions, run_to_json

FUNCTIONS = [
    f'def step_{number}(items):\n    """Do step {number}."""\n    return [item + {number} for item in items]\n'
    for number in range(12)
]
BASE = '"""A module."""\n\n\n' + "\n\n".join(FUNCTIONS)
OTHER = """
import os


def read(path):
    try:
        return os.stat(path)
    except OSError:
        pass
"""
LINES = "# a line\n" * 13


async def run_of(client: Client, user_id: UUID, job_id: str) -> Run:
    ended = await until_finished(client, user_id, job_id)
    assert ended.status is JobStatus.COMPLETED, ended.error_message
    assert ended.result_run_id is not None
    return await client.get_run(user_id, ended.result_run_id)


async def uploaded(
    client: Client,
    user_id: UUID,
    content: str,
    options: JobOptions = JobOptions(),  # noqa: B008 - frozen
) -> Run:
    job = await client.submit_upload(
        user_id,
        filename="a.py",
        content=content.encode(),
        authorship=Authorship(project_name="P"),
        options=options,
    )
    return await run_of(client, user_id, job.job_id)


def answers(run: Run) -> dict[str, tuple[str, list[str]]]:
    assert run.review is not None
    criteria: list[dict[str, Any]] = run.review["criteria"]
    return {each["kind"]: (each["status"], [item["rule"] for item in each["findings"]]) for each in criteria}


async def test_merge_request_with_one_new_eval_is_rejected_and_the_gate_names_it(
    git_server: GitServer, git_system: System, git_client: Client, tmp_path: Path
) -> None:
    tree = WorkTree(tmp_path / "tree")
    tree.commit("base", steps_py=BASE, old_name_py=OTHER)
    url = git_server.add("owner/project", tree.dot_git)
    user_id = await git_client.get_or_create_user("ann@example.org")
    async with git_system.worker():
        base = await run_of(git_client, user_id, (await git_client.submit_repository(user_id, url=url)).job_id)
        tree.git("checkout", "-q", "-b", "topic")
        tree.git("mv", "old_name.py", "new_name.py")
        moved = "\n\n".join([*FUNCTIONS[6:], *FUNCTIONS[:6]]).replace("item + 3", "eval(item)")
        tree.commit("topic", steps_py='"""A module."""\n' + LINES + "\n\n" + moved)
        job = await git_client.submit_repository(user_id, url=git_server.url("owner/project"), branch="topic")
        topic = await run_of(git_client, user_id, job.job_id)
    assert base.review is not None
    assert (base.review_verdict, base.review["verdict"]) == ("NOT_EVALUATED", "NOT_EVALUATED")
    assert topic.baseline_run_id == base.run_id
    assert topic.comparison is not None
    assert topic.comparison["files"]["renamed"]["items"] == [{"from": "old_name.py", "to": "new_name.py"}]
    new = [item["rule"] for item in topic.findings["items"] if item["state"] == "new"]
    assert new == ["B307"]
    assert topic.review_verdict == "REJECTED"
    assert answers(topic)["new_findings"] == ("fail", ["B307"])
    # The added lines were counted between the two commits.
    assert answers(topic)["new_findings_per_100_lines"][0] == "pass"
    assert topic.quality_score is not None
    assert {insight["type"] for insight in topic.insights} >= {"regression"}
    document = run_to_json(topic, None)
    assert document["standing"]["grade"] in "ABCDE"


async def test_rejected_run_is_no_baseline_of_the_next(system: System, client: Client, user_id: UUID) -> None:
    async with system.worker():
        first = await uploaded(client, user_id, BASE)
        rejected = await uploaded(client, user_id, BASE + "\nRESULT = eval('1')\n")
        again = await uploaded(client, user_id, BASE + "\nRESULT = eval('1')\n")
        mended = await uploaded(client, user_id, BASE)
    assert [run.review_verdict for run in (first, rejected, again, mended)] == [
        "NOT_EVALUATED", "REJECTED", "REJECTED", "APPROVED",
    ]  # fmt: skip
    assert again.baseline_run_id == mended.baseline_run_id == first.run_id


async def test_submission_brings_its_own_policy_and_baseline(system: System, client: Client, user_id: UUID) -> None:
    tolerant = Policy(conditions=(Condition(kind=ConditionKind.NEW_FINDINGS, maximum=5),))
    async with system.worker():
        first = await uploaded(client, user_id, BASE)
        await uploaded(client, user_id, BASE + "\nX = 1\n")
        options = JobOptions(baseline=first.run_id, gate=tolerant)
        run = await uploaded(client, user_id, BASE + "\nRESULT = eval('1')\n", options)
    assert (run.baseline_run_id, run.review_verdict) == (first.run_id, "APPROVED")
    assert run.comparison is not None
    assert run.comparison["chosen_as"] == "submitted"
    assert run.review is not None
    assert run.review["policy"] == tolerant.to_json()
    assert run.options == options.to_json()


async def test_baseline_that_was_deleted_before_the_job_ran_leaves_the_run_unjudged(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker() as worker:
        first = await uploaded(client, user_id, BASE)
        assert await worker.stop() == 0
    job = await client.submit_upload(
        user_id,
        filename="a.py",
        content=BASE.encode(),
        authorship=Authorship(project_name="P"),
        options=JobOptions(baseline=first.run_id),
    )
    await client.delete_run(user_id, first.run_id)
    async with system.worker():
        run = await run_of(client, user_id, job.job_id)
    assert (run.comparison, run.review_verdict) == (None, "NOT_EVALUATED")


async def test_baselines_that_cannot_be_one_are_refused_at_submission(
    system: System, client: Client, user_id: UUID
) -> None:
    async with system.worker():
        run = await uploaded(client, user_id, BASE)
    other = await client.get_or_create_user("eve@example.org")

    async def refused(owner: UUID, baseline: UUID, project: str = "P") -> str:
        with pytest.raises((ForbiddenError, NotFoundError, InvalidInputError)) as error:
            await client.submit_upload(
                owner,
                filename="a.py",
                content=b"x = 1\n",
                authorship=Authorship(project_name=project),
                options=JobOptions(baseline=baseline),
            )
        return f"{type(error.value).__name__}: {error.value}"

    unknown = uuid.uuid4()
    assert await refused(other, run.run_id) == f"ForbiddenError: the run {run.run_id} belongs to another user"
    assert await refused(user_id, unknown) == f"NotFoundError: there is no run {unknown}"
    reason = f"run {run.run_id} cannot be the baseline: it is of another project"
    assert await refused(user_id, run.run_id, "Q") == f"InvalidInputError: {reason}"
    assert await client.list_jobs(user_id) != []
    assert await client.list_jobs(other) == []


async def test_options_that_another_program_wrote_wrong_fail_the_job_in_one_line(
    system: System, client: Client, user_id: UUID
) -> None:
    job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    await Rows(system).all("""UPDATE jobs SET options = '{"gait": 1}' WHERE job_id = $1""", job.job_id)
    async with system.worker():
        ended = await until_finished(client, user_id, job.job_id)
    assert ended.status is JobStatus.FAILED
    assert ended.error_message is not None
    assert ended.error_message.startswith("the job's options have an unknown key 'gait'; they accept baseline, ")


async def test_insights_are_rows_that_go_with_their_run(system: System, client: Client, user_id: UUID) -> None:
    rows = Rows(system)
    content = "".join(f"def f{number}(text):\n    return eval(text)\n\n\n" for number in range(4))
    async with system.worker():
        run = await uploaded(client, user_id, content)
    assert [insight["type"] for insight in run.insights] == ["security_cluster"]
    (insight,) = run.insights
    (row,) = await rows.all("SELECT * FROM insights WHERE run_id = $1", run.run_id)
    assert (row["title"], float(row["confidence_score"])) == (insight["title"], insight["confidence_score"])
    assert row["tags"] == insight["tags"] == ["security"]
    assert row["model_version"] == "rules-1"
    await client.delete_run(user_id, run.run_id)
    assert await rows.all("SELECT 1 FROM insights") == []
