"""The HTTP service that `vibe8 up` runs beside its worker, as a process of its own."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from domain.errors import InvalidInputError
from infrastructure.service_urls import http_address
from infrastructure.settings import PREFIX, Settings
from worker.cli.commands.serve import http_installed
from worker.cli.exit_codes import BAD_INPUT

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class HttpBeside:
    """One `vibe8 serve` on a port that was free when this process looked."""

    host: str
    port: int
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """Where a browser of this machine reaches it."""
        return http_address(self.host, self.port)

    def start(self) -> None:
        """Start it. It ends with this process, however this one ends."""
        variables = {f"{PREFIX}HTTP_PORT": str(self.port), f"{PREFIX}STATUS_PORT": ""}  # the worker has that port
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker", "serve", "--with-parent"], env={**os.environ, **variables}
        )

    def wait_until_listening(self) -> bool:
        """Wait until it accepts connections. Returns False where it does not within START_SECONDS."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            with suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def restart_if_ended(self) -> bool:
        """Start it again if it has ended, unless it has refused its settings. Returns whether it did."""
        ended = self._process is not None and self._process.poll() not in (None, BAD_INPUT)
        if ended:
            self.start()
        return ended

    def stop(self) -> None:
        """End it, and wait for its end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def http_beside(settings: Settings) -> HttpBeside | None:
    """Return the service to start; None where its extra is not installed. Raises InvalidInputError for a taken port."""
    if not http_installed():
        return None
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        with socket.create_server((settings.http_host, settings.http_port), family=family) as free:
            return HttpBeside(settings.http_host, free.getsockname()[1])
    except OSError as error:
        reason = str(error.strerror).partition(" (while ")[0]  # Python adds the address to it
        raise InvalidInputError(
            f"HTTP_PORT {settings.http_port} on {settings.http_host} cannot be used: {reason}; "
            "set another one, or 0 for any that is free"
        ) from None
