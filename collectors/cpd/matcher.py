"""Which equal windows CPD reports as duplications, and how long each duplication is.

The rule of PMD 7.28 (pmd-core, `net.sourceforge.pmd.cpd.MatchCollector`):

- The positions of a group of equal windows are its marks, in ascending order. Each mark in turn is compared with the
  later marks. Marks less than 50 tokens behind it get no turn of their own.
- A pair of marks counts if the tokens before them differ, and if the two runs do not overlap when both are extended to
  the right as far as their tokens are equal.
- The pair joins the match of the same length. Members of a match are never compared with each other again, even if some
  of them are equal for longer.
- Where the run at one mark encloses the run at another, the enclosed mark is dropped.
"""

import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from collectors.cpd.token_sequence import TokenSequence
from collectors.cpd.windows import MINIMUM_TOKENS

GROUP_STEP_LIMIT = 500_000
TREE_STEP_LIMIT = 5_000_000
"""How many pairs and matches may be examined per group (plus four per mark of the group), and per tree.

Trees of up to six million tokens of real code needed 75,000 steps for a group and 250,000 in all.
"""


@dataclass(slots=True, eq=False)
class Match:
    """The same `length` tokens at each of `marks`, which are ascending. The first mark never changes."""

    length: int
    marks: list[int]

    def encloses(self, mark: int, length: int, current: int) -> bool:
        """Return whether a shorter run at `mark` lies inside the run at one of these marks, `current` excepted."""
        index = bisect_left(self.marks, mark + length - self.length)
        return any(other != current for other in self.marks[index : index + 2] if other < mark)

    def is_enclosed(self, mark: int, length: int) -> bool:
        """Return whether the run at one of these marks lies inside a longer run at `mark`."""
        index = bisect_right(self.marks, mark)
        return index < len(self.marks) and self.marks[index] + self.length <= mark + length


@dataclass(slots=True)
class MatchResult:
    """All matches, and the number of groups that were matched by the simplified rule."""

    matches: list[Match] = field(default_factory=list)
    simplified_groups: int = 0


class _TooManyStepsError(Exception):
    """The full rule exceeds the step limit for a group."""


def find_matches(sequence: TokenSequence, groups: Iterable[list[int]]) -> MatchResult:
    """Return the matches that begin in the groups of equal windows that `equal_windows` yields.

    The full rule is quadratic in the number of marks that follow different tokens. A group that exceeds its step limit
    is matched by a simplified rule: only its first mark, and the first mark that follows a different token, are
    compared with the later marks. An enclosed mark is still dropped, but a new match removes no earlier match. The
    number of duplicated lines then differs from PMD's, in the trees measured by up to three in a hundred lines of such
    groups.
    """
    found = MatchResult()
    steps = 0
    for marks in groups:
        if len(marks) == 2:
            found.matches.extend(_match_pair(sequence, *marks))
            continue
        limit = min(GROUP_STEP_LIMIT + 4 * len(marks), TREE_STEP_LIMIT - steps)
        group = _Group(sequence, marks, step_limit=limit)
        try:
            found.matches.extend(group.match_by_full_rule())
        except _TooManyStepsError:
            found.matches.extend(group.match_by_simplified_rule())
            found.simplified_groups += 1
        steps += group.steps
    return found


def _match_pair(sequence: TokenSequence, left: int, right: int) -> Iterator[Match]:
    length = sequence.common_length(left, right)
    if MINIMUM_TOKENS <= length <= right - left:
        yield Match(length, [left, right])


class _Group:
    """Three or more equal windows: their marks, the token before each, and its common length with the next mark."""

    def __init__(self, sequence: TokenSequence, marks: list[int], step_limit: int) -> None:
        self.steps = 0
        self._sequence = sequence
        self._marks = marks
        self._step_limit = step_limit
        self._preceding = [sequence.values[mark - 1] for mark in marks]
        self._common_with_next = _common_lengths_with_next(sequence, marks)
        self._matches: dict[int, list[Match]] = {}
        self._memberships: dict[int, set[Match]] = {}
        # From this index on, all marks follow the same token.
        self._uniform_from = len(marks) - 1
        while self._uniform_from and self._preceding[self._uniform_from - 1] == self._preceding[-1]:
            self._uniform_from -= 1

    def match_by_full_rule(self) -> list[Match]:
        """Compare every mark that gets a turn with the later marks. Raises _TooManyStepsError."""
        current = 0
        while (start := self._first_comparable(current)) < len(self._marks):
            if not self._can_skip(current, start):
                for other, length in self._pairs(current, start):
                    self._report(self._marks[current], other, length)
            current = start
        return [match for matches in self._matches.values() for match in matches]

    def match_by_simplified_rule(self) -> list[Match]:
        """Compare the first mark with the others, and the first mark after a different token with those left over."""
        self._step_limit = sys.maxsize
        matches: dict[tuple[int, int], Match] = {}
        first = self._preceding[0]
        second = next(index for index, preceding in enumerate(self._preceding) if preceding != first)
        for current in (0, second):
            covered_to = 0
            for other, length in self._pairs(current, self._first_comparable(current)):
                done_before = current and self._sequence.values[other - 1] != first
                if other + length > covered_to and not done_before:
                    covered_to = other + length
                    matches.setdefault((current, length), Match(length, [self._marks[current]])).marks.append(other)
        return list(matches.values())

    def _count_steps(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self._step_limit:
            raise _TooManyStepsError

    def _first_comparable(self, current: int) -> int:
        """Return the index of the first mark that is at least 50 tokens behind the mark at index `current`."""
        return bisect_left(self._marks, self._marks[current] + MINIMUM_TOKENS, current + 1)

    def _can_skip(self, current: int, start: int) -> bool:
        """Return whether no pair counts: all later marks follow the same token, or share one match with this mark."""
        if start >= self._uniform_from and self._preceding[current] == self._preceding[-1]:
            return True
        later, first = len(self._marks) - start, self._marks[start]
        known = self._memberships.get(self._marks[current], ())
        return any(len(match.marks) - bisect_left(match.marks, first) == later for match in known)

    def _pairs(self, current: int, start: int) -> Iterator[tuple[int, int]]:
        """Yield each later mark that counts as a pair with the current one, and the length of the pair.

        Raises _TooManyStepsError.
        """
        self._count_steps(len(self._marks) - start)
        if start == len(self._marks):
            return
        mark, preceding = self._marks[current], self._preceding[current]
        length = self._sequence.common_length(mark, self._marks[start])
        for index in range(start, len(self._marks)):
            other = self._marks[index]
            if self._preceding[index] != preceding and MINIMUM_TOKENS <= length <= other - mark:
                yield other, length
            length = self._common_length_after(mark, index, length)

    def _common_length_after(self, mark: int, index: int, length: int) -> int:
        """Return the common length of `mark` and the mark after `index`; `length` is that with the mark at `index`."""
        next_length = self._common_with_next[index]
        if length != next_length:
            return min(length, next_length)
        return length + self._sequence.common_length(mark + length, self._marks[index + 1] + length)

    def _report(self, mark: int, other: int, length: int) -> None:
        known = self._memberships.setdefault(mark, set())
        if not known.isdisjoint(self._memberships.get(other, ())):
            return
        lowest = min((match.marks[0] for match in known), default=mark)
        matches = self._matches.setdefault(lowest, [])
        self._count_steps(len(matches))
        for match in tuple(matches):
            if match.length == length:
                self._join(match, other)
                return
            if match.length > length and match.encloses(other, length, mark):
                return
            if match.length < length and match.is_enclosed(other, length):
                matches.remove(match)
        match = Match(length, [mark])
        matches.append(match)
        known.add(match)
        self._join(match, other)

    def _join(self, match: Match, mark: int) -> None:
        joined = self._memberships.setdefault(mark, set())
        if match not in joined:
            joined.add(match)
            insort(match.marks, mark)


def _common_lengths_with_next(sequence: TokenSequence, marks: list[int]) -> list[int]:
    """Return for each mark how many tokens it has in common with the next mark; 0 for the last mark."""
    lengths = [0] * len(marks)
    for index in range(len(marks) - 2, -1, -1):
        mark, following = marks[index : index + 2]
        distance = following - mark
        evenly_spaced = following + distance == marks[min(index + 2, len(marks) - 1)]
        if evenly_spaced and sequence.runs_equal(mark, following, distance):
            # A repetition with this period continues, so its tokens need not be compared again.
            lengths[index] = distance + lengths[index + 1]
        else:
            lengths[index] = sequence.common_length(mark, following)
    return lengths
