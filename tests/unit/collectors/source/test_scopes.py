"""The function or class that a line belongs to."""

import ast
from collections.abc import Callable

import pytest

from collectors.source.scopes import find_scopes, scope_lookup
from collectors.source.syntax_walk import walk_syntax_tree


def enclosing(tree: ast.Module) -> Callable[[int], str | None]:
    return scope_lookup(find_scopes(walk_syntax_tree(tree)))


TEXT = """\
import os
@decorate(
    x)
def f(a=1):
    def g(): return 1
    x = lambda: 1
    return g

class A(object):
    async def h(self):
        if x:
            class B:
                y = 1
        else:
            def i(): pass
    z = [
    ]
try:
    def j():
        return 1
except E:
    def k(): pass
else:
    def l(): pass
finally:
    def m(): pass
for x in y:
    pass
else:
    def n(): pass
match x:
    case 1:
        def o(): pass
with x:
    def p(): pass
"""

EXPECTED = {
    **dict.fromkeys((1, 8, 18, 21, 23, 25, 27, 28, 29, 31, 32, 34), None),
    **dict.fromkeys((2, 3, 4, 6, 7), "f"),
    5: "f.g",
    **dict.fromkeys((9, 16, 17), "A"),
    **dict.fromkeys((10, 11, 14), "A.h"),
    **dict.fromkeys((12, 13), "A.h.B"),
    15: "A.h.i",
    **dict.fromkeys((19, 20), "j"),
    22: "k",
    24: "l",
    26: "m",
    30: "n",
    33: "o",
    35: "p",
}


def test_every_line_belongs_to_its_innermost_scope() -> None:
    scope_at = enclosing(ast.parse(TEXT))
    assert {line: scope_at(line) for line in range(1, 36)} == EXPECTED


@pytest.mark.parametrize("line", [-1, 0, 36, 10**9])
def test_lines_outside_the_file_belong_to_no_scope(line: int) -> None:
    assert enclosing(ast.parse(TEXT))(line) is None


def test_lambda_is_not_a_scope() -> None:
    assert enclosing(ast.parse("x = (lambda y: y)(a if b else c)\n"))(1) is None


def test_scopes_on_adjacent_lines() -> None:
    assert enclosing(ast.parse("class A: f = 1\nclass B:\n  def g(self): pass\n"))(3) == "B.g"


def test_long_dotted_names_are_cut() -> None:
    nested = "".join(f"{' ' * depth}class {'x' * 1000}:\n" for depth in range(50)) + " " * 50 + "y\n"
    found = find_scopes(walk_syntax_tree(ast.parse(nested)))
    assert len(found) == 50
    assert max(len(name) for name, _, _ in found) == 300
