"""Jobs through the queue and a worker process, and their results back to their owners."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.errors import ForbiddenError, NotFoundError
from domain.jobs import JobStatus
from domain.runs import Run
from domain.sources import Authorship
from tests.fixtures.archives import make_zip
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import System, WorkerProcess, until_finished
from worker.client import Client, Completed, JobFailed

METRICS = {"lint", "cyclomatic", "docs", "dead_code", "deps", "mi", "size", "dupes", "security", "churn"}
SOURCE = '''"""A module."""

import os
import requests


def run(command):
    if command:
        os.system(command)
    return requests.get("x")
'''


async def completed(client: Client, user_id: UUID, job_id: str) -> Completed:
    job = await until_finished(client, user_id, job_id)
    assert job.status is JobStatus.COMPLETED, job.error_message
    taken = await client.take_result(user_id, job_id)
    assert isinstance(taken, Completed)
    return taken


def file_node(run: Run, path: str) -> dict[str, Any]:
    assert run.file_tree is not None
    node: dict[str, Any] = dict(run.file_tree)
    for part in path.split("/"):
        node = next(child for child in node["children"] if child["name"] == part)
    return node


async def test_upload_of_one_file(client: Client, user_id: UUID, worker: WorkerProcess) -> None:
    authorship = Authorship(project_name="P", author_type="ai", author_model="m")
    job = await client.submit_upload(user_id, filename="code.py", content=SOURCE.encode(), authorship=authorship)
    assert job.status is JobStatus.PENDING
    taken = await completed(client, user_id, job.job_id)
    run = taken.run

    assert set(run.metrics) == METRICS
    assert set(run.completeness["collectors"].values()) == {"ok"}
    assert run.errors == ()
    size = {"files": 1, "sloc": 6, "avg_file_sloc": 6}
    assert run.metrics["size"] == {**size, "by_role": {"source": size}}
    assert run.metrics["cyclomatic"]["avg_cc"] == 2.0
    assert run.metrics["deps"]["total_modules"] == 1
    assert run.metrics["security"]["high"] == 1
    assert run.metrics["churn"] == {"total_commits": None, "totalChurn": None, "churn_score": None}
    metrics = file_node(run, "code.py")["metrics"]
    assert metrics["complexity"]["value"] == 2
    assert metrics["security"]["severity"] == "high"
    assert 0 < metrics["health_score"] < 100
    assert {"B605", "B113"} <= {item["rule"] for item in run.findings["items"]}
    assert run.findings["total"] == len(run.findings["items"])
    assert all(len(item["fingerprint"]) == 16 for item in run.findings["items"])
    assert file_node(run, "code.py")["role"] == "source"
    assert {"python", "ruff", "radon", "bandit", "vulture"} <= set(run.tool_versions)
    assert run.timings_ms["collecting"] > 0
    assert (run.origin.upload_filename, run.origin.submission_type) == ("code.py", "upload")
    assert (run.origin.project_name, run.origin.author_type, run.origin.author_model) == ("P", "ai", "m")

    with pytest.raises(NotFoundError):
        await client.take_result(user_id, job.job_id)
    assert [summary.run_id for summary in (await client.list_runs(user_id)).runs] == [run.run_id]
    (done,) = await worker.until("job.completed")
    assert (done["job_id"], done["attempt"], done["files"]) == (job.job_id, 1, 1)


async def test_zip_with_unreadable_files_completes_and_names_them(
    client: Client, user_id: UUID, worker: WorkerProcess
) -> None:
    files: dict[str, str | bytes] = {
        "ok.py": "x = 1\n",
        "broken.py": "def (:\n",
        "latin.py": b"x = '\xe9'\n",
        "oneline.py": "x = [" + "0," * 2_600_000 + "]\n",
        "deep.py": "x = " + "(" * 3000 + ")" * 3000 + "\n",
        "nul.py": b"x = 1\x00\n",
        "surrogate.py": "x = '\\ud800'\n\n\ndef \u202edeped(): pass\n",
        "na\u202eme.py": "y = 2\n",
        "README": "not python",
    }
    job = await client.submit_upload(user_id, filename="odd.zip", content=make_zip(files))
    run = (await completed(client, user_id, job.job_id)).run
    assert run.metrics["size"]["files"] == 7
    for name in ("broken.py", "latin.py", "deep.py", "nul.py"):
        assert file_node(run, name)["parse_error"], name
        assert any(line.startswith(f"{name}: ") for line in run.errors), name
    assert any(item["path"] == "oneline.py" and "larger than" in item["reason"] for item in run.completeness["skipped"])
    assert file_node(run, "na\\u202eme.py")["metrics"]["size"] == {"sloc": 1}


@pytest.mark.parametrize(
    ("filename", "content", "words"),
    [
        ("a.zip", b"this is no archive", "not a zip"),
        ("a.zip", make_zip({"README": "x"}), "no Python file"),
        ("a.zip", make_zip({}), "no Python file"),
    ],
)
async def test_invalid_uploads_fail_with_one_line(
    client: Client, user_id: UUID, worker: WorkerProcess, filename: str, content: bytes, words: str
) -> None:
    job = await client.submit_upload(user_id, filename=filename, content=content)
    ended = await until_finished(client, user_id, job.job_id)
    assert (ended.status, ended.attempt) == (JobStatus.FAILED, 1)
    taken = await client.take_result(user_id, job.job_id)
    assert isinstance(taken, JobFailed)
    assert words in taken.error
    assert "\n" not in taken.error


async def test_public_and_private_repositories(
    git_server: GitServer, git_system: System, git_client: Client, tmp_path: Path
) -> None:
    tree = WorkTree(tmp_path / "tree")
    tree.commit("one", a_py="x = 1\ny = 2\n")
    tree.commit("two", a_py="x = 1\n", b_py="z = 3\n")
    git_server.add("owner/public", tree.dot_git)
    git_server.add("owner/private", tree.dot_git, token="s3cret-t0ken")
    client, user_id = git_client, await git_client.get_or_create_user("ann@example.org")
    async with git_system.worker() as worker:
        public = await client.submit_repository(user_id, url=git_server.url("owner/public"))
        private = await client.submit_repository(
            user_id, url=git_server.url("owner/private"), branch="main", token="s3cret-t0ken"
        )
        run = (await completed(client, user_id, public.job_id)).run
        assert run.metrics["churn"] == {"total_commits": 2, "totalChurn": 4, "churn_score": 99.6}
        assert run.origin.git_branch == "main"
        assert len(run.origin.git_commit_sha or "") == 40
        assert file_node(run, "a.py")["metrics"]["churn"]["count"] == 3
        again = (await completed(client, user_id, private.job_id)).run
        assert again.metrics == run.metrics

        for url, branch, words in (
            ("owner/private", None, "login|authentication"),
            ("owner/missing", None, "not found|does not exist"),
            ("owner/public", "nowhere", "branch"),
        ):
            job = await client.submit_repository(user_id, url=git_server.url(url), branch=branch)
            ended = await until_finished(client, user_id, job.job_id)
            assert ended.status is JobStatus.FAILED
            assert re.search(words, ended.error_message or "", re.IGNORECASE), ended.error_message
        assert "s3cret" not in worker.log_file.read_text()
        assert list(Path(git_system.environment["SCRATCH_DIR"]).glob("*/job-*")) == []


async def test_only_the_owner_sees_a_job_and_its_run(client: Client, user_id: UUID, worker: WorkerProcess) -> None:
    other = await client.get_or_create_user("bob@example.org")
    job = await client.submit_upload(user_id, filename="a.py", content=b"x = 1\n")
    await until_finished(client, user_id, job.job_id)
    for call in (client.get_job, client.take_result, client.cancel_job, client.retry_job):
        with pytest.raises(ForbiddenError):
            await call(other, job.job_id)
        with pytest.raises(NotFoundError):
            await call(user_id, "missing")
    run = (await completed(client, user_id, job.job_id)).run
    for read in (client.get_run, client.get_file_tree, client.delete_run):
        with pytest.raises(ForbiddenError):
            await read(other, run.run_id)
        with pytest.raises(NotFoundError):
            await read(user_id, UUID(int=0))
    assert (await client.get_file_tree(user_id, run.run_id)) == run.file_tree
    await client.delete_run(user_id, run.run_id)
    with pytest.raises(NotFoundError):
        await client.get_run(user_id, run.run_id)


async def test_analyze_and_submit_print_the_same_analysis(
    system: System, worker: WorkerProcess, tmp_path: Path
) -> None:
    tree = WorkTree(tmp_path / "project")
    tree.commit("one", a_py=SOURCE, b_py="import a\n")
    here = await system.run("analyze", "project", "--json")
    assert here.code == 0, here.error
    there = await system.run("submit", "project", "--wait", "--json", "--project", "P")
    assert there.code == 0, there.error
    for part in ("metrics", "file_tree", "findings", "errors", "completeness", "tool_versions"):
        assert here.document[part] == there.document[part], part
    assert here.document["job"] is None
    assert there.document["job"]["status"] == "completed"
    assert here.document["metrics"]["churn"]["total_commits"] == 1
