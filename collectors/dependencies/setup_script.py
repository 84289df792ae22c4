"""Requirements that a `setup.py` lists as literals, read from its syntax tree: the script is never executed."""

import ast
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from collectors.dependencies.requirements_format import Entry, OwnProject, Unread, parse_requirement

_STEPS_LIMIT = 10_000
_DEPTH_LIMIT = 50
_KEYWORDS = ("install_requires", "setup_requires", "tests_require", "extras_require")


def parse_setup_script(text: str) -> Iterator[Entry]:
    """Parse the arguments of `setup()`: literals, and names that the module assigns a literal to once.

    An argument that is computed yields Unread, unless it names a file of requirements, which is read by itself.
    Raises SyntaxError, ValueError or RecursionError where the text does not parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    values = _assigned(tree)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _called(call.func) == "setup":
            for keyword in call.keywords:
                yield from _argument(keyword, values, text)


def _called(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def _assigned(tree: ast.Module) -> Mapping[str, ast.expr]:
    found: dict[str, ast.expr | None] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = None if target.id in found else node.value
    return {name: value for name, value in found.items() if value is not None}


def _argument(keyword: ast.keyword, values: Mapping[str, ast.expr], text: str) -> Iterator[Entry]:
    if keyword.arg not in (*_KEYWORDS, "name", "package_dir"):
        return
    try:
        value = _Literals(values).evaluate(keyword.value)
    except ValueError:
        if keyword.arg in _KEYWORDS and "requirements" not in text.replace(keyword.arg, ""):
            yield Unread(f"{keyword.arg} is computed")
        return
    if keyword.arg == "name":
        yield OwnProject(value if isinstance(value, str) else None)
    elif keyword.arg == "package_dir":
        root = value.get("") if isinstance(value, dict) else None
        yield OwnProject(None, (root,) if isinstance(root, str) else ())
    else:
        yield from (found for line in _lines(value) if (found := parse_requirement(line)) is not None)


class _Literals:
    """Evaluation of strings, lists, tuples, dicts, sums of lists, and names of these, in a limited number of steps."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values
        self._steps = _STEPS_LIMIT

    def evaluate(self, node: ast.expr | None, depth: int = 0) -> Any:
        """Return the value; a tuple becomes a list. Raises ValueError for anything else."""
        self._steps -= 1
        if depth > _DEPTH_LIMIT or self._steps < 0:
            raise ValueError("too complicated")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.List | ast.Tuple):
            return [self.evaluate(item, depth + 1) for item in node.elts]
        if isinstance(node, ast.Dict):
            pairs = [(self.evaluate(key, depth + 1), value) for key, value in zip(node.keys, node.values, strict=True)]
            return {str(key): self.evaluate(value, depth + 1) for key, value in pairs}
        if isinstance(node, ast.Name) and node.id in self._values:
            return self.evaluate(self._values[node.id], depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.evaluate(node.left, depth + 1), self.evaluate(node.right, depth + 1)
            if isinstance(left, list) and isinstance(right, list) and len(left) + len(right) <= _STEPS_LIMIT:
                return left + right
        raise ValueError("not a literal")


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.splitlines()
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _lines(item)
