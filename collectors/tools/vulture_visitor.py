"""vulture's own rules over one ready syntax tree, driven without recursion, yielding plain data.

What vulture looks for, and what it ignores, stays in its class; only the walk, and the keeping of what was found, are
ours. Deep trees cost no stack here, and a definition that a `noqa` comment hides is kept apart instead of forgotten.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vulture import lines, noqa
from vulture.core import DEFAULT_CONFIDENCE, ERROR_CODES, IGNORED_VARIABLE_NAMES, Vulture

from collectors.source.syntax_walk import SyntaxNodes

MIN_CONFIDENCE = 60

_TYPE_COMMENT = re.compile(r"#[ \t]*+type:[ \t]*+(?!ignore(?![0-9A-Za-z\x80-\U0010ffff]))")
"""Where CPython's tokenizer may see a type comment; it looks at `# type: ignore` as something else."""

_FLOW = (
    ast.Break, ast.Continue, ast.Return, ast.Raise, ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.With,
    ast.AsyncWith, ast.While, ast.For, ast.AsyncFor, ast.If, ast.IfExp, ast.Try,
)  # fmt: skip
"""The nodes that vulture's reachability rules look at."""

_LEAVES = frozenset({"arg", "attr", "ctx", "id", "kind", "level", "module", "names", "op", "ops", "type_comment"})
"""Fields that hold no node with a rule of its own."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How to treat the nodes of one class; `rules` are called in this order once all its children are done."""

    children: tuple[str, ...]
    rules: tuple[Callable[["VultureVisitor", ast.AST], None], ...]
    has_type_comment: bool


class Definition(NamedTuple):
    """One thing that vulture would report if its name were used nowhere (or, if unreachable, in any case)."""

    typ: str
    name: str
    line: int
    message: str
    confidence: int
    suppressed: bool

    @property
    def text(self) -> str:
        """What vulture prints after the place."""
        message = self.message or f"unused {self.typ} '{self.name}'"
        return f"{message} ({self.confidence}% confidence)"


@dataclass(frozen=True, slots=True)
class VirtualPath:
    """As much of a `Path` as vulture's rules ask for, without a look at the disk."""

    path: str

    @property
    def name(self) -> str:
        """The last component."""
        return self.path.rpartition("/")[2]

    def resolve(self) -> str:
        """The absolute path."""
        return self.path


@dataclass(slots=True)
class VultureResult:
    """What one file says: definitions in the order that vulture meets them, used names, names that imports bind.

    `stop_reason` is why vulture did not look at the rest of the file, None where it did.
    """

    definitions: list[Definition] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    stop_reason: str | None = None


class VultureVisitor(Vulture):  # type: ignore[misc] # vulture ships no types
    """vulture for one file. `examine` may be called once."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        self.filename = VirtualPath(path)
        self.code = text.splitlines()
        # Most files have no such comment, and vulture's pattern is tried on each line.
        self.noqa_lines = noqa.parse_noqa(self.code if "noqa" in text.lower() else [])
        self.used_names: set[str] = set()
        self.result = VultureResult(used=self.used_names)

    def collect(self, nodes: SyntaxNodes) -> VultureResult:
        """Apply every rule to a tree without type comments."""
        self.used_names |= nodes.attributes_read
        self.used_names |= nodes.names_read - IGNORED_VARIABLE_NAMES
        for node in nodes.postorder:
            kind = _KINDS.get(node.__class__)
            if kind is not None and (node.__class__ is not ast.Call or _may_name_something(node)):
                for rule in kind.rules:
                    rule(self, node)
        return self.result

    def collect_with_type_comments(self, tree: ast.AST) -> VultureResult:
        """Apply every rule. Like vulture, stops for good at a type comment that does not parse."""
        try:
            self._apply(tree)
        except SyntaxError as error:
            self.result.stop_reason = f"type comment: {error.msg}"
        return self.result

    def _apply(self, tree: ast.AST) -> None:
        for node in _children_first(tree):
            kind = _KINDS[node.__class__]
            for rule in kind.rules:
                rule(self, node)
            if kind.has_type_comment and node.type_comment is not None:  # type: ignore[attr-defined]
                signature = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                self._apply(_quietly_parsed(node.type_comment, mode="func_type" if signature else "eval"))  # type: ignore[attr-defined]

    def _define(
        self,
        collection: Any,
        name: str,
        first_node: ast.AST,
        last_node: ast.AST | None = None,  # noqa: ARG002 - vulture's signature
        message: str = "",
        confidence: int = DEFAULT_CONFIDENCE,
        ignore: Callable[[VirtualPath, str], bool] | None = None,
    ) -> None:
        """Called by vulture's rules for each definition and each unreachable piece of code."""
        if confidence < MIN_CONFIDENCE or (ignore is not None and ignore(self.filename, name)):
            return
        typ = collection.typ
        line = lines.get_first_line_number(first_node)
        hidden = bool(self.noqa_lines) and noqa.ignore_line(self.noqa_lines, line, ERROR_CODES[typ])
        if typ == "import" and not hidden:
            self.result.imported.add(name)
        self.result.definitions.append(Definition(typ, name, line, message, confidence, hidden))


def parse_with_type_comments(text: str) -> ast.Module | None:
    """The tree of a file that has type comments, which vulture parses too; None for one that has none.

    Raises SyntaxError where vulture's parse does.
    """
    return _quietly_parsed(text, type_comments=True) if _TYPE_COMMENT.search(text) else None


def _may_name_something(call: ast.Call) -> bool:
    """Whether vulture's rule for calls looks further: it does at `getattr`, `hasattr` and a string's `format`."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in ("getattr", "hasattr")
    return isinstance(function, ast.Attribute) and function.attr == "format"


def _quietly_parsed(text: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, **options)


def _children_first(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that has a rule, after its children, siblings in source order: the order in which vulture visits."""
    stack, order = [tree], []
    while stack:
        node = stack.pop()
        kind = _KINDS.get(node.__class__)
        if kind is None:  # also None and the names of a `global` statement, which stand in lists beside nodes
            continue
        if kind.rules:
            order.append(node)
        for name in kind.children:
            child = getattr(node, name)
            if child.__class__ is list:
                stack.extend(child)
            else:
                stack.append(child)
    return reversed(order)


def _reach(visitor: VultureVisitor, node: ast.AST) -> None:
    visitor.reachability.visit(node)


def _kind_of(cls: type[ast.AST]) -> _Kind:
    rules = (_reach,) if issubclass(cls, _FLOW) else ()
    own = vars(Vulture).get(f"visit_{cls.__name__}")  # its base class has a visit_Constant, which does nothing
    children = tuple(name for name in cls._fields if name not in _LEAVES)
    return _Kind(children, (*rules, own) if own else rules, "type_comment" in cls._fields)


def _kinds() -> Mapping[type[ast.AST], _Kind]:
    classes = [value for value in vars(ast).values() if isinstance(value, type) and issubclass(value, ast.AST)]
    kinds = {cls: _kind_of(cls) for cls in classes if cls is not ast.Constant}
    return {cls: kind for cls, kind in kinds.items() if kind.children or kind.rules}


_KINDS = _kinds()
