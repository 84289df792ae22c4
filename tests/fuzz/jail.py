"""Checks for fuzz tests: nothing is written outside one directory, errors are clear, and no process is left."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.hostile.support.naughty_strings import assert_harmless

_EVENTS = {"open": 0, "os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1, "os.truncate": 0, "os.remove": 0}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_jail: bytes | None = None
_escapes: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _jail is None or event not in _EVENTS:
        return
    target = arguments[_EVENTS[event]]
    if isinstance(target, int) or (event == "open" and not _writes(arguments)):
        return
    name = os.fsencode(target)
    if event == "open" and name == _jail:
        return  # a directory is opened for writing only with O_TMPFILE, which makes a file without a name
    # A relative name belongs to a directory descriptor: it must be a single component.
    inside = name.startswith(_jail + b"/") if name.startswith(b"/") else b"/" not in name and name != b".."
    if name != b"/dev/null" and (b"/../" in name + b"/" or not inside):
        _escapes.append(f"{event} {name!r}")


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return bool(flags & _WRITING) or (isinstance(mode, str) and any(letter in mode for letter in "wax+"))


sys.addaudithook(_hook)


@contextmanager
def jailed(directory: Path) -> Iterator[None]:
    """Fail if this process writes, creates, moves or deletes anything outside the directory."""
    global _jail  # noqa: PLW0603 - an audit hook cannot be removed
    _escapes.clear()
    _jail = os.fsencode(directory)
    try:
        yield
    finally:
        _jail = None
    assert not _escapes, _escapes


def assert_plain_files(root: Path, most_bytes: int) -> int:
    """Check that the tree holds only directories and regular files with one link each; return the number of files."""
    files = size = 0
    for directory, names, filenames in os.walk(os.fsencode(root)):
        for name in (*names, *filenames):
            assert not os.path.islink(os.path.join(directory, name))  # noqa: PTH114, PTH118
        for name in filenames:
            status = os.lstat(os.path.join(directory, name))  # noqa: PTH118
            assert status.st_nlink == 1
            assert status.st_mode & 0o170000 == 0o100000
            assert not status.st_mode & 0o7000
            files, size = files + 1, size + status.st_size
    assert size <= most_bytes
    return files


def assert_clear_message(message: str, most: int = 1_000) -> None:
    """Check that the message is one harmless line."""
    assert_harmless(message)
    assert 0 < len(message) <= most
    assert len(message.splitlines()) == 1


def assert_no_process_left(scratch: Path) -> None:
    """Check that no process has this scratch directory in its command line or, as git does, in its environment."""
    remaining = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(scratch) in (directory / "environ").read_bytes() + (directory / "cmdline").read_bytes():
                remaining.append((directory / "cmdline").read_bytes())
        except OSError:
            continue  # the process has ended, or belongs to another user
    assert not remaining
