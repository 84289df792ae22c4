"""Creation of bare repositories, and reading of HEAD and the `shallow` file of an untrusted `.git`."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from domain.text import printable
from infrastructure.sources.git.command import GitFailedError, run_git

BRANCH = "refs/heads/analysed"
"""The only ref of a bare repository made here. A fixed name, so that no untrusted name becomes a file name."""

MAX_REF_BYTES = 1024
MAX_PACKED_REFS_BYTES = 16 << 20
_OBJECT_ID_PATTERN = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCHES = b"refs/heads/"
_RESOLVE_SECONDS = 10.0
_FORMAT = "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = {}\n"
REFTABLE = "its refs are stored as reftable, which is not supported (git refs migrate --ref-format=files)"


class UnusableHistoryError(Exception):
    """An untrusted `.git` whose history cannot be used. The message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Head:
    """The commit of HEAD, or a tag of it, and its branch; the branch is None for a detached HEAD."""

    sha: str
    branch: str | None


def is_object_id(text: bytes) -> bool:
    """Whether the text is a full SHA-1 or SHA-256 object id in lower-case hexadecimal."""
    return _OBJECT_ID_PATTERN.fullmatch(text) is not None


def create_bare_repository(repository: Path, *, sha256: bool = False) -> None:
    """Run `git init --bare` without a template. Raises GitFailedError."""
    run_git(
        repository,
        "init",
        "--quiet",
        "--bare",
        "--template=",
        f"--object-format={'sha256' if sha256 else 'sha1'}",
        f"--initial-branch={BRANCH.removeprefix('refs/heads/')}",
    )


@contextmanager
def refs_view(parent: Path) -> Iterator[Path]:
    """Make a git directory for `resolve_head` below `parent`, with no objects; it is removed at the end.

    The caller adds HEAD, `packed-refs` and `refs` of an untrusted `.git`, or links to the latter: git only reads them.
    """
    view = Path(mkdtemp(prefix="refs-", dir=parent))
    try:
        (view / "objects").mkdir()
        yield view
    finally:
        shutil.rmtree(view, ignore_errors=True)


def resolve_head(view: Path) -> Head:
    """Let git resolve HEAD of a git directory to a commit id, whatever the bytes of its branch's name.

    Raises UnusableHistoryError if HEAD leads to no commit id.
    """
    if not os.path.lexists(view / "HEAD"):
        raise UnusableHistoryError("there is no HEAD")
    (view / "refs").mkdir(exist_ok=True)
    for object_format in ("sha1", "sha256"):
        (view / "config").write_text(_FORMAT.format(object_format), encoding="ascii")
        try:
            sha = _read_git(view, "rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD").strip()
        except GitFailedError as error:
            if error.is_not_installed:
                raise UnusableHistoryError(error.reason()) from error
            continue
        if is_object_id(sha):
            return Head(sha.decode("ascii"), _branch_of(view))
    raise UnusableHistoryError("HEAD's branch has no commit" if _target_of(view) else "HEAD is malformed")


def _branch_of(view: Path) -> str | None:
    """Return the name of HEAD's branch, for display; None for a detached HEAD, and for one at another kind of ref."""
    target = _target_of(view)
    if target is None or not target.startswith(_BRANCHES):
        return None
    return printable(os.fsdecode(target.removeprefix(_BRANCHES)))


def _target_of(view: Path) -> bytes | None:
    for options in (("--no-recurse",), ()):  # git knows the option since 2.39
        try:
            return _read_git(view, "symbolic-ref", "--quiet", *options, "HEAD").strip(b"\n")
        except GitFailedError:
            continue
    return None


def _read_git(view: Path, *arguments: str) -> bytes:
    # A timeout, because a ref of an untrusted directory may be a named pipe, for which git would wait.
    return run_git(view, *arguments, timeout=_RESOLVE_SECONDS)


def copy_shallow_file(repository: Path, content: bytes | None) -> bool:
    """Validate the content of a `shallow` file and write it to the bare repository; it says where history is cut off.

    Returns whether the history is shallow. Raises UnusableHistoryError if the content is malformed.
    """
    lines = (content or b"").split()
    if not all(is_object_id(line) for line in lines):
        raise UnusableHistoryError("its shallow file is malformed")
    if lines:
        (repository / "shallow").write_bytes(b"".join(line + b"\n" for line in lines))
    return bool(lines)


def set_head(repository: Path, head: Head) -> Head:
    """Set HEAD of the bare repository to the commit, and return it: an annotated tag leads to its commit.

    Raises UnusableHistoryError if an object is missing.
    """
    try:
        output = run_git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{head.sha}^{{commit}}")
        sha = output.strip().decode("ascii")
        run_git(repository, "update-ref", "--no-deref", BRANCH, sha)
    except GitFailedError as error:
        raise UnusableHistoryError("HEAD's commit is missing") from error
    return replace(head, sha=sha)
