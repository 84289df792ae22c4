"""Which function or class a line belongs to."""

import ast
from collections.abc import Callable, Iterator

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def enclosing(tree: ast.Module) -> Callable[[int], str | None]:
    """A function from a line (from 1) to the dotted name of the innermost function or class around it.

    A decorator belongs to what it decorates. None at module level and for lines that the file does not have.
    """
    owners: list[str | None] = []
    for name, first, last in _definitions(tree):
        if last >= len(owners):
            owners.extend([None] * (last + 1 - len(owners)))
        # Outer definitions come first, so that inner ones paint over them.
        owners[first : last + 1] = [name] * (last + 1 - first)
    return lambda line: owners[line] if 0 < line < len(owners) else None


def _definitions(tree: ast.Module) -> Iterator[tuple[str, int, int]]:
    """Dotted name, first and last line of each definition, outer before inner, without recursion."""
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop()
        if isinstance(node, Definition):
            name = f"{prefix}{node.name}"
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
