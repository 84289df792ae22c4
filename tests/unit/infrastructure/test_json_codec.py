"""Encoding of documents for JSONB: nothing that PostgreSQL refuses, and the same text however it is made."""

import math
from enum import StrEnum
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import safe_json
from infrastructure.json_codec import dumps, dumps_for_jsonb

TEXT = st.text(st.characters(exclude_categories=()))
PLAIN = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126) | st.sampled_from('\n\t"\\'))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | PLAIN


class Colour(StrEnum):
    RED = "red"


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT | PLAIN, inner)))
def test_a_document_is_encoded_as_its_safe_copy(value: object) -> None:
    assert dumps_for_jsonb(value) == dumps(safe_json(value)).decode()


@pytest.mark.parametrize(
    "value",
    [
        "a\x00b", "a\x7fb", "a\rb", "a\bb\fc", "\ud800", "\u202e", "a\xadb", r"C:\reports\unit\new", "e\u0301\n\t", "",
        {1: "a", None: "b", 2.5: "c"}, {"k\x00": 1}, MappingProxyType({"a": (1, "x\x1by")}), {"a": Colour.RED},
        {"n": math.nan, "i": [math.inf, -math.inf, 1.5]}, 2**70, {"big": -(2**70)}, [], {},
    ],
)  # fmt: skip
def test_what_postgresql_refuses_is_encoded_as_its_safe_copy(value: object) -> None:
    assert dumps_for_jsonb(value) == dumps(safe_json(value)).decode()


def test_a_usual_document_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("a document without unsafe text was copied")

    monkeypatch.setattr("infrastructure.json_codec.safe_json", refuse)
    document = {"path": "a/é.py", "items": [{"line": 3, "text": 'say "no"\n\tat once', "share": 0.25, "none": None}]}
    assert dumps_for_jsonb(document) == dumps(document).decode()
