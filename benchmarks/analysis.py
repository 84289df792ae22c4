"""Our wall time beside the tools' own command lines, run in turn on the same tree, as a ratio. `make bench`.

`--tree DIRECTORY` takes a git work tree of yours; else one is made of the standard library's files. PMD CPD takes part
where PMD_HOME names an unpacked distribution and `java` is there; `deps` has no command line to be held against.
"""

import argparse
import json
import os
import platform
import resource
import shutil
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
from benchmarks.trees import make_tree

BIN = Path(sys.executable).parent
CHANGED_SHARE = 0.01
SIZES = (50_000, 100_000, 200_000, 400_000, 600_000)


def tools(tree: Path, bare: Path) -> Mapping[str, Sequence[str]]:
    """Each tool's command line, as a user would type it."""
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


def cost(command: Sequence[str]) -> Cost:
    """What one run costs, its output thrown away."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def ours(tree: Path, *, watched: bool) -> tuple[Cost, Mapping[str, int], Peak]:
    """What `vibe8 analyze` costs, cold; what it says of its own stages in ms; and the tree's peak memory.

    Watching takes time of the two cores: a run that is timed is not watched, and has no CPU time and no memory to tell.
    """
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PACKAGE_INDEX_URL": "", "SCRATCH_DIR": scratch, "MAX_CLONE_MB": "4096"}
        command = [sys.executable, "-m", "worker", "analyze", str(tree), "--json"]
        started = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            sampler = TreeSampler(running.pid)
            with sampler if watched else nullcontext():
                said, _ = running.communicate()
            took = time.perf_counter() - started
        if running.returncode:
            raise SystemExit(f"vibe8 analyze ended with {running.returncode}")
    document = json.loads(said)
    failed = [name for name, word in document["completeness"]["collectors"].items() if word != "ok"]
    if failed:
        print(f"not complete: {', '.join(failed)}")
    return Cost(took, sampler.cpu_seconds), document["timings_ms"], sampler.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, help="a git work tree; made if not given")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=13_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of ours; the median is taken")
    parser.add_argument("--scaling", action="store_true", help="seconds per further 1,000 lines, and no tools")
    parser.add_argument("--next-commit", action="store_true", help="a running worker, 1%% of the files changed")
    options = parser.parse_args()
    if options.next_commit and options.tree is not None:
        parser.error("--next-commit commits to the tree, so it takes none of yours")
    if options.scaling:
        scaling(options.runs)
        return
    with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as temporary:
        tree = options.tree
        if tree is None:
            tree = Path(temporary) / "tree"
            lines = make_tree(tree, lines=options.lines, commits=options.commits)
            print(f"tree: {lines:,} lines of the standard library, {options.commits:,} commits")
        bare = Path(temporary) / "bare.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(tree), str(bare)], check=True)  # nosec B607 # noqa: S607 - this machine's own git
        if options.next_commit:
            next_commit(tree, bare, options.runs)
        else:
            compare(tree, bare, options.runs)


def scaling(runs: int) -> None:
    """Print what each further 1,000 lines cost, with next to no history, so that churn is left out."""
    print(machine())
    before: tuple[int, Cost] | None = None
    for wanted in SIZES:
        with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as temporary:
            tree = Path(temporary) / "tree"
            lines = make_tree(tree, lines=wanted, commits=1)
            best = min((ours(tree, watched=True)[0] for _ in range(runs)), key=lambda run: run.cpu)
        print(f"{lines:>10,} lines{best}{'' if before is None else _slope(before, (lines, best))}", flush=True)
        before = lines, best


def _slope(before: tuple[int, Cost], after: tuple[int, Cost]) -> str:
    lines = (after[0] - before[0]) / 1000
    wall, cpu = after[1].wall - before[1].wall, after[1].cpu - before[1].cpu
    return f"{wall / lines * 1000:9.1f} ms, {cpu / lines * 1000:.1f} ms of CPU per further 1,000"


def compare(tree: Path, bare: Path, runs: int) -> None:
    """Print the table and the ratios."""
    mine = sorted((ours(tree, watched=False) for _ in range(runs)), key=lambda run: run[0].wall)
    timed, stages, _ = mine[len(mine) // 2]
    watched, _, peak = ours(tree, watched=True)
    took = Cost(timed.wall, watched.cpu)
    print(f"{machine()}\n{'':<18}{'wall':>10}{'CPU':>10}")
    total = in_turn(tree, bare)
    print(f"{'the tools in turn':<18}{total}")
    print(f"{'vibe8 analyze':<18}{took}   (wall: median of {runs}; CPU and memory: one more, watched)")
    print(f"{'ratio':<18}{total.wall / took.wall:8.1f} x{total.cpu / took.cpu:8.1f} x")
    for name, milliseconds in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"    {name:<26}{milliseconds:8d} ms")
    print(f"peak memory of the process tree: {peak.pss / 1e6:.0f} MB (PSS of {peak.processes} processes)")


def in_turn(tree: Path, bare: Path) -> Cost:
    """Run the tools one after another, print what each costs, and add up."""
    total = Cost(0.0, 0.0)
    for name, command in tools(tree, bare).items():
        spent = cost(command)
        total += spent
        print(f"{name:<18}{spent}", flush=True)
    return total


def next_commit(tree: Path, bare: Path, runs: int) -> None:
    """Print what collecting costs a running worker at each of the next commits, beside the tools on the same commit."""
    theirs: list[Cost] = []

    def run_tools() -> None:
        subprocess.run(["git", "-C", str(bare), "fetch", "-q", str(tree), "+main:main"], check=True)  # nosec B607 # noqa: S607 - this machine's own git
        theirs.append(in_turn(tree, bare))

    print(f"{machine()}\n{'':<18}{'wall':>10}{'CPU':>10}")
    mine = next_commits(tree, CHANGED_SHARE, runs, run_tools)
    for collecting, total in zip(mine, theirs, strict=True):
        print(f"{'the tools in turn':<18}{total}")
        print(f"{'collecting':<18}{Cost(collecting.wall, collecting.cpu)}   ({collecting.changed} files changed)")
        print(f"{'ratio':<18}{total.wall / collecting.wall:8.1f} x{total.cpu / collecting.cpu:8.1f} x")


def machine() -> str:
    """What the figures were taken on, and how busy it was: with a load above its cores, wall time says little."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
