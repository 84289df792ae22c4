"""The history of a work tree on this machine, borrowed: our own bare repository over the objects where they lie.

Nothing is copied and no git runs in the foreign repository, so that its configuration, its hooks and its attributes
have no say, however the directory came to this machine.
"""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from domain.metrics.report import Failed
from infrastructure.sources.git.bare_repository import (
    MAX_PACKED_REFS_BYTES,
    MAX_REF_BYTES,
    UnusableHistoryError,
    copy_shallow_file,
    create_bare_repository,
    resolve_head,
    set_head,
)
from infrastructure.sources.git.command import GitFailedError, run_git
from infrastructure.sources.git.history import PathMapping
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout

_ALTERNATES = Path("objects/info/alternates")
_ALTERNATE_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRepository:
    """A work tree that holds a directory: its `.git` (a directory, or a file that points to one) and the way down."""

    dot_git: Path
    below: bytes


def find_repository(directory: Path) -> LocalRepository | None:
    """The innermost work tree around a resolved directory."""
    for place in (directory, *directory.parents):
        dot_git = place / ".git"
        if os.path.lexists(dot_git):
            below = directory.relative_to(place)
            return LocalRepository(dot_git=dot_git, below=b"" if below == Path() else os.fsencode(below))
    return None


def link_history(found: LocalRepository, scratch: SourceLayout) -> FetchedHistory | Failed:
    """Make `scratch.repository` see the history of HEAD; Failed, with nothing left behind, where there is none."""
    try:
        return _borrow(found, scratch)
    except UnusableHistoryError as error:
        reason = str(error)
    except GitFailedError as error:
        reason = error.reason()
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    shutil.rmtree(scratch.repository, ignore_errors=True)
    return Failed(reason=reason)


def _borrow(found: LocalRepository, scratch: SourceLayout) -> FetchedHistory:
    git_dir = _git_directory(found.dot_git)
    shared = _common_directory(git_dir)
    head = resolve_head(lambda name: _read_ref(git_dir if name == "HEAD" else shared, name))
    repository = scratch.repository
    create_bare_repository(repository, sha256=len(head.sha) == 64)
    _write_alternate(repository, shared / "objects")
    is_shallow = copy_shallow_file(repository, _read_small(shared / "shallow", MAX_PACKED_REFS_BYTES))
    set_head(repository, head)
    if found.below:
        _require_directory(repository, found.below)
    PathMapping(history_directory=found.below).save(repository)
    return FetchedHistory(commit_sha=head.sha, branch=head.branch, shallow=is_shallow)


def _git_directory(dot_git: Path) -> Path:
    """Linked work trees and submodules have a file that says `gitdir: PATH`."""
    if dot_git.is_dir():
        return dot_git
    content = _read_small(dot_git, MAX_REF_BYTES) or b""
    target = dot_git.parent / os.fsdecode(content.removeprefix(b"gitdir:").strip())
    if not content.startswith(b"gitdir:") or not target.is_dir():
        raise UnusableHistoryError(".git is a file that leads to no repository")
    return target


def _common_directory(git_dir: Path) -> Path:
    """What a linked work tree shares with its main one."""
    content = _read_small(git_dir / "commondir", MAX_REF_BYTES)
    return git_dir if content is None else (git_dir / os.fsdecode(content.strip())).resolve()


def _read_ref(directory: Path, name: str) -> bytes | None:
    return _read_small(directory / name, MAX_PACKED_REFS_BYTES if name == "packed-refs" else MAX_REF_BYTES)


def _read_small(file: Path, limit: int) -> bytes | None:
    """A regular file's bytes, or None where there is none."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise UnusableHistoryError(f"its {file.name} is too large")
    return content


def _write_alternate(repository: Path, objects: Path) -> None:
    place = os.fsencode(objects.resolve())
    if b"\n" in place or not objects.is_dir():
        raise UnusableHistoryError("its objects cannot be reached")
    (repository / _ALTERNATES).parent.mkdir(exist_ok=True)
    (repository / _ALTERNATES).write_bytes(place + b"\n")


def _require_directory(repository: Path, below: bytes) -> None:
    try:
        kind = run_git(repository, "cat-file", "-t", f"HEAD:{os.fsdecode(below)}")
    except GitFailedError as error:
        raise UnusableHistoryError("the directory is not part of HEAD's commit") from error
    if kind != b"tree\n":
        raise UnusableHistoryError("the directory is not part of HEAD's commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadablePaths:
    """What of this machine the analysis of a directory reads beside scratch: to fetch it, and for its history after."""

    fetching: tuple[Path, ...]
    collecting: tuple[Path, ...]


def paths_to_read(directory: Path) -> ReadablePaths:
    """The directory, and of the repository around it HEAD, refs and objects: a sandbox must let them be read.

    The repository's own word leads to some of these places; only what looks like a store of objects counts as one.
    """
    root = directory.resolve()
    found = find_repository(root)
    if found is None:
        return ReadablePaths(fetching=(root,), collecting=())
    try:
        git_dir = _git_directory(found.dot_git)
        shared = _common_directory(git_dir)
        stores = _object_stores(shared / "objects")
    except (UnusableHistoryError, OSError):  # whoever fetches finds that out too, and says so
        return ReadablePaths(fetching=(root, found.dot_git), collecting=())
    refs = [shared / name for name in ("HEAD", "refs", "packed-refs", "shallow")]
    return ReadablePaths(
        fetching=(root, found.dot_git, git_dir / "HEAD", git_dir / "commondir", *refs, *stores), collecting=stores
    )


def _object_stores(objects: Path) -> tuple[Path, ...]:
    """The given one and those that it borrows from, a few steps far."""
    found: list[Path] = []
    level = [objects.resolve()]
    for _ in range(_ALTERNATE_STEPS):
        level = [place for place in level if place not in found and (place / "pack").is_dir()]
        found += level
        level = [other for place in level for other in _alternates(place)]
    return tuple(found)


def _alternates(objects: Path) -> list[Path]:
    content = _read_small(objects / "info" / "alternates", MAX_PACKED_REFS_BYTES) or b""
    lines = [line for line in content.split(b"\n") if line and not line.startswith(b"#")]
    return [(objects / os.fsdecode(line)).resolve() for line in lines]
