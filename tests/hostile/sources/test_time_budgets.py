"""Sources on which tools compute for a very long time: they exhaust a collector, and not the analysis."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from collectors.contract import AnyCollector
from collectors.engine import analysis as engine
from collectors.engine import units
from collectors.engine.analysis import Options, analyse
from collectors.engine.discovery import discover
from domain.metrics.report import Analysis
from domain.sources import FetchedSource
from tests.unit.collectors.source_trees import load_tree

GOOD = "def run(command):\n    return command\n"
EXPONENTIAL_FOR_BANDIT = (
    "from django.utils.safestring import mark_safe\ndef f():\n    x = 'a'\n"
    + "    x = '{} {}'.format(x, x)\n" * 64
    + "    mark_safe(x)\n"
)
"""Bandit's test of `mark_safe` takes 2 ** 64 steps for it."""

QUADRATIC_FOR_THE_PARSER = "a" + "\u0301\u0323" * 25_000 + " = 1\n"
"""Seconds to parse: the order of combining marks in an identifier is normalized by insertion."""

FILE_SECONDS = 0.2
BUDGET_SECONDS = 1


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "FILE_DEADLINE_SECONDS", FILE_SECONDS)


def collectors(*names: str) -> Sequence[AnyCollector]:
    return [each for each in discover() if each.metric.name in names]


def run(directory: Path, files: Mapping[str, str], found: Sequence[AnyCollector]) -> Analysis:
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "discover", lambda: found)
        options = Options(processes=2, collector_timeout=BUDGET_SECONDS)
        return analyse(load_tree(directory), FetchedSource(has_history=False), options)


def test_files_that_hang_one_tool_exhaust_it_and_the_others_complete(tmp_path: Path) -> None:
    hostile = {f"bad{number}.py": EXPONENTIAL_FOR_BANDIT for number in range(40)}
    found = run(tmp_path, {"good.py": GOOD, **hostile}, collectors("security", "size", "docs"))
    assert found.completeness["collectors"] == {"docs": "ok", "security": "failed", "size": "ok"}
    assert found.errors == ["security collector failed: out of time after 1 s"]
    assert found.completeness["analyzed"] == 41


def test_files_that_hang_the_parser_exhaust_the_budget_of_reading_and_parsing(tmp_path: Path) -> None:
    hostile = {f"bad{number:02}.py": QUADRATIC_FOR_THE_PARSER for number in range(40)}
    found = run(tmp_path, hostile, collectors("size", "churn"))
    assert found.completeness["collectors"]["size"] == "failed"
    assert "size collector failed: out of time after 1 s of reading and parsing" in found.errors
    hung = [line for line in found.errors if "no answer within" in line]
    assert 0 < len(hung) < 8  # of 40
    assert sum("not analysed: out of time" in line for line in found.errors) >= 32


def test_steps_that_each_end_in_time_exhaust_their_tool_while_others_of_them_are_queued(tmp_path: Path) -> None:
    """All files are queued in one process before the first of them has answered."""
    slow = EXPONENTIAL_FOR_BANDIT.replace(" * 64", "").splitlines(keepends=True)
    text = "".join([*slow[:3], *[slow[3]] * 9, slow[-1]])
    hostile = {f"bad{number}.py": text for number in range(100)}
    found = run(tmp_path, hostile, collectors("security", "size"))
    assert found.completeness["collectors"] == {"security": "failed", "size": "ok"}
