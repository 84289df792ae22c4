"""The results as CSV, in which no cell is a formula."""

import csv
import io
from collections.abc import Iterator, Mapping

from domain.text import JSON
from worker.export.csv_table import without_formula

COLUMNS = (
    "table", "task", "measure", "unit", "first", "second", "projects_first", "projects_second", "median_first",
    "median_second", "u", "w", "p", "exact", "p_holm", "delta", "delta_low", "delta_high", "higher", "reason", "caveat",
)  # fmt: skip
"""`table` is `overall`, `paired` (task by task) or `task` (the projects of one task, which are not tested)."""

_SAME = (
    "measure", "first", "second", "u", "w", "p", "exact", "p_holm", "delta", "delta_low", "delta_high", "higher",
    "reason",
)  # fmt: skip


def csv_form(document: Mapping[str, JSON]) -> bytes:
    """Return the table as UTF-8, by RFC 4180, with a line of headings. What is not known is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="")
    writer.writeheader()
    units = {measure["name"]: measure["unit"] for measure in document["measures"]}
    caveat = " ".join(document["caveats"])
    for row in _rows(document):
        cells = {**row, "unit": units[row["measure"]], "caveat": caveat}
        writer.writerow({column: _cell(value) for column, value in cells.items() if value is not None})
    return buffer.getvalue().encode()


def _rows(document: Mapping[str, JSON]) -> Iterator[dict[str, JSON]]:
    for test in document["overall"]["pairs"]:
        yield {"table": "overall", **_same(test), **_samples(test["projects"], test["medians"])}
    for test in document["paired"]:
        yield {"table": "paired", **_same(test), **_samples([test["tasks"]] * 2, [None, None])}
    for part in document["by_task"]:
        for row in part["deltas"]:
            of = part["medians"][row["measure"]]
            pair = [of[row["first"]], of[row["second"]]]
            samples = _samples([each["projects"] for each in pair], [each["median"] for each in pair])
            yield {"table": "task", "task": part["task"], **_same(row), **samples}


def _same(row: Mapping[str, JSON]) -> dict[str, JSON]:
    return {key: row[key] for key in _SAME if key in row}


def _samples(projects: list[JSON], medians: list[JSON]) -> dict[str, JSON]:
    return {
        "projects_first": projects[0],
        "projects_second": projects[1],
        "median_first": medians[0],
        "median_second": medians[1],
    }


def _cell(value: JSON) -> JSON:
    return without_formula(value) if isinstance(value, str) else value
