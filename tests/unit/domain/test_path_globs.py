"""Globs over paths: what they match, held against a plain search, and what is refused."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.path_globs import MAX_GLOB_LENGTH, MAX_GLOBS, matches_any, parse_globs


def matches(glob: str, path: str) -> bool:
    return matches_any(path, parse_globs([glob], "include"))


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        ("src", ["src", "src/a.py", "src/b/c.py"], ["srcs/a.py", "a/src/a.py", "src.py"]),
        ("src/", ["src/a.py"], ["a/src/a.py"]),
        ("./src/*.py", ["src/a.py", "src/.py"], ["src/b/a.py", "a.py"]),
        ("*.py", ["a.py", "a.py/b"], ["b/a.py", "a.pyi"]),
        ("**/*.py", ["a.py", "b/a.py", "b/c/a.py"], ["a.pyi"]),
        ("**/tests", ["tests/a.py", "b/tests/a.py", "b/c/tests/d/a.py"], ["test/a.py", "b/mytests/a.py"]),
        ("src/**", ["src/a.py", "src/b/a.py"], ["src", "src.py", "b/src/a.py"]),
        ("src/**/x/*.py", ["src/x/a.py", "src/b/c/x/a.py", "src/x/x/a.py"], ["src/a.py", "src/x/b/a.pyi"]),
        ("**", ["a.py", "b/a.py"], []),
        ("**/**/a?.py", ["ab.py", "x/y/ab.py"], ["a.py", "abc.py"]),
        ("a*b*c", ["abc", "aXbYc", "abcbc"], ["ab", "aXc", "a/bc"]),
        ("test_?.py", ["test_a.py"], ["test_.py", "test_ab.py", "test_/.py"]),
        ("a+(b).py", ["a+(b).py"], ["aab.py"]),
        ("ü*.py", ["ümlaut.py"], ["umlaut.py"]),
    ],
)
def test_a_glob_matches_paths_part_by_part(glob: str, matched: list[str], others: list[str]) -> None:
    assert [path for path in matched if not matches(glob, path)] == []
    assert [path for path in others if matches(glob, path)] == []


def part_matches(glob: str, text: str) -> bool:
    if not glob:
        return not text
    if glob[0] == "*":
        return any(part_matches(glob[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and glob[0] in ("?", text[0]) and part_matches(glob[1:], text[1:])


def parts_match(globs: list[str], parts: list[str]) -> bool:
    if not globs:
        return not parts
    if globs[0] == "**":
        least = 1 if len(globs) == 1 else 0
        return any(parts_match(globs[1:], parts[start:]) for start in range(least, len(parts) + 1)) or (
            len(globs) == 1 and bool(parts)
        )
    return bool(parts) and part_matches(globs[0], parts[0]) and parts_match(globs[1:], parts[1:])


def matches_by_search(glob: str, path: str) -> bool:
    parts = path.split("/")
    return any(parts_match(glob.split("/"), parts[:end]) for end in range(1, len(parts) + 1))


GLOB_PARTS = st.one_of(st.just("**"), st.text("ab?*", min_size=1, max_size=5).filter(lambda part: "**" not in part))


@given(
    st.lists(GLOB_PARTS, min_size=1, max_size=5).map("/".join),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join),
)
def test_the_answer_is_that_of_a_search_through_all_ways(glob: str, path: str) -> None:
    assert matches(glob, path) == matches_by_search(parse_globs([glob], "include")[0], path)


@pytest.mark.parametrize(
    "glob",
    [
        "**/" + "*a" * 90 + "*b",
        "*" + "a" * 190 + "b",
        "/".join(["**/*a*a*b"] * 12) + "/c",
        "**/" + "a*/" * 20 + "b",
        "**/" + "a*/**/" * 20 + "b",
    ],
)
@pytest.mark.parametrize("path", ["/".join(["a" * 255] * 4), "/".join(["a" * 15] * 64)])
def test_no_glob_takes_long(glob: str, path: str) -> None:
    (parsed,) = parse_globs([glob], "include")
    assert not matches_any(path, [parsed])
    began = time.thread_time()
    for _ in range(100):
        matches_any(path, [parsed])
    assert time.thread_time() - began < 1.0  # a millisecond takes 0.1 s; a search through all ways takes years


def test_globs_are_sorted_and_unique() -> None:
    assert parse_globs(["b/", "./a", "a", "**/**/c"], "include") == ("**/c", "a", "b")
    assert parse_globs([], "exclude") == ()
    assert len(parse_globs([str(number) for number in range(MAX_GLOBS)], "exclude")) == MAX_GLOBS
    assert parse_globs(["a" * MAX_GLOB_LENGTH], "exclude") == ("a" * MAX_GLOB_LENGTH,)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("src", "the option include must be a list of globs"),
        ({"src": 1}, "the option include must be a list of globs"),
        ([1], "the option include must be a list of globs"),
        ([["src"]], "the option include must be a list of globs"),
        (["a"] * (MAX_GLOBS + 1), f"has {MAX_GLOBS + 1} globs; give at most {MAX_GLOBS}"),
        (["a" * 1_000_000], "has 1000000 characters; give at most 200"),
        ([""], "a part that is empty"),
        (["/src"], "must be relative"),
        (["src//a"], "a part that is empty"),
        (["../src"], "a part that is empty, . or .."),
        (["src/./a"], "a part that is empty, . or .."),
        (["src/**.py"], "** beside other characters"),
        (["***"], "** beside other characters"),
        (["[ab].py"], "brackets, which are not supported"),
        (["{a,b}.py"], "brackets, which are not supported"),
        (["a\0b"], "characters that are not shown"),
        (["a\nb"], "characters that are not shown"),
        (["\u202ea"], "characters that are not shown"),
        (["\ud800"], "characters that are not shown"),
    ],
)
def test_other_lists_are_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_globs(value, "include")
    assert message in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
