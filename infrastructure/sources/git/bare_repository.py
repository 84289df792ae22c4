"""Creation of bare repositories, and parsing of HEAD and the `shallow` file of an untrusted `.git`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import InvalidInputError
from domain.sources import validate_branch_name
from infrastructure.sources.git.command import GitFailedError, run_git

BRANCH = "refs/heads/analysed"
"""The only ref of a bare repository made here. A fixed name, so that no untrusted name becomes a file name."""

MAX_REF_BYTES = 1024
MAX_PACKED_REFS_BYTES = 16 << 20
_OBJECT_ID_PATTERN = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_SYMBOLIC_REFS = 5


class UnusableHistoryError(Exception):
    """An untrusted `.git` whose history cannot be used. The message says why in a few words."""


@dataclass(frozen=True, slots=True)
class Head:
    """The commit of HEAD, and its branch; the branch is None for a detached HEAD."""

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


def resolve_head(read: Callable[[str], bytes | None]) -> Head:
    """Resolve HEAD to a commit id through symbolic, loose and packed refs.

    `read` returns the bytes of a small file of the `.git` by its relative name, or None if there is no such file.
    Raises UnusableHistoryError if HEAD leads to no commit id.
    """
    content = read("HEAD")
    if content is None:
        raise UnusableHistoryError("there is no HEAD")
    branch = None
    for _ in range(_MAX_SYMBOLIC_REFS):
        content = content.strip()
        if is_object_id(content):
            return Head(content.decode(), branch)
        name = _parse_symbolic_ref(content)
        if branch is None:
            branch = name.removeprefix("refs/heads/")
        loose = read(name)
        content = loose if loose is not None else _find_packed_ref(read("packed-refs") or b"", name)
    raise UnusableHistoryError(f"HEAD is not resolved after {_MAX_SYMBOLIC_REFS} symbolic refs")


def _parse_symbolic_ref(content: bytes) -> str:
    """Return the full ref of the branch. The name is validated, because it is used as a file name next."""
    target = content.removeprefix(b"ref:").strip().decode("utf-8", "replace")
    if not content.startswith(b"ref:") or not target.startswith("refs/heads/"):
        raise UnusableHistoryError("HEAD is malformed")
    try:
        return "refs/heads/" + validate_branch_name(target.removeprefix("refs/heads/"))
    except InvalidInputError as error:
        raise UnusableHistoryError("HEAD names an invalid branch") from error


def _find_packed_ref(packed_refs: bytes, name: str) -> bytes:
    wanted = name.encode()
    for line in packed_refs.splitlines():
        object_id, _, ref = line.partition(b" ")
        if ref == wanted:
            return object_id
    raise UnusableHistoryError("HEAD's branch has no commit")


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


def set_head(repository: Path, head: Head) -> None:
    """Set HEAD of the bare repository to the commit. Raises UnusableHistoryError if its object is missing."""
    try:
        run_git(repository, "update-ref", "--no-deref", BRANCH, head.sha)
        run_git(repository, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except GitFailedError as error:
        raise UnusableHistoryError("HEAD's commit is missing") from error
