"""Error lines, and standard streams that cannot be used. Imports nothing slow: `vibe8 --help` imports it."""

import errno
import io
import os
import sys

from domain.text import one_line

MAX_LENGTH = 2_000
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def print_error(message: str) -> None:
    """Print `vibe8: MESSAGE` as one line on standard error."""
    print(f"vibe8: {one_line(message, MAX_LENGTH)}", file=sys.stderr)


def prepare_standard_streams() -> None:
    """Open closed standard streams on the null device, and escape what standard output's encoding does not have.

    A file or socket that is opened later must not get the number of a closed stream: output would be written there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number
    if sys.__stdin__ is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - a descriptor, which stays open
    if sys.__stdout__ is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.__stderr__ is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Drop what is buffered for standard output, so that the flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def unwritable(error: OSError) -> str:
    """Return one line about a disk or stream that takes no more data. Raises the error where it is another one."""
    if error.errno not in _UNWRITABLE:
        raise error
    place = "standard output or a temporary file" if error.filename is None else error.filename
    return f"{place} cannot be written: {error.strerror}"
