"""The lexer on small texts; `tests/parity` compares the resulting duplications with PMD's command line."""

from itertools import pairwise

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from collectors.cpd.lexer import LexicalError, decode, lex


def images(text: str) -> list[str]:
    lexed = lex(text)
    distinct = list(lexed.images())
    return [distinct[token] for token in lexed.tokens]


def lines(text: str) -> list[tuple[int, int]]:
    lexed = lex(text)
    return [
        (start, start + lexed.line_breaks[token]) for start, token in zip(lexed.start_lines, lexed.tokens, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("# only a comment", []),
        ("x=f'y'", ["x", "=", "f", "'y'"]),
        ("rb'x' bR'x' Ur'x' ru'x'", ["rb", "'x'", "bR'x'", "Ur'x'", "ru", "'x'"]),
        ("'''a'b''c''' \"\"\"\"d\"\"\"", ["'''a'b''c'''", '""""d"""']),
        ("'a\\'b' '\\\\'", ["'a\\'b'", "'\\\\'"]),
        ("1_000 0xFFL 0o18 089", ["1", "_000", "0xFFL", "0o1", "8", "0", "89"]),
        ("0b12 1.5e-3j 1..a", ["0b1", "2", "1.5e-3j", "1.", ".", "a"]),
        ("000j 00j 7Lj 0or 1", ["000", "j", "00j", "7Lj", "0o", "r", "1"]),
        ("-> := ... @= ~=", ["-", ">", ":", "=", ".", ".", ".", "@", "=", "~", "="]),
        ("<> != **= //= <<= ===", ["<>", "!=", "**=", "//=", "<<=", "==", "="]),
        ("`a` $b c\u00aa \u20ac", ["`", "a", "`", "$b", "c\u00aa", "\u20ac"]),
        ("a\\\nb \\\n\\\n c", ["a", "b", "c"]),
        ("a\x0cb\tc \x0c ", ["a", "b", "c"]),
    ],
)  # fmt: skip
def test_text_is_split_into_pmd_s_tokens(text: str, tokens: list[str]) -> None:
    assert images(text) == tokens


def test_escaped_line_breaks_are_removed_from_strings_without_triple_quotes() -> None:
    assert images("'a\\\nb' '''a\\\nb'''") == ["'ab'", "'''a\\\nb'''"]


def test_lines_on_which_tokens_begin_and_end() -> None:
    assert lines("\n# c\nx = '''a\n\nb''' + \\\n  'c\\\nd'; y") == [
        (3, 3),
        (3, 3),
        (3, 5),
        (5, 5),
        (6, 7),
        (7, 7),
        (7, 7),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x\ny ? z", "line 2: the character U+003F"),
        ("a! = b", "line 1: the character U+0021"),
        ("'''\n''' \\ x", "line 2: the character U+005C"),
        ("x\n\n'''y\nz", "line 3: an unterminated string"),
        ("x = 'y\n'", "line 1: an unterminated string"),
        ("\U0001d4b3", "line 1: the character U+1D4B3"),
        ("a\u0301", "line 1: the character U+0301"),
        ("a\x00", "line 1: the character U+0000"),
        ("# CPD-OFF\n?", "line 2: the character U+003F"),
        ("a\\", "line 1: the character U+005C"),
    ],
)
def test_text_that_pmd_rejects_raises(text: str, reason: str) -> None:
    with pytest.raises(LexicalError, match=reason.replace("+", r"\+")):
        lex(text)


@pytest.mark.parametrize(
    ("text", "compared", "suppressed_lines"),
    [
        ("a # CPD-OFF\nb c\nd\n# CPD-ON\ne", ["a", "e"], 2),
        ("#CPD-OFFx\na", [], 1),
        ("# CPD-ON CPD-OFF\na", [], 1),
        ("# CPD-OFF CPD-ON\na", [], 1),
        ("# CPD-OFF\n# CPD-OFF\n# CPD-ON\na", ["a"], 0),
        ("# cpd-off\n'CPD-OFF'\n'''\n# CPD-OFF\n'''", ["'CPD-OFF'", "'''\n# CPD-OFF\n'''"], 0),
    ],
)
def test_tokens_between_cpd_off_and_cpd_on_are_excluded(text: str, compared: list[str], suppressed_lines: int) -> None:
    assert images(text) == compared
    assert lex(text).suppressed_lines == suppressed_lines


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfa\r\nb\rc\n\rd", "a\nb\nc\n\nd"),
        (b"# coding: latin-1\n\xe4", "# coding: latin-1\n\ufffd"),
        (b"\xef\xbb\xbf\xef\xbb\xbf", "\ufeff"),
        (b"\xed\xa0\x80\xed\xbf\xff", "\ufffd\ufffd\ufffd"),
        (b"\xed\x9f\xbf", "\ud7ff"),
    ],
)
def test_bytes_are_decoded_like_java(data: bytes, text: str) -> None:
    assert decode(data) == text


@pytest.mark.parametrize("text", ["x" + " " * 1_000_000 + "y" + " " * 1_000_000, "0" * 1_000_000, "''" * 300_000])
def test_long_texts_are_lexed_in_linear_time(text: str) -> None:
    """Each takes a fraction of a second in linear time, and hours in quadratic time."""
    assert lex(text).tokens


@pytest.mark.parametrize("text", ["'''" + "\\'''" * 200_000, "\"'" * 500_000])
def test_long_unterminated_strings_are_rejected_in_linear_time(text: str) -> None:
    with pytest.raises(LexicalError, match="unterminated"):
        lex(text)


@given(st.text("ab'\"#\\\n \t0x1.e+-_=<>*CPD-OFN?", max_size=60))
def test_lines_ascend_and_spellings_occur_in_the_text(text: str) -> None:
    try:
        lexed = lex(text)
    except LexicalError:
        reject()
    assert len(lexed.tokens) == len(lexed.start_lines)
    assert all(earlier <= later for earlier, later in pairwise(lexed.start_lines))
    assert all(spelling in text for spelling in lexed.spellings)
    assert all(last <= 1 + text.count("\n") for _, last in lines(text))
