"""Files that were renamed between two runs, by their bytes or by the findings in them."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from heapq import nlargest
from typing import NamedTuple

LEAST_SIMILARITY = 0.6
"""The least Jaccard index of the multisets of two files' findings: shared / (all - shared)."""

LEAST_FINDINGS = 4
"""Files with fewer findings are renamed only if their bytes are equal."""

RARE = 16
"""A finding's identity that more files of a run have says nothing about renames. It bounds the pairs to count."""

LIKELY = 4
"""With how many files one is compared as a whole: those that have the most of its rare findings."""

Contents = Mapping[str, Counter[Hashable]]
"""The identities of the findings in each file, with their numbers."""


class _Candidate(NamedTuple):
    """A possible new name. The greatest is the best: the same last component decides between equal similarities."""

    similarity: float
    same_name: bool
    path: str


def find_renames(
    removed: Mapping[str, str | None],
    added: Mapping[str, str | None],
    contents_before: Callable[[Collection[str]], Contents],
    contents_after: Callable[[Collection[str]], Contents],
) -> dict[str, str]:
    """Return the new path of each removed file that was renamed.

    `removed` and `added` map paths to digests of bytes. The functions return the contents of the files at these paths.
    """
    renames = _by_digest(removed, added)
    olds, news = removed.keys() - renames.keys(), added.keys() - set(renames.values())
    if olds and news:
        renames.update(_by_findings(contents_before(olds), contents_after(news)))
    return renames


def _by_digest(removed: Mapping[str, str | None], added: Mapping[str, str | None]) -> dict[str, str]:
    """Pair files of equal bytes: those of equal names first, then in order of paths."""
    olds, news = _paths_by_digest(removed), _paths_by_digest(added)
    renames: dict[str, str] = {}
    for digest in olds.keys() & news.keys():
        by_name: dict[str, list[str]] = {}
        for path in reversed(news[digest]):
            by_name.setdefault(_name(path), []).append(path)
        for path in olds[digest]:
            if by_name.get(_name(path)):
                renames[path] = by_name[_name(path)].pop()
        others = sorted(path for paths in by_name.values() for path in paths)
        renames.update(zip([path for path in olds[digest] if path not in renames], others, strict=False))
    return renames


def _paths_by_digest(files: Mapping[str, str | None]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(files):
        digest = files[path]
        if digest is not None:
            found.setdefault(digest, []).append(path)
    return found


def _by_findings(before: Contents, after: Contents) -> dict[str, str]:
    """Pair files that are the most similar of all to each other."""
    before, after = _large(before), _large(after)
    forward: dict[str, _Candidate] = {}
    backward: dict[str, _Candidate] = {}
    for old, new in _likely_pairs(before, after):
        shared = (before[old] & after[new]).total()
        similarity = shared / (before[old].total() + after[new].total() - shared)
        if similarity >= LEAST_SIMILARITY:
            same_name = _name(old) == _name(new)
            forward[old] = max(forward.get(old, _NONE), _Candidate(similarity, same_name, new))
            backward[new] = max(backward.get(new, _NONE), _Candidate(similarity, same_name, old))
    return {old: best.path for old, best in forward.items() if backward[best.path].path == old}


_NONE = _Candidate(0.0, same_name=False, path="")


def _large(contents: Contents) -> Contents:
    return {path: found for path, found in contents.items() if found.total() >= LEAST_FINDINGS}


def _likely_pairs(before: Contents, after: Contents) -> set[tuple[str, str]]:
    """Return for each file its pairs with those files that have the most of its rare findings."""
    shared: Counter[tuple[str, str]] = Counter()
    olds, news = _paths_by_finding(before), _paths_by_finding(after)
    for finding, old_paths in olds.items():
        new_paths = news.get(finding, ())
        if len(old_paths) <= RARE and len(new_paths) <= RARE:
            shared.update((old, new) for old in old_paths for new in new_paths)
    partners: dict[tuple[int, str], list[tuple[int, tuple[str, str]]]] = {}
    for pair, count in shared.items():
        for side in (0, 1):
            partners.setdefault((side, pair[side]), []).append((count, pair))
    return {pair for found in partners.values() for _, pair in nlargest(LIKELY, found)}


def _paths_by_finding(contents: Contents) -> dict[Hashable, list[str]]:
    found: dict[Hashable, list[str]] = {}
    for path in sorted(contents):
        for finding in contents[path]:
            found.setdefault(finding, []).append(path)
    return found


def _name(path: str) -> str:
    return path.rpartition("/")[2]
