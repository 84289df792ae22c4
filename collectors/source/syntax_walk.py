"""One walk over a syntax tree for all collectors that would look at every node.

Two thirds of a tree's nodes are names that are read, attributes that are read, and constants. Of these only what they
say is kept; the others are listed, so that a collector goes through a list instead of a tree.
"""

import ast
from dataclasses import dataclass, field
from typing import Any

_LEAVES = frozenset(
    {
        "arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs", "level", "module", "name",
        "names", "op", "ops", "rest", "simple", "tag", "type_comment", "type_ignores",
    }
)  # fmt: skip
"""Fields without a node of their own: text, numbers, names, and the contexts and operators that all trees share."""


@dataclass(slots=True)
class Nodes:
    """What one walk finds.

    `children_first` are all nodes but those counted below: each after its children, siblings in source order, as
    `ast.NodeVisitor` would come to them after its `generic_visit`. `names` and `attributes` are what is read (or, of
    names, deleted); those that are assigned to are among the nodes, and so is an attribute of a constant. `texts` are
    the strings and bytes, in no order, without docstrings and other statements of a mere constant; other constants are
    left out, as are contexts and operators.
    """

    children_first: list[Any] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    texts: list[ast.Constant] = field(default_factory=list)


def walk(tree: ast.AST) -> Nodes:  # noqa: C901, PLR0912 - each node passes here: one flat loop, frequent kinds first
    """Walk a tree of any depth without recursion."""
    found = Nodes()
    keep, texts, names, attributes = found.children_first.append, found.texts, found.names, found.attributes
    a_name, an_attribute, a_constant, a_statement = ast.Name, ast.Attribute, ast.Constant, ast.Expr
    read, assigned = ast.Load, ast.Store
    pending: list[Any] = [tree]
    pop, push = pending.pop, pending.append
    while pending:
        node = pop()
        kind = node.__class__
        if kind is a_name:
            if node.ctx.__class__ is assigned:
                keep(node)
            else:
                names.add(node.id)
        elif kind is an_attribute:
            value = node.value
            push(value)
            if node.ctx.__class__ is read:
                attributes.add(node.attr)
            if node.ctx.__class__ is not read or value.__class__ is a_constant:
                keep(node)
        elif kind is a_constant:
            if node.value.__class__ in _TEXT:
                texts.append(node)
        elif kind is a_statement and node.value.__class__ is a_constant:
            continue
        elif kind in FIELDS:
            keep(node)
            for name in FIELDS[kind]:
                part = getattr(node, name)
                if part.__class__ is list:
                    pending += part
                else:
                    push(part)
    found.children_first.reverse()
    return found


_TEXT = frozenset({str, bytes})


def _fields() -> dict[Any, tuple[str, ...]]:
    """The fields to descend into of each kind of node, for those that are no context and no operator."""
    kinds = [value for value in vars(ast).values() if isinstance(value, type) and issubclass(value, ast.AST)]
    shared = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
    return {
        kind: tuple(name for name in kind._fields if name not in _LEAVES)
        for kind in kinds
        if not issubclass(kind, shared)
    }


FIELDS = _fields()
"""Kind of node to the fields in which nodes of their own stand; contexts and operators are not among the kinds."""
