"""Writer of files below one directory, which no path can leave."""

import os
from contextlib import suppress

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

PLACEHOLDER_MODE = 0
"""Permission bits of an empty file that stands for one which was not copied; those of other files are never zero."""


class DirectoryWriter:
    """Writer of files below one directory.

    It opens each component of a path by descriptor and follows no symbolic link, so no path can leave the directory.
    """

    def __init__(self, path: os.PathLike[str]) -> None:
        self._root = os.open(path, _OPEN_DIRECTORY)
        self._parent = b""
        self._parent_fd = self._root

    def close(self) -> None:
        """Close the descriptors."""
        self._close_parent()
        os.close(self._root)

    def write(self, path: bytes, data: bytes, *, executable: bool) -> None:
        """Write a new file. Raises FileExistsError or NotADirectoryError if a name on the path is taken."""
        parent, _, name = path.rpartition(b"/")
        file = os.open(name, _CREATE_FILE, 0o755 if executable else 0o644, dir_fd=self._open_parent(parent))
        with os.fdopen(file, "wb") as stream:
            stream.write(data)

    def make_directory(self, path: bytes) -> None:
        """Make a directory and those above it, where missing. Raises OSError if a file has one of the names."""
        self._open_parent(path)

    def write_placeholder(self, path: bytes) -> None:
        """Make an empty file that nobody can read. Raises OSError if the name is taken."""
        parent, _, name = path.rpartition(b"/")
        os.close(os.open(name, _CREATE_FILE, PLACEHOLDER_MODE, dir_fd=self._open_parent(parent)))

    def _open_parent(self, path: bytes) -> int:
        """Open a directory, making it where missing; the last one stays open, as files come sorted by directory."""
        if path == self._parent:
            return self._parent_fd
        self._close_parent()
        current = self._root
        for part in path.split(b"/") if path else ():
            try:
                child = _make_and_open(current, part)
            finally:
                if current != self._root:
                    os.close(current)
            current = child
        self._parent, self._parent_fd = path, current
        return current

    def _close_parent(self) -> None:
        if self._parent_fd != self._root:
            os.close(self._parent_fd)
        self._parent, self._parent_fd = b"", self._root


def _make_and_open(directory: int, name: bytes) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=directory)
    return os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
