"""Repositories: one branch with its whole history into a bare repository, and its Python files into the tree."""

import base64
import os
import queue
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from domain.errors import InvalidInputError, PermanentError, TransientError
from domain.sources import FetchedSource, normalize_repository_url, validate_branch_name
from domain.text import one_line
from infrastructure.sources.git.bare_repository import BRANCH, create_bare_repository, is_object_id
from infrastructure.sources.git.command import (
    Config,
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
_POLL_SECONDS = 0.1
_PROGRESS = re.compile(rb"(Receiving objects|Resolving deltas): +(\d+)%")

PercentCallback = Callable[[int], None]


def fetch_repository(
    url: str,
    branch: str | None,
    token: str | None,
    scratch: SourceLayout,
    limits: SourceLimits,
    *,
    ca_bundle: Path | None,
    allowed_hosts: Collection[str],
    on_progress: PercentCallback | None = None,
    stall_seconds: int = STALL_SECONDS,
) -> FetchedSource:
    """Clone a branch (None: the one that HEAD names) and lay out its Python files.

    `on_progress` hears the percentage fetched, 0..100. A transfer slower than 1 kB/s for `stall_seconds` is given up.
    Raises InvalidInputError and PermanentError for what the submitter can mend, ServiceUnavailableError for what may
    pass by itself. No message ever holds the token.
    """
    url = normalize_repository_url(url, allowed_hosts)
    wanted = None if branch is None else validate_branch_name(branch)
    with translate_disk_errors():
        _prepare(scratch.repository)
        place = resolve_remote_host(url, allowed_hosts)
        fetch = _Fetch(scratch, limits, url, place, _network_config(url, place, token, ca_bundle, stall_seconds))
        try:
            ref, name = fetch.find(wanted)
            fetch.run(ref, on_progress or (lambda _: None))
        except GitFailedError as error:
            raise explain_git_error(error, place, with_token=bool(token)) from None
        history = _taken(scratch.repository, name)
        with TreeWriter(scratch, limits) as writer:
            write_commit_tree(scratch, history.commit_sha, writer)
            return writer.finish("repository", history)


def _prepare(repository: Path) -> None:
    require_git(repository)
    try:
        create_bare_repository(repository)
    except GitFailedError as error:
        raise TransientError(f"the scratch space cannot be used: {error.reason()}") from error


def _network_config(
    url: str, place: RemoteHost, token: str | None, ca_bundle: Path | None, stall_seconds: int
) -> list[tuple[str, str]]:
    config = [
        ("http.curloptResolve", place.curl_resolve_entry()),
        ("http.lowSpeedLimit", "1000"),
        ("http.lowSpeedTime", str(stall_seconds)),
    ]
    if ca_bundle is not None:
        config.append(("http.sslCAInfo", str(ca_bundle)))
    if token:
        credentials = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        config.append((f"http.{url}.extraHeader", f"Authorization: Basic {credentials}"))
    return config


class _Fetch:
    """One conversation with one git host."""

    def __init__(
        self, scratch: SourceLayout, limits: SourceLimits, url: str, place: RemoteHost, config: Config
    ) -> None:
        self._repository = scratch.repository
        self._limits = limits
        self._url = url
        self._place = place
        self._config = config

    def find(self, branch: str | None) -> tuple[str, str | None]:
        """The full ref to fetch and the branch's name; None for a HEAD that is on no branch."""
        patterns = ["HEAD"] if branch is None else ["HEAD", f"refs/heads/{branch}"]
        arguments = ("ls-remote", "--symref", "--", self._url, *patterns)
        output = run_git(self._repository, *arguments, config=self._config, protocols="https")
        lines = [line.partition(b"\t") for line in output.splitlines()]
        refs = {name for target, _, name in lines if is_object_id(target)}
        if not refs:
            raise InvalidInputError("the repository is empty: it has no commits, or is no git repository at all")
        if branch is not None:
            if os.fsencode(f"refs/heads/{branch}") not in refs:
                raise InvalidInputError(f"branch {one_line(branch, 80)!r} not found in the repository")
            return f"refs/heads/{branch}", branch
        return _default_branch(output)

    def run(self, ref: str, on_progress: PercentCallback) -> None:
        """Bring the ref's whole history, and nothing else."""
        events: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        arguments = (
            "fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance",
            "--no-write-fetch-head", "--update-shallow", "--", self._url, f"+{ref}:{BRANCH}",
        )  # fmt: skip
        environment = git_environment(self._repository, self._config, protocols="https")
        with file_size_limit(self._limits.max_clone_bytes):  # the process that starts here inherits it
            process = GitProcess(arguments, environment, on_error_output=events.put)
        with process:
            try:
                self._watch(process, events, on_progress)
                process.finish()
            except GitFailedError:
                # The kernel stopped the pack's writer at the limit, whatever git made of that.
                if self._disk_bytes() >= self._limits.max_clone_bytes:
                    raise self._too_large() from None
                raise
        self._check_size()

    def _watch(self, process: GitProcess, events: queue.SimpleQueue[bytes], on_progress: PercentCallback) -> None:
        """Follow what git says until it says no more, and look at the disk meanwhile."""
        said, last = b"", -1
        while True:
            piece = None
            with suppress(queue.Empty):
                piece = events.get(timeout=_POLL_SECONDS)
            if piece == b"":
                return
            said = (said + (piece or b""))[-512:]
            percent = _percent(said)
            if percent > last:
                last = percent
                on_progress(percent)
            try:
                self._check_size()
            except InvalidInputError:
                process.terminate()
                raise

    def _check_size(self) -> None:
        if self._disk_bytes() > self._limits.max_clone_bytes:
            raise self._too_large()

    def _disk_bytes(self) -> int:
        return directory_size(self._repository / "objects")

    def _too_large(self) -> InvalidInputError:
        limit = self._limits.max_clone_bytes / MIB
        return InvalidInputError(f"the repository is larger than {limit:g} MB (MAX_CLONE_MB)")


def _default_branch(output: bytes) -> tuple[str, str | None]:
    for line in output.splitlines():
        target, _, name = line.partition(b"\t")
        if name == b"HEAD" and target.startswith(b"ref: refs/heads/"):
            branch = validate_branch_name(os.fsdecode(target.removeprefix(b"ref: refs/heads/")))
            return f"refs/heads/{branch}", branch
    return "HEAD", None


def _percent(said: bytes) -> int:
    """Receiving is the first four fifths of the work, resolving deltas the last."""
    found = _PROGRESS.findall(said)
    if not found:
        return 0
    step, percent = found[-1]
    return int(percent) * 4 // 5 if step == b"Receiving objects" else 80 + int(percent) // 5


def directory_size(directory: Path) -> int:
    """The sizes of all files below, added up; files that come and go meanwhile do not matter."""
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _taken(repository: Path, branch: str | None) -> FetchedHistory:
    try:
        sha = run_git(repository, "rev-parse", "--verify", "--end-of-options", "HEAD^{commit}").decode().strip()
    except GitFailedError as error:
        raise PermanentError(f"the branch leads to no commit: {error.reason()}") from error
    return FetchedHistory(commit_sha=sha, branch=branch, shallow=(repository / "shallow").exists())
