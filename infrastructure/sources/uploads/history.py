"""Extraction of the history in an uploaded archive: its objects and HEAD, into a new bare repository.

Nothing else of the submitter's `.git` is extracted. Configuration, hooks, alternates, grafts, replace refs, attributes
and work trees could name a program to run or a file to read, or could falsify the history.
"""

import re
import shutil
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
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
from infrastructure.sources.git.history import PARTIAL_CLONE, PathMapping
from infrastructure.sources.tree.directory_writer import DirectoryWriter
from infrastructure.sources.tree.entry_names import MACOS_METADATA, find_excluded_directory, invalid_name_reason
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout
from infrastructure.sources.uploads.zip_archive import ZipArchive, ZipMemberError, irregular_file_reason

VERIFY_TIMEOUT_SECONDS = 60.0
_DOT_GIT = b".git"
_LOOSE_OBJECT_PATTERN = re.compile(rb"objects/[0-9a-f]{2}/([0-9a-f]{38}|[0-9a-f]{62})")
_PACK_PATTERN = re.compile(rb"objects/pack/pack-([0-9a-f]{40}|[0-9a-f]{64})\.pack")
_PROMISOR_PATTERN = re.compile(rb"objects/pack/[^/]*\.promisor")
"""It marks a pack of a partial clone."""

_FSCK_OPTIONS = ("--no-dangling", "--no-reflogs", "--no-progress")
_IGNORED_FLAWS = tuple(
    (f"fsck.{flaw}", "ignore")
    for flaw in (
        *("badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail"),
        *("missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry"),
        *("multipleAuthors", "zeroPaddedDate", "badFilemode", "zeroPaddedFilemode"),
        *("gitmodulesBlob", "gitmodulesLarge", "gitmodulesMissing", "gitmodulesName", "gitmodulesParse"),
        *("gitmodulesPath", "gitmodulesSymlink", "gitmodulesUpdate", "gitmodulesUrl"),
    )
)
"""Flaws that old commits of well-known repositories have. They are ignored because nothing here reads these fields."""


@dataclass(frozen=True, slots=True)
class ArchivedGitDirectory:
    """A `.git` directory in an archive. `folder` is the top-level folder that contains it, empty for the root."""

    folder: bytes

    @property
    def path(self) -> bytes:
        """Path of the directory in the archive."""
        return self.folder + b"/" + _DOT_GIT if self.folder else _DOT_GIT

    def contains(self, name: bytes) -> bool:
        """Whether the member is this directory or inside it."""
        return name.startswith(self.path + b"/")

    @classmethod
    def find(cls, names: Sequence[bytes]) -> "ArchivedGitDirectory | None":
        """Find the `.git` at the root, else the one in a top-level folder if exactly one such folder has it."""
        folders = set()
        for name in names:
            parts = name.split(b"/", 2)
            if parts[0] == MACOS_METADATA:
                continue
            if parts[0] == _DOT_GIT and len(parts) > 1:
                return cls(b"")
            if len(parts) == 3 and parts[1] == _DOT_GIT and find_excluded_directory(name) != parts[0]:
                folders.add(parts[0])
        return cls(folders.pop()) if len(folders) == 1 else None


def extract_history(
    archive: ZipArchive, names: Sequence[bytes], dot_git: ArchivedGitDirectory, layout: SourceLayout
) -> FetchedHistory | Failed:
    """Create `layout.repository` from the archive's objects, and check that HEAD's whole history is present.

    Returns Failed, and leaves no repository, if the history is unusable. Raises InvalidInputError if the archive
    exceeds a limit; the bytes of `.git` count like all others.
    """
    prefix = len(dot_git.path) + 1
    members = {
        name[prefix:]: member
        for name, member in zip(reversed(names), reversed(archive.members), strict=True)
        if dot_git.contains(name) and irregular_file_reason(member) is None and not name.endswith(b"/")
    }
    try:
        return _create_repository(archive, members, dot_git, layout)
    except UnusableHistoryError as error:
        reason = str(error)
    except ZipMemberError as error:
        reason = f"a file in it is {error}"
    except GitFailedError as error:
        reason = error.reason()
    shutil.rmtree(layout.repository, ignore_errors=True)
    return Failed(reason=reason)


def _create_repository(
    archive: ZipArchive, members: dict[bytes, zipfile.ZipInfo], dot_git: ArchivedGitDirectory, layout: SourceLayout
) -> FetchedHistory:
    head = _resolve_head(archive, members, layout)
    repository = layout.repository
    create_bare_repository(repository, sha256=len(head.sha) == 64)
    shallow = members.get(b"shallow")
    is_shallow = copy_shallow_file(repository, archive.read(shallow, MAX_PACKED_REFS_BYTES) if shallow else None)
    _copy_objects(archive, members, layout)
    head = set_head(repository, head)
    # Visits each commit, tree and blob once, even if a bomb repeats them many times.
    try:
        run_git(repository, "rev-list", "--objects", "--quiet", "HEAD", "--", timeout=VERIFY_TIMEOUT_SECONDS)
    except GitFailedError as error:
        if any(_PROMISOR_PATTERN.fullmatch(name) for name in members):
            raise UnusableHistoryError(PARTIAL_CLONE) from error
        raise
    _check_objects(repository)
    PathMapping(tree_directory=dot_git.folder).save(repository)
    return FetchedHistory(commit_sha=head.sha, branch=head.branch, shallow=is_shallow)


def _resolve_head(archive: ZipArchive, members: dict[bytes, zipfile.ZipInfo], layout: SourceLayout) -> Head:
    if any(name.startswith(b"reftable/") for name in members):
        raise UnusableHistoryError(REFTABLE)
    with refs_view(layout.root) as view:
        writer = DirectoryWriter(view)
        try:
            for name, member in members.items():
                if name in (b"HEAD", b"packed-refs") or (name.startswith(b"refs/") and _is_ref_path(name)):
                    limit = MAX_PACKED_REFS_BYTES if name == b"packed-refs" else MAX_REF_BYTES
                    with suppress(FileExistsError, NotADirectoryError):
                        writer.write(name, archive.read(member, limit), executable=False)
        finally:
            writer.close()
        return resolve_head(view)


def _is_ref_path(name: bytes) -> bool:
    return not name.endswith(b"/") and invalid_name_reason(name, archive=False) is None


def _check_objects(repository: Path) -> None:
    # git does not check the hash when it reads a loose object, so a wrongly named object could falsify the history.
    try:
        run_git(repository, "fsck", *_FSCK_OPTIONS, config=_IGNORED_FLAWS, timeout=VERIFY_TIMEOUT_SECONDS)
    except GitFailedError as error:
        raise UnusableHistoryError("its objects do not pass `git fsck`") from error


def _copy_objects(archive: ZipArchive, members: dict[bytes, zipfile.ZipInfo], layout: SourceLayout) -> None:
    deadline = time.monotonic() + VERIFY_TIMEOUT_SECONDS
    for name, member in members.items():
        is_pack = _PACK_PATTERN.fullmatch(name) is not None
        if not is_pack and not _LOOSE_OBJECT_PATTERN.fullmatch(name):
            continue
        file = layout.repository / name.decode("ascii")
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(archive.read(member, member.file_size))
        if is_pack:
            # A new index is built, which checks every object of the pack; the submitter's index is not trusted.
            remaining = max(deadline - time.monotonic(), 0.1)
            run_git(layout.repository, "index-pack", "--threads=1", str(file), timeout=remaining)
