"""Windows and matches against the rule written down plainly, on random repetitive rows."""

from array import array
from bisect import insort

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.cpd import matcher
from collectors.cpd.candidate_regions import CandidateRegions
from collectors.cpd.fingerprints import RANK_COUNT, compute_fingerprints
from collectors.cpd.matcher import MatchResult, find_matches
from collectors.cpd.windows import equal_windows

Rows = list[list[int]]
Matches = list[tuple[int, list[int]]]

WINDOW = 50


class Row:
    """A file whose tokens are small numbers."""

    def __init__(self, tokens: list[int], factor: int) -> None:
        self.digests = array("Q", range(0, factor * (max(tokens, default=0) + 1), factor))
        self.tokens = array("I", tokens)
        anchors, blocks = compute_fingerprints(tokens, self.digests)
        self.anchors, self.fingerprints = array("I", anchors), array("I", blocks)


def joined(rows: Rows) -> list[int]:
    """All rows in one, a border before each and behind the last."""
    border = 1 + max((max(row, default=0) for row in rows), default=0)
    code = [border]
    for number, row in enumerate(rows, start=border + 1):
        code.extend([*row, number])
    return code


class Compared:
    """The rows as the corpus compares them; positions are those of the joined rows.

    Tokens are told apart by `factor` times their number: 8 puts all into one class, 1 into as many as there are.
    """

    def __init__(self, rows: Rows, factor: int = 5) -> None:
        self._segments = CandidateRegions([Row(row, factor) for row in rows])
        self._offsets = [1 + sum(len(row) + 1 for row in rows[:index]) for index in range(len(rows))]

    def groups(self) -> list[list[int]]:
        return list(equal_windows(self._segments.sequence, self._segments.spans))

    def found(self) -> MatchResult:
        return find_matches(self._segments.sequence, self.groups())

    def positions(self, marks: list[int]) -> list[int]:
        places = (self._segments.locate(mark) for mark in marks)
        return [self._offsets[file] + token for file, token in places]


def ours(rows: Rows) -> Matches:
    compared = Compared(rows)
    return sorted((match.length, compared.positions(match.marks)) for match in compared.found().matches)


def plainly(rows: Rows) -> Matches:
    """The rule as its steps are told, without a thought of time."""
    code = joined(rows)
    groups: dict[tuple[int, ...], list[int]] = {}
    for position in range(1, len(code) - WINDOW):
        groups.setdefault(tuple(code[position : position + WINDOW]), []).append(position)
    matches: Matches = []
    for marks in groups.values():
        matches += _matches_of(code, marks)
    return sorted(matches)


def _matches_of(code: list[int], marks: list[int]) -> Matches:
    known: dict[int, set[int]] = {mark: set() for mark in marks}
    by_lowest: dict[int, Matches] = {}
    turn = 0
    while turn < len(marks) - 1:
        mark, skipped = marks[turn], 0
        for other in marks[turn + 1 :]:
            if other - mark < WINDOW:
                skipped += 1
            elif code[mark - 1] != code[other - 1] and other not in known[mark]:
                length = _agreement(code, mark, other)
                if length <= other - mark:
                    _report(known, by_lowest, mark, other, length)
        turn += skipped + 1
    return [match for matches in by_lowest.values() for match in matches]


def _agreement(code: list[int], left: int, right: int) -> int:
    length = 0
    while right + length < len(code) and code[left + length] == code[right + length]:
        length += 1
    return length


def _report(known: dict[int, set[int]], by_lowest: dict[int, Matches], mark: int, other: int, length: int) -> None:
    matches = by_lowest.setdefault(min(known[mark] | {mark}), [])
    for match in list(matches):
        for place in [place for place in match[1] if place != mark]:
            if place < other and place + match[0] >= other + length:
                return
            if other < place and other + length >= place + match[0]:
                matches.remove(match)
                break
            if match[0] == length:
                for member in match[1]:
                    known[member].add(other)
                    known[other].add(member)
                if other not in match[1]:
                    insort(match[1], other)
                return
    matches.append((length, [mark, other]))
    known[mark].add(other)
    known[other].add(mark)


@st.composite
def repetitive_rows(draw: st.DrawFn) -> Rows:
    """One to three files made of noise, repeated blocks and copies, over few tokens."""
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
@given(repetitive_rows())
def test_the_rule(rows: Rows) -> None:
    assert ours(rows) == plainly(rows)


def test_two_alike() -> None:
    block = list(range(60))
    assert ours([[100, *block, 101], [102, *block, 103]]) == [(60, [2, 65])]


@pytest.mark.parametrize(("agreeing", "expected"), [(49, []), (50, [(50, [2, 53])])])
def test_fifty_tokens_are_enough(agreeing: int, expected: Matches) -> None:
    block = list(range(agreeing))
    assert ours([[100, *block, 101, *block, 102] if agreeing == 50 else [100, *block, 101, *block]]) == expected


def test_members_of_a_match_are_not_compared_further() -> None:
    long, short = list(range(60)), list(range(53))
    assert ours([[100, *short, 101], [102, *long, 103], [104, *long, 105]]) == [(53, [2, 58, 121])]
    assert [length for length, _ in ours([[100, *long, 101], [102, *short, 103], [104, *long, 105]])] == [53, 60]


def test_what_overlaps_itself_is_no_match() -> None:
    block = list(range(50))
    assert ours([[100, *block * 2, 101]]) == [(50, [2, 52])]
    assert ours([[100, *block * 3, 101]]) == [(50, [2, 102])]


def test_long_repetition() -> None:
    """60,000 rows of one number and a comma, which PMD compares each with each."""
    assert ours([[7, *[1, 2] * 60_000, 8]]) == [(60_000, [2, 60_002])]


def test_too_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[100 + number % 3, *range(50 + number % 7), 200 + number] for number in range(40)]
    by_rule = Compared(rows).found()
    assert by_rule.simplified_groups == 0
    monkeypatch.setattr(matcher, "TREE_STEP_LIMIT", 0)
    in_haste = Compared(rows).found()
    assert in_haste.simplified_groups > 0
    missing = covered(by_rule) - covered(in_haste)
    assert covered(in_haste) < covered(by_rule)
    assert len(missing) < len(covered(by_rule)) / 20


def covered(result: MatchResult) -> set[int]:
    return {mark + token for match in result.matches for mark in match.marks for token in range(match.length)}


@settings(max_examples=60, deadline=None)
@given(repetitive_rows())
def test_every_repeated_window_is_found_whatever_the_ranks(rows: Rows) -> None:
    code = joined(rows)
    groups: dict[tuple[int, ...], list[int]] = {}
    for position in range(1, len(code) - WINDOW):
        groups.setdefault(tuple(code[position : position + WINDOW]), []).append(position)
    expected = sorted(marks for marks in groups.values() if len({code[mark - 1] for mark in marks}) > 1)
    for factor in (1, 3, RANK_COUNT, 2 * RANK_COUNT + 1):
        compared = Compared(rows, factor)
        assert sorted(map(compared.positions, compared.groups())) == expected
