"""Run a native tool: an argument list, an environment of our own, a timeout, a cap on what it says."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from collectors.tools.tool_launcher import preexec_function

TIMED_OUT = "took too long"
_ERRORS_LIMIT = 4096
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """How a run ended.

    `exit_code` is None where the tool did not end by itself; then `failure` says in a few words what happened to it, or
    is TIMED_OUT. `stderr` is the beginning of its standard error.
    """

    exit_code: int | None
    stderr: str
    failure: str | None = None


def run_tool(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout: float,
    output_limit: int,
    on_line: Callable[[bytes], None],
) -> ToolRun:
    """Run `command` (its first word an absolute path) in `cwd` with no input and only the given environment.

    `on_line` is given each line of its standard output as it comes, without the newline; what that raises ends the
    tool and is passed on. The tool is killed after `timeout` seconds, when it says more than `output_limit` bytes, and
    when this process dies. It writes no file and sees none of our descriptors. Raises OSError where no process can be
    started.
    """
    said, complained = _Lines(on_line, output_limit), _Beginning()
    end = time.monotonic() + timeout
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=preexec_function(),  # noqa: PLW1509 - see there
    ) as process:
        try:
            lost = _listen([(process.stdout, said), (process.stderr, complained)], end) or _wait(process, end)
        finally:
            process.kill()  # does nothing to a process that has been waited for
    code = process.returncode
    if lost is None and code < 0:
        lost = f"crashed ({signal.Signals(-code).name})"
    errors = complained.heard.decode("utf-8", "backslashreplace")
    return ToolRun(exit_code=code if lost is None else None, stderr=errors, failure=lost)


class _Ear(Protocol):
    def hear(self, chunk: bytes) -> bool: ...


class _Lines:
    """Cuts a stream into lines, up to a limit in bytes."""

    def __init__(self, on_line: Callable[[bytes], None], limit: int) -> None:
        self._on_line = on_line
        self._left = limit
        self._rest = b""

    def hear(self, chunk: bytes) -> bool:
        """Take the next chunk, empty at the end; False when that is too much."""
        self._left -= len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._on_line(line)
        if not chunk and self._rest:
            self._on_line(self._rest)
        return self._left >= 0


class _Beginning:
    """Keeps a stream's beginning and overlooks the rest."""

    def __init__(self) -> None:
        self.heard = bytearray()

    def hear(self, chunk: bytes) -> bool:
        """Take the next chunk; it is never too much."""
        self.heard += chunk[: _ERRORS_LIMIT - len(self.heard)]
        return True


def _listen(ears: Iterable[tuple[IO[bytes] | None, _Ear]], end: float) -> str | None:
    """Pass on what the tool says until it closes both streams; why that was not to be waited for, or None."""
    with selectors.DefaultSelector() as selector:
        for stream, ear in ears:
            selector.register(stream or -1, selectors.EVENT_READ, ear)
        while selector.get_map():
            for key, _ in selector.select(max(0.0, end - time.monotonic())):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                if not key.data.hear(chunk):
                    return "said too much"
            if time.monotonic() >= end:
                return TIMED_OUT
    return None


def _wait(process: subprocess.Popen[bytes], end: float) -> str | None:
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    return None
