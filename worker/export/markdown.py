"""A comment on a pull request: verdict, changes, metrics, findings, worst files, and what was not measured."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from domain.findings.roles import Role
from domain.metrics.declaration import in_row_order
from domain.metrics.row_text import row_text, source_aggregate
from domain.text import JSON
from worker.export.badge import quality_score
from worker.export.exported_run import ExportedFinding, ExportedRun
from worker.export.markdown_text import code, plain, table

CHARACTERS_LIMIT = 60_000
"""The longest comment, in UTF-16 code units: GitHub refuses more than 65,536."""

FINDINGS_SHOWN = 200
FILES_SHOWN = 10
ERRORS_SHOWN = 10
_ORIGIN = ("project_name", "git_repo_url", "git_branch")
_CHANGES = ("new", "updated", "moved", "fixed")
_UNCOMPARED = {
    "not_measured": "Not compared, since one of the runs did not measure them",
    "tool_changed": "Different because a tool changed, and not the code",
}
_COUNTED_CUT = 200
"""Room that each list keeps for the line that counts what was left out, and for closing what it has opened."""


def markdown(run: ExportedRun) -> bytes:
    """Return the comment as UTF-8: at most CHARACTERS_LIMIT, and each cut is counted.

    Whatever comes from the analysed code stands in code spans: there nothing is a link, an image, a tag or a mention.
    """
    comment = _Comment(CHARACTERS_LIMIT)
    comment.add(*_head(run))
    comment.add(*_gate(run))
    comment.add(*_changes(run))
    comment.add(*_metrics(run))
    comment.add_list(*_worst_files(run))
    comment.add_list(*_not_measured(run))
    comment.add_list(*_findings(run))
    return comment.text.encode()


class _Comment:
    """Lines up to a limit of UTF-16 code units."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: list[str] = []
        self._size = 0

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def add(self, *lines: str) -> bool:
        """Add all of the lines, or none where they do not fit. Returns whether they did."""
        added = [line + "\n" for line in lines]
        size = sum(map(_units, added))
        if self._size + size > self._limit:
            return False
        self._lines += added
        self._size += size
        return True

    def add_list(self, title: str, items: Iterable[str], total: int) -> None:
        """Add a list that can be folded, with as many items as fit, and the number of those that are left out."""
        if not total:
            return
        self._limit -= _COUNTED_CUT
        shown = 0
        if self.add("", f"<details><summary>{title}</summary>", ""):
            for item in items:
                if not self.add(f"- {item}"):
                    break
                shown += 1
            self._limit += _COUNTED_CUT
            left_out = ["", f"{shown:,} of {total:,} are shown."] if shown < total else []
            self.add(*left_out, "", "</details>")
        else:
            self._limit += _COUNTED_CUT
            self.add("", f"{total:,} entries are left out: {title}.")


def _units(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode("utf-16-le", "surrogatepass")) // 2


def _head(run: ExportedRun) -> Iterator[str]:
    verdict = run.part("review").get("verdict")
    words = {"APPROVED": "approved", "REJECTED": "rejected", "NOT_EVALUATED": "not evaluated"}
    yield f"## vibe8: {words[verdict]}" if verdict in words else "## vibe8"
    yield ""
    source, files = run.part("source"), run.part("completeness").get("files")
    facts = [code(source[key], 100) for key in _ORIGIN if isinstance(source.get(key), str)]
    sha = source.get("git_commit_sha")
    facts += [code(sha[:12], 12)] if isinstance(sha, str) and sha else []
    facts += [f"{files:,} files"] if isinstance(files, int) else []
    score = quality_score(run)
    facts += [] if score is None else [f"quality {score:.1f} of 100"]
    yield ", ".join(facts) or "No facts about the source."


def _gate(run: ExportedRun) -> Iterator[str]:
    """Yield the conditions of the gate, those that fail first, with the findings that these name."""
    answers = run.part("review").get("criteria")
    answers = [each for each in answers if isinstance(each, Mapping)] if isinstance(answers, list) else []
    if not answers:
        return
    yield from ("", "### Gate", "")
    for answer in sorted(answers, key=lambda each: each.get("status") != "fail"):
        status = str(answer.get("status")).replace("_", " ")
        yield f"- **{plain(status)}**: {plain(str(answer.get('reason') or answer.get('kind')))}"
        if answer.get("status") == "fail":
            named = answer.get("findings")
            yield from (f"  - {_named(item)}" for item in (named if isinstance(named, list) else [])[:10])


def _named(item: JSON) -> str:
    value = item if isinstance(item, Mapping) else {}
    place = f"{value.get('path')}:{value.get('line')}"
    return f"{code(place, 200)} {code(str(value.get('message')), 200)}"


def _changes(run: ExportedRun) -> Iterator[str]:
    """Yield the numbers of findings in source files that are new, updated, moved or fixed, by metric."""
    comparison = run.part("comparison")
    if not comparison:
        return
    rows = []
    sides = comparison.get("counts"), comparison.get("baseline_counts")
    after, before = (_states(counts, lambda role: role == Role.SOURCE) for counts in sides)
    for name in sorted({*after, *before}):
        numbers = {**after.get(name, {}), "fixed": before.get(name, {}).get("fixed", 0)}
        if any(numbers.get(state) for state in _CHANGES):
            rows.append([plain(name), *(f"{numbers.get(state, 0):,}" for state in _CHANGES)])
    yield from ("", "### Findings of source files since the earlier run", "")
    yield from table(("metric", *_CHANGES), rows) if rows else ("None is new, updated, moved or fixed.",)
    yield from _other_roles(*(_states(counts, lambda role: role != Role.SOURCE) for counts in sides))
    for state, meaning in _UNCOMPARED.items():
        here, there = (sum(of_metric.get(state, 0) for of_metric in side.values()) for side in (after, before))
        if here or there:
            yield from ("", f"{meaning}: {here:,} findings of this run, {there:,} of the earlier one.")


def _other_roles(after: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield a line about changed findings in files that are not source."""
    new = sum(of_metric.get("new", 0) for of_metric in after.values())
    fixed = sum(of_metric.get("fixed", 0) for of_metric in before.values())
    if new or fixed:
        yield from ("", f"In tests and other files that are not source: {new:,} new, {fixed:,} fixed.")


def _states(counts: JSON, chosen: Callable[[str], bool]) -> dict[str, dict[str, int]]:
    """Return the numbers of the chosen roles by metric and state of `{metric: {severity: {state: {role: number}}}}`."""
    numbers: dict[str, dict[str, int]] = {}
    for metric, of_metric in counts.items() if isinstance(counts, Mapping) else ():
        by_state = numbers.setdefault(str(metric), {})
        for of_severity in of_metric.values():
            for state, of_roles in of_severity.items():
                number = sum(number for role, number in of_roles.items() if chosen(role))
                by_state[state] = by_state.get(state, 0) + number
    return numbers


def _metrics(run: ExportedRun) -> Iterator[str]:
    metrics = run.part("metrics")
    rows = []
    for declaration in in_row_order(run.declarations):
        aggregate = metrics.get(declaration.name)
        if not isinstance(aggregate, Mapping):
            continue
        source = source_aggregate(aggregate)
        shown = aggregate if source is None else source
        score = shown.get(declaration.row.score) if declaration.row.score else None
        text = row_text(declaration.row, shown) or "not measured"
        state = run.state_of(declaration.name)
        rows.append(
            [
                declaration.name,
                f"{score:.1f}" if isinstance(score, int | float) else "",
                plain(text) + ("" if state == "ok" else f" ({plain(state.replace('_', ' '))})"),
            ]
        )
    if rows:
        yield from (
            "",
            "### Metrics of source files",
            "",
            *table(("metric", "score", "result"), rows),
        )


def _worst_files(run: ExportedRun) -> tuple[str, Iterable[str], int]:
    scored: list[tuple[float, str]] = []
    for node in run.files:
        health = (node.get("metrics") or {}).get("health_score")
        if node.get("role", Role.SOURCE) == Role.SOURCE and isinstance(health, int | float):
            scored.append((health, str(node.get("path"))))
    worst = sorted(scored)[:FILES_SHOWN]
    return "Source files by health", (f"{code(path, 200)} {health:.1f}" for health, path in worst), len(scored)


def _findings(run: ExportedRun) -> tuple[str, Iterable[str], int]:
    """Return the findings of source files that are new or worse; without a comparison all of them; the worst first."""
    of_source = [item for item in run.findings if item.role == Role.SOURCE]
    if run.part("comparison"):
        title = "New and updated findings in source files"
        chosen = [item for item in of_source if item.state in ("new", "updated")]
    else:
        title, chosen = "Findings in source files", of_source
    ranked = sorted(chosen, key=lambda item: -item.severity.rank)
    return title, map(_line, ranked[:FINDINGS_SHOWN]), len(chosen)


def _line(finding: ExportedFinding) -> str:
    place = finding.path if finding.line is None else f"{finding.path}:{finding.line}"
    rule = code(f"{finding.metric} {finding.rule}", 80)
    return f"{finding.severity} {code(place, 200)} {rule} {code(finding.message, 200)}"


def _not_measured(run: ExportedRun) -> tuple[str, Sequence[str], int]:
    completeness: Mapping[str, Any] = run.part("completeness")
    lines = []
    skipped = completeness.get("skipped_total")
    if isinstance(skipped, int) and skipped > 0:
        lines.append(f"{skipped:,} files or directories were skipped")
    left_out = completeness.get("not_selected")
    if isinstance(left_out, int) and left_out > 0:
        lines.append(f"{left_out:,} Python files were left out by include and exclude")
    if run.unlisted:
        lines.append(f"{run.unlisted:,} findings were not stored")
    errors = run.document.get("errors")
    errors = [code(str(error), 200) for error in errors] if isinstance(errors, list | tuple) else []
    return "Not measured", [*lines, *errors[:ERRORS_SHOWN]], len(lines) + len(errors)
