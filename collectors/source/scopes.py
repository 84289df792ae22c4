"""Functions and classes of a file with their lines, and the function or class that a line belongs to."""

import ast
from collections.abc import Callable, Iterable
from typing import Any

from collectors.source.syntax_walk import SyntaxNodes
from domain.text import one_line

NAME_LIMIT = 300
"""Characters of a dotted name. Without a limit, nested definitions with long names would take quadratic memory."""

Scope = tuple[str, int, int]
"""Dotted name, first line and last line of a function or class."""

_DEFINITIONS = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef})


def scope_lookup(scopes: Iterable[Scope]) -> Callable[[int], str | None]:
    """Return a function from a line (from 1) to the dotted name of the innermost function or class around it.

    `scopes` is the result of `find_scopes`. A decorator belongs to what it decorates. The function returns None at
    module level and for lines that the file does not have.
    """
    names: list[str | None] = []
    for name, first, last in scopes:
        if last >= len(names):
            names.extend([None] * (last + 1 - len(names)))
        # Outer scopes come first, so inner scopes overwrite their lines.
        names[first : last + 1] = [name] * (last + 1 - first)
    return lambda line: names[line] if 0 < line < len(names) else None


def find_scopes(nodes: SyntaxNodes) -> list[Scope]:
    """Return every function and class, outer before inner, in order of lines.

    No two begin on the same line, and one that begins inside another ends inside it.
    """
    definitions: list[Any] = [node for node in nodes.postorder if node.__class__ in _DEFINITIONS]
    definitions.sort(key=lambda node: node.lineno)
    scopes: list[Scope] = []
    enclosing: list[tuple[str, int]] = []
    for node in definitions:
        while enclosing and enclosing[-1][1] < node.lineno:
            enclosing.pop()
        prefix = f"{enclosing[-1][0]}." if enclosing else ""
        name = one_line(f"{prefix}{node.name}", NAME_LIMIT)
        last = node.end_lineno or node.lineno
        scopes.append((name, min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), last))
        enclosing.append((name, last))
    return scopes
