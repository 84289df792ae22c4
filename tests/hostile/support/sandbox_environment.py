"""Puts what a worker must protect in reach of its children, and lets each attack of `attacks` loose on it.

python -m tests.hostile.support.sandbox_environment: as JSON, what this machine's sandbox is worth, and the leaks
that were won in it.
"""

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from domain.errors import AnalysisKilledError
from domain.ports import FollowUp
from domain.sandbox import SandboxProfile
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.sandbox.sandbox import ChildLimits
from tests.hostile.support.attacks import ATTACKS
from worker.analysis.sandbox_profiles import build_profiles
from worker.analysis.workspace import remove_tree

ENTRIES = "tests.hostile.support.attacks"
SECRET_URL = "postgresql://worker:secret@db/vibe8"
SOURCE = "print('a neighbour')\n"
MB = 1 << 20
LIMITS = ChildLimits(
    memory_bytes=512 * MB,
    file_bytes=32 * MB,
    cpu_seconds=60,
    tasks=40,
    total_memory_bytes=300 * MB,
    disk_bytes=48 * MB,
    disk_entries=3000,
)


def open_directory(parent: str | Path | None = None) -> Path:
    """A temporary directory through which every user may go."""
    path = Path(tempfile.mkdtemp(prefix="vibe8-environment-", dir=parent))
    path.chmod(0o711)
    return path


FLOODS: Mapping[str, Mapping[str, Any]] = {
    "processes": {"count": 100},
    "threads": {"count": 100},
    "memory_together": {"processes": 5, "bytes": 80 * MB},
    "many_files": {"megabytes": 64},
    "files_without_a_name": {"megabytes": 64},
    "empty_files": {"count": 4000},
    "deep_directories": {"depth": 300},
    "a_closed_directory": {"megabytes": 64},
}
"""Each goes beyond one of LIMITS, and is little enough for any machine."""

PATIENCE = 60


class SandboxEnvironment:
    """A worker's directory with a neighbour's in it, a file of the worker's, and listeners of all kinds."""

    def __init__(self, runner: ZygoteRunner, directory: Path, stack: ExitStack) -> None:
        self.runner = runner
        self.directory = directory
        self.scratch = Path(tempfile.mkdtemp(prefix="job-", dir=directory))
        self.neighbour = Path(tempfile.mkdtemp(prefix="job-", dir=directory))
        (self.neighbour / "source.py").write_text(SOURCE)
        self.secret = directory / "secret"
        self.secret.write_text(SECRET_URL)
        self.secret.chmod(0o600)
        self.open = directory / "open"
        self.open.mkdir()
        self.open.chmod(0o777)
        self.heard: list[bytes] = []
        self._listen(stack)

    def _listen(self, stack: ExitStack) -> None:
        unix, datagrams = str(self.directory / "unix"), str(self.directory / "datagrams")
        abstract = self.directory.name
        sockets: list[tuple[int, int, Any]] = [
            (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_STREAM, unix),
            (socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract),
            (socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            (socket.AF_UNIX, socket.SOCK_DGRAM, datagrams),
        ]
        ports = []
        for family, kind, address in sockets:
            listener = stack.enter_context(socket.socket(family, kind))
            listener.bind(address)
            if address in (unix, datagrams):
                Path(address).chmod(0o777)
            ports.append(listener.getsockname()[1])
            if kind == socket.SOCK_STREAM:
                listener.listen()
                threading.Thread(target=_greet, args=(listener,), daemon=True).start()
            else:
                threading.Thread(target=self._hear, args=(listener,), daemon=True).start()
        self.aims = {
            "tcp": ports[0], "udp": ports[3], "unix": unix, "abstract": abstract, "datagrams": datagrams,
            "scratch": str(self.scratch), "neighbour": str(self.neighbour), "secret": str(self.secret),
            "open": str(self.open),
        }  # fmt: skip

    def _hear(self, listener: socket.socket) -> None:
        try:
            while True:
                self.heard.append(listener.recv(64))
        except OSError:
            return

    async def attack(self, name: str, profile: SandboxProfile | None, *, second: bool = False) -> str | None:
        """The leak that this attack has won from a child with that profile; or None.

        With `second`, from one that has done something else before.
        """
        with victim() as process:
            request = {"attack": name, "aims": {**self.aims, "victim": process.pid}}
            entry = f"{ENTRIES}:attack"
            if second:
                follow_up = FollowUp(entry=entry, request=request)
                entry, request = f"{ENTRIES}:nothing", {}
            else:
                follow_up = None
            answer = await self.runner.run(entry, request, sandbox=profile, deadline=30, follow_up=follow_up)
            unharmed = process.poll() is None and (self.neighbour / "source.py").read_text() == SOURCE
        (self.neighbour / "source.py").write_text(SOURCE)
        for trace in (*self.open.iterdir(), *self.scratch.iterdir()):
            trace.unlink()
        leak: str | None = answer["leak"]
        return leak or (None if unharmed else "harmed")

    async def all_attacks(self, profile: SandboxProfile | None, *, second: bool = False) -> Mapping[str, str]:
        """What each attack has won; those that failed are left out."""
        won = {name: await self.attack(name, profile, second=second) for name in ATTACKS}
        return {name: leak for name, leak in won.items() if leak is not None}

    async def flood(self, name: str, profile: SandboxProfile | None) -> str | None:
        """How it was stopped; None where it was not."""
        expected = profile is not None and not (name == "files_without_a_name" and not self._sees_all_files())
        request = {**FLOODS[name], "scratch": str(self.scratch), "linger": PATIENCE if expected else 0}
        try:
            await self.runner.run(f"{ENTRIES}:{name}", request, sandbox=profile, deadline=2 * PATIENCE)
        except AnalysisKilledError as error:
            return str(error)
        finally:
            assert self.left() == []
            remove_tree(self.scratch)
            assert not self.scratch.exists()
            self.scratch.mkdir(mode=0o700)
        return None

    def _sees_all_files(self) -> bool:
        return all(one.available for one in self.runner.guarantees if one.name.startswith("limited memory"))

    async def all_floods(self) -> Mapping[str, str | None]:
        """How each was stopped that came from a child that may write."""
        fetching = self.profiles()["fetching"]
        return {name: await self.flood(name, fetching) for name in FLOODS}

    def left(self) -> list[int]:
        """Processes of children that are still there: below a guardian, or in the session of one that has ended."""
        assert self.runner.pid is not None
        guardians = {process.pid for process in psutil.Process(self.runner.pid).children()}
        left = []
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                session = os.getsid(process.pid)
                below = process.pid not in guardians and guardians & {process.ppid(), session}
                orphan = ENTRIES in (process.info["cmdline"] or ()) and not psutil.pid_exists(session)
                if (below or orphan) and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(process.pid)
        return left

    def profiles(self, port: int = 443) -> Mapping[str, SandboxProfile]:
        """Those that the worker gives to its two children for a repository."""
        host = "host.example" if port == 443 else f"host.example:{port}"
        source = {"kind": "repository", "url": f"https://{host}/a/b", "ca_bundle": None, "allowed_hosts": [host]}
        fetching, collecting = build_profiles(self.scratch, source)
        return {"fetching": fetching, "collecting": collecting}


def _greet(listener: socket.socket) -> None:
    try:
        while True:
            channel, _ = listener.accept()
            with channel:
                channel.sendall(b"welcome")
    except OSError:
        return


@contextmanager
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the worker's user that holds a secret in its environment."""
    command = [sys.executable, "-S", "-c", "print(flush=True); import time; time.sleep(3600)"]
    environment = {"DATABASE_URL": SECRET_URL}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def sandbox_environment(runner_limits: ChildLimits = LIMITS) -> Iterator[SandboxEnvironment]:
    """A environment, and nothing of it afterwards."""
    directory = open_directory()
    try:
        with ExitStack() as stack:
            yield SandboxEnvironment(ZygoteRunner([ENTRIES], runner_limits, scratch=directory), directory, stack)
    finally:
        remove_tree(directory)


async def _report() -> Mapping[str, Any]:
    with sandbox_environment() as environment:
        try:
            won = {name: await environment.all_attacks(profile) for name, profile in environment.profiles().items()}
            floods = await environment.all_floods()
            guarantees = [dataclasses.asdict(one) for one in environment.runner.guarantees]
            return {"guarantees": guarantees, "won": won, "floods": floods}
        finally:
            await environment.runner.stop()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_report())))
