"""Many jobs in one command: `submit --from`, and `cancel` and `retry` with a selection."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.jobs import JobStatus
from tests.fixtures.database import Rows
from tests.fixtures.worker_process import System
from tests.integration.cli.command_support import assert_error_line, run_on_terminal
from worker.client import Client, UploadSubmission

URL = "https://github.com/owner/repo"

pytestmark = pytest.mark.settings(WEBHOOK_SECRETS="s" * 32)


@pytest.fixture(autouse=True)
def source_files(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("y = 1\n")


def write_lines(cli: System, *lines: Any, name: str = "many.jsonl") -> str:
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (cli.directory / name).write_text(text)
    return name


async def test_from_file_submits_every_line(cli: System, client: Client, local_user: UUID) -> None:
    many = write_lines(
        cli,
        {"source": URL, "branch": "main", "project": "one", "idempotency_key": "k"},
        "\n",
        {"source": "code.py", "author_type": "ai", "author_model": "m", "notify_url": "https://example.org/own"},
        {"source": "project", "branch": None},
        {"source": URL, "idempotency_key": "k"},
    )
    options = ("--project", "all", "--author-type", "human", "--notify", "https://example.org/all")
    finished = await cli.run("submit", "--from", many, *options)
    assert (finished.code, finished.error) == (0, "")
    ids = finished.out.split()
    assert len(ids) == 4
    assert ids[0] == ids[3]
    jobs = [await client.get_job(local_user, job_id) for job_id in ids[:3]]
    sources = [{key: value for key, value in job.source_metadata.items() if value} for job in jobs]
    assert sources == [
        {"git_repo_url": URL, "git_branch": "main", "project_name": "one", "author_type": "human"},
        {"upload_filename": "code.py", "project_name": "all", "author_type": "ai", "author_model": "m"},
        {"upload_filename": "project.zip", "project_name": "all", "author_type": "human"},
    ]
    assert [job.notify_url for job in jobs] == [f"https://example.org/{which}" for which in ("all", "own", "all")]
    again = await cli.run("submit", "--from", many, "--json", "--user", "bob@example.org")
    assert [job["status"] for job in again.document] == ["pending"] * 4


BAD_LINES = {
    "nonsense": ("the line is no JSON",),
    "[" * 5000: ("no JSON",),
    "[1]": ("must be a JSON object",),
    '{"branch": "main"}': ('a text under "source"',),
    '{"source": 1}': ('a text under "source"',),
    '{"source": "code.py", "sorce": "x"}': ("unknown key 'sorce'", "source, branch, project"),
    '{"source": "code.py", "project": 1}': ("'project' must be text",),
    '{"source": "missing.py"}': ("'missing.py'", "no directory, no file"),
    '{"source": "code.py", "branch": "main"}': ("--branch goes with a repository URL only",),
    '{"source": "https://evil.example/o/r"}': ("not allowed", "GIT_ALLOWED_HOSTS"),
    '{"source": "code.py", "author_type": "robot"}': ("'human' or 'ai'",),
    '{"source": "code.py", "idempotency_key": ""}': ("idempotency key",),
    '{"source": "code.py", "notify_url": "http://example.org"}': ("must start with https://",),
    '{"source": "\\u001b[31m\\n"}': ("no directory, no file",),
    '{"source": "' + "x" * 70_000 + '"}': ("more than 65536 bytes",),
}


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:40])
async def test_invalid_line_is_named_and_nothing_is_submitted(
    cli: System, client: Client, local_user: UUID, line: str
) -> None:
    many = write_lines(cli, {"source": URL}, "\n", line + "\n", {"source": URL})
    assert_error_line(await cli.run("submit", "--from", many), 2, "many.jsonl, line 3: ", *BAD_LINES[line])
    assert await client.list_jobs(local_user) == []


async def test_missing_empty_or_too_large_file_is_refused(cli: System, client: Client, local_user: UUID) -> None:
    assert_error_line(await cli.run("submit", "--from", "none.jsonl"), 2, "none.jsonl cannot be read: No such file")
    assert_error_line(await cli.run("submit", "--from", write_lines(cli, "\n\n")), 2, "has no line to submit")
    six = write_lines(cli, *[{"source": URL}] * 6)
    assert_error_line(await cli.run("submit", "--from", six), 2, "limit 5, plan free) and want 6 more")
    thousand = write_lines(cli, *[{"source": URL}] * 1001)
    assert_error_line(await cli.run("submit", "--from", thousand), 2, "line 1001: more than 1000 sources")
    for odd in (("code.py",), ("--wait",), ("--branch", "x")):
        assert_error_line(await cli.run("submit", "--from", six, *odd), 2, "--from cannot be combined with SOURCE")
    assert await client.list_jobs(local_user) == []


async def test_notify_option_and_webhook_secrets(cli: System, client: Client, local_user: UUID) -> None:
    submitted = await cli.run("submit", "code.py", "--notify", "https://example.org/hook", "--json")
    assert submitted.document["notify_url"] == "https://example.org/hook"
    shown = await cli.run("job", submitted.document["job_id"])
    assert "webhook  sent when the job ends\n" in shown.out
    secrets = await cli.run("webhook", "--json")
    assert secrets.document == client.webhook_secrets(local_user)
    assert (await cli.run("webhook")).out.split() == secrets.document
    assert (await cli.run("webhook", "--user", "bob@example.org")).out.split() != secrets.document
    assert_error_line(await cli.run("webhook", WEBHOOK_SECRETS=""), 2, "WEBHOOK_SECRETS is not set")


async def submit(client: Client, user_id: UUID, count: int, name: str = "a.py") -> list[str]:
    jobs = await client.submit_many(user_id, [UploadSubmission(filename=name, content=b"x = 1\n")] * count)
    return [job.job_id for job in jobs]


async def statuses(client: Client, user_id: UUID) -> dict[str, JobStatus]:
    return {job.job_id: job.status for job in await client.list_jobs(user_id)}


async def test_cancel_selects_jobs_by_age_status_and_owner(cli: System, client: Client, local_user: UUID) -> None:
    other = await client.get_or_create_user("bob@example.org")
    mine, theirs = await submit(client, local_user, 3), await submit(client, other, 2)
    await Rows(cli).all("UPDATE jobs SET created_at = now() - interval '2 hours' WHERE job_id = $1", mine[0])
    refused = await cli.run("cancel", "--since", "1h")
    words = "cancel 2 pending or running jobs of local@localhost, younger than 1 h? pass --yes"
    assert_error_line(refused, 2, words)
    assert set((await statuses(client, local_user)).values()) == {JobStatus.PENDING}
    done = await cli.run("cancel", "--since", "1h", "--yes")
    assert (done.code, done.out, done.error) == (0, "2 of 2 jobs cancelled, or being cancelled\n", "")
    assert (await statuses(client, local_user))[mine[0]] is JobStatus.PENDING
    assert set((await statuses(client, other)).values()) == {JobStatus.PENDING}
    assert (await cli.run("cancel", "--status", "running")).out == "no jobs\n"
    refused = await cli.run("cancel", "--status", "pending", "--operator")
    assert_error_line(refused, 2, "cancel 3 pending jobs of all users? pass --yes")
    whole = await cli.run("cancel", "--status", "pending", "--operator", "--yes", "--json")
    assert whole.document == {"matched": 3, "changed": [mine[0], *theirs], "unchanged": []}


@pytest.mark.parametrize(("key", "code"), [(b"y\n", 0), (b"\n", 2), (b"n\n", 2), (b"\x04", 2)], ids=str)
async def test_cancel_of_many_asks_for_confirmation_on_a_terminal(
    cli: System, client: Client, local_user: UUID, key: bytes, code: int
) -> None:
    await submit(client, local_user, 2)
    async with run_on_terminal(cli, "cancel", "--status", "pending") as terminal:
        await terminal.until(r"cancel 2 pending jobs of local@localhost\? \[y/N\] ")
        terminal.press(key)
        assert await terminal.wait() == code
    wanted = JobStatus.PENDING if code else JobStatus.FAILED
    assert set((await statuses(client, local_user)).values()) == {wanted}
    assert ("nothing was done" in terminal.text) == bool(code)


async def fail(cli: System, job_ids: list[str]) -> None:
    await Rows(cli).all(
        "UPDATE jobs SET status = 'failed', error_message = 'x' WHERE job_id = ANY($1::varchar[])", job_ids
    )


async def test_retry_of_many_stops_at_the_limit_of_unfinished_jobs(
    cli: System, client: Client, local_user: UUID
) -> None:
    failed = await submit(client, local_user, 4)
    await fail(cli, failed)
    waiting = await submit(client, local_user, 2)
    cancelled = await submit(client, local_user, 1)
    await client.cancel_job(local_user, cancelled[0])  # which deletes its upload
    assert_error_line(await cli.run("retry", "--status", "failed"), 2, "retry 5 failed jobs of local@localhost? pass")
    done = await cli.run("retry", "--status", "failed", "--yes", "--json")
    assert done.document == {"matched": 5, "changed": failed[:3], "unchanged": [failed[3], *cancelled]}
    again = await cli.run("retry", "--since", "1h", "--yes")
    assert again.out.startswith("0 of 2 jobs pending again; 2 left unchanged: they would exceed the limit")
    now = await statuses(client, local_user)
    assert {job for job, status in now.items() if status is JobStatus.PENDING} == {*failed[:3], *waiting}


async def test_retry_of_many_by_an_operator_ignores_the_limit(cli: System, client: Client, local_user: UUID) -> None:
    other = await client.get_or_create_user("bob@example.org")
    failed = [*await submit(client, local_user, 5), *await submit(client, other, 5)]
    await fail(cli, failed)
    await submit(client, local_user, 5)
    done = await cli.run("retry", "--since", "1d", "--operator", "--user", "bob@example.org", "--yes", "--json")
    assert done.document["changed"] == failed[5:]
    done = await cli.run("retry", "--since", "1d", "--operator", "--yes", "--json")
    assert done.document["changed"] == failed[:5]
    assert len(await client.list_jobs(local_user, status=JobStatus.PENDING)) == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cancel",), "missing argument 'ID', or --status or --since"),
        (("retry",), "missing argument 'ID', or --status or --since"),
        (("cancel", "id", "--since", "1h"), "an ID names one"),
        (("cancel", "--status", "completed"), "only pending and running jobs can be cancelled"),
        (("retry", "--status", "running"), "only failed jobs can be retried"),
        (("retry", "--since", "soon"), "90s, 30m, 1h or 2d"),
    ],
)
async def test_invalid_selection_is_refused(cli: System, arguments: tuple[str, ...], words: str) -> None:
    assert_error_line(await cli.run(*arguments), 2, words)
