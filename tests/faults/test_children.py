import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from domain.errors import AnalysisKilledError, InvalidInputError
from domain.sandbox import SandboxProfile
from infrastructure.child_process import child_channel, supervisor_client
from infrastructure.child_process import runner as runner_module
from infrastructure.child_process.runner import MAX_IDLE_SUPERVISORS, ZygoteRunner
from infrastructure.sandbox.sandbox import ChildLimits
from tests.fixtures.processes import descendants
from tests.fixtures.waiting import until

LIMITS = ChildLimits(memory_bytes=1 << 30, file_bytes=1 << 20)
ENTRIES = "tests.faults.support.child_entries"


@pytest.fixture
async def runner() -> AsyncIterator[ZygoteRunner]:
    runner = ZygoteRunner([ENTRIES], LIMITS)
    yield runner
    await runner.stop()


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_ended(*pids: int) -> None:
    async with asyncio.timeout(30):
        while not all(ended(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def test_child_returns_result_and_progress_and_sees_no_secret(
    runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    received: list[Mapping[str, Any]] = []

    async def on_progress(progress: Mapping[str, Any]) -> None:
        received.append(progress)

    request = {"text": "é\ud800"}
    result = await runner.run(f"{ENTRIES}:echo", request, sandbox=None, deadline=30, on_progress=on_progress)
    assert result["text"] == "é\ud800"
    assert received == [{"stage": "echoing"}]
    assert "DATABASE_URL" not in result["environment"]
    assert ended(result["pid"])


async def test_children_collect_garbage_except_what_the_zygote_has(runner: ZygoteRunner) -> None:
    found = await runner.run(f"{ENTRIES}:look_at_garbage_collection", {}, sandbox=None, deadline=30)
    assert found["enabled"]
    assert found["frozen"] > 10 * found["tracked"]


async def test_errors_keep_their_type_and_become_one_line(runner: ZygoteRunner) -> None:
    with pytest.raises(InvalidInputError, match=r"^no good: second line$"):
        await runner.run(f"{ENTRIES}:raise_permanent_error", {}, sandbox=None, deadline=30)
    with pytest.raises(AnalysisKilledError, match="KeyError: 'x'"):
        await runner.run(f"{ENTRIES}:raise_key_error", {}, sandbox=None, deadline=30)


@pytest.mark.parametrize(
    ("sign", "message"),
    [
        (signal.SIGKILL, "killed, most likely for lack of memory"),
        (signal.SIGSEGV, "crashed (SIGSEGV)"),
        (signal.SIGRTMIN + 6, f"crashed (signal {signal.SIGRTMIN + 6})"),
    ],
)
async def test_error_names_the_signal_that_killed_the_child(runner: ZygoteRunner, sign: int, message: str) -> None:
    with pytest.raises(AnalysisKilledError, match=re.escape(message)):
        await runner.run(f"{ENTRIES}:kill_itself", {"signal": int(sign)}, sandbox=None, deadline=30)


async def test_memory_is_limited(runner: ZygoteRunner) -> None:
    assert await runner.run(f"{ENTRIES}:allocate", {"bytes": 1 << 20}, sandbox=None, deadline=30) == {"bytes": 1 << 20}
    with pytest.raises(AnalysisKilledError, match="MemoryError"):
        await runner.run(f"{ENTRIES}:allocate", {"bytes": 1 << 31}, sandbox=None, deadline=30)


class Started:
    """Progress listener that receives the pids of a child that sleeps for ever."""

    def __init__(self) -> None:
        self.pids: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def __call__(self, progress: Mapping[str, Any]) -> None:
        self.pids.set_result(progress["pids"])


async def test_deadline_kills_the_child_and_its_descendants(runner: ZygoteRunner) -> None:
    started = Started()
    with pytest.raises(AnalysisKilledError, match="took longer than"):
        await runner.run(f"{ENTRIES}:sleep_with_descendants", {}, sandbox=None, deadline=2, on_progress=started)
    assert [pid for pid in await started.pids if not ended(pid)] == []


async def test_cancellation_leaves_no_process(runner: ZygoteRunner) -> None:
    started = Started()
    work = runner.run(f"{ENTRIES}:sleep_with_descendants", {}, sandbox=None, deadline=600, on_progress=started)
    task = asyncio.create_task(work)
    pids = await started.pids
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [pid for pid in pids if not ended(pid)] == []


async def echo(runner: ZygoteRunner) -> Mapping[str, Any]:
    return await runner.run(f"{ENTRIES}:echo", {"text": 1}, sandbox=None, deadline=30)


async def test_supervisor_is_reused_for_later_children(runner: ZygoteRunner) -> None:
    parents = [(await echo(runner))["parent"] for _ in range(3)]
    with pytest.raises(AnalysisKilledError):
        await runner.run(f"{ENTRIES}:kill_itself", {"signal": int(signal.SIGSEGV)}, sandbox=None, deadline=30)
    with pytest.raises(AnalysisKilledError, match="took longer than"):
        await runner.run(f"{ENTRIES}:sleep_with_descendants", {}, sandbox=None, deadline=1)
    assert {*parents, (await echo(runner))["parent"]} == {parents[0]}
    await asyncio.gather(*(echo(runner) for _ in range(2 * MAX_IDLE_SUPERVISORS)))
    zygote = runner.pid
    assert zygote is not None
    await until(lambda: len(descendants(zygote)) <= MAX_IDLE_SUPERVISORS)
    await runner.stop()
    await until_ended(parents[0])


async def test_killed_idle_supervisor_is_replaced(runner: ZygoteRunner) -> None:
    first = (await echo(runner))["parent"]
    os.kill(first, signal.SIGKILL)
    await until_ended(first)
    assert (await echo(runner))["parent"] != first


@asynccontextmanager
async def sleeping(runner: ZygoteRunner, deadline: float = 600) -> AsyncIterator[tuple[asyncio.Task[Any], list[int]]]:
    """Start a child that sleeps; yield its task and the pids of its supervisor, itself and its descendants."""
    started = Started()
    work = runner.run(f"{ENTRIES}:sleep_with_descendants", {}, sandbox=None, deadline=deadline, on_progress=started)
    task = asyncio.create_task(work)
    pids = await started.pids
    processes = [psutil.Process(pid) for pid in (psutil.Process(pids[0]).ppid(), *pids)]
    try:
        yield task, [process.pid for process in processes]
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()


async def test_child_dies_with_its_killed_supervisor(runner: ZygoteRunner) -> None:
    async with sleeping(runner) as (task, (supervisor, child, *_)):
        os.kill(supervisor, signal.SIGKILL)
        with pytest.raises(AnalysisKilledError, match="supervisor process ended"):
            await task
        await until_ended(child)


async def test_dead_supervisor_is_detected_while_another_process_holds_the_channel(
    runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_channel, "SUPERVISOR_HEARTBEAT_SECONDS", 0.05)
    started = Started()
    work = runner.run(f"{ENTRIES}:share_the_channel", {}, sandbox=None, deadline=600, on_progress=started)
    task = asyncio.create_task(work)
    child, holder = await started.pids
    try:
        os.kill(psutil.Process(child).ppid(), signal.SIGKILL)
        with pytest.raises(AnalysisKilledError, match="supervisor process ended"):
            await task
        assert not ended(holder)
    finally:
        os.kill(holder, signal.SIGKILL)


async def test_stopped_supervisor_does_not_block_forever(runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "KILL_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(supervisor_client, "SHUTDOWN_TIMEOUT_SECONDS", 0.1)
    async with sleeping(runner, deadline=1) as (task, (supervisor, *_)):
        os.kill(supervisor, signal.SIGSTOP)
        with pytest.raises(AnalysisKilledError, match="does not answer"):
            await task
    assert (await echo(runner))["text"] == 1


async def test_repeated_cancellation_leaves_no_process(runner: ZygoteRunner) -> None:
    async with sleeping(runner) as (task, (supervisor, *pids)):
        os.kill(supervisor, signal.SIGSTOP)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        os.kill(supervisor, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [pid for pid in pids if not ended(pid)] == []


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_error_says_why_the_sandbox_could_not_be_entered(runner: ZygoteRunner, tmp_path: Path, size: int) -> None:
    """Also for a request so long that it is still being sent when the child reports the error."""
    profile = SandboxProfile(scratch=str(tmp_path), readable_paths=("no\0name",))
    with pytest.raises(AnalysisKilledError, match="ValueError: embedded null"):
        await runner.run(f"{ENTRIES}:echo", {"text": "x" * size}, sandbox=profile, deadline=30)


async def test_request_of_one_child_is_not_in_memory_of_the_next(runner: ZygoteRunner) -> None:
    """Both are forked from one supervisor, which must not have read the request."""
    secret = "ghp_" + "abc123" * 8
    entry = f"{ENTRIES}:search_memory"
    first = await runner.run(entry, {"secret": secret}, sandbox=None, deadline=30)
    assert first["found"] > 0  # the search finds a secret that is there
    halves = (secret[:26], secret[26:])  # the second child must search for the secret without holding it
    second = await runner.run(entry, {"halves": halves}, sandbox=None, deadline=30)
    assert second == {"found": 0, "parent": first["parent"]}


async def test_dead_zygote_is_replaced(runner: ZygoteRunner) -> None:
    await runner.start()
    assert runner._zygote is not None
    runner._zygote.process.kill()
    runner._zygote.process.wait()
    assert (await echo(runner))["text"] == 1


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_connection_is_closed_if_a_new_supervisor_cannot_start_a_child(
    runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError

    await runner.start()
    monkeypatch.setattr(supervisor_client.SupervisorClient, "spawn", fail)
    before = open_files()
    with pytest.raises(AnalysisKilledError, match="zygote process ended"):
        await echo(runner)
    assert open_files() == before


WORKER = f"""
import asyncio, json
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.sandbox.sandbox import ChildLimits

async def main():
    runner = ZygoteRunner(["{ENTRIES}"], ChildLimits(memory_bytes=1 << 30, file_bytes=1 << 20), heartbeat_timeout=2)
    async def on_progress(progress):
        print(json.dumps([runner.pid, *progress["pids"]]), flush=True)
    await runner.run("{ENTRIES}:sleep_with_descendants", {{}}, sandbox=None, deadline=600, on_progress=on_progress)

asyncio.run(main())
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
async def test_children_die_with_a_killed_or_stopped_worker(sign: int) -> None:
    root = str(Path(__file__).parents[2])
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": root}
    )
    assert worker.stdout is not None
    zygote, *pids = [int(pid) for pid in (await worker.stdout.readline()).strip(b"[]\n").split(b",")]
    worker.send_signal(sign)
    try:
        await until_ended(*pids)
        if sign == signal.SIGKILL:
            await until_ended(zygote)
    finally:
        if sign == signal.SIGSTOP:
            worker.send_signal(signal.SIGKILL)
        await worker.wait()
    await until_ended(zygote)
    assert await worker.stdout.read() == b""  # no process holds its end any more


def test_lower_core_dump_limit_is_kept() -> None:
    code = (
        "import resource as r; from infrastructure.sandbox.sandbox import disable_core_dumps;"
        "r.setrlimit(r.RLIMIT_CORE, (0, 0)); disable_core_dumps(); print(r.getrlimit(r.RLIMIT_CORE))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0)\n"
