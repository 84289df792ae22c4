"""Results to report on: one with a rejected gate and all parts, one of an early version, and very large ones."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from collectors.engine.discovery import declarations, discover
from collectors.engine.traits import traits_of
from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun
from domain.gate.evaluation import Change, Totals, evaluate
from domain.gate.policy import DEFAULT_POLICY
from domain.insights.insight import RunFacts
from domain.insights.rules import insights
from domain.statistics.standing import HIGHER_IS_BETTER
from tests.fixtures.jobs import analysis

Document = dict[str, Any]

_FOLDERS = ("shop", "shop/orders", "shop/payments", "shop/catalogue", "shop/api/v2", "tools", "tests", "tests/orders")
_NAMES = ("models", "views", "service", "client", "errors", "cache", "forms", "tasks")
_MESSAGES = {
    ("security", "B307", "high"): "Use of possibly insecure function - consider using safer ast.literal_eval.",
    ("security", "B608", "medium"): "Possible SQL injection vector through string-based query construction.",
    ("lint", "F821", "medium"): "Undefined name `currency`",
    ("lint", "F401", "low"): "`decimal.Decimal` imported but unused",
    ("cyclomatic", "CC-E", "high"): "complexity 34 of price_with_discounts",
    ("dead_code", "unused-function", "low"): "unused function 'legacy_total' (60% confidence)",
    ("dupes", "duplicated-code", "medium"): "38 lines duplicated in shop/catalogue/service.py",
    ("docs", "missing-docstring", "info"): "no docstring",
}


def finding(kind: tuple[str, str, str], path: str, line: int, **changes: Any) -> Document:
    """Make a finding of one of the kinds of `_MESSAGES`, whose identity follows from path and line."""
    metric, rule, severity = kind
    identity = hashlib.sha256(f"{metric}{path}{line}".encode()).hexdigest()[:16]
    return {
        "metric": metric, "rule": rule, "severity": severity, "path": path, "line": line, "column": 5,
        "end_line": line, "end_column": 40, "function": "Order.total", "message": _MESSAGES.get(kind, "a finding"),
        "identity": identity, "line_hash": identity, "location_hash": f"{identity}:1", "fingerprint": identity,
    } | changes  # fmt: skip


def file_node(path: str, *, health: float | None, sloc: int, role: str = "source", **changes: Any) -> Document:
    metrics = {
        "complexity": {"value": 4 + sloc // 40, "avg": 2.5, "severity": "high" if sloc > 500 else "low"},
        "lint": {"count": sloc % 7, "suppressed": 0, "severity": "medium" if sloc % 7 > 4 else "low"},
        "security": {"high": 0, "medium": sloc % 2, "low": 1, "suppressed": 0, "severity": "low"},
        "docs": {"value": 100.0 - sloc % 100, "severity": "low"},
        "maintainability": {"value": 50.0, "severity": "low"},
        "dead_code": {"count": 0, "suppressed": 0, "severity": "low"},
        "duplication": {"count": sloc % 9, "suppressed": 0, "severity": "low"},
        "churn": {"count": sloc * 3, "severity": "medium"},
        "size": {"sloc": sloc},
        "health_without_churn": health,
        "health_score": health,
    }
    digest = hashlib.sha256(path.encode()).hexdigest()[:16]
    node = {"name": path.rpartition("/")[2], "type": "file", "path": path, "extension": ".py", "size": sloc * 30}
    return {**node, "digest": digest, "role": role, "metrics": metrics} | changes


def tree(files: Iterable[Document]) -> Document:
    """Make the file tree of these nodes."""
    root: Document = {"name": "root", "type": "directory", "path": "", "children": []}
    folders = {"": root}
    for node in files:
        parent = ""
        for part in node["path"].split("/")[:-1]:
            path = f"{parent}/{part}" if parent else part
            if path not in folders:
                folders[path] = {"name": part, "type": "directory", "path": path, "children": []}
                folders[parent]["children"].append(folders[path])
            parent = path
        folders[parent]["children"].append(node)
    return root


def rejected_run() -> Document:
    """Make a run of a repository with history, which its gate rejected in comparison with the run before."""
    files = list(_shop_files())
    earlier = [finding(kind, path, line) for kind, path, line in _shop_findings(random.Random(3))]
    now = [*earlier[6:], *(finding(kind, "shop/payments/service.py", 40 + n) for n, kind in enumerate(_MESSAGES))]
    before, after = _measured(files, earlier), _measured(files, now)
    compared = compare_runs(MeasuredRun(**before), MeasuredRun(**after))
    roles = {node["path"]: node["role"] for node in files}
    history = _history([node for node in files if node["role"] == "source"])
    facts = RunFacts(
        findings=compared.items,
        roles=roles,
        completeness=after["completeness"],
        comparison=compared.document,
        history=history,
    )
    baseline = {"baseline_run_id": "158b6599-0454-41dc-a00c-df9c33afd9c2", "chosen_as": "same branch"}
    percentiles = {name: 12.5 + 7 * index for index, name in enumerate(HIGHER_IS_BETTER)}
    return {
        "job": None,
        "source": _source(),
        **after,
        "findings": {**after["findings"], "items": list(compared.items)},
        "errors": ["shop/api/v2/legacy.py: does not parse: SyntaxError: invalid syntax (line 3)"],
        "timings_ms": {},
        "history": history,
        "comparison": {**compared.document, **baseline},
        "quality_score": 73.2,
        "review": _review(compared.items, roles),
        "insights": [insight.to_json() for insight in insights(facts)],
        "standing": {"percentiles": percentiles, "grade": "C", "reason": None, "packages": 50},
        "options": {},
        "tags": {},
        "trend": _trend(),
    }


def _source() -> Document:
    return {
        "run_id": "9c41d0f2-6a52-4c55-9f0f-1f1f5f6b8a10",
        "created_at": "2026-11-30T18:02:11+00:00",
        "submission_type": "github",
        "upload_filename": None,
        "project_name": "Shop",
        "author_type": "ai",
        "author_model": "model-7",
        "git_repo_url": "https://github.com/example/shop",
        "git_branch": "pricing",
        "git_commit_sha": "4f2a9b7c1d3e5f60718293a4b5c6d7e8f9012345",
    }


def _review(items: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> Document:
    change = Change(
        findings=items,
        roles=roles,
        before=Totals(duplicated_share=2.1, documented_share=71.0, quality_score=74.9),
        after=Totals(duplicated_share=2.4, documented_share=70.6, quality_score=73.2),
        added_lines=None,
    )
    gate = evaluate(DEFAULT_POLICY, change)
    return {
        "verdict": str(gate.verdict),
        "policy": DEFAULT_POLICY.to_json(),
        "criteria": [answer.to_json() for answer in gate.answers],
        "strengths": ["98 % of the source files parse", "6 findings are fixed"],
        "weaknesses": ["2 new security findings in shop/payments/service.py"],
    }


def _trend() -> Document:
    points = [
        {
            "created_at": f"2026-11-{day:02}T10:00:00+00:00",
            "commit": hashlib.sha256(str(day).encode()).hexdigest()[:40],
            "values": {"quality_score": 70 + day % 7, "lint": {"total": 90 - day}, "docs": {"coverage_pct": 70.5}},
        }
        for day in range(1, 15)
    ]
    return {"points": points, "reason": "another version of ruff"}


def early_run() -> Document:
    """Make a run of a version without roles, severities, columns, history, gate, insights and quality score."""
    made = analysis().document()
    keys = ("metric", "rule", "path", "line", "function", "message")
    old = finding(("lint", "F401", "low"), "app.py", 3)
    node = {"name": "app.py", "type": "file", "path": "app.py", "extension": ".py", "size": 20}
    return {
        "job": None,
        "source": {
            "created_at": "2026-01-02T03:04:05+00:00",
            "submission_type": "upload",
            "upload_filename": "app.zip",
        },
        "metrics": {**made["metrics"], "lint": {"total": 1, "linting_score": 90.0}},
        "file_tree": tree([{**node, "metrics": {"size": {"sloc": 12}, "health_score": None}}]),
        "findings": {"total": 1, "items": [{key: old[key] for key in keys}]},
        "errors": [],
        "completeness": {**made["completeness"], "collectors": {**made["completeness"]["collectors"], "lint": "ok"}},
        "tool_versions": {"python": "3.11"},
        "timings_ms": {},
    }


def large_run(findings: int, files: int, text: str = "") -> Document:
    """Make a run with that many findings in that many files; names and messages have the text in them."""
    dice = random.Random(11)
    nodes = [
        file_node(
            f"pkg{index % 40}/part{index % 7}/{text}module{index}.py",
            health=dice.uniform(20, 99),
            sloc=dice.randrange(900),
        )
        for index in range(files)
    ]
    kinds = list(_MESSAGES)
    items = [
        finding(kinds[index % len(kinds)], nodes[index % files]["path"], index + 1, message=f"{text}finding {index}")
        for index in range(findings)
    ]
    made = rejected_run()
    made["completeness"]["files"] = made["completeness"]["analyzed"] = files
    return made | {"file_tree": tree(nodes), "findings": {"total": findings, "items": items}, "trend": None}


_FIXED_WORDS = frozenset({"metric", "severity", "severity_before", "state", "role", "kind", "status", "verdict"})


def small_run() -> Document:
    """Make what `rejected_run` makes with few files and findings."""
    made = rejected_run()
    made["file_tree"] = tree(list(_shop_files())[:8])
    made["findings"]["items"] = made["findings"]["items"][-8:]
    made["history"]["ownership"]["files"] = made["history"]["ownership"]["files"][:8]
    return made


def with_texts(value: Any, texts: Iterator[str], *, everywhere: bool = False, key: str = "") -> Any:
    """Return a copy in which each text has the next of these in it; with `everywhere` also those of a fixed list."""
    if isinstance(value, dict):
        return {name: with_texts(item, texts, everywhere=everywhere, key=name) for name, item in value.items()}
    if isinstance(value, list):
        return [with_texts(item, texts, everywhere=everywhere, key=key) for item in value]
    if not isinstance(value, str) or value in ("file", "directory") or (key in _FIXED_WORDS and not everywhere):
        return value
    return f"{value[:3]}{next(texts)}{value[3:]}"


def _shop_files() -> Iterable[Document]:
    dice = random.Random(7)
    for folder in _FOLDERS:
        role = "test" if folder.startswith("tests") else "source"
        for name in _NAMES:
            path = f"{folder}/{'test_' if role == 'test' else ''}{name}.py"
            sloc = int(dice.paretovariate(1.1) * 40) % 900 + 5
            yield file_node(path, health=round(dice.gauss(70, 17) % 100, 1), sloc=sloc, role=role)
    error = "SyntaxError: invalid syntax (line 3)"
    yield file_node("shop/api/v2/legacy.py", health=None, sloc=310, parse_error=error)


def _shop_findings(dice: random.Random) -> Iterable[tuple[tuple[str, str, str], str, int]]:
    kinds = list(_MESSAGES)
    weights = (1, 4, 2, 40, 3, 12, 6, 60)
    for line in range(1, 400):
        (kind,) = dice.choices(kinds, weights)
        yield kind, f"{dice.choice(_FOLDERS[:6])}/{dice.choice(_NAMES)}.py", line


def _measured(files: list[Document], items: list[Document]) -> Document:
    """Make the parts of a run that comparisons read."""
    declared = declarations()
    source = [node for node in files if node["role"] == "source"]
    aggregates: dict[str, Document] = {
        "lint": {"total": 61, "suppressed": 2, "linting_score": 95.1},
        "cyclomatic": {"avg_cc": 3.4, "complexity_score": 83.0},
        "docs": {"coverage_pct": 70.6},
        "dead_code": {"unused_symbols": 43, "suppressed": 0},
        "mi": {"mi_avg": 61.2},
        "size": _size(source),
        "dupes": {"duplicate_lines": 212, "duplicate_pct": 2.4, "duplication_score": 97.6, "suppressed": 0},
        "security": {"high": 4, "medium": 13, "low": 0, "suppressed": 1, "security_score": 0.0},
    }
    metrics: Document = {
        **{metric.name: metric.without_value() for metric in declared},
        **{name: {**values, "by_role": {"source": values, "test": values}} for name, values in aggregates.items()},
        "churn": {"total_commits": 812, "totalChurn": 60_118, "churn_score": 0.0},
    }
    metrics["size"] |= _size(files)
    return {
        "metrics": metrics,
        "file_tree": tree(files),
        "findings": {"total": len(items), "items": items, "metrics": _traits()},
        "completeness": {
            "files": len(files),
            "analyzed": len(files) - 1,
            "skipped": [{"path": "static/bundle.py", "reason": "larger than 1 MB"}],
            "skipped_total": 1,
            "collectors": {**{metric.name: "ok" for metric in declared}, "deps": "failed", "dupes": "partial"},
        },
        "tool_versions": {metric.tool: metric.version for metric in declared},
    }


def _traits() -> Document:
    return {name: traits.to_json() for name, traits in traits_of(discover()).items()}


def _size(files: list[Document]) -> Document:
    lines = sum(node["metrics"]["size"]["sloc"] for node in files)
    return {"files": len(files), "sloc": lines, "avg_file_sloc": lines // len(files)}


def _history(files: list[Document]) -> Document:
    truck_factor = {"people": 2, "names": ["Ada Obi", "Lin Wei"], "covered": 0.84}
    pairs = [_pair(index, files[index]["path"], files[index + 9]["path"]) for index in range(12)]
    hotspots = sorted(map(_hotspot, range(18), files), key=lambda entry: -entry["score"])
    return {
        "reason": None,
        "head_at": "2026-11-30T17:40:00+00:00",
        "commits": {"counted": 700, "merges": 80, "bots": 30, "large": 0, "others": 2, "not_coupled": 12},
        "remembered": True,
        "hotspots": {"reason": None, "files": hotspots},
        "coupling": {"commits": 688, "tested": 40, "total": 12, "pairs": pairs},
        "ownership": {
            "people": 4,
            "truck_factor": truck_factor,
            "truck_factor_without_silent": {"people": 1, "names": ["Lin Wei"], "covered": 0.61},
            "total": len(files),
            "files": list(_owned(files)),
        },
        "ai_share": {
            "commits": 212,
            "of_commits": 700,
            "lines": 20_000,
            "of_lines": 60_000,
            "commit_share": 0.303,
            "line_share": 0.333,
        },
    }


def _hotspot(index: int, node: Document) -> Document:
    percentile, health = round(99 - index * 1.7, 2), node["metrics"]["health_score"]
    return {
        "path": node["path"],
        "commits": 60 - index,
        "weighted_commits": 40.0 - index,
        "percentile": percentile,
        "health": health,
        "score": round(percentile * (100 - health) / 100, 2),
    }


def _pair(index: int, left: str, right: str) -> Document:
    is_expected = index % 4 == 3
    return {
        "left": left,
        "right": right,
        "shared": 18 - index,
        "left_revisions": 24,
        "right_revisions": 20,
        "p_value": 1e-6,
        "degree": 80.0 - index,
        "confidence": 0.9,
        "kind": "expected" if is_expected else "hidden",
        "because": "import" if is_expected else None,
    }


def _owned(files: list[Document]) -> Iterator[Document]:
    dice = random.Random(5)
    people = ("Ada Obi", "Lin Wei", "Marta Kowalska", "João Silva")
    for node in files:
        yield {
            "path": node["path"],
            "main_author": dice.choices(people, (8, 4, 2, 1))[0],
            "share": 0.7,
            "added": 3 * node["metrics"]["size"]["sloc"],
            "commits": 12,
            "people": 3,
            "minor_authors": 1,
            "fragmentation": 0.4,
            "known_by": dice.choice((0, 1, 1, 2)),
        }
