"""Time of `vibe8 analyze`, compared with the tools' own command lines on the same tree: `make bench`.

`--tree DIRECTORY` measures a git work tree of yours; by default one is made from the standard library's files. With
`--look-ups` the package index is asked, as in any run; PACKAGE_INDEX_URL names it. The runs that are compared use no
cache; the time of a run that finds the facts of an earlier one is printed beside them. PMD CPD is included if PMD_HOME
names an unpacked distribution and `java` is installed. `deps` has no command line to compare with.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.next_commit import next_commits
from benchmarks.process_tree import Peak, TreeSampler
from benchmarks.trees import copy_tree, make_tree

BIN = Path(sys.executable).parent
CHANGED_SHARE = 0.01
SIZES = (50_000, 100_000, 200_000, 400_000, 600_000)


def tool_commands(tree: Path, bare: Path) -> Mapping[str, Sequence[str]]:
    """Return each tool's command line, as a user would type it."""
    commands = {
        "ruff": [
            str(BIN / "ruff"),
            "check",
            "--isolated",
            "--no-cache",
            "--no-respect-gitignore",
            "--quiet",
            str(tree),
        ],
        "radon cc": [str(BIN / "radon"), "cc", "--json", str(tree)],
        "radon mi": [str(BIN / "radon"), "mi", "--json", str(tree)],
        "radon raw": [str(BIN / "radon"), "raw", "--json", str(tree)],
        "docstr-coverage": [str(BIN / "docstr-coverage"), "--verbose=0", str(tree)],
        "vulture": [str(BIN / "vulture"), "--min-confidence", "60", str(tree)],
        "bandit": [str(BIN / "bandit"), "-q", "-r", "-f", "json", str(tree)],
        "git log": ["git", "-C", str(bare), "log", "--numstat", "--no-merges", "--no-renames", "--format=", "HEAD"],
    }
    pmd = os.environ.get("PMD_HOME")
    if pmd and shutil.which("java"):
        java = ["java", "-cp", f"{pmd}/lib/*", "net.sourceforge.pmd.cli.PmdCli"]
        commands["PMD CPD"] = [
            *java, "cpd", "--minimum-tokens", "50", "--language", "python", "--no-fail-on-violation",
            "--dir", str(tree),
        ]  # fmt: skip
    return commands


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time and CPU time (user and system, of all processes), in seconds."""

    wall: float
    cpu: float

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.wall + other.wall, self.cpu + other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:8.2f} s{self.cpu:8.2f} s"


def measure(command: Sequence[str]) -> Cost:
    """Run the command once, discard its output, and return its cost."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure_vibe8(
    tree: Path, *, sampled: bool, look_ups: bool = False, cache: Path | None = None
) -> tuple[Cost, Mapping[str, int], Peak]:
    """Run `vibe8 analyze`; return its cost, its own stage times in ms, and its peak memory.

    `cache` is the user's cache directory for this run; None: no cache. Sampling costs time, so a run whose wall time
    counts is not sampled; then CPU time and memory are 0.
    """
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "SCRATCH_DIR": scratch, "MAX_CLONE_MB": "4096", "XDG_CACHE_HOME": str(cache)}
        if not look_ups:
            environment["PACKAGE_INDEX_URL"] = ""
        command = [sys.executable, "-m", "worker", "analyze", str(tree), "--json"]
        command += [] if cache else ["--no-cache"]
        started = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            sampler = TreeSampler(running.pid)
            with sampler if sampled else nullcontext():
                output, _ = running.communicate()
            wall = time.perf_counter() - started
        if running.returncode:
            raise SystemExit(f"vibe8 analyze failed with exit code {running.returncode}")
    document = json.loads(output)
    incomplete = [name for name, status in document["completeness"]["collectors"].items() if status != "ok"]
    if incomplete:
        print(f"not complete: {', '.join(incomplete)}")
    return Cost(wall, sampler.cpu_seconds), document["timings_ms"], sampler.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, help="a git work tree; by default one is made")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=13_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of vibe8; the median counts")
    parser.add_argument("--scaling", action="store_true", help="measure the cost of each further 1,000 lines; no tools")
    parser.add_argument(
        "--next-commit", action="store_true", help="measure a running worker with 1%% of the files changed"
    )
    parser.add_argument("--look-ups", action="store_true", help="let vibe8 ask the package index")
    options = parser.parse_args()
    if options.scaling:
        scaling(options.runs)
        return
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as temporary:
        tree = options.tree
        if tree is None:
            tree = Path(temporary) / "tree"
            lines = make_tree(tree, lines=options.lines, commits=options.commits)
            print(f"tree: {lines:,} lines of the standard library, {options.commits:,} commits")
        elif options.next_commit:  # which commits to the tree
            tree = copy_tree(options.tree, Path(temporary) / "tree")
        bare = Path(temporary) / "bare.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(tree), str(bare)], check=True)  # nosec B607 # noqa: S607 - this machine's own git
        if options.next_commit:
            next_commit(tree, bare, options.runs)
        else:
            compare(tree, bare, options.runs, look_ups=options.look_ups)


def scaling(runs: int) -> None:
    """Print the cost of each further 1,000 lines, with one commit only, so that churn costs nothing."""
    print(machine())
    smaller: tuple[int, Cost] | None = None
    for wanted in SIZES:
        with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as temporary:
            tree = Path(temporary) / "tree"
            lines = make_tree(tree, lines=wanted, commits=1)
            best = min((measure_vibe8(tree, sampled=True)[0] for _ in range(runs)), key=lambda run: run.cpu)
        print(f"{lines:>10,} lines{best}{'' if smaller is None else _slope(smaller, (lines, best))}", flush=True)
        smaller = lines, best


def _slope(smaller: tuple[int, Cost], larger: tuple[int, Cost]) -> str:
    lines = (larger[0] - smaller[0]) / 1000
    wall, cpu = larger[1].wall - smaller[1].wall, larger[1].cpu - smaller[1].cpu
    return f"{wall / lines * 1000:9.1f} ms, {cpu / lines * 1000:.1f} ms of CPU per further 1,000"


def compare(tree: Path, bare: Path, runs: int, *, look_ups: bool) -> None:
    """Print the table and the ratios."""
    vibe8_runs = sorted(
        (measure_vibe8(tree, sampled=False, look_ups=look_ups) for _ in range(runs)), key=lambda run: run[0].wall
    )
    timed, stages, _ = vibe8_runs[len(vibe8_runs) // 2]
    sampled, _, peak = measure_vibe8(tree, sampled=True, look_ups=look_ups)
    second_runs = measure_second_runs(tree, runs, look_ups=look_ups)
    vibe8 = Cost(timed.wall, sampled.cpu)
    print(f"{machine()}\n{'':<18}{'wall':>10}{'CPU':>10}")
    total = measure_tools(tree, bare)
    print(f"{'the tools in turn':<18}{total}")
    print(f"{'vibe8 analyze':<18}{vibe8}   (wall: median of {runs}; CPU and memory: one further run, sampled)")
    print(f"{'ratio':<18}{total.wall / vibe8.wall:8.1f} x{total.cpu / vibe8.cpu:8.1f} x")
    print(f"{'a second run':<18}{second_runs:8.2f} s   (with what the first has kept; median of {runs})")
    for name, milliseconds in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"    {name:<26}{milliseconds:8d} ms")
    print(f"peak memory of the process tree: {peak.pss / 1e6:.0f} MB (PSS of {peak.processes} processes)")


def measure_second_runs(tree: Path, runs: int, *, look_ups: bool) -> float:
    """Return the median of the wall times of runs that find the facts of an earlier run in the cache."""
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as directory:
        cache = Path(directory)
        walls = [measure_vibe8(tree, sampled=False, look_ups=look_ups, cache=cache)[0].wall for _ in range(runs + 1)]
    return statistics.median(walls[1:])


def measure_tools(tree: Path, bare: Path) -> Cost:
    """Run the tools one after another, print the cost of each, and return the sum."""
    total = Cost(0.0, 0.0)
    for name, command in tool_commands(tree, bare).items():
        cost = measure(command)
        total += cost
        print(f"{name:<18}{cost}", flush=True)
    return total


def next_commit(tree: Path, bare: Path, runs: int) -> None:
    """Print the cost of collecting in a running worker at each next commit, and of the tools on the same commit."""
    tool_costs: list[Cost] = []

    def run_tools() -> None:
        subprocess.run(["git", "-C", str(bare), "fetch", "-q", str(tree), "+main:main"], check=True)  # nosec B607 # noqa: S607 - this machine's own git
        tool_costs.append(measure_tools(tree, bare))

    print(f"{machine()}\n{'':<18}{'wall':>10}{'CPU':>10}")
    collecting_costs = next_commits(tree, CHANGED_SHARE, runs, run_tools)
    for collecting, total in zip(collecting_costs, tool_costs, strict=True):
        print(f"{'the tools in turn':<18}{total}")
        print(f"{'collecting':<18}{Cost(collecting.wall, collecting.cpu)}   ({collecting.changed} files changed)")
        print(f"{'ratio':<18}{total.wall / collecting.wall:8.1f} x{total.cpu / collecting.cpu:8.1f} x")


def machine() -> str:
    """Describe the machine and its load; with a load above the number of cores, wall times are unreliable."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
