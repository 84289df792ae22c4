"""The `file_tree` document: a directory of directories and files, each file with its numbers and severities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.metrics import severity
from domain.metrics.scoring import health_score
from domain.text import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFile:
    """One file and what each collector said of it: collector name to numbers, absent where it failed.

    `size` is in bytes; `sloc` is None where the file cannot be tokenized.
    """

    path: str
    size: int
    sloc: int | None
    parse_error: str | None = None
    numbers: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)


def file_metrics(file: MeasuredFile) -> dict[str, JSON]:
    """The `metrics` object of one file: each number with its severity, null where it was not measured."""
    sloc = file.sloc or 0
    numbers = file.numbers

    def number(collector: str, key: str) -> Any:
        return numbers.get(collector, {}).get(key)

    def graded(value: Any, judge: Any, *context: int) -> str | None:
        return None if value is None else str(judge(value, *context))

    complexity, lint = number("cyclomatic", "max"), number("lint", "count")
    docs, mi = number("docs", "coverage_pct"), number("mi", "value")
    dead, dupes, churn = number("dead_code", "count"), number("dupes", "lines"), number("churn", "lines")
    high, medium, low = (number("security", key) for key in ("high", "medium", "low"))
    return {
        "complexity": {
            "value": complexity,
            "avg": number("cyclomatic", "avg"),
            "severity": graded(complexity, severity.complexity),
        },
        "lint": {
            "count": lint,
            "suppressed": number("lint", "suppressed"),
            "severity": graded(lint, severity.lint, sloc),
        },
        "security": {
            "high": high,
            "medium": medium,
            "low": low,
            "suppressed": number("security", "suppressed"),
            "severity": None if high is None else str(severity.security(high, medium)),
        },
        "docs": {"value": docs, "severity": graded(docs, severity.docs)},
        "maintainability": {"value": mi, "severity": graded(mi, severity.maintainability)},
        "dead_code": {
            "count": dead,
            "suppressed": number("dead_code", "suppressed"),
            "severity": graded(dead, severity.dead_code, sloc),
        },
        "duplication": {
            "count": dupes,
            "suppressed": number("dupes", "suppressed"),
            "severity": graded(dupes, severity.duplication, sloc),
        },
        "churn": {"count": churn, "severity": graded(churn, severity.churn)},
        "size": {"sloc": file.sloc},
        "health_score": health_score(_health_inputs(file)),
    }


def _health_inputs(file: MeasuredFile) -> dict[str, float]:
    """What `HEALTH_WEIGHTS` weighs, of what was measured."""
    sloc = file.sloc or 0
    inputs: dict[str, float] = {}
    for name, collector, key in (
        ("complexity", "cyclomatic", "max"),
        ("maintainability", "mi", "value"),
        ("docs", "docs", "coverage_pct"),
        ("churn", "churn", "lines"),
    ):
        value = file.numbers.get(collector, {}).get(key)
        if value is not None:
            inputs[name] = value
    for name, collector, key in (
        ("lint", "lint", "count"),
        ("dead_code", "dead_code", "count"),
        ("duplication", "dupes", "lines"),
    ):
        value = file.numbers.get(collector, {}).get(key)
        if value is not None:
            inputs[name] = severity.density(value, sloc)
    found = file.numbers.get("security", {})
    if found.get("high") is not None:
        inputs["security"] = 10 * found["high"] + 5 * found["medium"] + found["low"]
    return inputs


def build_file_tree(files: Mapping[str, MeasuredFile]) -> dict[str, JSON]:
    """`{name: "root", type: "directory", path: "", children}`; directories first, then by name."""
    root = _directory("root", "")
    directories: dict[str, dict[str, JSON]] = {"": root}
    for path in sorted(files):
        parent = _ensure_directory(directories, path.rpartition("/")[0])
        parent["children"].append(_file_node(files[path]))
    for node in directories.values():
        node["children"].sort(key=lambda child: (child["type"] != "directory", child["name"]))
    return root


def _directory(name: str, path: str) -> dict[str, JSON]:
    return {"name": name, "type": "directory", "path": path, "children": []}


def _ensure_directory(directories: dict[str, dict[str, JSON]], path: str) -> dict[str, JSON]:
    missing = []
    while path not in directories:
        missing.append(path)
        path = path.rpartition("/")[0]
    for step in reversed(missing):
        node = _directory(step.rpartition("/")[2], step)
        directories[step.rpartition("/")[0]]["children"].append(node)
        directories[step] = node
        path = step
    return directories[path]


def _file_node(file: MeasuredFile) -> dict[str, JSON]:
    name = file.path.rpartition("/")[2]
    node: dict[str, JSON] = {
        "name": name,
        "type": "file",
        "path": file.path,
        "extension": "." + name.rpartition(".")[2] if "." in name else "",
        "size": file.size,
        "metrics": file_metrics(file),
    }
    if file.parse_error is not None:
        node["parse_error"] = file.parse_error
    return node
