"""The document of a run does not depend on the order of files, the number of processes or the cache."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.engine import units
from collectors.engine.analysis import Options, analyse
from collectors.engine.discovery import discover
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.source.source_tree import SourceTree
from domain.sources import FetchedSource
from tests.fixtures.checks.result_documents import check_analysis
from tests.unit.collectors.source_trees import load_tree

NAMES = st.sampled_from(["a", "b", "os", "password", "unused", "Thing"])
STATEMENTS = st.one_of(
    st.builds("import {}\n".format, NAMES),
    st.builds("from . import {}\n".format, NAMES),
    st.builds("{} = {!r}\n".format, NAMES, st.one_of(st.integers(), st.text(max_size=8), st.binary(max_size=8))),
    st.builds("def {0}(x):\n    if x and {1}:\n        return {1}(x)\n    return 1\n    x\n".format, NAMES, NAMES),
    st.builds("class {}:\n    '''Doc.'''\n    {} = 1  # noqa\n".format, NAMES, NAMES),
    st.builds("assert {}  # nosec\n".format, NAMES),
    st.text(max_size=20),
)
FILES = st.dictionaries(
    st.sampled_from(["a.py", "b.py", "pkg/__init__.py", "pkg/a.py", "tests/test_a.py"]),
    st.lists(STATEMENTS, max_size=6).map("".join),
    min_size=1,
    max_size=4,
)


def document(tree: SourceTree, processes: int, cache: FileFactsCache | None = None) -> dict[str, Any]:
    options = Options(processes=processes, collector_timeout=300)
    plain = analyse(tree, FetchedSource(has_history=False), options, cache=cache).document()
    check_analysis(plain)
    del plain["timings_ms"]
    return plain


def names(tree: SourceTree) -> set[bytes]:
    return {entry.raw_path for entry in tree.entries}


def answer_names(tree: SourceTree) -> set[bytes]:
    return {name + b"/" for name in names(tree)}


def write(root: Path, files: dict[str, str]) -> SourceTree:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return load_tree(root)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, seed=st.integers())
def test_document_does_not_depend_on_order_or_number_of_processes(
    files: dict[str, str], seed: int, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BYTES_PER_PROCESS", 16)  # so that even tiny files are distributed over all processes
    tree = write(tmp_path_factory.mktemp("tree"), files)
    shuffled = list(tree.entries)
    random.Random(seed).shuffle(shuffled)
    alone = document(tree, 1)
    assert set(alone["completeness"]["collectors"]) == {collector.metric.name for collector in discover()}
    assert not [line for line in alone["errors"] if "collector failed" in line]
    assert document(tree, 3) == alone
    assert document(dataclasses.replace(tree, entries=tuple(shuffled)), 2) == alone


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, changed=FILES)
def test_document_does_not_depend_on_the_cache(
    files: dict[str, str], changed: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = FileFactsCache({})
    before = write(tmp_path_factory.mktemp("before"), files)
    cold = document(before, 2, first)
    assert set(first.new_entries) == names(before) | answer_names(before)
    again = FileFactsCache(first.new_entries)
    assert document(before, 2, again) == cold
    assert again.new_entries == {}

    after = write(tmp_path_factory.mktemp("after"), {**files, **changed})
    same = {name.encode() for name, text in files.items() if changed.get(name, text) == text}
    warm = FileFactsCache({name: facts for name, facts in first.new_entries.items() if name in same})
    assert document(after, 2, warm) == document(after, 1)
    assert set(warm.new_entries) == names(after) - same | answer_names(after)
    if names(before) == names(after):  # else the cached answers of tools are not valid
        unchanged = same | {name + b"/" for name in same}
        warm = FileFactsCache({name: facts for name, facts in first.new_entries.items() if name in unchanged})
        assert document(after, 2, warm) == document(after, 1)
        assert set(warm.new_entries) == names(after) - same | answer_names(after) - unchanged
