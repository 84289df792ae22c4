"""CPU time of comparing 50,000 findings with 50,000, in the cases that cost most: `python -m benchmarks.comparison`."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from collectors.engine.discovery import discover
from collectors.engine.traits import traits_of
from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun

FINDINGS_OF_FILE = 50

Item = dict[str, Any]

TRAITS = {name: traits.to_json() for name, traits in traits_of(discover()).items()}


def finding(number: int, **fields: Any) -> Item:
    """Return a finding whose line and identity are those of no other number."""
    digest = f"{number:016x}"
    return {
        "metric": "lint",
        "rule": "F401",
        "severity": "low",
        "path": f"d/{number // FINDINGS_OF_FILE}.py",
        "line": number % FINDINGS_OF_FILE + 1,
        "function": f"f{number % 7}",
        "message": f"`name_{number}` imported but unused",
        "identity": digest,
        "line_hash": digest,
        **fields,
    }


def changed(items: Sequence[Item], change: Callable[[Item], Mapping[str, Any]]) -> list[Item]:
    """Return copies of the findings with some fields changed."""
    return [{**item, **change(item)} for item in items]


def cases(count: int) -> Iterator[tuple[str, list[Item], list[Item]]]:
    """Yield a name, and the findings of the two runs."""
    items = [finding(number) for number in range(count)]
    yield "equal runs", items, changed(items, lambda _: {})
    yield "lines inserted", items, changed(items, lambda item: {"line": item["line"] + 1})
    yield (
        "nothing in common",
        items,
        changed(items, lambda item: {"identity": "x" + item["identity"], "line_hash": "x"}),
    )
    yield "every line edited", items, changed(items, lambda item: {"identity": "x" + item["identity"], "function": "g"})
    yield "all files renamed", items, changed(items, lambda item: {"path": "n/" + item["path"]})
    same = [finding(0, path="a.py", line=number, identity="x", line_hash="x") for number in range(count)]
    yield "one text on all lines", same, changed(same, lambda item: {"line": item["line"] + count})
    small = [finding(0, path=f"{number // 4}.py", line=number, identity=f"{number % 8}") for number in range(count)]
    yield "small files alike, all renamed", small, changed(small, lambda item: {"path": "n/" + item["path"]})
    names = [finding(number, metric="dead_code", rule="unused-variable", path="a.py") for number in range(count)]
    yield "all names changed", names, changed(names, lambda item: {"identity": "y" + item["identity"]})


def run_of(items: Sequence[Item]) -> MeasuredRun:
    """Return a run with these findings, and with their files."""
    paths = sorted({item["path"] for item in items})
    measured = {"lint": {"count": 1}, "dead_code": {"count": 1}}
    children = [{"type": "file", "path": path, "digest": path, "role": "source", "metrics": measured} for path in paths]
    return MeasuredRun(
        metrics={},
        findings={"total": len(items), "items": items, "cut": {}, "metrics": TRAITS},
        file_tree={"type": "directory", "path": "", "children": children},
        completeness={"collectors": {"lint": "ok", "dead_code": "ok"}, "skipped": [], "skipped_total": 0},
        tool_versions={"python": "3.11.0", "ruff": "1"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--findings", type=int, default=50_000)
    for name, before, after in cases(parser.parse_args().findings):
        runs = run_of(before), run_of(after)
        started = time.process_time()
        found = compare_runs(*runs)
        spent = time.process_time() - started
        matched = len(after) - sum(item["state"] in {"new", "not_measured"} for item in found.items)
        print(f"{name:32}{spent:6.2f} s CPU{matched:8} of {len(after)} matched")


if __name__ == "__main__":
    main()
