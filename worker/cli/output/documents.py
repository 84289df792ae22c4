"""Exported documents: written to standard output as they are, or to a file as a whole."""

import os
import sys
import tempfile
from pathlib import Path

from domain.errors import InvalidInputError
from domain.text import printable_line


def write_document(data: bytes, destination: Path | None) -> None:
    """Write the document to the file, or to standard output for None. Raises InvalidInputError.

    The file is replaced only when all is written, so that a full disk leaves the old one.
    """
    if destination is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return
    try:
        _replace(destination, data)
    except OSError as error:
        raise InvalidInputError(f"cannot write {printable_line(str(destination))}: {error.strerror}") from None


def _replace(destination: Path, data: bytes) -> None:
    destination = destination.resolve()  # a link stays one
    if destination.exists() and not destination.is_file():  # such as /dev/stdout, which cannot be replaced
        destination.write_bytes(data)
        return
    descriptor, name = tempfile.mkstemp(prefix=".vibe8-", dir=destination.parent)
    unfinished = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(data)
        unfinished.chmod(_mode(destination))
        unfinished.replace(destination)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _mode(destination: Path) -> int:
    """Return the permissions of the file that is replaced, or those of a new file."""
    if destination.exists():
        return destination.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
