"""Output on a terminal: progress bar on standard error, tables on standard output; and interruption of a command."""

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
from tests.integration.cli.command_support import ESCAPES, METRIC_NAMES, Terminal, run_on_terminal
from worker.client import Client

HIDE_CURSOR, SHOW_CURSOR, HOME = b"\x1b[?25l", b"\x1b[?25h", b"\x1b[H"


@pytest.fixture(autouse=True)
def source_files(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import os\n")
    (tmp_path / "slow.py").write_bytes(slow_source())


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def assert_progress_bar(terminal: Terminal) -> None:
    assert "collecting" in terminal.text
    assert "━" in terminal.text
    assert "%" in terminal.text
    assert terminal.raw.index(HIDE_CURSOR) < terminal.raw.rindex(SHOW_CURSOR)


async def test_progress_bar_goes_to_stderr_and_json_to_stdout(no_services: System) -> None:
    read_end, write_end = os.pipe()
    reading = asyncio.create_task(asyncio.to_thread(read_all, read_end))
    async with run_on_terminal(no_services, "analyze", "code.py", "--json", stdout=write_end) as terminal:
        os.close(write_end)
        assert await terminal.wait() == 0
        document = json.loads(await reading)
    assert set(document["metrics"]) == METRIC_NAMES
    assert_progress_bar(terminal)
    assert "{" not in terminal.text


async def test_tables_fit_a_terminal_of_80_columns(no_services: System) -> None:
    async with run_on_terminal(no_services, "analyze", "code.py") as terminal:
        assert await terminal.wait() == 0
    assert_progress_bar(terminal)
    shown = terminal.text[terminal.text.index("code.py, 1 file") :]
    assert {line.split()[0] for line in shown.splitlines() if line.strip()} >= METRIC_NAMES
    assert "───" in shown
    tables = shown[: shown.index("findings")].splitlines()[:-1]
    assert max(len(line.rstrip()) for line in tables) <= 80
    assert b"\x1b[32m100.0" in terminal.raw  # a good score is green


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("NO_COLOR", "1")])
async def test_dumb_or_colourless_terminal_gets_plain_output(no_services: System, name: str, value: str) -> None:
    async with run_on_terminal(no_services, "analyze", "code.py", environment={name: value}) as terminal:
        assert await terminal.wait() == 0
    assert b"\x1b[3" not in terminal.raw
    if name == "TERM":
        assert b"\x1b" not in terminal.raw
        assert "fetching ...\ncollecting ...\nsummarizing ...\n" in terminal.text


async def test_submit_with_wait_shows_the_progress_bar(cli: System, worker: WorkerProcess) -> None:
    async with run_on_terminal(cli, "submit", "slow.py", "--wait") as terminal:
        assert await terminal.wait() == 0
    assert_progress_bar(terminal)
    assert "waiting for a worker" in terminal.text
    assert "slow.py, 1 file in" in terminal.text


async def test_submit_prints_the_next_commands_on_a_terminal(cli: System) -> None:
    async with run_on_terminal(cli, "submit", "code.py", "--user", "ann@example.org") as terminal:
        assert await terminal.wait() == 0
    job_id, hint = terminal.text.split("\n", 1)
    assert len(job_id.split()) == 1
    for verb in ("job", "result", "cancel"):
        assert f"`vibe8 {verb} {job_id} --user ann@example.org`" in hint.replace("\n", "")


async def test_wait_without_a_worker_prints_a_hint_and_ctrl_c_keeps_the_job(cli: System, client: Client) -> None:
    async with run_on_terminal(cli, "submit", "code.py", "--wait") as terminal:
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


async def test_wait_on_a_paused_fleet_says_so_and_goes_on_after_resume(cli: System, worker: WorkerProcess) -> None:
    assert (await cli.run("pause")).code == 0
    async with run_on_terminal(cli, "submit", "code.py", "--wait") as terminal:
        await terminal.until("the fleet is paused: no worker claims jobs until `vibe8 resume`")
        assert (await cli.run("resume")).code == 0
        assert await terminal.wait() == 0
    assert terminal.text.count("the fleet is paused") == 1


async def interrupted(cli: System, signal_number: int, *arguments: str) -> tuple[int, str, list[psutil.Process]]:
    """Send a signal once the command is collecting. Returns its exit code, standard error and descendants."""
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
        process.send_signal(signal_number)
        code = await asyncio.to_thread(process.wait, TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    return code, error_file.read_text(), family


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_interrupted_analysis_leaves_nothing_behind(no_services: System, signal_number: int) -> None:
    code, error, family = await interrupted(no_services, signal_number, "analyze", "slow.py")
    assert code == 130
    assert error == "fetching ...\ncollecting ...\nvibe8: interrupted\n"
    assert len(family) >= 3  # the zygote, a supervisor and its child
    await until(lambda: alive(family) == [])
    assert list((no_services.directory / "scratch").iterdir()) == []


async def test_ctrl_c_during_an_analysis_leaves_nothing_behind(no_services: System) -> None:
    async with run_on_terminal(no_services, "analyze", "slow.py") as terminal:
        await terminal.until("collecting")
        family = descendants(terminal.process.pid)
        terminal.press(b"\x03")
        assert await terminal.wait() == 130
    assert terminal.text.rstrip().endswith("vibe8: interrupted")
    assert terminal.raw.rindex(SHOW_CURSOR) > terminal.raw.rindex(HIDE_CURSOR)
    assert len(family) >= 3
    await until(lambda: alive(family) == [])
    assert list((no_services.directory / "scratch").iterdir()) == []


async def test_interrupted_wait_leaves_the_job_to_its_worker(
    cli: System, worker: WorkerProcess, client: Client
) -> None:
    user_id: UUID = await client.get_or_create_user("local@localhost")
    code, error, family = await interrupted(cli, signal.SIGINT, "submit", "slow.py", "--wait")
    assert code == 130
    assert family == []
    *progress, last = error.splitlines()
    assert "collecting ..." in progress
    assert set(progress) <= {"fetching ...", "collecting ...", "summarizing ..."}
    assert last.startswith("vibe8: no longer watching; the job goes on: `vibe8 job ")
    job_id = last.split("`")[1].split()[-1]
    assert (await until_finished(client, user_id, job_id)).status is JobStatus.COMPLETED


async def test_top_redraws_one_screen_and_ends_with_0(cli: System, worker: WorkerProcess) -> None:
    async with run_on_terminal(cli, "top") as terminal:
        await until(lambda: len(terminal.raw.split(HOME)) > 12)
        terminal.press(b"\x03")
        assert await terminal.wait() == 0
    screens = [ESCAPES.sub("", frame.decode()) for frame in terminal.raw.split(HOME)[2:12]]
    for screen in screens:
        lines = [line.rstrip() for line in screen.replace("\r\n", "\n").split("\n")]
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
        headings = [line.split()[0] for line in lines if line.split()]
        for word in ("jobs", "status", "pending", "failed", "worker"):
            assert headings.count(word) == 1, screen
    assert "error" not in terminal.text
