"""What the report does not show because it was not measured, and which tools measured the rest."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from worker.export.exported_run import ExportedRun
from worker.export.html.values import count, counted, cut, line, mapping, objects, path_text, texts, words

LINES_SHOWN, TOOLS_SHOWN, REASONS_SHOWN, NAMES_SHOWN = 25, 40, 20, 40


def unmeasured(run: ExportedRun) -> dict[str, Any]:
    """Return sentences, and the lists of skipped places, files that do not parse, and errors."""
    completeness = run.part("completeness")
    skipped = objects(completeness.get("skipped"))
    unparsed = [
        (path_text(node.get("path")), line(node.get("parse_error"))) for node in run.files if "parse_error" in node
    ]
    errors = texts(run.document.get("errors"))
    skipped_total = count(completeness.get("skipped_total")) or 0
    return {
        "sentences": list(_sentences(run)),
        "skipped": [(path_text(item.get("path")), line(item.get("reason"))) for item in skipped[:LINES_SHOWN]],
        "skipped_reasons": _reasons([line(item.get("reason"), 100) for item in skipped]),
        "skipped_cut": cut(min(LINES_SHOWN, len(skipped)), max(len(skipped), skipped_total)),
        "unparsed": unparsed[:LINES_SHOWN],
        "unparsed_cut": cut(min(LINES_SHOWN, len(unparsed)), len(unparsed)),
        "errors": errors[:LINES_SHOWN],
        "errors_cut": cut(min(LINES_SHOWN, len(errors)), len(errors)),
    }


def _reasons(reasons: list[str]) -> str:
    numbers = Counter(reasons).most_common(REASONS_SHOWN)
    return ", ".join(f"{number:,} {reason or 'without a reason'}" for reason, number in numbers)


def _sentences(run: ExportedRun) -> Iterator[str]:
    completeness = run.part("completeness")
    if not completeness:
        yield "This run does not say what was measured."
        return
    files, analyzed = count(completeness.get("files")), count(completeness.get("analyzed"))
    if files is not None and analyzed is not None and analyzed < files:
        yield f"{files - analyzed:,} of {counted(files, 'file')} could not be parsed."
    skipped = count(completeness.get("skipped_total"))
    if skipped:
        yield f"{counted(skipped, 'file or directory was', 'files or directories were')} left out before the analysis."
    if left_out := count(completeness.get("not_selected")):
        yield f"{counted(left_out, 'Python file was', 'Python files were')} left out by include and exclude."
    yield from _metrics(run)
    yield from _lists(run)
    reason = line(run.part("history").get("reason"))
    if reason:
        yield f"No history: {reason}."


def _metrics(run: ExportedRun) -> Iterator[str]:
    states = mapping(run.part("completeness").get("collectors"))
    for name, state in sorted(states.items())[:NAMES_SHOWN]:
        if state != "ok":
            yield f"Metric {words(name)}: {line(words(state), 60) or 'state not recorded'}."
    missing = [declaration.name for declaration in run.declarations if declaration.name not in states]
    if missing:
        yield f"Whether these metrics were measured is not recorded: {', '.join(map(words, missing))}."


def _lists(run: ExportedRun) -> Iterator[str]:
    if run.unlisted:
        listed = counted(run.unlisted, "finding was", "findings were")
        yield f"{listed} counted and not stored: the list was cut by severity."
    if run.unreadable:
        yield f"{counted(run.unreadable, 'entry', 'entries')} of the list of findings could not be read."


def tool_versions(run: ExportedRun) -> dict[str, Any]:
    """Return the tools with their versions."""
    versions = run.part("tool_versions")
    shown = [(line(tool, 60), line(version, 60) or "unknown") for tool, version in sorted(versions.items())]
    return {"items": shown[:TOOLS_SHOWN], "cut": cut(min(TOOLS_SHOWN, len(shown)), len(shown))}
