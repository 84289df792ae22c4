"""A server as a child process: started in its own session, and stopped with signals, in the end SIGKILL."""

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
"""The user that runs the servers if this process runs as root, since PostgreSQL refuses to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """The user and group that a server runs as; None: those of this process."""

    uid: int | None = None
    gid: int | None = None

    def options(self) -> dict[str, int | list[int]]:
        """Return the arguments for `subprocess`."""
        return {} if self.uid is None or self.gid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def chown(self, path: Path) -> None:
        """Make this user the owner of the path."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def server_user() -> RunAs:
    """Return this process's user, or SERVICE_USER if this process runs as root; it is created at the first use.

    Raises ServiceUnavailableError if it cannot be created.
    """
    if os.geteuid() != 0:
        return RunAs()
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        entry = _create_user()
    return RunAs(uid=entry.pw_uid, gid=entry.pw_gid)


def _create_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if useradd is None:
        raise ServiceUnavailableError(
            f"PostgreSQL does not run as root, and there is no useradd to create the user {SERVICE_USER}: "
            "run vibe8 as another user, or create that user"
        )
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    if _has_group(SERVICE_USER):
        command = [useradd, "--system", "--gid", SERVICE_USER, "--no-create-home", "--home-dir", "/nonexistent"]
    done = None
    for _ in range(20):
        done = subprocess.run([*command, SERVICE_USER], capture_output=True, text=True, check=False)
        try:
            return pwd.getpwnam(SERVICE_USER)  # created here or, concurrently, by another process
        except KeyError:
            time.sleep(0.1)  # another process has locked the user database
    reason = one_line(done.stderr, 200) if done else ""
    raise ServiceUnavailableError(f"the user {SERVICE_USER}, which must run PostgreSQL, cannot be created: {reason}")


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def server_environment() -> Mapping[str, str]:
    """Return a minimal environment: a server must inherit neither secrets nor `PG*` variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def run_program(argv: Sequence[str], user: RunAs, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of a server, such as initdb, until it ends. Raises OSError if the user may not run it.

    If the caller is interrupted (Ctrl-C, SIGTERM), the program and its child processes are killed first: the servers
    that initdb starts would go on writing.
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
            process.communicate()  # waits until no process holds the pipes
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, error)


def can_run(program: Path, user: RunAs) -> bool:
    """Return whether the user can run the program and load its libraries."""
    try:
        return run_program([str(program), "--version"], user, cwd=Path("/")).returncode == 0
    except OSError:
        return False


def copy_readable_by_all(source: Path, root: Path, place: str) -> Path:
    """Copy a directory of programs to `root/place`, replacing it, so that every user can run them."""
    target = root / place
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include"))
    for path in (root, *root.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
    return target


class ServerProcess:
    """A server's process. `stop` sends the given signals one after the other, then SIGKILL."""

    def __init__(self, name: str, *, directory: Path, run_as: RunAs, stop_signals: Sequence[signal.Signals]) -> None:
        self._name = name
        self._directory = directory
        self._run_as = run_as
        self._stop_signals = stop_signals
        self._log = directory.parent / f"{directory.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id. Raises RuntimeError if the server has not been started."""
        if self._process is None:
            raise RuntimeError(f"{self._name} has not been started")
        return self._process.pid

    @property
    def name(self) -> str:
        """Name for messages."""
        return self._name

    @property
    def ended(self) -> bool:
        """Whether the started server has ended by itself, or was killed."""
        return self._process is not None and self._process.poll() is not None

    def start(self, argv: Sequence[str], *, ready: Callable[[], bool]) -> None:
        """Start the server in its directory and return when `ready()` is true.

        It runs in its own session, so that Ctrl-C in a terminal does not reach it: it must outlive the work that needs
        it. Raises ServiceUnavailableError, with the end of its log, if it ends or is not ready within START_SECONDS.
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
                raise ServiceUnavailableError(f"{self._name} ended while starting: {self._end_of_log()}")
            if time.monotonic() > deadline:
                self.stop()
                raise ServiceUnavailableError(f"{self._name} was not ready within {START_SECONDS} s")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server and wait until it has ended. Does nothing if it is not running."""
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

    def _end_of_log(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return one_line(" | ".join(lines[-4:]), 400) or "its log is empty"


def stop_orphan(pid_file: Path, directory: Path, first: signal.Signals) -> None:
    """Stop the server that a killed `vibe8 up` left running, if the process of the pid file is that server.

    It is that server if its working directory is `directory`, which can be checked on Linux only. `first` is the
    signal sent before SIGKILL.
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
