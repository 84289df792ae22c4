"""Runs over edited trees of real files, compared: what was there before the edit is not new after it."""

import ast
import copy
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bandit.core
import click
import pytest
import radon
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.engine.analysis import Options, analyse
from collectors.engine.discovery import discover
from collectors.engine.traits import traits_of
from domain.findings.comparison import compare_runs
from domain.findings.measured_run import MeasuredRun
from domain.sources import FetchedSource
from tests.unit.collectors.source_trees import load_tree

Tree = Mapping[str, str]
"""Text by path."""

SOURCES = {
    "pkg/formatting.py": Path(click.__file__).parent / "formatting.py",
    "pkg/globals.py": Path(click.__file__).parent / "globals.py",
    "lib/metrics.py": Path(radon.__file__).parent / "metrics.py",
    "lib/docs_utils.py": Path(bandit.core.__file__).parent / "docs_utils.py",
}
EXTRA = (
    """

def first(command):
    assert command
    import subprocess
    return eval(command) if subprocess else None


def second(value):
    assert value
    if value == None:
        print("x")
    return 1
    print("never")


def first_copy(command):
    assert command
    return exec(command)


def branches(x):
    import os
    """
    + "if x: pass\n    " * 12
    + "return x\n"
)
"""What makes findings of every metric."""

NEW_PLACES = {"I001", "F821"}
"""Rules that really find something new when files move or functions change their order."""

TRAITS = traits_of(discover())


def read_sources() -> dict[str, str]:
    texts = {path: source.read_text() for path, source in SOURCES.items()}
    texts["pkg/globals.py"] += EXTRA
    texts["lib/extra.py"] = '"""Doc."""\n' + EXTRA
    return texts


ORIGINAL = read_sources()


def run_over(tree: Tree) -> MeasuredRun:
    return MeasuredRun(**copy.deepcopy(_documents(tuple(sorted(tree.items())))), since="now")


@cache
def _documents(tree: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    with TemporaryDirectory() as root:
        for path, text in tree:
            location = Path(root, path)
            location.parent.mkdir(parents=True, exist_ok=True)
            location.write_text(text)
        result = analyse(load_tree(Path(root)), FetchedSource(has_history=False), Options(processes=0)).document()
    return {key: result[key] for key in ("metrics", "findings", "file_tree", "completeness", "tool_versions")}


def compare(before: MeasuredRun, after: MeasuredRun) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Compare, and check that the states of both sides add up."""
    found = compare_runs(before, after)
    items = list(found.items)
    assert total(found.document["counts"]) == len(after.items)
    assert total(found.document["baseline_counts"]) == len(before.items)
    current, baseline = states(found.document["counts"]), states(found.document["baseline_counts"])
    assert "fixed" not in current
    assert "new" not in baseline
    for state in ("unchanged", "moved", "updated"):
        assert current[state] == baseline[state]
    assert baseline["fixed"] == found.document["fixed"]["total"]
    return found.document, items


def total(counts: Any) -> int:
    return counts if isinstance(counts, int) else sum(map(total, counts.values()))


def states(counts: Mapping[str, Any]) -> Counter[str]:
    found: Counter[str] = Counter()
    for by_severity in counts.values():
        for by_state in by_severity.values():
            for state, by_role in by_state.items():
                found[state] += sum(by_role.values())
    return found


def text_key(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return rule and text of a finding."""
    return item["metric"], "CC" if item["metric"] == "cyclomatic" else item["rule"], item["identity"]


def assert_nothing_old_is_new(before: MeasuredRun, items: list[Mapping[str, Any]]) -> None:
    known = Counter(map(text_key, before.items))
    now = Counter(map(text_key, items))
    for item in items:
        if item["state"] == "new" and item["rule"] not in NEW_PLACES:
            assert now[text_key(item)] > known[text_key(item)], item


# Edits


def blocks(text: str) -> list[str]:
    """Return the text of each top-level statement, with what precedes it."""
    lines = text.splitlines(keepends=True)
    starts = [
        min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]) - 1
        for node in ast.parse(text).body
    ]
    ends = [*starts[1:], len(lines)]
    return ["".join(lines[: starts[0]]), *("".join(lines[start:end]) for start, end in zip(starts, ends, strict=True))]


def is_function(block: str) -> bool:
    body = ast.parse(block).body
    return len(body) == 1 and isinstance(body[0], ast.FunctionDef)


def insert_lines(tree: dict[str, str], chance: random.Random) -> None:
    path = chance.choice(sorted(tree))
    parts = blocks(tree[path])
    parts.insert(chance.randrange(2, len(parts)), "# a comment\n\n" * chance.randrange(1, 20))
    tree[path] = "".join(parts)


def rename_file(tree: dict[str, str], chance: random.Random) -> None:
    path = chance.choice(sorted(tree))
    new = chance.choice(["pkg/renamed.py", "deep/er/renamed.py", f"lib/a_{path.rpartition('/')[2]}"])
    tree[new] = tree.pop(path)


def reorder_functions(tree: dict[str, str], chance: random.Random) -> None:
    path = chance.choice(sorted(tree))
    parts = [part if part.endswith("\n") else part + "\n" for part in blocks(tree[path])]
    places = [index for index, part in enumerate(parts) if index and is_function(part)]
    shuffled = [parts[place] for place in places]
    chance.shuffle(shuffled)
    for place, part in zip(places, shuffled, strict=True):
        parts[place] = part
    tree[path] = "".join(parts)


def move_function(tree: dict[str, str], chance: random.Random) -> None:
    """Move a function, with all others of its name, to another file."""
    source, target = chance.sample(sorted(tree), 2)
    parts = blocks(tree[source])
    names = sorted({part.split("def ")[1].split("(")[0] for part in parts[1:] if is_function(part)})
    if not names:
        return
    name = chance.choice(names)
    moved = [part for part in parts[1:] if is_function(part) and part.split("def ")[1].startswith(f"{name}(")]
    tree[source] = "".join(part for part in parts if part not in moved)
    tree[target] = tree[target].rstrip("\n") + "\n\n\n" + "\n\n".join(part.strip("\n") + "\n" for part in moved)


EDITS = [insert_lines, rename_file, reorder_functions, move_function]


@pytest.mark.parametrize("edit", EDITS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 30))
def test_nothing_that_was_there_before_an_edit_is_new(edit: Any, seed: int) -> None:
    before = run_over(ORIGINAL)
    tree = dict(ORIGINAL)
    edit(tree, random.Random(seed))
    _, items = compare(before, run_over(tree))
    assert_nothing_old_is_new(before, items)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_nothing_old_is_new_after_insertions_in_a_tree_whose_files_are_renamed(seed: int) -> None:
    before = run_over(ORIGINAL)
    tree = dict(ORIGINAL)
    chance = random.Random(seed)
    for edit in (insert_lines, rename_file, insert_lines, reorder_functions):
        edit(tree, chance)
    _, items = compare(before, run_over(tree))
    assert_nothing_old_is_new(before, items)


def test_run_with_itself_is_unchanged() -> None:
    run = run_over(ORIGINAL)
    assert {item["metric"] for item in run.items} == set(TRAITS)
    document, items = compare(run, run_over(ORIGINAL))
    assert {item["state"] for item in items} == {"unchanged"}
    assert {item["first_seen_at"] for item in items} == {"now"}
    assert all(document["files"][key]["total"] == 0 for key in ("added", "removed", "changed", "renamed"))
    assert document["metrics"]["before"] == document["metrics"]["after"]


def test_one_new_eval_is_the_one_new_security_finding() -> None:
    tree = dict(ORIGINAL)
    chance = random.Random(5)
    move_function(tree, chance)
    rename_file(tree, chance)
    path = next(path for path in sorted(tree) if "def first(" in tree[path])
    tree[path] = tree[path].replace("def first(command):\n", "def first(command):\n    eval('2')\n" + "\n" * 13, 1)
    _, items = compare(run_over(ORIGINAL), run_over(tree))
    new = [item for item in items if item["state"] == "new" and item["metric"] == "security"]
    assert [(item["rule"], item["path"]) for item in new] == [("B307", path)]


def test_deleted_function_leaves_fixed_findings_and_a_renamed_variable_an_updated_one() -> None:
    tree = {"a.py": "def f(x):\n    unused_1 = x\n    return 1\n\n\ndef g():\n    assert 1\n"}
    changed = {"a.py": "def f(x):\n    other = x\n    return 1\n"}
    document, items = compare(run_over(tree), run_over(changed))
    assert [(item["rule"], item["state"]) for item in items if item["metric"] == "dead_code"] == [
        ("unused-function", "unchanged"),
        ("unused-variable", "updated"),
    ]
    assert {(item["rule"], item["state"]) for item in document["fixed"]["items"]} >= {("B101", "fixed")}


def test_complexity_that_changed_is_updated() -> None:
    simple = "def f(x):\n" + "    if x: pass\n" * 12
    _, items = compare(run_over({"a.py": simple}), run_over({"a.py": simple + "    if x: pass\n" * 9}))
    [found] = [item for item in items if item["metric"] == "cyclomatic"]
    assert (found["state"], found["rule"], found["severity"]) == ("updated", "CC-D", "medium")


# What was not measured, and other tools


def test_other_version_of_a_tool_changes_findings_of_the_same_bytes_only() -> None:
    before, after = (
        run_over(ORIGINAL),
        run_over({**ORIGINAL, "lib/extra.py": ORIGINAL["lib/extra.py"] + "\nimport os\n"}),
    )
    before.findings["items"][:] = [item for item in before.items if item["rule"] != "F401"]
    before = replace(before, tool_versions={**before.tool_versions, "ruff": "0.0.1"})
    _, items = compare(before, after)
    found = {item["path"]: item["state"] for item in items if item["rule"] == "F401"}
    assert found.pop("lib/extra.py") == "new"
    assert set(found.values()) == {"tool_changed"}


@pytest.mark.parametrize("metric", sorted(TRAITS))
@pytest.mark.parametrize("state", ["failed", "not_requested"])
def test_findings_of_a_collector_that_did_not_run_are_not_measured(metric: str, state: str) -> None:
    before, after = run_over(ORIGINAL), run_over(ORIGINAL)
    before.completeness["collectors"][metric] = state
    before.findings["items"][:] = [item for item in before.items if item["metric"] != metric]
    _, items = compare(before, after)
    expected = {"not_measured" if item["metric"] == metric else "unchanged" for item in items}
    assert {item["state"] for item in items if item["metric"] == metric} == {"not_measured"}
    assert {item["state"] for item in items} == expected


def test_findings_of_a_file_that_does_not_parse_any_more_are_not_fixed() -> None:
    document, items = compare(run_over(ORIGINAL), run_over({**ORIGINAL, "lib/extra.py": "def f(:\n"}))
    assert {item["metric"] for item in document["fixed"]["items"]} <= {"dupes"}  # which need no syntax tree
    assert not [item for item in items if item["metric"] == "dead_code" and item["state"] == "new"]
    assert {item["state"] for item in items if item["rule"] == "invalid-syntax"} == {"new"}
    document, items = compare(run_over({**ORIGINAL, "lib/extra.py": "def f(:\n"}), run_over(ORIGINAL))
    assert {item["rule"] for item in document["fixed"]["items"]} == {"invalid-syntax"}
    new = {item["metric"] for item in items if item["path"] == "lib/extra.py" and item["state"] == "new"}
    assert new <= {"dupes"}
    document, items = compare(run_over(ORIGINAL), run_over({**ORIGINAL, "lib/extra.py": "def f(:\n"}))
    assert document["baseline_counts"]["security"]["low"]["not_measured"]["source"] > 0


def test_dead_code_is_not_measured_when_the_file_that_used_it_stopped_parsing() -> None:
    tree = {"a.py": "def used():\n    pass\n", "b.py": "import a\na.used()\n"}
    _, items = compare(run_over(tree), run_over({**tree, "b.py": "import a\na.used(\n"}))
    [found] = [item for item in items if item["metric"] == "dead_code"]
    assert found["state"] == "not_measured"


def test_skipped_files_are_not_measured() -> None:
    before, after = run_over(ORIGINAL), run_over({k: v for k, v in ORIGINAL.items() if k != "lib/extra.py"})
    skipped = {"skipped": [{"path": "lib/extra.py", "reason": "too large"}], "skipped_total": 1}
    after = replace(after, completeness={**after.completeness, **skipped})
    document, _ = compare(before, after)
    assert "lib/extra.py" not in {item["path"] for item in document["fixed"]["items"]}
    after = replace(after, completeness={**after.completeness, "skipped_total": 2})  # one is not listed
    document, _ = compare(before, after)
    assert document["fixed"]["total"] == 0


def test_findings_that_a_cut_list_lacks_are_not_measured() -> None:
    before, after = run_over(ORIGINAL), run_over(ORIGINAL)
    docs = [item for item in before.items if item["metric"] == "docs"]
    before.findings["items"][:] = [item for item in before.items if item not in docs[3:]]
    before.findings["cut"]["docs"] = {"info": len(docs) - 3}
    _, items = compare(before, after)
    assert Counter(item["state"] for item in items if item["metric"] == "docs") == {
        "unchanged": 3,
        "not_measured": len(docs) - 3,
    }


def test_run_of_an_earlier_version_is_not_measured() -> None:
    before, after = run_over(ORIGINAL), run_over(ORIGINAL)
    for item in before.items:
        for key in ("identity", "severity", "line_hash", "fingerprint"):
            del item[key]  # type: ignore[attr-defined]
    document, items = compare(before, after)
    assert {item["state"] for item in items} == {"not_measured"}
    assert document["fixed"]["total"] == 0


def test_other_revision_of_a_collector_changes_findings_of_the_same_bytes() -> None:
    before, after = run_over(ORIGINAL), run_over(ORIGINAL)
    before.findings["items"][:] = [item for item in before.items if item["rule"] != "F401"]
    before.findings["metrics"]["lint"]["revision"] = 0
    _, items = compare(before, after)
    assert {item["state"] for item in items if item["rule"] == "F401"} == {"tool_changed"}


def test_run_says_what_its_metrics_are_and_damaged_words_make_it_incomparable() -> None:
    before, after = run_over(ORIGINAL), run_over(ORIGINAL)
    assert after.traits == TRAITS
    before.findings["metrics"]["lint"]["identity"] = "other"
    _, items = compare(before, after)
    assert {item["state"] for item in items} == {"not_measured"}
