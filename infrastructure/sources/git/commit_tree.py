"""Copying of a commit's Python files from a bare repository to the tree, without a checkout, so that no hook runs."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from domain.errors import PermanentError
from infrastructure.sources.git.command import GitFailedError, GitProcess, git_environment, run_git
from infrastructure.sources.git.history import split_records
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.writer import TreeWriter

_SYMLINK, _SUBMODULE, _EXECUTABLE = b"120000", b"160000", b"100755"
_REGULAR = (b"100644", b"100664", _EXECUTABLE)
_MAX_TARGET_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _Blob:
    object_id: bytes
    size: int
    path: bytes
    mode: bytes


def write_commit_tree(layout: SourceLayout, commit_sha: str, writer: TreeWriter) -> None:
    """Write the commit's Python files and manifests.

    Raises InvalidInputError if the tree exceeds a limit, PermanentError if git cannot read the commit.
    """
    try:
        blobs = list(_list_blobs(layout, commit_sha, writer))
        _copy_blobs(layout, blobs, writer)
        while paths := writer.take_included():
            _copy_blobs(layout, _find_blobs(layout, commit_sha, paths, writer), writer)
    except GitFailedError as error:
        raise PermanentError(f"the commit's files cannot be read: {error.reason()}") from error
    except ValueError as error:
        raise PermanentError("the commit's files cannot be read: git's output is malformed") from error


def _list_blobs(layout: SourceLayout, commit_sha: str, writer: TreeWriter) -> Iterator[_Blob]:
    """Iterate over the files that the writer accepts, and the symbolic links, of which only the target is read."""
    arguments = ("ls-tree", "-r", "-l", "-z", "--full-tree", commit_sha)
    with GitProcess(arguments, git_environment(layout.repository)) as process:
        for record in split_records(process.stdout, b"\0"):
            writer.count_entry()
            if _is_wanted(blob := _parse_entry(record), writer):
                yield blob
        process.finish()


def _find_blobs(layout: SourceLayout, commit_sha: str, paths: Sequence[bytes], writer: TreeWriter) -> list[_Blob]:
    """Find those of the paths that are regular files of the commit, and that the writer accepts."""
    names = [os.fsdecode(path) for path in paths]
    output = run_git(layout.repository, "ls-tree", "-l", "-z", "--full-tree", commit_sha, "--", *names)
    blobs = [_parse_entry(record) for record in output.split(b"\0") if record]
    found = [blob for blob in blobs if blob.mode in _REGULAR and blob.path in paths]
    return [blob for blob in found if writer.accept_included(blob.path, blob.size)]


def _parse_entry(record: bytes) -> _Blob:
    fields, _, path = record.partition(b"\t")
    mode, _, object_id, size = fields.split()
    return _Blob(object_id, 0 if size == b"-" else int(size), path, mode)


def _is_wanted(blob: _Blob, writer: TreeWriter) -> bool:
    if blob.mode not in (_SYMLINK, _SUBMODULE):
        return writer.accept(blob.path, blob.size)
    if writer.is_excluded(blob.path):
        return False
    writer.skip(blob.path, "symbolic link" if blob.mode == _SYMLINK else "submodule")
    if blob.mode == _SUBMODULE:
        writer.pass_over_directory(blob.path)
    return blob.mode == _SYMLINK and blob.size <= _MAX_TARGET_BYTES


def _copy_blobs(layout: SourceLayout, blobs: list[_Blob], writer: TreeWriter) -> None:
    with TemporaryFile(dir=layout.root) as id_file:
        # A file instead of a pipe: with two pipes, this process and git could each wait for the other to read.
        id_file.writelines(blob.object_id + b"\n" for blob in blobs)
        id_file.seek(0)
        environment = git_environment(layout.repository)
        with GitProcess(("cat-file", "--batch", "--buffer"), environment, stdin=cast("BinaryIO", id_file)) as process:
            for blob in blobs:
                data = _read_blob(process.stdout, blob)
                if blob.mode == _SYMLINK:
                    writer.pass_over_link(blob.path, data)
                else:
                    writer.write(blob.path, data, executable=blob.mode == _EXECUTABLE)
            process.finish()


def _read_blob(stream: IO[bytes], blob: _Blob) -> bytes:
    header = stream.readline(256)
    if header != b"%b blob %d\n" % (blob.object_id, blob.size):
        raise ValueError("git returned another object than the requested blob")
    data = stream.read(blob.size)
    if len(data) != blob.size or stream.read(1) != b"\n":
        raise ValueError("the blob is truncated")
    return data
