"""Escaping of unsafe characters."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import _UNSAFE, one_line, printable, safe_json

TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\x00b", r"a\x00b"),
        ("\ud800", r"\ud800"),
        ("\udcff", r"\xff"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("é世", "é世"),
    ],
)
def test_unsafe_characters_are_escaped(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_no_printable_character_is_unsafe() -> None:
    everything = [chr(code) for code in range(0x110000)]
    assert [char for char in everything if char.isprintable() and _UNSAFE.search(char)] == []


@given(TEXT)
def test_printable_text_can_be_stored_and_printed(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert "\x00" not in shown
    assert printable(shown) == shown


@given(TEXT, st.integers(2, 80))
def test_one_line_returns_one_line_within_the_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1


@given(st.recursive(st.none() | st.floats() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)))
def test_safe_json_is_strict_json(value: object) -> None:
    safe = safe_json(value)
    assert json.loads(json.dumps(safe, allow_nan=False, ensure_ascii=False).encode("utf-8")) == safe


def test_nan_and_infinity_become_null() -> None:
    assert safe_json({"a": math.nan, "b": [math.inf, 1.5]}) == {"a": None, "b": [None, 1.5]}
