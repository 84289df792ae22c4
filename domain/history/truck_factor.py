"""Truck factor: how many people may leave before most files have lost all their authors."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

SILENT_SECONDS = 365 * 86_400
"""Who has not committed for so long before HEAD's date is silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruckFactor:
    """`people` are those whose loss leaves fewer than half the files with an author, the greatest author first.

    `covered` is the share of the files that have an author before anybody leaves, 0..1.
    """

    people: Sequence[int]
    covered: float


def truck_factor(authors: Mapping[str, Collection[int]], names: Sequence[str]) -> TruckFactor:
    """Remove the author of the most files until fewer than half of the files have one (the greedy heuristic).

    `authors` maps each file to its authors (`FileOwnership.authors`). Of equal authors, the one whose name sorts first
    is removed. G. Avelino et al., "A Novel Approach for Estimating Truck Factors" (2016).
    """
    files_of: dict[int, list[str]] = {}
    for path, people in authors.items():
        for person in people:
            files_of.setdefault(person, []).append(path)
    remaining = Counter({path: len(people) for path, people in authors.items() if people})
    covered = len(remaining) / len(authors) if authors else 0.0
    removed: list[int] = []
    for person in sorted(files_of, key=lambda each: (-len(files_of[each]), names[each])):
        if 2 * len(remaining) < len(authors):
            break
        removed.append(person)
        remaining.subtract(files_of[person])
        for path in files_of[person]:
            if not remaining[path]:
                del remaining[path]
    return TruckFactor(people=removed, covered=covered)


def without_people(authors: Mapping[str, Collection[int]], silent: Collection[int]) -> dict[str, frozenset[int]]:
    """Return the authors of each file, without those people."""
    gone = frozenset(silent)
    return {path: frozenset(people) - gone for path, people in authors.items()}
