"""vulture's own rules, applied to a parsed file without recursion; the result is plain data.

The rules are methods of vulture's class (vulture 2.16, `vulture/core.py`). Only the walk, and what happens with a
definition, are replaced. So a deep tree needs no recursion, and a definition that a `noqa` comment hides is recorded as
suppressed instead of dropped.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from vulture import lines, noqa
from vulture.core import DEFAULT_CONFIDENCE, ERROR_CODES, IGNORED_VARIABLE_NAMES, Vulture
from vulture.reachability import Reachability

from collectors.source.syntax_walk import SyntaxNodes

MIN_CONFIDENCE = 60

_TYPE_COMMENT = re.compile(r"#[ \t]*+type:[ \t]*+(?!ignore(?![0-9A-Za-z\x80-\U0010ffff]))")
"""Where CPython's tokenizer may see a type comment; `# type: ignore` is a different kind of comment to it."""

_REACHABILITY_NODES = (
    ast.Break, ast.Continue, ast.Return, ast.Raise, ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.With,
    ast.AsyncWith, ast.While, ast.For, ast.AsyncFor, ast.If, ast.IfExp, ast.Try,
)  # fmt: skip
"""The nodes that vulture's reachability rules (`vulture/reachability.py`) examine."""

_FIELDS_WITHOUT_RULES = frozenset(
    {"arg", "attr", "ctx", "id", "kind", "level", "module", "names", "op", "ops", "type_comment"}
)
"""Fields that hold no node with a rule."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How to treat the nodes of one class. `rules` are called in this order after all rules of the children."""

    children: tuple[str, ...]
    rules: tuple[Callable[["VultureVisitor", ast.AST], None], ...]
    has_type_comment: bool


class Definition(NamedTuple):
    """Something that vulture reports if its name is used nowhere; unreachable code is reported in any case."""

    typ: str
    name: str
    line: int
    end_line: int
    message: str
    confidence: int
    suppressed: bool

    @property
    def text(self) -> str:
        """What vulture prints after the file name and line."""
        message = self.message or f"unused {self.typ} '{self.name}'"
        return f"{message} ({self.confidence}% confidence)"


@dataclass(frozen=True, slots=True)
class VirtualPath:
    """The part of `pathlib.Path` that vulture's rules use, without access to the file system."""

    path: str

    @property
    def name(self) -> str:
        """The last component."""
        return self.path.rpartition("/")[2]

    def resolve(self) -> str:
        """Return the absolute path."""
        return self.path


@dataclass(slots=True)
class VultureResult:
    """Result for one file: definitions in vulture's order, used names, and names that imports bind.

    `stop_reason` says why vulture did not examine the rest of the file; None where it did.
    """

    definitions: list[Definition] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    stop_reason: str | None = None


class UnevaluatedReachability(Reachability):  # type: ignore[misc] # vulture ships no types
    """vulture's rules of reachability, which evaluate no condition that has no literal value.

    vulture tries `ast.literal_eval` twice on every condition, and nearly all make it raise an error.
    """

    def _handle_reachability_if(self, node: ast.If) -> None:
        if not has_no_literal_value(node.test):
            super()._handle_reachability_if(node)
            return
        body = self._can_fall_through_statements_analysis(node.body)
        otherwise = self._can_else_fall_through(node.orelse, condition_always_true=False)
        if not (body or otherwise):
            self._mark_as_no_fall_through(node)

    def _handle_reachability_if_expr(self, node: ast.IfExp) -> None:
        if not has_no_literal_value(node.test):
            super()._handle_reachability_if_expr(node)

    def _handle_reachability_while(self, node: ast.While) -> None:
        if has_no_literal_value(node.test):
            self._can_fall_through_statements_analysis(node.body)
        else:
            super()._handle_reachability_while(node)


def has_no_literal_value(condition: ast.expr) -> bool:
    """Return whether vulture takes the condition for neither always true nor always false, where that is easy to see.

    `ast.literal_eval` evaluates one call: `set()`.
    """
    if isinstance(condition, ast.UnaryOp):
        return isinstance(condition.op, ast.Not) and has_no_literal_value(condition.operand)
    if isinstance(condition, ast.BoolOp):
        return all(map(has_no_literal_value, condition.values))
    if isinstance(condition, ast.Call):
        return not isinstance(condition.func, ast.Name) or condition.func.id != "set"
    return isinstance(condition, ast.Name | ast.Attribute | ast.Compare | ast.Subscript)


class VultureVisitor(Vulture):  # type: ignore[misc] # vulture ships no types
    """vulture for one file. One of the `collect` methods may be called, once."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__()
        report = partial(self._define, collection=self.unreachable_code, confidence=100)
        self.reachability = UnevaluatedReachability(report)
        self.filename = VirtualPath(path)
        self.code = text.splitlines()
        # vulture tries its pattern on each line; most files have no such comment.
        self.noqa_lines = noqa.parse_noqa(self.code if "noqa" in text.lower() else [])
        self.used_names: set[str] = set()
        self.result = VultureResult(used=self.used_names)

    def collect(self, nodes: SyntaxNodes) -> VultureResult:
        """Apply every rule to a tree without type comments."""
        self.used_names |= nodes.attributes_read
        self.used_names |= nodes.names_read - IGNORED_VARIABLE_NAMES
        for node in nodes.postorder:
            kind = _KINDS.get(node.__class__)
            if kind is not None and (node.__class__ is not ast.Call or _may_use_names(node)):
                for rule in kind.rules:
                    rule(self, node)
        return self.result

    def collect_with_type_comments(self, tree: ast.AST) -> VultureResult:
        """Apply every rule. Like vulture, stop at the first type comment that does not parse."""
        try:
            self._apply_rules(tree)
        except SyntaxError as error:
            self.result.stop_reason = f"type comment: {error.msg}"
        return self.result

    def _apply_rules(self, tree: ast.AST) -> None:
        for node in _postorder(tree):
            kind = _KINDS[node.__class__]
            for rule in kind.rules:
                rule(self, node)
            if kind.has_type_comment and node.type_comment is not None:  # type: ignore[attr-defined]
                is_signature = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                mode = "func_type" if is_signature else "eval"
                self._apply_rules(_parse_without_warnings(node.type_comment, mode=mode))  # type: ignore[attr-defined]

    def _define(
        self,
        collection: Any,
        name: str,
        first_node: ast.AST,
        last_node: ast.AST | None = None,
        message: str = "",
        confidence: int = DEFAULT_CONFIDENCE,
        ignore: Callable[[VirtualPath, str], bool] | None = None,
    ) -> None:
        """Record a definition or unreachable code. vulture's rules call this; it replaces `Vulture._define`."""
        if confidence < MIN_CONFIDENCE or (ignore is not None and ignore(self.filename, name)):
            return
        typ = collection.typ
        line = lines.get_first_line_number(first_node)
        suppressed = bool(self.noqa_lines) and noqa.ignore_line(self.noqa_lines, line, ERROR_CODES[typ])
        if typ == "import" and not suppressed:
            self.result.imported.add(name)
        end_line = lines.get_last_line_number(last_node or first_node)
        self.result.definitions.append(Definition(typ, name, line, end_line, message, confidence, suppressed))


def parse_with_type_comments(text: str) -> ast.Module | None:
    """Return the tree of a file with type comments, which vulture parses too; None for a file without them.

    Raises SyntaxError where vulture's parse does.
    """
    return _parse_without_warnings(text, type_comments=True) if _TYPE_COMMENT.search(text) else None


def _may_use_names(call: ast.Call) -> bool:
    """Return whether vulture's rule for calls has an effect: on `getattr`, `hasattr` and a string's `format`."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id in ("getattr", "hasattr")
    return isinstance(function, ast.Attribute) and function.attr == "format"


def _parse_without_warnings(text: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text, **options)


def _postorder(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node that has a rule in vulture's order: after its children, siblings in source order."""
    stack, order = [tree], []
    while stack:
        node = stack.pop()
        kind = _KINDS.get(node.__class__)
        if kind is None:  # also None, and the names of a `global` statement, which are strings in a list
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


def _check_reachability(visitor: VultureVisitor, node: ast.AST) -> None:
    visitor.reachability.visit(node)


def _kind_of(cls: type[ast.AST]) -> _Kind:
    rules = (_check_reachability,) if issubclass(cls, _REACHABILITY_NODES) else ()
    # Only rules of Vulture itself: its base class has a `visit_Constant`, which does nothing.
    own_rule = vars(Vulture).get(f"visit_{cls.__name__}")
    children = tuple(name for name in cls._fields if name not in _FIELDS_WITHOUT_RULES)
    return _Kind(children, (*rules, own_rule) if own_rule else rules, "type_comment" in cls._fields)


def _kinds() -> Mapping[type[ast.AST], _Kind]:
    classes = [value for value in vars(ast).values() if isinstance(value, type) and issubclass(value, ast.AST)]
    kinds = {cls: _kind_of(cls) for cls in classes if cls is not ast.Constant}
    return {cls: kind for cls, kind in kinds.items() if kind.children or kind.rules}


_KINDS = _kinds()
