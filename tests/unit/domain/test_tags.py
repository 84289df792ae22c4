"""Tags: one normal form for all spellings, and bounds before any work on a text."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.tags import (
    MAX_CATEGORIES,
    MAX_TAG_LENGTH,
    MAX_VALUES,
    normalize_tags,
    parse_tags,
    tag_lines,
    with_tags,
    without_tags,
)


def test_spellings_of_one_tag_become_one() -> None:
    given_tags = {"Domain": ["Web", "WEB ", "Ｗｅｂ"], "domain": ["data   science", "ﬁntech"]}  # noqa: RUF001 - wanted
    assert normalize_tags(given_tags) == {"domain": ["data science", "fintech", "web"]}


def test_categories_and_values_are_sorted_and_empty_categories_left_out() -> None:
    assert normalize_tags({"b": ["2", "1"], "a": [], "c": ("x",)}) == {"b": ["1", "2"], "c": ["x"]}
    assert normalize_tags({}) == {}


@given(st.dictionaries(st.text(max_size=12), st.lists(st.text(max_size=12), max_size=4), max_size=4))
def test_the_normal_form_of_a_normal_form_is_itself(document: dict[str, list[str]]) -> None:
    try:
        once = normalize_tags(document)
    except InvalidInputError:
        return
    assert normalize_tags(once) == once
    for text in (*once, *(value for values in once.values() for value in values)):
        assert unicodedata.normalize("NFKC", text) == text
        assert text == " ".join(text.split())
        assert "\x00" not in text


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "an object of lists"),
        ("domain=web", "an object of lists"),
        ({"domain": "web"}, "list of texts"),
        ({"domain": {"web": []}}, "list of texts"),
        ({"domain": [["web"]]}, "a tag value must be a text"),
        ({"domain": [{"a": 1}]}, "a tag value must be a text"),
        ({"domain": [1]}, "a tag value must be a text"),
        ({1: ["web"]}, "a tag category must be a text"),
        ({"domain": ["we\x00b"]}, "not shown"),
        ({"do\x00main": ["web"]}, "not shown"),
        ({"domain": ["\ud800"]}, "not shown"),
        ({"domain": ["\u202eweb"]}, "not shown"),
        ({"domain": [""]}, "must not be empty"),
        ({" ": ["web"]}, "must not be empty"),
        ({"a=b": ["web"]}, "must not contain '='"),
        ({"a\uff1db": ["web"]}, "must not contain '='"),
        ({"domain": ["x" * 1024 * 1024]}, "has 1048576 characters"),
        ({"x" * 1024 * 1024: ["web"]}, "has 1048576 characters"),
        ({"domain": ["\ufdfa" * 20]}, "as NFKC"),  # each becomes 18 characters
        ({str(number): ["web"] for number in range(MAX_CATEGORIES + 1)}, f"at most {MAX_CATEGORIES}"),
        ({"domain": ["web"] * (MAX_VALUES + 1)}, f"at most {MAX_VALUES}"),
        ({"a": [f"{n}" for n in range(MAX_VALUES)], "A": ["more"]}, f"{MAX_VALUES + 1} values"),
    ],
)
def test_other_documents_are_refused_in_one_line(document: Any, message: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        normalize_tags(document)
    assert message in str(raised.value)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300


def test_the_longest_tags_are_accepted() -> None:
    longest = {f"{n:0{MAX_TAG_LENGTH}}": [f"{v:0{MAX_TAG_LENGTH}}" for v in range(MAX_VALUES)] for n in range(20)}
    assert normalize_tags(longest) == longest


def test_tags_are_read_from_lines() -> None:
    assert parse_tags(["domain=web", "Domain=API", "formula=a=b"]) == {"domain": ["api", "web"], "formula": ["a=b"]}
    with pytest.raises(InvalidInputError, match="must be category=value"):
        parse_tags(["domain"])


def test_tags_are_added_and_removed() -> None:
    known = {"domain": ["web"], "kind": ["library"]}
    added = with_tags(known, {"domain": ["api", "web"], "level": ["1"]})
    assert added == {"domain": ["api", "web"], "kind": ["library"], "level": ["1"]}
    assert without_tags(added, {"domain": ["web"], "kind": ["library"], "other": ["x"]}) == {
        "domain": ["api"],
        "level": ["1"],
    }
    assert tag_lines(added) == ["domain=api", "domain=web", "kind=library", "level=1"]
    full = {"domain": [f"{number:02}" for number in range(MAX_VALUES)]}
    with pytest.raises(InvalidInputError, match=f"at most {MAX_VALUES}"):
        with_tags(full, {"domain": ["one more"]})
