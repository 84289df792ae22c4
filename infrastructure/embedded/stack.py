"""PostgreSQL and Valkey for a laptop, a demonstration or a test: started here, stopped here."""

import os
from pathlib import Path
from types import TracebackType

from domain.errors import ServiceUnavailableError
from infrastructure.embedded.server_process import RunAs, server_user
from infrastructure.embedded.servers import Postgres, Valkey
from infrastructure.embedded.stack_file import (
    Stack,
    acquire_lock,
    default_directory,
    remove_stack,
    token_key,
    write_stack,
)


class EmbeddedStack:
    """The two servers, their data and the file that tells other commands of them, in one directory.

    `durable=False` promises nothing after a crash and starts faster. Not for several threads. Starting twice or
    stopping twice does nothing more; a stopped stack can be started again. Signals are the caller's: whoever may get
    SIGTERM turns it into leaving the `with` block.
    """

    def __init__(self, directory: Path | None = None, *, durable: bool = True) -> None:
        self._directory = (directory or default_directory()).absolute()
        self._durable = durable
        self._lock: int | None = None
        self._stack: Stack | None = None
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None

    def start(self) -> Stack:
        """Start both, wait until both answer, and say where they are.

        Raises ServiceUnavailableError where the `embedded` extra is not installed, where another process has its
        stack in this directory, or where a server does not start; then neither runs.
        """
        if self._stack is None:
            try:
                self._stack = self._start()
            except BaseException:
                self.stop()
                raise
        return self._stack

    def stop(self) -> None:
        """Stop both and wait until both have gone."""
        try:
            if self._lock is not None:
                remove_stack(self._directory)
        finally:
            self._stop_servers()

    def __enter__(self) -> Stack:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __del__(self) -> None:
        if self._lock is not None:
            self.stop()

    def _start(self) -> Stack:
        run_as = server_user()
        _make_directory(self._directory, run_as)
        self._lock = acquire_lock(self._directory)
        if self._lock is None:
            raise ServiceUnavailableError(
                f"the servers in {self._directory} already run, started by another `vibe8 up`"
            )
        self.postgres = Postgres(self._directory, run_as=run_as, durable=self._durable)
        self.valkey = Valkey(self._directory, run_as=run_as, durable=self._durable)
        self.postgres.start()
        self.valkey.start()
        stack = Stack(
            database_url=self.postgres.url(),
            redis_url=self.valkey.url(),
            pids={"postgresql": self.postgres.pid, "valkey": self.valkey.pid},
            token_key=token_key(self._directory),
        )
        write_stack(self._directory, stack)
        return stack

    def _stop_servers(self) -> None:
        valkey, postgres, lock = self.valkey, self.postgres, self._lock
        try:
            if valkey is not None:
                valkey.stop()
        finally:
            try:
                if postgres is not None:
                    postgres.stop()
            finally:
                self.valkey = self.postgres = self._stack = self._lock = None
                if lock is not None:
                    os.close(lock)


def _make_directory(directory: Path, run_as: RunAs) -> None:
    """Make it, closed to others; but those who run as another user must be able to pass through it."""
    try:
        directory.mkdir(mode=0o711 if run_as.uid is not None else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceUnavailableError(f"{directory} cannot be made: {error.strerror}; set VIBE8_HOME") from error
    if run_as.uid is None:
        return
    directory.chmod(0o711)
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            raise ServiceUnavailableError(
                f"PostgreSQL does not run as root, and no other user may pass {parent}: "
                "set VIBE8_HOME to another place, or run vibe8 as another user"
            )
