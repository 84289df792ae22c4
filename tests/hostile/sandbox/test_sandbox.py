"""Attacks by code that has taken over a child, on this machine and with this user's privileges.

Each attack also runs in a child without a sandbox and must succeed there; otherwise its failure would prove nothing.
"""

import asyncio
import errno
import os
import re
import signal
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from domain.errors import AnalysisKilledError
from domain.framing import HEADER
from domain.ports import PREVIOUS_RESULT, FollowUp
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.child_process.wire_protocol import MessageKind, encode_message
from infrastructure.sandbox import syscall_numbers
from tests.fixtures.processes import alive
from tests.fixtures.servers import Servers
from tests.hostile.support.attacks import ATTACKS
from tests.hostile.support.sandbox_environment import ENTRIES, FLOODS, LIMITS, SandboxEnvironment, sandbox_environment
from worker.analysis.workspace import Removals, job_workspace

ROOT = os.geteuid() == 0
CODE_IS_WRITABLE = os.access(syscall_numbers.__file__, os.W_OK)
IMPOSSIBLE_FOR_THIS_USER = (set() if ROOT else {"change_root_directory", "create_device", "become_root"}) | (
    set() if CODE_IS_WRITABLE else {"open_our_code_for_writing"}
)
"""Attacks that need more privileges than this user has, even without a sandbox."""

ALLOWED_IN_FETCHING = {"send_by_udp"}
"""The child that runs git queries name servers, and the kernel cannot restrict UDP ports."""


@pytest.fixture
async def environment() -> AsyncIterator[SandboxEnvironment]:
    with sandbox_environment() as environment:
        yield environment
        await environment.runner.stop()


async def test_every_attack_succeeds_without_a_sandbox(environment: SandboxEnvironment) -> None:
    leaks = await environment.run_attacks(None)
    assert set(ATTACKS) - set(leaks) == IMPOSSIBLE_FOR_THIS_USER
    assert environment.received == [b"stolen", b"stolen"]


async def test_no_attack_succeeds_in_a_collecting_child(environment: SandboxEnvironment) -> None:
    assert await environment.run_attacks(environment.profiles()["collecting"]) == {}
    assert environment.received == []


async def test_only_udp_succeeds_in_a_fetching_child(environment: SandboxEnvironment) -> None:
    assert set(await environment.run_attacks(environment.profiles()["fetching"])) == ALLOWED_IN_FETCHING


async def test_fetching_child_connects_to_its_port_and_writes_to_scratch(
    environment: SandboxEnvironment,
) -> None:
    fetching = environment.profiles(port=environment.targets["tcp"])["fetching"]
    assert await environment.attack("connect_by_tcp", fetching) == "b'welcome'"
    request = {"scratch": str(environment.scratch), "megabytes": 1, "linger": 0}
    child = environment.runner.run(f"{ENTRIES}:write_files", request, sandbox=fetching, deadline=30)
    assert await child == {"done": True}
    assert [path.name for path in environment.scratch.iterdir()] == ["0"]


async def test_collecting_child_cannot_write(environment: SandboxEnvironment) -> None:
    request = {"scratch": str(environment.scratch), "megabytes": 1, "linger": 0}
    for profile, error in ((environment.profiles()["collecting"], "PermissionError"), (None, None)):
        child = environment.runner.run(f"{ENTRIES}:write_files", request, sandbox=profile, deadline=30)
        if error:
            with pytest.raises(AnalysisKilledError, match=error):
                await child
            assert list(environment.scratch.iterdir()) == []
        else:
            assert await child == {"done": True}


WRITERS = ("write_files", "create_empty_files", "create_deep_directories")


@pytest.mark.parametrize("entry", WRITERS)
async def test_follow_up_cannot_write(environment: SandboxEnvironment, entry: str) -> None:
    request = {"scratch": str(environment.scratch), "megabytes": 1, "count": 1, "depth": 1, "linger": 0}
    for profile in (environment.profiles()["fetching"], None):
        follow_up = FollowUp(entry=f"{ENTRIES}:{entry}", request=request)
        child = environment.runner.run(f"{ENTRIES}:do_nothing", {}, sandbox=profile, deadline=30, follow_up=follow_up)
        if profile is None:
            assert await child == {"done": True, PREVIOUS_RESULT: {"harmless": True}}
            assert list(environment.scratch.iterdir()) != []
        else:
            with pytest.raises(AnalysisKilledError, match="PermissionError"):
                await child
            assert list(environment.scratch.iterdir()) == []


async def test_no_attack_succeeds_in_a_follow_up(environment: SandboxEnvironment) -> None:
    upload = replace(environment.profiles()["fetching"], tcp_ports=())
    assert await environment.run_attacks(upload, as_follow_up=True) == {}
    assert environment.received == []


NOT_TRIED_WITHOUT_SANDBOX = {
    # They take no arguments that could be invalid, and would succeed.
    "setsid", "vhangup", "personality",
    # An argument names a process, and -1 may mean all processes.
    "setpriority", "ioprio_set", "setpgid", "sched_setaffinity",
}  # fmt: skip


async def test_forbidden_system_calls_are_refused_before_their_arguments_are_checked(
    environment: SandboxEnvironment,
) -> None:
    entry = f"{ENTRIES}:call_forbidden_system_calls"
    calls = [name for name, numbers in syscall_numbers.FORBIDDEN.items() if _number(numbers) is not None]
    for profile in environment.profiles().values():
        request = {"calls": calls}
        errors = await environment.runner.run(entry, request, sandbox=profile, deadline=30)
        assert {name: error for name, error in errors.items() if error != errno.EPERM} == {}
    request = {"calls": sorted(set(calls) - NOT_TRIED_WITHOUT_SANDBOX)}
    errors = await environment.runner.run(entry, request, sandbox=None, deadline=30)
    assert sum(error != errno.EPERM for error in errors.values()) > len(calls) / 3  # the kernel checked the arguments


def _number(numbers: tuple[int, int | None]) -> int | None:
    return numbers[0] if os.uname().machine == "x86_64" else numbers[1]


async def test_child_has_its_own_user_and_inherits_nothing(
    environment: SandboxEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://worker:secret@db/vibe8")
    entry, users = f"{ENTRIES}:describe_process", set()
    for profile in environment.profiles().values():
        child = await environment.runner.run(entry, {}, sandbox=profile, deadline=30)
        assert "secret" not in str(child["environment"])
        assert (child["descriptors"], child["core"]) == (1, 1)
        assert child["user"] == (child["user"] if ROOT else os.getuid())
        users.add(child["user"])
        other = replace(profile, scratch=str(environment.other_job))
        users.add((await environment.runner.run(entry, {}, sandbox=other, deadline=30))["user"])
    assert len(users) == (2 if ROOT else 1)  # one for each scratch directory
    assert os.getuid() not in users or not ROOT


async def test_network_namespace_follows_the_profile_under_one_supervisor(environment: SandboxEnvironment) -> None:
    """The seccomp filter blocks the network as well, so no attack here would detect a wrong namespace."""
    ours = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - the link's text is no path
    profiles = {**environment.profiles(), "none": None}
    entry, networks = f"{ENTRIES}:describe_process", {}
    for name in ("collecting", "fetching", "none"):
        networks[name] = (await environment.runner.run(entry, {}, sandbox=profiles[name], deadline=30))["network"]
    assert (networks["fetching"], networks["none"]) == (ours, ours)
    available = {each.name: each.available for each in environment.runner.guarantees}["separate network namespace"]
    assert (networks["collecting"] != ours) == available


async def test_postgresql_socket_is_unreachable(environment: SandboxEnvironment, servers: Servers) -> None:
    host = parse_qs(urlsplit(servers.postgres.url()).query)["host"][0]
    request = {"path": f"{host}/.s.PGSQL.5432"}
    assert Path(request["path"]).is_socket()
    entry = f"{ENTRIES}:ask_postgresql"
    assert (await environment.runner.run(entry, request, sandbox=None, deadline=30))["answer"] == "N"
    for profile in environment.profiles().values():
        assert (await environment.runner.run(entry, request, sandbox=profile, deadline=30))["answer"] is None


STOP_MESSAGES = {
    # A limit of the kernel may take effect before the supervisor's check.
    "start_processes": "started more than 40 processes|Resource temporarily unavailable|used more than 300 MB",
    "start_threads": "started more than 40 processes|can't start new thread",
    "allocate_in_processes": "used more than 300 MB of memory",
    "open_sockets": "opened more than 32 sockets",
    **dict.fromkeys(
        [
            "write_files",
            "write_deleted_files",
            "create_empty_files",
            "create_deep_directories",
            "write_to_closed_directory",
        ],
        r"wrote more than 48 MB or 3000 files \(MAX_CLONE_MB\)",
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_resource_flood_is_stopped_and_leaves_nothing(environment: SandboxEnvironment, name: str) -> None:
    fetching = environment.profiles()["fetching"]
    limits = replace(LIMITS, memory_bytes=4 << 30)  # more than the threads need
    environment.runner = ZygoteRunner([ENTRIES], limits, scratch=environment.directory)
    assert await environment.flood(name, None) is None
    stopped = await environment.flood(name, fetching)
    assert stopped is not None
    assert re.search(STOP_MESSAGES[name], stopped)


async def test_limits_of_a_profile_are_enforced(environment: SandboxEnvironment) -> None:
    """They are lower than those of the runner: a child that fetches may take less than one that analyses."""
    fetching = environment.profiles()["fetching"]
    stopped = await environment.flood("allocate_in_processes", replace(fetching, total_memory_bytes=200 << 20))
    assert stopped is not None
    assert "used more than 200 MB of memory in all" in stopped
    low = replace(fetching, memory_bytes=100 << 20)
    request = {"processes": 0, "bytes": 0, "linger": 0, "own_bytes": 120 << 20}
    with pytest.raises(AnalysisKilledError, match="MemoryError"):
        await environment.runner.run(f"{ENTRIES}:allocate_in_processes", request, sandbox=low, deadline=30)


async def test_fork_chain_is_killed_completely(environment: SandboxEnvironment) -> None:
    entry = f"{ENTRIES}:fork_chain"
    for profile, generations in ((None, 5), (environment.profiles()["fetching"], 1 << 30)):
        with suppress(AnalysisKilledError):  # another process of the chain may send the result
            request = {"generations": generations, "linger": 0}
            await environment.runner.run(entry, request, sandbox=profile, deadline=30)
        assert environment.remaining_processes() == []


@pytest.mark.parametrize(("seconds", "stopped"), [(1, True), (60, False)])
async def test_cpu_time_is_limited(environment: SandboxEnvironment, seconds: int, stopped: bool) -> None:
    environment.runner = ZygoteRunner([ENTRIES], replace(LIMITS, cpu_seconds=seconds), scratch=environment.directory)
    work = environment.runner.run(
        f"{ENTRIES}:burn_cpu", {"seconds": 2}, sandbox=environment.profiles()["collecting"], deadline=120
    )
    if stopped:
        with pytest.raises(AnalysisKilledError, match="more than 1 s of CPU time"):
            await work
    else:
        assert await work == {"done": True}


def message(kind: int, payload: bytes) -> bytes:
    return struct.pack(">IB", len(payload), kind) + payload


MALFORMED_ANSWERS = {
    "not JSON": (message(MessageKind.RESULT, b"{"), "malformed message"),
    "deeply nested JSON": (message(MessageKind.RESULT, b"[" * 100_000), "malformed message"),
    "not a JSON object": (message(MessageKind.RESULT, b"[1]"), "malformed message"),
    "unknown kind": (message(99, b"{}"), "malformed message"),
    "not UTF-8": (message(MessageKind.RESULT, b"\xff"), "malformed message"),
    "a number that is not finite": (message(MessageKind.RESULT, b'{"x":NaN}'), "malformed message"),
    "too long": (HEADER.pack(0xFFFFFFFF, MessageKind.RESULT), "the limit is 268435456"),
    "very many values": (message(MessageKind.RESULT, b'{"x":[' + b"[]," * 8_000_000 + b"[]]}"), "malformed message"),
    "very many values in several messages": (
        message(MessageKind.ITEMS, b"[" + b"[]," * 3_000_000 + b"[]]") * 2,
        "malformed message",
    ),
    "long in several messages": (
        message(MessageKind.ITEMS, b"[1]") + HEADER.pack(256 << 20, MessageKind.RESULT),
        "the limit is 268435453",
    ),
    "items that are no list": (message(MessageKind.ITEMS, b'{"x":1}'), "malformed message"),
    "items in the result": (message(MessageKind.RESULT, b'{"items":[]}'), "malformed message"),
    "error too long": (HEADER.pack(65537, MessageKind.ERROR), "the limit is 65536"),
    "progress too long": (HEADER.pack(65537, MessageKind.PROGRESS), "the limit is 65536"),
    "forbidden error type": (
        encode_message(MessageKind.ERROR, {"type": "LeaseLostError", "message": "x"}),
        "the analysis process failed: x",
    ),
    "error without type and message": (encode_message(MessageKind.ERROR, {}), "the analysis process failed: None"),
}


@pytest.mark.parametrize("answer_name", MALFORMED_ANSWERS)
async def test_malformed_answer_fails_only_its_job(environment: SandboxEnvironment, answer_name: str) -> None:
    data, error = MALFORMED_ANSWERS[answer_name]
    pids = await send_raw(environment, data, error)
    assert alive([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]) == []


async def test_attachment_is_awaited_while_the_child_starts_and_a_list_returns_in_parts(
    environment: SandboxEnvironment,
) -> None:
    async def attachment() -> bytes:
        while not environment.remaining_processes():
            await asyncio.sleep(0.01)
        return b"x" * 1_000_000

    result = await environment.runner.run(
        f"{ENTRIES}:count_attached_bytes",
        {"parts": 3},
        sandbox=environment.profiles()["collecting"],
        deadline=60,
        attachment=attachment,
    )
    assert result == {"bytes": 1_000_000, "items": [0, 10, 1, 11, 2, 12]}


async def test_child_that_is_killed_while_its_attachment_is_awaited_is_reported(
    environment: SandboxEnvironment,
) -> None:
    async def attachment() -> bytes:
        while not (pids := environment.remaining_processes()):
            await asyncio.sleep(0.01)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        while environment.remaining_processes():
            await asyncio.sleep(0.01)
        return b"x" * 8_000_000

    with pytest.raises(AnalysisKilledError, match="was killed, most likely for lack of memory"):
        await environment.runner.run(
            f"{ENTRIES}:count_attached_bytes", {"parts": 1}, sandbox=None, deadline=60, attachment=attachment
        )


async def test_error_of_a_child_that_does_not_read_its_attachment_is_raised(environment: SandboxEnvironment) -> None:
    async def attachment() -> bytes:
        return b"x" * 8_000_000

    with pytest.raises(AnalysisKilledError, match="KeyError: 'parts'"):
        await environment.runner.run(
            f"{ENTRIES}:count_attached_bytes", {}, sandbox=None, deadline=60, attachment=attachment
        )


async def test_early_answer_is_returned_after_all_processes_end(environment: SandboxEnvironment) -> None:
    pids = await send_raw(environment, encode_message(MessageKind.RESULT, {"x": 1}), None, deadline=3)
    assert alive([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]) == []


async def send_raw(environment: SandboxEnvironment, data: bytes, error: str | None, deadline: float = 60) -> list[int]:
    """Let a child send these bytes and leave a process behind; return both pids."""
    pids: list[int] = []

    async def on_progress(progress: Mapping[str, Any]) -> None:
        pids.extend(progress["pids"])

    request = {"bytes": data.hex(), "shutdown": False}
    profile = environment.profiles()["collecting"]
    work = environment.runner.run(
        f"{ENTRIES}:send_raw_bytes", request, sandbox=profile, deadline=deadline, on_progress=on_progress
    )
    if error is None:
        assert await work == {"x": 1}
    else:
        with pytest.raises(AnalysisKilledError, match=re.escape(error)):
            await work
    assert len(pids) == 2
    return pids


async def test_child_that_closes_its_channel_is_still_supervised(environment: SandboxEnvironment) -> None:
    request = {"bytes": "", "shutdown": True}
    entry = f"{ENTRIES}:send_raw_bytes"
    with pytest.raises(AnalysisKilledError, match="took longer than"):
        await environment.runner.run(entry, request, sandbox=None, deadline=3)
    assert environment.remaining_processes() == []
    with pytest.raises(AnalysisKilledError, match="PermissionError"):
        await environment.runner.run(entry, request, sandbox=environment.profiles()["collecting"], deadline=60)
    assert environment.remaining_processes() == []


async def test_job_directory_is_removed_with_any_content(environment: SandboxEnvironment) -> None:
    for name, more in {
        "create_deep_directories": {"depth": 1500},
        "write_to_closed_directory": {"megabytes": 1},
    }.items():
        async with Removals() as removals, job_workspace(environment.directory, removals) as scratch:
            request = {"scratch": str(scratch), "linger": 0, **more}
            await environment.runner.run(f"{ENTRIES}:{name}", request, sandbox=None, deadline=60)
        assert not scratch.exists()
