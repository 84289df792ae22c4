"""Fetching of a directory on this machine: the files as they are on disk, with the history of HEAD."""

import os
import stat
from contextlib import ExitStack, suppress
from enum import Enum, auto
from pathlib import Path

from domain.errors import InvalidInputError
from domain.selection import ALL, Selection
from domain.sources import FetchedSource
from domain.text import one_line
from infrastructure.sources.local.history import find_repository, link_history
from infrastructure.sources.tree.entry_names import MAX_DEPTH, is_python_or_manifest
from infrastructure.sources.tree.layout import FetchedHistory, SourceLayout, translate_disk_errors
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.tree.placeholders import LinkKind
from infrastructure.sources.tree.writer import TreeWriter

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# With O_NONBLOCK, open does not block if a file was replaced with a named pipe after it was listed.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Kind(Enum):
    FILE = auto()
    DIRECTORY = auto()
    LINK = auto()
    OTHER = auto()


def fetch_directory(
    path: Path, layout: SourceLayout, limits: SourceLimits, selection: Selection = ALL
) -> FetchedSource:
    """Copy the selected Python files and the manifests below `path`, and link the history of its work tree.

    `path` may be the root of a work tree or a directory inside one; in that case only the history of that directory
    counts. Symbolic links below `path` are not followed. The history's objects are not copied: see `paths_to_read`.
    Raises InvalidInputError if there is nothing to analyse, or if the directory exceeds a limit.
    """
    if not path.is_dir():
        raise InvalidInputError(f"{one_line(str(path), 200)!r} is not a directory")
    root = path.resolve()
    with translate_disk_errors(), TreeWriter(layout, limits, selection=selection) as writer:
        history = _link_history(root, layout, writer)
        _copy_tree(root, writer)
        return writer.finish("directory", history)


def _link_history(root: Path, layout: SourceLayout, writer: TreeWriter) -> FetchedHistory | None:
    found = find_repository(root)
    if found is None:
        return None
    history = link_history(found, layout)
    if isinstance(history, FetchedHistory):
        return history
    writer.skip(b".git", f"history unusable: {history.reason}")
    return None


def _copy_tree(root: Path, writer: TreeWriter) -> None:
    try:
        directory = os.open(root, _OPEN_DIRECTORY)
    except OSError as error:
        raise InvalidInputError(f"{one_line(str(root), 200)!r} cannot be read: {error.strerror}") from error
    try:
        _copy_directory(directory, b"", writer)
        _copy_included(directory, writer)
    finally:
        os.close(directory)


def _copy_directory(directory: int, prefix: bytes, writer: TreeWriter) -> None:
    """Copy the directory's files and subdirectories, in the order of their names."""
    for name, kind in _list_entries(directory, writer):
        path = prefix + name
        if path == b".git":
            continue  # linked as history, or already recorded as skipped
        if kind is _Kind.DIRECTORY:
            _copy_subdirectory(directory, path, name, writer)
        elif kind is _Kind.LINK:
            writer.skip(path, "symbolic link")
            _pass_over_link(directory, path, name, writer)
        elif kind is _Kind.FILE:
            _copy_file(directory, path, name, writer)
        elif is_python_or_manifest(path):
            writer.skip(path, "not a regular file")


def _pass_over_link(directory: int, path: bytes, name: bytes, writer: TreeWriter) -> None:
    try:
        target = os.readlink(name, dir_fd=directory)
        mode = os.stat(name, dir_fd=directory).st_mode
    except OSError:
        return
    kind = LinkKind.DIRECTORY if stat.S_ISDIR(mode) else LinkKind.FILE if stat.S_ISREG(mode) else LinkKind.NOTHING
    writer.pass_over_link(path, target, kind)


def _copy_included(root: int, writer: TreeWriter) -> None:
    """Copy the further files that the manifests include, and those that these include."""
    while paths := writer.take_included():
        for path in paths:
            *folders, name = path.split(b"/")
            with suppress(OSError), ExitStack() as opened:  # a file that does not exist is named by `deps`
                directory = root
                for folder in folders:
                    directory = os.open(folder, _OPEN_DIRECTORY, dir_fd=directory)
                    opened.callback(os.close, directory)
                _copy_opened(os.open(name, _OPEN_FILE, dir_fd=directory), path, writer, included=True)


def _list_entries(directory: int, writer: TreeWriter) -> list[tuple[bytes, _Kind]]:
    listing = []
    with os.scandir(directory) as entries:
        for entry in entries:
            writer.count_entry()
            listing.append((os.fsencode(entry.name), _kind(entry)))
    return sorted(listing, key=lambda item: item[0])


def _kind(entry: os.DirEntry[str]) -> _Kind:
    if entry.is_symlink():
        return _Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return _Kind.DIRECTORY
    return _Kind.FILE if entry.is_file(follow_symlinks=False) else _Kind.OTHER


def _copy_subdirectory(parent: int, path: bytes, name: bytes, writer: TreeWriter) -> None:
    if writer.is_excluded(path + b"/"):
        return
    writer.pass_over_directory(path)
    if path.count(b"/") + 1 >= MAX_DEPTH:
        writer.skip(path, f"deeper than {MAX_DEPTH} directories")
        return
    try:
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
    except OSError as error:
        writer.skip(path, f"cannot be read: {error.strerror}")
        return
    try:
        _copy_directory(directory, path + b"/", writer)
    finally:
        os.close(directory)


def _copy_file(directory: int, path: bytes, name: bytes, writer: TreeWriter) -> None:
    if not is_python_or_manifest(path):
        writer.pass_over(path)
        return
    try:
        file = os.open(name, _OPEN_FILE, dir_fd=directory)
    except OSError as error:
        writer.skip(path, f"cannot be read: {error.strerror}")
        return
    _copy_opened(file, path, writer)


def _copy_opened(file: int, path: bytes, writer: TreeWriter, *, included: bool = False) -> None:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        writer.skip(path, "not a regular file")
        return
    with os.fdopen(file, "rb") as stream:
        accept = writer.accept_included if included else writer.accept
        if accept(path, status.st_size):
            writer.write(path, stream.read(status.st_size), executable=bool(status.st_mode & 0o111))
