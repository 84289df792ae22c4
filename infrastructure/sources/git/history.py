"""History of HEAD in a bare repository, read with `git log --raw --numstat`."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from domain.errors import PermanentError
from domain.history.commits import CommitList, LoggedCommit
from infrastructure.sources.git.bare_repository import is_object_id
from infrastructure.sources.git.command import (
    GitConfig,
    GitFailedError,
    GitProcess,
    git_environment,
    run_git,
)
from infrastructure.sources.git.log_format import LOG_FORMAT, added_lines, cut_records, parse_date
from infrastructure.sources.git.parallel_log import cache_config, interleave, split_commits

PARTIAL_CLONE = "partial clone: fetch its blobs (git fetch --refetch --no-filter)"
"""Why the lines of a history cannot be counted."""

_PATH_MAPPING_FILE = "vibe8-path-mapping.json"
_CHUNK_BYTES = 1 << 20
_MAX_RECORD_BYTES = 1 << 20
_LOG = (
    "log", *LOG_FORMAT, "--no-merges", "--no-renames", "--no-ext-diff", "--no-textconv",
    "--no-walk=unsorted", "--stdin",
)  # fmt: skip
_DIFF = ("diff", "--numstat", "-z", "--find-renames", "--no-ext-diff", "--no-textconv")
_PATH_FILTER = ("--", "*.py")
_FEWER_CALLS = {
    "GIT_FLUSH": "0",
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "67108864",
}
"""Variables that save git system calls. It writes its output in blocks, and not after each commit. The others are
settings of glibc's malloc: git allocates and frees two blobs for each change, and keeps the memory instead of returning
it to the kernel each time, which took half of its system time. Other C libraries ignore them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMapping:
    """Mapping from the paths of the history to the paths of the tree.

    A subdirectory of a work tree is `history_directory`: only the paths below it count, and they lose that prefix. The
    top folder of an archive is `tree_directory`: paths get it as a prefix. Both are relative, and empty for the root.
    """

    history_directory: bytes = b""
    tree_directory: bytes = b""

    def to_tree_path(self, path: bytes) -> bytes | None:
        """Convert a path of the history; None where it lies outside `history_directory`."""
        if self.history_directory:
            if not path.startswith(self.history_directory + b"/"):
                return None
            path = path[len(self.history_directory) + 1 :]
        return self.tree_directory + b"/" + path if self.tree_directory else path

    def save(self, repository: Path) -> None:
        """Store the mapping in the bare repository, where `GitHistory` reads it."""
        document = {
            "history_directory": os.fsdecode(self.history_directory),
            "tree_directory": os.fsdecode(self.tree_directory),
        }
        (repository / _PATH_MAPPING_FILE).write_text(json.dumps(document), encoding="ascii")

    @classmethod
    def load(cls, repository: Path) -> "PathMapping":
        """Read the stored mapping; without one, both directories are the root."""
        file = repository / _PATH_MAPPING_FILE
        if not file.exists():
            return cls()
        document = json.loads(file.read_text(encoding="ascii"))
        return cls(
            history_directory=os.fsencode(document["history_directory"]),
            tree_directory=os.fsencode(document["tree_directory"]),
        )


class GitHistory:
    """Implementation of `domain.ports.History`. Paths are those of the tree, decoded by `os.fsdecode`."""

    def __init__(self, repository: Path, *, processes: int = 1) -> None:
        """Open `SourceLayout.repository` of a fetched source that has history.

        `processes` is the largest number of git processes that may compute at once.
        """
        self._repository = repository
        self._processes = processes
        self._paths = PathMapping.load(repository)

    def head(self) -> tuple[str, int]:
        """Return the full id of HEAD's commit and its committer's date. Raises PermanentError."""
        with _translate_git_errors():
            output = run_git(self._repository, "log", "-1", "--format=%H %ct", "HEAD", "--")
            commit, date = output.decode("ascii").rstrip("\n").split(" ")
            return commit, parse_date(date)

    def is_ancestor(self, commit: str) -> bool:
        """Whether HEAD reaches the commit of that full id; False for an invalid id or an unknown commit."""
        if not is_object_id(commit.encode("utf-8", "replace")):
            return False
        try:
            run_git(self._repository, "merge-base", "--is-ancestor", commit, "HEAD")
        except GitFailedError:  # not an ancestor, or an unknown commit
            return False
        return True

    def path_scope(self) -> str:
        """Return the path mapping as text."""
        return json.dumps([os.fsdecode(self._paths.history_directory), os.fsdecode(self._paths.tree_directory)])

    def commit_digest(self, commit: str) -> bytes:
        """Return the SHA-256 of the commit's content. Raises PermanentError, and ValueError for an invalid id."""
        with _translate_git_errors():
            if not is_object_id(commit.encode("utf-8", "replace")):
                raise ValueError("not a commit id")
            digest = sha256()
            for line in self._stream(("cat-file", "commit", commit), separator=b"\n", cut=True):
                digest.update(line + b"\n")
            return digest.digest()

    def list_commits(self, *, since: str | None = None) -> CommitList:
        """List the commits that HEAD reaches and `since` does not. Raises PermanentError."""
        ids, merges = bytearray(), 0
        with _translate_git_errors():
            # A line holds a commit and its parents.
            for line in self._stream(("rev-list", "--parents", _range(since), "--"), separator=b"\n"):
                commit, _, parents = line.partition(b" ")
                if b" " in parents:
                    merges += 1
                else:
                    ids += commit + b"\n"
        return CommitList(bytes(ids), merges)

    def added_lines(self, since: str) -> dict[str, int] | None:
        """Return how many lines were added to each changed `.py` file; None if the commit `since` is not there.

        Equals `git diff --numstat --find-renames`: of a renamed file only the changed lines count. Raises
        PermanentError.
        """
        if not is_object_id(since.encode("utf-8", "replace")):
            return None
        try:
            run_git(self._repository, "cat-file", "-e", f"{since}^{{commit}}")
        except GitFailedError:
            return None
        with _translate_git_errors():
            records = self._stream((*_DIFF, since, "HEAD", *_PATH_FILTER), separator=b"\0", cut=True)
            return dict(added_lines(records, self._paths.to_tree_path))

    def is_shallow(self) -> bool:
        """Whether the history is cut off."""
        shallow = self._repository / "shallow"
        return shallow.exists() and shallow.stat().st_size > 0

    def is_partial(self) -> bool:
        """Whether the repository is a partial clone, from which git left out objects that it can fetch later."""
        return is_partial(self._repository)

    def log(self, commits: CommitList | None = None) -> Iterator[LoggedCommit]:
        """Iterate over the commits that changed a `.py` file, with these changes; None means all that HEAD reaches.

        Binary changes are left out. Of many commits, several processes read parts at once. Only a few commits are in
        memory at a time. Raises PermanentError.
        """
        parts = split_commits(self.list_commits() if commits is None else commits, self._processes)
        environment = self._environment(cache_config(len(parts)))
        with _translate_git_errors(), ExitStack() as stack:
            processes = []
            for lines in parts:
                process = GitProcess((*_LOG, *_PATH_FILTER), environment, stdin=subprocess.PIPE)
                processes.append(stack.enter_context(process))
                process.write_stdin([lines])
            yield from interleave([process.stdout for process in processes], self._paths.to_tree_path)
            for process in processes:
                process.finish()

    def numstat(self, commits: CommitList | None = None) -> Iterator[tuple[str, int, int]]:
        """Iterate over (path, added lines, deleted lines) of each change of `log`. Raises PermanentError."""
        for commit in self.log(commits):
            yield from (change[:3] for change in commit.changes)

    def _environment(self, config: GitConfig = ()) -> dict[str, str]:
        return {**git_environment(self._repository, config), **_FEWER_CALLS}

    def _stream(self, arguments: Sequence[str], *, separator: bytes, cut: bool = False) -> Iterator[bytes]:
        with GitProcess(arguments, self._environment()) as process:
            yield from (cut_records if cut else split_records)(process.stdout, separator)
            process.finish()


def is_partial(repository: Path) -> bool:
    """Whether the objects of a repository, or of those whose objects it uses, come from a partial clone."""
    alternates = repository / "objects" / "info" / "alternates"
    stores = [repository / "objects"]
    if alternates.exists():
        stores += [Path(os.fsdecode(line)) for line in alternates.read_bytes().splitlines() if line]
    packs = [store / "pack" for store in stores]
    return any(name.endswith(".promisor") for pack in packs if pack.is_dir() for name in os.listdir(pack))  # noqa: PTH208


def _range(since: str | None) -> str:
    """Return the revision range. `since` becomes part of an argument: ValueError unless it is a full commit id."""
    if since is None:
        return "HEAD"
    if not is_object_id(since.encode()):
        raise ValueError("not a commit id")
    return f"{since}..HEAD"


@contextmanager
def _translate_git_errors() -> Iterator[None]:
    try:
        yield
    except GitFailedError as error:
        raise PermanentError(f"the history cannot be read: {error.reason()}") from error
    except ValueError as error:
        raise PermanentError("the history cannot be read: git's output is malformed") from error


def split_records(stream: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """Iterate over the records of a stream, each of which ends with `separator`.

    A last record without its separator is dropped: git was interrupted, and its exit code says so. Raises ValueError
    for a record of more than 1 MiB, which no path of a source tree reaches.
    """
    rest = b""
    while chunk := stream.read(_CHUNK_BYTES):
        *records, rest = (rest + chunk).split(separator)
        yield from records
        if len(rest) > _MAX_RECORD_BYTES:
            raise ValueError(f"a record has more than {_MAX_RECORD_BYTES} bytes")
