"""Packing of a directory as an upload: its Python files, its manifests and optionally the history of HEAD."""

import io
import os
import subprocess
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import InvalidInputError
from domain.sources import FetchedSource
from infrastructure.sources.git.command import GitFailedError, GitProcess, git_environment
from infrastructure.sources.git.history import PathMapping
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_directory(path: Path, *, with_history: bool, limits: SourceLimits | None = None) -> bytes:
    """Pack a directory as a zip archive, from which `fetch_upload` extracts the same tree.

    The history is one pack of the objects that HEAD reaches, without configuration, hooks, other branches and
    uncommitted content. A subdirectory of a work tree is packed without history. Raises InvalidInputError if the
    directory has no Python file, or if the archive exceeds `max_upload_bytes`.
    """
    limits = limits or SourceLimits()
    with TemporaryDirectory(prefix="vibe8-pack-") as temporary:
        layout = SourceLayout(Path(temporary))
        fetched = fetch_directory(path, layout, limits)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for root in (layout.tree, layout.manifests):
                _add_files(archive, root)
            if with_history and fetched.has_history and not PathMapping.load(layout.repository).history_directory:
                _add_history(archive, layout, fetched, limits)
    if buffer.tell() > limits.max_upload_bytes:
        raise _too_large_error(limits, with_history=with_history)
    return buffer.getvalue()


def _too_large_error(limits: SourceLimits, *, with_history: bool) -> InvalidInputError:
    what = "the directory with its history" if with_history else "the directory"
    return InvalidInputError(f"{what} is larger than {limits.max_upload_bytes / MIB:g} MB (MAX_UPLOAD_MB)")


def _add_files(archive: zipfile.ZipFile, root: Path) -> None:
    for directory, directories, names in os.walk(os.fsencode(root)):
        directories.sort()
        for name in sorted(names):
            file = Path(os.fsdecode(directory), os.fsdecode(name))
            mode = 0o755 if file.stat().st_mode & 0o111 else 0o644
            _add(archive, _archive_name(os.fsencode(file.relative_to(root))), file.read_bytes(), mode=mode)


def _archive_name(path: bytes) -> str:
    r"""Encode bytes that are not UTF-8 as `%xXX` and a backslash as `%`, so that every unpacker reads the same name."""
    return path.decode("utf-8", "backslashreplace").replace("\\", "%")


def _add(archive: zipfile.ZipFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    member = zipfile.ZipInfo(name, _ZIP_EPOCH)  # a fixed date, so that the same directory gives the same bytes
    member.external_attr = (0o100000 | mode) << 16
    archive.writestr(member, data, zipfile.ZIP_DEFLATED)


def _add_history(archive: zipfile.ZipFile, layout: SourceLayout, fetched: FetchedSource, limits: SourceLimits) -> None:
    sha = str(fetched.commit_sha)
    if fetched.branch is None:
        _add(archive, ".git/HEAD", f"{sha}\n".encode())
    else:
        branch = os.fsencode(fetched.branch)
        _add(archive, ".git/HEAD", b"ref: refs/heads/%b\n" % branch)
        _add(archive, f".git/refs/heads/{fetched.branch}", f"{sha}\n".encode())
    if fetched.shallow:
        _add(archive, ".git/shallow", (layout.repository / "shallow").read_bytes())
    _add(archive, f".git/objects/pack/pack-{sha}.pack", _pack_objects(layout.repository, sha, limits))


def _pack_objects(repository: Path, sha: str, limits: SourceLimits) -> bytes:
    arguments = ("pack-objects", "--revs", "--stdout", "--delta-base-offset", "--quiet")
    try:
        with GitProcess(arguments, git_environment(repository), stdin=subprocess.PIPE) as process:
            process.write_stdin([f"{sha}\n".encode()])
            pack = process.stdout.read(limits.max_upload_bytes + 1)
            if len(pack) > limits.max_upload_bytes:
                raise _too_large_error(limits, with_history=True)
            process.finish()
            return pack
    except GitFailedError as error:
        raise InvalidInputError(f"the directory's history cannot be packed: {error.reason()}") from error
