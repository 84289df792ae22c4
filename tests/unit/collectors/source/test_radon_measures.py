"""Radon's measures on small sources; `tests/parity` compares them with radon's command line."""

import ast
import math

import pytest

from collectors.source.radon_measures import compute_radon_measures


def functions(source: str) -> list[tuple[str, int, int]]:
    return [(item.name, item.line, item.complexity) for item in compute_radon_measures(ast.parse(source)).functions]


def complexity(*lines: str) -> int:
    ((_, _, number),) = functions("def f():\n" + "".join(f"    {line}\n" for line in lines))
    return number


def total(source: str) -> int:
    return compute_radon_measures(ast.parse(source)).total_complexity


def volume(source: str) -> float:
    return compute_radon_measures(ast.parse(source)).halstead_volume


def test_each_decision_adds_to_the_complexity() -> None:
    assert complexity("pass") == 1
    assert complexity("if a: pass", "elif b: pass", "else: pass") == 3
    assert complexity("return a if b else c") == 2
    assert complexity("return a and b and c or d") == 4
    assert complexity("for x in a: pass", "else: pass") == 3
    assert complexity("while a: pass") == 2
    assert complexity("try: a", "except b: c", "except: d", "else: e", "finally: f") == 4
    assert complexity("return [x for x in a if x if b for y in x]") == 5
    assert complexity("return lambda: a or b") == 2
    assert complexity("match a:", "  case 1: pass", "  case 2: pass", "  case _: pass") == 3
    assert complexity("match a:", "  case b: pass") == 1
    assert complexity("match a:", "  case 1 | 2: pass") == 2


def test_constructs_that_radon_ignores_add_nothing() -> None:
    assert complexity("with a: pass") == 1
    assert complexity("try: a", "except* b: c") == 1
    assert complexity("assert a and b, c or d") == 2
    assert complexity("def g(): return a or b") == 1
    assert complexity("class C:", "  x = a or b") == 1
    assert functions("@d(a or b)\ndef f(x=a or b) -> a or b: pass\n") == [("f", 2, 1)]


def test_listed_functions_and_methods() -> None:
    source = (
        "class C(a or b):\n"
        "    def m(self):\n"
        "        def closure(): pass\n"
        "    if x:\n"
        "        async def n(self): pass\n"
        "    class D:\n"
        "        def not_listed(self): pass\n"
        "try:\n"
        "    def f(): pass\n"
        "finally: pass\n"
    )
    assert functions(source) == [("C.m", 2, 1), ("C.n", 5, 1), ("f", 9, 1)]


def test_complexity_of_the_whole_file() -> None:
    assert total("") == 1
    assert total("a or b\n") == 2
    assert total("def f(): return a or b\n") == 2
    assert total("class C:\n  x = a or b\n  def m(self): return a or b\n") == 4
    assert total("class C(a or b): pass\n@(a or b)\ndef f(x=a or b): assert a or b\n") == 2


def test_halstead_volume_of_operators_and_operands() -> None:
    assert volume("x = f(y)\n") == 0.0
    assert volume("a + b\n") == pytest.approx(3 * math.log2(3))
    # Two operators of the same kind; four operands, one of which is the expression `a + b`.
    assert volume("a + b + a\n") == pytest.approx(6 * math.log2(1 + 3))
    assert volume("a < b <= c\n") == pytest.approx(5 * math.log2(5))
    # Equal constants are one operand, and so are a name and an attribute with the same spelling.
    assert volume("1 + True\nx + y.x\n") == pytest.approx(6 * math.log2(1 + 2))


def test_halstead_operands_are_distinct_per_function_name() -> None:
    assert volume("def f(): a + b\ndef g(): a + b\n") == pytest.approx(6 * math.log2(1 + 4))
    assert volume("class C:\n  def f(self): a + b\nclass D:\n  def f(self): a + b\n") == pytest.approx(
        6 * math.log2(1 + 2)
    )


def test_deep_code_is_measured_without_recursion() -> None:
    depth = 2_000
    chain = "def f(x):\n if x == 0: pass\n" + "".join(f" elif x == {i}: pass\n" for i in range(1, depth))
    assert functions(chain) == [("f", 1, depth + 1)]
    assert volume("a" + " + a" * depth) > 0
