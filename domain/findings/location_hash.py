"""GitHub's `primaryLocationLineHash`, which tells whether an alert of code scanning is known already.

The algorithm is that of github/codeql-action (`src/fingerprints.ts`). GitHub's action computes it for each line of a
file; here it is computed for the lines of findings only.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import mul

_WINDOW_UNITS = 100
_BASE = 37
_POWERS = tuple(_BASE**exponent for exponent in range(_WINDOW_UNITS - 1, -1, -1))
_MASK = (1 << 64) - 1
_END_OF_FILE = "\uffff" + "\0" * _WINDOW_UNITS


class LocationHasher:
    """The hashes of one file's lines, computed on demand.

    A line's hash is that of the 100 UTF-16 code units from its start, spaces and tabs left out and every line break as
    LF, across the following lines: the sum of unit[i] * 37^(99 - i) modulo 2^64. The end of the file is the code unit
    65535, followed by zeros.
    """

    def __init__(self, data: bytes) -> None:
        """`data` is decoded as UTF-8; a byte-order mark stays, and invalid bytes become U+FFFD."""
        self._data = data
        self._known: dict[int, str] = {}

    @cached_property
    def _lines(self) -> Sequence[str]:
        text = self._data.decode("utf-8", "replace")
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace(" ", "").replace("\t", "")
        if not text.isascii() and max(text) > "\uffff":
            text = "".join(map(_utf_16_units, text))
        return text.split("\n")

    @cached_property
    def _lines_by_beginning(self) -> Mapping[str, Sequence[int]]:
        found: dict[str, list[int]] = {}
        for index, text in enumerate(self._lines):
            found.setdefault(text[:_WINDOW_UNITS], []).append(index)
        return found

    def at(self, line: int) -> str | None:
        """Return `HASH:N` of a line, counted from 1; None for a line that the file does not have.

        HASH is in lower-case hexadecimal digits without leading zeros. N is 1 for the first line with that hash, 2 for
        the second, and so on.
        """
        index = line - 1
        if not 0 <= index < len(self._lines):
            return None
        if index not in self._known:
            self._compute_all(self._lines[index][:_WINDOW_UNITS])
        return self._known[index]

    def _compute_all(self, beginning: str) -> None:
        """Compute the hashes of all lines with that beginning: only these can have equal windows."""
        hashes: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for index in self._lines_by_beginning[beginning]:
            window = self._window(index)
            if window not in hashes:
                hashes[window] = f"{sum(map(mul, map(ord, window), _POWERS)) & _MASK:x}"
            counts[window] += 1
            self._known[index] = f"{hashes[window]}:{counts[window]}"

    def _window(self, index: int) -> str:
        """Return the 100 code units from the start of a line on."""
        lines, parts, length = self._lines, [], 0
        for position in range(index, len(lines)):
            parts.append(lines[position])
            length += len(lines[position]) + 1
            if length > _WINDOW_UNITS:
                return "\n".join(parts)[:_WINDOW_UNITS]
        return ("\n".join(parts) + _END_OF_FILE)[:_WINDOW_UNITS]


def _utf_16_units(character: str) -> str:
    """Return the character, or the two surrogates that stand for one beyond U+FFFF."""
    if character <= "\uffff":
        return character
    code = ord(character) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))
