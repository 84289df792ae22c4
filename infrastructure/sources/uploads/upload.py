"""Uploads: one `.py` file, or a `.zip` archive with or without its `.git`."""

import base64
import zipfile

from domain.errors import InvalidInputError
from domain.sources import FetchedSource
from domain.text import one_line
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout, translate_disk_errors
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.tree.writer import TreeWriter, invalid_name_reason
from infrastructure.sources.uploads.history import ArchivedGitDirectory, extract_history
from infrastructure.sources.uploads.zip_archive import (
    ZipArchive,
    ZipMemberError,
    irregular_file_reason,
    is_executable,
    member_name,
)

_NOT_BASE64 = "the upload is not valid base64 (standard alphabet, padded, no line breaks)"


def fetch_upload(filename: str, data_base64: str, scratch: SourceLayout, limits: SourceLimits) -> FetchedSource:
    """Decode an upload into scratch; an archive's folders are kept as they are.

    `filename` decides by its extension what the bytes are. Raises InvalidInputError for whatever is wrong with the
    upload as a whole; a member that cannot be taken is skipped, with its reason, and so is an unusable history.
    """
    if not filename.endswith(".py") and not filename.lower().endswith(".zip"):
        raise InvalidInputError(f"upload a .py or a .zip file, not {one_line(filename, 80)!r}")
    data = _decode(data_base64, limits)
    with translate_disk_errors():
        if filename.endswith(".py"):
            return _take_file(filename, data, scratch, limits)
        return _take_archive(data, scratch, limits)


def _decode(data_base64: str, limits: SourceLimits) -> bytes:
    # Four characters carry three bytes: what cannot fit is refused before anything is made of it.
    if len(data_base64) > (limits.max_upload_bytes + 2) // 3 * 4:
        raise _too_large(limits)
    if len(data_base64) % 4:  # b64decode lets surplus padding pass
        raise InvalidInputError(_NOT_BASE64)
    try:
        data = base64.b64decode(data_base64, validate=True)
    except ValueError as error:
        raise InvalidInputError(_NOT_BASE64) from error
    if len(data) > limits.max_upload_bytes:
        raise _too_large(limits)
    if not data:
        raise InvalidInputError("the upload is empty")
    return data


def _too_large(limits: SourceLimits) -> InvalidInputError:
    return InvalidInputError(f"the upload is larger than {limits.max_upload_bytes / MIB:g} MB (MAX_UPLOAD_MB)")


def _take_file(filename: str, data: bytes, scratch: SourceLayout, limits: SourceLimits) -> FetchedSource:
    name = filename.encode("utf-8", "surrogatepass")
    if b"/" in name or invalid_name_reason(name, archive=True) is not None:
        raise InvalidInputError(f"{one_line(filename, 80)!r} is not a plain file name")
    with TreeWriter(scratch, limits, archive=True) as writer:
        if writer.accept(name, len(data)):
            writer.write(name, data)
        return writer.finish("upload", None)


def _take_archive(data: bytes, scratch: SourceLayout, limits: SourceLimits) -> FetchedSource:
    archive = ZipArchive(data, limits)
    names = [member_name(member) for member in archive.members]
    dot_git = ArchivedGitDirectory.find(names)
    with TreeWriter(scratch, limits, archive=True) as writer:
        history = _history(archive, names, dot_git, writer, scratch)
        for name, member in zip(names, archive.members, strict=True):
            if dot_git is None or not dot_git.contains(name):
                _take_member(archive, name, member, writer)
        return writer.finish("archive", history)


def _history(
    archive: ZipArchive,
    names: list[bytes],
    dot_git: ArchivedGitDirectory | None,
    writer: TreeWriter,
    scratch: SourceLayout,
) -> FetchedHistory | None:
    if dot_git is None:
        return None
    history = extract_history(archive, names, dot_git, scratch)
    if isinstance(history, FetchedHistory):
        return history
    writer.skip(dot_git.path, f"history unusable: {history.reason}")
    return None


def _take_member(archive: ZipArchive, name: bytes, member: zipfile.ZipInfo, writer: TreeWriter) -> None:
    if writer.is_excluded(name) or name.endswith(b"/"):
        return
    fault = irregular_file_reason(member)
    if fault is not None:
        writer.skip(name, fault)
    elif name == b".git" or name.endswith(b"/.git"):
        writer.skip(name, "history unusable: .git is a file that points elsewhere")
    elif writer.accept(name, member.file_size):
        try:
            data = archive.read(member, writer.size_limit(name))
        except ZipMemberError as error:
            writer.skip(name, str(error))
        else:
            writer.write(name, data, executable=is_executable(member))
