"""Windows and matches, compared with a plain implementation of the same rule on random repetitive files."""

from array import array
from bisect import insort

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from collectors.cpd import matcher
from collectors.cpd.candidate_regions import CandidateRegions
from collectors.cpd.fingerprints import RANK_COUNT, compute_fingerprints
from collectors.cpd.matcher import MatchResult, find_matches
from collectors.cpd.windows import equal_windows

Files = list[list[int]]
"""The tokens of each file, as small numbers."""

Matches = list[tuple[int, list[int]]]
"""Length and marks of each match."""

WINDOW = 50


class NumberFile:
    """A file whose tokens are small numbers; the digest of a token is `factor` times its number."""

    def __init__(self, tokens: list[int], factor: int) -> None:
        self.digests = array("Q", range(0, factor * (max(tokens, default=0) + 1), factor))
        self.tokens = array("I", tokens)
        anchors, fingerprints = compute_fingerprints(tokens, self.digests)
        self.anchors, self.fingerprints = array("I", anchors), array("I", fingerprints)


def joined(files: Files) -> list[int]:
    """Return all files as one sequence, with a border before each file and after the last."""
    border = 1 + max((max(file, default=0) for file in files), default=0)
    sequence = [border]
    for number, file in enumerate(files, start=border + 1):
        sequence.extend([*file, number])
    return sequence


class Compared:
    """The files as the corpus compares them; positions are those of the joined files.

    A token's rank depends on its digest, `factor` times its number: with 8 all tokens have the same rank, with 1 tokens
    have as many ranks as possible.
    """

    def __init__(self, files: Files, factor: int = 5) -> None:
        self._regions = CandidateRegions([NumberFile(file, factor) for file in files])
        self._offsets = [1 + sum(len(file) + 1 for file in files[:index]) for index in range(len(files))]

    def groups(self) -> list[list[int]]:
        return list(equal_windows(self._regions.sequence, self._regions.spans))

    def found(self) -> MatchResult:
        return find_matches(self._regions.sequence, self.groups())

    def positions(self, marks: list[int]) -> list[int]:
        located = (self._regions.locate(mark) for mark in marks)
        return [self._offsets[file] + token for file, token in located]


def matches_found(files: Files) -> Matches:
    compared = Compared(files)
    return sorted((match.length, compared.positions(match.marks)) for match in compared.found().matches)


def matches_expected(files: Files) -> Matches:
    """Apply the rule step by step, without any optimisation."""
    sequence = joined(files)
    matches: Matches = []
    for marks in _groups(sequence).values():
        matches += _matches_of_group(sequence, marks)
    return sorted(matches)


def _groups(sequence: list[int]) -> dict[tuple[int, ...], list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for position in range(1, len(sequence) - WINDOW):
        groups.setdefault(tuple(sequence[position : position + WINDOW]), []).append(position)
    return groups


def _matches_of_group(sequence: list[int], marks: list[int]) -> Matches:
    known: dict[int, set[int]] = {mark: set() for mark in marks}
    by_lowest: dict[int, Matches] = {}
    current = 0
    while current < len(marks) - 1:
        mark, skipped = marks[current], 0
        for other in marks[current + 1 :]:
            if other - mark < WINDOW:
                skipped += 1
            elif sequence[mark - 1] != sequence[other - 1] and other not in known[mark]:
                length = _common_length(sequence, mark, other)
                if length <= other - mark:
                    _report(known, by_lowest, mark, other, length)
        current += skipped + 1
    return [match for matches in by_lowest.values() for match in matches]


def _common_length(sequence: list[int], left: int, right: int) -> int:
    length = 0
    while right + length < len(sequence) and sequence[left + length] == sequence[right + length]:
        length += 1
    return length


def _report(known: dict[int, set[int]], by_lowest: dict[int, Matches], mark: int, other: int, length: int) -> None:
    matches = by_lowest.setdefault(min(known[mark] | {mark}), [])
    for match in list(matches):
        for member in [member for member in match[1] if member != mark]:
            if member < other and member + match[0] >= other + length:
                return
            if other < member and other + length >= member + match[0]:
                matches.remove(match)
                break
            if match[0] == length:
                for each in match[1]:
                    known[each].add(other)
                    known[other].add(each)
                if other not in match[1]:
                    insort(match[1], other)
                return
    matches.append((length, [mark, other]))
    known[mark].add(other)
    known[other].add(mark)


@st.composite
def repetitive_files(draw: st.DrawFn) -> Files:
    """Draw one to three files of random tokens, repeated blocks and copies, with few distinct tokens."""
    token = st.integers(0, draw(st.sampled_from([0, 0, 1, 2, 30])))
    blocks = [
        draw(st.lists(token, min_size=size, max_size=size)) for size in draw(st.lists(SIZES, min_size=1, max_size=3))
    ]
    piece = st.one_of(
        st.lists(st.integers(0, 40), max_size=3),
        st.builds(lambda block, times, cut: block * times + block[:cut], st.sampled_from(blocks), TIMES, SIZES),
    )
    file = st.lists(piece, min_size=1, max_size=6).map(
        lambda pieces: [token for piece in pieces for token in piece][:700]
    )
    return draw(st.lists(file, min_size=1, max_size=3))


SIZES = st.sampled_from([1, 2, 3, 10, 25, 49, 50, 51, 60, 90])
TIMES = st.integers(1, 5)


@settings(max_examples=150, deadline=None)
@given(repetitive_files())
def test_matches_of_random_files_follow_the_rule(files: Files) -> None:
    assert matches_found(files) == matches_expected(files)


def test_random_files_have_several_matches_of_different_lengths() -> None:
    without_shrinking = settings(phases=[Phase.generate], max_examples=500, derandomize=True)
    example = find(
        repetitive_files(),
        lambda files: len({length for length, _ in matches_expected(files)}) > 1,
        settings=without_shrinking,
    )
    assert len(matches_found(example)) > 1


def test_two_equal_runs_are_one_match() -> None:
    block = list(range(60))
    assert matches_found([[100, *block, 101], [102, *block, 103]]) == [(60, [2, 65])]


@pytest.mark.parametrize(("equal_tokens", "expected"), [(49, []), (50, [(50, [2, 53])])])
def test_runs_of_fifty_tokens_are_the_shortest_match(equal_tokens: int, expected: Matches) -> None:
    block = list(range(equal_tokens))
    assert (
        matches_found([[100, *block, 101, *block, 102] if equal_tokens == 50 else [100, *block, 101, *block]])
        == expected
    )


def test_members_of_a_match_are_not_compared_again() -> None:
    long, short = list(range(60)), list(range(53))
    assert matches_found([[100, *short, 101], [102, *long, 103], [104, *long, 105]]) == [(53, [2, 58, 121])]
    assert [length for length, _ in matches_found([[100, *long, 101], [102, *short, 103], [104, *long, 105]])] == [
        53,
        60,
    ]


def test_runs_that_overlap_are_no_match() -> None:
    block = list(range(50))
    assert matches_found([[100, *block * 2, 101]]) == [(50, [2, 52])]
    assert matches_found([[100, *block * 3, 101]]) == [(50, [2, 102])]


def test_long_repetition_is_matched_in_linear_time() -> None:
    """60,000 times a number and a comma; PMD compares every window with every other."""
    assert matches_found([[7, *[1, 2] * 60_000, 8]]) == [(60_000, [2, 60_002])]


def test_simplified_rule_finds_almost_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [[100 + number % 3, *range(50 + number % 7), 200 + number] for number in range(40)]
    full = Compared(files).found()
    assert full.simplified_groups == 0
    monkeypatch.setattr(matcher, "TREE_STEP_LIMIT", 0)
    simplified = Compared(files).found()
    assert simplified.simplified_groups > 0
    missing = covered(full) - covered(simplified)
    assert covered(simplified) < covered(full)
    assert len(missing) < len(covered(full)) / 20


def covered(result: MatchResult) -> set[int]:
    return {mark + token for match in result.matches for mark in match.marks for token in range(match.length)}


@settings(max_examples=60, deadline=None)
@given(repetitive_files())
def test_every_repeated_window_is_found_with_any_ranks(files: Files) -> None:
    sequence = joined(files)
    groups = _groups(sequence).values()
    expected = sorted(marks for marks in groups if len({sequence[mark - 1] for mark in marks}) > 1)
    for factor in (1, 3, RANK_COUNT, 2 * RANK_COUNT + 1):
        compared = Compared(files, factor)
        assert sorted(map(compared.positions, compared.groups())) == expected
