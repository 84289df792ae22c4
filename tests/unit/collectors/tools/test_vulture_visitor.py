"""vulture's rules as the visitor applies them, against vulture's own class; `tests/parity` compares whole trees."""

import ast

import pytest
from vulture import Vulture

from collectors.source.syntax_walk import walk_syntax_tree
from collectors.tools.vulture_visitor import VultureVisitor, has_no_literal_value

UNKNOWN = (
    "x", "x.y", "x[0]", "a < b", "f()", "f(set())", "f().set()", "not x", "not not f()", "x and y", "x or not y.z",
)  # fmt: skip
LITERAL = (
    "0", "1", "''", "()", "[]", "{}", "-1", "None", "set()", "not set()", "not 0", "x and 0", "x or 1", "0 or ()",
)  # fmt: skip
OTHER = ("(lambda: 0)", "(y := 0)", "(1 if x else 0)", "-x", "not -x", "[x]", "f'{x}'", "x and [y]", "set(x)")
TEMPLATE = """
def with_if():
    if {condition}:
        return 1
    else:
        raise
    print()

def with_one_branch():
    if {condition}:
        return 1
    print()

def with_while():
    while {condition}:
        print()
    else:
        print()
    print()

def with_ternary():
    return 1 if {condition} else 2
"""


@pytest.mark.parametrize("condition", UNKNOWN + LITERAL + OTHER)
def test_unreachable_code_is_what_vulture_reports(condition: str) -> None:
    source = TEMPLATE.format(condition=condition)
    vulture = Vulture()
    vulture.scan(source)
    expected = [(item.first_lineno, item.last_lineno, item.message) for item in vulture.unreachable_code]
    found = VultureVisitor("/src/a.py", source).collect(walk_syntax_tree(ast.parse(source))).definitions
    unreachable = [(item.line, item.end_line, item.message) for item in found if item.typ == "unreachable_code"]
    assert sorted(unreachable) == sorted(expected)


@pytest.mark.parametrize("condition", UNKNOWN + LITERAL + OTHER)
def test_only_conditions_without_a_literal_value_are_not_evaluated(condition: str) -> None:
    assert has_no_literal_value(ast.parse(condition, mode="eval").body) is (condition in UNKNOWN)
