"""Counts of logical lines and comments by one regular expression, which is much faster than a token pass.

See `line_counts` for the rules, which are radon's.
"""

import re
import sys
from dataclasses import dataclass, field

# The alternatives `(?!)`: see `collectors.cpd.lexer`.
_ITEM = re.compile(
    r"""
    [^\n()\[\]{}:"'#\\;]*+                              # text that changes no count
    (?:
        (?P<line_end> \n[ \t\n]*+ )                     # with the blank lines after it, up to the next line's text
      | [(\[{] [\w ,.=+*/%<>!|&^~@-]*+ [)\]}]           # a simple pair of brackets, which changes no count either
      | (?P<opening> [(\[{] )
      | (?P<closing> [)\]}] )
      | := | (?P<colon> : )
      | (?P<string>
            \"{3}  [^"\\]*+ (?: (?: \\. | "(?!"") ) [^"\\]*+ | (?!) )*+  \"{3}
          | '{3}   [^'\\]*+ (?: (?: \\. | '(?!'') ) [^'\\]*+ | (?!) )*+  '{3}
          | "      [^"\\\n]*+ (?: \\. [^"\\\n]*+ | (?!) )*+  "
          | '      [^'\\\n]*+ (?: \\. [^'\\\n]*+ | (?!) )*+  '
        )
      | (?P<comment> \#[^\n]*+ )
      | (?P<continuation> \\\n [ \t]*+ (?=[^\n\#]) )    # onto a line with code; any other backslash is unknown
      | (?P<semicolon> ; )
      | (?P<unknown> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_LINE_END, _OPENING, _CLOSING, _COLON, _STRING, _COMMENT, _CONTINUATION, _SEMICOLON, _UNKNOWN = (
    _ITEM.groupindex[name]
    for name in ("line_end", "opening", "closing", "colon", "string", "comment", "continuation", "semicolon", "unknown")
)

_SPLITS_FORMAT_STRINGS = sys.version_info >= (3, 12)
"""Whether the tokenizer splits f-strings: then their colons count, and they are not string tokens."""

_PREFIXES = {"", "r", "b", "u", "br", "rb"} | (set() if _SPLITS_FORMAT_STRINGS else {"f", "fr", "rf"})
_FORMAT_PREFIX = re.compile(r"(?<!\w)(?:[ft]r?|r[ft])\Z", re.IGNORECASE)
_FORMAT_FIELD = r"\{(?!\{)[^{}\n]*+(?:\{[^{}\n]*+\}[^{}\n]*+|(?!))*+\}"
_PLAIN_FORMAT_STRING = re.compile(rf"(?:[^{{}}]|\{{\{{|\}}\}}|{_FORMAT_FIELD}|(?!))*+")


@dataclass(slots=True)
class ScanCounts:
    """The scanner's counts, as in `LineCounts`.

    `unresolved_lines` are the texts of logical lines whose statements only the tokenizer can count; they are not
    included in `lloc`.
    """

    lloc: int = 0
    comments: int = 0
    single_comments: int = 0
    multi: int = 0
    unresolved_lines: list[str] = field(default_factory=list)


class _TokenizerNeededError(Exception):
    """The text has something that only the tokenizer can classify."""


def scan_lines(text: str) -> ScanCounts | None:
    """Return the counts, or None where the text has something that only the tokenizer can classify.

    The text must parse, and `str.splitlines` must split it at its newlines only.
    """
    counts = ScanCounts()
    try:
        _scan_logical_lines(text + "\n", counts)
    except _TokenizerNeededError:
        return None
    return counts


def _scan_logical_lines(text: str, counts: ScanCounts) -> None:
    start = len(text) - len(text.lstrip())
    line = _LogicalLine(text, start)
    depth = plain_lines = 0
    for match in _ITEM.finditer(text, start):
        kind = match.lastindex
        if kind is None:
            continue
        if kind == _LINE_END:
            if depth:
                continue
            if line.has_items:
                line.count(match.start(kind), counts)
                line = _LogicalLine(text, match.end())
            else:
                plain_lines += 1
                line.start = match.end()
        elif kind == _OPENING:
            depth += 1
        elif kind == _CLOSING:
            depth -= 1
        else:
            line.add(kind, match, depth)
    counts.lloc += plain_lines


class _LogicalLine:
    """What was found in one logical line so far. Positions are offsets into the text, -1 where there is none."""

    __slots__ = (
        "colon", "colon_in_brackets", "comment", "comments", "has_items", "start", "string_end", "text", "unresolved",
    )  # fmt: skip

    def __init__(self, text: str, start: int) -> None:
        self.text, self.start = text, start
        self.colon = self.comment = self.string_end = -1
        self.comments = 0
        self.has_items = self.unresolved = self.colon_in_brackets = False

    def add(self, kind: int, match: re.Match[str], depth: int) -> None:
        """Record a colon, string, comment, continuation or semicolon inside `depth` brackets.

        Raises _TokenizerNeededError for anything else, and for a line that starts with a continuation.
        """
        self.has_items = True
        position = match.start(kind)
        if kind == _STRING:
            self._add_string(position, match.end())
        elif kind == _COLON:
            self.colon = position
            self.colon_in_brackets = depth > 0
        elif kind == _COMMENT:
            self.comments += 1
            if not depth:
                self.comment = position
        elif kind == _SEMICOLON:
            self.unresolved = True
        elif kind == _UNKNOWN or position == self.start:
            raise _TokenizerNeededError

    def _add_string(self, position: int, end: int) -> None:
        prefix = self.text[self.start : position] if position - self.start <= 2 else None
        if prefix is not None and prefix.lower() in _PREFIXES:
            self.string_end = end
        if _SPLITS_FORMAT_STRINGS and _FORMAT_PREFIX.search(self.text, max(position - 3, 0), position):
            content = self.text[position:end].strip("\"'")
            if not _PLAIN_FORMAT_STRING.fullmatch(content):
                raise _TokenizerNeededError
            self.unresolved = self.unresolved or ("{" in content and ":" in content)

    def count(self, end: int, counts: ScanCounts) -> None:
        """Add the line, which ends at `end`, to the counts."""
        text = self.text
        counts.comments += self.comments
        if self.comment == self.start:
            counts.single_comments += 1
        elif self.unresolved:
            counts.unresolved_lines.append(text[self.start : end])
        elif self.string_end >= 0 and _is_blank(text, self.string_end, end):
            counts.lloc += 1
            lines = text[self.start : self.string_end].split("\n")
            if len(lines) == 1:
                counts.single_comments += 1
            else:
                counts.multi += sum(1 for line in lines if line.strip())
        else:
            code_end = self.comment if self.comment > self.colon else end
            opens_block = self.colon >= 0 and not self.colon_in_brackets and _is_blank(text, self.colon + 1, code_end)
            counts.lloc += 1 if self.colon < 0 or opens_block else 2


def _is_blank(text: str, start: int, end: int) -> bool:
    return start == end or text[start:end].isspace()
