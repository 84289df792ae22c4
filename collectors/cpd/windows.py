"""Groups of positions at which the same window of 50 tokens begins; matches are built from these groups."""

from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from collectors.cpd.token_sequence import TOKEN_BYTES, TokenSequence

MINIMUM_TOKENS = 50
"""CPD's option `--minimum-tokens`: the length of a window, and of the shortest duplication."""


def equal_windows(sequence: TokenSequence, spans: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield groups of positions, each ascending, at which equal windows begin.

    `spans` are the ranges [start, stop) of positions to examine. A group whose windows all follow the same token is
    left out, because its matches begin at an earlier token. Windows are compared by a 64-bit hash only, so the caller
    has to compare the tokens themselves.
    """
    first: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    data, size = sequence.data, MINIMUM_TOKENS * TOKEN_BYTES
    for start, stop in spans:
        offsets = range(start * TOKEN_BYTES, stop * TOKEN_BYTES, TOKEN_BYTES)
        for position, offset in zip(range(start, stop), offsets, strict=True):
            window = hash(data[offset : offset + size])
            earlier = first.setdefault(window, position)
            if earlier != position:
                groups.setdefault(window, [earlier]).append(position)
    for group in groups.values():
        previous = sequence.values[group[0] - 1]
        if any(sequence.values[position - 1] != previous for position in group):
            yield group


class WindowHashes:
    """Hashes of windows that are the same in every run and on every machine; each is computed once, on demand."""

    def __init__(self, sequence: TokenSequence) -> None:
        self._data = sequence.data
        self._hashes = array("Q", bytes(len(sequence.data)))  # 0: not computed yet

    def smallest(self, start: int, length: int) -> str:
        """Return the smallest hash of the windows within a run of tokens, as 16 hexadecimal digits."""
        stop = start + length - MINIMUM_TOKENS + 1
        data, hashes, size = self._data, self._hashes, MINIMUM_TOKENS * TOKEN_BYTES
        for position in range(start, stop):
            if not hashes[position]:
                offset = position * TOKEN_BYTES
                hashes[position] = int.from_bytes(blake2b(data[offset : offset + size], digest_size=8).digest())
        return f"{min(hashes[start:stop]):016x}"
