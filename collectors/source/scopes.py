"""Which function or class a line belongs to."""

import ast
from collections.abc import Callable, Iterable
from typing import Any

from collectors.source.syntax_walk import SyntaxNodes
from domain.text import one_line

NAME_LIMIT = 300
"""Characters of a dotted name; without a limit, nested definitions with endless names would square a file's size."""

Scope = tuple[str, int, int]
"""Dotted name, first and last line of a function or class."""

_DEFINITIONS = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef})


def scope_lookup(found: Iterable[Scope]) -> Callable[[int], str | None]:
    """A function from a line (from 1) to the dotted name of the innermost function or class around it.

    `found` is the result of `find_scopes`. A decorator belongs to what it decorates. The function returns None at
    module level and for lines that the file does not have.
    """
    owners: list[str | None] = []
    for name, first, last in found:
        if last >= len(owners):
            owners.extend([None] * (last + 1 - len(owners)))
        # Outer definitions come first, so that inner ones paint over them.
        owners[first : last + 1] = [name] * (last + 1 - first)
    return lambda line: owners[line] if 0 < line < len(owners) else None


def find_scopes(nodes: SyntaxNodes) -> list[Scope]:
    """Every function and class, outer before inner, in order of lines.

    No two begin on the same line, and one that begins inside another ends inside it.
    """
    definitions: list[Any] = [node for node in nodes.postorder if node.__class__ in _DEFINITIONS]
    definitions.sort(key=lambda node: node.lineno)
    found: list[Scope] = []
    around: list[tuple[str, int]] = []
    for node in definitions:
        while around and around[-1][1] < node.lineno:
            around.pop()
        prefix = f"{around[-1][0]}." if around else ""
        name = one_line(f"{prefix}{node.name}", NAME_LIMIT)
        last = node.end_lineno or node.lineno
        found.append((name, min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), last))
        around.append((name, last))
    return found
