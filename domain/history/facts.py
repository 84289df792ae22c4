"""Facts of a history: what follows from its commits alone, before the files' roles and health are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from domain.history.commits import Changes
from domain.history.coupling import CoupledPair
from domain.history.hotspots import weigh_commits
from domain.history.ownership import tally_ownership

PAIRS_LIMIT = 2_000
"""The most coupled pairs that are kept, those of the highest degree."""


class FileFacts(NamedTuple):
    """What the commits say of one file. People are indexes.

    `weight` is the sum of its commits' weights by recency, `added` all lines that commits added. `share` is that of the
    main author, `people` how many changed it, `minor` how many of them made less than 5 % of its commits. `authors` are
    those by degree of authorship.
    """

    weight: float
    commits: int
    added: int
    main_author: int
    share: float
    people: int
    minor: int
    fragmentation: float
    authors: Sequence[int]


class LeftOut(NamedTuple):
    """The numbers of commits that were left out, and why; the last is left out of coupling alone.

    `others` are commits that changed no Python file.
    """

    merges: int
    bots: int
    large: int
    others: int
    not_coupled: int


class AssistedShare(NamedTuple):
    """Commits, and lines that they added, in which an AI assistant is author or co-author, and those of all."""

    commits: int
    of_commits: int
    lines: int
    of_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFacts:
    """Facts of a history. `now` is HEAD's date in seconds since 1970.

    `names` and `last_seen` (the date of the latest commit) are those of people. `pairs` are at most `PAIRS_LIMIT`,
    `coupled_total` is how many were found, `tested` how many pairs were tested, in `coupled_commits` commits.
    `remembered` says whether the next run can continue from these commits.
    """

    now: int
    commits: int
    left_out: LeftOut
    names: Sequence[str]
    last_seen: Sequence[int]
    files: Mapping[str, FileFacts]
    pairs: Sequence[CoupledPair]
    coupled_total: int
    coupled_commits: int
    tested: int
    assisted: AssistedShare
    remembered: bool

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for msgpack."""
        return {name: getattr(self, name) for name in HistoryFacts.__slots__}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Reverse `to_plain`; tuples may have become lists."""
        return cls(
            **{
                **plain,
                "left_out": LeftOut(*plain["left_out"]),
                "files": {path: FileFacts(*row) for path, row in plain["files"].items()},
                "pairs": [CoupledPair(*pair) for pair in plain["pairs"]],
                "assisted": AssistedShare(*plain["assisted"]),
            }
        )


def describe_files(changes: Changes, names: Sequence[str], now: int) -> dict[str, FileFacts]:
    """Return the facts of each file that changed; `names` are those of people."""
    weights = weigh_commits(changes, now)
    files = {}
    for path, ownership in sorted(tally_ownership(changes, names).items()):
        main_author, share = ownership.main_author(names)
        files[path] = FileFacts(
            weight=weights[path],
            commits=ownership.commits,
            added=ownership.added,
            main_author=main_author,
            share=share,
            people=len(ownership.contributions),
            minor=ownership.minor_authors,
            fragmentation=ownership.fragmentation,
            authors=sorted(ownership.authors()),
        )
    return files
