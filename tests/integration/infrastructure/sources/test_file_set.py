"""One set of files for all ten collectors, also where a tool's own command line leaves files out by their paths."""

import json
from pathlib import Path

from collectors.engine.analysis import Options, analyse
from domain.findings.measured_run import iter_files
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from tests.fixtures.git_repository import WorkTree
from tests.parity.support.comparison import run_radon, run_tool
from tests.unit.collectors.source_trees import load_tree

ROOT = Path(__file__).parents[4]
LEFT_OUT_BY_BANDIT = [".github/x.py", "b.toxic.py", "src/CVSS.py"]
LEFT_OUT_BY_RADON = [".github/x.py"]
PATHS = sorted([*LEFT_OUT_BY_BANDIT, "src/plain.py"])
TEXT = """import os
import subprocess
import library{number}


def run(command, other):
    '''Run it.'''
    if command and other:
        subprocess.call(command, shell=True)
        print(command, other, [command, other], {{command: other}}, (other, command, other), command.real.real)
    return [each for each in command if each or other] + [other for other in command if other or command]


def unused():
    pass
"""
NUMBERS: dict[str, dict[str, float]] = {
    "complexity": {"value": 9},
    "lint": {"count": 3},
    "security": {"high": 1, "low": 1},
    "docs": {"value": 100 / 3},
    "dead_code": {"count": 4},
    "duplication": {"count": 10},
    "churn": {"count": 15},
    "size": {"sloc": 10},
}


def test_every_collector_measures_files_that_the_tools_leave_out(tmp_path: Path) -> None:
    work = WorkTree(tmp_path / "source")
    for number, path in enumerate(PATHS):
        work.write(path, TEXT.format(number=number))
    work.commit()
    layout = SourceLayout(tmp_path / "scratch")
    layout.root.mkdir()
    source = fetch_directory(work.path, layout, SourceLimits())
    tree = load_tree(layout.tree, manifests=layout.manifests, history=GitHistory(layout.repository))
    document = analyse(tree, source, Options(processes=1)).document()
    assert document["errors"] == []
    metrics = {file["path"]: file["metrics"] for file in iter_files(document["file_tree"])}
    assert sorted(metrics) == PATHS
    for path in PATHS:
        found = {name: {key: metrics[path][name][key] for key in keys} for name, keys in NUMBERS.items()}
        assert found == NUMBERS, path
        assert metrics[path]["maintainability"]["value"] == metrics[PATHS[-1]]["maintainability"]["value"] < 100
    packages = {row["package"] for row in document["metrics"]["deps"]["package_health"]}
    assert packages == {f"library{number}" for number in range(len(PATHS))}


def test_tools_leave_out_what_the_pages_say(tmp_path: Path) -> None:
    for path in PATHS:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(TEXT.format(number=0))
    bandit = json.loads(run_tool("bandit", "-q", "-r", "-f", "json", tmp_path, codes=(0, 1)))
    prefix = f"{tmp_path}/"
    assert {item["filename"].removeprefix(prefix) for item in bandit["results"]} == set(PATHS) - set(LEFT_OUT_BY_BANDIT)
    assert set(run_radon(tmp_path, "raw")) == set(PATHS) - set(LEFT_OUT_BY_RADON)
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert all(f"`{path}`" in page for path in LEFT_OUT_BY_BANDIT)
    assert "radon leaves out files and" in page
