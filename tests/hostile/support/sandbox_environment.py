"""What a worker must protect, within reach of its children, so that the attacks of `attacks` have targets.

`python -m tests.hostile.support.sandbox_environment` prints as JSON what this machine's sandbox guarantees, what each
attack leaked, and how each flood was stopped.
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
SOURCE = "print('another job')\n"
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

FLOODS: Mapping[str, Mapping[str, Any]] = {
    "start_processes": {"count": 100},
    "start_threads": {"count": 100},
    "allocate_in_processes": {"processes": 5, "bytes": 80 * MB},
    "open_sockets": {"count": 100},
    "write_files": {"megabytes": 64},
    "write_deleted_files": {"megabytes": 64},
    "create_empty_files": {"count": 4000},
    "create_deep_directories": {"depth": 300},
    "write_to_closed_directory": {"megabytes": 64},
}
"""Each exceeds one of LIMITS, and is small enough for any machine."""

LINGER_SECONDS = 60
"""How long a flood stays in place, so that the supervisor can find it."""


def make_public_directory(parent: str | Path | None = None) -> Path:
    """Make a temporary directory that every user may traverse."""
    path = Path(tempfile.mkdtemp(prefix="vibe8-sandbox-test-", dir=parent))
    path.chmod(0o711)
    return path


class SandboxEnvironment:
    """A scratch parent with two jobs' directories, a file with a secret, and listening sockets of all kinds."""

    def __init__(self, runner: ZygoteRunner, directory: Path, stack: ExitStack) -> None:
        self.runner = runner
        self.directory = directory
        self.scratch = Path(tempfile.mkdtemp(prefix="job-", dir=directory))
        self.other_job = Path(tempfile.mkdtemp(prefix="job-", dir=directory))
        (self.other_job / "source.py").write_text(SOURCE)
        self.secret = directory / "secret"
        self.secret.write_text(SECRET_URL)
        self.secret.chmod(0o600)
        self.open = directory / "open"
        self.open.mkdir()
        self.open.chmod(0o777)
        self.received: list[bytes] = []
        """Datagrams that reached one of the sockets."""
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
                threading.Thread(target=self._receive, args=(listener,), daemon=True).start()
        self.targets = {
            "tcp": ports[0], "udp": ports[3], "unix": unix, "abstract": abstract, "datagrams": datagrams,
            "scratch": str(self.scratch), "other_job": str(self.other_job), "secret": str(self.secret),
            "open": str(self.open),
        }  # fmt: skip

    def _receive(self, listener: socket.socket) -> None:
        try:
            while True:
                self.received.append(listener.recv(64))
        except OSError:
            return

    async def attack(self, name: str, profile: SandboxProfile | None, *, as_follow_up: bool = False) -> str | None:
        """Run one attack in a child with this profile; return what it leaked or harmed, None if it failed.

        With `as_follow_up` the child runs a harmless entry first.
        """
        with process_with_secret() as process:
            request = {"attack": name, "targets": {**self.targets, "victim": process.pid}}
            entry = f"{ENTRIES}:attack"
            if as_follow_up:
                follow_up = FollowUp(entry=entry, request=request)
                entry, request = f"{ENTRIES}:do_nothing", {}
            else:
                follow_up = None
            result = await self.runner.run(entry, request, sandbox=profile, deadline=30, follow_up=follow_up)
            unharmed = process.poll() is None and (self.other_job / "source.py").read_text() == SOURCE
        (self.other_job / "source.py").write_text(SOURCE)
        self.secret.chmod(0o600)
        self.scratch.chmod(0o700)
        for trace in (*self.open.iterdir(), *self.scratch.iterdir()):
            trace.unlink()
        leak: str | None = result["leak"]
        return leak or (None if unharmed else "harmed")

    async def run_attacks(self, profile: SandboxProfile | None, *, as_follow_up: bool = False) -> Mapping[str, str]:
        """Run all attacks; return what each leaked, without those that failed."""
        leaks = {name: await self.attack(name, profile, as_follow_up=as_follow_up) for name in ATTACKS}
        return {name: leak for name, leak in leaks.items() if leak is not None}

    async def flood(self, name: str, profile: SandboxProfile | None) -> str | None:
        """Run one flood; return the error that stopped it, None if it was not stopped."""
        hidden = name in ("write_deleted_files", "open_sockets") and not self._lists_open_files()
        detectable = profile is not None and not hidden
        request = {**FLOODS[name], "scratch": str(self.scratch), "linger": LINGER_SECONDS if detectable else 0}
        try:
            await self.runner.run(f"{ENTRIES}:{name}", request, sandbox=profile, deadline=2 * LINGER_SECONDS)
        except AnalysisKilledError as error:
            return str(error)
        finally:
            assert self.remaining_processes() == []
            remove_tree(self.scratch)
            assert not self.scratch.exists()
            self.scratch.mkdir(mode=0o700)
        return None

    def _lists_open_files(self) -> bool:
        return all(each.available for each in self.runner.guarantees if each.name.startswith("limited memory"))

    async def run_floods(self) -> Mapping[str, str | None]:
        """Run all floods in a child with write access; return how each was stopped."""
        fetching = self.profiles()["fetching"]
        return {name: await self.flood(name, fetching) for name in FLOODS}

    def remaining_processes(self) -> list[int]:
        """Return the pids of children that still run: below a supervisor, or in the session of one that has ended."""
        assert self.runner.pid is not None
        supervisors = {process.pid for process in psutil.Process(self.runner.pid).children()}
        remaining = []
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                session = os.getsid(process.pid)
                below = process.pid not in supervisors and supervisors & {process.ppid(), session}
                orphan = ENTRIES in (process.info["cmdline"] or ()) and not psutil.pid_exists(session)
                if (below or orphan) and process.status() != psutil.STATUS_ZOMBIE:
                    remaining.append(process.pid)
        return remaining

    def profiles(self, port: int = 443) -> Mapping[str, SandboxProfile]:
        """Return the profiles that the worker gives to its two children for a repository."""
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
def process_with_secret() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of the worker's user that holds a secret in its environment."""
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
    """Create an environment and remove it afterwards."""
    directory = make_public_directory()
    try:
        with ExitStack() as stack:
            yield SandboxEnvironment(ZygoteRunner([ENTRIES], runner_limits, scratch=directory), directory, stack)
    finally:
        remove_tree(directory)


async def _report() -> Mapping[str, Any]:
    with sandbox_environment() as environment:
        try:
            leaks = {name: await environment.run_attacks(profile) for name, profile in environment.profiles().items()}
            floods = await environment.run_floods()
            guarantees = [dataclasses.asdict(each) for each in environment.runner.guarantees]
            return {"guarantees": guarantees, "leaks": leaks, "floods": floods}
        finally:
            await environment.runner.stop()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_report())))
