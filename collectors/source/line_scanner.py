"""Finds the logical lines of a source text by one regular expression, at a small part of the cost of a token pass."""

import re
import sys
from dataclasses import dataclass, field

_MARK = re.compile(
    r"""
    [^\n()\[\]{}:"'#\\;]*+                              # nothing of interest
    (?:
        (?P<line_end> \n[ \t\n]*+ )                     # with the blank lines after it, up to the next line's text
      | [(\[{] [\w ,.=+*/%<>!|&^~@-]*+ [)\]}]           # a plain pair of brackets: nothing of interest either
      | (?P<opening> [(\[{] )
      | (?P<closing> [)\]}] )
      | := | (?P<colon> : )
      | (?P<string>
            \"{3}  [^"\\]*+ (?: (?: \\. | "(?!"") ) [^"\\]*+ )*+  \"{3}
          | '{3}   [^'\\]*+ (?: (?: \\. | '(?!'') ) [^'\\]*+ )*+  '{3}
          | "      [^"\\\n]*+ (?: \\. [^"\\\n]*+ )*+  "
          | '      [^'\\\n]*+ (?: \\. [^'\\\n]*+ )*+  '
        )
      | (?P<comment> \#[^\n]*+ )
      | (?P<continuation> \\\n [ \t]*+ (?=[^\n\#]) )    # onto a line that says something; others are odd
      | (?P<semicolon> ; )
      | (?P<odd> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_LINE_END, _OPENING, _CLOSING, _COLON, _STRING, _COMMENT, _CONTINUATION, _SEMICOLON, _ODD = (
    _MARK.groupindex[name]
    for name in ("line_end", "opening", "closing", "colon", "string", "comment", "continuation", "semicolon", "odd")
)

_SPLITS_FORMAT_STRINGS = sys.version_info >= (3, 12)
"""Whether the tokenizer looks into f-strings: their colons then count, and they are no string tokens themselves."""

_PREFIXES = {"", "r", "b", "u", "br", "rb"} | (set() if _SPLITS_FORMAT_STRINGS else {"f", "fr", "rf"})
_FORMAT_PREFIX = re.compile(r"(?<!\w)(?:[ft]r?|r[ft])\Z", re.IGNORECASE)
_FORMAT_FIELD = r"\{(?!\{)[^{}\n]*+(?:\{[^{}\n]*+\}[^{}\n]*+)*+\}"
_PLAIN_FORMAT_STRING = re.compile(rf"(?:[^{{}}]|\{{\{{|\}}\}}|{_FORMAT_FIELD})*+")


@dataclass(slots=True)
class ScanCounts:
    """What the scanner counts; `hard` are the logical lines whose statements only the tokenizer can count."""

    lloc: int = 0
    comments: int = 0
    single_comments: int = 0
    multi: int = 0
    hard: list[str] = field(default_factory=list)


class _OddityError(Exception):
    """Something that only the tokenizer can judge."""


def scan_lines(text: str) -> ScanCounts | None:
    """Count, or None where the text holds an oddity that only the tokenizer can judge.

    The text parses, and `str.splitlines` splits it at its newlines only.
    """
    found = ScanCounts()
    try:
        _scan_logical_lines(text + "\n", found)
    except _OddityError:
        return None
    return found


def _scan_logical_lines(text: str, found: ScanCounts) -> None:
    start = len(text) - len(text.lstrip())
    line = _Line(text, start)
    depth = plain_lines = 0
    for match in _MARK.finditer(text, start):
        kind = match.lastindex
        if kind is None:
            continue
        if kind == _LINE_END:
            if depth:
                continue
            if line.marked:
                line.close(match.start(kind), found)
                line = _Line(text, match.end())
            else:
                plain_lines += 1
                line.start = match.end()
        elif kind == _OPENING:
            depth += 1
        elif kind == _CLOSING:
            depth -= 1
        else:
            line.mark(kind, match, depth)
    found.lloc += plain_lines


class _Line:
    """One logical line, as far as it was seen. Places are offsets into the text, -1 where there is none."""

    __slots__ = ("colon", "comment", "comments", "hard", "inner_colon", "marked", "start", "string_end", "text")

    def __init__(self, text: str, start: int) -> None:
        self.text, self.start = text, start
        self.colon = self.comment = self.string_end = -1
        self.comments = 0
        self.marked = self.hard = self.inner_colon = False

    def mark(self, kind: int, match: re.Match[str], depth: int) -> None:
        """Note a colon, string, comment, continuation or semicolon, `depth` brackets deep."""
        self.marked = True
        place = match.start(kind)
        if kind == _STRING:
            self._mark_string(place, match.end())
        elif kind == _COLON:
            self.colon = place
            self.inner_colon = depth > 0
        elif kind == _COMMENT:
            self.comments += 1
            if not depth:
                self.comment = place
        elif kind == _SEMICOLON:
            self.hard = True
        elif kind == _ODD or place == self.start:  # a line that starts with a continuation
            raise _OddityError

    def _mark_string(self, place: int, end: int) -> None:
        prefix = self.text[self.start : place] if place - self.start <= 2 else None
        if prefix is not None and prefix.lower() in _PREFIXES:
            self.string_end = end
        if _SPLITS_FORMAT_STRINGS and _FORMAT_PREFIX.search(self.text, max(place - 3, 0), place):
            body = self.text[place:end].strip("\"'")
            if not _PLAIN_FORMAT_STRING.fullmatch(body):
                raise _OddityError
            self.hard = self.hard or ("{" in body and ":" in body)

    def close(self, end: int, found: ScanCounts) -> None:
        """Count the line, which ends at `end`."""
        text = self.text
        found.comments += self.comments
        if self.comment == self.start:
            found.single_comments += 1
        elif self.hard:
            found.hard.append(text[self.start : end])
        elif self.string_end >= 0 and _blank(text, self.string_end, end):
            found.lloc += 1
            lines = text[self.start : self.string_end].split("\n")
            if len(lines) == 1:
                found.single_comments += 1
            else:
                found.multi += sum(1 for line in lines if line.strip())
        else:
            body_end = self.comment if self.comment > self.colon else end
            opens_block = self.colon >= 0 and not self.inner_colon and _blank(text, self.colon + 1, body_end)
            found.lloc += 1 if self.colon < 0 or opens_block else 2


def _blank(text: str, start: int, end: int) -> bool:
    return start == end or text[start:end].isspace()
