"""What a result does not know: errors, parts without a value, and what was skipped; and where its findings are."""

from collections import Counter
from collections.abc import Iterator, Mapping

from domain.insights.insight import counted
from domain.text import JSON, one_line, printable_line
from worker.cli.output.jobs import SHORT_ID
from worker.cli.output.runs.changes import SOURCE_ONLY, count_changes, selection_lines, uncompared_lines

ERROR_LINES = 10


def gap_lines(document: Mapping[str, JSON]) -> Iterator[str]:
    """Yield a line for each thing that was not measured, and where to read on."""
    errors = document["errors"]
    for line in errors[:ERROR_LINES]:
        yield f"! {line}"
    if len(errors) > ERROR_LINES:
        yield f"! and {len(errors) - ERROR_LINES} more (all are in --json)"
    for part, reason in _unknown_parts(document):
        yield f"no {part}: {one_line(reason)}"
    if document.get("comparison") is not None:
        yield from uncompared_lines(count_changes(document["comparison"], SOURCE_ONLY))
        yield from selection_lines(document["comparison"])
    if left_out := document["completeness"].get("not_selected"):
        yield f"{left_out:,} Python files left out by --include and --exclude"
    skipped = document["completeness"]["skipped"]
    if skipped:
        first, total = skipped[0], document["completeness"]["skipped_total"]
        yield f"{total} skipped, such as {printable_line(first['path'])}: {first['reason']} (all are in --json)"
    yield from _findings_line(document)


def _unknown_parts(document: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    history = document.get("history") or {}
    if history.get("reason") is not None:
        yield "history", history["reason"]
    elif (history.get("hotspots") or {}).get("reason") is not None:
        yield "hotspots", history["hotspots"]["reason"]
    standing = document.get("standing") or {}
    if standing.get("reason") is not None:
        yield "grade", standing["reason"]


def _findings_line(document: Mapping[str, JSON]) -> Iterator[str]:
    findings = document["findings"]
    if findings["total"]:
        counts = Counter(item["metric"] for item in findings["items"]).most_common()
        each = ", ".join(f"{name} {count}" for name, count in counts)
        run_id = document["source"].get("run_id")
        where = "each with its file and line in --json" if run_id is None else f"vibe8 findings {run_id[:SHORT_ID]}"
        yield f"{counted(findings['total'], 'finding')}: {each} ({where})"
