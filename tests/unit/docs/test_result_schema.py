"""docs/result.schema.json: what it allows and what it refuses."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from collectors.engine.analysis import Options, analyse
from domain.sources import FetchedSource
from tests.fixtures.checks.result_documents import UNREVIEWED, check_analysis, check_document, load_schema
from tests.unit.collectors.source_trees import load_tree
from tests.unit.deploy.project_files import ROOT

JOB: dict[str, Any] = {
    "job_id": "0" * 32,
    "status": "failed",
    "source": "a.py",
    "source_kind": "upload",
    "source_metadata": {"upload_filename": "a.py", "project_name": None},
    "result_run_id": None,
    "error_message": "not a zip",
    "attempt": 1,
    "attempt_errors": [{"attempt": 1, "at": "2026-01-01T00:00:00+00:00", "kind": "X", "message": "m"}],
    "stage": None,
    "progress": 0,
    "created_at": "2026-01-01T00:00:00+00:00",
    "started_at": "2026-01-01T00:00:00+00:00",
    "finished_at": "2026-01-01T00:00:00+00:00",
    "updated_at": "2026-01-01T00:00:00+00:00",
    "run_after": "2026-01-01T00:00:00+00:00",
    "cancel_requested_at": None,
    "refunded_at": None,
    "worker_id": "w-1",
    "notify_url": None,
    "options": {},
}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("tree")
    (root / "pkg").mkdir()
    (root / "pkg/a.py").write_text("import os, requests\n\n\ndef f():\n    eval('1')\n")
    (root / "broken.py").write_text("def f(:\n")
    return analyse(load_tree(root), FetchedSource(has_history=False), Options(processes=1)).document()


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema())


def test_analysis_is_valid_and_so_is_the_whole_document_at_once(analysis: dict[str, Any]) -> None:
    check_analysis(analysis)
    source = {"kind": "directory", "path": ".", "project_name": None, "created_at": "2026-01-02T03:04:05+00:00"}
    whole = {"job": JOB, "source": {**source, "git_branch": None, "git_commit_sha": None}}
    jsonschema.Draft202012Validator(load_schema()).validate({**whole, **UNREVIEWED, **analysis})


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document["metrics"].pop("lint"),
        lambda document: document["metrics"]["lint"].update(total="1"),
        lambda document: document["metrics"]["lint"].update(more=1),
        lambda document: document["metrics"]["deps"]["package_health"][0].update(installed="yes"),
        lambda document: document["file_tree"]["children"][0]["children"][0].pop("size"),
        lambda document: document["file_tree"]["children"][0]["children"][0]["metrics"]["lint"].update(severity="bad"),
        lambda document: document["file_tree"]["children"][1].update(parse_error=None),
        lambda document: document["findings"]["items"][0].update(line=None),
        lambda document: document["completeness"]["collectors"].update(lint="fine"),
        lambda document: document.update(timings_ms={"collecting": 0.5}),
        lambda document: document["history"].update(reason=None, remembered="yes"),
        lambda document: document["history"].pop("coupling"),
    ],
)
def test_damaged_analysis_is_refused(analysis: dict[str, Any], damage: Callable[[dict[str, Any]], object]) -> None:
    damaged = copy.deepcopy(analysis)
    damage(damaged)
    with pytest.raises(jsonschema.ValidationError):
        check_analysis(damaged)


def test_job_is_valid_and_a_damaged_one_is_refused() -> None:
    check_document(JOB)
    check_document([JOB])
    for damage in ({"status": "lost"}, {"progress": 101}, {"source_kind": "gitlab"}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check_document({**JOB, **damage})


def test_result_of_a_failed_job_is_valid() -> None:
    names = ("metrics", "file_tree", "findings", "completeness", "tool_versions", "timings_ms", "history")
    empty = dict.fromkeys(names)
    document = {"job": JOB, "source": JOB["source_metadata"], **UNREVIEWED, **empty, "errors": ["not a zip"]}
    check_document(document)
    with pytest.raises(jsonschema.ValidationError):
        check_document({**document, "source": {"run_id": "1"}})


def test_tests_that_read_results_use_the_client_that_checks_them() -> None:
    # Rows of other programs may hold any JSON in place of what the client submits.
    exempt = {Path(__file__), ROOT / "tests/fuzz/test_fuzz_rows.py"}
    readers = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"\b(take_result|get_run)\(", path.read_text()) and path not in exempt
    ]
    assert len(readers) > 5
    for path in readers:
        assert not re.search(r"(?<!\w)Client\.open\(", path.read_text()), path
