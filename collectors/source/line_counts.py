r"""Line counts of a source file as `radon raw` reports them (radon 6.0.1, `radon/raw.py`), in linear time.

radon strips every line, then tokenizes a growing chunk of lines until the tokenizer raises no error, and classifies the
chunk as a whole. That is quadratic in the length of a chunk. Here `line_scanner` finds the same chunks with one regular
expression. A file that it cannot handle is tokenized once, over all its stripped lines, and the tokens are divided into
the same chunks.

radon fails on a file with one of the following. Such a file is split at its newlines and counted leniently:

- a string in single or double quotes with a character at which `str.splitlines` splits, such as U+2028 or a form feed;
- a comment with such a character, followed by text that does not tokenize;
- before Python 3.12, a name with one of the few identifier characters that the pattern `\w` does not match.
"""

import sys
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from token import COMMENT, ENDMARKER, ERRORTOKEN, NEWLINE, NL, OP, STRING

from collectors.source.line_scanner import scan_lines
from collectors.source.tokens import generate_tokens

_LINE_ENDS = {NEWLINE, NL}
_DEPTH_CHANGES = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_LOWEST_DEPTH = 0 if sys.version_info >= (3, 12) else -sys.maxsize
"""Of closing brackets without an opening one: since Python 3.12 the tokenizer ignores them, before it counted them."""
BYTE_ORDER_MARK_COUNTS = sys.version_info >= (3, 12)
"""Whether radon takes a byte order mark for a name: then a comment or docstring after it counts as code."""

_NOT_COUNTED = {COMMENT, NL, NEWLINE, ENDMARKER}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCounts:
    """radon's raw metrics of one file, in lines.

    `loc` are all lines, `lloc` logical lines, `sloc` source lines, `multi` lines of multi-line strings that stand
    alone, `blank` blank lines. `comments` counts all comments, `single_comments` the lines that consist of a comment
    or of a one-line string. loc = sloc + blank + multi + single_comments.
    """

    loc: int
    lloc: int
    sloc: int
    comments: int
    multi: int
    single_comments: int
    blank: int


def count_lines(text: str) -> LineCounts:
    """Count a text that parses, as `radon.raw.analyze` does.

    Raises tokenize.TokenError or SyntaxError where the parser accepts the text and the tokenizer does not.
    """
    lines = text.splitlines()
    newlines = text.count("\n") + (not text.endswith("\n") and text != "")
    counts = _count_with_scanner(text, lines) if len(lines) == newlines else None
    if counts is not None:
        return counts
    try:
        return count_lines_by_tokens(lines)
    except (tokenize.TokenError, SyntaxError):
        return count_lines_by_tokens(text.removesuffix("\n").split("\n"), lenient=True)


def _count_with_scanner(text: str, lines: Sequence[str]) -> LineCounts | None:
    scanned = scan_lines(text.rstrip())  # a line of white space and a form feed at the end is no logical line
    if scanned is None:
        return None
    blank = [line.strip() for line in lines].count("")
    return LineCounts(
        loc=len(lines),
        lloc=scanned.lloc + sum(count_logical_lines(generate_tokens(line)) for line in scanned.unresolved_lines),
        sloc=len(lines) - blank - scanned.multi - scanned.single_comments,
        comments=scanned.comments,
        multi=scanned.multi,
        single_comments=scanned.single_comments,
        blank=blank,
    )


def count_lines_by_tokens(lines: Iterable[str], *, lenient: bool = False) -> LineCounts:
    """Count by one token pass over the stripped lines, which need not parse.

    Raises tokenize.TokenError or SyntaxError where radon fails; with `lenient`, error tokens and an unfinished last
    chunk are counted instead.
    """
    stripped = [line.strip() for line in lines]
    counter = _ChunkCounter(stripped)
    chunk: list[tokenize.TokenInfo] = []
    depth = last_row = 0
    for token in generate_tokens("\n".join([*stripped, ""])):
        if token.type == ERRORTOKEN and not lenient:
            raise tokenize.TokenError("invalid token", token.start)
        chunk.append(token)
        if token.type == OP:
            depth = max(depth + _DEPTH_CHANGES.get(token.string, 0), _LOWEST_DEPTH)
        elif token.type in _LINE_ENDS and not depth and not _ends_continuation(token, last_row):
            counter.add(chunk, token.start[0])
            chunk = []
        last_row = token.end[0]
    if counter.rows < len(stripped):
        if not lenient:
            raise tokenize.TokenError("EOF in multi-line statement", (len(stripped), 0))
        counter.add(chunk, len(stripped))
    return counter.counts()


def _ends_continuation(line_end: tokenize.TokenInfo, last_row: int) -> bool:
    """Return whether a blank line ends a line continuation; radon waits for another line in that case."""
    expected_row = last_row + 1 if line_end.type == NL else last_row
    return line_end.start[0] > expected_row


class _ChunkCounter:
    """Sum of the counts of all chunks of lines, which radon classifies one by one."""

    def __init__(self, stripped: Sequence[str]) -> None:
        self._stripped = stripped
        self.rows = 0
        self._lloc = self._sloc = self._comments = self._multi = self._single = self._blank = 0

    def add(self, chunk: Sequence[tokenize.TokenInfo], last_row: int) -> None:
        """Count the chunk of rows up to `last_row`, counted from 1, by its tokens."""
        rows = self._stripped[self.rows : last_row]
        self.rows = last_row
        self._lloc += count_logical_lines(chunk)
        self._comments += sum(1 for token in chunk if token.type == COMMENT)
        first = chunk[0]
        single_token = all(token.type in _LINE_ENDS for token in chunk[1:])
        if single_token and (first.type == COMMENT or (first.type == STRING and first.start[0] == first.end[0])):
            self._single += 1
            return
        blank = rows.count("")
        self._blank += blank
        if single_token and first.type == STRING:
            self._multi += len(rows) - blank
        else:
            self._sloc += len(rows) - blank

    def counts(self) -> LineCounts:
        """Return the counts of all chunks together."""
        return LineCounts(
            loc=self._sloc + self._blank + self._multi + self._single,
            lloc=self._lloc,
            sloc=self._sloc,
            comments=self._comments,
            multi=self._multi,
            single_comments=self._single,
            blank=self._blank,
        )


def count_logical_lines(tokens: Iterable[tokenize.TokenInfo]) -> int:
    """Return the number of logical lines that radon (`radon.raw._logical`) counts in the tokens of one chunk.

    radon splits the tokens at semicolons. A part without tokens counts 0, a part without a colon counts 1, and a part
    with a colon counts 2. But it counts 1 if its last colon is where radon expects the colon of a block header: at the
    end of the last part, or one token before the end of any other part.
    """
    total = count = 0
    colon = -1
    for token in tokens:
        if token.type in _NOT_COUNTED:
            continue
        if token.type == OP and token.string == ";":
            total += _count_statements(count, colon, expected=count - 2)
            count, colon = 0, -1
            continue
        if token.type == OP and token.string == ":":
            colon = count
        count += 1
    return total + _count_statements(count, colon, expected=count - 1)


def _count_statements(count: int, colon: int, *, expected: int) -> int:
    if colon < 0:
        return min(count, 1)
    return 1 if colon == expected else 2
