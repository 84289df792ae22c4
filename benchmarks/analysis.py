"""Our wall time beside the tools' own command lines, run in turn on the same tree, as a ratio. `make bench`.

`--tree DIRECTORY` takes a git work tree of yours; else one is made of the standard library's files. PMD CPD takes part
where PMD_HOME names an unpacked distribution and `java` is there; `deps` has no command line to be held against.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.process_tree import Peak, TreeSampler
from benchmarks.trees import change_files, make_tree

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


def seconds(command: Sequence[str], **options: object) -> float:
    """Wall time of one run, its output thrown away."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **options)  # type: ignore[call-overload]
    return time.perf_counter() - started


def ours(tree: Path) -> tuple[float, Mapping[str, int], Peak]:
    """Wall time of `vibe8 analyze`, cold, what it says of its own stages in ms, and the tree's peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PACKAGE_INDEX_URL": "", "SCRATCH_DIR": scratch, "MAX_CLONE_MB": "4096"}
        command = [sys.executable, "-m", "worker", "analyze", str(tree), "--json"]
        started = time.perf_counter()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
            with TreeSampler(running.pid) as sampler:
                said, _ = running.communicate()
            took = time.perf_counter() - started
        if running.returncode:
            raise SystemExit(f"vibe8 analyze ended with {running.returncode}")
    document = json.loads(said)
    failed = [name for name, word in document["completeness"]["collectors"].items() if word != "ok"]
    if failed:
        print(f"not complete: {', '.join(failed)}")
    return took, document["timings_ms"], sampler.peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, help="a git work tree; made if not given")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=13_000)
    parser.add_argument("--runs", type=int, default=3, help="runs of ours; the median is taken")
    parser.add_argument("--scaling", action="store_true", help="seconds per further 1,000 lines, and no tools")
    parser.add_argument("--next-commit", action="store_true", help="after the cold run, 1%% of the files change")
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
        bare = Path(temporary) / "bare.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(tree), str(bare)], check=True)  # nosec B607 # noqa: S607 - this machine's own git
        compare(tree, bare, options.runs)
        if options.next_commit and options.tree is None:  # never a commit in a tree of yours
            print(f"\nthe next commit, {change_files(tree, CHANGED_SHARE)} files changed")
            subprocess.run(["git", "-C", str(bare), "fetch", "-q", str(tree), "+main:main"], check=True)  # nosec B607 # noqa: S607 - this machine's own git
            compare(tree, bare, options.runs)


def scaling(runs: int) -> None:
    """Print what each further 1,000 lines cost, with next to no history, so that churn is left out."""
    before: tuple[int, float] | None = None
    for wanted in SIZES:
        with tempfile.TemporaryDirectory(prefix="vibe8-bench-") as temporary:
            tree = Path(temporary) / "tree"
            lines = make_tree(tree, lines=wanted, commits=1)
            took = min(ours(tree)[0] for _ in range(runs))
        slope = "" if before is None else f"{(took - before[1]) / (lines - before[0]) * 1e6:8.1f} ms per further 1,000"
        print(f"{lines:>10,} lines{took:8.2f} s{slope}", flush=True)
        before = lines, took


def compare(tree: Path, bare: Path, runs: int) -> None:
    """Print the table and the ratio."""
    print(f"{platform.python_implementation()} {platform.python_version()}, {len(os.sched_getaffinity(0))} cores")
    mine = sorted((ours(tree) for _ in range(runs)), key=lambda run: run[0])
    took, stages, _ = mine[len(mine) // 2]
    peak = max((each for _, _, each in mine), key=lambda each: each.pss)
    total = 0.0
    for name, command in tools(tree, bare).items():
        spent = seconds(command, cwd="/")
        total += spent
        print(f"{name:<18}{spent:8.2f} s")
    print(f"{'the tools in turn':<18}{total:8.2f} s")
    print(f"{'vibe8 analyze':<18}{took:8.2f} s   (median of {runs})")
    print(f"{'ratio':<18}{total / took:8.1f} x")
    for name, spent in sorted(stages.items(), key=lambda item: -item[1]):
        print(f"    {name:<26}{spent:8d} ms")
    print(f"peak memory of the process tree: {peak.pss / 1e6:.0f} MB (PSS of {peak.processes} processes)")


if __name__ == "__main__":
    main()
