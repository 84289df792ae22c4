"""`make demo`: ten metrics and the worst files of the directory it stands in, and nothing left behind."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import slow_source
from tests.fixtures.processes import alive, descendants
from tests.fixtures.servers import temporary_directory
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import TIMEOUT_SECONDS, System
from tests.integration.cli.cli_support import TEN, on_terminal

DEMO = (sys.executable, "-P", "-m", "worker.demo")
MAKEFILE = Path(__file__).parents[4] / "Makefile"


@pytest.fixture
def project() -> Iterator[System]:
    """A small git repository, and a directory of its own for all that is temporary."""
    with temporary_directory() as directory:
        tree = WorkTree(directory / "project")
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


def test_make_demo_is_this_program() -> None:
    assert "\n\t@$(BIN)/python -m worker.demo\n" in MAKEFILE.read_text()


async def test_the_whole_demonstration(project: System) -> None:
    (project.directory / "slow.py").write_bytes(slow_source(1_000))  # or there would be no progress to speak of
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
    assert [line[:3] for line in lines if line[1:2] == "/"] == ["1/4", "2/4", "3/4", "4/4"]
    assert {line.split()[0] for line in lines if line} >= TEN
    assert any(line.endswith("2 commits, 4 lines changed") for line in lines)  # the history went through the queue
    files = [line.split() for line in lines if line.endswith(".py")]
    assert {words[-1] for words in files} == {"a.py", "b.py", "slow.py"}
    assert float(files[0][0]) < float(files[1][0])  # the worst first
    assert "collecting ..." in done.stderr
    assert_nothing_left(project, [])


async def test_progress_is_live_on_a_terminal_and_ctrl_c_ends_it_all(project: System) -> None:
    (project.directory / "slow.py").write_bytes(slow_source(12_000))
    async with on_terminal(project, command=DEMO) as terminal:
        await terminal.until(r"collecting +━.*%")
        family = descendants(terminal.process.pid)
        for _ in range(3):  # and impatience does not help
            terminal.press(b"\x03")
        assert await terminal.wait() == 130
    assert len(family) > 4
    assert "Traceback" not in terminal.text
    assert "the demonstration has stopped everything that it started" in terminal.text.replace("\n", " ")
    assert_nothing_left(project, family)


async def test_sigterm_while_the_servers_start(project: System) -> None:
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
