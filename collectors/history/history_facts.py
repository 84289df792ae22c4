"""From a tally of commits to the facts of the history: paths of files that moved, people with several names."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, compress, repeat
from typing import cast

from collectors.history.commit_tally import ASSISTED, BOT, LARGE, NOT_COUPLED, CommitColumns, CommitTally
from domain.history.commits import Changes
from domain.history.coupling import find_coupling
from domain.history.facts import PAIRS_LIMIT, AssistedShare, HistoryFacts, LeftOut, describe_files

UNNAMED = "unknown"
"""The name of an author who gave none."""


def facts_of(tally: CommitTally, display_paths: Mapping[str, str], *, remembered: bool) -> HistoryFacts | None:
    """Return the facts of a tally's commits, None where it has no columns.

    `display_paths` maps the paths of the tree's files to those that are shown.
    """
    columns = tally.columns
    if columns is None:
        return None
    people, names, last_seen = _merge_people(tally, columns)
    paths = _resolve_paths(tally, columns, display_paths)
    resolved = [paths[changed >> 1] for changed in columns.changed]
    coupling = find_coupling(_change_sets(columns, resolved))
    flags = Counter(columns.flags)
    return HistoryFacts(
        now=tally.now,
        commits=sum(count for flag, count in flags.items() if not flag & (BOT | LARGE)),
        left_out=_left_out(tally, flags),
        names=names,
        last_seen=last_seen,
        files=describe_files(_changes(columns, resolved, people), names, tally.now),
        pairs=coupling.pairs[:PAIRS_LIMIT],
        coupled_total=len(coupling.pairs),
        coupled_commits=coupling.commits,
        tested=coupling.tested,
        assisted=_assisted(columns, flags),
        remembered=remembered,
    )


def _left_out(tally: CommitTally, flags: Mapping[int, int]) -> LeftOut:
    """`flags` says how many commits have each combination of flags."""
    return LeftOut(
        merges=tally.merges,
        bots=sum(count for flag, count in flags.items() if flag & BOT),
        large=sum(count for flag, count in flags.items() if flag & (BOT | LARGE) == LARGE),
        others=tally.commits - sum(flags.values()),
        not_coupled=sum(count for flag, count in flags.items() if flag & (BOT | LARGE | NOT_COUPLED) == NOT_COUPLED),
    )


def _merge_people(tally: CommitTally, columns: CommitColumns) -> tuple[Sequence[int], Sequence[str], Sequence[int]]:
    """Return the person of each item of `tally.people`, and name and latest date of each person.

    A person is shown under the name that most of the commits have; of equal ones, the first in the alphabet. People are
    numbered by name and latest date, so that the order in which commits were read does not show.
    """
    commits = Counter(columns.people)
    latest: dict[int, int] = {}
    for index, at in zip(columns.people, columns.at, strict=True):
        if at >= latest.get(index, 0):
            latest[index] = at
    by_key: dict[bytes, list[int]] = {}
    names = [person.name for person in tally.people]
    for person, index in tally.people.items():
        if index in latest:
            by_key.setdefault(person.key, []).append(index)
    merged = [
        (min(indexes, key=lambda each: (-commits[each], names[each])), max(latest[each] for each in indexes), indexes)
        for indexes in by_key.values()
    ]
    merged.sort(key=lambda each: (names[each[0]], each[1], sum(commits[index] for index in each[2])))
    people = [0] * len(names)
    for number, (_, _, indexes) in enumerate(merged):
        for index in indexes:
            people[index] = number
    return people, [names[main] or UNNAMED for main, _, _ in merged], [at for _, at, _ in merged]


def _resolve_paths(
    tally: CommitTally, columns: CommitColumns, display_paths: Mapping[str, str]
) -> Sequence[str | None]:
    """Return the display path at HEAD of each of the tally's paths; None for a file that was deleted.

    A path that is not in the tree is that of a file that moved, if there was a rename: the latest one counts.
    """
    paths = list(tally.paths)
    latest: dict[int, tuple[int, str, int]] = {}
    renames = columns.renames
    for at, old, new in zip(renames[::3], renames[1::3], renames[2::3], strict=True):
        rename = (at, paths[new], new)
        latest[old] = max(latest.get(old, rename), rename)
    resolved: list[str | None] = []
    for index in range(len(paths)):
        visited = {index}
        current: int | None = index
        while current is not None and paths[current] not in display_paths:
            current = latest[current][2] if current in latest else None
            current = None if current in visited else current
            visited.update(() if current is None else (current,))
        resolved.append(None if current is None else display_paths[paths[current]])
    return resolved


def _change_sets(columns: CommitColumns, resolved: Sequence[str | None]) -> list[set[str]]:
    """Return the files that each commit changed which counts for coupling."""
    sets, end, left_out = [], 0, BOT | LARGE | NOT_COUPLED
    for size, flags in zip(columns.sizes, columns.flags, strict=True):
        start, end = end, end + size
        if not flags & left_out:
            paths = set(resolved[start:end])
            paths.discard(None)
            sets.append(paths)
    return cast("list[set[str]]", sets)


def _changes(columns: CommitColumns, resolved: Sequence[str | None], people: Sequence[int]) -> Changes:
    commits = list(_for_each_change(range(len(columns.sizes)), columns))
    present = [path is not None for path in resolved]
    changes = Changes(
        paths=cast("list[str]", list(compress(resolved, present))),
        people=list(compress(_for_each_change([people[person] for person in columns.people], columns), present)),
        at=list(compress(_for_each_change(columns.at, columns), present)),
        added=list(compress(columns.lines, present)),
        created=[bool(changed & 1) for changed in compress(columns.changed, present)],
    )
    keys = list(zip(compress(commits, present), changes.paths, strict=True))
    return changes if len(set(keys)) == len(keys) else _one_per_file(changes, keys)


def _for_each_change(values: Iterable[int], columns: CommitColumns) -> Iterable[int]:
    """Repeat the value of each commit for each of its changes."""
    return chain.from_iterable(map(repeat, values, columns.sizes))


def _one_per_file(changes: Changes, keys: Sequence[tuple[int, str]]) -> Changes:
    """Add up the changes of a file that one commit knows under several paths. `keys` are commit and path."""
    merged: dict[tuple[int, str], tuple[str, int, int, int, bool]] = {}
    for key, (path, person, at, added, created) in zip(keys, zip(*changes, strict=True), strict=True):
        _, _, _, more, both = merged.get(key, (path, person, at, 0, True))
        merged[key] = (path, person, at, added + more, created and both)
    return Changes(*zip(*merged.values(), strict=True))


def _assisted(columns: CommitColumns, flags: Mapping[int, int]) -> AssistedShare:
    """Count the commits of people and of assistants, also where an assistant is a bot."""
    of_all = {flag for flag in flags if not flag & LARGE and flag & (BOT | ASSISTED) != BOT}
    assisted = {flag for flag in of_all if flag & ASSISTED}
    return AssistedShare(
        commits=sum(flags[flag] for flag in assisted),
        of_commits=sum(flags[flag] for flag in of_all),
        lines=_lines(columns, assisted),
        of_lines=_lines(columns, of_all),
    )


def _lines(columns: CommitColumns, flags: Collection[int]) -> int:
    """Return the lines that the commits with one of these combinations of flags added."""
    return sum(compress(columns.added, map(flags.__contains__, columns.flags))) if flags else 0
