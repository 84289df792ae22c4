"""Linking of a local work tree's history: a new bare repository that uses the work tree's objects as alternates.

Nothing is copied, and git never runs in the work tree's own repository. Its configuration, hooks and attributes
therefore have no effect, even if the directory came from someone else.
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
    REFTABLE,
    Head,
    UnusableHistoryError,
    copy_shallow_file,
    create_bare_repository,
    refs_view,
    resolve_head,
    set_head,
)
from infrastructure.sources.git.command import GitFailedError, run_git
from infrastructure.sources.git.history import PathMapping
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout

_ALTERNATES_FILE = Path("objects/info/alternates")
_MAX_ALTERNATE_DEPTH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRepository:
    """The work tree around a directory.

    `dot_git` is a directory, or a file that points to one. `subdirectory` is the path from the root of the work tree
    to the directory, empty for the root itself.
    """

    dot_git: Path
    subdirectory: bytes


def find_repository(directory: Path) -> LocalRepository | None:
    """Find the innermost work tree around a resolved directory."""
    for root in (directory, *directory.parents):
        dot_git = root / ".git"
        if os.path.lexists(dot_git):
            relative = directory.relative_to(root)
            return LocalRepository(dot_git=dot_git, subdirectory=b"" if relative == Path() else os.fsencode(relative))
    return None


def link_history(found: LocalRepository, layout: SourceLayout) -> FetchedHistory | Failed:
    """Create `layout.repository` with the history of HEAD. Returns Failed, and leaves no repository, if that fails."""
    try:
        return _create_linked_repository(found, layout)
    except UnusableHistoryError as error:
        reason = str(error)
    except GitFailedError as error:
        reason = error.reason()
    except OSError as error:
        reason = f"it cannot be read: {error.strerror}"
    shutil.rmtree(layout.repository, ignore_errors=True)
    return Failed(reason=reason)


def _create_linked_repository(found: LocalRepository, layout: SourceLayout) -> FetchedHistory:
    git_dir = _git_directory(found.dot_git)
    shared = _common_directory(git_dir)
    head = _resolve_head(git_dir, shared, layout)
    repository = layout.repository
    create_bare_repository(repository, sha256=len(head.sha) == 64)
    _write_alternates(repository, shared / "objects")
    is_shallow = copy_shallow_file(repository, _read_small(shared / "shallow", MAX_PACKED_REFS_BYTES))
    head = set_head(repository, head)
    if found.subdirectory:
        _require_directory(repository, found.subdirectory)
    PathMapping(history_directory=found.subdirectory).save(repository)
    return FetchedHistory(commit_sha=head.sha, branch=head.branch, shallow=is_shallow)


def _resolve_head(git_dir: Path, shared: Path, layout: SourceLayout) -> Head:
    if any((directory / "reftable").exists() for directory in (git_dir, shared)):
        raise UnusableHistoryError(REFTABLE)
    with refs_view(layout.root) as view:
        link = os.fsencode((git_dir / "HEAD").readlink()) if (git_dir / "HEAD").is_symlink() else b""
        is_ref = link.startswith(b"refs/")
        content = b"ref: %b\n" % link if is_ref else _read_small(git_dir / "HEAD", MAX_REF_BYTES)
        if content is not None:
            (view / "HEAD").write_bytes(content)
        (view / "packed-refs").write_bytes(_read_small(shared / "packed-refs", MAX_PACKED_REFS_BYTES) or b"")
        if (shared / "refs").is_dir():
            (view / "refs").symlink_to((shared / "refs").resolve(), target_is_directory=True)
        return resolve_head(view)


def _git_directory(dot_git: Path) -> Path:
    """Return the git directory; linked work trees and submodules have a `.git` file with `gitdir: PATH` instead."""
    if dot_git.is_dir():
        return dot_git
    content = _read_small(dot_git, MAX_REF_BYTES) or b""
    target = dot_git.parent / os.fsdecode(content.removeprefix(b"gitdir:").strip())
    if not content.startswith(b"gitdir:") or not target.is_dir():
        raise UnusableHistoryError(".git is a file that points to no repository")
    return target


def _common_directory(git_dir: Path) -> Path:
    """Return the git directory of the main work tree, which a linked work tree shares."""
    content = _read_small(git_dir / "commondir", MAX_REF_BYTES)
    return git_dir if content is None else (git_dir / os.fsdecode(content.strip())).resolve()


def _read_small(file: Path, limit: int) -> bytes | None:
    """Read a regular file of at most `limit` bytes; None if there is no regular file."""
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
        raise UnusableHistoryError(f"its {file.name} is larger than {limit} bytes")
    return content


def _write_alternates(repository: Path, objects: Path) -> None:
    target = os.fsencode(objects.resolve())
    if b"\n" in target or not objects.is_dir():
        raise UnusableHistoryError("its objects cannot be read")
    (repository / _ALTERNATES_FILE).parent.mkdir(exist_ok=True)
    (repository / _ALTERNATES_FILE).write_bytes(target + b"\n")


def _require_directory(repository: Path, subdirectory: bytes) -> None:
    try:
        kind = run_git(repository, "cat-file", "-t", f"HEAD:{os.fsdecode(subdirectory)}")
    except GitFailedError as error:
        raise UnusableHistoryError("the directory is not part of HEAD's commit") from error
    if kind != b"tree\n":
        raise UnusableHistoryError("the directory is not part of HEAD's commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadablePaths:
    """Paths outside scratch space that the analysis of a directory reads, while fetching and while collecting."""

    fetching: tuple[Path, ...]
    collecting: tuple[Path, ...]


def paths_to_read(directory: Path) -> ReadablePaths:
    """List the paths that a sandbox must allow: the directory itself, and HEAD, refs and objects of its repository.

    Files of the untrusted repository name some of these paths. A path counts as an object store only if it looks like
    one.
    """
    root = directory.resolve()
    found = find_repository(root)
    if found is None:
        return ReadablePaths(fetching=(root,), collecting=())
    try:
        git_dir = _git_directory(found.dot_git)
        shared = _common_directory(git_dir)
        stores = _object_stores(shared / "objects")
    except (UnusableHistoryError, OSError):  # `link_history` meets the same error and reports it
        return ReadablePaths(fetching=(root, found.dot_git), collecting=())
    refs = [shared / name for name in ("HEAD", "refs", "packed-refs", "shallow")]
    return ReadablePaths(
        fetching=(root, found.dot_git, git_dir / "HEAD", git_dir / "commondir", *refs, *stores), collecting=stores
    )


def _object_stores(objects: Path) -> tuple[Path, ...]:
    """Return this object store and its alternates, up to `_MAX_ALTERNATE_DEPTH` levels deep."""
    found: list[Path] = []
    level = [objects.resolve()]
    for _ in range(_MAX_ALTERNATE_DEPTH):
        level = [store for store in level if store not in found and (store / "pack").is_dir()]
        found += level
        level = [other for store in level for other in _read_alternates(store)]
    return tuple(found)


def _read_alternates(objects: Path) -> list[Path]:
    content = _read_small(objects / "info" / "alternates", MAX_PACKED_REFS_BYTES) or b""
    lines = [line for line in content.split(b"\n") if line and not line.startswith(b"#")]
    return [(objects / os.fsdecode(line)).resolve() for line in lines]
