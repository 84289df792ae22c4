"""Start the zygote process. It can start before anything else is known, and then imports while its parent does."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

_CLEAN_ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
    "LD_BIND_NOW": "1",  # see `infrastructure.child_process.zygote`
}


@dataclass(frozen=True, slots=True)
class ZygoteProcess:
    """A started zygote and the worker's end of its control socket. As a context manager it ends with the block."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill and reap it, if it has not ended. Supervisors end when their own connections close."""
        self.control.close()
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def launch_zygote(preload: Sequence[str]) -> ZygoteProcess:
    """Start a zygote that imports these modules and then waits for the scratch directory to be named."""
    ours, theirs = socket.socketpair()
    path = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # noqa: PTH120
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "infrastructure.child_process.zygote", str(theirs.fileno()), *preload],
        pass_fds=[theirs.fileno()],
        env={**_CLEAN_ENVIRONMENT, "PATH": path},
        cwd="/",
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal must reach the worker alone
    )
    theirs.close()
    return ZygoteProcess(process, ours)
