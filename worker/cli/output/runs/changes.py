"""What changed since an earlier run, counted from the document of a comparison."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from rich.markup import escape

from domain.findings.roles import Role
from domain.findings.severity import SEVERITIES
from domain.findings.states import FindingState
from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid

CHANGES = (FindingState.NEW, FindingState.UPDATED, FindingState.MOVED, FindingState.FIXED)
UNCOMPARED = {
    FindingState.NOT_MEASURED: "not compared, since one of the runs did not measure them",
    FindingState.TOOL_CHANGED: "different because a tool changed, and not the code",
}
SOURCE_ONLY: Collection[str] = frozenset({Role.SOURCE})

_SEVERE_FIRST = {severity.value: -severity.rank for severity in SEVERITIES}
_COLOURS = {FindingState.NEW: "red", FindingState.UPDATED: "yellow", FindingState.FIXED: "green"}


def _each(comparison: Mapping[str, JSON]) -> Iterator[tuple[str, str, str, str, int]]:
    """Yield metric, severity, state, role and number; what is fixed is counted on the baseline's side."""
    for side, is_baseline in (("counts", False), ("baseline_counts", True)):
        for metric, of_metric in (comparison.get(side) or {}).items():
            for severity, of_severity in of_metric.items():
                for state, of_state in of_severity.items():
                    if (state == FindingState.FIXED) == is_baseline:
                        for role, number in of_state.items():
                            yield metric, severity, state, role, number


def count_changes(comparison: Mapping[str, JSON], roles: Collection[str]) -> dict[tuple[str, str], Counter[str]]:
    """Return the numbers of findings by metric and severity, and by state, in files of these roles (empty: all)."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for metric, severity, state, role, number in _each(comparison):
        if not roles or role in roles:
            counts.setdefault((metric, severity), Counter())[state] += number
    return counts


def count_changes_elsewhere(comparison: Mapping[str, JSON], roles: Collection[str]) -> Counter[str]:
    """Return the numbers of findings by state in files of all other roles."""
    counts: Counter[str] = Counter()
    for _, _, state, role, number in _each(comparison):
        if roles and role not in roles:
            counts[state] += number
    return counts


def changes_grid(counts: Mapping[tuple[str, str], Counter[str]], *, by_severity: bool) -> Grid | None:
    """Return the table of what is new, updated, moved and fixed; None where nothing is."""
    rows: dict[tuple[str, str], Counter[str]] = {}
    for (metric, severity), of_states in counts.items():
        rows.setdefault((metric, severity if by_severity else ""), Counter()).update(of_states)
    changed = {key: numbers for key, numbers in rows.items() if any(numbers[state] for state in CHANGES)}
    if not changed:
        return None
    names = ("metric", "severity") if by_severity else ("metric",)
    grid = Grid(headings=(*names, *CHANGES), title="Findings that changed", numbers=frozenset(CHANGES))
    for metric, severity in sorted(changed, key=lambda key: (key[0], _SEVERE_FIRST.get(key[1], 0))):
        words = (metric, severity)[: len(names)]
        numbers = [_number(changed[metric, severity][state], state) for state in CHANGES]
        grid.rows.append((*(escape(printable_line(word)) for word in words), *numbers))
    return grid


def _number(number: int, state: FindingState) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{number:,}[/{colour}]" if number and colour else f"{number:,}"


def elsewhere_line(elsewhere: Counter[str]) -> str | None:
    """Return the line about changes in files of other roles; None without any."""
    found = [f"{elsewhere[state]:,} {state}" for state in CHANGES if elsewhere[state]]
    return f"in files of other roles: {', '.join(found)}" if found else None


def uncompared_lines(counts: Mapping[tuple[str, str], Counter[str]]) -> Iterator[str]:
    """Yield how many findings of the run were not compared, and why."""
    total = sum(counts.values(), Counter[str]())
    for state, meaning in UNCOMPARED.items():
        if total[state]:
            yield f"{total[state]:,} findings: {meaning}"


def selection_lines(comparison: Mapping[str, JSON]) -> Iterator[str]:
    """Yield what was chosen for the earlier run, where it is not what was chosen for this one."""
    if (selections := comparison.get("selections")) is not None:
        chosen = [f"{key} {', '.join(map(printable_line, values))}" for key, values in selections["before"].items()]
        yield f"the earlier run measured {'; '.join(chosen) if chosen else 'all files by all metrics'}"


def worst_first(items: Sequence[Mapping[str, JSON]], states: Collection[str]) -> list[Mapping[str, JSON]]:
    """Return the findings in these states, by severity, then by place."""
    chosen = [item for item in items if item.get("state") in states]

    def weight(item: Mapping[str, JSON]) -> tuple[int, str, int]:
        return _SEVERE_FIRST.get(item.get("severity") or "", 0), str(item.get("path")), item.get("line") or 0

    return sorted(chosen, key=weight)
