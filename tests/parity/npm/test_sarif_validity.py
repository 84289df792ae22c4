"""SARIF files that this program writes, held against the OASIS schema and Microsoft's validator."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given

from collectors.engine.analysis import Options, analyse
from domain.metrics.report import Analysis
from domain.sources import FetchedSource
from domain.text import JSON
from tests.fuzz.generators import fuzz_settings
from tests.parity.support.comparison import CORPUS, PACKAGES, copy_python
from tests.parity.support.sarif_multitool import Multitool, MultitoolUnavailableError
from tests.unit.collectors.source_trees import load_tree
from tests.unit.worker.export.sample_runs import HOSTILE, document, export, finding, hostile_documents, old_finding
from worker.export.export_format import ExportFormat
from worker.export.formats import export_result
from worker.results import reviewed_analysis

PROFILES = ("sarif", "sarif-full")
ACCEPTED = {
    "SARIF2017",  # a finding without a line has no region
}
SOURCE = {"kind": "directory", "path": "project", "git_branch": "main", "git_commit_sha": "a" * 40}


@pytest.fixture(scope="module")
def multitool(tmp_path_factory: pytest.TempPathFactory) -> Multitool:
    return Multitool(tmp_path_factory.mktemp("multitool"))


def measured(root: Path) -> Analysis:
    return analyse(load_tree(root), FetchedSource(has_history=False), Options(processes=1))


def real_run(directory: Path) -> dict[str, JSON]:
    """Analyse an installed package, fixtures with a finding of each of bandit's rules, and files of unusual syntax.

    They are compared with an earlier state: a part of the files was not there, and a folder had another name.
    """
    before, after = directory / "before", directory / "after"
    for root in (before, after):
        copy_python(CORPUS.parent, root / "tests")
    copy_python(PACKAGES / "alembic", before / "alembic")
    shutil.copytree(before / "alembic", after / "alembic")
    (after / "alembic/ddl").rename(after / "alembic/renamed")
    for path in [*(before / "tests/corpus").iterdir(), *(after / "alembic/operations").iterdir()]:
        path.unlink()
    earlier = measured(before)
    baseline = reviewed_analysis.Baseline(run=reviewed_analysis.measured(earlier, "2026-01-02T03:04:05+00:00"))
    analysis = measured(after)
    run = reviewed_analysis.measured(analysis, "2026-01-03T03:04:05+00:00")
    reviewed = reviewed_analysis.review_analysis(analysis, run, baseline=baseline)
    return reviewed_analysis.local_result(SOURCE, reviewed)


def hostile_run() -> dict[str, object]:
    """Make a run with every hostile text in every place, with changes and findings of earlier versions."""
    found = [
        finding(path=f"a/{text}.py", message=text, rule=text, function=text, line=line, state=state)
        for line, text in enumerate(HOSTILE)
        for state in ("new", "tool_changed")
    ]
    gone = [finding("security", "B101", state="fixed", severity="high", path=text) for text in HOSTILE]
    comparison = {"fixed": {"total": len(gone), "items": gone}}
    run = document(*found, old_finding("security", "B602"), old_finding(line=None), comparison=comparison)
    # A real run knows all versions of its tools; without one the validator asks for it (SARIF2005).
    missing = {"docstr-coverage": "2.3.2", "pmd-cpd": "7.28.0", "radon": "6.0.1", "vulture": "2.16"}
    return {**run, "tool_versions": {**run["tool_versions"], **missing}}


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_validator_has_no_complaint(multitool: Multitool, profile: str) -> None:
    data = export(hostile_run(), profile)
    multitool.check_schema(data)
    complaints = multitool.complaints(data)
    assert {rule: level for rule, level in complaints.items() if rule not in ACCEPTED} == {}


@pytest.mark.slow
def test_files_of_a_real_run_are_valid(multitool: Multitool, tmp_path: Path) -> None:
    result = real_run(tmp_path)
    for profile in PROFILES:
        data = export_result(result, ExportFormat(profile))
        multitool.check_schema(data)
        assert set(multitool.complaints(data)) <= ACCEPTED
        runs = json.loads(data)["runs"]
        assert {run["tool"]["driver"]["name"] for run in runs} >= {"bandit", "ruff", "vulture", "radon"}
        assert sum(len(run["results"]) for run in runs) > 1_000
    states = {found["baselineState"] for run in runs for found in run["results"]}
    assert states == {"new", "unchanged", "updated", "absent"}


def test_missing_npm_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MultitoolUnavailableError, match="needs npm on the PATH"):
        Multitool(tmp_path)


@pytest.mark.slow
def test_validator_finds_what_is_wrong(multitool: Multitool) -> None:
    log = json.loads(export(document(finding()), "sarif"))
    [run] = [run for run in log["runs"] if run["results"]]
    run["results"][0]["ruleIndex"] = 7
    assert "error" in multitool.complaints(json.dumps(log).encode()).values()


@pytest.mark.slow
def test_hostile_documents_are_valid_by_the_schema(multitool: Multitool) -> None:
    @fuzz_settings(200)
    @given(result=hostile_documents())
    def check(result: dict[str, object]) -> None:
        for profile in PROFILES:
            multitool.check_schema(export(result, profile))

    check()
