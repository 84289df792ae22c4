"""Where the same 50 tokens stand more than once: the groups from which matches grow."""

from collections.abc import Iterable, Iterator

from collectors.cpd.token_sequence import TOKEN_BYTES, TokenSequence

MINIMUM_TOKENS = 50
"""`--minimum-tokens`: the length of a window, and of the shortest duplication."""


def equal_windows(sequence: TokenSequence, spans: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """The groups of positions, each ascending, at which the same window begins, some of them after unequal tokens.

    Windows whose every occurrence follows the same token begin no match, and are left out. `spans` are the [start,
    stop) of positions to look at. Windows are told apart by a 64-bit hash only: who goes on from here compares tokens.
    """
    first: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    data, size = sequence.data, MINIMUM_TOKENS * TOKEN_BYTES
    for start, stop in spans:
        for position in range(start, stop):
            window = hash(data[position * TOKEN_BYTES : position * TOKEN_BYTES + size])
            earlier = first.setdefault(window, position)
            if earlier != position:
                groups.setdefault(window, [earlier]).append(position)
    for group in groups.values():
        before = sequence.values[group[0] - 1]
        if any(sequence.values[position - 1] != before for position in group):
            yield group
