"""Heads of a remote repository's branches, by `ls-remote`: nothing is fetched."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.sources import normalize_repository_url, validate_branch_name
from infrastructure.sources.git.bare_repository import is_object_id
from infrastructure.sources.git.clone import create_repository, default_branch, network_config
from infrastructure.sources.git.command import GitFailedError, run_git
from infrastructure.sources.git.remote import explain_git_error, resolve_remote_host
from infrastructure.sources.tree.layout import translate_disk_errors

STALL_SECONDS = 15
"""Seconds that the host may stay below 1 kB/s: its answer is short."""

_BRANCHES = "refs/heads/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHeads:
    """The commits of those branches that exist, and the default branch: None where HEAD is detached or leads nowhere.

    The commit of HEAD is under its branch, or under `HEAD`.
    """

    default_branch: str | None
    commits: dict[str, str]


def list_heads(
    url: str,
    branches: Sequence[str],
    token: str | None,
    repository: Path,
    *,
    ca_bundle: Path | None,
    allowed_hosts: Collection[str],
) -> RemoteHeads:
    """Ask the host for the commits of the default branch and of `branches`.

    `repository` is where an empty bare repository is made. A repository without commits has no heads. Raises what
    `infrastructure.sources.git.clone.fetch_repository` raises.
    """
    url = normalize_repository_url(url, allowed_hosts)
    patterns = ["HEAD", *(_BRANCHES + validate_branch_name(branch) for branch in branches)]
    with translate_disk_errors():
        create_repository(repository)
        remote = resolve_remote_host(url, allowed_hosts)
        config = network_config(url, remote, token, ca_bundle, STALL_SECONDS)
        try:
            output = run_git(
                repository, "ls-remote", "--symref", "--", url, *patterns, config=config, protocols="https"
            )
        except GitFailedError as error:
            raise explain_git_error(error, remote, with_token=bool(token)) from None
    return _parse(output, branches)


def _parse(output: bytes, branches: Sequence[str]) -> RemoteHeads:
    lines = [line.partition(b"\t") for line in output.splitlines()]
    refs = {name: target.decode("ascii") for target, _, name in lines if is_object_id(target)}
    _, default = default_branch(output)
    commits = {branch: refs[name] for branch in branches if (name := os.fsencode(_BRANCHES + branch)) in refs}
    if b"HEAD" in refs:
        commits[default or "HEAD"] = refs[b"HEAD"]
    return RemoteHeads(default_branch=default, commits=commits)
