"""Docstrings that Python does not keep: those below the fields of a class."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise


def field_meanings(cls: type) -> Mapping[str, str]:
    """Return the docstring below each annotated field of a class, by the field's name; its own fields only."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)  # nosec B101 # noqa: S101 - the source of a class
    meanings = {}
    for field, text in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_docstring(text):
            meanings[field.target.id] = inspect.cleandoc(ast.literal_eval(text.value))  # type: ignore[attr-defined]
    return meanings


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
