"""Which equal windows PMD's detector reports as duplications, and how far each reaches.

The rule, as PMD 7.28 computes it. In a group of equal windows, its marks in order of position, each mark in turn is
compared with the later ones; marks less than 50 tokens behind it get no turn of their own. A pair counts if the
tokens before differ, and if the two do not overlap once extended to the right as far as tokens agree. It joins the
match of the same length, and the members of a match are never compared with each other again, however much further
they agree. Of two marks that lie one inside the other the inner one is dropped.
"""

import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from collectors.cpd.token_sequence import TokenSequence
from collectors.cpd.windows import MINIMUM_TOKENS

GROUP_STEP_LIMIT = 500_000
TREE_STEP_LIMIT = 5_000_000
"""How many pairs and matches may be looked at for one group beyond a few for each mark, and for a whole tree.

Trees of up to six million tokens of real code took 75,000 for a group and 250,000 in all.
"""


@dataclass(slots=True, eq=False)
class Match:
    """The same `length` tokens at each of `marks`, ascending. The first mark never changes."""

    length: int
    marks: list[int]

    def encloses(self, mark: int, length: int, turn: int) -> bool:
        """Whether a shorter match's mark lies inside one of these, other than that whose turn it is."""
        place = bisect_left(self.marks, mark + length - self.length)
        return any(other != turn for other in self.marks[place : place + 2] if other < mark)

    def is_enclosed(self, mark: int, length: int) -> bool:
        """Whether one of these lies inside a longer match's mark."""
        place = bisect_right(self.marks, mark)
        return place < len(self.marks) and self.marks[place] + self.length <= mark + length


@dataclass(slots=True)
class MatchResult:
    """All matches, and for how many groups the full rule would have taken too long."""

    matches: list[Match] = field(default_factory=list)
    simplified_groups: int = 0


class _TooManyStepsError(Exception):
    """A group would take too long to match by the full rule."""


def find_matches(sequence: TokenSequence, groups: Iterable[list[int]]) -> MatchResult:
    """The matches that grow from groups of equal windows, as `equal_windows` gives them.

    The rule is quadratic in marks that follow different tokens. Where a group takes more than its steps, only its
    first mark, and the first that follows another token, get a turn. What is inside another mark is still dropped,
    but no mark drops a match that is already there: the number of lines may differ from PMD's, by up to three in a
    hundred lines of such blocks where it was tried.
    """
    found = MatchResult()
    steps = 0
    for marks in groups:
        if len(marks) == 2:
            found.matches.extend(_pair(sequence, *marks))
            continue
        group = _Group(sequence, marks, limit=min(GROUP_STEP_LIMIT + 4 * len(marks), TREE_STEP_LIMIT - steps))
        try:
            found.matches.extend(group.play())
        except _TooManyStepsError:
            found.matches.extend(group.play_plainly())
            found.simplified_groups += 1
        steps += group.steps
    return found


def _pair(sequence: TokenSequence, left: int, right: int) -> Iterator[Match]:
    length = sequence.common_length(left, right)
    if MINIMUM_TOKENS <= length <= right - left:
        yield Match(length, [left, right])


class _Group:
    """Three and more equal windows: their marks, the token before each, and how far each agrees with the next."""

    def __init__(self, sequence: TokenSequence, marks: list[int], limit: int) -> None:
        self.sequence = sequence
        self.marks = marks
        self.limit = limit
        self.steps = 0
        self.before = [sequence.values[mark - 1] for mark in marks]
        self.agreements = _agreements(sequence, marks)
        self.matches: dict[int, list[Match]] = {}
        self.memberships: dict[int, set[Match]] = {}
        self.alike_from = len(marks) - 1
        while self.alike_from and self.before[self.alike_from - 1] == self.before[-1]:
            self.alike_from -= 1

    def play(self) -> list[Match]:
        """Give each mark its turn. Raises _TooManyStepsError."""
        turn = 0
        while (start := self._apart(turn)) < len(self.marks):
            if not self._is_idle(turn, start):
                for other, length in self._pairs(turn, start):
                    self._report(self.marks[turn], other, length)
            turn = start
        return [match for matches in self.matches.values() for match in matches]

    def play_plainly(self) -> list[Match]:
        """Compare the first mark with all that count, and with those that do not the first mark that does."""
        self.limit = sys.maxsize
        matches: dict[tuple[int, int], Match] = {}
        first = self.before[0]
        second_turn = next(place for place, before in enumerate(self.before) if before != first)
        for turn in (0, second_turn):
            end = 0
            for other, length in self._pairs(turn, self._apart(turn)):
                compared = turn and self.sequence.values[other - 1] != first
                if other + length > end and not compared:
                    end = other + length
                    matches.setdefault((turn, length), Match(length, [self.marks[turn]])).marks.append(other)
        return list(matches.values())

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self.limit:
            raise _TooManyStepsError

    def _apart(self, turn: int) -> int:
        """The place of the first mark that is far enough behind another to be compared with it."""
        return bisect_left(self.marks, self.marks[turn] + MINIMUM_TOKENS, turn + 1)

    def _is_idle(self, turn: int, start: int) -> bool:
        """Whether no later mark can count, since all follow the same token or are members of one match with it."""
        if start >= self.alike_from and self.before[turn] == self.before[-1]:
            return True
        later, first = len(self.marks) - start, self.marks[start]
        known = self.memberships.get(self.marks[turn], ())
        return any(len(match.marks) - bisect_left(match.marks, first) == later for match in known)

    def _pairs(self, turn: int, start: int) -> Iterator[tuple[int, int]]:
        """The later marks that count beside the one whose turn it is, with the lengths. Raises _TooManyStepsError."""
        self._spend(len(self.marks) - start)
        if start == len(self.marks):
            return
        mark, before = self.marks[turn], self.before[turn]
        length = self.sequence.common_length(mark, self.marks[start])
        for place in range(start, len(self.marks)):
            other = self.marks[place]
            if self.before[place] != before and MINIMUM_TOKENS <= length <= other - mark:
                yield other, length
            length = self._agreement_with_next(mark, place, length)

    def _agreement_with_next(self, mark: int, place: int, length: int) -> int:
        """How far a mark agrees with the one after `place`, when it agrees for `length` with that at `place`."""
        onward = self.agreements[place]
        if length != onward:
            return min(length, onward)
        return length + self.sequence.common_length(mark + length, self.marks[place + 1] + length)

    def _report(self, mark: int, other: int, length: int) -> None:
        known = self.memberships.setdefault(mark, set())
        if not known.isdisjoint(self.memberships.get(other, ())):
            return
        lowest = min((match.marks[0] for match in known), default=mark)
        matches = self.matches.setdefault(lowest, [])
        self._spend(len(matches))
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
        joined = self.memberships.setdefault(mark, set())
        if match not in joined:
            joined.add(match)
            insort(match.marks, mark)


def _agreements(sequence: TokenSequence, marks: list[int]) -> list[int]:
    """How far each mark agrees with the next one; 0 for the last."""
    agreements = [0] * len(marks)
    for place in range(len(marks) - 2, -1, -1):
        mark, following = marks[place : place + 2]
        distance = following - mark
        evenly = following + distance == marks[min(place + 2, len(marks) - 1)]
        if evenly and sequence.runs_equal(mark, following, distance):
            # A repetition goes on: no need to read it to its end once more.
            agreements[place] = distance + agreements[place + 1]
        else:
            agreements[place] = sequence.common_length(mark, following)
    return agreements
