"""Requirements that a `setup.py` lists as literals, read from its syntax tree: the script is never executed."""

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from collectors.dependencies.requirements_format import Entry, Include, OwnProject, Unread, parse_requirement
from domain.metrics.manifest_files import is_manifest

_STEPS_LIMIT = 10_000
_DEPTH_LIMIT = 50
_KEYWORDS = ("install_requires", "setup_requires", "tests_require", "extras_require")

Assigned = Mapping[str, Sequence[ast.expr]]
"""All values that a script assigns to a name, or adds to it, in any branch."""


def parse_setup_script(text: str) -> Iterator[Entry]:
    """Parse the arguments of `setup()`: literals, and names to which the script assigns and adds literals.

    An argument that is computed yields the files of requirements that the script names; Unread if it names none.
    Raises SyntaxError, ValueError or RecursionError where the text does not parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    values = _assigned(tree)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and _called(call.func) == "setup":
            for name, value in _keywords(call.keywords, values):
                yield from _argument(name, value, values, tree)


def _called(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def _assigned(tree: ast.Module) -> Assigned:
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in ast.walk(tree):
        for name, value in _assignments(node):
            found[name].append(value)
    return found


def _assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a statement, or a call of `append` or `extend`, assigns or adds something to."""
    match node:
        case ast.Assign():
            for target in node.targets:
                yield from _assignment(target, node.value)
        case (
            ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            | ast.AugAssign(target=ast.Name(id=name), value=value)
        ):
            yield name, value
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]):
            yield name, ast.List(elts=[value], ctx=ast.Load())
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="extend"), args=[value]):
            yield name, value


def _assignment(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield what an assignment adds: nothing for `name[key] = value` with a value computed from the name itself."""
    match target:
        case ast.Name(id=name):
            yield name, value
        case ast.Subscript(value=ast.Name(id=name), slice=key):
            if not any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(value)):
                yield name, ast.Dict(keys=[key], values=[value])


def _keywords(
    keywords: Iterable[ast.keyword], values: Assigned, depth: int = 0
) -> Iterator[tuple[str | None, ast.expr]]:
    """Yield name and value of each keyword, also of those in `**arguments`; no name where these are computed."""
    for keyword in keywords:
        assigned = values.get(keyword.value.id, ()) if isinstance(keyword.value, ast.Name) else (keyword.value,)
        value = assigned[0] if len(assigned) == 1 else keyword.value
        if keyword.arg is not None:
            yield keyword.arg, keyword.value
        elif isinstance(value, ast.Call) and _called(value.func) == "dict" and not value.args and depth < _DEPTH_LIMIT:
            yield from _keywords(value.keywords, values, depth + 1)
        elif isinstance(value, ast.Dict) and all(isinstance(key, ast.Constant) for key in value.keys):
            yield from (
                (str(key.value), item) for key, item in zip(value.keys, value.values, strict=True)
                if isinstance(key, ast.Constant)
            )  # fmt: skip
        else:
            yield None, value


def _argument(name: str | None, node: ast.expr, values: Assigned, tree: ast.Module) -> Iterator[Entry]:
    if name not in (*_KEYWORDS, "name", "package_dir", None):
        return
    try:
        value = _Literals(values).evaluate(node)
    except ValueError:
        if name is None or name in _KEYWORDS:
            yield from _named_files(tree) or [Unread(f"{name or 'what setup() is given'} is computed")]
        return
    if name == "name":
        yield OwnProject(value if isinstance(value, str) else None)
    elif name == "package_dir":
        root = value.get("") if isinstance(value, dict) else None
        yield OwnProject(None, (root,) if isinstance(root, str) else ())
    else:
        yield from (found for line in _lines(value) if (found := parse_requirement(line)) is not None)


def _named_files(tree: ast.Module) -> list[Entry]:
    """Return the files of requirements that are named in the script, from which it may compute its own."""
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return [Include(text) for text in sorted(texts) if text.endswith((".txt", ".in")) and is_manifest(text)]


class _Literals:
    """Evaluation of strings, lists, tuples, sets, dicts, sums, and names of these, in a limited number of steps."""

    def __init__(self, values: Assigned) -> None:
        self._values = values
        self._steps = _STEPS_LIMIT
        self._open: set[str] = set()

    def evaluate(self, node: ast.expr | None, depth: int = 0) -> Any:
        """Return the value; a tuple and a set become lists. Raises ValueError for anything else."""
        self._steps -= 1
        if depth > _DEPTH_LIMIT or self._steps < 0:
            raise ValueError("too complicated")
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [value for item in node.elts for value in self._items(item, depth)]
        if isinstance(node, ast.Dict):
            pairs = [(self.evaluate(key, depth + 1), value) for key, value in zip(node.keys, node.values, strict=True)]
            return {str(key): self.evaluate(value, depth + 1) for key, value in pairs}
        if isinstance(node, ast.Name):
            return self._name(node.id, depth)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return _sum([self.evaluate(node.left, depth + 1), self.evaluate(node.right, depth + 1)])
        if isinstance(node, ast.Call) and not node.keywords:
            return self._call(node, depth)
        raise ValueError("not a literal")

    def _items(self, item: ast.expr, depth: int) -> Sequence[Any]:
        if not isinstance(item, ast.Starred):
            return [self.evaluate(item, depth + 1)]
        return list(_sum([self.evaluate(item.value, depth + 1), []]))

    def _name(self, name: str, depth: int) -> Any:
        """Return the value of a name: the sum of all that is assigned, since any branch may be the one that runs."""
        if name in self._open:  # `a = a + [...]`: the other values are counted already
            return []
        self._open.add(name)
        found = [self.evaluate(value, depth + 1) for value in self._values.get(name, ())]
        self._open.discard(name)
        return found[0] if len(found) == 1 else _sum(found)

    def _call(self, node: ast.Call, depth: int) -> Any:
        """Return a list of a list, and the parts or lines of a string."""
        arguments = [self.evaluate(argument, depth + 1) for argument in node.args[:2]]
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("split", "splitlines", "strip"):
            text = self.evaluate(node.func.value, depth + 1)
            if isinstance(text, str) and len(arguments) <= 1 and all(isinstance(item, str) for item in arguments):
                method = node.func.attr
                return text.splitlines() if method == "splitlines" else getattr(text, method)(*arguments)
        elif _called(node.func) in ("list", "tuple", "set", "sorted") and len(arguments) == 1:
            return _sum([arguments[0], []])
        raise ValueError("not a literal")


def _sum(values: Sequence[Any]) -> Any:
    """Return the lists, or the dicts, as one. Raises ValueError for other values."""
    if values and all(isinstance(value, dict) for value in values):
        return {key: item for value in values for key, item in value.items()}
    if not values or not all(isinstance(value, list) for value in values):
        raise ValueError("not a list")
    if sum(map(len, values)) > _STEPS_LIMIT:
        raise ValueError("too long")
    return [item for value in values for item in value]


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from value.splitlines()
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _lines(item)
