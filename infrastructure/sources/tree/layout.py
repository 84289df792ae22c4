"""Where a source lies while it is analysed, and what has become of its history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.errors import TransientError


@dataclass(frozen=True, slots=True)
class SourceLayout:
    """The layout of one analysis on disk. `root` exists and is ours alone; the rest is made by whoever fetches."""

    root: Path

    @property
    def tree(self) -> Path:
        """Exactly the regular `.py` files to analyse, by their own names, executable bits kept."""
        return self.root / "tree"

    @property
    def manifests(self) -> Path:
        """Files that may declare dependencies, by the same relative paths."""
        return self.root / "manifests"

    @property
    def repository(self) -> Path:
        """A bare repository of our own configuration; `GitHistory` reads it."""
        return self.root / "repo.git"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedHistory:
    """What is known of a history that now stands in `SourceLayout.repository`."""

    commit_sha: str
    branch: str | None
    shallow: bool


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Raise TransientError for an OSError inside: after the adapters have judged theirs, only our own disk is left."""
    try:
        yield
    except OSError as error:
        raise TransientError(f"the scratch space cannot be used: {error.strerror or type(error).__name__}") from error
