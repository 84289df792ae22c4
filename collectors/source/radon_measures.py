"""Cyclomatic complexity and Halstead volume of one file, by radon's rules, from one walk over its syntax tree.

The rules are those of radon 6.0.1, `radon/visitors.py` (`ComplexityVisitor`, `HalsteadVisitor`) and `radon/metrics.py`.
The walk keeps its own stack, so a deep tree needs no recursion. Both measures treat each function separately, and
neither examines a function's decorators, parameters or annotations.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from collectors.source.syntax_walk import CHILD_FIELDS

_IMPORTS, _NAMES = (ast.Import, ast.ImportFrom), ("names",)
_WITHOUT_LAST_LINE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assert)
"""Nodes whose lines radon does not look at when it determines the last line of a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionComplexity:
    """A function, or a method as `Class.method`: the line of its `def`, and its cyclomatic complexity."""

    name: str
    line: int
    complexity: int
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def end_line(self) -> int:
        """The last line by radon: the last on which a node of the last statement begins.

        Definitions and assertions in that statement do not count.
        """
        last = self.line
        pending: list[Any] = [self.node.body[-1]]
        while pending:
            node = pending.pop()
            kind = node.__class__
            if kind in _WITHOUT_LAST_LINE or kind not in CHILD_FIELDS:
                continue
            last = max(last, getattr(node, "lineno", last))
            for name in _NAMES if kind in _IMPORTS else CHILD_FIELDS[kind]:
                child = getattr(node, name)
                if child.__class__ is list:
                    pending += child
                else:
                    pending.append(child)
        return last


@dataclass(frozen=True, slots=True, kw_only=True)
class RadonMeasures:
    """radon's measures of one file.

    `functions` holds the functions and methods that radon lists, in order of lines: functions that are in no other
    function, and methods of classes that are in no other class. `total_complexity` is that of the whole file.
    `halstead_volume` is length * log2(vocabulary), and 0 in a file without operators.
    """

    functions: Sequence[FunctionComplexity]
    total_complexity: int
    halstead_volume: float


def compute_radon_measures(tree: ast.Module) -> RadonMeasures:
    """Compute the measures of one file."""
    walk = _Walk()
    pending = [_Unit(nodes=tree.body, scope=_Scope.MODULE)]
    functions = []
    total_complexity = 1
    while pending:
        unit = pending.pop()
        decisions = walk.count_decisions(unit)
        pending += walk.deferred
        if unit.scope is _Scope.FUNCTION or unit.scope is _Scope.METHOD:
            functions.append(
                FunctionComplexity(name=unit.name, line=unit.node.lineno, complexity=1 + decisions, node=unit.node)
            )
        if unit.scope is not _Scope.UNCOUNTED:
            total_complexity += decisions + (unit.scope is _Scope.METHOD)
    functions.sort(key=lambda function: function.line)
    return RadonMeasures(functions=functions, total_complexity=total_complexity, halstead_volume=walk.halstead_volume())


class _Scope(Enum):
    """Kind of a unit, which decides how its decisions and the definitions in it are counted.

    radon adds a function's decisions to the file's total, and a method's decisions plus one. It does not count
    functions and classes in a function, classes in a class, assertions' expressions, and a class's decorators and
    bases.
    """

    MODULE = auto()
    CLASS = auto()
    FUNCTION = auto()
    METHOD = auto()
    UNCOUNTED = auto()


_SCOPE_OF_FUNCTION = {_Scope.MODULE: _Scope.FUNCTION, _Scope.CLASS: _Scope.METHOD}
_SCOPE_OF_CLASS = {_Scope.MODULE: _Scope.CLASS}


@dataclass(slots=True, kw_only=True)
class _Unit:
    """Nodes that are measured together. `context` is the name of the enclosing function, for Halstead's operands."""

    nodes: Sequence[ast.AST]
    scope: _Scope
    context: str | None = None
    name: str = ""
    node: Any = None


class _Walk:
    """Walk over one unit after another, with Halstead's counts summed over all of them."""

    def __init__(self) -> None:
        self.deferred: list[_Unit] = []
        self._unit = _Unit(nodes=(), scope=_Scope.UNCOUNTED)
        self._decisions = self._operators = self._operands = self._distinct_expressions = 0
        self._operator_kinds: set[type[ast.AST]] = set()
        self._operands_by_context: dict[str | None, set[Any]] = {}
        self._distinct_operands: set[Any] = set()

    def count_decisions(self, unit: _Unit) -> int:
        """Walk the unit, return its number of decisions, and leave its inner units in `deferred`."""
        self._unit = unit
        self._distinct_operands = self._operands_by_context.setdefault(unit.context, set())
        self._decisions = 0
        self.deferred = []
        stack = list(unit.nodes)
        pop, rule_of, fields_of = stack.pop, _RULES.get, _CHILD_FIELDS
        while stack:
            node = pop()
            kind = node.__class__
            rule = rule_of(kind)
            if rule is not None and not rule(self, node):
                continue
            for name in fields_of[kind]:
                value = getattr(node, name)
                if value.__class__ is list:
                    stack += value
                else:
                    stack.append(value)
        return self._decisions

    def add_decisions(self, decisions: int) -> None:
        """Add decision points to the unit's."""
        self._decisions += decisions

    def add_operation(self, operators: Sequence[ast.AST], operands: Sequence[ast.AST]) -> None:
        """Add operators and their operands. Equal names, attributes and constants are the same operand."""
        self._operators += len(operators)
        self._operator_kinds.update(map(type, operators))
        self._operands += len(operands)
        for operand in operands:
            if isinstance(operand, ast.Name):
                self._distinct_operands.add(operand.id)
            elif isinstance(operand, ast.Attribute):
                self._distinct_operands.add(operand.attr)
            elif isinstance(operand, ast.Constant):
                self._distinct_operands.add(operand.value)
            else:
                self._distinct_expressions += 1

    def defer_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Defer the function's body as a unit of its own."""
        owner = self._unit.name
        self.deferred.append(
            _Unit(
                nodes=node.body,
                scope=_SCOPE_OF_FUNCTION.get(self._unit.scope, _Scope.UNCOUNTED),
                context=node.name,
                name=f"{owner}.{node.name}" if owner else node.name,
                node=node,
            )
        )

    def defer_class(self, node: ast.ClassDef) -> None:
        """Defer the class's body as a unit of its own, and its header, which counts for Halstead only."""
        scope = _SCOPE_OF_CLASS.get(self._unit.scope, _Scope.UNCOUNTED)
        self.deferred.append(_Unit(nodes=node.body, scope=scope, context=self._unit.context, name=node.name))
        self.defer_uncounted([*node.decorator_list, *node.bases, *node.keywords, *getattr(node, "type_params", ())])

    def defer_uncounted(self, nodes: Sequence[ast.AST]) -> None:
        """Defer nodes whose decisions do not count."""
        self.deferred.append(_Unit(nodes=nodes, scope=_Scope.UNCOUNTED, context=self._unit.context))

    def halstead_volume(self) -> float:
        """Return the volume of all units, with the same floating-point operations as radon."""
        distinct_operands = self._distinct_expressions + sum(map(len, self._operands_by_context.values()))
        vocabulary = len(self._operator_kinds) + distinct_operands
        if not vocabulary:
            return 0.0
        return (self._operators + self._operands) * math.log(vocabulary, 2)  # noqa: FURB163 - log2 rounds differently


_Rule = Callable[[_Walk, Any], bool]
"""Function that adds a node's counts to a walk; it returns whether the walk continues with the node's children."""


def _function(walk: _Walk, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    walk.defer_function(node)
    return False


def _class(walk: _Walk, node: ast.ClassDef) -> bool:
    walk.defer_class(node)
    return False


def _assert(walk: _Walk, node: ast.Assert) -> bool:
    walk.add_decisions(1)
    walk.defer_uncounted([node.test] if node.msg is None else [node.test, node.msg])
    return False


def _branch(walk: _Walk, _: ast.If | ast.IfExp) -> bool:
    walk.add_decisions(1)
    return True


def _loop(walk: _Walk, node: ast.For | ast.AsyncFor | ast.While) -> bool:
    walk.add_decisions(1 + bool(node.orelse))
    return True


def _try(walk: _Walk, node: ast.Try) -> bool:
    walk.add_decisions(len(node.handlers) + bool(node.orelse))
    return True


def _comprehension(walk: _Walk, node: ast.comprehension) -> bool:
    walk.add_decisions(1 + len(node.ifs))
    return True


def _match(walk: _Walk, node: ast.Match) -> bool:
    catches_all = any(isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None for case in node.cases)
    walk.add_decisions(len(node.cases) - catches_all)
    return True


def _boolean(walk: _Walk, node: ast.BoolOp) -> bool:
    walk.add_decisions(len(node.values) - 1)
    walk.add_operation([node.op], node.values)
    return True


def _binary(walk: _Walk, node: ast.BinOp) -> bool:
    walk.add_operation([node.op], [node.left, node.right])
    return True


def _unary(walk: _Walk, node: ast.UnaryOp) -> bool:
    walk.add_operation([node.op], [node.operand])
    return True


def _augmented(walk: _Walk, node: ast.AugAssign) -> bool:
    walk.add_operation([node.op], [node.target, node.value])
    return True


def _compare(walk: _Walk, node: ast.Compare) -> bool:
    walk.add_operation(node.ops, [node.left, *node.comparators])
    return True


_RULES: Mapping[type[Any], _Rule] = {
    # `except*` (ast.TryStar) is missing, because radon does not count it.
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.ClassDef: _class,
    ast.Assert: _assert,
    ast.If: _branch,
    ast.IfExp: _branch,
    ast.For: _loop,
    ast.AsyncFor: _loop,
    ast.While: _loop,
    ast.Try: _try,
    ast.comprehension: _comprehension,
    ast.Match: _match,
    ast.BoolOp: _boolean,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.AugAssign: _augmented,
    ast.Compare: _compare,
}

_FIELDS_WITHOUT_NODES = frozenset(
    # Operators and contexts, which have no rule, and fields that hold no nodes.
    (
        "ctx",
        "op",
        "ops",
        "id",
        "attr",
        "arg",
        "name",
        "names",
        "kind",
        "type_comment",
        "module",
        "level",
        "rest",
        "kwd_attrs",
    )
)


class _ChildFields(dict[type[Any], tuple[str, ...]]):
    """The fields that may hold child nodes, by node class; empty for a class that is not a node class."""

    def __missing__(self, kind: type[Any]) -> tuple[str, ...]:
        fields: tuple[str, ...] = ()
        if issubclass(kind, ast.AST) and kind is not ast.Constant:
            fields = tuple(name for name in kind._fields if name not in _FIELDS_WITHOUT_NODES)
        self[kind] = fields
        return fields


_CHILD_FIELDS = _ChildFields()
