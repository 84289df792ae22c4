"""Text output of findings: one line each, which begins with its place as compilers print it."""

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console

from domain.text import JSON, one_line, printable_line
from worker.cli.output.writer import print_line

MESSAGE_LIMIT = 300


def place(item: Mapping[str, JSON]) -> str:
    """Return `path:line:column` of a finding, without what is not known."""
    numbers = [item.get("line"), item.get("column")] if item.get("line") is not None else []
    return ":".join([printable_line(str(item.get("path"))), *(str(number) for number in numbers if number is not None)])


def finding_line(item: Mapping[str, JSON]) -> str:
    """Return the line of a finding: its place, severity, metric, rule, message and, where it has one, its state."""
    words = " ".join(one_line(str(item.get(key) or "?"), 100) for key in ("severity", "metric", "rule"))
    return f"{place(item)}  {words} {one_line(str(item.get('message') or ''), MESSAGE_LIMIT)}{_state(item)}"


def _state(item: Mapping[str, JSON]) -> str:
    state, before = item.get("state"), item.get("severity_before")
    if not state:
        return ""
    was = f", severity was {one_line(str(before), 40)}" if before is not None and before != item.get("severity") else ""
    return f" ({one_line(str(state), 40)}{was})"


def show_findings(console: Console, page: Mapping[str, JSON]) -> None:
    """Print a page of findings, and what it leaves out."""
    for item in page["findings"]:
        print_line(console, finding_line(item))
    for line in _footnotes(page):
        print_line(console, line)


def _footnotes(page: Mapping[str, JSON]) -> Iterator[str]:
    shown, matching = len(page["findings"]), page["matching"]
    if not shown:
        yield "no finding matches" if not matching else f"no more findings: all {matching:,} are before --after"
    elif page["next"] is not None or shown < matching:
        following = "" if page["next"] is None else f"; the next page: --after {page['next']}"
        yield f"{shown:,} of {matching:,} findings{following}"
    if page["other_roles"]:
        yield f"left out by role: {listed_counts(page['other_roles'].items())} (--role all shows them)"
    if page["unlisted"]:
        yield f"{page['unlisted']:,} findings are beyond the limit of the run's list"


def listed_counts(counts: Iterable[tuple[str, int]]) -> str:
    """Return `name count` of each, the largest first."""
    ordered = sorted(counts, key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{printable_line(name)} {count:,}" for name, count in ordered)
