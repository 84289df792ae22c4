"""Debian's PgBouncer in transaction mode, in front of the suite's PostgreSQL."""

import os
import shutil
import signal
import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from infrastructure.embedded.server_process import ServerProcess, server_user

MISSING = "PgBouncer is not installed: apt-get install pgbouncer"
SYSTEM_PATH = "/usr/sbin:/sbin"


def find_program(path: str) -> Path:
    """Return PgBouncer's program on this search path. Fails the test where there is none."""
    found = shutil.which("pgbouncer", path=path)
    if found is None:
        pytest.fail(MISSING, pytrace=False)
    return Path(found)


class PgBouncer:
    """A PgBouncer on a port of the loopback interface. It accepts every user, and logs in as `postgres`."""

    def __init__(self, directory: Path, server_url: str, **options: object) -> None:
        """Make it for the server of this address; `options` are settings of PgBouncer."""
        directory.mkdir(mode=0o711)
        self._program = find_program(os.pathsep.join([os.environ.get("PATH", ""), SYSTEM_PATH]))
        self._run_as = server_user()
        self._run_as.chown(directory)
        self._configuration = directory / "pgbouncer.ini"
        self._sockets = parse_qs(urlsplit(server_url).query)["host"][0]
        self._options = {"pool_mode": "transaction", "default_pool_size": 2, **options}
        self._process = ServerProcess(
            "PgBouncer", directory=directory, run_as=self._run_as, stop_signals=(signal.SIGTERM,)
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def url(self, database: str) -> str:
        """Return the address of a database behind the pooler."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it on its port, and return when it accepts connections."""
        settings = {"listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "", "auth_type": "any"}
        lines = [f"{name} = {value}" for name, value in {**settings, **self._options}.items()]
        server = f"host={self._sockets} port=5432 user=postgres"
        self._configuration.write_text("\n".join(["[databases]", f"* = {server}", "[pgbouncer]", *lines, ""]))
        self._configuration.chmod(0o644)
        self._process.start([str(self._program), self._configuration.name], ready=self._accepts)

    def stop(self) -> None:
        """End it at once, with all its connections. Does nothing if it is not running."""
        self._process.stop()

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
