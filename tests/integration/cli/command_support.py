"""Run the command in a pipe or on a terminal, and check its error line."""

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

METRIC_NAMES = {"lint", "cyclomatic", "docs", "dead_code", "deps", "mi", "size", "dupes", "security", "churn"}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def without_services(directory: Path, **environment: str) -> System:
    """Return a system without servers: no address is set, and no `vibe8 up` runs."""
    own = {
        "VIBE8_HOME": str(directory / "nowhere"),
        "SCRATCH_DIR": str(directory / "scratch"),
        "PACKAGE_INDEX_URL": "",
    }
    return with_forked_commands(System(environment={**own, **environment}, directory=directory))


def forking_system(database_url: str, redis_url: str, directory: Path, **more: str) -> System:
    return with_forked_commands(new_system(database_url, redis_url, directory, **more))


def assert_error_line(finished: CommandResult, code: int, *words: str) -> None:
    """Assert that the command printed one error line with these words, nothing else, and exited with this code."""
    assert finished.out == ""
    assert finished.error.endswith("\n")
    (line,) = finished.error.splitlines()
    assert line.startswith("vibe8: ")
    assert len(line) > len("vibe8: ")
    for word in words:
        assert word in line, (word, line)
    assert finished.code == code, line


class Terminal:
    """A terminal of 80 columns with a command in the foreground. Collects what the command prints."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.raw = b""
        self._descriptor = descriptor
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return
        except OSError:  # EIO: every process has closed the other end
            data = b""
        if not data:
            self.close()
        self.raw += data
        self._changed.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self._closed.set()

    @property
    def text(self) -> str:
        """The output without colours and cursor movements, with `\\n` as line end."""
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
        """Wait for the end of the command and of its output, and return its exit code."""
        code = await asyncio.to_thread(self.process.wait, TIMEOUT_SECONDS)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._closed.wait()
        return code


@asynccontextmanager
async def run_on_terminal(
    system: System,
    *arguments: str,
    command: Sequence[str] = COMMAND,
    stdout: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Terminal]:
    """Run `vibe8 ARGUMENTS` on a new terminal. With `stdout`, standard output goes to that descriptor instead."""
    parent_end, child_end = pty.openpty()
    fcntl.ioctl(child_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*command, *arguments],
        env=system.process_environment(**{"TERM": "xterm-256color", **(environment or {})}),
        cwd=system.directory,
        stdin=child_end,
        stdout=child_end if stdout is None else stdout,
        stderr=child_end,
        start_new_session=True,
        # Make it the controlling terminal, so that Ctrl-C reaches the command's process group.
        preexec_fn=lambda: fcntl.ioctl(child_end, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads are in the child
    )
    os.close(child_end)
    terminal = Terminal(process, parent_end)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
            await asyncio.to_thread(process.wait)
        terminal.close()
        os.close(parent_end)
