"""Run a native tool: an argument list, an environment of our own, a deadline, a cap on what it says."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collectors import tool_launcher

_ERRORS_LIMIT = 4096
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """How a run ended.

    `exit_code` is None where the tool did not end by itself; then `lost` says in a few words what happened to it.
    `errors` is the beginning of its standard error.
    """

    exit_code: int | None
    output: bytearray
    errors: str
    lost: str | None = None


def run_tool(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], deadline: float, output_limit: int
) -> ToolRun:
    """Run `command` (its first word an absolute path) in `cwd` with no input and only the given environment.

    It is killed after `deadline` seconds, when it says more than `output_limit` bytes, and when this process dies.
    It writes no file and never sees this process's descriptors. Raises OSError where no process can be started.
    """
    launcher = [sys.executable, "-I", "-S", str(Path(tool_launcher.__file__)), str(os.getpid())]
    output, errors = bytearray(), bytearray()
    with subprocess.Popen(
        [*launcher, *command],
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            lost = _listen(process, output, errors, time.monotonic() + deadline, output_limit)
        finally:
            process.kill()  # does nothing to a process that has been waited for
    code = process.returncode
    if lost is None and code < 0:
        lost = f"crashed ({signal.Signals(-code).name})"
    complaint = errors.decode("utf-8", "backslashreplace")
    return ToolRun(exit_code=code if lost is None else None, output=output, errors=complaint, lost=lost)


def _listen(
    process: subprocess.Popen[bytes], output: bytearray, errors: bytearray, end: float, output_limit: int
) -> str | None:
    """Fill `output` and `errors` until the tool has ended; why that was not to be waited for, or None."""
    with selectors.DefaultSelector() as selector:
        for stream, heard in ((process.stdout, output), (process.stderr, errors)):
            selector.register(stream or -1, selectors.EVENT_READ, heard)
        while selector.get_map():
            for key, _ in selector.select(max(0.0, end - time.monotonic())):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                key.data.extend(chunk if key.data is output else chunk[: _ERRORS_LIMIT - len(errors)])
            if len(output) > output_limit:
                return "said too much"
            if time.monotonic() >= end:
                return "took too long"
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return "took too long"
    return None
