"""Which function or class a line stands in."""

import ast
from bisect import bisect_right
from collections.abc import Iterator

_LONGEST_NAME = 200
"""A name may be as long as its file; no reader wants it, and every definition inside would repeat it."""

_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")


class Scopes:
    """The functions and classes of one file, decorators included, by lines."""

    def __init__(self, tree: ast.Module) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._parents: list[int] = []
        self._names: list[str] = []
        for node, parent in self._scopes(tree):
            self._starts.append(node.decorator_list[0].lineno if node.decorator_list else node.lineno)
            self._ends.append(node.end_lineno or node.lineno)
            self._parents.append(parent)
            self._names.append(node.name[:_LONGEST_NAME])

    def at(self, line: int) -> str | None:
        """Dotted name of the innermost function or class that the line belongs to; None at module level."""
        index = bisect_right(self._starts, line) - 1
        while index >= 0 and self._ends[index] < line:
            index = self._parents[index]
        names = []
        while index >= 0:
            names.append(self._names[index])
            index = self._parents[index]
        return ".".join(reversed(names)) or None

    def _scopes(self, tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, int]]:
        """Each scope with the index of the one around it (-1: none), outer before inner, in order of lines."""
        stack: list[tuple[ast.AST, int]] = [(tree, -1)]
        while stack:
            node, parent = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node, parent
                parent = len(self._names) - 1
            children = [child for block in _BLOCKS for child in getattr(node, block, ())]
            stack.extend((child, parent) for child in reversed(children))
