"""The forms of an evaluation's results: the page, the table, and what hostile names do to them."""

import base64
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from domain.evaluations.authors import Author
from domain.evaluations.evaluation import Member, MemberState
from domain.evaluations.measures import MEASURES
from domain.evaluations.results import results_to_json
from tests.hostile.support.naughty_strings import UNSAFE
from tests.unit.domain.evaluations.sample_evaluations import HUMAN, evaluation, group, lost, model
from tests.unit.worker.export.html_pages import Page
from worker.results.evaluations.csv_form import COLUMNS
from worker.results.evaluations.evaluation_format import EvaluationFormat
from worker.results.evaluations.forms import export_evaluation
from worker.results.evaluations.page import PROJECTS_SHOWN, TASKS_SHOWN, probability

TASKS = ["sort", "parse", "draw"] * 3
HOSTILE = "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>"


def document(members: Iterable[Member] | None = None, **changes: Any) -> dict[str, Any]:
    """Make the results of three authors, with projects that are missing."""
    made = members or [
        *group(HUMAN, range(9), TASKS),
        *group(model("one"), range(9, 18), TASKS),
        *group(model("two"), [value / 2 for value in range(9)], TASKS),
        lost(HUMAN, MemberState.FAILED, task="sort", source="broken.zip"),
    ]
    found = evaluation(list(made))
    return results_to_json(replace(found, summary=replace(found.summary, **changes)))


def page_of(results: dict[str, Any]) -> Page:
    return Page(export_evaluation(results, EvaluationFormat.HTML).decode())


def rows_of(results: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export_evaluation(results, EvaluationFormat.CSV).decode())))


def test_page_has_a_plot_and_a_table_of_each_pair_and_no_script() -> None:
    page = page_of(document())
    tags = [tag for tag, _ in page.elements]
    assert tags.count("svg") == 3
    assert "script" not in tags
    assert {name for _, attributes in page.elements for name in attributes if name.startswith("on")} == set()
    for words in ("declared by the submitter", "observation and not an experiment", "broken.zip", "one higher"):
        assert words in page.markup
    assert [attributes["id"] for tag, attributes in page.elements if tag == "section"] == [
        "caveats", "pair-1", "pair-2", "pair-3", "paired", "tasks", "left-out", "projects"
    ]  # fmt: skip


def test_policy_allows_the_only_style_sheet() -> None:
    page = page_of(document())
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    (policy,) = [values["content"] for _, values in page.elements if values.get("http-equiv") is not None]
    assert policy is not None
    assert f"style-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes for _, attributes in page.elements)


def test_hostile_names_stay_text() -> None:
    own = page_of(document(description="x", dataset_name="x", members=hostile("x")))
    page = page_of(document(description=HOSTILE, dataset_name=HOSTILE, name=HOSTILE, members=hostile(HOSTILE)))
    assert page.shapes <= own.shapes
    assert not UNSAFE.search(page.markup)


def hostile(text: str) -> list[Member]:
    author = Author(author_type="ai", author_model=text)
    return [*group(HUMAN, [1], [text]), *group(author, [2], [text]), lost(author, MemberState.DELETED, source=text)]


def test_too_few_projects_are_said_above_the_table() -> None:
    page = page_of(document([*group(HUMAN, [1, 2, 3]), *group(model("m"), [4, 5, 6])]))
    assert "too few projects for any difference to be shown" in page.markup
    assert page.markup.count('<td class="text">too few projects</td>') == len(MEASURES)


def test_long_lists_are_cut_and_the_cut_is_said() -> None:
    names = [f"task {number}" for number in range(400)]
    members = [*group(HUMAN, range(400), names), *group(model("m"), range(400), names)]
    page = page_of(document(members))
    assert f"{TASKS_SHOWN} of 400 tasks are shown" in page.markup
    assert f"{PROJECTS_SHOWN} of 800 projects are shown" in page.markup
    assert len(page.markup) < 2_000_000


def test_csv_has_a_row_for_each_test_and_task() -> None:
    rows = rows_of(document())
    assert list(rows[0]) == list(COLUMNS)
    assert [row["table"] for row in rows].count("overall") == 30
    assert [row["table"] for row in rows].count("paired") == 30
    assert [row["table"] for row in rows].count("task") == 3 * 30
    first = rows[0]
    assert (first["measure"], first["first"], first["second"]) == ("lint_density", "human", "one")
    assert (first["projects_first"], first["median_first"], first["u"], first["delta"]) == ("9", "4", "0.0", "-1.0")
    assert all("declared by the submitter" in row["caveat"] for row in rows)


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x", "a;=1", "\uff1dx"])
def test_no_cell_is_a_formula(name: str) -> None:
    author = Author(author_type="ai", author_model=name)
    rows = rows_of(document([*group(HUMAN, [1], [name]), *group(author, [2], [name])]))
    for row in rows:
        for column in ("second", "task", "higher"):
            assert not re.search(r"(^|;)\s*[=+\-@\uff1d]", row[column] or ""), row


def test_json_is_the_document() -> None:
    results = document()
    assert json.loads(export_evaluation(results, EvaluationFormat.JSON)) == json.loads(json.dumps(results))


@pytest.mark.parametrize(("value", "shown"), [(1.0, "1.0000"), (0.05, "0.0500"), (0.0001, "0.0001"), (9e-5, "<0.0001")])
def test_probability(value: float, shown: str) -> None:
    assert probability(value) == shown
