"""Layout of a fetched source in scratch space, and the description of its history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.errors import TransientError


@dataclass(frozen=True, slots=True)
class SourceLayout:
    """Directories of one source on disk. `root` must exist and belong to this analysis; fetching makes the others."""

    root: Path

    @property
    def tree(self) -> Path:
        """Directory of the `.py` files to analyse, with their own paths and executable bits, and nothing else."""
        return self.root / "tree"

    @property
    def manifests(self) -> Path:
        """Directory of the files that may declare dependencies, with the same relative paths."""
        return self.root / "manifests"

    @property
    def repository(self) -> Path:
        """Bare repository, without any foreign configuration, which `GitHistory` reads."""
        return self.root / "repo.git"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedHistory:
    """Description of the history in `SourceLayout.repository`; `branch` is None for a detached HEAD."""

    commit_sha: str
    branch: str | None
    shallow: bool


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Convert OSError to TransientError.

    Code inside handles the errors of reading a source itself, so an OSError that leaves it concerns scratch space.
    """
    try:
        yield
    except OSError as error:
        raise TransientError(f"the scratch space cannot be used: {error.strerror or type(error).__name__}") from error
