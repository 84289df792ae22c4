"""On a terminal: a bar on standard error, tables on standard output; and Ctrl-C, which leaves nothing behind."""

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from domain.jobs import JobStatus
from tests.fixtures.jobs import slow_source
from tests.fixtures.processes import alive, descendants
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import COMMAND, TIMEOUT_SECONDS, System, WorkerProcess, until_finished
from tests.integration.cli.cli_support import TEN, Terminal, on_terminal
from worker.client import Client

HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


@pytest.fixture(autouse=True)
def source_files(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import os\n")
    (tmp_path / "slow.py").write_bytes(slow_source())


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def assert_bar(terminal: Terminal) -> None:
    assert "collecting" in terminal.text
    assert "━" in terminal.text
    assert "%" in terminal.text
    assert terminal.raw.index(HIDE_CURSOR) < terminal.raw.rindex(SHOW_CURSOR)


async def test_the_bar_is_on_standard_error_and_the_document_on_standard_output(no_services: System) -> None:
    ours, theirs = os.pipe()
    reading = asyncio.create_task(asyncio.to_thread(read_all, ours))
    async with on_terminal(no_services, "analyze", "code.py", "--json", stdout=theirs) as terminal:
        os.close(theirs)
        assert await terminal.wait() == 0
        document = json.loads(await reading)
    assert set(document["metrics"]) == TEN
    assert_bar(terminal)
    assert "{" not in terminal.text


async def test_tables_fit_a_terminal_of_80_columns(no_services: System) -> None:
    async with on_terminal(no_services, "analyze", "code.py") as terminal:
        assert await terminal.wait() == 0
    assert_bar(terminal)
    shown = terminal.text[terminal.text.index("code.py, 1 file") :]
    assert {line.split()[0] for line in shown.splitlines() if line.strip()} >= TEN
    assert "───" in shown
    tables = shown[: shown.index("findings")].splitlines()[:-1]
    assert max(len(line.rstrip()) for line in tables) <= 80
    assert b"\x1b[32m100.0" in terminal.raw  # a good score is green


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
async def test_a_terminal_that_can_do_less_gets_less(no_services: System, name: str, value: str) -> None:
    async with on_terminal(no_services, "analyze", "code.py", environment={name: value}) as terminal:
        assert await terminal.wait() == 0
    assert b"\x1b[3" not in terminal.raw
    if name == "TERM":
        assert b"\x1b" not in terminal.raw
        assert "fetching ...\ncollecting ...\nsummarizing ...\n" in terminal.text


async def test_submit_and_wait_shows_the_same_bar(cli: System, worker: WorkerProcess) -> None:
    async with on_terminal(cli, "submit", "slow.py", "--wait") as terminal:
        assert await terminal.wait() == 0
    assert_bar(terminal)
    assert "waiting for a worker" in terminal.text
    assert "slow.py, 1 file in" in terminal.text


async def test_submit_says_how_to_go_on_only_to_a_person(cli: System) -> None:
    async with on_terminal(cli, "submit", "code.py", "--user", "ann@example.org") as terminal:
        assert await terminal.wait() == 0
    job_id, hint = terminal.text.split("\n", 1)
    assert len(job_id.split()) == 1
    for verb in ("job", "result", "cancel"):
        assert f"`vibe8 {verb} {job_id} --user ann@example.org`" in hint.replace("\n", "")


async def test_a_job_that_no_worker_takes_is_said_to_wait_and_outlives_the_watching(
    cli: System, client: Client
) -> None:
    async with on_terminal(cli, "submit", "code.py", "--wait") as terminal:
        await terminal.until("no worker has taken the job so far.*vibe8 worker")
        terminal.press(b"\x03")
        assert await terminal.wait() == 130
    last = terminal.text.rstrip().replace("\n", "").rpartition("vibe8: ")[2]
    assert last.startswith("no longer watching; the job goes on: `vibe8 job ")
    job_id = last.split("`")[1].split()[-1]
    for verb in ("job", "result", "cancel"):
        assert f"`vibe8 {verb} {job_id}`" in last
    assert terminal.raw.rindex(SHOW_CURSOR) > terminal.raw.rindex(HIDE_CURSOR)
    user_id = await client.get_or_create_user("local@localhost")
    assert (await client.get_job(user_id, job_id)).status is JobStatus.PENDING


async def interrupted(cli: System, sign: int, *arguments: str) -> tuple[int, str, list[psutil.Process]]:
    """Send the signal once the command says that it is collecting; exit code, standard error, its descendants."""
    error_file = cli.directory / "stderr"
    with error_file.open("wb") as error:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=cli.process_environment(),
            cwd=cli.directory,
            stdout=subprocess.DEVNULL,
            stderr=error,
        )
    try:
        await until(lambda: "collecting" in error_file.read_text())
        family = descendants(process.pid)
        process.send_signal(sign)
        code = await asyncio.to_thread(process.wait, TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    return code, error_file.read_text(), family


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_interrupting_an_analysis(no_services: System, sign: int) -> None:
    code, error, family = await interrupted(no_services, sign, "analyze", "slow.py")
    assert code == 130
    assert error == "fetching ...\ncollecting ...\nvibe8: interrupted\n"
    assert len(family) >= 3  # the zygote, a guardian, a body
    await until(lambda: alive(family) == [])
    assert list((no_services.directory / "scratch").iterdir()) == []


async def test_ctrl_c_on_a_terminal_during_an_analysis(no_services: System) -> None:
    async with on_terminal(no_services, "analyze", "slow.py") as terminal:
        await terminal.until("collecting")
        family = descendants(terminal.process.pid)
        terminal.press(b"\x03")
        assert await terminal.wait() == 130
    assert terminal.text.rstrip().endswith("vibe8: interrupted")
    assert terminal.raw.rindex(SHOW_CURSOR) > terminal.raw.rindex(HIDE_CURSOR)
    await until(lambda: alive(family) == [])
    assert list((no_services.directory / "scratch").iterdir()) == []


async def test_interrupting_the_watching_leaves_the_job_to_its_worker(
    cli: System, worker: WorkerProcess, client: Client
) -> None:
    user_id: UUID = await client.get_or_create_user("local@localhost")
    code, error, family = await interrupted(cli, signal.SIGINT, "submit", "slow.py", "--wait")
    assert code == 130
    assert family == []
    *progress, last = error.splitlines()
    assert set(progress) <= {"fetching ...", "collecting ...", "summarizing ..."}
    assert last.startswith("vibe8: no longer watching; the job goes on: `vibe8 job ")
    job_id = last.split("`")[1].split()[-1]
    assert (await until_finished(client, user_id, job_id)).status is JobStatus.COMPLETED
