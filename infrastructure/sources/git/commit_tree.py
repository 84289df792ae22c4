"""Copying of a commit's Python files from a bare repository to the tree, without a checkout, so that no hook runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, BinaryIO, cast

from domain.errors import PermanentError
from infrastructure.sources.git.command import GitFailedError, GitProcess, git_environment
from infrastructure.sources.git.history import split_records
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.writer import TreeWriter

_SYMLINK, _SUBMODULE, _EXECUTABLE = b"120000", b"160000", b"100755"


@dataclass(frozen=True, slots=True)
class _Blob:
    object_id: bytes
    size: int
    path: bytes
    executable: bool


def write_commit_tree(layout: SourceLayout, commit_sha: str, writer: TreeWriter) -> None:
    """Write the commit's Python files and manifests.

    Raises InvalidInputError if the tree exceeds a limit, PermanentError if git cannot read the commit.
    """
    try:
        blobs = [blob for blob in _list_blobs(layout, commit_sha, writer) if blob is not None]
        _copy_blobs(layout, blobs, writer)
    except GitFailedError as error:
        raise PermanentError(f"the commit's files cannot be read: {error.reason()}") from error
    except ValueError as error:
        raise PermanentError("the commit's files cannot be read: git's output is malformed") from error


def _list_blobs(layout: SourceLayout, commit_sha: str, writer: TreeWriter) -> Iterator[_Blob | None]:
    arguments = ("ls-tree", "-r", "-l", "-z", "--full-tree", commit_sha)
    with GitProcess(arguments, git_environment(layout.repository)) as process:
        for record in split_records(process.stdout, b"\0"):
            writer.count_entry()
            yield _accept_entry(record, writer)
        process.finish()


def _accept_entry(record: bytes, writer: TreeWriter) -> _Blob | None:
    fields, _, path = record.partition(b"\t")
    mode, _, object_id, size = fields.split()
    if mode in (_SYMLINK, _SUBMODULE):
        if not writer.is_excluded(path):
            writer.skip(path, "symbolic link" if mode == _SYMLINK else "submodule")
        return None
    if not writer.accept(path, int(size)):
        return None
    return _Blob(object_id, int(size), path, mode == _EXECUTABLE)


def _copy_blobs(layout: SourceLayout, blobs: list[_Blob], writer: TreeWriter) -> None:
    with TemporaryFile(dir=layout.root) as id_file:
        # A file instead of a pipe: with two pipes, this process and git could each wait for the other to read.
        id_file.writelines(blob.object_id + b"\n" for blob in blobs)
        id_file.seek(0)
        environment = git_environment(layout.repository)
        with GitProcess(("cat-file", "--batch", "--buffer"), environment, stdin=cast("BinaryIO", id_file)) as process:
            for blob in blobs:
                writer.write(blob.path, _read_blob(process.stdout, blob), executable=blob.executable)
            process.finish()


def _read_blob(stream: IO[bytes], blob: _Blob) -> bytes:
    header = stream.readline(256)
    if header != b"%b blob %d\n" % (blob.object_id, blob.size):
        raise ValueError("git returned another object than the requested blob")
    data = stream.read(blob.size)
    if len(data) != blob.size or stream.read(1) != b"\n":
        raise ValueError("the blob is truncated")
    return data
