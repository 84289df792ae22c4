"""What code that has taken over a child can reach, on this machine and with these rights.

Each attack is also let loose on a child without a sandbox, where it works: otherwise its failure would say nothing.
"""

import os
import re
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
from domain.ports import PREVIOUS_RESULT, FollowUp
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.child_process.wire_protocol import HEADER, MessageKind, encode_message
from infrastructure.sandbox import syscall_numbers
from tests.fixtures.processes import alive
from tests.fixtures.servers import Servers
from tests.hostile.support.attacks import ATTACKS
from tests.hostile.support.sandbox_environment import ENTRIES, FLOODS, LIMITS, SandboxEnvironment, sandbox_environment
from worker.analysis.workspace import job_workspace

ROOT = os.geteuid() == 0
OUR_CODE_IS_OURS = os.access(syscall_numbers.__file__, os.W_OK)
BEYOND_THIS_USER = (set() if ROOT else {"change_the_root", "make_a_device", "be_root"}) | (
    set() if OUR_CODE_IS_OURS else {"open_our_code_to_write"}
)
"""What whoever runs this could not do without a sandbox, either."""

UDP_IS_OPEN = {"send_by_udp"}
"""To git's child: it asks name servers, and no feature of the kernel tells UDP ports apart."""


@pytest.fixture
async def environment() -> AsyncIterator[SandboxEnvironment]:
    with sandbox_environment() as environment:
        yield environment
        await environment.runner.stop()


async def test_every_attack_succeeds_without_a_sandbox(environment: SandboxEnvironment) -> None:
    won = await environment.all_attacks(None)
    assert set(ATTACKS) - set(won) == BEYOND_THIS_USER
    assert environment.heard == [b"stolen", b"stolen"]


async def test_no_attack_succeeds_in_a_collecting_child(environment: SandboxEnvironment) -> None:
    assert await environment.all_attacks(environment.profiles()["collecting"]) == {}
    assert environment.heard == []


async def test_only_udp_succeeds_in_a_fetching_child(environment: SandboxEnvironment) -> None:
    assert set(await environment.all_attacks(environment.profiles()["fetching"])) == UDP_IS_OPEN


async def test_fetching_child_connects_to_its_port_and_writes_to_scratch(
    environment: SandboxEnvironment,
) -> None:
    fetching = environment.profiles(port=environment.aims["tcp"])["fetching"]
    assert await environment.attack("connect_by_tcp", fetching) == "b'welcome'"
    request = {"scratch": str(environment.scratch), "megabytes": 1, "linger": 0}
    assert await environment.runner.run(f"{ENTRIES}:many_files", request, sandbox=fetching, deadline=30) == {
        "had": True
    }
    assert [path.name for path in environment.scratch.iterdir()] == ["0"]


async def test_collecting_child_cannot_write(environment: SandboxEnvironment) -> None:
    request = {"scratch": str(environment.scratch), "megabytes": 1, "linger": 0}
    for profile, words in ((environment.profiles()["collecting"], "PermissionError"), (None, None)):
        child = environment.runner.run(f"{ENTRIES}:many_files", request, sandbox=profile, deadline=30)
        if words:
            with pytest.raises(AnalysisKilledError, match=words):
                await child
            assert list(environment.scratch.iterdir()) == []
        else:
            assert await child == {"had": True}


WRITERS = ("many_files", "empty_files", "deep_directories")


@pytest.mark.parametrize("entry", WRITERS)
async def test_follow_up_cannot_write(environment: SandboxEnvironment, entry: str) -> None:
    request = {"scratch": str(environment.scratch), "megabytes": 1, "count": 1, "depth": 1, "linger": 0}
    for profile in (environment.profiles()["fetching"], None):
        follow_up = FollowUp(entry=f"{ENTRIES}:{entry}", request=request)
        child = environment.runner.run(f"{ENTRIES}:nothing", {}, sandbox=profile, deadline=30, follow_up=follow_up)
        if profile is None:
            assert await child == {"had": True, PREVIOUS_RESULT: {"was": "nice"}}
            assert list(environment.scratch.iterdir()) != []
        else:
            with pytest.raises(AnalysisKilledError, match="PermissionError"):
                await child
            assert list(environment.scratch.iterdir()) == []


async def test_no_attack_succeeds_in_a_follow_up(environment: SandboxEnvironment) -> None:
    upload = replace(environment.profiles()["fetching"], tcp_ports=())
    assert await environment.all_attacks(upload, second=True) == {}
    assert environment.heard == []


NOT_TRIED_OUTSIDE = {
    # With no arguments to get wrong, these would be done.
    "setsid", "vhangup", "personality",
    # A process is named by an argument, and -1 may name all.
    "setpriority", "ioprio_set", "setpgid", "sched_setaffinity",
}  # fmt: skip


async def test_forbidden_system_calls_are_refused_before_their_arguments_are_checked(
    environment: SandboxEnvironment,
) -> None:
    calls = [name for name, numbers in syscall_numbers.FORBIDDEN.items() if _number(numbers) is not None]
    for profile in environment.profiles().values():
        request = {"calls": calls}
        answers = await environment.runner.run(f"{ENTRIES}:call_all", request, sandbox=profile, deadline=30)
        assert {name: answer for name, answer in answers.items() if answer != 1} == {}  # EPERM
    request = {"calls": sorted(set(calls) - NOT_TRIED_OUTSIDE)}
    outside = await environment.runner.run(f"{ENTRIES}:call_all", request, sandbox=None, deadline=30)
    assert sum(answer != 1 for answer in outside.values()) > len(calls) / 3  # judged by what they were asked


def _number(numbers: tuple[int, int | None]) -> int | None:
    return numbers[0] if os.uname().machine == "x86_64" else numbers[1]


async def test_child_has_its_own_user_and_inherits_nothing(
    environment: SandboxEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://worker:secret@db/vibe8")
    users = set()
    for profile in environment.profiles().values():
        me = await environment.runner.run(f"{ENTRIES}:whoami", {}, sandbox=profile, deadline=30)
        assert "secret" not in str(me["environment"])
        assert (me["descriptors"], me["core"]) == (1, 1)
        assert me["user"] == (me["user"] if ROOT else os.getuid())
        users.add(me["user"])
        neighbour = replace(profile, scratch=str(environment.neighbour))
        users.add((await environment.runner.run(f"{ENTRIES}:whoami", {}, sandbox=neighbour, deadline=30))["user"])
    assert len(users) == (2 if ROOT else 1)  # one for each scratch directory
    assert os.getuid() not in users or not ROOT


async def test_network_namespace_follows_the_profile_under_one_supervisor(environment: SandboxEnvironment) -> None:
    """Two locks keep a child from the network; of the second, alone, no attack here would tell."""
    ours = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - its text is no path
    profiles = {**environment.profiles(), "none": None}
    told = {
        turn: (await environment.runner.run(f"{ENTRIES}:whoami", {}, sandbox=profiles[turn], deadline=30))["network"]
        for turn in ("collecting", "fetching", "none")
    }
    assert (told["fetching"], told["none"]) == (ours, ours)
    second_lock = {each.name: each.available for each in environment.runner.guarantees}["separate network namespace"]
    assert (told["collecting"] != ours) == second_lock


async def test_postgresql_socket_is_unreachable(environment: SandboxEnvironment, servers: Servers) -> None:
    host = parse_qs(urlsplit(servers.postgres.url()).query)["host"][0]
    request = {"path": f"{host}/.s.PGSQL.5432"}
    assert Path(request["path"]).is_socket()
    entry = f"{ENTRIES}:ask_postgresql"
    assert (await environment.runner.run(entry, request, sandbox=None, deadline=30))["said"] == "N"
    for profile in environment.profiles().values():
        assert (await environment.runner.run(entry, request, sandbox=profile, deadline=30))["said"] is None


HOW_STOPPED = {
    # The kernel's own limits may be met before the guardian looks.
    "processes": "started more than 40 processes|Resource temporarily unavailable|used more than 300 MB of memory",
    "threads": "started more than 40 processes|can't start new thread",
    "memory_together": "used more than 300 MB of memory",
    **dict.fromkeys(
        ["many_files", "files_without_a_name", "empty_files", "deep_directories", "a_closed_directory"],
        r"wrote more than 48 MB or 3000 files \(MAX_CLONE_MB\)",
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_resource_flood_is_stopped_and_leaves_nothing(environment: SandboxEnvironment, name: str) -> None:
    fetching = environment.profiles()["fetching"]
    limits = replace(LIMITS, memory_bytes=4 << 30)  # or threads would lack room first
    environment.runner = ZygoteRunner([ENTRIES], limits, scratch=environment.directory)
    assert await environment.flood(name, None) is None
    stopped = await environment.flood(name, fetching)
    assert stopped is not None
    assert re.search(HOW_STOPPED[name], stopped)


async def test_fork_chain_is_killed_completely(environment: SandboxEnvironment) -> None:
    entry = f"{ENTRIES}:breed"
    for profile, generations in ((None, 5), (environment.profiles()["fetching"], 1 << 30)):
        with suppress(AnalysisKilledError):  # the first of them may have ended, or another have answered in its place
            request = {"generations": generations, "linger": 0}
            await environment.runner.run(entry, request, sandbox=profile, deadline=30)
        assert environment.left() == []


@pytest.mark.parametrize(("seconds", "stopped"), [(1, True), (60, False)])
async def test_cpu_time_is_limited(environment: SandboxEnvironment, seconds: int, stopped: bool) -> None:
    environment.runner = ZygoteRunner([ENTRIES], replace(LIMITS, cpu_seconds=seconds), scratch=environment.directory)
    work = environment.runner.run(
        f"{ENTRIES}:burn", {"seconds": 2}, sandbox=environment.profiles()["collecting"], deadline=120
    )
    if stopped:
        with pytest.raises(AnalysisKilledError, match="more than 1 s of CPU time"):
            await work
    else:
        assert await work == {"burnt": True}


def frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">IB", len(body), kind) + body


LIES = {
    "no JSON": (frame(MessageKind.RESULT, b"{"), "malformed message"),
    "JSON of endless depth": (frame(MessageKind.RESULT, b"[" * 100_000), "malformed message"),
    "no object": (frame(MessageKind.RESULT, b"[1]"), "malformed message"),
    "no such kind": (frame(99, b"{}"), "malformed message"),
    "no text": (frame(MessageKind.RESULT, b"\xff"), "malformed message"),
    "more than is sane": (HEADER.pack(0xFFFFFFFF, MessageKind.RESULT), "the limit is 536870912"),
    "a lost lease": (
        encode_message(MessageKind.ERROR, {"type": "LeaseLostError", "message": "x"}),
        "the analysis process failed: x",
    ),
    "no error at all": (encode_message(MessageKind.ERROR, {}), "the analysis process failed: None"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_malformed_answer_fails_only_its_job(environment: SandboxEnvironment, lie: str) -> None:
    data, words = LIES[lie]
    pids = await said(environment, data, words)
    assert alive([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]) == []


async def test_early_answer_is_returned_after_all_processes_end(environment: SandboxEnvironment) -> None:
    pids = await said(environment, encode_message(MessageKind.RESULT, {"x": 1}), None, deadline=3)
    assert alive([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]) == []


async def said(environment: SandboxEnvironment, data: bytes, words: str | None, deadline: float = 60) -> list[int]:
    """Let a child say this, and leave a process behind; the two processes' ids."""
    pids: list[int] = []

    async def listen(progress: Mapping[str, Any]) -> None:
        pids.extend(progress["pids"])

    request = {"bytes": data.hex(), "shutdown": False}
    profile = environment.profiles()["collecting"]
    work = environment.runner.run(f"{ENTRIES}:say", request, sandbox=profile, deadline=deadline, on_progress=listen)
    if words is None:
        assert await work == {"x": 1}
    else:
        with pytest.raises(AnalysisKilledError, match=re.escape(words)):
            await work
    assert len(pids) == 2
    return pids


async def test_child_that_closes_its_channel_is_still_supervised(environment: SandboxEnvironment) -> None:
    request = {"bytes": "", "shutdown": True}
    entry = f"{ENTRIES}:say"
    with pytest.raises(AnalysisKilledError, match="took longer than"):
        await environment.runner.run(entry, request, sandbox=None, deadline=3)
    assert environment.left() == []
    with pytest.raises(AnalysisKilledError, match="PermissionError"):
        await environment.runner.run(entry, request, sandbox=environment.profiles()["collecting"], deadline=60)
    assert environment.left() == []


async def test_job_directory_is_removed_with_any_content(environment: SandboxEnvironment) -> None:
    for name, more in {"deep_directories": {"depth": 1500}, "a_closed_directory": {"megabytes": 1}}.items():
        async with job_workspace(environment.directory) as scratch:
            request = {"scratch": str(scratch), "linger": 0, **more}
            await environment.runner.run(f"{ENTRIES}:{name}", request, sandbox=None, deadline=60)
        assert not scratch.exists()
