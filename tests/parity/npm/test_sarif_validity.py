"""SARIF files that this program writes, held against the OASIS schema and Microsoft's validator."""

import json

import pytest
from hypothesis import given

from tests.fuzz.generators import fuzz_settings
from tests.parity.support.sarif_multitool import Multitool
from tests.unit.worker.export.sample_runs import HOSTILE, document, export, finding, hostile_documents, old_finding

PROFILES = ("sarif", "sarif-full")
ACCEPTED = {
    "SARIF2005",  # no tool has an address for information: its name and version say enough
    "SARIF2017",  # a finding without a line has no region
}


@pytest.fixture(scope="module")
def multitool(tmp_path_factory: pytest.TempPathFactory) -> Multitool:
    return Multitool(tmp_path_factory.mktemp("multitool"))


def hostile_run() -> dict[str, object]:
    """Make a run with every hostile text in every place, with changes and findings of earlier versions."""
    found = [
        finding(path=f"a/{text}.py", message=text, rule=text, function=text, line=line, state=state)
        for line, text in enumerate(HOSTILE)
        for state in ("new", "tool_changed")
    ]
    gone = [finding("security", "B101", state="fixed", severity="high", path=text) for text in HOSTILE]
    comparison = {"fixed": {"total": len(gone), "items": gone}}
    return document(*found, old_finding("security", "B602"), old_finding(line=None), comparison=comparison)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_validator_has_no_complaint(multitool: Multitool, profile: str) -> None:
    data = export(hostile_run(), profile)
    multitool.check_schema(data)
    complaints = multitool.complaints(data)
    assert {rule: level for rule, level in complaints.items() if rule not in ACCEPTED} == {}


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
