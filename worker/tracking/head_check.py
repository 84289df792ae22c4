"""The check of a repository's branches: `ls-remote` in a child process, in the sandbox that fetching has."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.errors import AnalysisKilledError, InvalidInputError, PermanentError, ServiceUnavailableError
from domain.ports import ChildRunner
from domain.sources import validate_branch_name
from domain.text import JSON
from domain.tracking.repository import HEAD
from worker.analysis.sandbox_profiles import MemoryBudget, build_profiles
from worker.analysis.workspace import Removals, job_workspace

HEADS = "worker.analysis.child_tasks:heads"
CHECK_SECONDS = 30.0
"""Deadline of a check, which usually takes 0.2 s."""

_OBJECT_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundHeads:
    """The commits of those branches that exist, and the default branch: None where the host names none."""

    default_branch: str | None
    commits: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadCheck:
    """Asks git hosts for the heads of branches.

    A check takes one of the `places` of those who fetch. `git` has `allowed_hosts` and `ca_bundle`.
    """

    children: ChildRunner
    scratch_dir: Path
    memory: MemoryBudget
    places: asyncio.Semaphore
    git: Mapping[str, JSON]

    async def heads(self, url: str, branches: Sequence[str], token: str | None) -> FoundHeads:
        """Return the heads of the default branch and of `branches`.

        Raises PermanentError for what the owner can correct, TransientError for what may pass.
        """
        source = {"kind": "repository", "url": url, "branches": list(branches), "token": token, **self.git}
        async with self.places, Removals() as removals, job_workspace(self.scratch_dir, removals) as scratch:
            sandbox = self.memory.checking(build_profiles(scratch, source)[0])
            request = {"scratch": str(scratch), "source": source}
            try:
                found = await self.children.run(HEADS, request, sandbox=sandbox, deadline=CHECK_SECONDS)
            except AnalysisKilledError as error:
                if error.timed_out:
                    message = f"the git host did not answer within {CHECK_SECONDS:.0f} s"
                    raise ServiceUnavailableError(message) from error
                raise
        return read_heads(found, branches)


def read_heads(found: Mapping[str, JSON], branches: Sequence[str]) -> FoundHeads:
    """Return what a child found, with nothing but valid names and commits: the host may have taken the child over.

    Raises PermanentError for anything else.
    """
    default, commits = found.get("default_branch"), found.get("commits")
    try:
        default = None if default is None else validate_branch_name(default)
    except (InvalidInputError, TypeError):
        raise PermanentError("the git host sent a default branch without a valid name") from None
    asked = {*branches, HEAD if default is None else default}
    if not isinstance(commits, dict) or not all(
        name in asked and isinstance(commit, str) and _OBJECT_ID.fullmatch(commit) for name, commit in commits.items()
    ):
        raise PermanentError("the git host sent invalid heads")
    return FoundHeads(default_branch=default, commits=commits)
