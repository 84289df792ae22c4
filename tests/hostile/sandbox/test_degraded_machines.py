"""Where the kernel, the container or the worker's rights give less: what is missing is said, and the rest holds."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.git_repository import WorkTree
from tests.fixtures.worker_process import COMMAND
from tests.hostile.support.sandbox_environment import FLOODS, open_directory
from worker.analysis.workspace import remove_tree

ROOT = os.geteuid() == 0
USER = ("--public-python", "--user", "12345") if ROOT else ()
NAMESPACE, PORTS = "separate network namespace", "only git's TCP port"

OPEN_TO_ALL = {"read_passwd", "list_the_root", "run_a_shell"}
OF_THE_SAME_USER = {
    "list_scratch_of_all", "read_the_workers_file", "link_the_workers_file", "read_a_neighbours_source",
    "change_a_neighbours_source", "kill_the_worker", "kill_the_guardian",
}  # fmt: skip
BY_SYSTEM_CALL = {
    "connect_by_unix_socket", "send_through_a_pair", "ask_the_kernel_of_the_network", "leave_the_session",
    "leave_the_group", "outlive_the_guardian", "hide_open_files", "make_a_namespace",
    "make_a_namespace_with_a_process", "take_memory_that_no_limit_counts",
}  # fmt: skip
OVER_THE_SAME_USER = {"limit_the_worker", "slow_the_worker", "pin_the_worker"}


@dataclass(frozen=True)
class Machine:
    """How it is made, which guarantees it lacks, and what a collecting child can do there all the same."""

    options: tuple[str, ...]
    missing: frozenset[str] = frozenset()
    won: frozenset[str] = frozenset()
    floods: frozenset[str] = frozenset()

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        poorer = [sys.executable, "-m", "tests.hostile.support.degraded_machine", *self.options, "--", *command]
        return subprocess.run(
            poorer, env={**os.environ, **environment}, cwd=Path(__file__).parents[3], capture_output=True, text=True,
            check=False,
        )  # fmt: skip


MACHINES = {
    "a user": Machine(options=USER),
    "a user in a plain container": Machine(options=(*USER, "--without", "unshare"), missing=frozenset({NAMESPACE})),
    "a user without Landlock": Machine(
        options=(*USER, "--without", "landlock", "--without", "unshare"),
        missing=frozenset(
            {"only its own files", NAMESPACE, PORTS, "no signals to other processes", "limited memory, CPU and disk"}
        ),
        won=frozenset(
            OPEN_TO_ALL | OF_THE_SAME_USER | {"read_the_workers_environment", "read_the_workers_map_of_memory"}
        ),
        floods=frozenset({"files_without_a_name"}),
    ),
    "a user without filters": Machine(
        options=(*USER, "--without", "seccomp"),
        missing=frozenset({"no network", "no dangerous system calls"}),
        won=frozenset(BY_SYSTEM_CALL | OVER_THE_SAME_USER),
    ),
}
OF_ROOT = {
    "root in a plain container": Machine(
        options=("--public-python", "--container-root", "--without", "unshare"), missing=frozenset({NAMESPACE})
    ),
    "root without Landlock": Machine(
        options=("--public-python", "--without", "landlock"),
        missing=frozenset({"only its own files", PORTS}),
        won=frozenset(OPEN_TO_ALL),
    ),
    "root without filters": Machine(
        options=("--without", "seccomp"),
        missing=frozenset({"no network", "no dangerous system calls"}),
        won=frozenset(BY_SYSTEM_CALL),
    ),
}
EVERY = {**MACHINES, **OF_ROOT} if ROOT else MACHINES
NOT_MANDATORY = {NAMESPACE, PORTS}


@pytest.mark.parametrize("name", EVERY)
def test_remaining_guarantees_hold_and_missing_ones_are_reported(name: str) -> None:
    machine = EVERY[name]
    finished = machine.run(sys.executable, "-m", "tests.hostile.support.sandbox_environment")
    assert finished.returncode == 0, finished.stderr
    report: Mapping[str, Any] = json.loads(finished.stdout)
    assert {one["name"] for one in report["guarantees"] if not one["available"]} == machine.missing
    assert {one["name"] for one in report["guarantees"] if not one["mandatory"]} == NOT_MANDATORY
    assert set(report["won"]["collecting"]) == machine.won
    if not machine.missing - NOT_MANDATORY:
        assert set(report["won"]["fetching"]) == {"send_by_udp"}
    assert {flood for flood in FLOODS if report["floods"][flood] is None} == machine.floods


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A repository with a commit, where every user may read it, and room for scratch."""
    directory = open_directory()
    work = WorkTree(directory / "source")
    work.write("a.py", "def f(x):\n    return x\n")
    work.commit("one")
    if USER:
        for path in (directory, *directory.rglob("*")):
            os.chown(path, 12345, 12345)
    yield work.path
    remove_tree(directory)


@pytest.mark.parametrize("name", EVERY)
def test_analysis_works_with_a_degraded_sandbox_and_is_refused_with_sandbox_required(name: str, source: Path) -> None:
    machine = EVERY[name]
    environment = {"SCRATCH_DIR": str(source.parent / "scratch"), "PACKAGE_INDEX_URL": ""}
    command = (*COMMAND, "analyze", str(source), "--json")
    finished = machine.run(*command, **environment)
    assert finished.returncode == 0, finished.stderr
    run = json.loads(finished.stdout)
    assert run["errors"] == []
    assert (run["metrics"]["size"]["files"], run["metrics"]["churn"]["total_commits"]) == (1, 1)
    finished = machine.run(*command, SANDBOX="required", **environment)
    lacking = machine.missing - NOT_MANDATORY
    assert finished.returncode == (2 if lacking else 0)
    if lacking:
        (line,) = finished.stderr.splitlines()
        assert "SANDBOX=required cannot be met" in line
        assert all(each in line for each in lacking)
