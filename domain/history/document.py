"""The `history` of a run, from the facts of its commits, and from the roles, health and imports of its files."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.history.coupling import CoupledPair
from domain.history.facts import FileFacts, HistoryFacts
from domain.history.hotspots import MAX_CANDIDATES, MIN_COMMITS, hotspot_score, select_candidates
from domain.history.truck_factor import SILENT_SECONDS, TruckFactor, truck_factor, without_people
from domain.statistics.formulas import percentile_rank
from domain.text import JSON, one_line

LISTED_PAIRS = 100
LISTED_FILES = 1_000
"""The most coupled pairs, and files with their owners, that a run lists. The totals say how many there are."""

LISTED_PEOPLE = 20
"""The most people of the truck factor that a run names."""

SOURCE, TEST = "source", "test"
"""The roles of files that the rankings tell apart."""

NO_HISTORY = "the source came without a git history"
SHALLOW = "the git history is shallow: clone all of it (git fetch --unshallow)"
PARTIAL = "the git clone is partial: fetch its blobs (git fetch --refetch --no-filter)"
TOO_LONG = "the git history is too long for it"
FAILED = "the git history could not be read; errors says why"
UNREQUESTED = "the metric of the history was not requested"
"""Why a run has no `history`."""

_NAME_LIMIT = 100
_LATEST_YEAR = 253_402_300_799
"""The last second of the year 9999, the latest that a date can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What is known of a tree's files: the role of each by path, and two questions about some of them.

    `health` returns a file's health score without churn; None where it has none. `imports` returns, for each of some
    files, the files of the tree that it imports; None where imports were not measured.
    """

    roles: Mapping[str, str]
    health: Callable[[str], float | None]
    imports: Callable[[Collection[str]], Mapping[str, Collection[str]] | None]

    def are_source(self, *paths: str) -> bool:
        """Return whether all of the files have the role `source`."""
        return all(self.roles.get(path) == SOURCE for path in paths)


def missing_history(reason: str) -> dict[str, JSON]:
    """Return the `history` of a run that has none: every part is null."""
    return {
        "reason": reason, "head_at": None, "commits": None, "remembered": None,
        "hotspots": None, "coupling": None, "ownership": None, "ai_share": None,
    }  # fmt: skip


def history_document(facts: HistoryFacts, tree: Tree) -> dict[str, JSON]:
    """Return the `history` of a run."""
    assisted = facts.assisted
    return {
        "reason": None,
        "head_at": datetime.fromtimestamp(min(facts.now, _LATEST_YEAR), UTC).isoformat(),
        "commits": {"counted": facts.commits, **facts.left_out._asdict()},
        "remembered": facts.remembered,
        "hotspots": _hotspots(facts, tree),
        "coupling": _coupling(facts, tree),
        "ownership": _ownership(facts, tree),
        "ai_share": {
            **assisted._asdict(),
            "commit_share": _share(assisted.commits, assisted.of_commits),
            "line_share": _share(assisted.lines, assisted.of_lines),
        },
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _hotspots(facts: HistoryFacts, tree: Tree) -> dict[str, JSON]:
    if facts.commits < MIN_COMMITS:
        return {"reason": f"insufficient history: {facts.commits} of {MIN_COMMITS} commits", "files": None}
    source = [path for path in tree.roles if tree.are_source(path)]
    weights = {path: facts.files[path].weight if path in facts.files else 0.0 for path in source}
    ordered = sorted(weights.values())
    files: list[dict[str, JSON]] = []
    for path in select_candidates(weights):
        percentile, health = percentile_rank(weights[path], ordered), tree.health(path)
        files.append(
            {
                "path": path,
                "commits": facts.files[path].commits,
                "weighted_commits": round(weights[path], 3),
                "percentile": round(percentile, 2),
                "health": health,
                "score": None if health is None else round(hotspot_score(percentile, health), 2),
            }
        )
    files.sort(key=lambda file: (-1.0 if file["score"] is None else file["score"], file["percentile"]), reverse=True)
    return {"reason": None, "files": files[:MAX_CANDIDATES]}


def _coupling(facts: HistoryFacts, tree: Tree) -> dict[str, JSON]:
    pairs = sorted(facts.pairs, key=lambda pair: not tree.are_source(pair.left, pair.right))[:LISTED_PAIRS]
    imports = tree.imports({path for pair in pairs for path in (pair.left, pair.right)}) if pairs else {}
    return {
        "commits": facts.coupled_commits,
        "tested": facts.tested,
        "total": facts.coupled_total,
        "pairs": [_pair(pair, tree.roles, imports) for pair in pairs],
    }


def _pair(
    pair: CoupledPair, roles: Mapping[str, str], imports: Mapping[str, Collection[str]] | None
) -> dict[str, JSON]:
    because = expectation(pair, roles, imports or {})
    unexpected = "hidden" if imports is not None else "unknown"
    return {
        **pair._asdict(),
        "degree": round(pair.degree, 2),
        "confidence": round(pair.confidence, 4),
        "kind": unexpected if because is None else "expected",
        "because": because,
    }


def expectation(pair: CoupledPair, roles: Mapping[str, str], imports: Mapping[str, Collection[str]]) -> str | None:
    """Return why the coupling of a pair is expected: one file imports the other (`import`) or is its test (`test`)."""
    left, right = pair.left, pair.right
    if right in imports.get(left, ()) or left in imports.get(right, ()):
        return "import"
    return "test" if _is_test_of(left, right, roles) or _is_test_of(right, left, roles) else None


def _is_test_of(test: str, other: str, roles: Mapping[str, str]) -> bool:
    """Return whether a test has the other file's name, or `test_` before or `_test` after it."""
    if roles.get(test) != TEST or roles.get(other) == TEST:
        return False
    name, tested = _module_name(test), _module_name(other)
    return tested in (name, name.removeprefix("test_"), name.removesuffix("_test"))


def _module_name(path: str) -> str:
    """Return the name of a file's module; that of a package for its `__init__.py`."""
    *folders, name = path.removesuffix(".py").split("/")
    return folders[-1] if name == "__init__" and folders else name


def _ownership(facts: HistoryFacts, tree: Tree) -> dict[str, JSON]:
    authors = {path: file.authors for path, file in facts.files.items() if tree.are_source(path)}
    silent = {person for person, at in enumerate(facts.last_seen) if at < facts.now - SILENT_SECONDS}
    first = sorted(facts.files, key=lambda path: (not tree.are_source(path), -facts.files[path].added, path))
    return {
        "people": len({person for path in authors for person in facts.files[path].authors}),
        "truck_factor": _truck_factor(truck_factor(authors, facts.names), facts.names),
        "truck_factor_without_silent": _truck_factor(
            truck_factor(without_people(authors, silent), facts.names), facts.names
        ),
        "total": len(first),
        "files": [_owned_file(path, facts.files[path], facts.names) for path in first[:LISTED_FILES]],
    }


def _truck_factor(found: TruckFactor, names: Sequence[str]) -> dict[str, JSON]:
    return {
        "people": len(found.people),
        "names": [_shown(names[person]) for person in found.people[:LISTED_PEOPLE]],
        "covered": round(found.covered, 4),
    }


def _owned_file(path: str, file: FileFacts, names: Sequence[str]) -> dict[str, JSON]:
    return {
        "path": path,
        "main_author": _shown(names[file.main_author]),
        "share": round(file.share, 4),
        "added": file.added,
        "commits": file.commits,
        "people": file.people,
        "minor_authors": file.minor,
        "fragmentation": round(file.fragmentation, 4),
        "known_by": len(file.authors),
    }


def _shown(name: str) -> str:
    return one_line(name, _NAME_LIMIT)


def without_names(document: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a run's `history` for readers other than its owner: numbers stay, names of people go."""
    ownership = document["ownership"]
    if ownership is None:
        return dict(document)
    anonymous = {
        **ownership,
        "files": [{**file, "main_author": None} for file in ownership["files"]],
        **{key: {**ownership[key], "names": None} for key in ("truck_factor", "truck_factor_without_silent")},
    }
    return {**document, "ownership": anonymous}
