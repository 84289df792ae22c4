"""Matching of the findings of two runs, one to one, in passes from the strictest key to the loosest.

Every pass groups what is left by a key and pairs within each group: equal lines first, then the k-th with the k-th in
order of lines. So the cost is that of sorting, whatever the findings look like.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial

from domain.findings.identity import FindingIdentity, IdentityKind
from domain.findings.renames import find_renames
from domain.text import JSON

Item = Mapping[str, JSON]
"""A finding as it is stored in a run."""

_QUOTED = re.compile(r"`[^`]*+`|'[^']*+'|\"[^\"]*+\"")
_NUMBER_BITS = 32
_DIGITS = str.maketrans("", "", "0123456789")


class Pass(Enum):
    """How strict the key was that two findings have in common."""

    SAME_FILE = 1
    """Passes 1 to 3: path and identity, with the function and line where possible."""
    OTHER_FILE = 2
    """Passes 4 and 5: the file was renamed, or identity and line stand in another file."""
    SAME_MESSAGE = 3
    """Pass 6: path, function, and message without its names and numbers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Positions of the finding in the baseline and of the same one in the current run, and the pass that matched it."""

    before: int
    after: int
    matched_by: Pass


Key = Callable[[int, int], Hashable | None]
"""Returns the key of a finding, by its side (0: baseline, 1: current run) and position; None leaves it out."""

Group = tuple[list[int], list[int]]
"""Positions on both sides, in order of paths and lines."""


class Matcher:
    """Matches the findings of a baseline with those of a current run, once."""

    def __init__(
        self, before: Sequence[Item], after: Sequence[Item], identities: Mapping[str, FindingIdentity]
    ) -> None:
        """`identities` has the identity of each metric; findings of other metrics are matched by their rule."""
        self.renames: Mapping[str, str] = {}
        """The new path of each file that was renamed, after `match`."""
        self._sides = (before, after)
        self._identities = identities
        self._family_of = cache(self._find_family)
        numbers: dict[Hashable, int] = {}
        self._subjects = tuple([self._subject(item, numbers) for item in items] for items in self._sides)
        self._path_numbers: dict[str, int] = {}
        self._left = (_in_order(before), _in_order(after))
        self._paired = (bytearray(len(before)), bytearray(len(after)))
        self._pairs: list[Pair] = []

    def match(self, removed: Mapping[str, str | None], added: Mapping[str, str | None]) -> list[Pair]:
        """Return the pairs.

        `removed` and `added` map the paths that only one run has to the digests of these files.
        """
        self._pair_in_files(Pass.SAME_FILE, self._key_in_file)
        self._pair_in_renamed_files(removed, added)
        self._pair_across_files()
        self._pair_by_message()
        return self._pairs

    def _key_in_file(self, side: int, index: int) -> Hashable:
        return self._key(side, index, self._path_numbers, self._sides[side][index]["path"])

    def _key(self, side: int, index: int, numbers: dict[str, int], text: str) -> int:
        """Return a number that stands for the finding's subject and a text. Tuples would cost the garbage collector."""
        return self._subjects[side][index] << _NUMBER_BITS | numbers.setdefault(text, len(numbers))

    def _pair_in_files(self, matched_by: Pass, key: Key) -> None:
        """Passes 1 to 3: equal function and line first, then equal function, then what is left."""
        for before, after in self._groups(key):
            if len(before) == len(after) == 1:
                self._add(matched_by, before[0], after[0])
                continue
            for fields in (("function", "line"), ("function",), ("line",), ()):
                self._pair_by_fields(matched_by, (before, after), fields)

    def _pair_by_fields(self, matched_by: Pass, group: Group, fields: Sequence[str]) -> None:
        """Pair those of a group that have equal fields, the k-th with the k-th."""
        parts: dict[Hashable, Group] = {}
        for side in (0, 1):
            items, paired = self._sides[side], self._paired[side]
            for index in group[side]:
                if not paired[index]:
                    key = tuple([items[index][field] for field in fields])
                    parts.setdefault(key, ([], []))[side].append(index)
        for before, after in parts.values():
            for old, new in zip(before, after, strict=False):
                self._add(matched_by, old, new)

    def _pair_in_renamed_files(self, removed: Mapping[str, str | None], added: Mapping[str, str | None]) -> None:
        """Pass 4."""
        if not removed or not added:
            return
        names = find_renames(removed, added, partial(self._contents, 0), partial(self._contents, 1))
        self.renames, news = names, frozenset(names.values())

        def key(side: int, index: int) -> Hashable | None:
            path = self._sides[side][index]["path"]
            name = names.get(path) if side == 0 else path if path in news else None
            return None if name is None else self._key(side, index, self._path_numbers, name)

        self._pair_in_files(Pass.OTHER_FILE, key)

    def _contents(self, side: int, paths: Collection[str]) -> dict[str, Counter[Hashable]]:
        """Return what the findings in each of these files are about."""
        contents: dict[str, list[int]] = {}
        items, subjects = self._sides[side], self._subjects[side]
        for index in self._left[side]:
            path = items[index]["path"]
            if path in paths:
                contents.setdefault(path, []).append(subjects[index])
        return {path: Counter(found) for path, found in contents.items()}

    def _pair_across_files(self) -> None:
        """Pass 5: groups of equal size, each within one file on either side."""
        numbers: dict[str, int] = {}

        def key(side: int, index: int) -> Hashable:
            return self._key(side, index, numbers, self._sides[side][index]["line_hash"])

        for before, after in self._groups(key):
            if len(before) == len(after) and self._is_in_one_file(0, before) and self._is_in_one_file(1, after):
                self._pair_by_fields(Pass.OTHER_FILE, (before, after), ("line",))
                self._pair_by_fields(Pass.OTHER_FILE, (before, after), ())

    def _is_in_one_file(self, side: int, indexes: Sequence[int]) -> bool:
        items = self._sides[side]
        return bool(items[indexes[0]]["path"] == items[indexes[-1]]["path"])  # they are in order of paths

    def _pair_by_message(self) -> None:
        """Pass 6."""
        shape = cache(_shape)

        def key(side: int, index: int) -> Hashable | None:
            item = self._sides[side][index]
            if self._kind_of(item) is IdentityKind.BLOCK_HASH:
                return None
            return (
                self._family_of(item["metric"], item["rule"]),
                item["path"],
                item["function"],
                shape(item["message"]),
            )

        for before, after in self._groups(key):
            is_single = len(before) == len(after) == 1
            if is_single or self._kind_of(self._sides[0][before[0]]) is not IdentityKind.LINE_HASH:
                self._pair_by_fields(Pass.SAME_MESSAGE, (before, after), ("line",))
                self._pair_by_fields(Pass.SAME_MESSAGE, (before, after), ())

    def _groups(self, key: Key) -> list[Group]:
        """Return the findings that are left, of both runs, by each key that occurs in both."""
        found: tuple[dict[Hashable, list[int]], dict[Hashable, list[int]]] = ({}, {})
        for side, groups in enumerate(found):
            paired = self._paired[side]
            self._left[side][:] = [index for index in self._left[side] if not paired[index]]
            for index in self._left[side]:
                value = key(side, index)
                if value is None or (side and value not in found[0]):
                    continue
                group = groups.get(value)
                if group is None:
                    groups[value] = [index]
                else:
                    group.append(index)
        return [(before, found[1][value]) for value, before in found[0].items() if value in found[1]]

    def _add(self, matched_by: Pass, before: int, after: int) -> None:
        self._paired[0][before] = self._paired[1][after] = True
        self._pairs.append(Pair(before, after, matched_by))

    def _subject(self, item: Item, numbers: dict[Hashable, int]) -> int:
        """Return a number that stands for metric, family and identity: it is faster to hash than these."""
        subject = (*self._family_of(item["metric"], item["rule"]), item["identity"])
        return numbers.setdefault(subject, len(numbers))

    def _find_family(self, metric: str, rule: str) -> tuple[str, str]:
        """Return the metric and the rule's family."""
        identity = self._identities.get(metric)
        return metric, rule if identity is None or identity.rule_family is None else identity.rule_family

    def _kind_of(self, item: Item) -> IdentityKind | None:
        identity = self._identities.get(item["metric"])
        return None if identity is None else identity.kind


def _in_order(items: Sequence[Item]) -> list[int]:
    """Return the positions of the items in order of paths and lines."""
    return sorted(range(len(items)), key=lambda index: (items[index]["path"], items[index]["line"]))


def _shape(message: str) -> str:
    """Return the message without quoted names, paths and digits."""
    words = _QUOTED.sub("", message).split()
    return " ".join(word for word in words if "/" not in word and ".py" not in word).translate(_DIGITS)
