"""What `make docs` writes. Whether the pages are up to date is asked by `make check`."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.engine.discovery import discover
from docs import generate
from domain.metrics import severity
from domain.metrics.scoring import HEALTH_WEIGHTS
from domain.metrics.severity import Severity
from tests.unit.deploy.project_files import setting_names
from tests.unit.deploy.promql import exposed


def rows(page: str, heading: str = "") -> dict[str, list[str]]:
    """The rows of the tables below a heading, by their first cell."""
    section = (
        re.split(r"^#{2,3} ", page[page.index(heading) + len(heading) :], flags=re.MULTILINE)[0] if heading else page
    )
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("| ")]
    return {cells[0].strip("`"): cells for cells in (line.split(" | ") for line in lines)}


CONFIGURATION, METRICS = generate.configuration_page(), generate.metrics_page()


def test_a_stale_page_fails_the_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    assert generate.main() == 1
    monkeypatch.setattr(sys, "argv", ["generate"])
    assert generate.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    assert generate.main() == 0
    (tmp_path / "metrics.md").write_text(METRICS + "\n")
    assert generate.main() == 1


def test_every_setting_has_a_type_a_default_and_a_meaning() -> None:
    found = rows(CONFIGURATION)
    for name in setting_names():
        _, kind, default, meaning = found[name]
        assert kind
        assert default
        assert len(meaning) > 10
        assert meaning.endswith(".")
    assert found["ARQ_MAX_JOBS"][1:3] == ["integer, > 0", "`20`"]
    assert found["STATUS_PORT"][1:3] == ["integer, >= 0, < 65536", "unset"]
    assert found["GIT_ALLOWED_HOSTS"][1:3] == ["list of text", "`github.com`"]
    assert found["SANDBOX"][1] == "`auto` or `required`"
    assert found["DATABASE_URL"][1:3] == ["secret text", "unset"]


def test_every_section_begins_with_a_setting_that_there_is() -> None:
    assert {name.upper() for name in generate.SETTING_SECTIONS} <= setting_names()
    assert {name.upper() for name in generate.DEFAULTS_IN_WORDS} <= setting_names()


def test_every_collector_has_its_manual_page() -> None:
    for collector in discover():
        assert f"\n### `{collector.name}`\n" in METRICS
        assert (inspect.getdoc(type(collector)) or "?") in METRICS
        assert all(f"`{name}`" in METRICS for name in collector.fields)


def test_what_this_machine_has_is_not_in_it() -> None:
    version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.split()[2]  # noqa: S607
    assert version not in METRICS


def test_every_series_has_its_line() -> None:
    found = rows(METRICS)
    for series, (kind, labels) in exposed().items():
        name = series.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        if not name.startswith("vibe8_") or series.endswith("_created"):
            continue
        assert found[name][1] in (kind, "histogram")
        assert set(found[name][2].replace("`", "").split(", ")) - {"-"} == labels - {"le"}


@pytest.mark.parametrize(
    ("judge", "name", "beyond"), [(severity.complexity, "complexity", 0.01), (severity.docs, "docs", -0.01)]
)
def test_thresholds_are_those_of_the_functions(judge: Callable[[float], Severity], name: str, beyond: float) -> None:
    thresholds = rows(METRICS, "### Severities")[name][2]
    low, medium = (int(part.split()[1]) for part in thresholds.split(", ")[:2])
    assert (judge(low), judge(low + beyond)) == (Severity.LOW, Severity.MEDIUM)
    assert (judge(medium), judge(medium + beyond)) == (Severity.MEDIUM, Severity.HIGH)


def test_penalties_are_those_of_the_weights() -> None:
    found = rows(METRICS, "### Health score")
    for name, weight in HEALTH_WEIGHTS.items():
        assert float(found[name][1]) == weight.share
        formula = found[name][2]
        for x in (0.0, 3.0, 50.0):
            assert eval(formula, {"x": x}) == pytest.approx(weight.penalty(x))  # noqa: S307 - our own page
