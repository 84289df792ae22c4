r"""The tokens that PMD's copy/paste detector sees in a Python file.

PMD's grammar (pmd-python, `etc/grammar/Python.jj`) is that of Python 2. White space, line breaks and comments are
dropped, and there are no indentation tokens. A docstring is one token, `f"x"` is a name and a string, and `->`, `:=`,
`...`, `@=` and `1_000` are several tokens each. The rules were determined by experiment with PMD 7.28. It takes the
longest match at each place; the alternatives below are ordered so that the first match is the longest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, compress

from collectors.cpd.identifier_characters import IDENTIFIER_PART, IDENTIFIER_START, is_identifier_start


class LexicalError(Exception):
    """PMD's lexer rejects the file and leaves it out of the comparison; the text says where and why."""


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
        """Yield what PMD compares for each of the `spellings`.

        The image is the spelling, except that escaped line breaks are removed from strings without triple quotes.
        """
        return map(_image, self.spellings)


# In Python before 3.11.5 an iteration of a group like `(?:...)*+` that fails midway does not go back to where it began.
# The last alternative `(?!)`, which never matches, makes it go back. An atomic group would take memory each time.
_GAP = r"(?:\n|\\\n|\#[^\n]*+)(?:[ \t\f\n]++|\\\n|\#[^\n]*+|(?!))*+"
_STRING = r"""
    [uUbB]?[rR]?(?:
        '''(?:[^\\']++|\\.|'(?!'')|(?!))*+'''
      | \"""(?:[^\\"]++|\\.|"(?!"")|(?!))*+\"""
      | '(?!'')(?:[^\\'\n]++|\\.|(?!))*+'
      | "(?!"")(?:[^\\"\n]++|\\.|(?!))*+"
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

_NAME = f"[{IDENTIFIER_START}][{IDENTIFIER_PART}]*+"
_ITEM = re.compile(rf"[ \t\f]*+({_GAP}|{_STRING}|{_NAME}|{_NUMBER}|{_OPERATOR}|.++)", re.VERBOSE | re.DOTALL)
"""One gap, one token, or the rest of the file from the first character that PMD's lexer rejects."""

_KNOWN_ITEM = re.compile(rf"{_GAP}|{_STRING}|{_NUMBER}|{_OPERATOR}", re.VERBOSE | re.DOTALL)
"""The same without names, whose large character class is slow to compile."""

_GAP_STARTS = "\n\\#"
_COMMENT = re.compile(r"#[^\n]*+")
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]?")
_REPLACEMENT_BYTES = "\ufffd".encode()


def decode(data: bytes) -> str:
    r"""Decode a file as PMD does: as UTF-8, whatever a coding cookie says.

    Invalid bytes are replaced, a BOM is removed, and every line break becomes `\n`.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Java's decoder emits one replacement character for an encoded surrogate, Python's emits one per byte.
        text = _SURROGATE_BYTES.sub(_REPLACEMENT_BYTES, data).decode(errors="replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def lex(text: str) -> LexedFile:
    """Return the tokens of a decoded file, in linear time. Raises LexicalError where PMD's lexer stops."""
    items = _ITEM.findall(text.rstrip(" \t\f"))
    _require_known(items)
    distinct = dict.fromkeys(items)
    spellings = [item for item in distinct if item[0] not in _GAP_STARTS]
    gaps = [item for item in distinct if item[0] in _GAP_STARTS]
    line_breaks = [item.count("\n") for item in (*spellings, *gaps)]
    numbers = list(map(dict(zip((*spellings, *gaps), range(len(distinct)), strict=True)).__getitem__, items))
    lines = list(accumulate(map(line_breaks.__getitem__, numbers), initial=1))
    included = list(map(len(spellings).__gt__, numbers))
    suppressed_lines = _exclude_suppressed(items, lines, included) if "CPD-OFF" in text else 0
    return LexedFile(
        spellings=spellings,
        line_breaks=line_breaks[: len(spellings)],
        tokens=list(compress(numbers, included)),
        start_lines=list(compress(lines, included)),
        suppressed_lines=suppressed_lines,
    )


def _require_known(items: list[str]) -> None:
    if items and not is_identifier_start(items[-1][0]) and not _KNOWN_ITEM.fullmatch(items[-1]):
        line = 1 + sum(item.count("\n") for item in items[:-1])
        character = items[-1][0]
        what = "an unterminated string" if character in "'\"" else f"the character U+{ord(character):04X}"
        raise LexicalError(f"lexical error at line {line}: {what}")


def _exclude_suppressed(items: list[str], lines: list[int], included: list[bool]) -> int:
    """Clear `included` for tokens between `CPD-OFF` and `CPD-ON`; return on how many lines such tokens begin."""
    off = False
    suppressed_lines = set()
    for index, item in enumerate(items):
        if not included[index]:
            for comment in _COMMENT.findall(item):
                off = "CPD-OFF" in comment or (off and "CPD-ON" not in comment)
        elif off:
            included[index] = False
            suppressed_lines.add(lines[index])
    return len(suppressed_lines)


def _image(spelling: str) -> str:
    if "\\\n" not in spelling or spelling.lstrip("uUbBrR").startswith(('"""', "'''")):
        return spelling
    return spelling.replace("\\\n", "")
