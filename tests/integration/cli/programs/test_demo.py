"""`make demo`: shows the result of the working directory, and leaves nothing behind."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname, urlopen

import psutil
import pytest

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import slow_source
from tests.fixtures.processes import alive, descendants
from tests.fixtures.servers import temporary_directory
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System
from tests.integration.cli.command_support import METRIC_NAMES, run_on_terminal

DEMO = (sys.executable, "-P", "-m", "worker.cli.demo")
MAKEFILE = Path(__file__).parents[4] / "Makefile"


@pytest.fixture
def project() -> Iterator[System]:
    """A small git repository, with a separate directory for temporary files."""
    with temporary_directory() as directory:
        tree = WorkTree(directory / "my project")
        tree.commit("one", a_py="import os\n", b_py="import a\n")
        tree.commit("two", a_py="import os\n\nos.system('x')\n")
        (directory / "temporary").mkdir(mode=0o711)
        environment = {"TMPDIR": str(directory / "temporary"), "PACKAGE_INDEX_URL": ""}
        yield System(environment=environment, directory=tree.path)


def assert_nothing_left(project: System, family: list[psutil.Process]) -> None:
    temporary = Path(project.environment["TMPDIR"])
    assert alive(family) == []
    working = [each for each in psutil.process_iter(["cwd"]) if (each.info["cwd"] or "").startswith(str(temporary))]
    assert alive(working) == []
    assert list(temporary.iterdir()) == []


def open_link(link: str) -> bytes:
    with urlopen(link) as opened:  # noqa: S310 - the demonstration, which has ended, printed it
        return bytes(opened.read())


def test_make_demo_runs_this_program() -> None:
    assert "\n\t@$(BIN)/python -m worker.cli.demo\n" in MAKEFILE.read_text()


async def test_demo_shows_a_result_and_leaves_nothing_behind(project: System) -> None:
    (project.directory / "slow.py").write_bytes(slow_source(1_000))  # slow enough to show progress
    foreign = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/d", "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = await asyncio.to_thread(
        subprocess.run,
        DEMO,
        env=project.process_environment(**foreign),
        cwd=project.directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:3] for line in lines if line[1:2] == "/"] == [f"{number}/7" for number in range(1, 8)]
    assert any(
        line in ("Gate: approved", "Gate: rejected") for line in lines
    )  # it was compared with the earlier commit
    pushed = lines.index(next(line for line in lines if line.startswith("7/7")))
    compared = "\n".join(lines[pushed:])
    assert "security" in compared  # what the pushed commit brought
    _, _, link = lines[-1].partition("The report, for a browser: ")
    assert open_link(link).startswith(b"<!DOCTYPE html>")
    assert Path(url2pathname(urlsplit(link).path)) == project.directory / "vibe8-report.html"
    assert {line.split()[0] for line in lines if line} >= METRIC_NAMES
    assert any(line.endswith("2 commits, 4 lines changed") for line in lines)  # the git history was part of the upload
    files = [line.split() for line in lines if line.endswith(".py")]
    assert {words[-1] for words in files} == {"a.py", "b.py", "slow.py"}
    assert float(files[0][0]) < float(files[1][0])  # worst first
    assert "collecting ..." in done.stderr
    assert_nothing_left(project, [])


async def test_demo_shows_progress_and_ctrl_c_stops_everything(project: System) -> None:
    (project.directory / "slow.py").write_bytes(slow_source(12_000))
    async with run_on_terminal(project, command=DEMO) as terminal:
        await terminal.until(r"collecting +━.*%")
        family = descendants(terminal.process.pid)
        for _ in range(3):  # pressed repeatedly
            terminal.press(b"\x03")
        assert await terminal.wait() == 130
    assert len(family) > 4
    assert "Traceback" not in terminal.text
    assert "the demonstration has stopped everything that it started" in terminal.text.replace("\n", " ")
    assert_nothing_left(project, family)


async def test_sigterm_while_the_servers_start_stops_everything(project: System) -> None:
    process = subprocess.Popen(
        DEMO,
        env=project.process_environment(),
        cwd=project.directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        await until(lambda: list(Path(project.environment["TMPDIR"]).glob("*/postgresql")))
        process.send_signal(signal.SIGTERM)
        _, error = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert error.decode() == "vibe8: interrupted; the demonstration has stopped everything that it started\n"
    assert_nothing_left(project, [])
