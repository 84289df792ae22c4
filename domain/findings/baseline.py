"""The choice of a run's baseline: the earlier run that it is compared with."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit
from uuid import UUID

from domain.findings.measured_run import UNMEASURED
from domain.selection import ALL, Selection

LEAST_AGREEMENT = 0.5
"""The least share of common paths in all paths of two uploads that have only their file name in common."""


LIKELY_COMMITS = 3
"""The most commits from which the added lines are counted in advance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What the runs of one project have in common. `key` is a digest; `by_file_name`: nothing but the file's name."""

    key: str
    by_file_name: bool

    @classmethod
    def of(cls, *, url: str | None, name: str | None, filename: str | None) -> "Project | None":
        """Return the project of a run: its repository, else its name, else the uploaded file's name; None without."""
        for kind, value in (("url", url and normalized_url(url)), ("name", name), ("file", filename)):
            if value:
                digest = sha256(f"{kind}\0{value}".encode("utf-8", "surrogatepass")).hexdigest()
                return cls(key=digest[:32], by_file_name=kind == "file")
        return None


def normalized_url(url: str) -> str:
    """Return the URL without scheme, case of the host, `.git` and trailing slashes."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2].lower()
    except ValueError:
        return url
    return f"{host}/{parts.path.strip('/').removesuffix('.git').rstrip('/')}" if host else url


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An earlier run of the same owner and project. `collectors` is that of its `completeness`.

    `selection` says which files it measured.
    """

    run_id: UUID
    created_at: datetime
    branch: str | None
    commit: str | None
    on_default_branch: bool
    pinned: bool
    rejected: bool
    """Whether its own gate rejected it."""
    collectors: Mapping[str, str]
    selection: Selection = ALL


def choose_baseline(
    candidates: Sequence[Candidate],
    *,
    branch: str | None,
    commit: str | None,
    collectors: Mapping[str, str],
    selection: Selection = ALL,
) -> tuple[Candidate, str] | None:
    """Return the baseline and why it was chosen; None where no run can be one.

    That is the project's pinned run; else the newest of the same branch, else of the default branch, that is not of the
    same commit, was not rejected, and is not less complete in collectors or files.
    """
    newest_first = sorted(candidates, key=lambda each: (each.created_at, each.run_id), reverse=True)
    usable = [
        each
        for each in newest_first
        if (commit is None or each.commit != commit)
        and not each.rejected
        and _measured(each.collectors) >= _measured(collectors)
        and each.selection.covers(selection)
    ]
    choices = (
        ("pinned", [each for each in newest_first if each.pinned]),
        ("same branch", [each for each in usable if each.branch == branch]),
        ("default branch", [each for each in usable if each.on_default_branch]),
    )
    return next(((found[0], reason) for reason, found in choices if found), None)


def likely_commits(candidates: Sequence[Candidate], *, branch: str | None) -> tuple[str, ...]:
    """Return the commits of the runs that `choose_baseline` can choose, at most LIKELY_COMMITS, the likeliest first.

    A branch of None is the default branch. Two are of the same branch: the newest may be the commit of the run itself.
    """
    newest_first = sorted(candidates, key=lambda each: (each.created_at, each.run_id), reverse=True)
    usable = [each for each in newest_first if not each.rejected]
    on_default = [each.commit for each in usable if each.on_default_branch]
    same = on_default if branch is None else [each.commit for each in usable if each.branch == branch]
    commits = [*[each.commit for each in newest_first if each.pinned], *same[:2], *on_default[:1]]
    return tuple(dict.fromkeys(commit for commit in commits if commit is not None))[:LIKELY_COMMITS]


def _measured(collectors: Mapping[str, str]) -> set[str]:
    return {name for name, state in collectors.items() if state not in UNMEASURED}


def paths_agree(before: Collection[str], after: Collection[str]) -> bool:
    """Return whether at least half of all paths are in both runs."""
    known, found = frozenset(before), frozenset(after)
    return len(known & found) >= LEAST_AGREEMENT * len(known | found)
