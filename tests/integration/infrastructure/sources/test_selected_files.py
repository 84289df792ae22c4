"""Numbers of a part of a tree that globs choose, compared with the tools' command lines over the same files."""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ruff import find_ruff_bin  # type: ignore[import-untyped]

from collectors.engine.analysis import Options, analyse
from collectors.source.source_tree import load_tree
from domain.selection import Selection
from infrastructure.child_process.process_control import SystemProcessControl
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from tests.fixtures.git_repository import WorkTree
from tests.parity.support.comparison import PACKAGES, copy_python, run_tool

SELECTIONS = {
    "included": Selection(include=("bandit/core", "**/cli/*.py")),
    "excluded": Selection(exclude=("**/plugins", "bandit/blacklists/*.py", "tests", "gone.py")),
    "both": Selection(include=("bandit",), exclude=("**/formatters", "**/__init__.py")),
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> WorkTree:
    """A package that imports itself, a test of it, and a file that was deleted again."""
    tree = WorkTree(tmp_path_factory.mktemp("work") / "tree")
    copy_python(PACKAGES / "bandit", tree.path / "bandit")
    tree.write("tests/test_core.py", "import os\nimport zlib\nfrom bandit.core import manager\nassert manager\n")
    tree.commit("first", gone_py="x = 1\n" * 40)
    (tree.path / "gone.py").unlink()
    tree.write("bandit/core/more.py", "import sys\nimport bandit.plugins\nimport requests\nprint(sys)\n")
    tree.commit("second")
    return tree


@pytest.fixture(params=SELECTIONS)
def selection(request: pytest.FixtureRequest) -> Selection:
    return SELECTIONS[request.param]


@pytest.fixture
def document(work: WorkTree, selection: Selection, layout: SourceLayout) -> dict[str, Any]:
    fetched = fetch_directory(work.path, layout, SourceLimits(), selection)
    tree = load_tree(
        layout.tree,
        process_control=SystemProcessControl(),
        manifests=layout.manifests,
        history=GitHistory(layout.repository),
        selection=selection,
    )
    return dict(analyse(tree, fetched, Options(processes=2)).document())


@pytest.fixture
def chosen(work: WorkTree, selection: Selection) -> list[str]:
    every = sorted(str(path.relative_to(work.path)) for path in work.path.rglob("*.py"))
    found = [path for path in every if selection.selects(path)]
    assert 3 < len(found) < len(every) - 3
    return found


def places(document: dict[str, Any], metric: str) -> Counter[tuple[str, str, int]]:
    items = document["findings"]["items"]
    return Counter((item["path"], item["rule"], item["line"]) for item in items if item["metric"] == metric)


def test_no_other_file_is_measured(document: dict[str, Any], work: WorkTree, chosen: list[str]) -> None:
    assert document["completeness"]["files"] == len(chosen)
    assert document["completeness"]["not_selected"] == len(list(work.path.rglob("*.py"))) - len(chosen)
    assert document["completeness"]["skipped_total"] == 0
    assert set(document["completeness"]["collectors"].values()) == {"ok"}
    assert {item["path"] for item in document["findings"]["items"]} <= set(chosen)


def test_lint_is_that_of_ruff_which_sees_the_other_files_beside_them(
    document: dict[str, Any], work: WorkTree, chosen: list[str]
) -> None:
    command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--output-format", "json", *chosen]
    run = subprocess.run(command, cwd=work.path, capture_output=True, check=False)
    assert run.returncode in (0, 1), run.stderr
    root = f"{os.path.realpath(work.path)}/"
    expected = Counter(
        (item["filename"].removeprefix(root), item["code"], item["location"]["row"]) for item in json.loads(run.stdout)
    )
    assert places(document, "lint") == expected
    assert document["metrics"]["lint"]["total"] == expected.total() > 0


def test_security_is_that_of_bandit(document: dict[str, Any], work: WorkTree, chosen: list[str]) -> None:
    files = [work.path / path for path in chosen]
    report = json.loads(run_tool("bandit", "-q", "-f", "json", *files, codes=(0, 1)))
    expected = Counter(
        (item["filename"].removeprefix(f"{work.path}/"), item["test_id"], item["line_number"])
        for item in report["results"]
    )
    assert places(document, "security") == expected
    counts = Counter(item["issue_severity"].lower() for item in report["results"])
    assert {key: document["metrics"]["security"][key] for key in ("high", "medium", "low")} == {
        key: counts[key] for key in ("high", "medium", "low")
    }


def test_dead_code_is_that_of_vulture(document: dict[str, Any], work: WorkTree, chosen: list[str]) -> None:
    files = [work.path / path for path in chosen]
    output = run_tool("vulture", "--min-confidence", "60", *files, codes=(0, 3))
    expected = Counter(
        (found[1].removeprefix(f"{work.path}/"), int(found[2])) for found in re.finditer(r"(?m)^(.+?):(\d+): ", output)
    )
    found = Counter((path, line) for path, _, line in places(document, "dead_code").elements())
    assert found == expected
    assert document["metrics"]["dead_code"]["unused_symbols"] == expected.total() > 0


def test_sizes_are_those_of_radon(document: dict[str, Any], work: WorkTree, chosen: list[str]) -> None:
    files = [work.path / path for path in chosen]
    raw = json.loads(run_tool("radon", "raw", "--json", *files))
    assert document["metrics"]["size"]["sloc"] == sum(each["sloc"] for each in raw.values())
    functions = [
        entry["complexity"]
        for entries in json.loads(run_tool("radon", "cc", "--json", *files)).values()
        for entry in entries
        if entry["type"] in ("function", "method")
    ]
    assert document["metrics"]["cyclomatic"]["avg_cc"] == pytest.approx(sum(functions) / len(functions))
    maintainability = [each["mi"] for each in json.loads(run_tool("radon", "mi", "--json", *files)).values()]
    assert document["metrics"]["mi"]["mi_avg"] == pytest.approx(sum(maintainability) / len(maintainability))


def test_churn_is_that_of_git_over_the_chosen_paths_also_of_deleted_files(
    document: dict[str, Any], work: WorkTree, selection: Selection
) -> None:
    output = work.git("log", "--numstat", "--no-merges", "--no-renames", "--format=", "-z").decode()
    lines = [line.split("\t", 2) for line in output.split("\0") if line]
    expected = sum(int(added) + int(deleted) for added, deleted, path in lines if selection.selects(path))
    assert document["metrics"]["churn"]["totalChurn"] == expected > 0
    assert document["metrics"]["churn"]["total_commits"] == 2


def test_documented_share_and_duplication_are_those_of_a_tree_of_these_files_alone(
    document: dict[str, Any], work: WorkTree, chosen: list[str], tmp_path: Path
) -> None:
    for path in chosen:
        (tmp_path / "alone" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "alone" / path).write_bytes((work.path / path).read_bytes())
    (tmp_path / "second").mkdir()
    fetched = fetch_directory(tmp_path / "alone", SourceLayout(tmp_path / "second"), SourceLimits())
    tree = load_tree(tmp_path / "second" / "tree", process_control=SystemProcessControl())
    alone = analyse(tree, fetched, Options(processes=2)).document()
    for metric in ("docs", "dupes", "security", "dead_code", "cyclomatic", "mi", "size"):
        assert document["metrics"][metric] == alone["metrics"][metric]
