"""Escaping of unsafe characters."""

import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import one_line, printable, printable_name, safe_json

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
        ("e\u0301 \xa0\u3000", "e\u0301 \xa0\u3000"),
        ("a\u200bb\u200c\u200d\u2060\u2064", r"a\u200bb\u200c\u200d\u2060\u2064"),
        ("so\xadft", r"so\xadft"),
        ("v\ufe0f\ufe00\U000e0100", r"v\ufe0f\ufe00\U000e0100"),
        ("\u115f\u1160\u3164\uffa0", r"\u115f\u1160\u3164\uffa0"),
        ("\U000e0001\U000e0041\U000e007f", r"\U000e0001\U000e0041\U000e007f"),
        ("\u034f\u17b4\u180b\u180e\u206a\ufff9\U0001d173", r"\u034f\u17b4\u180b\u180e\u206a\ufff9\U0001d173"),
    ],
)
def test_unsafe_characters_are_escaped(text: str, escaped: str) -> None:
    assert printable(text) == escaped


def test_every_invisible_character_is_escaped() -> None:
    """Those are the format characters (Cf), beside the signs that Arabic, Syriac and other scripts show."""
    formats = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cf"]
    visible = [char for char in formats if printable(char) == char]
    assert {unicodedata.name(char).split()[0] for char in visible} <= {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN"}


def test_names_that_look_alike_are_shown_differently() -> None:
    spaces = " \xa0\u1680\u2000\u2007\u2009\u200a\u202f\u205f\u3000\u2800"
    names = [f"a{char}b.py" for char in spaces] + ["ab.py", *(f"a{char}b.py" for char in "\u200b\xad\ufe0f\u3164")]
    shown = [printable_name(name) for name in names]
    assert len(set(shown)) == len(names)
    assert shown[:2] == ["a b.py", r"a\xa0b.py"]
    assert all(name.isascii() for name in shown)


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
