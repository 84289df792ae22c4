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
from infrastructure.child_process import runner as children
from infrastructure.child_process import supervisor_client as leash
from infrastructure.child_process.runner import MAX_IDLE_SUPERVISORS, ZygoteRunner
from infrastructure.sandbox.sandbox import ChildLimits
from tests.fixtures.processes import descendants
from tests.fixtures.waiting import until

LIMITS = ChildLimits(memory_bytes=1 << 30, file_bytes=1 << 20)
ENTRIES = "tests.faults.child_entries"


@pytest.fixture
async def runner() -> AsyncIterator[ZygoteRunner]:
    runner = ZygoteRunner([ENTRIES], LIMITS)
    yield runner
    await runner.stop()


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_gone(*pids: int) -> None:
    async with asyncio.timeout(30):
        while not all(gone(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def test_child_returns_result_and_progress_and_sees_no_secret(
    runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    heard: list[Mapping[str, Any]] = []

    async def listen(progress: Mapping[str, Any]) -> None:
        heard.append(progress)

    answer = await runner.run(f"{ENTRIES}:echo", {"say": "é\ud800"}, sandbox=None, deadline=30, on_progress=listen)
    assert answer["said"] == "é\ud800"
    assert heard == [{"stage": "echoing"}]
    assert "DATABASE_URL" not in answer["environment"]
    assert gone(answer["pid"])


async def test_errors_keep_their_type_and_become_one_line(runner: ZygoteRunner) -> None:
    with pytest.raises(InvalidInputError, match=r"^no good: second line$"):
        await runner.run(f"{ENTRIES}:refuse", {}, sandbox=None, deadline=30)
    with pytest.raises(AnalysisKilledError, match="KeyError: 'x'"):
        await runner.run(f"{ENTRIES}:blunder", {}, sandbox=None, deadline=30)


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (signal.SIGKILL, "killed, most likely for its memory"),
        (signal.SIGSEGV, "crashed (SIGSEGV)"),
        (signal.SIGRTMIN + 6, f"crashed (signal {signal.SIGRTMIN + 6})"),
    ],
)
async def test_error_names_the_signal_that_killed_the_child(runner: ZygoteRunner, sign: int, words: str) -> None:
    with pytest.raises(AnalysisKilledError, match=re.escape(words)):
        await runner.run(f"{ENTRIES}:die", {"signal": int(sign)}, sandbox=None, deadline=30)


async def test_memory_is_limited(runner: ZygoteRunner) -> None:
    assert await runner.run(f"{ENTRIES}:hoard", {"bytes": 1 << 20}, sandbox=None, deadline=30) == {"bytes": 1 << 20}
    with pytest.raises(AnalysisKilledError, match="MemoryError"):
        await runner.run(f"{ENTRIES}:hoard", {"bytes": 1 << 31}, sandbox=None, deadline=30)


class Started:
    """Learns the pids of a child that sleeps for ever."""

    def __init__(self) -> None:
        self.pids: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def __call__(self, progress: Mapping[str, Any]) -> None:
        self.pids.set_result(progress["pids"])


async def test_deadline_kills_the_child_and_its_descendants(runner: ZygoteRunner) -> None:
    started = Started()
    with pytest.raises(AnalysisKilledError, match="longer than it may"):
        await runner.run(f"{ENTRIES}:sleep_with_offspring", {}, sandbox=None, deadline=2, on_progress=started)
    assert [pid for pid in await started.pids if not gone(pid)] == []


async def test_cancellation_leaves_no_process(runner: ZygoteRunner) -> None:
    started = Started()
    work = runner.run(f"{ENTRIES}:sleep_with_offspring", {}, sandbox=None, deadline=600, on_progress=started)
    task = asyncio.create_task(work)
    pids = await started.pids
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [pid for pid in pids if not gone(pid)] == []


async def echoed(runner: ZygoteRunner) -> Mapping[str, Any]:
    return await runner.run(f"{ENTRIES}:echo", {"say": 1}, sandbox=None, deadline=30)


async def test_supervisor_is_reused_for_later_children(runner: ZygoteRunner) -> None:
    parents = [(await echoed(runner))["parent"] for _ in range(3)]
    with pytest.raises(AnalysisKilledError):
        await runner.run(f"{ENTRIES}:die", {"signal": int(signal.SIGSEGV)}, sandbox=None, deadline=30)
    with pytest.raises(AnalysisKilledError, match="longer than it may"):
        await runner.run(f"{ENTRIES}:sleep_with_offspring", {}, sandbox=None, deadline=1)
    assert {*parents, (await echoed(runner))["parent"]} == {parents[0]}
    await asyncio.gather(*(echoed(runner) for _ in range(2 * MAX_IDLE_SUPERVISORS)))
    zygote = runner.pid
    assert zygote is not None
    await until(lambda: len(descendants(zygote)) <= MAX_IDLE_SUPERVISORS)
    await runner.stop()
    await until_gone(parents[0])


async def test_killed_idle_supervisor_is_replaced(runner: ZygoteRunner) -> None:
    first = (await echoed(runner))["parent"]
    os.kill(first, signal.SIGKILL)
    await until_gone(first)
    assert (await echoed(runner))["parent"] != first


@asynccontextmanager
async def sleeping(runner: ZygoteRunner, deadline: float = 600) -> AsyncIterator[tuple[asyncio.Task[Any], list[int]]]:
    """A child at work and the ids of its guardian, its body, and what that has started; none is left."""
    started = Started()
    work = runner.run(f"{ENTRIES}:sleep_with_offspring", {}, sandbox=None, deadline=deadline, on_progress=started)
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
    async with sleeping(runner) as (task, (guardian, body, *_)):
        os.kill(guardian, signal.SIGKILL)
        with pytest.raises(AnalysisKilledError, match="has gone"):
            await task
        await until_gone(body)


async def test_dead_supervisor_is_detected_while_another_process_holds_the_channel(
    runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "HEARTBEAT_SECONDS", 0.05)
    started = Started()
    work = runner.run(f"{ENTRIES}:share_the_channel", {}, sandbox=None, deadline=600, on_progress=started)
    task = asyncio.create_task(work)
    body, holder = await started.pids
    try:
        os.kill(psutil.Process(body).ppid(), signal.SIGKILL)
        with pytest.raises(AnalysisKilledError, match="has gone"):
            await task
        assert not gone(holder)
    finally:
        os.kill(holder, signal.SIGKILL)


async def test_stopped_supervisor_does_not_block_forever(runner: ZygoteRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "KILL_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(leash, "SHUTDOWN_TIMEOUT_SECONDS", 0.1)
    async with sleeping(runner, deadline=1) as (task, (guardian, *_)):
        os.kill(guardian, signal.SIGSTOP)
        with pytest.raises(AnalysisKilledError, match="does not answer"):
            await task
    assert (await echoed(runner))["said"] == 1


async def test_repeated_cancellation_leaves_no_process(runner: ZygoteRunner) -> None:
    async with sleeping(runner) as (task, (guardian, *pids)):
        os.kill(guardian, signal.SIGSTOP)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        os.kill(guardian, signal.SIGCONT)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [pid for pid in pids if not gone(pid)] == []


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_error_says_why_the_sandbox_could_not_be_entered(runner: ZygoteRunner, tmp_path: Path, size: int) -> None:
    """A request that is still being written when the body says so, too."""
    profile = SandboxProfile(scratch=str(tmp_path), readable_paths=("no\0name",))
    with pytest.raises(AnalysisKilledError, match="ValueError: embedded null"):
        await runner.run(f"{ENTRIES}:echo", {"say": "x" * size}, sandbox=profile, deadline=30)


async def test_request_of_one_child_is_not_in_memory_of_the_next(runner: ZygoteRunner) -> None:
    """Both are forked from one guardian, which must therefore not have read it."""
    secret = "ghp_" + "abc123" * 8
    said = await runner.run(f"{ENTRIES}:remember", {"say": secret, "look": True}, sandbox=None, deadline=30)
    assert said["found"] > 0  # this way of looking finds it
    following = await runner.run(f"{ENTRIES}:remember", {"half": (secret[:26], secret[26:])}, sandbox=None, deadline=30)
    assert following == {"found": 0, "parent": said["parent"]}


async def test_dead_zygote_is_replaced(runner: ZygoteRunner) -> None:
    await runner.start()
    assert runner._zygote is not None
    runner._zygote.process.kill()
    runner._zygote.process.wait()
    assert (await runner.run(f"{ENTRIES}:echo", {"say": 1}, sandbox=None, deadline=30))["said"] == 1


WORKER = f"""
import asyncio, json
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.sandbox.sandbox import ChildLimits

async def main():
    runner = ZygoteRunner(["{ENTRIES}"], ChildLimits(memory_bytes=1 << 30, file_bytes=1 << 20), heartbeat_timeout=2)
    async def listen(progress):
        print(json.dumps([runner.pid, *progress["pids"]]), flush=True)
    await runner.run("{ENTRIES}:sleep_with_offspring", {{}}, sandbox=None, deadline=600, on_progress=listen)

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
        await until_gone(*pids)
        if sign == signal.SIGKILL:
            await until_gone(zygote)
    finally:
        if sign == signal.SIGSTOP:
            worker.send_signal(signal.SIGKILL)
        await worker.wait()
    await until_gone(zygote)
    assert await worker.stdout.read() == b""  # nobody holds it any more


def test_lower_core_dump_limit_is_kept() -> None:
    code = (
        "import resource as r; from infrastructure.sandbox.sandbox import disable_core_dumps;"
        "r.setrlimit(r.RLIMIT_CORE, (0, 0)); disable_core_dumps(); print(r.getrlimit(r.RLIMIT_CORE))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0)\n"
