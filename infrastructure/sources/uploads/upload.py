"""Fetching of uploads: one `.py` file, or a `.zip` archive with or without a `.git` directory."""

import base64
import zipfile
from contextlib import suppress

from domain.errors import InvalidInputError
from domain.selection import ALL, Selection
from domain.sources import FetchedSource
from domain.text import one_line
from infrastructure.sources.tree.entry_names import invalid_name_reason
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout, translate_disk_errors
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.tree.notes import MAX_NOTES_BYTES, NOTES_NAME, SourceNotes
from infrastructure.sources.tree.writer import TreeWriter
from infrastructure.sources.uploads.history import ArchivedGitDirectory, extract_history
from infrastructure.sources.uploads.zip_archive import (
    ZipArchive,
    ZipMemberError,
    check_end_record,
    irregular_file_reason,
    is_executable,
    is_link,
    member_names,
)

_MAX_TARGET_BYTES = 1024
_NOT_BASE64 = "the upload is not valid base64 (standard alphabet, padded, no line breaks)"


def fetch_upload(
    filename: str, data_base64: str, layout: SourceLayout, limits: SourceLimits, selection: Selection = ALL
) -> FetchedSource:
    """Decode an upload and write its selected files; the folders of an archive are kept.

    The extension of `filename` determines the type. Raises InvalidInputError if the upload as a whole is invalid. A
    member that cannot be extracted is skipped with a reason, and so is an unusable history.
    """
    data = check_upload(filename, data_base64, limits)
    with translate_disk_errors():
        if filename.endswith(".py"):
            return _write_file(filename, data, layout, limits, selection)
        return _extract_archive(data, layout, limits, selection)


def check_upload(filename: str, data_base64: str, limits: SourceLimits) -> bytes:
    """Return the decoded upload if its extension, base64, size and, for an archive, its end record are valid.

    It parses nothing else, so it needs no sandbox. Raises InvalidInputError.
    """
    if not filename.endswith(".py") and not filename.lower().endswith(".zip"):
        raise InvalidInputError(f"upload a .py or a .zip file, not {one_line(filename, 80)!r}")
    data = _decode(data_base64, limits)
    if not filename.endswith(".py"):
        check_end_record(data)
    return data


def _decode(data_base64: str, limits: SourceLimits) -> bytes:
    # Four characters encode three bytes, so a text that is too long is refused before it is decoded.
    if len(data_base64) > (limits.max_upload_bytes + 2) // 3 * 4:
        raise _too_large_error(limits, len(data_base64) // 4 * 3)
    if len(data_base64) % 4:  # b64decode accepts surplus padding
        raise InvalidInputError(_NOT_BASE64)
    try:
        data = base64.b64decode(data_base64, validate=True)
    except ValueError as error:
        raise InvalidInputError(_NOT_BASE64) from error
    if len(data) > limits.max_upload_bytes:
        raise _too_large_error(limits, len(data))
    if not data:
        raise InvalidInputError("the upload is empty")
    return data


def _too_large_error(limits: SourceLimits, size: int) -> InvalidInputError:
    limit = limits.max_upload_bytes / MIB
    return InvalidInputError(f"the upload ({size} bytes) is larger than {limit:g} MB (MAX_UPLOAD_MB)")


def _write_file(
    filename: str, data: bytes, layout: SourceLayout, limits: SourceLimits, selection: Selection
) -> FetchedSource:
    name = filename.encode("utf-8", "surrogatepass")
    if b"/" in name or invalid_name_reason(name, archive=True) is not None:
        raise InvalidInputError(f"{one_line(filename, 80)!r} is not a plain file name")
    with TreeWriter(layout, limits, archive=True, selection=selection) as writer:
        if writer.accept(name, len(data)):
            writer.write(name, data)
        return writer.finish("upload", None)


def _extract_archive(data: bytes, layout: SourceLayout, limits: SourceLimits, selection: Selection) -> FetchedSource:
    archive = ZipArchive(data, limits)
    names = member_names(archive.members)
    notes = _read_notes(archive, names)
    dot_git = ArchivedGitDirectory.find(names)
    with TreeWriter(layout, limits, archive=True, selection=selection) as writer:
        writer.add_notes(notes)
        history = _extract_history(archive, names, dot_git, writer, layout)
        for name, member in zip(names, archive.members, strict=True):
            if dot_git is None or not dot_git.contains(name):
                _extract_member(archive, name, member, writer)
        _extract_included(archive, names, writer)
        return writer.finish("archive", history)


def _read_notes(archive: ZipArchive, names: list[bytes]) -> SourceNotes:
    """Return what `infrastructure.sources.local.packing` noted, or nothing."""
    for name, member in zip(names, archive.members, strict=True):
        if name == NOTES_NAME and irregular_file_reason(member) is None and member.file_size <= MAX_NOTES_BYTES:
            with suppress(ZipMemberError):
                return SourceNotes.from_bytes(archive.read(member, MAX_NOTES_BYTES))
    return SourceNotes()


def _extract_history(
    archive: ZipArchive,
    names: list[bytes],
    dot_git: ArchivedGitDirectory | None,
    writer: TreeWriter,
    layout: SourceLayout,
) -> FetchedHistory | None:
    if dot_git is None:
        return None
    history = extract_history(archive, names, dot_git, layout)
    if isinstance(history, FetchedHistory):
        return history
    writer.skip(dot_git.path, f"history unusable: {history.reason}")
    return None


def _extract_member(archive: ZipArchive, name: bytes, member: zipfile.ZipInfo, writer: TreeWriter) -> None:
    if writer.is_macos_metadata(name) or writer.is_excluded(name):
        return
    reason = irregular_file_reason(member)
    if name.endswith(b"/"):
        writer.pass_over_directory(name.rstrip(b"/"))
    elif reason is not None:
        writer.skip(name, reason)
        _pass_over_link(archive, name, member, writer)
    elif name == b".git" or name.endswith(b"/.git"):
        writer.skip(name, "history unusable: .git is a file that points elsewhere")
    elif writer.accept(name, member.file_size):
        _write_member(archive, name, member, writer)


def _write_member(archive: ZipArchive, name: bytes, member: zipfile.ZipInfo, writer: TreeWriter) -> None:
    try:
        data = archive.read(member, writer.size_limit(name))
    except ZipMemberError as error:
        writer.skip(name, str(error))
    else:
        writer.write(name, data, executable=is_executable(member))


def _pass_over_link(archive: ZipArchive, name: bytes, member: zipfile.ZipInfo, writer: TreeWriter) -> None:
    if is_link(member) and member.file_size <= _MAX_TARGET_BYTES:
        with suppress(ZipMemberError):
            writer.pass_over_link(name, archive.read(member, _MAX_TARGET_BYTES))


def _extract_included(archive: ZipArchive, names: list[bytes], writer: TreeWriter) -> None:
    """Extract the further files that the manifests include, and those that these include."""
    members = dict(zip(names, archive.members, strict=True))
    while paths := writer.take_included():
        for path in paths:
            member = members.get(path)
            if member is None or irregular_file_reason(member) is not None:
                continue
            if writer.accept_included(path, member.file_size):
                _write_member(archive, path, member, writer)
