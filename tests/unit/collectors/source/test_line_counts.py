"""Line counts, compared with radon's own on generated texts."""

import ast
import tokenize
import warnings

import pytest
import radon.raw
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from collectors.source.line_counts import LineCounts, count_lines, count_lines_by_tokens
from collectors.source.line_scanner import scan_lines

FRAGMENTS = [
    "x", "x = 1", "if x:", "if x: y", "y: int", "x[1:2]", "lambda: 0", ";", "; ", ";;", ":", ":=", " ", "    ", "\t",
    "\n", "\n\n", "\n", "\n    ", "\\\n", "\\\n", "\\", "# c", "# c: (", "#", '"""', '"""', "'''", '"', "'", "''",
    "r'a'", 'f"{x:>3}"', "f'{x}'", 'b"""b"""', '"""d"""', '"""d\n\ne"""', "'a;b'", "(", ")", "[", "]", "{", "}",
    "(1, 2)", "()", "{1: 2}", "\x0c", "\x0c", "\u2028", "\x85", "\u00a0", "\u3000", "$", "?", "`", "\u2118", "ä",
    "...", "->", "@d\n", "pass", "def f():", "return", "\r", "if", "1if 1else 2", "not",
]  # fmt: skip
STATEMENTS = [
    "x = 1\n", "x = 1; y: 2\n", "if x: y; z\n", "if x: y = 1\n", "if x:\n  y\n", "\n", "\n \n", "# c\n", "  # c:\n",
    '"""d"""\n', "r'''d\n\n'''\n", '"""d"""  # c\n', "b'd' ;\n", "x = (  # c\n 1,\n\n # d\n)\n", "x = 1 \\\n + 2\n",
    "x = 1 \\\n\n", "x = 1 \\\n# c\n", "\\\nx\n", "\\\n\n", "\\\n# c\n", "'''d''' \\\n\n", "x = '\\\n:'; y\n",
    "\x0c\n", "x\x0c\n", "# c\x0c\n", "# c\x0cx: 1\n", "'''\u2028'''\n", "f'{x:3}'\n", "f'''{x:3}\n'''; y\n",
    "f'{x}' f'{{:}}'\n", "x = f'{x!r:{y}}'\n", "print(f'{x:3}', x[1:])\n", "try: x\nexcept: \\\n y\n",
    "class C: x: int\n", "x = {1: 2}; y = lambda: (\n 0)\n", "('''d\n\n''')\n", "u'd' 'e'\n", "if'x':y\n",
    "while (x := y): # c\n  z[1:2]\n", "x = '''\\\n'''\n", "'''\\'''\\\\'''\n", "x = '#'; y = '\\'#'\n",
]  # fmt: skip

sources = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
statements = st.lists(st.sampled_from(STATEMENTS), max_size=8).map("".join)


def radon_counts(text: str) -> LineCounts | None:
    try:
        return LineCounts(**radon.raw.analyze(text)._asdict())
    except (SyntaxError, tokenize.TokenError):
        return None


def token_counts(text: str) -> LineCounts | None:
    try:
        return count_lines_by_tokens(text.splitlines())
    except (SyntaxError, tokenize.TokenError):
        return None


def parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            return False
    return True


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(sources)
@example("x = 1 \\\n\ny = 2\n")
@example("x )\n( y\n")
@example("(\n)\n)")
def test_token_pass_counts_any_text_like_radon(text: str) -> None:
    assert token_counts(text) == radon_counts(text)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(statements)
def test_texts_that_parse_are_counted_like_radon(text: str) -> None:
    expected = radon_counts(text)
    assume(parses(text) and expected is not None)
    assert count_lines(text) == expected


@settings(max_examples=500, deadline=None, derandomize=True)
@given(statements)
def test_scanner_and_token_pass_agree(text: str) -> None:
    text = text.replace("\x0c", " ").replace("\u2028", " ")
    assume(parses(text) and scan_lines(text) is not None)
    assert count_lines(text) == count_lines_by_tokens(text.splitlines())


@pytest.mark.parametrize(
    "text",
    ["\\\nx\n", "x \\\n\n", "x \\\n# c\n", "if x:\n    y\n\\\n\nz\n", "x = 1 \\\n    \n"],
)
def test_scanner_leaves_unusual_continuations_to_the_tokenizer(text: str) -> None:
    assert parses(text)
    assert scan_lines(text) is None
    assert scan_lines("x = 1 \\\n + 2\n") is not None


def test_every_line_is_counted_as_one_kind() -> None:
    counts = count_lines('"""Doc."""\n\nx = 1  # c\n# c\n"""a\n\nb"""\nif x: y\n')
    assert counts == LineCounts(loc=8, lloc=5, sloc=2, comments=2, multi=2, single_comments=2, blank=2)
    assert counts.loc == counts.sloc + counts.blank + counts.multi + counts.single_comments


def test_text_on_which_radon_fails_is_split_at_its_newlines() -> None:
    text = "x = 'a\u2028b'  # c\n\ny = 1; z: 2\n"
    assert radon_counts(text) is None
    assert count_lines(text) == LineCounts(loc=3, lloc=4, sloc=2, comments=1, multi=0, single_comments=0, blank=1)


@pytest.mark.parametrize("text", ["x = (\n", "x = '''\n", "x = 1 \\\n"])
def test_unfinished_statement_raises(text: str) -> None:
    with pytest.raises((SyntaxError, tokenize.TokenError)):
        count_lines_by_tokens(text.splitlines())


class TestLinearTime:
    """Texts for which radon takes quadratic time, and texts for which a regular expression might."""

    @pytest.mark.parametrize(
        ("text", "lloc"),
        [
            ("x = {\n" + "    'a': 1,  # c\n" * 20_000 + "}\n", 2),
            ("x = " + "(1, " * 90 + ")" * 90 + "\n", 1),
            ("x = " + "1 + " * 200_000 + "1\n", 1),
            ("x = '" + "\\'" * 200_000 + "'\n", 1),
            ('"""' + '"\\"a"" ' * 200_000 + '"""\n', 1),
            ("x = [" + "'a', " * 200_000 + "]\n", 1),
            ("x = " + " " * 400_000 + "1", 1),
            ("#" * 400_000 + "\n" + " " * 400_000, 0),
            ("x;" * 100_000 + "\n", 100_000),
            ("x" + "\n" * 400_000 + "y", 2),
            ("if x: \\\n" + "  \\\n" * 10_000 + "y\n", 2),
        ],
        ids=lambda value: repr(value)[:20],
    )
    def test_large_text_is_counted(self, text: str, lloc: int) -> None:
        # Quadratic time would be minutes to hours.
        assert count_lines(text).lloc == lloc
