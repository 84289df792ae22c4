"""The commands `jobs`, `job`, `result`, `cancel`, `retry` and `cleanup`, as text and as JSON."""

import asyncio
import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from domain.jobs import JobStatus
from domain.sources import Authorship
from tests.fixtures.archives import make_zip
from tests.fixtures.database import Rows
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.worker_process import COMMAND, System, WorkerProcess, until_finished
from tests.integration.cli.command_support import METRIC_NAMES, assert_error_line
from worker.client import Client

RESULT_KEYS = {
    "tags",
    "comparison",
    "insights",
    "options",
    "quality_score",
    "review",
    "standing",
    "job",
    "source",
    "metrics",
    "file_tree",
    "findings",
    "errors",
    "completeness",
    "tool_versions",
    "timings_ms",
    "history",
}


CODE = b"import os\n\n\ndef f(x):\n    return x\n"
COPY_JOB = """
    INSERT INTO jobs
    SELECT (jsonb_populate_record(jobs, jsonb_build_object('job_id', $2::text))).* FROM jobs WHERE job_id = $1
"""
ZIP_WITHOUT_PYTHON = make_zip({"README": "x"})


async def submit(client: Client, user_id: UUID, name: str = "code.py", content: bytes = CODE) -> str:
    return (await client.submit_upload(user_id, filename=name, content=content)).job_id


def history_lines(shown: str) -> list[str]:
    return [line.partition("Z  ")[2] for line in shown.splitlines() if "Z  " in line]


async def test_pending_job_is_listed_shown_and_kept(cli: System, client: Client, local_user: UUID) -> None:
    (cli.directory / "code.py").write_bytes(CODE)
    empty, submitted = await asyncio.gather(cli.run("jobs"), cli.run("submit", "code.py"))
    assert (submitted.code, submitted.error) == (0, "")
    job_id = submitted.out.strip()  # for `id=$(vibe8 submit ...)`
    assert submitted.out == f"{job_id}\n"
    assert empty.code == 0
    plain, listed, shown, taken, taken_json = await asyncio.gather(
        cli.run("jobs"),
        cli.run("jobs", "--json"),
        cli.run("job", job_id),
        cli.run("result", job_id, "--take"),
        cli.run("result", job_id, "--take", "--json"),
    )
    assert [each.code for each in (plain, listed, shown, taken, taken_json)] == [0] * 5
    heading, line = plain.out.splitlines()
    assert heading.split() == ["job", "status", "age", "source", "what"]
    assert line.split()[:2] == [job_id[:8], "pending"]
    assert line.endswith("code.py")
    (document,) = listed.document
    assert (document["job_id"], document["status"], document["attempt"]) == (job_id, "pending", 0)
    assert "file_data" not in document["source_metadata"]
    assert f"job      {job_id}\nstatus   pending\nsource   code.py (upload)\n" in shown.out
    assert history_lines(shown.out) == ["submitted"]
    assert taken.out == shown.out  # the state of an unfinished job
    assert set(taken_json.document) == RESULT_KEYS
    assert taken_json.document["job"]["status"] == "pending"
    assert taken_json.document["metrics"] is None
    await client.get_job(local_user, job_id)  # it was not deleted


async def test_cancelled_job_is_shown_and_taken_as_failed(cli: System, client: Client, local_user: UUID) -> None:
    first, second = await submit(client, local_user), await submit(client, local_user)
    cancelled, cancelled_json = await asyncio.gather(cli.run("cancel", first), cli.run("cancel", second, "--json"))
    assert (cancelled.code, cancelled.out, cancelled.error) == (0, f"{first} is cancelled\n", "")
    document = cancelled_json.document
    assert (document["job_id"], document["status"]) == (second, "failed")
    assert document["error_message"] == "cancelled by user"
    again, retried, shown = await asyncio.gather(
        cli.run("cancel", first), cli.run("retry", first), cli.run("job", first)
    )
    assert again.code == 0  # cancelling twice is no error
    assert_error_line(retried, 2, "submit it again")
    assert history_lines(shown.out) == ["submitted", "cancel requested", "failed: cancelled by user"]
    taken, taken_json = await asyncio.gather(
        cli.run("result", first, "--take"), cli.run("result", second, "--take", "--json")
    )
    assert_error_line(taken, 1, first, "failed: cancelled by user")
    document = taken_json.document
    assert (taken_json.code, document["errors"], document["metrics"]) == (1, ["cancelled by user"], None)
    assert (await cli.run("jobs")).out == "no jobs\n"


async def test_completed_job_is_shown_often_and_taken_once(
    cli: System, client: Client, local_user: UUID, worker: WorkerProcess
) -> None:
    authorship = Authorship(project_name="P", author_type="ai", author_model="m-1")
    job = await client.submit_upload(local_user, filename="code.py", content=CODE, authorship=authorship)
    await until_finished(client, local_user, job.job_id)
    shown, cancelled, retried = await asyncio.gather(
        *(cli.run(command, job.job_id) for command in ("job", "cancel", "retry"))
    )
    assert "source   code.py (upload, project P)\nauthor   ai, m-1\n" in shown.out
    assert history_lines(shown.out)[0] == "submitted"
    assert history_lines(shown.out)[1].startswith("attempt 1 started on ")
    assert history_lines(shown.out)[2].startswith("completed after ")
    assert_error_line(cancelled, 2, "completed", "nothing to cancel")
    assert_error_line(retried, 2, "completed", "only a failed job can be retried")

    shown_result, taken = [await cli.run("result", job.job_id, "--json", *more) for more in ((), ("--take",))]
    assert (taken.code, taken.error) == (0, "")
    assert shown_result.document == taken.document
    assert set(taken.document) == RESULT_KEYS
    assert taken.document["job"]["job_id"] == job.job_id
    assert taken.document["source"]["project_name"] == "P"
    assert taken.document["metrics"]["size"]["sloc"] == 3
    assert_error_line(await cli.run("result", job.job_id), 2, "there is no job", job.job_id)


async def test_result_as_text(cli: System, client: Client, local_user: UUID, worker: WorkerProcess) -> None:
    job_id = await submit(client, local_user, "[b]:fire: \u00fc.py", b"x = 1\n")
    await until_finished(client, local_user, job_id)
    taken = await cli.run("result", job_id)
    assert (taken.code, taken.error) == (0, "")
    first, *lines = taken.out.splitlines()
    assert first.startswith("run ")
    assert "[b]:fire: \u00fc.py, 1 file in " in first
    assert {line.split()[0] for line in lines if line} >= METRIC_NAMES
    assert any(line.endswith("1 file, 1 source line, 1 a file") for line in lines)
    assert any(line.endswith("[b]:fire: \u00fc.py") for line in lines)


async def test_failed_job_is_retried_and_taken(
    cli: System, client: Client, local_user: UUID, worker: WorkerProcess
) -> None:
    job_id = await submit(client, local_user, "without.zip", ZIP_WITHOUT_PYTHON)
    await until_finished(client, local_user, job_id)
    again = await cli.run("retry", job_id)
    assert (again.code, again.out, again.error) == (0, f"{job_id} is pending again\n", "")
    job = await until_finished(client, local_user, job_id)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 2)
    shown, cancelled = await asyncio.gather(cli.run("job", job_id), cli.run("cancel", job_id))
    assert f"error    {job.error_message}\n" in shown.out
    assert history_lines(shown.out) == [
        "submitted",
        f"attempt 2 started on {job.worker_id}",
        f"attempt 2 failed: {job.error_message} (InvalidInputError)",
        "failed",
    ]
    assert_error_line(cancelled, 2, "failed", "nothing to cancel")
    assert_error_line(await cli.run("result", job_id), 1, "no Python file")
    assert_error_line(await cli.run("result", job_id, "--take"), 1, "no Python file")
    assert_error_line(await cli.run("result", job_id), 2, "there is no job")


async def test_failed_job_whose_fault_is_gone_completes_when_it_is_retried(
    git_system: System, git_client: Client, git_server: GitServer, small_tree: WorkTree
) -> None:
    name = "owner/late"
    async with git_system.worker() as worker:
        failed = await git_system.run("submit", git_server.url(name), "--wait")
        assert failed.code == 1
        (job,) = (await git_system.run("jobs", "--json")).document
        assert (job["status"], job["attempt"]) == ("failed", 1)
        git_server.add(name, small_tree.dot_git)
        assert (await git_system.run("retry", job["job_id"])).code == 0
        await worker.until("job.completed")
        shown, result = await asyncio.gather(*(git_system.run(part, job["job_id"]) for part in ("job", "result")))
    assert [line.partition(" after ")[0] for line in history_lines(shown.out)] == [
        "submitted",
        f"attempt 2 started on {job['worker_id']}",
        "completed",
    ]
    assert "error" not in shown.out
    assert (result.code, result.out.startswith("run ")) == (0, True)
    assert await Rows(git_system).runs() == [job["job_id"]]


async def test_jobs_are_filtered_by_status_age_and_limit(
    cli: System, client: Client, local_user: UUID, worker: WorkerProcess
) -> None:
    old = await submit(client, local_user, "without.zip", ZIP_WITHOUT_PYTHON)
    failed = await submit(client, local_user, "without.zip", ZIP_WITHOUT_PYTHON)
    good = await submit(client, local_user)
    for job_id in (failed, good, old):
        await until_finished(client, local_user, job_id)
    await Rows(cli).all("UPDATE jobs SET created_at = now() - interval '2 hours' WHERE job_id = $1", old)
    expected = {
        (): [good, failed, old],
        ("--status", "failed"): [failed, old],
        ("--status", "failed", "--since", "1h"): [failed],
        ("--since", "9999999d", "--limit", "1"): [good],
        ("--status", "running"): [],
    }
    for options, ids in expected.items():
        found = (await cli.run("jobs", "--json", *options)).document
        assert [job["job_id"] for job in found] == ids, options
    plain = (await cli.run("jobs", "--status", "failed")).out.splitlines()
    assert [line.split()[0] for line in plain] == ["job", failed[:8], old[:8]]
    assert all(line.endswith("no Python file to analyse") for line in plain[1:])
    assert plain[2].split()[2:4] == ["2", "h"]


async def test_a_long_list_of_jobs_is_read_page_by_page(cli: System, local_user: UUID) -> None:
    await Rows(cli).all(
        """
        INSERT INTO jobs (job_id, user_id, status, source_kind, source_metadata, finished_at, created_at)
        SELECT 'job-' || number, $1, 'completed', 'upload', '{"upload_filename": "a.py"}', now(),
            now() - make_interval(secs => number)
        FROM generate_series(1, 2100) AS number
        """,
        local_user,
    )
    for limit, count in (("2050", 2050), ("1000", 1000), ("9999", 2100)):
        found = (await cli.run("jobs", "--json", "--limit", limit)).document
        assert [job["job_id"] for job in found] == [f"job-{number}" for number in range(1, count + 1)]


async def test_jobs_of_other_users_are_refused(cli: System, client: Client, local_user: UUID, user_id: UUID) -> None:
    job_id = await submit(client, user_id)
    refused = await asyncio.gather(*(cli.run(command, job_id) for command in ("job", "result", "cancel", "retry")))
    for finished in refused:
        assert_error_line(finished, 2, job_id, "belongs to another user")
    listed, own, nobody = await asyncio.gather(
        cli.run("jobs", "--user", "bob@example.org"),
        cli.run("job", job_id, "--user", "ann@example.org"),
        cli.run("jobs", "--user", "nobody"),
    )
    assert (listed.out, own.code) == ("no jobs\n", 0)
    assert_error_line(nobody, 2, "name@host")


async def test_unknown_job_is_an_error(cli: System) -> None:
    for command in ("job", "result", "cancel", "retry"):
        assert_error_line(await cli.run(command, "no\nsuch\x1b[31m"), 2, "there is no job no such\\x1b[31m")


async def test_exceeding_the_limit_of_unfinished_jobs_is_an_error(
    cli: System, client: Client, local_user: UUID
) -> None:
    (cli.directory / "code.py").write_bytes(CODE)
    for _ in range(2):
        await submit(client, local_user)
    refused = await cli.run("submit", "code.py", "--json", MAX_CONCURRENT_JOBS_PER_USER="2")
    assert_error_line(refused, 2, "2 unfinished jobs (limit 2, plan free)", "cancel one")


async def test_cleanup_deletes_old_finished_jobs(cli: System, client: Client, local_user: UUID) -> None:
    job_id = await submit(client, local_user)
    await client.cancel_job(local_user, job_id)
    kept = await cli.run("cleanup")
    assert (kept.code, kept.out, kept.error) == (0, "0 finished jobs deleted, 0 stale jobs failed\n", "")
    rows = Rows(cli)
    await rows.all("ALTER TABLE jobs DISABLE TRIGGER USER")  # or updated_at would be set to now
    await rows.all("UPDATE jobs SET updated_at = now() - interval '7 hours'")
    counts = (await cli.run("cleanup", "--json")).document
    assert counts["deleted"] == 1
    assert await client.list_jobs(local_user) == []


async def test_closed_pipe_is_no_error(cli: System) -> None:
    with subprocess.Popen(
        [*COMMAND, "jobs", "--json"],
        env=cli.process_environment(),
        cwd=cli.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        error = await asyncio.to_thread(process.stderr.read)
    assert (process.returncode, error) == (0, b"")


async def test_times_are_iso_8601_in_utc(cli: System, client: Client, local_user: UUID) -> None:
    job_id = await submit(client, local_user)
    shown, document = await asyncio.gather(
        cli.run("job", job_id, TZ="Pacific/Auckland"), cli.run("job", job_id, "--json", TZ="Pacific/Auckland")
    )
    created = datetime.fromisoformat(document.document["created_at"])
    assert created.utcoffset() == timedelta(0)
    assert f"{created:%Y-%m-%dT%H:%M:%SZ}  submitted" in shown.out


async def test_job_is_named_by_the_beginning_of_its_id(
    cli: System, client: Client, local_user: UUID, user_id: UUID
) -> None:
    own, foreign = await submit(client, local_user), await submit(client, user_id)
    for job_id, new in ((own, "abc1"), (own, "abc2"), (foreign, "abd0")):
        await Rows(cli).all(COPY_JOB, job_id, new + "0" * 28)
    shown, unclear, unknown, others = await asyncio.gather(
        *(cli.run("job", prefix, "--json") for prefix in ("abc1", "abc", "abc3", "abd"))
    )
    assert shown.document["job_id"] == "abc1" + "0" * 28
    assert_error_line(unclear, 2, "several job ids begin with 'abc'", "give more characters")
    assert_error_line(unknown, 2, "there is no job abc3; `vibe8 jobs` and `vibe8 runs` list them")
    assert_error_line(others, 2, "there is no job abd")
    operator = await cli.run("job", "abd", "--operator", "--json")
    assert operator.document["job_id"] == "abd0" + "0" * 28
    cancelled = await cli.run("cancel", "abc2")
    assert cancelled.out == f"abc2{'0' * 28} is cancelled\n"


async def test_jobs_of_all_users_are_listed_with_owner_and_worker(
    cli: System, client: Client, local_user: UUID, user_id: UUID, worker: WorkerProcess
) -> None:
    first = await submit(client, local_user)
    job = await until_finished(client, local_user, first)
    second = await submit(client, user_id, "without.zip", ZIP_WITHOUT_PYTHON)
    await until_finished(client, user_id, second)
    plain, listed, failed = await asyncio.gather(
        cli.run("jobs", "--all"),
        cli.run("jobs", "--all", "--json"),
        cli.run("jobs", "--all", "--status", "failed", "--json"),
    )
    heading, *lines = plain.out.splitlines()
    assert heading.split() == ["job", "owner", "status", "attempt", "age", "took", "worker", "source", "what"]
    assert lines[1].split()[:4] == [first[:8], "local@localhost", "completed", "1"]
    assert str(job.worker_id) in lines[1]
    assert [each["job_id"] for each in listed.document] == [second, first]  # the last changed first
    assert [each["job_id"] for each in failed.document] == [second]


async def test_run_stays_after_its_job_is_taken(
    cli: System, client: Client, local_user: UUID, user_id: UUID, worker: WorkerProcess, tmp_path: Path
) -> None:
    assert (await cli.run("runs")).out == "no runs\n"
    job_id = await submit(client, local_user)
    await until_finished(client, local_user, job_id)
    result = await cli.run("result", job_id, "--take", "--json")
    listed, as_json = await asyncio.gather(cli.run("runs"), cli.run("runs", "--json"))
    (document,) = as_json.document
    run_id = document["source"]["run_id"]
    assert listed.out.splitlines()[1].split()[0] == run_id[:8]
    assert listed.out.endswith("code.py\n")
    shown, whole, unknown, bad = await asyncio.gather(
        *(cli.run("run", each, "--json") for each in (run_id[:6], run_id, "0" * 12, "x"))
    )
    assert shown.document == whole.document == {**result.document, "job": None}
    assert_error_line(unknown, 2, "there is no run 000000000000")
    assert_error_line(bad, 2, "there is no run x")
    text = await cli.run("run", run_id[:6])
    assert text.out.startswith(f"run {run_id}: code.py, 1 file in ")
    theirs = await submit(client, user_id)
    foreign = await until_finished(client, user_id, theirs)
    assert_error_line(await cli.run("run", str(foreign.result_run_id)), 2)
    written_to = tmp_path / "size.json"
    exported, written, refused = await asyncio.gather(
        cli.run("export", run_id[:6], "--format", "sarif"),
        cli.run(
            "export", run_id, "--format", "badge-json", "--metric", "size", "--output", str(tmp_path / "size.json")
        ),
        cli.run("export", str(foreign.result_run_id), "--format", "csv"),
    )
    assert exported.document["runs"][0]["tool"]["driver"]["name"] == "bandit"
    assert (written.code, written.out, written.error) == (0, "", "")
    assert json.loads(written_to.read_text())["label"] == "size"
    assert_error_line(refused, 2, "belongs to another user")
    report = await cli.run("export", run_id, "--format", "html", "--output", str(tmp_path / "report.html"))
    assert (report.code, report.out, report.error) == (0, "", "")
    assert '<h1 class="text">code.py</h1>' in (tmp_path / "report.html").read_text()


async def test_a_page_of_runs_ends_at_the_limit(
    cli: System, client: Client, local_user: UUID, worker: WorkerProcess
) -> None:
    jobs = [await submit(client, local_user, f"{number}.py") for number in range(3)]
    for job_id in jobs:
        await until_finished(client, local_user, job_id)
    listed = await cli.run("runs", "--limit", "2", "--json")
    assert len(listed.document) == 2
