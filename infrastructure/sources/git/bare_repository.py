"""Bare repositories of our own making, and the few facts that are read out of a foreign `.git` by hand."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import InvalidInputError
from domain.sources import validate_branch_name
from infrastructure.sources.git.command import GitFailedError, run_git

BRANCH = "refs/heads/analysed"
"""The one ref of a repository of ours: no foreign name becomes a file."""

MAX_REF_BYTES = 1024
MAX_PACKED_REFS_BYTES = 16 << 20
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_SYMBOLIC_STEPS = 5


class UnusableHistoryError(Exception):
    """A foreign `.git` from which no history can be had; the text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Head:
    """The commit that HEAD names, and the branch it names it by; None where it is detached."""

    sha: str
    branch: str | None


def is_object_id(text: bytes) -> bool:
    """Whether this is a whole SHA-1 or SHA-256 in lower-case hexadecimal."""
    return _OBJECT_ID.fullmatch(text) is not None


def create_bare_repository(repository: Path, *, sha256: bool = False) -> None:
    """`git init --bare` with nothing but git's defaults inside. Raises GitFailedError."""
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
    """Follow HEAD through symbolic, loose and packed refs.

    `read` gives the bytes of a small file of the `.git` by its relative name, None where there is none. Raises
    UnusableHistoryError where HEAD leads to no commit's name.
    """
    content = read("HEAD")
    if content is None:
        raise UnusableHistoryError("there is no HEAD")
    branch = None
    for _ in range(_SYMBOLIC_STEPS):
        content = content.strip()
        if is_object_id(content):
            return Head(content.decode(), branch)
        name = _symbolic(content)
        if branch is None:
            branch = name.removeprefix("refs/heads/")
        loose = read(name)
        content = loose if loose is not None else _packed(read("packed-refs") or b"", name)
    raise UnusableHistoryError("HEAD leads nowhere")


def _symbolic(content: bytes) -> str:
    """The branch's full ref, judged: it is about to be used as a file name."""
    target = content.removeprefix(b"ref:").strip().decode("utf-8", "replace")
    if not content.startswith(b"ref:") or not target.startswith("refs/heads/"):
        raise UnusableHistoryError("HEAD is malformed")
    try:
        return "refs/heads/" + validate_branch_name(target.removeprefix("refs/heads/"))
    except InvalidInputError as error:
        raise UnusableHistoryError("HEAD names no branch that git would accept") from error


def _packed(packed_refs: bytes, name: str) -> bytes:
    wanted = name.encode()
    for line in packed_refs.splitlines():
        object_id, _, ref = line.partition(b" ")
        if ref == wanted:
            return object_id
    raise UnusableHistoryError("HEAD's branch has no commit")


def copy_shallow_file(repository: Path, content: bytes | None) -> bool:
    """Write a foreign `shallow` file, if any, into ours, so that git knows where history was cut off.

    Returns whether there is one. Raises UnusableHistoryError where it is malformed.
    """
    lines = (content or b"").split()
    if not all(is_object_id(line) for line in lines):
        raise UnusableHistoryError("its shallow file is malformed")
    if lines:
        (repository / "shallow").write_bytes(b"".join(line + b"\n" for line in lines))
    return bool(lines)


def set_head(repository: Path, head: Head) -> None:
    """Let HEAD of our repository be that commit, whose object must be there. Raises UnusableHistoryError."""
    try:
        run_git(repository, "update-ref", "--no-deref", BRANCH, head.sha)
        run_git(repository, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except GitFailedError as error:
        raise UnusableHistoryError("HEAD's commit is missing") from error
