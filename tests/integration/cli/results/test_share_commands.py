"""`vibe8 share`, `vibe8 shares` and `vibe8 unshare`."""

import subprocess
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.repositories.runs import RunRepository, SerializedRun
from tests.fixtures.jobs import new_run, new_user
from tests.fixtures.worker_process import COMMAND, System
from tests.integration.cli.command_support import assert_error_line, run_on_terminal
from worker.client import Client


@pytest.fixture
async def run_id(database: Database) -> UUID:
    run = new_run(await new_user(database, "local@localhost"))
    async with database.unit_of_work() as work:
        await RunRepository(work).insert_many([SerializedRun.of(run)])
    return run.run_id


async def test_a_report_is_shared_listed_and_withdrawn(cli: System, client: Client, run_id: UUID) -> None:
    assert (await cli.run("shares")).out == "no shared reports\n"
    shared = await cli.run("share", str(run_id)[:8])
    assert (shared.code, shared.error, len(shared.out)) == (0, "", 23)
    code = shared.out.strip()
    assert b"<!DOCTYPE html>" in await client.reports.view(code)
    limited = (await cli.run("share", str(run_id), "--expires", "30d", "--max-views", "7", "--json")).document
    left = datetime.fromisoformat(limited["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left < timedelta(days=30, seconds=1)
    assert (limited["max_views"], limited["has_password"], limited["state"]) == (7, False, "open")
    table = (await cli.run("shares")).out
    assert code in table
    assert "0 of 7" in table
    assert (await cli.run("unshare", code)).out == f"withdrawn {code}\n"
    listed = (await cli.run("shares", "--json")).document
    assert [(each["state"], each["view_count"]) for each in listed] == [("open", 0), ("withdrawn", 1)]
    assert len((await cli.run("shares", "--limit", "1", "--json")).document) == 1


async def test_the_link_of_a_report_is_printed_on_a_terminal(cli: System, run_id: UUID) -> None:
    async with run_on_terminal(cli, "share", str(run_id), environment={"HTTP_PORT": "1234"}) as terminal:
        assert await terminal.wait() == 0
    code = terminal.text.split()[0]
    assert f"http://127.0.0.1:1234/r/{code} shows it" in terminal.text
    assert f"`vibe8 unshare {code}` ends that" in terminal.text.replace("\n", " ")


async def test_wrong_shares_are_refused_in_one_line(cli: System, run_id: UUID) -> None:
    assert_error_line(await cli.run("share", "0" * 32), 2, "there is no run")
    assert_error_line(await cli.run("share", str(run_id), "--expires", "soon"), 2, "--expires must look like")
    assert_error_line(await cli.run("unshare", "x" * 22), 2, "there is no such report")
    assert_error_line(await cli.run("unshare", "\u202e"), 2, "there is no such report")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (b"right\n", None),
        (b"x" * 1024 + b"\r\n", None),
        (b"x" * 10_000_000, "is longer than 1024 bytes"),
        (b"\xff\n", "is not UTF-8"),
        (b"\n", "the password is empty"),
        (b"one\ntwo\n", "several lines"),
    ],
)
def test_the_password_is_read_from_standard_input(
    system: System, run_id: UUID, given: bytes, message: str | None
) -> None:
    done = subprocess.run(
        [*COMMAND, "share", str(run_id), "--password-stdin"],
        input=given, capture_output=True, check=False, env=system.process_environment(), cwd=system.directory,
    )  # fmt: skip
    if message is None:
        assert (done.returncode, len(done.stdout)) == (0, 23), done.stderr
    else:
        assert (done.returncode, done.stdout) == (2, b"")
        assert message in done.stderr.decode()
