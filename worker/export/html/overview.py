"""The beginning of the report: what was analysed, the verdict of the gate, and the insights."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.gate.evaluation import Status
from worker.export.exported_run import ExportedRun
from worker.export.html.charts.lines import bar
from worker.export.html.values import (
    count,
    counted,
    cut,
    fixed,
    line,
    mapping,
    moment,
    number,
    objects,
    path_text,
    place,
    plain_number,
    texts,
    words,
)

CONDITIONS_SHOWN, INSIGHTS_SHOWN, PLACES_SHOWN, SENTENCES_SHOWN = 50, 30, 10, 12
_SHA_SHOWN = 12
_AUTHORS = {"ai": "AI", "human": "Human"}
_VERDICTS = {
    "APPROVED": ("approved", "Approved"),
    "REJECTED": ("rejected", "Rejected"),
    "NOT_EVALUATED": ("unknown", "Not evaluated"),
}
_STATUSES: Mapping[str, str] = {
    Status.FAIL: "failed",
    Status.NOT_EVALUATED: "not evaluated",
    Status.WAIVED: "waived",
    Status.PASSED: "passed",
}
"""Statuses of conditions in the order of the list, and in words."""


def headline(run: ExportedRun) -> dict[str, Any]:
    """Return the project's name, and the facts about it as names and values; a value of None is not known."""
    source = run.part("source")
    name, origin = _origin(source)
    author = line(source.get("author_type"), 40)
    facts = [
        *origin,
        ("Branch", line(source.get("git_branch"), 120) or None),
        ("Commit", line(source.get("git_commit_sha"), 64)[:_SHA_SHOWN] or None),
        ("Committed", moment(run.part("history").get("head_at"))),
        ("Analysed", moment(source.get("created_at"))),
        *_size(mapping(run.part("metrics").get("size"))),
    ]
    return {
        "title": name,
        "facts": facts,
        "author": _AUTHORS.get(author, author) or None,
        "author_model": line(source.get("author_model"), 120) or None,
    }


def _origin(source: Mapping[str, Any]) -> tuple[str, list[tuple[str, str | None]]]:
    """Return the project's name, and where its code is from."""
    name, repository = line(source.get("project_name"), 120), line(source.get("git_repo_url"))
    file, path = line(source.get("upload_filename"), 120), path_text(source.get("path"))
    if repository:
        return name or "/".join(repository.rstrip("/").removesuffix(".git").split("/")[-2:]), [
            ("Repository", repository)
        ]
    if file:
        return name or file, [("Upload", file)]
    if path:
        kind = "File" if source.get("kind") == "upload" else "Directory"
        return name or path.rstrip("/").rpartition("/")[2].strip(".") or "Current directory", [(kind, path)]
    return name or "Project without a name", [("Repository", None)]


def _size(size: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    files, lines = count(size.get("files")), count(size.get("sloc"))
    of_source = mapping(mapping(size.get("by_role")).get("source"))
    source_files, source_lines = count(of_source.get("files")), count(of_source.get("sloc"))
    if source_files is not None and source_lines is not None:
        yield "Source files", f"{counted(source_files, 'file')}, {counted(source_lines, 'line')}"
    known = files is not None and lines is not None
    yield "Whole tree", f"{counted(files or 0, 'file')}, {counted(lines or 0, 'source line')}" if known else None


def gate(run: ExportedRun) -> dict[str, Any] | None:
    """Return the verdict with the answers of its conditions, those that fail first; None for a run without a gate."""
    review = run.part("review")
    if not review:
        return None
    key, verdict = _VERDICTS.get(str(review.get("verdict")), ("unknown", "Not evaluated"))
    answers = objects(review.get("criteria"))
    ranked = sorted(answers, key=lambda answer: list(_STATUSES).index(_status(answer)))
    strengths, weaknesses = texts(review.get("strengths")), texts(review.get("weaknesses"))

    return {
        "key": key,
        "verdict": verdict,
        "summary": _summary(answers),
        "conditions": [_condition(answer) for answer in ranked[:CONDITIONS_SHOWN]],
        "cut": cut(min(CONDITIONS_SHOWN, len(answers)), len(answers)),
        "strengths": strengths[:SENTENCES_SHOWN],
        "weaknesses": weaknesses[:SENTENCES_SHOWN],
        "cut_sentences": cut(
            min(len(strengths), SENTENCES_SHOWN) + min(len(weaknesses), SENTENCES_SHOWN),
            len(strengths) + len(weaknesses),
        ),
    }


def _summary(answers: Sequence[Mapping[str, Any]]) -> str:
    """Return `5 conditions: 2 failed, 1 not evaluated, 2 passed`."""
    numbers = Counter(map(_status, answers))
    parts = [f"{numbers[status]:,} {text}" for status, text in _STATUSES.items() if numbers[status]]
    return f"{counted(len(answers), 'condition')}: {', '.join(parts)}" if parts else "no condition is listed"


def _status(answer: Mapping[str, Any]) -> str:
    status = answer.get("status")
    return status if isinstance(status, str) and status in _STATUSES else Status.NOT_EVALUATED


def _condition(answer: Mapping[str, Any]) -> dict[str, Any]:
    status, value = _status(answer), number(answer.get("value"))
    findings = objects(answer.get("findings"))
    severity, metrics = line(answer.get("severity"), 20), [words(name) for name in texts(answer.get("metrics"))]
    scope = [f"{severity} or above" if answer.get("kind") == "new_findings" else severity] if severity else []
    total = count(answer.get("value")) if answer.get("kind") == "new_findings" else None
    return {
        "status": status,
        "status_words": _STATUSES[status],
        "name": words(line(answer.get("kind"))).capitalize() or "A condition without a name",
        "scope": ", ".join([*scope, *metrics[:10]]),
        "reason": line(answer.get("reason")),
        "value": plain_number(value, "not known"),
        "threshold": plain_number(number(answer.get("max")), "not known"),
        "baseline": plain_number(number(answer.get("baseline"))),
        "findings": [_named(item) for item in findings[:PLACES_SHOWN]],
        "cut": cut(min(len(findings), PLACES_SHOWN), max(total or 0, len(findings))),
    }


def _named(item: Mapping[str, Any]) -> dict[str, str]:
    return {
        "severity": line(item.get("severity"), 20),
        "place": place(item.get("path", ""), item.get("line"), item.get("column")),
        "rule": line(item.get("rule"), 60),
        "message": line(item.get("message")),
    }


def insights(run: ExportedRun) -> dict[str, Any] | None:
    """Return the insights, and the cut of their list; None for a run of a version without them."""
    listed = run.document.get("insights")
    if listed is None:
        return None
    found = objects(listed)
    return {
        "items": [_insight(item) for item in found[:INSIGHTS_SHOWN]],
        "cut": cut(min(len(found), INSIGHTS_SHOWN), len(found)),
    }


def _insight(item: Mapping[str, Any]) -> dict[str, Any]:
    data, sure = mapping(item.get("data")), number(item.get("confidence_score"))
    title = line(item.get("title"))
    places = [each for each in objects(data.get("places")) if each.get("message") or str(each.get("path")) not in title]
    return {
        "type": words(line(item.get("type"), 60)) or "insight",
        "title": title or "An insight without a title",
        "description": line(item.get("description"), 600),
        "confidence": fixed(sure, 2, "not stated"),
        "bar": None if sure is None else bar(sure * 100),
        "refuted_by": line(data.get("refuted_by")),
        "places": list(_places(places[:PLACES_SHOWN])),
        "cut": cut(min(len(places), PLACES_SHOWN), max(len(places), count(data.get("count")) or 0)),
    }


def _places(items: list[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for item in items:
        yield {"place": place(item.get("path", ""), item.get("line")), "message": line(item.get("message"))}
