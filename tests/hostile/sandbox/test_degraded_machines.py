"""The sandbox where the kernel, the container or the worker's user offers less.

Missing guarantees are reported, and the remaining ones hold.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infrastructure.sandbox import syscall_numbers
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.worker_process import COMMAND
from tests.hostile.support.sandbox_environment import FLOODS, make_public_directory
from worker.analysis.workspace import remove_tree

ROOT = os.geteuid() == 0
ORDINARY_USER = ("--public-python", "--user", "12345") if ROOT else ()
NAMESPACE, TCP_PORT = "separate network namespace", "only git's TCP port"

OPEN_TO_EVERY_USER = {"read_passwd", "list_root_directory", "run_shell"}
OPEN_TO_THE_SAME_USER = {
    "list_all_scratch_directories", "read_worker_file", "link_worker_file", "read_other_jobs_source",
    "change_other_jobs_source", "kill_worker", "signal_supervisor",
}  # fmt: skip
OPEN_TO_THE_OWNER_OF_THE_CODE = (
    set[str]() if ROOT or not os.access(syscall_numbers.__file__, os.W_OK) else {"open_our_code_for_writing"}
)
"""As root the tests use a user that owns nothing; a person who runs them in a clone may write its files."""

BLOCKED_BY_SECCOMP = {
    "connect_by_unix_socket", "send_through_socketpair", "open_netlink_socket", "leave_session",
    "leave_process_group", "clear_parent_death_signal", "become_undumpable", "create_user_namespace",
    "clone_into_user_namespace", "create_memfd", "open_scratch_to_everybody", "change_times_of_own_scratch",
    "set_flags_of_own_scratch", "set_attribute_of_own_scratch", "change_owner_of_own_scratch",
    "watch_names_in_other_jobs_directory", "make_pair_of_connected_sockets",
    "hold_memory_that_no_process_has", "move_memory_to_the_swap_space",
}  # fmt: skip
OPEN_TO_THE_SAME_USER_WITHOUT_SECCOMP = {
    "set_worker_limits", "lower_worker_priority", "set_worker_affinity", "change_mode_of_worker_file",
    "change_mode_of_worker_file_by_a_newer_call", "change_owner_of_worker_file", "change_times_of_worker_file",
    "set_attribute_of_worker_file",
}  # fmt: skip


@dataclass(frozen=True)
class DegradedMachine:
    """A machine without some features.

    `options` make it, `missing` are the guarantees that it lacks, `leaks` the attacks that succeed in a collecting
    child, and `floods` the floods that are not stopped.
    """

    options: tuple[str, ...]
    missing: frozenset[str] = frozenset()
    leaks: frozenset[str] = frozenset()
    floods: frozenset[str] = frozenset()

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        degraded = [sys.executable, "-m", "tests.hostile.support.degraded_machine", *self.options, "--", *command]
        return subprocess.run(
            degraded, env={**os.environ, **environment}, cwd=Path(__file__).parents[3], capture_output=True, text=True,
            check=False,
        )  # fmt: skip


MACHINES = {
    "ordinary user": DegradedMachine(options=ORDINARY_USER),
    "ordinary user in a plain container": DegradedMachine(
        options=(*ORDINARY_USER, "--without", "unshare"), missing=frozenset({NAMESPACE})
    ),
    "ordinary user without Landlock": DegradedMachine(
        options=(*ORDINARY_USER, "--without", "landlock", "--without", "unshare"),
        missing=frozenset(
            {"only its own files", NAMESPACE, TCP_PORT, "no signals to other processes", "limited memory, CPU and disk"}
        ),
        leaks=frozenset(
            OPEN_TO_EVERY_USER
            | OPEN_TO_THE_SAME_USER
            | OPEN_TO_THE_OWNER_OF_THE_CODE
            | {"read_worker_environment", "read_worker_memory_map", "read_link_of_worker_process"}
        ),
        floods=frozenset({"write_deleted_files", "open_sockets"}),
    ),
    "ordinary user without seccomp": DegradedMachine(
        options=(*ORDINARY_USER, "--without", "seccomp"),
        missing=frozenset({"no network", "no dangerous system calls"}),
        leaks=frozenset(BLOCKED_BY_SECCOMP | OPEN_TO_THE_SAME_USER_WITHOUT_SECCOMP),
    ),
}
ROOT_MACHINES = {
    "root in a plain container": DegradedMachine(
        options=("--public-python", "--container-root", "--without", "unshare"), missing=frozenset({NAMESPACE})
    ),
    "root without Landlock": DegradedMachine(
        options=("--public-python", "--without", "landlock"),
        missing=frozenset({"only its own files", TCP_PORT}),
        leaks=frozenset(OPEN_TO_EVERY_USER),
    ),
    "root without seccomp": DegradedMachine(
        options=("--without", "seccomp"),
        missing=frozenset({"no network", "no dangerous system calls"}),
        leaks=frozenset(BLOCKED_BY_SECCOMP),
    ),
}
ALL_MACHINES = {**MACHINES, **ROOT_MACHINES} if ROOT else MACHINES
NOT_MANDATORY = {NAMESPACE, TCP_PORT}


@pytest.mark.parametrize("name", ALL_MACHINES)
def test_remaining_guarantees_hold_and_missing_ones_are_reported(name: str) -> None:
    machine = ALL_MACHINES[name]
    done = machine.run(sys.executable, "-m", "tests.hostile.support.sandbox_environment")
    assert done.returncode == 0, done.stderr
    report: Mapping[str, Any] = json.loads(done.stdout)
    assert {each["name"] for each in report["guarantees"] if not each["available"]} == machine.missing
    assert {each["name"] for each in report["guarantees"] if not each["mandatory"]} == NOT_MANDATORY
    assert set(report["leaks"]["collecting"]) == machine.leaks
    if not machine.missing - NOT_MANDATORY:
        assert set(report["leaks"]["fetching"]) == {"send_by_udp"}
    assert {flood for flood in FLOODS if report["floods"][flood] is None} == machine.floods


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A repository with one commit that every user may read, in a directory where scratch can be made."""
    directory = make_public_directory()
    work = WorkTree(directory / "source")
    work.write("a.py", "def f(x):\n    return x\n")
    work.commit("one")
    if ORDINARY_USER:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, 12345, 12345)
    yield work.path
    remove_tree(directory)


@pytest.mark.parametrize("name", ALL_MACHINES)
def test_analysis_works_with_a_degraded_sandbox_and_is_refused_with_sandbox_required(name: str, source: Path) -> None:
    machine = ALL_MACHINES[name]
    environment = {"SCRATCH_DIR": str(source.parent / "scratch"), "PACKAGE_INDEX_URL": ""}
    command = (*COMMAND, "analyze", str(source), "--json")
    finished = machine.run(*command, **environment)
    assert finished.returncode == 0, finished.stderr
    run = json.loads(finished.stdout)
    assert run["errors"] == []
    assert (run["metrics"]["size"]["files"], run["metrics"]["churn"]["total_commits"]) == (1, 1)
    finished = machine.run(*command, SANDBOX="required", **environment)
    missing = machine.missing - NOT_MANDATORY
    assert finished.returncode == (2 if missing else 0)
    if missing:
        (line,) = finished.stderr.splitlines()
        assert "SANDBOX=required cannot be met" in line
        assert all(each in line for each in missing)
