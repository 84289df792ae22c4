"""Text output of a comparison of two runs: what changed, finding by finding, number by number and file by file."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from rich.console import Console
from rich.markup import escape

from domain.findings.roles import Role
from domain.findings.states import FindingState
from domain.text import JSON, printable_line
from worker.cli.output.grid import Grid
from worker.cli.output.runs.changes import (
    changes_grid,
    count_changes,
    count_changes_elsewhere,
    elsewhere_line,
    selection_lines,
    uncompared_lines,
    worst_first,
)
from worker.cli.output.runs.findings import finding_line
from worker.cli.output.writer import print_line

SHOWN_FINDINGS = 20
SHOWN_PATHS = 10
MAX_DECIMALS = 6


def show_comparison(console: Console, document: Mapping[str, JSON], roles: Collection[str]) -> None:
    """Print the comparison, with the findings of files of these roles; none are all."""
    print_line(console, f"run {document['run_id']}, compared with {document['baseline_run_id']}")
    counts = count_changes(document, roles)
    console.print()
    if (grid := changes_grid(counts, by_severity=True)) is None:
        print_line(console, "no finding is new, updated, moved or fixed")
    else:
        grid.show(console)
    elsewhere = elsewhere_line(count_changes_elsewhere(document, roles))
    for line in (*uncompared_lines(counts), *([elsewhere + " (--role all shows them)"] if elsewhere else ())):
        print_line(console, line)
    states = (FindingState.NEW, FindingState.UPDATED)
    _show_findings(console, "New or updated", _of_roles(worst_first(document["findings"], states), roles))
    fixed = document["fixed"]
    unlisted = fixed["total"] - len(fixed["items"])
    _show_findings(console, "Fixed", _of_roles(fixed["items"], roles), unlisted)
    if (numbers := numbers_grid(document["metrics"], roles)) is not None:
        console.print()
        numbers.show(console)
    console.print()
    for line in (*_files(document["files"]), *_versions(document["tool_versions"]), *selection_lines(document)):
        print_line(console, line)


def _of_roles(items: Sequence[Mapping[str, JSON]], roles: Collection[str]) -> list[Mapping[str, JSON]]:
    return [item for item in items if not roles or item.get("role", Role.SOURCE) in roles]


def _show_findings(console: Console, title: str, items: Sequence[Mapping[str, JSON]], unlisted: int = 0) -> None:
    if not items:
        return
    console.print()
    console.print(title, style="bold", markup=False)
    for item in items[:SHOWN_FINDINGS]:
        print_line(console, finding_line(item))
    if len(items) > SHOWN_FINDINGS or unlisted:
        beyond = f"; {unlisted:,} more of any role are not listed" if unlisted else ""
        print_line(console, f"{min(len(items), SHOWN_FINDINGS):,} of {len(items):,} (all are in --json){beyond}")


def numbers_grid(metrics: Mapping[str, JSON], roles: Collection[str]) -> Grid | None:
    """Return the numbers that differ; None where none does. Of a single role, those of its files where they exist."""
    role = next(iter(roles)) if len(roles) == 1 else None
    before, after = (_numbers(metrics[side], role) for side in ("before", "after"))
    headings = ("before", "after", "change")
    grid = Grid(headings=("metric", "number", *headings), title="Numbers that changed", numbers=frozenset(headings))
    for metric, key in sorted(before.keys() | after.keys()):
        old, new = before.get((metric, key)), after.get((metric, key))
        decimals = _decimals(old, new)
        if old != new and decimals is not None:
            change = "" if old is None or new is None else f"{new - old:+,.{decimals}f}".removesuffix(".0")
            cells = (escape(printable_line(metric)), escape(printable_line(key)))
            grid.rows.append((*cells, _shown(old, decimals), _shown(new, decimals), change))
    return grid if grid.rows else None


def _decimals(old: float | None, new: float | None) -> int | None:
    """Return the fewest decimals, at least one, in which the change is not 0; None where it is nothing but rounding."""
    if old is None or new is None:
        return 1
    return next((decimals for decimals in range(1, MAX_DECIMALS + 1) if round(new - old, decimals)), None)


def _numbers(metrics: Mapping[str, JSON], role: str | None) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for metric, values in metrics.items():
        by_role = values.get("by_role")
        of_role = by_role.get(role, {}) if by_role and role else values
        for key, value in of_role.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[metric, key] = value
    return found


def _shown(value: float | None, decimals: int) -> str:
    return "[dim]-[/dim]" if value is None else f"{value:,.{decimals}f}".removesuffix(".0")


def _files(files: Mapping[str, JSON]) -> Iterator[str]:
    counts = {name: files[name]["total"] for name in ("added", "removed", "changed", "renamed")}
    yield "files: " + ", ".join(f"{number:,} {name}" for name, number in counts.items())
    for name, number in counts.items():
        for item in files[name]["items"][:SHOWN_PATHS]:
            yield f"  {name} {printable_line(item) if isinstance(item, str) else _renamed(item)}"
        if number > SHOWN_PATHS:
            yield f"  and {number - SHOWN_PATHS:,} more {name}"


def _renamed(item: Mapping[str, str]) -> str:
    return f"{printable_line(item['from'])} -> {printable_line(item['to'])}"


def _versions(versions: Mapping[str, Sequence[str | None]]) -> Iterator[str]:
    for tool, (old, new) in versions.items():
        yield f"{tool}: version {old or 'none'} before, {new or 'none'} after"
