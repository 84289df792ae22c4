"""`vibe8 up`: runs servers and a worker, which other commands find, and stops them at its end."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from infrastructure.embedded.stack_file import read_stack
from tests.fixtures.command_server import with_forked_commands
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.jobs import slow_source
from tests.fixtures.network.git_server import GitServer
from tests.fixtures.processes import alive, descendants
from tests.fixtures.servers import temporary_directory
from tests.fixtures.waiting import until
from tests.fixtures.worker_process import COMMAND, TIMEOUT_SECONDS, System, WorkerProcess, worker_process
from tests.integration.cli.command_support import METRIC_NAMES, assert_error_line, run_on_terminal

TOKEN = "t0ken-of-a-private-repository"


@pytest.fixture
def home() -> Iterator[System]:
    """A system without addresses of servers, with a directory for the servers of `up`."""
    with temporary_directory() as directory:
        (directory / "code.py").write_text("import os\n")
        environment = {
            "VIBE8_HOME": str(directory / "home"),
            "SCRATCH_DIR": str(directory / "scratch"),
            "PACKAGE_INDEX_URL": "",
            "LOG_FORMAT": "json",
            "HTTP_PORT": "0",  # several tests run at a time
        }
        yield with_forked_commands(System(environment=environment, directory=directory))


@asynccontextmanager
async def up(home: System, **environment: str) -> AsyncIterator[WorkerProcess]:
    """Run `vibe8 up` until the block ends; its worker has started when the block begins."""
    with (home.directory / "up.out").open("wb") as out:
        async with worker_process(
            [*COMMAND, "up"],
            home.directory / "up.err",
            stdout=out,
            end_signal=signal.SIGTERM,
            env=home.process_environment(**environment),
            cwd=home.directory,
            start_new_session=True,
        ) as running:
            yield running


def assert_nothing_left(home: System, family: list[psutil.Process]) -> None:
    assert family
    assert alive(family) == []
    assert not (home.directory / "home" / "stack.json").exists()
    assert list((home.directory / "scratch").iterdir()) == []


async def test_other_commands_find_the_running_servers(home: System) -> None:
    assert_error_line(await home.run("jobs"), 3, "`vibe8 up`")
    async with up(home) as running:
        printed = (home.directory / "up.out").read_text()
        assert "PostgreSQL and Valkey are up" in printed
        assert "vibe8 submit . --wait" in printed
        doctor, submitted, migrated = await asyncio.gather(
            home.run("doctor"), home.run("submit", "code.py", "--wait", "--json"), home.run("migrate")
        )
        assert doctor.code == 0, doctor.out
        assert submitted.code == 0, submitted.error
        assert set(submitted.document["metrics"]) == METRIC_NAMES
        assert migrated.out.startswith("the schema is up to date")
        port = printed.partition("the HTTP API is at ")[2].partition("/api")[0].rpartition(":")[2]
        for port_of_second in ("0", port):
            second = await home.run("up", HTTP_PORT=port_of_second)
            assert_error_line(second, 3, str(home.directory / "home"), "already run", "another `vibe8 up`")
        assert running.process.poll() is None
        stack_file = home.directory / "home" / "stack.json"
        assert stack_file.stat().st_mode & 0o777 == 0o600
        family = descendants(running.process.pid)
        assert await running.stop() == 0
    assert (home.directory / "up.out").read_text().endswith("vibe8 has ended\n")
    assert_nothing_left(home, family)
    assert_error_line(await home.run("jobs"), 3, "`vibe8 up`")


async def test_the_http_service_runs_beside_the_worker_and_is_started_again(home: System) -> None:
    async with up(home) as running:
        printed = (home.directory / "up.out").read_text()
        address = printed.partition("the HTTP API is at ")[2].split()[0].rstrip(";")
        key = (await home.run("keys", "create", "--name", "test", "--json")).document["key"]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
            assert (await http.get(f"{address}/jobs")).json() == {"jobs": [], "next": None}
            (served,) = [each for each in psutil.Process(running.process.pid).children() if "serve" in each.cmdline()]
            served.kill()
            await running.until("server.restarted")
            await running.until("http.started", 2)
            assert (await http.get(f"{address}/jobs")).status_code == 200
        family = descendants(running.process.pid)
        assert await running.stop() == 0
    assert_nothing_left(home, family)


async def test_up_says_that_the_extra_of_the_http_service_is_missing(home: System) -> None:
    hidden = home.directory / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\n\nsys.modules['fastapi'] = None\n")
    async with up(home, PYTHONPATH=str(hidden)):
        printed = (home.directory / "up.out").read_text()
        assert "without the HTTP API and its pages: " in printed
        assert "pip install 'vibe8-worker[http]'" in printed
        assert "vibe8 submit . --wait" in printed


async def test_killed_servers_are_started_again_and_jobs_go_on(home: System) -> None:
    async with up(home) as running:
        stack = read_stack(home.directory / "home")
        assert stack is not None
        for count, name in enumerate(stack.pids, 1):
            os.kill(stack.pids[name], signal.SIGKILL)
            await running.until("server.restarted", count)
        assert [entry["server"] for entry in running.log() if entry["event"] == "server.restarted"] == [
            "PostgreSQL",
            "Valkey",
        ]
        submitted = await home.run("submit", "code.py", "--wait", "--json")
        assert submitted.code == 0, submitted.error
        family = descendants(running.process.pid)
        assert await running.stop() == 0
    assert_nothing_left(home, family)


@pytest.mark.parametrize("setting", ["SCRATCH_DIR", "STATUS_PORT", "HTTP_PORT"])
async def test_what_keeps_the_worker_from_running_is_told_before_a_server_starts(home: System, setting: str) -> None:
    (home.directory / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        scratch = str(home.directory / "file" / "scratch")
        values = {"SCRATCH_DIR": scratch, "STATUS_PORT": port, "HTTP_PORT": port}
        refused = await home.run("up", STATUS_HOST="127.0.0.1", **{setting: values[setting]})
    assert_error_line(refused, 2, setting, values[setting])
    assert not (home.directory / "home").exists()


async def test_up_says_what_it_does_as_root(home: System) -> None:
    async with up(home):
        printed = (home.directory / "up.out").read_text()
    assert ("they run as the user vibe8-postgres" in printed) is (os.geteuid() == 0)


async def test_service_variables_are_ignored_with_a_warning(home: System) -> None:
    async with up(home, REDIS_URL="redis://127.0.0.1:1/0", DATABASE_URL="postgresql://u@127.0.0.1:1/d") as running:
        assert (await home.run("jobs")).code == 0
        warning = running.log_file.read_text().splitlines()[0]
        assert (
            warning
            == "vibe8: commands with DATABASE_URL and REDIS_URL set use those servers, not the ones started here"
        )


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGHUP])
async def test_signal_requeues_the_running_job_and_stops_everything(home: System, sign: signal.Signals) -> None:
    (home.directory / "slow.py").write_bytes(slow_source(12_000))
    async with up(home, SHUTDOWN_GRACE="0") as running:
        submitted = await home.run("submit", "slow.py", "--json")
        await until(lambda: list((home.directory / "scratch").glob("*/job-*")))
        family = descendants(running.process.pid)
        os.killpg(running.process.pid, sign)  # as a terminal does
        assert await asyncio.to_thread(running.process.wait, TIMEOUT_SECONDS) == 0
        assert_nothing_left(home, family)
        assert [entry["job_id"] for entry in running.log() if entry["event"] == "job.requeued"] == [
            submitted.document["job_id"]
        ]


async def test_repeated_ctrl_c_leaves_nothing_behind(home: System) -> None:
    (home.directory / "slow.py").write_bytes(slow_source(12_000))
    async with run_on_terminal(home, "up", environment={"LOG_FORMAT": "console"}) as terminal:
        await terminal.until("worker.started")
        assert (await home.run("submit", "slow.py")).code == 0
        await until(lambda: list((home.directory / "scratch").glob("*/job-*")))
        family = descendants(terminal.process.pid)
        for _ in range(5):
            terminal.press(b"\x03")
        assert await terminal.wait() == 0
    assert_nothing_left(home, family)


async def test_signal_while_the_servers_start_stops_everything(home: System) -> None:
    process = subprocess.Popen([*COMMAND, "up"], env=home.process_environment(), stderr=subprocess.PIPE)
    try:
        await until((home.directory / "home" / "postgresql").exists)
        process.terminate()
        _, error = await asyncio.to_thread(process.communicate, timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, error) == (130, b"vibe8: interrupted\n")
    assert not (home.directory / "home" / "stack.json").exists()
    below = str(home.directory)
    left = [each for each in psutil.process_iter(["cwd"]) if (each.info["cwd"] or "").startswith(below)]
    assert alive(left) == []


async def test_data_survives_a_killed_up(home: System) -> None:
    async with up(home) as running:
        submitted = await home.run("submit", "code.py", "--json")
        job_id = submitted.document["job_id"]
        await running.until("job.completed")
        family = descendants(running.process.pid)
        running.process.kill()
        await asyncio.to_thread(running.process.wait)
    assert_error_line(await home.run("jobs"), 3, "`vibe8 up`")
    async with up(home):
        await until(lambda: alive(family) == [])  # `up` ends the orphaned servers first
        taken = await home.run("result", job_id, "--json")
        assert taken.code == 0, taken.error
        assert taken.document["job"]["job_id"] == job_id


async def test_private_repositories_need_no_key_setting(home: System, git_server: GitServer, tmp_path: Path) -> None:
    tree = WorkTree(tmp_path / "tree")
    tree.commit("one", a_py="x = 1\n")
    url = git_server.add("owner/private", tree.dot_git, token=TOKEN)
    allowed = {"GIT_ALLOWED_HOSTS": git_server.allowed_host, "GIT_CA_BUNDLE": str(git_server.ca_file)}
    key_file = home.directory / "home" / "token.key"
    async with up(home, **allowed):
        first = await home.run("submit", url, "--wait", "--json", VIBE8_GIT_TOKEN=TOKEN, **allowed)
        assert (first.code, first.error) == (0, "")
        assert key_file.stat().st_mode & 0o777 == 0o600
        key = key_file.read_text()
        stack = read_stack(home.directory / "home")
        assert stack is not None
        assert stack.token_key == key
        assert key not in repr(stack)
    other = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    async with up(
        home, TOKEN_ENCRYPTION_KEYS=other, **allowed
    ) as running:  # the worker also accepts the stack's own key
        again = await home.run("submit", url, "--wait", "--json", VIBE8_GIT_TOKEN=TOKEN, **allowed)
        assert (again.code, again.error) == (0, "")
        assert key_file.read_text() == key
        log = running.log_file.read_text()
    assert TOKEN not in log
    assert key not in log
