"""docs/job-lifecycle.md agrees with `domain.jobs.Transition` and with the constants of the code."""

import re

import pytest

from domain.jobs import JobStatus, Transition
from tests.unit.deploy.project_files import ROOT

PAGE = (ROOT / "docs/job-lifecycle.md").read_text()
EDGES = re.findall(r"^    (\w+) --> (\w+): ([A-Z]+)$", PAGE, re.MULTILINE)
ROWS = re.findall(r"^\| `([A-Z]+)` \| `(\w+)` \| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
TIMES = re.findall(r"^\| `([A-Z_]+_SECONDS)` \| (\d+) \|", PAGE, re.MULTILINE)


def test_diagram_has_exactly_the_transitions() -> None:
    assert sorted(EDGES) == sorted((each.before, each.after, each.name) for each in Transition)


def test_diagram_begins_and_ends_where_rows_are_made_and_deleted() -> None:
    assert re.findall(r"^    \[\*\] --> (\w+)", PAGE, re.MULTILINE) == [JobStatus.PENDING]
    assert re.findall(r"^    (\w+) --> \[\*\]", PAGE, re.MULTILINE) == [each for each in JobStatus if each.finished]


def test_table_has_exactly_the_transitions() -> None:
    named = [(name, before, after) for name, before, after, *_ in ROWS]
    assert named == [(each.name, each.before, each.after) for each in Transition]


@pytest.mark.parametrize(("name", "seconds"), TIMES)
def test_time_is_the_code_s(name: str, seconds: str) -> None:
    sources = [
        path.read_text()
        for package in ("worker", "domain", "infrastructure")
        for path in (ROOT / package).rglob("*.py")
    ]
    values = [value for source in sources for value in re.findall(rf"^{name} = ([\d.]+)$", source, re.MULTILINE)]
    assert float(seconds) in [float(value) for value in values]
