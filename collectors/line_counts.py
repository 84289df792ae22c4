"""Lines of each kind, as `radon raw` counts them, from one token pass."""

import ast
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCounts:
    """radon's raw metrics of one file, in lines: all, logical, source, comment, in multi-line strings, and blank."""

    loc: int
    lloc: int
    sloc: int
    comments: int
    multi: int
    single_comments: int
    blank: int


def count_lines(text: str, tokens: Sequence[tokenize.TokenInfo], tree: ast.Module) -> LineCounts:
    """Count as radon.raw.analyze does, in linear time."""
    raise NotImplementedError
