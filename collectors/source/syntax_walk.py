"""One walk over a syntax tree, whose result replaces a walk of its own in each collector.

Two thirds of a tree's nodes are names that are read, attributes that are read, and constants. Of these only their names
and values are kept. The other nodes are listed, so a collector goes through a list instead of a tree.
"""

import ast
import sys
from dataclasses import dataclass, field
from typing import Any

_FIELDS_WITHOUT_NODES = frozenset(
    {
        "arg", "asname", "attr", "conversion", "ctx", "id", "is_async", "kind", "kwd_attrs", "level", "module", "name",
        "names", "op", "ops", "rest", "simple", "tag", "type_comment", "type_ignores",
    }
)  # fmt: skip
"""Fields that hold text, numbers or names, or contexts and operators, which are shared by all trees."""


@dataclass(slots=True)
class SyntaxNodes:
    """Result of one walk over a syntax tree.

    `postorder` holds all nodes except those in the other fields: each node after its children, siblings in source
    order, as `ast.NodeVisitor` reaches them after `generic_visit`. `names_read` and `attributes_read` hold the names
    and attributes that are read, and the names that are deleted. Names and attributes that are assigned to are in
    `postorder`, and so is an attribute of a constant. `text_constants` holds strings and bytes in no defined order,
    without expression statements that are a bare constant, such as docstrings. Other constants, contexts and operators
    are left out.
    """

    postorder: list[Any] = field(default_factory=list)
    names_read: set[str] = field(default_factory=set)
    attributes_read: set[str] = field(default_factory=set)
    text_constants: list[ast.Constant] = field(default_factory=list)


def walk_syntax_tree(  # noqa: C901, PLR0912 - every node passes here: one flat loop, frequent kinds first
    tree: ast.AST,
) -> SyntaxNodes:
    """Walk a tree of any depth without recursion."""
    nodes = SyntaxNodes()
    keep, names, attributes, texts = (
        nodes.postorder.append,
        nodes.names_read,
        nodes.attributes_read,
        nodes.text_constants,
    )
    name_kind, attribute_kind, constant_kind, expression_kind = ast.Name, ast.Attribute, ast.Constant, ast.Expr
    load, store = ast.Load, ast.Store
    pending: list[Any] = [tree]
    pop, push = pending.pop, pending.append
    while pending:
        node = pop()
        kind = node.__class__
        if kind is name_kind:
            if node.ctx.__class__ is store:
                keep(node)
            else:
                names.add(node.id)
        elif kind is attribute_kind:
            value = node.value
            push(value)
            if node.ctx.__class__ is load:
                attributes.add(node.attr)
            if node.ctx.__class__ is not load or value.__class__ is constant_kind:
                keep(node)
        elif kind is constant_kind:
            if node.value.__class__ in _TEXT_TYPES:
                texts.append(node)
        elif kind is expression_kind and node.value.__class__ is constant_kind:
            continue
        elif kind in CHILD_FIELDS:
            keep(node)
            for name in CHILD_FIELDS[kind]:
                child = getattr(node, name)
                if child.__class__ is list:
                    pending += child
                else:
                    push(child)
    nodes.postorder.reverse()
    return nodes


_TEXT_TYPES = frozenset({str, bytes})


def _child_fields() -> dict[Any, tuple[str, ...]]:
    kinds = [value for value in vars(ast).values() if isinstance(value, type) and issubclass(value, ast.AST)]
    shared = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
    fields = {
        kind: tuple(name for name in kind._fields if name not in _FIELDS_WITHOUT_NODES)
        for kind in kinds
        if not issubclass(kind, shared)
    }
    if sys.version_info >= (3, 12):
        fields[ast.TypeAlias] = ast.TypeAlias._fields  # the one node whose `name` is a node, and not text
    return fields


CHILD_FIELDS = _child_fields()
"""The fields that hold child nodes, by node class; context and operator classes are not among the keys."""
