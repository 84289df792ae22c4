"""Tokens share the strings of their lines, on every Python."""

import io
import tokenize
import tracemalloc
from collections.abc import Callable

import pytest

from collectors.source import tokens
from collectors.source.line_counts import count_lines_by_tokens
from collectors.source.source_tree import SourceFile
from collectors.source.tokens import generate_tokens

TEXT = 'def f(a, b):\n    return (\n        "x"\n        "y" + a)\n\n\n# z\nf(1, 2)\n'
LONG_LINE = "f(" + "0," * 5_000 + ")\n"


def copies() -> list[tokenize.TokenInfo]:
    """Return the tokens with a copy of the line in each, as Python 3.12.1 makes them."""
    found = tokenize.generate_tokens(io.StringIO(TEXT).readline)
    return [token._replace(line="".join(list(token.line))) for token in found]


def test_tokens_are_those_of_the_standard_library() -> None:
    assert list(generate_tokens(TEXT)) == list(tokenize.generate_tokens(io.StringIO(TEXT).readline))


def test_copies_of_a_line_become_one_string() -> None:
    assert len({id(token.line) for token in copies()}) > 20
    shared = list(tokens._with_shared_lines(iter(copies())))
    assert shared == copies()
    assert len({id(token.line) for token in shared}) <= len(TEXT.splitlines()) + 1


@pytest.mark.parametrize(
    "tokenized", [lambda: SourceFile("a.py", LONG_LINE.encode()).tokens, lambda: count_lines_by_tokens(LONG_LINE)]
)
def test_tokens_of_a_long_line_take_little_memory(tokenized: Callable[[], object]) -> None:
    tokenized()
    tracemalloc.start()
    try:
        assert tokenized()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000  # 10,000 copies of the line are 100 MB
