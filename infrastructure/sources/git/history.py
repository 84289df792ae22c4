"""History of HEAD in a bare repository, read with `git log --numstat`."""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from domain.errors import PermanentError
from infrastructure.sources.git.bare_repository import is_object_id
from infrastructure.sources.git.command import GitFailedError, GitProcess, git_environment, run_git

PARTIAL_CLONE = "partial clone: fetch its blobs (git fetch --refetch --no-filter)"
"""Why the lines of a history cannot be counted."""

_PATH_MAPPING_FILE = "vibe8-path-mapping.json"
_CHUNK_BYTES = 1 << 20
_MAX_RECORD_BYTES = 1 << 20
_NUMSTAT = (
    "log", "--numstat", "-z", "--format=", "--no-merges", "--no-renames", "--no-ext-diff", "--no-textconv",
    "--full-history",  # without it the path filter simplifies history, and a reverted side branch is lost
)  # fmt: skip
_PATH_FILTER = ("--", "*.py")
_MALLOC_SETTINGS = {
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "67108864",
}
"""Settings of glibc's malloc. git allocates and frees two blobs for each change. With these settings it keeps the
memory instead of returning it to the kernel each time, which took half of its system time. Other C libraries ignore
them."""


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

    def __init__(self, repository: Path) -> None:
        """Open `SourceLayout.repository` of a fetched source that has history."""
        self._repository = repository
        self._paths = PathMapping.load(repository)

    def head(self) -> str:
        """Return the full id of HEAD's commit. Raises PermanentError."""
        with _translate_git_errors():
            output = run_git(self._repository, "rev-parse", "--verify", "--end-of-options", "HEAD^{commit}")
            return output.decode("ascii").strip()

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

    def commit_count(self, *, since: str | None = None) -> int:
        """Count the non-merge commits that HEAD reaches and `since` does not. Raises PermanentError."""
        with _translate_git_errors():
            return int(run_git(self._repository, "rev-list", "--count", "--no-merges", _range(since), "--"))

    def is_shallow(self) -> bool:
        """Whether the history is cut off."""
        shallow = self._repository / "shallow"
        return shallow.exists() and shallow.stat().st_size > 0

    def is_partial(self) -> bool:
        """Whether the repository is a partial clone, from which git left out objects that it can fetch later."""
        return is_partial(self._repository)

    def commits(self) -> Iterator[str]:
        """Iterate over the ids of all non-merge commits, newest first. Raises PermanentError."""
        with _translate_git_errors():
            for line in self._stream(("rev-list", "--no-merges", "HEAD", "--"), separator=b"\n"):
                yield line.decode("ascii")

    def numstat(
        self, commits: Iterable[str] | None = None, *, since: str | None = None
    ) -> Iterator[tuple[str, int, int]]:
        """Iterate over (path, added lines, deleted lines) of each `.py` file that a commit changed.

        Covers the given `commits`, else all non-merge commits that `since` does not reach. Several processes can share
        the work by splitting `commits()` into parts. Binary changes are left out. Only one record is in memory at a
        time. Raises PermanentError.
        """
        if commits is None:
            yield from self._changes((*_NUMSTAT, _range(since), *_PATH_FILTER), None)
            return
        lines = [f"{commit}\n".encode("ascii") for commit in commits]
        if lines:  # without any commit git would use HEAD
            yield from self._changes((*_NUMSTAT, "--no-walk=unsorted", "--stdin", *_PATH_FILTER), lines)

    def _changes(self, arguments: Sequence[str], commit_lines: list[bytes] | None) -> Iterator[tuple[str, int, int]]:
        with _translate_git_errors():
            for line in self._stream(arguments, separator=b"\0", stdin_lines=commit_lines):
                added, deleted, path = line.split(b"\t", 2)
                tree_path = self._paths.to_tree_path(path)
                if tree_path is not None and added != b"-":
                    yield os.fsdecode(tree_path), int(added), int(deleted)

    def _stream(
        self, arguments: Sequence[str], *, separator: bytes, stdin_lines: list[bytes] | None = None
    ) -> Iterator[bytes]:
        stdin = None if stdin_lines is None else subprocess.PIPE
        environment = {**git_environment(self._repository), **_MALLOC_SETTINGS}
        with GitProcess(arguments, environment, stdin=stdin) as process:
            if stdin_lines is not None:
                process.write_stdin(stdin_lines)
            yield from split_records(process.stdout, separator)
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
