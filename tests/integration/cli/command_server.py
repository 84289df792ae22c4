"""Runs the command in processes that are forked from one that has imported it: real ones, without a second of imports.

What the imports themselves may do wrong is for the tests that start an interpreter: `System.run`, the container's.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tests.fixtures.worker_process import TIMEOUT_SECONDS, CommandResult, System
from worker.cli.app import main

MODULES = ("analyze", "bulk", "database", "doctor", "jobs", "operators", "submit", "submit_file", "up")
MAX_REQUEST = 1 << 17


@dataclass(frozen=True)
class QuickSystem(System):
    """A system whose commands run in forked processes, while there is a `command_server`."""

    async def run(self, *arguments: str, **environment: str) -> CommandResult:
        request = {
            "arguments": arguments,
            "environment": self.process_environment(**environment),
            "directory": str(self.directory),
        }
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            code = await asyncio.to_thread(self._ask, request, out.fileno(), error.fileno())
            out.seek(0)
            error.seek(0)
            return CommandResult(code=code, out=out.read().decode(), error=error.read().decode())

    def _ask(self, request: object, out: int, error: int) -> int:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(_socket_path()))
            socket.send_fds(connection, [json.dumps(request).encode()], [out, error])
            return int(connection.recv(16))


def quick(system: System) -> QuickSystem:
    return QuickSystem(environment=system.environment, directory=system.directory)


_sockets: list[Path] = []


def _socket_path() -> Path:
    return _sockets[-1]


@contextlib.contextmanager
def command_server(directory: Path) -> Iterator[None]:
    """Until the block ends, commands can be run through a socket in the directory."""
    _sockets.append(directory / "commands")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(_socket_path()))
        listener.listen(64)
        command = [sys.executable, "-m", "tests.integration.cli.command_server", str(listener.fileno())]
        root = Path(__file__).parents[3]
        with subprocess.Popen(command, cwd=root, pass_fds=[listener.fileno()], start_new_session=True) as process:
            try:
                yield
            finally:
                process.kill()
                _sockets.pop()


def serve(listener: socket.socket) -> NoReturn:
    for module in MODULES:
        importlib.import_module(f"worker.cli.commands.{module}")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the handlers
    parent = os.getppid()
    listener.settimeout(1)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if os.getppid() != parent:  # the suite was killed
                sys.exit()
            continue
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            handle(connection)
        connection.close()


def handle(connection: socket.socket) -> NoReturn:
    message, descriptors, _, _ = socket.recv_fds(connection, MAX_REQUEST, 2)
    body = os.fork()
    if body == 0:
        connection.close()
        run(json.loads(message), descriptors)
    _, status = os.waitpid(body, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def run(request: dict[str, object], descriptors: list[int]) -> NoReturn:
    for standard, descriptor in zip((1, 2), descriptors, strict=True):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    os.chdir(str(request["directory"]))
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    time.tzset()
    sys.argv = ["vibe8", *request["arguments"]]  # type: ignore[misc]
    code = 1
    try:
        main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
