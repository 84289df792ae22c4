"""Passes of the matcher, one by one, and the number of steps that it takes."""

import sys
from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest

from benchmarks.comparison import cases
from domain.findings.identity import FindingIdentity, IdentityKind
from domain.findings.matching import Matcher, Pass
from domain.findings.renames import find_renames

IDENTITIES = {
    "lint": FindingIdentity(kind=IdentityKind.LINE_HASH),
    "docs": FindingIdentity(kind=IdentityKind.QUALIFIED_NAME),
    "dead_code": FindingIdentity(kind=IdentityKind.KIND_AND_NAME),
    "cyclomatic": FindingIdentity(kind=IdentityKind.QUALIFIED_NAME, rule_family="CC"),
    "dupes": FindingIdentity(kind=IdentityKind.BLOCK_HASH),
}


def item(path: str, line: int, identity: str, metric: str = "lint", **fields: Any) -> dict[str, Any]:
    values = {"metric": metric, "rule": "R", "path": path, "line": line, "identity": identity, "function": None}
    return {**values, "line_hash": identity, "message": "m", **fields}


def match(
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    removed: dict[str, str | None] | None = None,
    added: dict[str, str | None] | None = None,
) -> dict[int, tuple[int, Pass]]:
    pairs = Matcher(before, after, IDENTITIES).match(removed or {}, added or {})
    assert len({pair.before for pair in pairs}) == len({pair.after for pair in pairs}) == len(pairs)
    return {pair.before: (pair.after, pair.matched_by) for pair in pairs}


def test_equal_lines_come_first_then_the_kth_with_the_kth() -> None:
    before = [item("a.py", line, "x") for line in (10, 20, 30, 40)]
    after = [item("a.py", line, "x") for line in (5, 20, 50)]
    assert match(before, after) == {0: (0, Pass.SAME_FILE), 1: (1, Pass.SAME_FILE), 2: (2, Pass.SAME_FILE)}


def test_function_decides_before_line_and_line_before_order() -> None:
    before = [item("a.py", 1, "x", function="f"), item("a.py", 9, "x", function="g")]
    after = [item("a.py", 1, "x", function="g"), item("a.py", 9, "x", function="f")]
    assert {old: new for old, (new, _) in match(before, after).items()} == {0: 1, 1: 0}
    renamed = [item("a.py", 9, "x", function="h"), item("a.py", 1, "x", function="k")]
    assert {old: new for old, (new, _) in match(before, renamed).items()} == {0: 1, 1: 0}


def test_rules_of_one_family_match_and_others_do_not() -> None:
    before = [item("a.py", 1, "f", "cyclomatic", rule="CC-C"), item("a.py", 2, "x", rule="F401")]
    after = [item("a.py", 1, "f", "cyclomatic", rule="CC-D"), item("a.py", 2, "x", rule="F811")]
    assert match(before, after) == {0: (0, Pass.SAME_FILE)}


def test_findings_of_a_renamed_file_moved() -> None:
    before, after = [item("a.py", 1, "x"), item("a.py", 2, "y")], [item("b/a.py", 1, "x"), item("c.py", 2, "y")]
    assert match(before, after, {"a.py": "d"}, {"b/a.py": "d", "c.py": "e"}) == {
        0: (0, Pass.OTHER_FILE),
        1: (1, Pass.OTHER_FILE),  # by its identity and line
    }


def test_findings_move_across_files_in_groups_of_equal_size_within_one_file_each() -> None:
    before = [item("a.py", 1, "x"), item("a.py", 2, "x")]
    assert len(match(before, [item("b.py", 8, "x"), item("b.py", 9, "x")])) == 2
    assert not match(before, [item("b.py", 8, "x")])
    assert not match(before, [item("b.py", 8, "x"), item("c.py", 9, "x")])
    assert not match([item("a.py", 1, "x"), item("c.py", 2, "x")], [item("b.py", 8, "x"), item("b.py", 9, "x")])


def test_finding_about_the_same_name_with_another_line_text_does_not_move() -> None:
    before = [item("a.py", 1, "run", "docs", line_hash="def run(a):")]
    assert not match(before, [item("b.py", 1, "run", "docs", line_hash="def run(b):")])
    assert match(before, [item("b.py", 7, "run", "docs", line_hash="def run(a):")])


@pytest.mark.parametrize(("metric", "matched"), [("dead_code", 2), ("lint", 0), ("dupes", 0)])
def test_messages_without_names_and_numbers_match_by_metric(metric: str, matched: int) -> None:
    before = [item("a.py", n, f"x{n}", metric, message=f"unused variable 'x{n}' (60%)") for n in (1, 2)]
    after = [item("a.py", n, f"y{n}", metric, message=f"unused variable 'y{n}' (100%)") for n in (3, 4)]
    assert len(match(before, after)) == matched
    assert len(match(before[:1], after[:1])) == (metric != "dupes")
    assert not match(before[:1], [{**after[0], "function": "f"}])


def test_files_of_equal_bytes_are_renamed_those_of_equal_names_first() -> None:
    old = {"a/x.py": "1", "a/y.py": "1", "a/z.py": None}
    new = {"b/k.py": "1", "b/y.py": "1", "b/z.py": None}
    assert find_renames(old, new, lambda _: {}, lambda _: {}) == {"a/x.py": "b/k.py", "a/y.py": "b/y.py"}


def renames(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return the renames of files whose findings are single letters."""
    olds: dict[str, Counter[Hashable]] = {path: Counter(text) for path, text in before.items()}
    news: dict[str, Counter[Hashable]] = {path: Counter(text) for path, text in after.items()}
    return find_renames(dict.fromkeys(olds), dict.fromkeys(news), lambda _: olds, lambda _: news)


def test_files_with_similar_findings_are_renamed() -> None:
    assert renames({"a.py": "abcde"}, {"b.py": "abcdx"}) == {"a.py": "b.py"}  # 4 of 6 in common
    assert renames({"a.py": "abcd"}, {"b.py": "abcxy"}) == {}  # 3 of 6
    assert renames({"a.py": "abc"}, {"b.py": "abc"}) == {}  # too few
    assert renames({"a.py": "aaab"}, {"b.py": "aaac"}) == {"a.py": "b.py"}  # multisets: 3 of 5
    assert renames({"a.py": "abcde"}, {"b.py": "abcd", "c.py": "abcde"}) == {"a.py": "c.py"}
    assert renames({"a.py": "abcde", "b.py": "abcd"}, {"c.py": "abcde"}) == {"a.py": "c.py"}
    assert renames({"p/a.py": "abcd"}, {"q/a.py": "abcd", "z.py": "abcd"}) == {"p/a.py": "q/a.py"}


def steps(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> int:
    """Return how many functions the matcher calls, those in C included."""
    removed = dict.fromkeys({each["path"] for each in before} - {each["path"] for each in after})
    added = dict.fromkeys({each["path"] for each in after} - {each["path"] for each in before})
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        Matcher(before, after, IDENTITIES).match(removed, added)
    finally:
        sys.setprofile(previous)
    return calls


@pytest.mark.parametrize("number", range(len(list(cases(8)))))
def test_twice_the_findings_take_about_twice_the_steps(number: int) -> None:
    (name, *small), (_, *large) = (list(cases(count))[number] for count in (800, 1600))
    assert steps(*large) < 2.4 * steps(*small), name
