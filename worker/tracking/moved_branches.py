"""Which branches of a repository have moved, and the jobs that analyse them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import InvalidInputError
from domain.options import JobOptions
from domain.sources import Repository, SourceKind
from domain.text import one_line
from domain.tracking.repository import HEAD, TrackedRepository
from domain.tracking.settings import RepositorySettings
from infrastructure.database.repositories.submissions import NewJob
from worker.tracking.head_check import FoundHeads

TRACKED_BRANCH, TRACKED_HEAD = "tracked_branch", "tracked_head"
"""Keys of a job's `source_metadata`: the key of `heads` that its check moved, and to which commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedBranches:
    """The new commits of the watched branches that have moved, and those branches that do not exist."""

    moved: Mapping[str, str]
    missing: tuple[str, ...]


def find_moved(repository: TrackedRepository, settings: RepositorySettings, found: FoundHeads) -> MovedBranches:
    """Compare the heads that a host has now with those that are stored.

    Raises InvalidInputError for a repository that is empty and always was.
    """
    if not found.commits and not repository.heads:
        raise InvalidInputError("the repository is empty: it has no commits, or is not a git repository")
    known = found.default_branch or (HEAD if HEAD in found.commits else repository.default_branch or HEAD)
    watched = settings.branches or (known,)
    return MovedBranches(
        moved={
            branch: found.commits[branch]
            for branch in watched
            if branch in found.commits and repository.heads.get(branch) != found.commits[branch]
        },
        missing=tuple(branch for branch in watched if branch not in found.commits),
    )


def missing_message(repository: TrackedRepository, missing: tuple[str, ...]) -> str:
    """Return the error about branches that do not exist."""
    names = ", ".join(repr(one_line(name, 80)) for name in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    if any(name in repository.heads for name in missing):
        return f"branch {names}{more} was deleted or renamed on the host; choose other branches, or push it again"
    return f"branch {names}{more} not found in the repository; choose other branches"


def new_job(
    repository: TrackedRepository, settings: RepositorySettings, found: FoundHeads, branch: str, *, has_token: bool
) -> NewJob:
    """Return the job that analyses a branch. The default branch is not named, so that the run knows that it is."""
    named = None if branch in (found.default_branch, HEAD) else branch
    source = Repository(url=repository.clone_url, branch=named).metadata()
    tracked = {TRACKED_BRANCH: branch, TRACKED_HEAD: found.commits[branch]}
    return NewJob(
        job_id=uuid.uuid4().hex,
        source_kind=SourceKind.GITHUB,
        source_metadata={**source, **tracked, "has_token": has_token},
        notify_url=settings.notify_url,
        options=JobOptions(gate=settings.gate, exclude=settings.exclude, repository_id=repository.repository_id),
    )
