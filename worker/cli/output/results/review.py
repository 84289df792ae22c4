"""What a result says first: the gate's verdict and why, the quality score, and the changes since the earlier run."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

from domain.gate.evaluation import Status, Verdict
from domain.text import JSON, one_line
from worker.cli.output.jobs import SHORT_ID
from worker.cli.output.runs.changes import (
    SOURCE_ONLY,
    changes_grid,
    count_changes,
    count_changes_elsewhere,
    elsewhere_line,
)
from worker.cli.output.runs.findings import finding_line
from worker.cli.output.writer import print_line

_VERDICTS: Mapping[str, tuple[str, str]] = {
    Verdict.APPROVED: ("approved", "bold green"),
    Verdict.REJECTED: ("rejected", "bold red"),
    Verdict.NOT_EVALUATED: ("not evaluated", "bold"),
}
_REASON_LIMIT = 300


def show_gate(console: Console, document: Mapping[str, JSON]) -> None:
    """Print the verdict, and each condition that did not pass with its reason; nothing for a run without a review."""
    review = document.get("review")
    if not review:
        return
    words, style = _VERDICTS.get(review["verdict"], (one_line(str(review["verdict"]), 40), "bold"))
    console.print()
    console.print(f"Gate: {words}", style=style, markup=False)
    for line in gate_lines(review["criteria"]):
        print_line(console, line)


def gate_lines(criteria: Sequence[Mapping[str, JSON]]) -> Iterator[str]:
    """Yield the conditions that did not pass, those that fail first with the findings that weigh most."""
    by_reason: dict[tuple[str, str], list[Mapping[str, JSON]]] = {}
    for answer in criteria:
        by_reason.setdefault((answer["status"], answer["reason"]), []).append(answer)
    passed = sum(answer["status"] == Status.PASSED for answer in criteria)
    for (status, reason), answers in sorted(by_reason.items(), key=lambda entry: entry[0][0] != Status.FAIL):
        if status != Status.PASSED:
            times = f" ({len(answers)} conditions)" if len(answers) > 1 else ""
            yield f"  {status.replace('_', ' ')}: {one_line(reason, _REASON_LIMIT)}{times}"
            if status == Status.FAIL:
                yield from (f"    {line}" for line in _named_findings(answers[0]))
    if passed:
        yield f"  {passed} of {len(criteria)} conditions hold"


def _named_findings(answer: Mapping[str, JSON]) -> Iterator[str]:
    named = answer["findings"]
    yield from map(finding_line, named)
    counted = answer["value"]
    if named and answer["kind"] == "new_findings" and counted is not None and counted > len(named):
        yield f"and {counted - len(named):,.0f} more"


def quality_line(document: Mapping[str, JSON]) -> str | None:
    """Return the line about the quality score; None for a run without one."""
    score, standing = document.get("quality_score"), document.get("standing") or {}
    if score is None:
        return None
    grade, percentile = standing.get("grade"), (standing.get("percentiles") or {}).get("quality_score")
    words = f"Quality {score:.1f} of 100"
    if grade is not None:
        words += f", grade {grade}"
    if percentile is not None:
        words += f": better than {percentile:.0f} % of {standing['packages']} well-known packages"
    return words


def show_changes(console: Console, document: Mapping[str, JSON]) -> None:
    """Print what is new and fixed by metric, in source files; nothing for a run without a comparison."""
    comparison = document.get("comparison")
    if comparison is None:
        return
    counts = count_changes(comparison, SOURCE_ONLY)
    console.print()
    if (grid := changes_grid(counts, by_severity=False)) is None:
        print_line(console, "no finding in a source file is new, updated, moved or fixed")
    else:
        grid.show(console)
    for line in _change_notes(document, count_changes_elsewhere(comparison, SOURCE_ONLY)):
        print_line(console, line)


def _change_notes(document: Mapping[str, JSON], elsewhere: Counter[str]) -> Iterator[str]:
    if (line := elsewhere_line(elsewhere)) is not None:
        yield line
    run_id = document["source"].get("run_id")
    if run_id is not None and document["comparison"].get("baseline_run_id") is not None:
        yield f"each of them: vibe8 compare {run_id[:SHORT_ID]}"
