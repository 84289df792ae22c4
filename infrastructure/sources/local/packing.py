"""Packing of a directory as an upload: its Python files, its manifests and optionally the history of HEAD."""

import io
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import InvalidInputError
from domain.metrics.report import SkippedFile
from domain.sources import FetchedSource, validate_branch_name
from infrastructure.sources.git.command import GitFailedError, GitProcess, git_environment
from infrastructure.sources.git.history import PARTIAL_CLONE, PathMapping, is_partial
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.directory_writer import PLACEHOLDER_MODE
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.tree.notes import NOTES_NAME, SourceNotes

LEFT_OUT = "history left out, as asked (--no-history)"
_OTHER_WAYS = "submit the repository's URL, or raise MAX_UPLOAD_MB here and for the workers"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_directory(
    path: Path,
    *,
    with_history: bool,
    limits: SourceLimits | None = None,
    on_history_left_out: Callable[[str], None] | None = None,
) -> bytes:
    """Pack a directory as a zip archive, from which `fetch_upload` extracts the same tree.

    The history is one pack of the objects that HEAD reaches, without configuration, hooks, other branches and
    uncommitted content. A subdirectory of a work tree, a partial clone, and a history that does not fit into
    `max_upload_bytes`, are packed without history. Notes in the archive say so, and what of the directory was left
    out; for a history that does not fit, `on_history_left_out` is called with one line that says what to do. Raises
    InvalidInputError if the directory has no Python file, or if the archive exceeds `max_upload_bytes`.
    """
    limits = limits or SourceLimits()
    with TemporaryDirectory(prefix="vibe8-pack-") as temporary:
        layout = SourceLayout(Path(temporary))
        fetched = fetch_directory(path, layout, limits)
        packed = _pack(layout, fetched, limits, None if with_history else LEFT_OUT)
        if packed is None and with_history and fetched.has_history:
            reason = f"with it the upload is larger than {_limit(limits)}"
            packed = _pack(layout, fetched, limits, f"history left out: {reason}")
            if packed is not None and on_history_left_out is not None:
                on_history_left_out(f"the git history is left out: {reason}; to have it, {_OTHER_WAYS}")
    if packed is None:
        raise InvalidInputError(f"the directory is larger than {_limit(limits)}: submit a part of it, {_OTHER_WAYS}")
    return packed


def _limit(limits: SourceLimits) -> str:
    return f"{limits.max_upload_bytes / MIB:g} MB (MAX_UPLOAD_MB)"


def _pack(layout: SourceLayout, fetched: FetchedSource, limits: SourceLimits, left_out: str | None) -> bytes | None:
    """Return the archive, or None if it exceeds the limit. `left_out` says why a history is not to be in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        placeholders = _add_files(archive, layout.tree)
        _add_files(archive, layout.manifests)
        reason = None
        if fetched.has_history and buffer.tell() <= limits.max_upload_bytes:
            reason = left_out or _add_history(archive, layout, fetched, limits)
        _add_notes(archive, fetched, placeholders, reason)
    return buffer.getvalue() if buffer.tell() <= limits.max_upload_bytes else None


def _add_notes(archive: zipfile.ZipFile, fetched: FetchedSource, placeholders: list[str], reason: str | None) -> None:
    """Add what the directory's own analysis would say of entries that are not in the archive."""
    skipped = [*fetched.skipped, *([SkippedFile(path=".git", reason=reason)] if reason else [])]
    total = fetched.skipped_total + (reason is not None)
    if skipped or placeholders:
        notes = SourceNotes(skipped=skipped, skipped_total=total, placeholders=placeholders)
        _add(archive, NOTES_NAME.decode(), notes.to_bytes())


def _add_files(archive: zipfile.ZipFile, root: Path) -> list[str]:
    """Add the files below a directory, and return the names of its placeholders."""
    placeholders: list[str] = []
    for directory, directories, names in os.walk(os.fsencode(root)):
        directories.sort()
        for name in sorted(names):
            file = Path(os.fsdecode(directory), os.fsdecode(name))
            archive_name = _archive_name(os.fsencode(file.relative_to(root)))
            permissions = file.stat().st_mode & 0o777
            if permissions == PLACEHOLDER_MODE:
                placeholders.append(archive_name)
            else:
                _add(archive, archive_name, file.read_bytes(), mode=0o755 if permissions & 0o111 else 0o644)
        if not directories and not names and directory != os.fsencode(root):
            placeholders.append(_archive_name(os.path.relpath(directory, os.fsencode(root))) + "/")
    return placeholders


def _archive_name(path: bytes) -> str:
    r"""Encode bytes that are not UTF-8 as `%xXX` and a backslash as `%`, so that every unpacker reads the same name."""
    return path.decode("utf-8", "backslashreplace").replace("\\", "%")


def _add(archive: zipfile.ZipFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    member = zipfile.ZipInfo(name, _ZIP_EPOCH)  # a fixed date, so that the same directory gives the same bytes
    member.external_attr = (0o100000 | mode) << 16
    archive.writestr(member, data, zipfile.ZIP_DEFLATED)


def _add_history(
    archive: zipfile.ZipFile, layout: SourceLayout, fetched: FetchedSource, limits: SourceLimits
) -> str | None:
    """Add the history of HEAD; return why it is left out, or None."""
    if PathMapping.load(layout.repository).history_directory:
        return "history left out: the directory is only a part of its work tree"
    sha = str(fetched.commit_sha)
    try:
        pack = _pack_objects(layout.repository, sha, limits)
    except GitFailedError as error:
        reason = PARTIAL_CLONE if is_partial(layout.repository) else error.reason()
        return f"history left out: {reason}"
    if fetched.branch is None or not _is_plain_branch(fetched.branch):
        _add(archive, ".git/HEAD", f"{sha}\n".encode())
    else:
        _add(archive, ".git/HEAD", f"ref: refs/heads/{fetched.branch}\n".encode())
        _add(archive, f".git/refs/heads/{fetched.branch}", f"{sha}\n".encode())
    if fetched.shallow:
        _add(archive, ".git/shallow", (layout.repository / "shallow").read_bytes())
    _add(archive, f".git/objects/pack/pack-{sha}.pack", pack)
    return None


def _is_plain_branch(branch: str) -> bool:
    """Whether the displayed name is the branch's own: names that are not UTF-8 are shown with escapes."""
    try:
        return validate_branch_name(branch) == branch
    except InvalidInputError:
        return False


def _pack_objects(repository: Path, sha: str, limits: SourceLimits) -> bytes:
    """Return the pack, or the beginning of one that exceeds the limit."""
    arguments = ("pack-objects", "--revs", "--stdout", "--delta-base-offset", "--quiet")
    with GitProcess(arguments, git_environment(repository), stdin=subprocess.PIPE) as process:
        process.write_stdin([f"{sha}\n".encode()])
        pack = process.stdout.read(limits.max_upload_bytes + 1)
        if len(pack) <= limits.max_upload_bytes:
            process.finish()
        return pack
