r"""The tokens that PMD's copy/paste detector sees in a Python file.

PMD reads a Python 2 grammar. White space, line ends and comments vanish, and there is no indentation; a docstring is
one token; `f"x"` is a name and a string; `->`, `:=`, `...`, `@=` and `1_000` fall apart. Learned by experiment from
PMD 7.28, whose longest match at each place is what the alternatives below are ordered for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, compress

from collectors.cpd.identifier_characters import NAME_PART, NAME_START


class LexicalError(Exception):
    """PMD's lexer stops at this file and leaves it out of the comparison; the text says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LexedFile:
    """A file's tokens in order.

    `spellings` are the distinct token texts and `line_breaks` the number of line breaks inside each; `tokens` index
    into both. `start_lines` is the line, from 1, on which each token begins. `suppressed_lines` counts the lines with
    a token that a `CPD-OFF` comment excludes.
    """

    spellings: list[str]
    line_breaks: list[int]
    tokens: list[int]
    start_lines: list[int]
    suppressed_lines: int

    def images(self) -> Iterator[str]:
        """What is compared, by index like `spellings`: one-line strings lose their escaped line ends."""
        return map(_image, self.spellings)


_GAP = r"(?:\n|\\\n|\#[^\n]*+)(?:[ \t\f\n]++|\\\n|\#[^\n]*+)*+"
_STRING = r"""
    [uUbB]?[rR]?(?:
        '''(?:[^\\']++|\\.|'(?!''))*+'''
      | \"""(?:[^\\"]++|\\.|"(?!""))*+\"""
      | '(?!'')(?:[^\\'\n]++|\\.)*+'
      | "(?!"")(?:[^\\"\n]++|\\.)*+"
    )"""
_NUMBER = r"""
    (?:[0-9]++\.[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?[jJ]?
  | [0-9]++[eE][+-]?[0-9]++[jJ]?
  | 0?(?:0|[1-9][0-9]*+[lL]?)[jJ]
  | 0[xX][0-9a-fA-F]++[lL]?
  | 0[bB][01]*+[lL]?
  | 0[oO]?[0-7]*+[lL]?
  | [1-9][0-9]*+[lL]?"""
_OPERATOR = r"(?:<<|>>|\*\*|//)=?|<>|!=|[-+*/%&|^<>=]=|[-+*/%&|^<>=~@.,:;()\[\]{}`]"

_KNOWN = rf"{_GAP}|{_STRING}|[{NAME_START}][{NAME_PART}]*+|{_NUMBER}|{_OPERATOR}"
_KNOWN_ITEM = re.compile(_KNOWN, re.VERBOSE | re.DOTALL)
_ITEM = re.compile(rf"[ \t\f]*+({_KNOWN}|.++)", re.VERBOSE | re.DOTALL)
"""One gap, one token, or, from the first character on that PMD's lexer does not know, the rest of the file."""

_GAP_STARTS = "\n\\#"
_COMMENT = re.compile(r"#[^\n]*+")
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]?")
_REPLACEMENT_BYTES = "\ufffd".encode()


def decode(data: bytes) -> str:
    """The text as PMD reads it: UTF-8 whatever a cookie says, bad bytes replaced, no BOM, line ends made newlines."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # The Java decoder makes one replacement of an encoded surrogate, Python one a byte.
        text = _SURROGATE_BYTES.sub(_REPLACEMENT_BYTES, data).decode(errors="replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def lex(text: str) -> LexedFile:
    """The tokens of a decoded file, in linear time. Raises LexicalError where PMD's lexer gives up."""
    sequence = _ITEM.findall(text.rstrip(" \t\f"))
    _require_known(sequence)
    distinct = dict.fromkeys(sequence)
    items = [item for item in distinct if item[0] not in _GAP_STARTS]
    gaps = [item for item in distinct if item[0] in _GAP_STARTS]
    heights = [item.count("\n") for item in (*items, *gaps)]
    numbers = list(map(dict(zip((*items, *gaps), range(len(distinct)), strict=True)).__getitem__, sequence))
    lines = list(accumulate(map(heights.__getitem__, numbers), initial=1))
    shown = list(map(len(items).__gt__, numbers))
    hidden = _hide(sequence, lines, shown) if "CPD-OFF" in text else 0
    return LexedFile(
        spellings=items,
        line_breaks=heights[: len(items)],
        tokens=list(compress(numbers, shown)),
        start_lines=list(compress(lines, shown)),
        suppressed_lines=hidden,
    )


def _require_known(sequence: list[str]) -> None:
    if sequence and not _KNOWN_ITEM.fullmatch(sequence[-1]):
        line = 1 + sum(item.count("\n") for item in sequence[:-1])
        character = sequence[-1][0]
        what = "an unterminated string" if character in "'\"" else f"the character U+{ord(character):04X}"
        raise LexicalError(f"lexical error at line {line}: {what}")


def _hide(sequence: list[str], lines: list[int], shown: list[bool]) -> int:
    """Take the tokens between `CPD-OFF` and `CPD-ON` out of `shown`; how many lines lose a token by that."""
    off = False
    hidden_lines = set()
    for place, item in enumerate(sequence):
        if not shown[place]:
            for comment in _COMMENT.findall(item):
                off = "CPD-OFF" in comment or (off and "CPD-ON" not in comment)
        elif off:
            shown[place] = False
            hidden_lines.add(lines[place])
    return len(hidden_lines)


def _image(item: str) -> str:
    if "\\\n" not in item or item.lstrip("uUbBrR").startswith(('"""', "'''")):
        return item
    return item.replace("\\\n", "")
