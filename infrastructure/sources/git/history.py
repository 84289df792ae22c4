"""The history of HEAD in a bare repository of ours, as git's own `log --numstat` tells it."""

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

_PATH_MAPPING_FILE = "vibe8-path-mapping.json"
_CHUNK = 1 << 20
_LONGEST_LINE = 1 << 20
_NUMSTAT = (
    "log", "--numstat", "-z", "--format=", "--no-merges", "--no-renames", "--no-ext-diff", "--no-textconv",
    "--full-history",  # or the paths would simplify the history, and a reverted side branch not count
)  # fmt: skip
_PATHS = ("--", "*.py")
_ALLOCATOR = {
    "MALLOC_TOP_PAD_": "67108864",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_MMAP_THRESHOLD_": "67108864",
}
"""For glibc; others overlook it. A walk takes and frees two blobs a change: the memory is kept instead of given back to
the kernel each time, which was half of the walk's system time."""


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
    """Implements `domain.ports.History`. Paths come as `os.fsdecode` gives them and as the tree has them."""

    def __init__(self, repository: Path) -> None:
        """`repository` is what `SourceLayout.repository` holds after a fetch that found history."""
        self._repository = repository
        self._paths = PathMapping.load(repository)

    def head(self) -> str:
        """The full name of HEAD's commit. Raises PermanentError."""
        with _faults_translated():
            said = run_git(self._repository, "rev-parse", "--verify", "--end-of-options", "HEAD^{commit}")
            return said.decode("ascii").strip()

    def is_ancestor(self, commit: str) -> bool:
        """Whether HEAD reaches the commit of that full name; False for what is no name, or no commit here."""
        if not is_object_id(commit.encode("utf-8", "replace")):
            return False
        try:
            run_git(self._repository, "merge-base", "--is-ancestor", commit, "HEAD")
        except GitFailedError:  # also of what is not there
            return False
        return True

    def path_scope(self) -> str:
        """Return the path mapping as text."""
        return json.dumps([os.fsdecode(self._paths.history_directory), os.fsdecode(self._paths.tree_directory)])

    def commit_count(self, *, since: str | None = None) -> int:
        """`git rev-list --count --no-merges HEAD`, or of what `since` does not reach. Raises PermanentError."""
        with _faults_translated():
            return int(run_git(self._repository, "rev-list", "--count", "--no-merges", _range(since), "--"))

    def is_shallow(self) -> bool:
        """Whether the history was cut off."""
        shallow = self._repository / "shallow"
        return shallow.exists() and shallow.stat().st_size > 0

    def commits(self) -> Iterator[str]:
        """The names of all non-merge commits, newest first: what `numstat` can be split by. Raises PermanentError."""
        with _faults_translated():
            for line in self._stream(("rev-list", "--no-merges", "HEAD", "--"), separator=b"\n"):
                yield line.decode("ascii")

    def numstat(
        self, commits: Iterable[str] | None = None, *, since: str | None = None
    ) -> Iterator[tuple[str, int, int]]:
        """(path, added, deleted) for each `.py` file that a commit changed; binary changes have no lines.

        Of all non-merge commits, of those that `since` does not reach, or of these alone: the lines of any partition of
        `commits()` are together those of the whole, so that processes can share the work. Only the line in hand is
        held. Raises PermanentError.
        """
        if commits is None:
            yield from self._changes((*_NUMSTAT, _range(since), *_PATHS), None)
            return
        names = [f"{commit}\n".encode("ascii") for commit in commits]
        if names:  # given none at all, git would take HEAD
            yield from self._changes((*_NUMSTAT, "--no-walk=unsorted", "--stdin", *_PATHS), names)

    def _changes(self, arguments: Sequence[str], names: list[bytes] | None) -> Iterator[tuple[str, int, int]]:
        with _faults_translated():
            for line in self._stream(arguments, separator=b"\0", given=names):
                added, deleted, path = line.split(b"\t", 2)
                seen = self._paths.to_tree_path(path)
                if seen is not None and added != b"-":
                    yield os.fsdecode(seen), int(added), int(deleted)

    def _stream(
        self, arguments: Sequence[str], *, separator: bytes, given: list[bytes] | None = None
    ) -> Iterator[bytes]:
        stdin = None if given is None else subprocess.PIPE
        environment = {**git_environment(self._repository), **_ALLOCATOR}
        with GitProcess(arguments, environment, stdin=stdin) as process:
            if given is not None:
                process.feed(given)
            yield from split_records(process.stdout, separator)
            process.finish()


def _range(since: str | None) -> str:
    """Raises ValueError for what is no commit's full name: it becomes part of an argument."""
    if since is None:
        return "HEAD"
    if not is_object_id(since.encode()):
        raise ValueError("not a commit's name")
    return f"{since}..HEAD"


@contextmanager
def _faults_translated() -> Iterator[None]:
    try:
        yield
    except GitFailedError as error:
        raise PermanentError(f"the history cannot be read: {error.reason()}") from error
    except ValueError as error:
        raise PermanentError("the history cannot be read: git's answer cannot be understood") from error


def split_records(stream: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """The records of a stream in which each is ended by `separator`; what follows the last is git's to explain.

    Raises ValueError at a record of more than a megabyte, which no path of a source tree makes.
    """
    rest = b""
    while chunk := stream.read(_CHUNK):
        *records, rest = (rest + chunk).split(separator)
        yield from records
        if len(rest) > _LONGEST_LINE:
            raise ValueError("a record without end")
