"""Native tools as child processes with a given environment, a timeout and an output limit."""

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
from domain.ports import ProcessControl

_STDERR_LIMIT = 4096
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """How a run ended.

    `exit_code` is None where the tool did not end by itself; then `failure` says why in a few words. `stderr` is the
    beginning of its standard error.
    """

    exit_code: int | None
    stderr: str
    failure: str | None = None
    timed_out: bool = False


class _TimedOutError(Exception):
    """The timeout passed before the tool ended."""


class _TooMuchOutputError(Exception):
    """The tool wrote more than it may."""


def run_tool(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    process_control: ProcessControl,
    timeout: float,
    output_limit: int,
    on_line: Callable[[bytes], None],
) -> ToolRun:
    """Run `command` in `cwd` with empty standard input and only the given environment variables.

    The first word of `command` is an absolute path. `on_line` gets each line of standard output as it arrives, without
    the newline; an exception that it raises kills the tool and is passed on. The tool is killed after `timeout`
    seconds, when it writes more than `output_limit` bytes, and when this process dies. It cannot write files and
    inherits no descriptors. Raises OSError where the process cannot be started.
    """
    stdout, stderr = _LineReader(on_line, output_limit), _HeadReader(_STDERR_LIMIT)
    end = time.monotonic() + timeout
    failure, timed_out = None, False
    with _start(command, cwd, environment, process_control) as process:
        try:
            _read_streams([(process.stdout, stdout), (process.stderr, stderr)], end)
            _wait(process, end)
        except _TimedOutError:
            failure, timed_out = f"timed out after {timeout:.0f} s", True
        except _TooMuchOutputError:
            failure = f"wrote more than {output_limit} bytes"
        finally:
            process.kill()  # does nothing if the process has been waited for
    code = process.returncode
    if failure is None and code < 0:
        failure = f"crashed ({signal.Signals(-code).name})"
    return ToolRun(
        exit_code=code if failure is None else None,
        stderr=stderr.head.decode("utf-8", "backslashreplace"),
        failure=failure,
        timed_out=timed_out,
    )


def _start(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], process_control: ProcessControl
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=preexec_function(process_control),  # noqa: PLW1509 - see there
    )


class _OutputReader(Protocol):
    def on_output(self, chunk: bytes) -> None: ...


class _LineReader:
    """Reader that splits a stream into lines. Raises _TooMuchOutputError beyond `limit` bytes."""

    def __init__(self, on_line: Callable[[bytes], None], limit: int) -> None:
        self._on_line = on_line
        self._remaining = limit
        self._partial_line = b""

    def on_output(self, chunk: bytes) -> None:
        """Take the next chunk, which is empty at the end of the stream."""
        self._remaining -= len(chunk)
        *lines, self._partial_line = (self._partial_line + chunk).split(b"\n")
        for line in lines:
            self._on_line(line)
        if not chunk and self._partial_line:
            self._on_line(self._partial_line)
        if self._remaining < 0:
            raise _TooMuchOutputError


class _HeadReader:
    """Reader that keeps the first `limit` bytes of a stream and discards the rest."""

    def __init__(self, limit: int) -> None:
        self.head = bytearray()
        self._limit = limit

    def on_output(self, chunk: bytes) -> None:
        """Take the next chunk, which is empty at the end of the stream."""
        self.head += chunk[: self._limit - len(self.head)]


def _read_streams(readers: Iterable[tuple[IO[bytes] | None, _OutputReader]], end: float) -> None:
    """Pass on output until the tool closes both streams. Raises _TimedOutError at `end`, and what readers raise."""
    with selectors.DefaultSelector() as selector:
        for stream, reader in readers:
            selector.register(stream or -1, selectors.EVENT_READ, reader)
        while selector.get_map():
            for key, _ in selector.select(max(0.0, end - time.monotonic())):
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.on_output(chunk)
            if time.monotonic() >= end:
                raise _TimedOutError


def _wait(process: subprocess.Popen[bytes], end: float) -> None:
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise _TimedOutError from error
