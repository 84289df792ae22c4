"""One server as our own child: started in a session of its own, watched, and stopped for certain."""

import grp
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ServiceUnavailableError
from domain.text import one_line

START_SECONDS = 30
_POLL_SECONDS = 0.01

SERVICE_USER = "vibe8-postgres"
"""As whom the servers run where we are root, since PostgreSQL refuses to run as root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """Whom a server runs as; no ids mean ourselves."""

    uid: int | None = None
    gid: int | None = None

    def options(self) -> dict[str, int | list[int]]:
        """For `subprocess`."""
        return {} if self.uid is None or self.gid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def chown(self, path: Path) -> None:
        """Give the path to that user."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def server_user() -> RunAs:
    """Ourselves, or the service's own user where we are root; it is made at the first use.

    Raises ServiceUnavailableError where it cannot be made.
    """
    if os.geteuid() != 0:
        return RunAs()
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        entry = _make_user()
    return RunAs(uid=entry.pw_uid, gid=entry.pw_gid)


def _make_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        raise ServiceUnavailableError(
            f"PostgreSQL does not run as root, and there is no useradd to make the user {SERVICE_USER}: "
            "run vibe8 as another user, or make that user"
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    if _has_group(SERVICE_USER):
        command = [useradd, "--system", "--gid", SERVICE_USER, "--no-create-home", "--home-dir", "/nonexistent"]
    done = None
    for _ in range(20):
        done = subprocess.run([*command, SERVICE_USER], capture_output=True, text=True, check=False)
        try:
            return pwd.getpwnam(SERVICE_USER)  # made by us or, in the same moment, by another
        except KeyError:
            time.sleep(0.1)  # another has the user database locked
    reason = one_line(done.stderr, 200) if done else ""
    raise ServiceUnavailableError(f"the user {SERVICE_USER}, as whom PostgreSQL must run, cannot be made: {reason}")


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def server_environment() -> Mapping[str, str]:
    """Nothing of ours: a server must not inherit secrets, nor `PG*` variables that change what it does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def run_program(argv: Sequence[str], user: RunAs, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the servers' to its end. Raises OSError where the user may not run it.

    Whoever is interrupted meanwhile (Ctrl-C, SIGTERM) ends it first, and all that it has started: initdb's own servers
    would go on writing.
    """
    options: dict[str, Any] = user.options()
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(server_environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    ) as process:
        try:
            out, error = process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()  # until nobody holds the other ends of its pipes
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, error)


def can_run(program: Path, user: RunAs) -> bool:
    """Whether the user reaches the program and all that it loads."""
    try:
        return run_program([str(program), "--version"], user, cwd=Path("/")).returncode == 0
    except OSError:
        return False


def copy_readable_by_all(source: Path, root: Path, place: str) -> Path:
    """A fresh copy of a directory of programs at `root/place`, which everyone may reach, read and run."""
    target = root / place
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include"))
    for path in (root, *root.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
    return target


class ServerProcess:
    """A server's process; `stop` tries the given signals one after the other, then kills."""

    def __init__(self, name: str, *, directory: Path, run_as: RunAs, stop_signals: Sequence[signal.Signals]) -> None:
        self._name = name
        self._directory = directory
        self._run_as = run_as
        self._stop_signals = stop_signals
        self._log = directory.parent / f"{directory.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        if self._process is None:
            raise RuntimeError(f"{self._name} has not been started")
        return self._process.pid

    def start(self, argv: Sequence[str], *, ready: Callable[[], bool]) -> None:
        """Start it in its directory and return when `ready()` says so.

        A session of its own keeps a terminal's Ctrl-C from it: it is stopped after the work that needs it. Raises
        ServiceUnavailableError, with the end of its log, where it ends or is not ready in time.
        """
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    argv,
                    cwd=self._directory,
                    env=dict(server_environment()),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **self._run_as.options(),  # type: ignore[call-overload]
                )
            except OSError as error:
                raise ServiceUnavailableError(f"{self._name} cannot be started: {error.strerror}") from error
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self._process.poll() is not None:
                raise ServiceUnavailableError(f"{self._name} ended at its start: {self._last_words()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ServiceUnavailableError(f"{self._name} was not ready within {START_SECONDS} s")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop it and wait until it has gone; nothing happens where it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (*self._stop_signals, signal.SIGKILL):
            process.send_signal(number)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                continue
            return

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return one_line(" | ".join(lines[-4:]), 400) or "it said nothing"


def stop_orphan(pid_file: Path, directory: Path, first: signal.Signals) -> None:
    """End the server that a killed `vibe8 up` left behind, if the process of the pid file is that server.

    It is if its working directory is the server's (Linux); elsewhere nothing is done.
    """
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return
    for number in (first, signal.SIGKILL):
        deadline = time.monotonic() + 10
        if _works_in(pid, directory):
            os.kill(pid, number)
        while _works_in(pid, directory) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory.resolve()
    except OSError:
        return False
