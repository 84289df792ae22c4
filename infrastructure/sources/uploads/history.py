"""The history inside an uploaded archive: its objects and HEAD, in a bare repository that is wholly ours.

Configuration, hooks, alternates, grafts, replace refs, attributes and work trees of the submitter's `.git` stay in the
archive: each of them can name a program to run, a file to read, or another history to tell.
"""

import re
import shutil
import time
import zipfile
from collections.abc import Sequence
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
from infrastructure.sources.tree.writer import find_excluded_directory
from infrastructure.sources.uploads.zip_archive import ZipArchive, ZipMemberError, irregular_file_reason

VERIFY_SECONDS = 60.0
_GIT = b".git"
_LOOSE = re.compile(rb"objects/[0-9a-f]{2}/([0-9a-f]{38}|[0-9a-f]{62})")
_PACK = re.compile(rb"objects/pack/pack-([0-9a-f]{40}|[0-9a-f]{64})\.pack")
_FSCK = ("--no-dangling", "--no-reflogs", "--no-progress")
_HARMLESS = tuple(
    (f"fsck.{flaw}", "ignore")
    for flaw in (
        *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail"),
        *("missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry"),
        *("multipleAuthors", "zeroPaddedDate", "badFilemode", "zeroPaddedFilemode"),
        *("gitmodulesBlob", "gitmodulesLarge", "gitmodulesMissing", "gitmodulesName", "gitmodulesParse"),
        *("gitmodulesPath", "gitmodulesSymlink", "gitmodulesUpdate", "gitmodulesUrl"),
    )
)
"""What well-known histories have since older days, and what nothing here reads: no reason to do without them."""


@dataclass(frozen=True, slots=True)
class ArchivedGitDirectory:
    """A `.git` directory in an archive; `folder` is the top folder that it lies in, empty for the root."""

    folder: bytes

    @property
    def path(self) -> bytes:
        """Its name in the archive."""
        return self.folder + b"/" + _GIT if self.folder else _GIT

    def contains(self, name: bytes) -> bool:
        """Whether the member is the directory or inside it."""
        return name.startswith(self.path + b"/")

    @classmethod
    def find(cls, names: Sequence[bytes]) -> "ArchivedGitDirectory | None":
        """The one at the root, else the one in a top folder, if only one folder has any."""
        folders = set()
        for name in names:
            parts = name.split(b"/", 2)
            if parts[0] == _GIT and len(parts) > 1:
                return cls(b"")
            if len(parts) == 3 and parts[1] == _GIT and find_excluded_directory(name) != parts[0]:
                folders.add(parts[0])
        return cls(folders.pop()) if len(folders) == 1 else None


def extract_history(
    archive: ZipArchive, names: Sequence[bytes], dot_git: ArchivedGitDirectory, scratch: SourceLayout
) -> FetchedHistory | Failed:
    """Make `scratch.repository` of the archive's objects and check that HEAD's whole history is there.

    Failed, with nothing left behind, where no usable history is. Raises InvalidInputError where the archive passes a
    budget: the bytes of `.git` count like all others.
    """
    prefix = len(dot_git.path) + 1
    members = {
        name[prefix:]: member
        for name, member in zip(reversed(names), reversed(archive.members), strict=True)
        if dot_git.contains(name) and irregular_file_reason(member) is None
    }
    try:
        return _take(archive, members, dot_git, scratch)
    except UnusableHistoryError as error:
        reason = str(error)
    except ZipMemberError as error:
        reason = f"a file in it is {error}"
    except GitFailedError as error:
        reason = error.reason()
    shutil.rmtree(scratch.repository, ignore_errors=True)
    return Failed(reason=reason)


def _take(
    archive: ZipArchive, members: dict[bytes, zipfile.ZipInfo], dot_git: ArchivedGitDirectory, scratch: SourceLayout
) -> FetchedHistory:
    def read(name: str) -> bytes | None:
        member = members.get(name.encode())
        limit = MAX_PACKED_REFS_BYTES if name == "packed-refs" else MAX_REF_BYTES
        return None if member is None else archive.read(member, limit)

    head = resolve_head(read)
    repository = scratch.repository
    create_bare_repository(repository, sha256=len(head.sha) == 64)
    shallow = members.get(b"shallow")
    is_shallow = copy_shallow_file(repository, archive.read(shallow, MAX_PACKED_REFS_BYTES) if shallow else None)
    _copy_objects(archive, members, scratch)
    set_head(repository, head)
    # Walks every commit and tree and looks for every blob, once each, however often a bomb repeats them.
    run_git(repository, "rev-list", "--objects", "--quiet", "HEAD", "--", timeout=VERIFY_SECONDS)
    _check_objects(repository)
    PathMapping(tree_directory=dot_git.folder).save(repository)
    return FetchedHistory(commit_sha=head.sha, branch=head.branch, shallow=is_shallow)


def _check_objects(repository: Path) -> None:
    # A loose object under another's name would tell another history: git does not check that when it reads one.
    try:
        run_git(repository, "fsck", *_FSCK, config=_HARMLESS, timeout=VERIFY_SECONDS)
    except GitFailedError as error:
        raise UnusableHistoryError("its objects do not pass `git fsck`") from error


def _copy_objects(archive: ZipArchive, members: dict[bytes, zipfile.ZipInfo], scratch: SourceLayout) -> None:
    deadline = time.monotonic() + VERIFY_SECONDS
    for name, member in members.items():
        is_pack = _PACK.fullmatch(name) is not None
        if not is_pack and not _LOOSE.fullmatch(name):
            continue
        file = scratch.repository / name.decode("ascii")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(archive.read(member, member.file_size))
        if is_pack:
            # The index is made anew, which checks every object of the pack; the submitter's could say anything.
            left = max(deadline - time.monotonic(), 0.1)
            run_git(scratch.repository, "index-pack", "--threads=1", str(file), timeout=left)
