"""The pages that `make docs` generates. `make check` fails where they are out of date."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.engine.discovery import declarations, discover
from docs import generate
from docs.generator import client, configuration, metrics, prometheus, result, result_schema
from docs.generator.result import SECTIONS
from domain.metrics.declaration import file_metrics_of
from domain.metrics.scoring import HEALTH_WEIGHTS
from domain.metrics.severity import Severity
from examples.api import STATUS
from tests.unit.deploy.project_files import setting_names
from tests.unit.deploy.promql import exposed
from worker.client import Client
from worker.client.operator import OperatorClient


def rows(page: str, heading: str = "") -> dict[str, list[str]]:
    """Return the cells of the rows of the tables below a heading, by the first cell."""
    section = (
        re.split(r"^#{2,3} ", page[page.index(heading) + len(heading) :], flags=re.MULTILINE)[0] if heading else page
    )
    lines = [line.strip("| ") for line in section.splitlines() if line.startswith("| ")]
    return {cells[0].strip("`"): cells for cells in (line.split(" | ") for line in lines)}


CONFIGURATION, METRICS, PROMETHEUS, CLIENT = configuration.page(), metrics.page(), prometheus.page(), client.page()
FILE_METRICS = {metric.key: metric for metric in file_metrics_of(declarations())}


def test_check_fails_for_a_page_that_is_out_of_date(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for folder in (docs, tmp_path / "worker/http/api/description"):  # one page is in the package too
        folder.mkdir(parents=True)
    monkeypatch.setattr(generate, "FOLDER", docs)
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    assert generate.main() == 1
    monkeypatch.setattr(sys, "argv", ["generate"])
    assert generate.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    assert generate.main() == 0
    (docs / "metrics.md").write_text(METRICS + "\n")
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


def test_every_section_begins_with_an_existing_setting() -> None:
    assert {name.upper() for name in configuration.SETTING_SECTIONS} <= setting_names()
    assert {name.upper() for name in configuration.DEFAULTS_IN_WORDS} <= setting_names()


def test_every_collector_has_a_section_with_its_docstring_and_fields() -> None:
    for collector in discover():
        metric = collector.metric
        assert f"\n## `{metric.name}`\n" in METRICS
        assert (inspect.getdoc(type(collector)) or "?") in METRICS
        for field in metric.aggregate:
            assert f"| `{field.key}` | {field.json_type} | {field.meaning} |" in METRICS
    for file_metric in FILE_METRICS.values():
        assert f"\n`metrics.{file_metric.key}` of a file" in METRICS
        for file_field in file_metric.fields:
            assert f"| `{file_field.key}` | {file_field.json_type} | {file_field.meaning} |" in METRICS


def test_page_does_not_depend_on_the_machine_s_git() -> None:
    version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout.split()[2]  # noqa: S607
    assert version not in METRICS


def test_every_time_series_of_a_replica_is_listed() -> None:
    found = rows(PROMETHEUS)
    for series, (kind, labels) in exposed().items():
        name = series.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        if not name.startswith("vibe8_") or series.endswith("_created"):
            continue
        assert found[name][1] in (kind, "histogram")
        assert set(found[name][2].replace("`", "").split(", ")) - {"-"} == labels - {"le"}


@pytest.mark.parametrize(("name", "beyond"), [("complexity", 0.01), ("docs", -0.01)])
def test_page_has_the_thresholds_of_the_declarations(name: str, beyond: float) -> None:
    judge = FILE_METRICS[name].thresholds
    assert judge is not None
    thresholds = rows(METRICS, "## Severities")[name][2]
    low, medium = (int(part.split()[1]) for part in thresholds.split(", ")[:2])
    assert (judge(low), judge(low + beyond)) == (Severity.LOW, Severity.MEDIUM)
    assert (judge(medium), judge(medium + beyond)) == (Severity.MEDIUM, Severity.HIGH)


def test_page_has_the_penalties_of_the_weights() -> None:
    found = rows(METRICS, "## Health score")
    for name, weight in HEALTH_WEIGHTS.items():
        assert float(found[name][2]) == weight.share
        formula = found[name][3]
        for x in (0.0, 3.0, 50.0):
            assert eval(formula, {"x": x}) == pytest.approx(weight.penalty(x))  # noqa: S307 - a page of this repository


def test_reference_of_the_client_has_every_public_call_and_what_it_raises() -> None:
    for cls in (Client, OperatorClient):
        for name in vars(cls):
            if not name.startswith("_"):
                assert f"\n### `{cls.__name__}.{name}`\n" in CLIENT
    assert "keys.create" in client.client_calls()
    for name in client.client_calls():
        assert f"\n### `Client.{name}`\n" in CLIENT
    errors = rows(CLIENT, "## Errors")
    assert "`submit_many`" in errors["LimitExceededError"][2]  # it says: raises as `submit_upload`
    assert "`cancel_job`" in errors["IllegalTransitionError"][2]
    assert "`keys.authenticate`" in errors["RateLimitedError"][2]
    assert "`list_runs`" not in errors["NotFoundError"][2]
    assert {error.__name__ for error in STATUS} == {name for name in errors if name.endswith("Error")}


def test_reference_of_the_client_says_that_no_api_may_offer_operator_calls() -> None:
    section = CLIENT.partition("\n## `OperatorClient`\n")[2]
    assert section.lstrip().startswith("**No API may offer these calls.**")
    assert "`OperatorClient.cancel_jobs`" in section


def test_prometheus_page_links_alerts() -> None:
    assert "[Vibe8ReplicaNotReady](operations.md#vibe8replicanotready)" in rows(PROMETHEUS)["vibe8_ready"][4]


def test_page_of_results_explains_odd_names_and_has_every_key_of_the_schema() -> None:
    page = result.page()
    names = set(rows(page, "## Odd names"))
    for name in ("totalChurn", "source_kind` and `submission_type`: `github", "suppressed"):
        assert name in names
    for definition in SECTIONS:
        for key in result_schema.schema()["$defs"][definition]["properties"]:
            assert f"\n| `{key}` | " in page
