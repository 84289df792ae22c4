"""Cyclomatic complexity and Halstead's volume of one file, by radon's rules, from one walk over its syntax tree.

The walk keeps its own stack, so that depth costs no recursion. Both measures look at each function by itself; neither
looks at a function's decorators, parameters or annotations.
"""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionComplexity:
    """A function, or a method as `Class.method`: the line of its `def`, and its cyclomatic complexity."""

    name: str
    line: int
    complexity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RadonMeasures:
    """radon's measures of one file.

    `functions` are the functions and methods that it lists: those in no other function, the methods of classes that
    are in no other class; in the order of their lines. `total_complexity` is the whole file's. `halstead_volume` is
    length * log2(vocabulary), and 0 in a file without operators.
    """

    functions: Sequence[FunctionComplexity]
    total_complexity: int
    halstead_volume: float


def compute_radon_measures(tree: ast.Module) -> RadonMeasures:
    """Measure one file."""
    walk = _Walk()
    pending = [_Unit(nodes=tree.body, scope=_Scope.MODULE)]
    functions = []
    total_complexity = 1
    while pending:
        unit = pending.pop()
        decisions = walk.walk(unit)
        pending += walk.found
        if unit.scope is _Scope.FUNCTION or unit.scope is _Scope.METHOD:
            functions.append(FunctionComplexity(name=unit.name, line=unit.line, complexity=1 + decisions))
        if unit.scope is not _Scope.UNCOUNTED:
            total_complexity += decisions + (unit.scope is _Scope.METHOD)
    functions.sort(key=lambda function: function.line)
    return RadonMeasures(functions=functions, total_complexity=total_complexity, halstead_volume=walk.volume())


class _Scope(Enum):
    """Where a unit stands, which says what becomes of its complexity and of the definitions in it.

    radon adds a function's decisions to the file's total, and a method's with one more; it leaves out functions and
    classes in a function, classes in a class, what stands in an assertion, and a class's decorators and bases.
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
    """Nodes that are measured together; `context` is the name of the function around them, for Halstead."""

    nodes: Sequence[ast.AST]
    scope: _Scope
    context: str | None = None
    name: str = ""
    line: int = 0


class _Walk:
    """One unit after another, adding up Halstead's counts over all of them."""

    def __init__(self) -> None:
        self.found: list[_Unit] = []
        self._unit = _Unit(nodes=(), scope=_Scope.UNCOUNTED)
        self._decisions = self._operators = self._operands = self._distinct_expressions = 0
        self._operator_kinds: set[type[ast.AST]] = set()
        self._vocabularies: dict[str | None, set[Any]] = {}
        self._seen: set[Any] = set()

    def walk(self, unit: _Unit) -> int:
        """Measure the unit, leave the definitions in it in `found`, and return its number of decisions."""
        self._unit = unit
        self._seen = self._vocabularies.setdefault(unit.context, set())
        self._decisions = 0
        self.found = []
        stack = list(unit.nodes)
        pop, rule_of, fields_of = stack.pop, _RULES.get, _FIELDS
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

    def decide(self, decisions: int) -> None:
        """Add decision points to the unit's."""
        self._decisions += decisions

    def operate(self, kinds: Sequence[ast.AST], operands: Sequence[ast.AST]) -> None:
        """Add operators, by their kinds, and what they work on. Only names, attributes and constants can recur."""
        self._operators += len(kinds)
        self._operator_kinds.update(map(type, kinds))
        self._operands += len(operands)
        for operand in operands:
            if isinstance(operand, ast.Name):
                self._seen.add(operand.id)
            elif isinstance(operand, ast.Attribute):
                self._seen.add(operand.attr)
            elif isinstance(operand, ast.Constant):
                self._seen.add(operand.value)
            else:
                self._distinct_expressions += 1

    def enter_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Put the function's body off, as a unit of its own."""
        owner = self._unit.name
        self.found.append(
            _Unit(
                nodes=node.body,
                scope=_SCOPE_OF_FUNCTION.get(self._unit.scope, _Scope.UNCOUNTED),
                context=node.name,
                name=f"{owner}.{node.name}" if owner else node.name,
                line=node.lineno,
            )
        )

    def enter_class(self, node: ast.ClassDef) -> None:
        """Put the class's body off, as a unit of its own, and its head, which only Halstead looks at."""
        scope = _SCOPE_OF_CLASS.get(self._unit.scope, _Scope.UNCOUNTED)
        self.found.append(_Unit(nodes=node.body, scope=scope, context=self._unit.context, name=node.name))
        self.leave_uncounted([*node.decorator_list, *node.bases, *node.keywords, *getattr(node, "type_params", ())])

    def leave_uncounted(self, nodes: Sequence[ast.AST]) -> None:
        """Put nodes off whose decisions do not count."""
        self.found.append(_Unit(nodes=nodes, scope=_Scope.UNCOUNTED, context=self._unit.context))

    def volume(self) -> float:
        """Halstead's volume of all units, computed as radon does, to the last bit."""
        distinct_operands = self._distinct_expressions + sum(map(len, self._vocabularies.values()))
        vocabulary = len(self._operator_kinds) + distinct_operands
        if not vocabulary:
            return 0.0
        return (self._operators + self._operands) * math.log(vocabulary, 2)  # noqa: FURB163 - log2 rounds otherwise


_Rule = Callable[[_Walk, Any], bool]
"""What a kind of node adds to a walk; whether the walk goes on to the node's children."""


def _function(walk: _Walk, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    walk.enter_function(node)
    return False


def _class(walk: _Walk, node: ast.ClassDef) -> bool:
    walk.enter_class(node)
    return False


def _assert(walk: _Walk, node: ast.Assert) -> bool:
    walk.decide(1)
    walk.leave_uncounted([node.test] if node.msg is None else [node.test, node.msg])
    return False


def _branch(walk: _Walk, _: ast.If | ast.IfExp) -> bool:
    walk.decide(1)
    return True


def _loop(walk: _Walk, node: ast.For | ast.AsyncFor | ast.While) -> bool:
    walk.decide(1 + bool(node.orelse))
    return True


def _try(walk: _Walk, node: ast.Try) -> bool:
    walk.decide(len(node.handlers) + bool(node.orelse))
    return True


def _comprehension(walk: _Walk, node: ast.comprehension) -> bool:
    walk.decide(1 + len(node.ifs))
    return True


def _match(walk: _Walk, node: ast.Match) -> bool:
    catches_all = any(isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None for case in node.cases)
    walk.decide(len(node.cases) - catches_all)
    return True


def _boolean(walk: _Walk, node: ast.BoolOp) -> bool:
    walk.decide(len(node.values) - 1)
    walk.operate([node.op], node.values)
    return True


def _binary(walk: _Walk, node: ast.BinOp) -> bool:
    walk.operate([node.op], [node.left, node.right])
    return True


def _unary(walk: _Walk, node: ast.UnaryOp) -> bool:
    walk.operate([node.op], [node.operand])
    return True


def _augmented(walk: _Walk, node: ast.AugAssign) -> bool:
    walk.operate([node.op], [node.target, node.value])
    return True


def _compare(walk: _Walk, node: ast.Compare) -> bool:
    walk.operate(node.ops, [node.left, *node.comparators])
    return True


_RULES: Mapping[type[Any], _Rule] = {
    # `except*` is missing: radon does not count it.
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

_LEAF_FIELDS = frozenset(
    # Operators and contexts, which no rule asks for, and what is no node at all.
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


class _Fields(dict[type[Any], tuple[str, ...]]):
    """The fields of each kind of node in which other nodes may be; none for what is no node."""

    def __missing__(self, kind: type[Any]) -> tuple[str, ...]:
        fields: tuple[str, ...] = ()
        if issubclass(kind, ast.AST) and kind is not ast.Constant:
            fields = tuple(name for name in kind._fields if name not in _LEAF_FIELDS)
        self[kind] = fields
        return fields


_FIELDS = _Fields()
