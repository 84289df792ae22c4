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


def walk_syntax_tree(tree: ast.AST) -> SyntaxNodes:  # noqa: C901, PLR0912 - each node passes here: one flat loop, frequent kinds first
    """Walk a tree of any depth without recursion."""
    found = SyntaxNodes()
    keep, texts, names, attributes = (
        found.postorder.append,
        found.text_constants,
        found.names_read,
        found.attributes_read,
    )
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
        elif kind in CHILD_FIELDS:
            keep(node)
            for name in CHILD_FIELDS[kind]:
                part = getattr(node, name)
                if part.__class__ is list:
                    pending += part
                else:
                    push(part)
    found.postorder.reverse()
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


CHILD_FIELDS = _fields()
"""Kind of node to the fields in which nodes of their own stand; contexts and operators are not among the kinds."""
