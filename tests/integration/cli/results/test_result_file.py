"""Files with an earlier result or a policy: whatever they hold, they are read or refused in one line."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInputError
from domain.gate.policy import DEFAULT_POLICY
from domain.metrics.report import Analysis
from tests.unit.deploy.project_files import ROOT
from worker.results import policy_file, result_file
from worker.results.policy_file import read_policy_file
from worker.results.result_file import EarlierResult, read_result_file
from worker.results.reviewed_analysis import local_result, measured, review_analysis

REAL: dict[str, Any] = json.loads((ROOT / "tests/unit/collectors/engine/result_document.json").read_text())
REAL["tool_versions"] = {"python": "3.11", "ruff": "1"}  # the file has only the tools' names
ANALYSIS = Analysis(**{name: REAL[name] for name in Analysis.__dataclass_fields__})
COMMIT = "a" * 40


def document(**changes: Any) -> dict[str, Any]:
    source = {"run_id": "r", "git_commit_sha": COMMIT, "created_at": "2026-01-01T00:00:00+00:00"}
    return {"job": None, "source": source, **copy.deepcopy(REAL), **changes}


def read(directory: Path, value: Any) -> EarlierResult:
    path = directory / "old.json"
    path.write_text(json.dumps(value))
    return read_result_file(path)


def refused(path: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_result_file(path)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 400
    return text


def test_a_result_is_read_with_its_commit_run_and_time(tmp_path: Path) -> None:
    earlier = read(tmp_path, document())
    assert (earlier.commit, earlier.baseline.run_id) == (COMMIT, "r")
    assert earlier.baseline.run.since == "2026-01-01T00:00:00+00:00"
    made = local_result({}, review_analysis(ANALYSIS, measured(ANALYSIS, ""), baseline=earlier.baseline))
    assert {item["state"] for item in made["findings"]["items"]} == {"unchanged"}
    assert {item["first_seen_at"] for item in made["findings"]["items"]} == {"2026-01-01T00:00:00+00:00"}
    assert made["review"]["verdict"] == "APPROVED"


def test_a_result_without_a_job_is_as_old_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document(source={"kind": "directory", "path": ".", "git_commit_sha": "--output=/x"})))
    os.utime(path, (0, 86_400))
    earlier = read_result_file(path)
    assert (earlier.commit, earlier.baseline.run_id) == (None, None)
    assert earlier.baseline.run.since == "1970-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no JSON: give what `vibe8 analyze --json` printed"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "is no result (the document is no object)"),
        (b'{"version": "2.1.0", "runs": []}', "is no result (source is no object)"),
        (b'{"metrics": null, "job": {}}', "has no numbers: it is the result of a job that did not complete"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "a\nb.json"
    path.write_bytes(data)
    assert words in refused(path)


def test_a_missing_or_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "none.json")
    assert "cannot be read: Is a directory" in refused(tmp_path)
    monkeypatch.setattr(result_file, "MAX_MB", 0)
    (tmp_path / "large.json").write_text("{}")
    assert "is larger than 0 MB" in refused(tmp_path / "large.json")


def test_a_result_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    old = document()
    for item in old["findings"]["items"]:
        del item["identity"], item["line_hash"]
    with pytest.raises(InvalidInputError, match="is of an earlier version, whose findings cannot be compared"):
        read(tmp_path, old)


def small() -> dict[str, Any]:
    """Return a result with one finding of each metric, so that each place in it can be spoiled."""
    value = document(history=None, timings_ms={}, errors=[])
    value["findings"]["items"] = list({item["metric"]: item for item in value["findings"]["items"]}.values())
    value["findings"]["cut"] = {"lint": {"low": 1}}
    value["completeness"]["skipped"] = [{"path": "x", "reason": "y"}]
    return value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def spoiled(value: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    value = copy.deepcopy(value)
    parent: Any = value
    for key in path[:-1]:
        parent = parent[key]
    if new is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = new
    return value


@pytest.mark.parametrize(
    "new", [..., None, True, -1, 0.5, "x", "\x1b[31m\ud800", [], [[]], {}, {"x": {"x": []}}], ids=repr
)
def test_a_result_that_is_spoiled_in_any_place_is_read_or_refused(tmp_path: Path, new: Any) -> None:
    count, refusals = 0, []
    whole = small()
    for path in places(whole):
        count += 1
        try:
            earlier = read(tmp_path, spoiled(whole, path, new))
        except InvalidInputError as error:
            refusals.append(str(error))
        else:
            local_result({}, review_analysis(ANALYSIS, measured(ANALYSIS, ""), baseline=earlier.baseline))
    assert 0 < len(refusals) < count
    assert all(text.isprintable() for text in refusals)


# Policies


def test_a_policy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(DEFAULT_POLICY.to_json()))
    assert read_policy_file(path) == DEFAULT_POLICY


CONDITION = {"kind": "new_findings", "max": 0}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("{", "is no JSON, as a gate policy must be"),
        ("[" * 100_000, "is no JSON"),
        ([], "the gate policy must be a JSON object"),
        (
            {"conditions": [CONDITION], "extra\n": 1},
            "the gate policy has an unknown key 'extra'; it accepts conditions",
        ),
        ({"conditions": [CONDITION] * 10_000}, "must be a list of 1 to 50 objects"),
        ({"conditions": []}, "must be a list of 1 to 50 objects"),
        ({"conditions": [{**CONDITION, "max": -1}]}, "conditions[0].max must be a number from 0 to 1000000"),
        ({"conditions": [{**CONDITION, "max": float("nan")}]}, "conditions[0].max must be a number"),
        ({"conditions": [{**CONDITION, "max": 10**400}]}, "conditions[0].max must be a number"),
        ({"conditions": [{**CONDITION, "metrics": ["novelty"]}]}, "conditions[0].metrics[0] must be one of churn"),
        ({"conditions": [{"kind": "coverage", "max": 1}]}, "conditions[0].kind must be one of new_findings"),
        ({"conditions": [CONDITION], "roles": ["tests"]}, "roles[0] must be one of source"),
    ],
)
def test_a_bad_policy_is_refused_in_one_line(tmp_path: Path, policy: Any, words: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(policy if isinstance(policy, str) else json.dumps(policy))
    with pytest.raises(InvalidInputError) as caught:
        read_policy_file(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()


def test_a_policy_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read: No such file"):
        read_policy_file(tmp_path / "none.json")
    monkeypatch.setattr(policy_file, "MAX_BYTES", 1)
    (tmp_path / "policy.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="is larger than 1 bytes"):
        read_policy_file(tmp_path / "policy.json")
