"""The Python files of a commit, out of a bare repository and into the tree: no checkout, so nothing can run."""

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


def write_commit_tree(scratch: SourceLayout, commit_sha: str, writer: TreeWriter) -> None:
    """Hand every wanted file of the commit to the writer.

    Raises InvalidInputError where the tree passes a limit, PermanentError where git cannot read it.
    """
    try:
        blobs = [blob for blob in _listing(scratch, commit_sha, writer) if blob is not None]
        _copy(scratch, blobs, writer)
    except GitFailedError as error:
        raise PermanentError(f"the commit's files cannot be read: {error.reason()}") from error
    except ValueError as error:
        raise PermanentError("the commit's files cannot be read: git's answer cannot be understood") from error


def _listing(scratch: SourceLayout, commit_sha: str, writer: TreeWriter) -> Iterator[_Blob | None]:
    arguments = ("ls-tree", "-r", "-l", "-z", "--full-tree", commit_sha)
    with GitProcess(arguments, git_environment(scratch.repository)) as process:
        for record in split_records(process.stdout, b"\0"):
            writer.count_entry()
            yield _judge(record, writer)
        process.finish()


def _judge(record: bytes, writer: TreeWriter) -> _Blob | None:
    about, _, path = record.partition(b"\t")
    mode, _, object_id, size = about.split()
    if mode in (_SYMLINK, _SUBMODULE):
        if not writer.is_excluded(path):
            writer.skip(path, "symbolic link" if mode == _SYMLINK else "submodule")
        return None
    if not writer.accept(path, int(size)):
        return None
    return _Blob(object_id, int(size), path, mode == _EXECUTABLE)


def _copy(scratch: SourceLayout, blobs: list[_Blob], writer: TreeWriter) -> None:
    with TemporaryFile(dir=scratch.root) as names:
        # A file and not a pipe: git reads it at its own pace, so that we and git never wait for each other.
        names.writelines(blob.object_id + b"\n" for blob in blobs)
        names.seek(0)
        environment = git_environment(scratch.repository)
        with GitProcess(("cat-file", "--batch", "--buffer"), environment, stdin=cast("BinaryIO", names)) as process:
            for blob in blobs:
                writer.write(blob.path, _read_blob(process.stdout, blob), executable=blob.executable)
            process.finish()


def _read_blob(stream: IO[bytes], blob: _Blob) -> bytes:
    header = stream.readline(256)
    if header != b"%b blob %d\n" % (blob.object_id, blob.size):
        raise ValueError("not the blob that was asked for")
    data = stream.read(blob.size)
    if len(data) != blob.size or stream.read(1) != b"\n":
        raise ValueError("the blob is cut off")
    return data
