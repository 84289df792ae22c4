"""Which function or class a line belongs to."""

import ast
from collections.abc import Callable, Iterable, Iterator

from domain.text import one_line

NAME_LIMIT = 300
"""Characters of a dotted name; without a limit, nested definitions with endless names would square a file's size."""

Scope = tuple[str, int, int]
"""Dotted name, first and last line of a function or class."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def enclosing(tree: ast.Module) -> Callable[[int], str | None]:
    """A function from a line (from 1) to the dotted name of the innermost function or class around it.

    A decorator belongs to what it decorates. None at module level and for lines that the file does not have.
    """
    return owner_of(scopes(tree))


def owner_of(found: Iterable[Scope]) -> Callable[[int], str | None]:
    """The same from what `scopes` found."""
    owners: list[str | None] = []
    for name, first, last in found:
        if last >= len(owners):
            owners.extend([None] * (last + 1 - len(owners)))
        # Outer definitions come first, so that inner ones paint over them.
        owners[first : last + 1] = [name] * (last + 1 - first)
    return lambda line: owners[line] if 0 < line < len(owners) else None


def scopes(tree: ast.Module) -> Iterator[Scope]:
    """Every function and class, outer before inner; found without recursion."""
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop()
        if isinstance(node, _Definition):
            name = one_line(f"{prefix}{node.name}", NAME_LIMIT)
            prefix = f"{name}."
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield name, first, node.end_lineno or node.lineno
        pending.extend((child, prefix) for child in reversed(list(_statements(node))))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node's own statements: definitions are found nowhere else."""
    for part in ("body", "handlers", "cases", "orelse", "finalbody"):
        inner = getattr(node, part, None)
        if isinstance(inner, list):  # a lambda's or a conditional expression's body is no list
            yield from inner
