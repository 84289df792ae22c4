"""Python's tokens of a text, in memory that grows with the text."""

import io
import tokenize
from collections.abc import Iterator

_SAMPLE = [token.line for token in tokenize.generate_tokens(io.StringIO("0,0\n").readline)]
_SHARES_LINES = _SAMPLE[0] is _SAMPLE[1]
"""Whether tokens of one line share one string.

Python 3.12.1 makes a copy of the line for each of its tokens: those of a line of 200 KB take 40 GB. Python 3.11 and
3.13 make one.
"""


def generate_tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens of the text; those of one line share the string of the line.

    Raises tokenize.TokenError or SyntaxError where the tokenizer fails.
    """
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return tokens if _SHARES_LINES else _with_shared_lines(tokens)


def _with_shared_lines(tokens: Iterator[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    line = ""
    for token in tokens:
        if token.line == line:
            yield token._replace(line=line)
        else:
            line = token.line
            yield token
