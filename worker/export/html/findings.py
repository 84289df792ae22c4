"""The findings of the report: grouped by metric, those that are new first, then by severity."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.metrics.declaration import in_row_order
from worker.export.exported_run import ExportedFinding, ExportedRun
from worker.export.html.values import counted, cut, line, path_text, place, words

GROUPS_SHOWN, RULES_SHOWN, FIXED_SHOWN = 20, 5, 100
_FIRST_STATES = ("new", "updated")
_ROLES = {"test": "tests", "example": "examples", "docs": "docs", "generated": "generated files"}
_STATES = {"not_measured": "not compared", "tool_changed": "tool changed"}


def findings(run: ExportedRun, most: int) -> dict[str, Any]:
    """Return the groups of findings in source files, each with at most `most` of them, and what is not listed."""
    groups: defaultdict[str, list[ExportedFinding]] = defaultdict(list)
    elsewhere: Counter[str] = Counter()
    for found in run.findings:
        if found.role == Role.SOURCE:
            groups[found.metric].append(found)
        else:
            elsewhere[found.role] += 1
    order = {declaration.name: index for index, declaration in enumerate(in_row_order(run.declarations))}
    names = sorted(groups, key=lambda name: (-_weight(groups[name]), order.get(name, len(order)), name))
    return {
        "total": sum(map(len, groups.values())),
        "all": len(run.findings) + run.unlisted,
        "groups": [_group(name, groups[name], most) for name in names[:GROUPS_SHOWN]],
        "cut": cut(min(GROUPS_SHOWN, len(names)), len(names)),
        "elsewhere": ", ".join(f"{number:,} in {_role_words(role)}" for role, number in sorted(elsewhere.items())[:10]),
        "has_states": bool(run.part("comparison")),
    }


def fixed_findings(run: ExportedRun, most: int) -> dict[str, Any] | None:
    """Return the fixed findings of source files; None where no baseline was compared, or none is fixed."""
    total = run.part("comparison").get("fixed")
    listed = len(run.fixed)
    stated = total.get("total") if isinstance(total, dict) else None
    whole = max(listed, stated) if isinstance(stated, int) else listed
    if not whole:
        return None
    shown = sorted(run.fixed, key=_by_weight)[: min(most, FIXED_SHOWN)]
    return {"items": [_item(found) for found in shown], "cut": cut(len(shown), whole)}


def _weight(found: Sequence[ExportedFinding]) -> int:
    """Return the rank of the most severe finding of a group, above all others if one of them is new."""
    is_new = any(item.state in _FIRST_STATES for item in found)
    return max(item.severity.rank for item in found) + is_new * len(SEVERITIES)


def _group(name: str, found: Sequence[ExportedFinding], most: int) -> dict[str, Any]:
    shown = sorted(found, key=_by_weight)[:most]
    severities = Counter(item.severity for item in found)
    rules = Counter(item.rule for item in found).most_common(RULES_SHOWN)
    new = sum(item.state == "new" for item in found)
    return {
        "name": words(name),
        "total": counted(len(found), "finding"),
        "new": f"{new:,} new" if new else None,
        "severities": [(str(each), f"{severities[each]:,}") for each in reversed(SEVERITIES) if severities[each]],
        "rules": [(line(rule, 40), f"{number:,}") for rule, number in rules],
        "is_open": bool(new) or any(severities[each] for each in (FindingSeverity.HIGH, FindingSeverity.MEDIUM)),
        "items": [_item(item) for item in shown],
        "cut": cut(len(shown), len(found)),
    }


def _by_weight(found: ExportedFinding) -> tuple[bool, int, str, int]:
    return found.state not in _FIRST_STATES, -found.severity.rank, found.path, found.line or 0


def _item(found: ExportedFinding) -> dict[str, Any]:
    return {
        "severity": str(found.severity),
        "state": _STATES.get(found.state or "", found.state and line(found.state, 20)),
        "before": str(found.severity_before) if found.severity_before not in (None, found.severity) else None,
        "rule": line(found.rule, 40),
        "place": place(found.path, found.line, found.column),
        "function": None if found.function is None else path_text(found.function, 100),
        "message": line(found.message),
    }


def _role_words(role: str) -> str:
    return _ROLES.get(role, line(role, 40))
