"""Cloning: fetch one branch with its whole history into a bare repository, and write its Python files to the tree."""

import base64
import os
import re
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from domain.errors import InvalidInputError, PermanentError, TransientError
from domain.selection import ALL, Selection
from domain.sources import FetchedSource, normalize_repository_url, validate_branch_name
from domain.text import one_line
from infrastructure.sources.git.bare_repository import BRANCH, create_bare_repository, is_object_id
from infrastructure.sources.git.command import (
    GitConfig,
    GitFailedError,
    GitProcess,
    file_size_limit,
    git_environment,
    require_git,
    run_git,
)
from infrastructure.sources.git.commit_tree import write_commit_tree
from infrastructure.sources.git.remote import RemoteHost, explain_git_error, resolve_remote_host
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout, translate_disk_errors
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.tree.writer import TreeWriter

STALL_SECONDS = 60
"""Seconds that a transfer may stay below 1 kB/s before it is aborted."""

_POLL_SECONDS = 0.1
_TAIL_BYTES = 512
_PROGRESS_PATTERN = re.compile(rb"(Receiving objects|Resolving deltas): +(\d+)%")

PercentCallback = Callable[[int], None]


def fetch_repository(
    url: str,
    branch: str | None,
    token: str | None,
    layout: SourceLayout,
    limits: SourceLimits,
    *,
    ca_bundle: Path | None,
    allowed_hosts: Collection[str],
    on_progress: PercentCallback | None = None,
    stall_seconds: int = STALL_SECONDS,
    selection: Selection = ALL,
) -> FetchedSource:
    """Clone a branch (None: HEAD's branch) and write its selected Python files.

    `on_progress` is called with the percentage that was fetched, 0..100. A transfer that stays below 1 kB/s for
    `stall_seconds` is aborted. Raises InvalidInputError or PermanentError for faults that the submitter can correct,
    ServiceUnavailableError for temporary ones. No message contains the token.
    """
    url = normalize_repository_url(url, allowed_hosts)
    checked_branch = None if branch is None else validate_branch_name(branch)
    with translate_disk_errors():
        create_repository(layout.repository)
        remote = resolve_remote_host(url, allowed_hosts)
        fetch = _RemoteFetch(layout, limits, url, network_config(url, remote, token, ca_bundle, stall_seconds))
        try:
            ref, name = fetch.find_ref(checked_branch)
            fetch.fetch(ref, on_progress or (lambda _: None))
        except GitFailedError as error:
            raise explain_git_error(error, remote, with_token=bool(token)) from None
        history = _describe_history(layout.repository, name)
        with TreeWriter(layout, limits, selection=selection) as writer:
            write_commit_tree(layout, history.commit_sha, writer)
            return writer.finish("repository", history)


def create_repository(repository: Path) -> None:
    """Make the bare repository in scratch. Raises PermanentError without a usable git, and TransientError."""
    require_git(repository)
    try:
        create_bare_repository(repository)
    except GitFailedError as error:
        raise TransientError(f"the scratch space cannot be used: {error.reason()}") from error


def network_config(
    url: str, remote: RemoteHost, token: str | None, ca_bundle: Path | None, stall_seconds: int
) -> GitConfig:
    """Return git's configuration for one host: its checked address, its certificates and the token."""
    config = [
        ("http.curloptResolve", remote.curl_resolve_entry()),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", str(stall_seconds)),
    ]
    if ca_bundle is not None:
        config.append(("http.sslCAInfo", str(ca_bundle)))
    if token:
        credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        config.append((f"http.{url}.extraHeader", f"Authorization: Basic {credentials}"))
    return config


class _RemoteFetch:
    """Fetch of one repository from one git host."""

    def __init__(self, layout: SourceLayout, limits: SourceLimits, url: str, config: GitConfig) -> None:
        self._repository = layout.repository
        self._limits = limits
        self._url = url
        self._config = config

    def find_ref(self, branch: str | None) -> tuple[str, str | None]:
        """Find the ref to fetch. Returns the full ref and the branch; the branch is None for a detached HEAD."""
        patterns = ["HEAD"] if branch is None else ["HEAD", f"refs/heads/{branch}"]
        arguments = ("ls-remote", "--symref", "--", self._url, *patterns)
        output = run_git(self._repository, *arguments, config=self._config, protocols="https")
        lines = [line.partition(b"\t") for line in output.splitlines()]
        refs = {name for target, _, name in lines if is_object_id(target)}
        if not refs:
            raise InvalidInputError("the repository is empty: it has no commits, or is not a git repository")
        if branch is not None:
            if os.fsencode(f"refs/heads/{branch}") not in refs:
                raise InvalidInputError(f"branch {one_line(branch, 80)!r} not found in the repository")
            return f"refs/heads/{branch}", branch
        return default_branch(output)

    def fetch(self, ref: str, on_progress: PercentCallback) -> None:
        """Fetch the ref's whole history, and no other ref."""
        output = ErrorOutput()
        arguments = (
            "fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance",
            "--no-write-fetch-head", "--update-shallow", "--", self._url, f"+{ref}:{BRANCH}",
        )  # fmt: skip
        environment = git_environment(self._repository, self._config, protocols="https")
        with file_size_limit(self._limits.max_clone_bytes):  # the git process inherits the limit
            process = GitProcess(arguments, environment, on_stderr=output.add)
        with process:
            try:
                self._watch(process, output, on_progress)
                process.finish()
            except GitFailedError:
                # The kernel stops git when its pack reaches the limit, and git then reports some other error.
                if self._objects_size() >= self._limits.max_clone_bytes:
                    raise self._too_large_error() from None
                raise
        self._check_size()

    def _watch(self, process: GitProcess, output: "ErrorOutput", on_progress: PercentCallback) -> None:
        """Report progress from git's stderr until its end, and check the size on disk meanwhile."""
        last_percent, ended = -1, False
        while not ended:
            ended = output.ended.wait(_POLL_SECONDS)
            percent = _parse_percent(output.tail)
            if percent > last_percent:
                last_percent = percent
                on_progress(percent)
            try:
                self._check_size()
            except InvalidInputError:
                process.terminate()
                raise

    def _check_size(self) -> None:
        if self._objects_size() > self._limits.max_clone_bytes:
            raise self._too_large_error()

    def _objects_size(self) -> int:
        return directory_size(self._repository / "objects")

    def _too_large_error(self) -> InvalidInputError:
        limit = self._limits.max_clone_bytes / MIB
        return InvalidInputError(f"the repository is larger than {limit:g} MB (MAX_CLONE_MB)")


class ErrorOutput:
    """The end of git's stderr. The host writes most of it, as much and as fast as it likes, so no more is kept."""

    def __init__(self) -> None:
        self.tail = b""
        self.ended = threading.Event()

    def add(self, chunk: bytes) -> None:
        """Take a chunk; an empty one is the end."""
        self.tail = (self.tail + chunk)[-_TAIL_BYTES:]
        if not chunk:
            self.ended.set()


def default_branch(output: bytes) -> tuple[str, str | None]:
    """Return HEAD's ref in the output of `ls-remote --symref`, and its branch: None for a detached HEAD."""
    for line in output.splitlines():
        target, _, name = line.partition(b"\t")
        if name == b"HEAD" and target.startswith(b"ref: refs/heads/"):
            branch = validate_branch_name(os.fsdecode(target.removeprefix(b"ref: refs/heads/")))
            return f"refs/heads/{branch}", branch
    return "HEAD", None


def _parse_percent(output: bytes) -> int:
    """Parse git's progress: receiving objects counts as the first 80 %, resolving deltas as the other 20 %."""
    found = _PROGRESS_PATTERN.findall(output)
    if not found:
        return 0
    step, percent = found[-1]
    return int(percent) * 4 // 5 if step == b"Receiving objects" else 80 + int(percent) // 5


def directory_size(directory: Path) -> int:
    """Sum the sizes in bytes of all files below the directory; files that vanish meanwhile are ignored."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _describe_history(repository: Path, branch: str | None) -> FetchedHistory:
    try:
        sha = run_git(repository, "rev-parse", "--verify", "--end-of-options", "HEAD^{commit}").decode().strip()
    except GitFailedError as error:
        raise PermanentError(f"the branch has no commit: {error.reason()}") from error
    return FetchedHistory(commit_sha=sha, branch=branch, shallow=(repository / "shallow").exists())
