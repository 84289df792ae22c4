"""Becomes a native tool: `python -I -S tool_launcher.py PARENT_PID PROGRAM ARGUMENTS...`.

A program of its own and not a `preexec_fn`, which is not safe where there are threads. It sees to it that the tool dies
with the process that asked for it, dumps no core, writes no file, and has as deep a stack in its main thread as in
its others.
"""

import ctypes
import os
import resource
import signal
import sys

STACK_BYTES = 64 * 1024 * 1024
CANNOT_START = 127
_PR_SET_PDEATHSIG = 1


def _die_with(parent: int) -> None:
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before it could be watched
        os.kill(os.getpid(), signal.SIGKILL)


def _limit(kind: int, most: int) -> None:
    """Set the soft limit to `most`, or to the hard limit where that is lower."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(arguments: list[str]) -> None:
    """Never returns: it becomes the program, or ends with CANNOT_START and one line on standard error."""
    try:
        parent, *command = arguments
        _die_with(int(parent))
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_STACK, STACK_BYTES)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execv(command[0], command)  # nosec B606 # noqa: S606 - no shell on purpose
    except (OSError, ValueError) as error:
        os.write(2, f"{error}\n".encode(errors="backslashreplace"))
    os._exit(CANNOT_START)


if __name__ == "__main__":
    main(sys.argv[1:])
