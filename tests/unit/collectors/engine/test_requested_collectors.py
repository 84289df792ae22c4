"""A subset of the collectors: the others do not run, their numbers are null, and those of the subset stay the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collectors.engine.analysis import Options, analyse
from collectors.engine.discovery import declarations, discover
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.engine.tree_collection import answer_trees
from collectors.source.source_tree import SourceTree
from domain.findings.measured_run import iter_files
from domain.history.document import UNREQUESTED
from domain.selection import Selection
from domain.sources import FetchedSource
from tests.unit.collectors.source_trees import load_tree

FETCHED = FetchedSource(has_history=False)
NAMES = [metric.name for metric in declarations()]
FILES = {
    "a.py": "import os\n\n\ndef unused(x):\n    assert x\n    return eval(x)\n",
    "b.py": '"""Doc."""\nimport requests\n\nx = requests.get("http://example.org")\n',
}


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return load_tree(tmp_path)


def document(tree: SourceTree, *collectors: str, processes: int = 0, cache: Any = None) -> dict[str, Any]:
    chosen = replace(tree, selection=Selection(collectors=tuple(sorted(collectors))))
    return dict(analyse(chosen, FETCHED, Options(processes=processes), cache=cache).document())


def nulls(value: Any) -> bool:
    return all(each is None for each in value.values())


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("name", NAMES)
def test_one_collector_alone_says_what_it_says_among_all(tree: SourceTree, name: str, processes: int) -> None:
    whole, alone = document(tree, processes=processes), document(tree, name, processes=processes)
    assert alone["metrics"][name] == whole["metrics"][name]
    assert {each for each in NAMES if each != name and not nulls(alone["metrics"][each])} == set()
    assert alone["completeness"]["collectors"] == {**dict.fromkeys(NAMES, "not_requested"), name: "ok"}
    assert alone["errors"] == []
    of_metric = [item for item in whole["findings"]["items"] if item["metric"] == name]
    assert alone["findings"]["items"] == of_metric
    assert not any(key.endswith(f".{each}") for key in alone["timings_ms"] for each in NAMES if each != name)
    for node in iter_files(alone["file_tree"]):
        assert node["metrics"]["health_score"] is None


def test_a_tree_without_the_metric_of_the_history_says_so(tree: SourceTree) -> None:
    assert document(tree, "lint")["history"]["reason"] == UNREQUESTED
    assert document(tree, "churn")["history"]["reason"] != UNREQUESTED


def test_health_needs_all_of_its_inputs(tree: SourceTree) -> None:
    every = set(NAMES)
    without_churn = document(tree, *(every - {"churn", "deps"}))
    assert all(node["metrics"]["health_score"] is not None for node in iter_files(without_churn["file_tree"]))
    without_docs = document(tree, *(every - {"docs"}))
    assert all(node["metrics"]["health_score"] is None for node in iter_files(without_docs["file_tree"]))


def test_facts_of_other_collectors_are_no_facts_of_these(tree: SourceTree) -> None:
    cache = FileFactsCache({})
    first = document(tree, "lint", "size", cache=cache)
    again = FileFactsCache(cache.new_entries)
    assert document(tree, "lint", "size", cache=again)["metrics"] == first["metrics"]
    assert again.new_entries == {}
    whole = document(tree, cache=FileFactsCache(cache.new_entries))
    assert whole["metrics"] == document(tree)["metrics"]


def test_tools_are_asked_only_about_trees_that_request_them(tmp_path: Path) -> None:
    trees = []
    for number, chosen in enumerate((("size",), (), ("lint", "size"))):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / f"a{number}.py").write_text(FILES["a.py"])
        trees.append(replace(load_tree(tmp_path / str(number)), selection=Selection(collectors=chosen)))
    answers = answer_trees(trees, discover())
    assert answers[0] == {}
    assert [list(of_tree["lint"]) for of_tree in answers[1:]] == [["a1.py"], ["a2.py"]]
