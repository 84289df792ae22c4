"""Changed and generated Python sources: each collector returns numbers or a reason why it has none."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.collecting import collect
from tests.fuzz.generators import (
    count_outcome,
    fuzz_settings,
    mutate,
    naughty_strings,
    odd_sources,
    real_sources,
    rearrange,
)
from tests.fuzz.jail import assert_no_process_left

SEEDS = {**real_sources(), **odd_sources()}
NAMES, DATA = list(SEEDS), list(SEEDS.values())


def collect_and_check(sources: Sequence[bytes], surface: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for number, source in enumerate(sources):
            (root / f"f{number}.py").write_bytes(source)
        collect(root, surface)
        assert_no_process_left(root)
        count_outcome(surface, "trees")


CASES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2**32)), min_size=1, max_size=6)


@fuzz_settings(30)
@given(cases=CASES)
def test_mutated_python_files(cases: Sequence[tuple[str, int]]) -> None:
    collect_and_check([mutate(SEEDS[name], seed, DATA) for name, seed in cases], "sources mutated")


@fuzz_settings(30)
@given(cases=CASES)
def test_rearranged_python_files(cases: Sequence[tuple[str, int]]) -> None:
    collect_and_check([rearrange(SEEDS[name], seed, DATA) for name, seed in cases], "sources rearranged")


def test_unchanged_python_files() -> None:
    collect_and_check(DATA, "sources unchanged")


@fuzz_settings(30)
@given(data=st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_any_bytes(data: Sequence[bytes]) -> None:
    collect_and_check(data, "sources of any bytes")


WORDS = (
    "def f(", "class C", "class C(a, *b, **c):", "lambda", "if", "elif", "else", "try", "except", "except*", "finally",
    "for", "while", "with", "as", "match", "case", "async", "await", "yield", "yield from", "return", "raise", "assert",
    "import", "from", "global", "nonlocal", "del", "pass", "break", "in", "is", "not", "and", "or", "type", "print",
    "_", "x", "self", "__all__", "0", "1.5e9", "1j", "0x_f", "''", "b'x'", "r'\\'", "f'{x!r:>{w}}'", "f'{'", '"""',
    "'''", "(", ")", "[", "]", "{", "}", ":", ",", ".", "...", "->", ":=", "=", "==", "!=", "+", "-", "*", "**", "/",
    "//", "@", "%", "&", "|", "^", "~", "<<", ">>=", ";", "\\", "\n", "\n    ", "\n        ", "\n\t", "\r", "\f", "#",
    "# noqa", "# noqa: F401", "# nosec B101", "# type: ignore", "# ruff: noqa", "# CPD-OFF", "# CPD-ON", "#!python",
    "é", "ﬁ", "\u2028", "\x1c", "\x85", "\ufeff", "\x00", "\u202e", "$", "?", "!", "`",
)  # fmt: skip


@fuzz_settings(40)
@given(sources=st.lists(st.lists(st.sampled_from(WORDS), max_size=60), min_size=1, max_size=6))
def test_python_tokens_in_any_order(sources: Sequence[Sequence[str]]) -> None:
    collect_and_check([" ".join(words).encode() for words in sources], "sources of words")


EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "1", "'a'", "b''", "None", "...", "f'{x}'", "self.x", "os.system(y)", "'%s' % x"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner, st.sampled_from(["+", "and", "or", "<", "in", "if x else", "@", "**"])).map(
            lambda parts: f"({parts[0]} {parts[2]} {parts[1]})"
        ),
        st.tuples(
            inner,
            st.sampled_from(
                ["lambda a, /, b=1, *c, d, **e: {}", "[{} for a in b if c for d in e]", "{{{}: {}}}", "f({}, *a, **b)",
                 "not {}", "await_({})", "(y := {})", "{}[1:2, ::3]", "subprocess.call({}, shell=True)", "f'{{{}}}'",
                 "(yield {})", "{{*a, {}}}", "eval({})", "-{}", "{}.a.b()"]
            ),
        ).map(lambda parts: parts[1].format(parts[0], parts[0])),
    ),
    max_leaves=12,
)  # fmt: skip

HEADS = (
    "def f(a: int = {}, *b) -> None:", "async def g():", "class C(B, metaclass={}):", "if {}:", "while {}:",
    "for x, *y in {}:", "with {} as z, a:", "try:\n    pass\nexcept ({}, E) as e:", "try:\n    {}\nfinally:",
    "match {}:\n  case [1, *_] | {{'a': C(b=1)}} if x:", "@{}\ndef h(self):", "try:\n    pass\nexcept* E:",
    "if x:\n    pass\nelif {}:",
)  # fmt: skip
LINES = (
    "x = {}", "return {}", "raise {}", "import a.b as c, os", "from .. import *", "from .a import (b as c, d,)",
    '"""{}"""', "global g; del x", "assert {}, 1  # nosec", "x: int = {}  # noqa", "pass", "yield {}", "x += {}",
    "password = 'secret'", "__all__ = ['a', {}]", "print({})",
)  # fmt: skip


def block(head: str, body: Sequence[str]) -> str:
    inner = "\n".join(body).replace("\n", "\n    ")
    indent = "      " if "case" in head else "    "
    return f"{head}\n{indent}{inner.replace(chr(10), chr(10) + indent[4:])}"


STATEMENTS = st.recursive(
    st.tuples(st.sampled_from(LINES), EXPRESSIONS).map(lambda parts: parts[0].format(parts[1])),
    lambda inner: st.tuples(st.sampled_from(HEADS), EXPRESSIONS, st.lists(inner, min_size=1, max_size=4)).map(
        lambda parts: block(parts[0].format(parts[1]), parts[2])
    ),
    max_leaves=25,
)


@fuzz_settings(40)
@given(sources=st.lists(st.lists(STATEMENTS, min_size=1, max_size=5).map("\n".join), min_size=1, max_size=5))
def test_generated_programs(sources: Sequence[str]) -> None:
    collect_and_check([source.encode() for source in sources], "generated programs")


REPEATED = (
    # prefix, repeated part, middle, repeated part
    ("x = ", "(", "1", ")"), ("x = ", "[", "1", "]"), ("x = ", "{1: ", "{}", "}"), ("x = ", "-", "1", ""),
    ("x = ", "not ", "1", ""), ("x = ", "lambda: ", "1", ""), ("x = ", "await ", "x", ""), ("x = ", "*", "x", ""),
    ("x = 1", " + 1", "", ""), ("x", ".y", "", ""), ("x", "[0]", "", ""), ("f", "()", "", ""), ("x = 1", "0", "", ""),
    ("x = [", "1, ", "]", ""), ("x = [", "(1, 2), ", "]", ""), ("x = (", "'a' ", ")", ""), ("f(", "*a, ", ")", ""),
    ("x = ", "1 if 2 else ", "3", ""), ("x = ", "y = ", "1", ""), ("x = '", "a", "'", ""), ("#", " a", "", ""),
    ("x = f'", "{x}", "'", ""), ("x = ", "f'{", "1", "}'"), ("if x: pass\n", "elif x: pass\n", "", ""),
    ("", "@x\n", "def f(): pass", ""), ("if 1: ", "pass; ", "", ""), ("", "x = 0\n", "", ""),
    ("from ", ".", " import a", ""), ("", "if 1:\n ", "pass", ""), ("", "# noqa\n", "", ""), ("import a", ".b", "", ""),
    ("def f(a", ", a", "): pass", ""), ("x = ", "[a for a in ", "b", "]"), ("x: ", "A[", "B", "]"),
    ("match x:\n  case ", "[", "_", "]: pass"),
)  # fmt: skip


@fuzz_settings(10)
@given(parts=st.sampled_from(REPEATED), times=st.sampled_from([1, 90, 200, 500, 1_000, 2_900]))
def test_deeply_repeated_constructs(parts: tuple[str, str, str, str], times: int) -> None:
    prefix, left, middle, right = parts
    source = f"{prefix}{left * times}{middle}{right * times}\n"
    collect_and_check([source.encode()], "repeated constructs")


@fuzz_settings(25)
@given(texts=st.lists(st.sampled_from(naughty_strings()), min_size=1, max_size=4))
def test_naughty_strings_as_code(texts: Sequence[str]) -> None:
    forms = "{0}\n", "# {0}\n", "x = '{0}'\n", '"""{0}"""\n', "def f():\n    '''{0}'''\n    {0} = 1\n", "{0} = f'{0}'\n"
    sources = [form.format(text).encode("utf-8", "surrogatepass") for text in texts for form in forms]
    collect_and_check(sources, "sources of naughty strings")
