r"""Lines of each kind, as `radon raw` counts them, in linear time.

radon goes through the stripped lines, tokenizes an ever longer run of them until the tokenizer is content, and judges
each such run as a whole. Here `line_scanner` finds the same runs by one regular expression. Where a file holds an
oddity, one token pass over all its stripped lines, run after run, gives what radon would give.

radon finishes on no file that holds one of these; each is counted by its newlines, statement after statement:
a string in single quotes with a character in it at which `str.splitlines` splits, such as U+2028 or a form feed; a
comment with such a character, after which stands what does not tokenize; before Python 3.12 a name with one of the
few identifier characters that the pattern `\w` does not match.
"""

import io
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from token import COMMENT, ENDMARKER, ERRORTOKEN, NEWLINE, NL, OP, STRING

from collectors.source.line_scanner import scan_lines

_LINE_ENDS = {NEWLINE, NL}
_DEPTHS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
_LOWEST_DEPTH = 0 if sys.version_info >= (3, 12) else -sys.maxsize
"""Of brackets closed but never opened: since Python 3.12 the tokenizer forgets them, before it waited on."""
_UNCOUNTED = {COMMENT, NL, NEWLINE, ENDMARKER}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCounts:
    """radon's raw metrics of one file, in lines: all, logical, source, comment, in multi-line strings, and blank.

    `comments` counts comments wherever they stand, `single_comments` the lines that are nothing but a comment or a
    one-line string. loc = sloc + blank + multi + single_comments.
    """

    loc: int
    lloc: int
    sloc: int
    comments: int
    multi: int
    single_comments: int
    blank: int


def count_lines(text: str) -> LineCounts:
    """Count a text that parses as radon.raw.analyze does.

    Raises tokenize.TokenError or SyntaxError where the parser accepts what the tokenizer does not.
    """
    lines = text.splitlines()
    newlines = text.count("\n") + (not text.endswith("\n") and text != "")
    counts = _count_scanned(text, lines) if len(lines) == newlines else None
    if counts is not None:
        return counts
    try:
        return count_lines_by_tokens(lines)
    except (tokenize.TokenError, SyntaxError):
        return count_lines_by_tokens(text.removesuffix("\n").split("\n"), lenient=True)


def _count_scanned(text: str, lines: Sequence[str]) -> LineCounts | None:
    scanned = scan_lines(text)
    if scanned is None:
        return None
    blank = [line.strip() for line in lines].count("")
    return LineCounts(
        loc=len(lines),
        lloc=scanned.lloc + sum(logical_lines(_tokens(line)) for line in scanned.hard),
        sloc=len(lines) - blank - scanned.multi - scanned.single_comments,
        comments=scanned.comments,
        multi=scanned.multi,
        single_comments=scanned.single_comments,
        blank=blank,
    )


def count_lines_by_tokens(lines: Iterable[str], *, lenient: bool = False) -> LineCounts:
    """Count by one token pass over the stripped lines, which need not parse.

    Raises tokenize.TokenError or SyntaxError where radon does not finish; `forgiving` counts what it stumbles over.
    """
    stripped = [line.strip() for line in lines]
    tally = _Tally(stripped)
    run: list[tokenize.TokenInfo] = []
    depth = last_row = 0
    for token in _tokens("\n".join([*stripped, ""])):
        if token.type == ERRORTOKEN and not lenient:
            raise tokenize.TokenError("a token that never ends", token.start)
        run.append(token)
        if token.type == OP:
            depth = max(depth + _DEPTHS.get(token.string, 0), _LOWEST_DEPTH)
        elif token.type in _LINE_ENDS and not depth and not _ends_continuation(token, last_row):
            tally.add(run, token.start[0])
            run = []
        last_row = token.end[0]
    if tally.rows < len(stripped):
        if not lenient:
            raise tokenize.TokenError("EOF in multi-line statement", (len(stripped), 0))
        tally.add(run, len(stripped))
    return tally.result()


def _ends_continuation(line_end: tokenize.TokenInfo, last_row: int) -> bool:
    """Whether a blank line ends a line continuation: radon still waits for another line there."""
    alone = last_row + 1 if line_end.type == NL else last_row
    return line_end.start[0] > alone


class _Tally:
    """Adds up the runs of lines that radon judges one by one."""

    def __init__(self, stripped: Sequence[str]) -> None:
        self._stripped = stripped
        self.rows = 0
        self._lloc = self._sloc = self._comments = self._multi = self._single = self._blank = 0

    def add(self, run: Sequence[tokenize.TokenInfo], last_row: int) -> None:
        """Judge the rows up to `last_row`, counted from 1, whose tokens are `run`."""
        rows = self._stripped[self.rows : last_row]
        self.rows = last_row
        self._lloc += logical_lines(run)
        self._comments += sum(1 for token in run if token.type == COMMENT)
        first = run[0]
        alone = all(token.type in _LINE_ENDS for token in run[1:])
        if alone and (first.type == COMMENT or (first.type == STRING and first.start[0] == first.end[0])):
            self._single += 1
            return
        blank = rows.count("")
        self._blank += blank
        if alone and first.type == STRING:
            self._multi += len(rows) - blank
        else:
            self._sloc += len(rows) - blank

    def result(self) -> LineCounts:
        """All counts."""
        return LineCounts(
            loc=self._sloc + self._blank + self._multi + self._single,
            lloc=self._lloc,
            sloc=self._sloc,
            comments=self._comments,
            multi=self._multi,
            single_comments=self._single,
            blank=self._blank,
        )


def logical_lines(tokens: Iterable[tokenize.TokenInfo]) -> int:
    """How many statements radon sees in the tokens of one run of lines.

    It splits at semicolons. A part counts 2 with a colon in it and 1 without, 0 if empty; but 1 where the last colon
    stands where radon expects a block's: at the end of the last part, last but one in the others.
    """
    total = count = 0
    colon = -1
    for token in tokens:
        if token.type in _UNCOUNTED:
            continue
        if token.type == OP and token.string == ";":
            total += _statements(count, colon, expected=count - 2)
            count, colon = 0, -1
            continue
        if token.type == OP and token.string == ":":
            colon = count
        count += 1
    return total + _statements(count, colon, expected=count - 1)


def _statements(count: int, colon: int, *, expected: int) -> int:
    if colon < 0:
        return min(count, 1)
    return 1 if colon == expected else 2


def _tokens(text: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(text).readline)
