"""The command as a user meets it: in a pipe, and on a terminal."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fixtures.command_server import with_forked_commands
from tests.fixtures.worker_process import COMMAND, TIMEOUT_SECONDS, CommandResult, System, new_system

TEN = {"lint", "cyclomatic", "docs", "dead_code", "deps", "mi", "size", "dupes", "security", "churn"}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def without_services(directory: Path, **environment: str) -> System:
    """Make settings that name no server; `vibe8 up` does not run either."""
    own = {
        "VIBE8_HOME": str(directory / "nowhere"),
        "SCRATCH_DIR": str(directory / "scratch"),
        "PACKAGE_INDEX_URL": "",
    }
    return with_forked_commands(System(environment={**own, **environment}, directory=directory))


def forking_system(database_url: str, redis_url: str, directory: Path, **more: str) -> System:
    return with_forked_commands(new_system(database_url, redis_url, directory, **more))


def assert_complaint(finished: CommandResult, code: int, *words: str) -> None:
    """One line on standard error that says these words, nothing on standard output, and this exit code."""
    assert finished.out == ""
    assert finished.error.endswith("\n")
    (line,) = finished.error.splitlines()
    assert line.startswith("vibe8: ")
    assert len(line) > len("vibe8: ")
    for word in words:
        assert word in line, (word, line)
    assert finished.code == code, line


class Terminal:
    """A terminal of 80 columns on which a command runs in the foreground; what it shows is collected."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.raw = b""
        self._descriptor = descriptor
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the other end any more
            data = b""
        if not data:
            self.close()
        self.raw += data
        self._changed.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._over.set()

    @property
    def text(self) -> str:
        """What was shown, without colours and cursor movements; line ends as `\\n`."""
        return ESCAPES.sub("", self.raw.decode()).replace("\r\n", "\n")

    async def until(self, pattern: str) -> None:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while not re.search(pattern, self.text):
                assert self.process.poll() is None, self.text
                self._changed.clear()
                await self._changed.wait()

    def press(self, key: bytes) -> None:
        os.write(self._descriptor, key)

    async def wait(self) -> int:
        """Its exit code, once it has ended and all that it showed is here."""
        code = await asyncio.to_thread(self.process.wait, TIMEOUT_SECONDS)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._over.wait()
        return code


@asynccontextmanager
async def on_terminal(
    system: System,
    *arguments: str,
    command: Sequence[str] = COMMAND,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Terminal]:
    """Run `vibe8 ARGUMENTS` on a terminal of its own; standard output goes there too unless a descriptor is given."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*command, *arguments],
        env=system.process_environment(**{"TERM": "xterm-256color", **(environment or {})}),
        cwd=system.directory,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - Ctrl-C is to reach its group
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
            await asyncio.to_thread(process.wait)
        terminal.close()
        os.close(ours)
