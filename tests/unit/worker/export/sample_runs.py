"""Results to export: one of two small files, with changes, and documents of hostile text."""

from typing import Any

from hypothesis import strategies as st

from collectors.engine.discovery import declarations
from domain.findings.severity import SEVERITIES
from tests.fixtures.jobs import analysis
from tests.hostile.support.naughty_strings import TEXTS
from worker.export.export_format import ExportFormat
from worker.export.formats import export_document

HOSTILE = (*TEXTS, "=cmd()", "x;=cmd()", "</script>", "`](javascript:x)", "![x](https://evil.test/x.png)", "@everyone")


def finding(metric: str = "lint", rule: str = "F401", **changes: Any) -> dict[str, Any]:
    """Make a finding, as a run lists it."""
    item = {
        "metric": metric,
        "rule": rule,
        "severity": "low",
        "path": "a.py",
        "line": 3,
        "column": 5,
        "end_line": 3,
        "end_column": 9,
        "function": None,
        "message": "`os` imported but unused",
        "identity": "cba0263647769a2b",
        "line_hash": "cba0263647769a2b",
        "location_hash": "92c227520cf339cd:1",
        "fingerprint": "0ced694f80d55b54",
    }
    return item | changes


def old_finding(metric: str = "lint", rule: str = "F401", **changes: Any) -> dict[str, Any]:
    """Make a finding of a run from before findings had severities, columns and hashes."""
    keys = ("metric", "rule", "path", "line", "function", "message")
    return {key: value for key, value in finding(metric, rule).items() if key in keys} | changes


def file_node(path: str, *, health: float | None = 50.0, sloc: int | None = 10, role: str = "source") -> dict[str, Any]:
    metrics = {"size": {"sloc": sloc}, "health_score": health}
    return {"name": path, "type": "file", "path": path, "role": role, "metrics": metrics}


def document(*findings: Any, files: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    """Make a result with these findings in which all collectors are `ok`."""
    made = analysis().document()
    tree = {"name": "root", "type": "directory", "path": "", "children": files or [file_node("a.py")]}
    completeness = {**made["completeness"], "collectors": {metric.name: "ok" for metric in declarations()}}
    values = {
        "job": None,
        "source": {"git_repo_url": "https://github.com/o/r", "git_branch": "main", "git_commit_sha": "a" * 40},
        "findings": {"total": len(findings), "items": list(findings)},
        "file_tree": tree,
        "completeness": completeness,
        "tool_versions": {"ruff": "0.17.6", "bandit": "1.9.4"},
    }
    return {**made, **values, **changes}


def export(result: dict[str, Any], name: str, **options: Any) -> bytes:
    return export_document(result, ExportFormat(name), declarations(), **options)


_TEXT = st.one_of(st.text(max_size=30), st.sampled_from(HOSTILE))
_NUMBER = st.one_of(st.none(), st.integers(-1, 9), st.integers(), st.booleans(), _TEXT)
_FINDINGS = st.fixed_dictionaries(
    {
        "metric": st.one_of(st.sampled_from(["lint", "security"]), st.sampled_from(["lint", "docs"]), _TEXT),
        "rule": _TEXT,
        "path": st.one_of(_TEXT, st.sampled_from(HOSTILE)),
        "line": _NUMBER,
        "message": _TEXT,
    },
    optional={
        "function": st.one_of(st.none(), _TEXT),
        "severity": st.sampled_from([*SEVERITIES, "fatal", None]),
        "column": _NUMBER,
        "end_line": _NUMBER,
        "end_column": _NUMBER,
        "line_hash": st.one_of(st.none(), _TEXT),
        "location_hash": st.one_of(st.none(), _TEXT),
        "fingerprint": st.one_of(st.none(), _TEXT),
        "state": st.one_of(st.sampled_from(["new", "updated", "moved", "tool_changed", "unchanged"]), _TEXT),
        "first_seen_at": st.one_of(st.none(), _TEXT),
    },
)


@st.composite
def hostile_documents(draw: st.DrawFn) -> dict[str, Any]:
    """Make results whose texts, places and states are anything that a row can hold, with or without a comparison."""
    items = draw(st.lists(st.one_of(_FINDINGS, st.just(None), st.just({})), min_size=1, max_size=6))
    gone = draw(st.lists(_FINDINGS, max_size=3))
    made = document(*items, files=[file_node(draw(_TEXT)) for _ in range(2)])
    made["errors"] = draw(st.lists(_TEXT, max_size=3))
    made["source"] = {
        "git_repo_url": draw(st.just("https://h/") | _TEXT),
        "git_branch": draw(_TEXT),
        "git_commit_sha": draw(_TEXT),
        "project_name": draw(_TEXT),
        "created_at": draw(_TEXT),
    }
    if draw(st.booleans()):
        made["comparison"] = {"counts": {}, "baseline_counts": {}, "fixed": {"total": len(gone), "items": gone}}
    return made
