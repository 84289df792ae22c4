"""The results as one HTML page, without script: tables, and a forest plot of each pair of authors."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from domain.evaluations.comparison import TOO_FEW
from domain.text import JSON, safe_json
from worker.export.html.report import environment, style_sheet
from worker.export.html.values import counted, cut, fixed, moment
from worker.results.evaluations.forest import ForestRow, forest_plot

EVALUATION_TEMPLATES = Path(__file__).with_name("templates")

TASKS_SHOWN, PROJECTS_SHOWN = 30, 500
"""The most tasks and projects that the page lists; the other forms have all."""


def evaluation_page(document: Mapping[str, JSON]) -> bytes:
    """Return the page as UTF-8. `document` is as `domain.evaluations.results.results_to_json` makes it."""
    style, style_hash = style_sheet()
    template = environment(EVALUATION_TEMPLATES).get_template("evaluation.html")
    parts = {"style": style, "style_hash": style_hash, "run_links": None, **evaluation_parts(document)}
    return template.render(parts).encode()


def evaluation_parts(document: Mapping[str, JSON]) -> dict[str, Any]:
    """Return the values of `comparison.html`, and of the heading above it, for a page with a layout of its own.

    Such a page gives `run_links` too, what precedes the id of a run in the address of its report.
    """
    document = safe_json(document)  # what other programs have stored may reorder the text around it
    measures = {measure["name"]: measure for measure in document["measures"]}
    members = document["members"]
    return {
        "name": document["name"],
        "description": document["description"],
        "facts": list(_facts(document)),
        "caveats": document["caveats"],
        "groups": document["groups"],
        "tests": document["tests"],
        "level": document["level"],
        "pairs": [_pair(list(tests), measures) for _, tests in groupby(document["overall"]["pairs"], key=_authors)],
        "tasks": [_task(part, document["groups"], measures) for part in document["by_task"][:TASKS_SHOWN]],
        "cut_tasks": cut(TASKS_SHOWN, len(document["by_task"])),
        "paired": [_paired(test, measures) for test in document["paired"]],
        "left_out": document["left_out"],
        "incomplete": document["incomplete"],
        "differing_tools": document["differing_tools"],
        "measures": list(measures.values()),
        "projects": [_project(member, measures) for member in members[:PROJECTS_SHOWN]],
        "cut_projects": cut(PROJECTS_SHOWN, len(members)),
    }


def _facts(document: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    yield "Projects", counted(document["projects"], "project")
    yield "Authors", ", ".join(group["author"] for group in document["groups"])
    if document["dataset_name"]:
        yield "Data set", document["dataset_name"]
    yield "Submitted", moment(document["created_at"]) or ""
    yield "Ended", moment(document["finished_at"]) or ""
    yield "Evaluation", document["evaluation_id"]


def _authors(test: Mapping[str, JSON]) -> tuple[str, str]:
    return test["first"], test["second"]


def _pair(tests: Sequence[Mapping[str, JSON]], measures: Mapping[str, Mapping[str, JSON]]) -> dict[str, Any]:
    """Return the table and the plot of two authors."""
    first, second = _authors(tests[0])
    rows = [
        ForestRow(
            title=measures[test["measure"]]["title"],
            delta=test["delta"],
            low=test["delta_low"],
            high=test["delta_high"],
            shown=test["higher"] is not None,
        )
        for test in tests
    ]
    return {
        "first": first,
        "second": second,
        "plot": forest_plot(rows, first=first, second=second),
        "rows": [_test(test, measures) for test in tests],
        "too_few": all(test["reason"] == TOO_FEW for test in tests),
    }


def _test(test: Mapping[str, JSON], measures: Mapping[str, Mapping[str, JSON]]) -> dict[str, Any]:
    return {
        **_measure(test, measures),
        "projects": test["projects"],
        "medians": [_number(median) for median in test["medians"]],
        "u": f"{test['u']:g}",
        "p": probability(test["p"]) + ("" if test["exact"] else " (normal)"),
        "p_holm": probability(test["p_holm"]),
        "delta": fixed(test["delta"], 2),
        "interval": f"{fixed(test['delta_low'], 2)} to {fixed(test['delta_high'], 2)}",
        "says": says(test),
        "shown": test["higher"] is not None,
    }


def _paired(test: Mapping[str, JSON], measures: Mapping[str, Mapping[str, JSON]]) -> dict[str, Any]:
    return {
        **_measure(test, measures),
        "pair": f"{test['first']} and {test['second']}",
        "tasks": test["tasks"],
        "differing": test["differing"],
        "w": f"{test['w']:g}",
        "p": probability(test["p"]) + ("" if test["exact"] else " (normal)"),
        "p_holm": probability(test["p_holm"]),
        "says": says(test),
    }


def _measure(test: Mapping[str, JSON], measures: Mapping[str, Mapping[str, JSON]]) -> dict[str, str]:
    measure = measures[test["measure"]]
    return {"title": measure["title"], "unit": measure["unit"]}


def _task(
    part: Mapping[str, JSON], groups: Sequence[Mapping[str, JSON]], measures: Mapping[str, Mapping[str, JSON]]
) -> dict[str, Any]:
    authors = [group["author"] for group in groups]
    return {
        "task": part["task"],
        "authors": authors,
        "rows": [
            {
                "title": measure["title"],
                "unit": measure["unit"],
                "cells": [part["medians"][name][author] for author in authors],
            }
            for name, measure in measures.items()
        ],
    }


def _project(member: Mapping[str, JSON], measures: Mapping[str, Mapping[str, JSON]]) -> dict[str, Any]:
    return {
        "source": member["source"],
        "author": member["author"],
        "task": member["task"],
        "state": member["state"],
        "lines": member["source_lines"],
        "run_id": member["run_id"],
        "numbers": [_number(member["numbers"].get(name)) for name in measures],
    }


def says(test: Mapping[str, JSON]) -> str:
    """Return what a test says: whose values are higher, or why nothing is said."""
    return f"{test['higher']} higher" if test["higher"] is not None else str(test["reason"])


def probability(value: float) -> str:
    """Return a p-value with four decimals."""
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _number(value: float | None) -> str:
    return fixed(value, 1, "-")
