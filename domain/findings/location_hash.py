"""GitHub's `primaryLocationLineHash`, which tells whether an alert of code scanning is known already.

The algorithm is that of github/codeql-action (`src/fingerprints.ts`). GitHub's action computes it for each line of a
file; here it is computed for the lines of findings only.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from operator import itemgetter

_WINDOW_UNITS = 100
_BASE = 37
_UNIT_BITS = 16
_HASH_MASK = (1 << 64) - 1
_END_OF_FILE = "\uffff" + "\0" * _WINDOW_UNITS
_MAX_SEARCHES = 64
_BEYOND_UTF_16_UNITS = re.compile("[\U00010000-\U0010ffff]")
_BEGINNING = itemgetter(slice(_WINDOW_UNITS))


def _fold(width: int, power: int) -> tuple[int, int, int]:
    """Return a step of `_hash`: lanes of `width` bits, the mask of every other lane, and the factor of the upper ones.

    128 lanes of 16 bits hold a window.
    """
    every_other = sum(((1 << width) - 1) << at for at in range(0, 128 * _UNIT_BITS, 2 * width))
    return width, every_other, _BASE**power


_FOLDS = tuple(_fold(_UNIT_BITS * lanes, lanes) for lanes in (1, 2, 4, 8, 16, 32, 64))


def _hash(window: str) -> int:
    """Return the sum of unit[i] * 37^(99 - i) modulo 2^64.

    All pairs of neighbours are added up at once, in the lanes of one large integer, then all pairs of these sums, and
    so on. A sum of n units is below 65535 * 37^n, which the lanes of the next step, of 16 n bits, hold.
    """
    value = int.from_bytes(window.encode("utf-16-be", "surrogatepass"), "big")
    for width, lower, factor in _FOLDS:
        value = (value >> width & lower) * factor + (value & lower)
    return value & _HASH_MASK


class LocationHasher:
    """The hashes of one file's lines, computed on demand.

    A line's hash is that of the 100 UTF-16 code units from its start, spaces and tabs left out and every line break as
    LF, across the following lines: the sum of unit[i] * 37^(99 - i) modulo 2^64. The end of the file is the code unit
    65535, followed by zeros.
    """

    def __init__(self, data: bytes) -> None:
        """`data` is decoded as UTF-8; a byte-order mark stays, and invalid bytes become U+FFFD."""
        self._data = data
        self._hashes: dict[str, str] = {}
        self._numbers: dict[int, int] = {}
        self._searches = 0

    @cached_property
    def _text(self) -> str:
        data = self._data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data.isascii() or _is_utf_8(data):
            text = data.translate(None, b" \t").decode()
        else:  # decoded first: a space between invalid bytes keeps them from becoming one character
            text = data.decode("utf-8", "replace").replace(" ", "").replace("\t", "")
        return text if text.isascii() else _BEYOND_UTF_16_UNITS.sub(_surrogates, text)

    @cached_property
    def _padded(self) -> str:
        """The text between a line break, so that one precedes every line, and the end of the file."""
        return "\n" + self._text + _END_OF_FILE

    @cached_property
    def _characters_before(self) -> Sequence[int]:
        """For each line, and at the end, the number of code units of all lines before, without the line breaks."""
        return list(accumulate(map(len, self._text.split("\n")), initial=0))

    @cached_property
    def _beginnings(self) -> Sequence[str]:
        return list(map(_BEGINNING, self._text.split("\n")))

    @cached_property
    def _first(self) -> Mapping[str, int]:
        """The first line of each beginning. Only lines with the same beginning can have equal windows."""
        last = len(self._beginnings) - 1
        return dict(zip(reversed(self._beginnings), range(last, -1, -1), strict=True))

    @cached_property
    def _later(self) -> Mapping[str, Sequence[int]]:
        """The other lines of each beginning that several lines have."""
        first, found = self._first, defaultdict[str, list[int]](list)
        for index, text in enumerate(self._beginnings):
            if first[text] != index:
                found[text].append(index)
        return found

    def at(self, line: int) -> str | None:
        """Return `HASH:N` of a line, counted from 1; None for a line that the file does not have.

        HASH is in lower-case hexadecimal digits without leading zeros. N is 1 for the first line with that hash, 2 for
        the second, and so on.
        """
        index = line - 1
        if not 0 <= index < len(self._characters_before) - 1:
            return None
        window = self._window(index)
        if window not in self._hashes:
            self._hashes[window] = f"{_hash(window):x}"
        return f"{self._hashes[window]}:{self._number(index)}"

    def _number(self, index: int) -> int:
        """Return 1 for the first line with its window, 2 for the second, and so on."""
        if self._searches < _MAX_SEARCHES:
            self._searches += 1
            number = self._search(index)
            if number is not None:
                return number
        beginning = self._beginnings[index]
        first = self._first[beginning]
        if index == first:
            return 1
        if index not in self._numbers:
            counts = Counter([self._window(first)])
            for each in self._later[beginning]:
                window = self._window(each)
                counts[window] += 1
                self._numbers[each] = counts[window]
        return self._numbers[index]

    def _search(self, index: int) -> int | None:
        """Return the number of a line by a search for its window; None where many lines before have the same.

        For a few lines this is faster than a table of all lines.
        """
        own = self._characters_before[index] + index
        wanted = self._padded[own : own + 1 + _WINDOW_UNITS]
        found = -1
        for number in range(1, _MAX_SEARCHES):
            found = self._padded.find(wanted, found + 1)
            if found == own:
                return number
        return None

    def _window(self, index: int) -> str:
        """Return the 100 code units from the start of a line on."""
        start = self._characters_before[index] + index + 1
        return self._padded[start : start + _WINDOW_UNITS]


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _surrogates(match: re.Match[str]) -> str:
    """Return the two surrogates that stand for a character beyond U+FFFF."""
    code = ord(match.group()) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))
