"""The embedded stack: starts and stops PostgreSQL and Valkey for a laptop, a demonstration or a test."""

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
    running_stack,
    token_key,
    write_stack,
)


class EmbeddedStack:
    """The two servers, their data, and the file by which other commands find them, in one directory.

    With `durable=False` data may be lost in a crash, and the servers start faster. Not thread-safe. Starting a started
    stack or stopping a stopped one does nothing; a stopped stack can be started again. It handles no signals: a caller
    that may get SIGTERM must leave the `with` block then.
    """

    def __init__(self, directory: Path | None = None, *, durable: bool = True) -> None:
        self._directory = (directory or default_directory()).absolute()
        self._durable = durable
        self._lock: int | None = None
        self._stack: Stack | None = None
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None

    def start(self) -> Stack:
        """Start both servers, wait until they answer, and return their addresses.

        Raises ServiceUnavailableError if the extra `embedded` is not installed, if another process runs a stack in
        this directory, or if a server does not start; no server is left running then.
        """
        if self._stack is None:
            try:
                self._stack = self._start()
            except BaseException:
                self.stop()
                raise
        return self._stack

    def stop(self) -> None:
        """Stop both servers and wait until they have ended."""
        try:
            if self._lock is not None:
                remove_stack(self._directory)
        finally:
            self._stop_servers()

    def restart_ended_servers(self) -> list[str]:
        """Start each server that has ended without `stop`, at the same address. Returns the names of those servers.

        Raises ServiceUnavailableError if one cannot be started; call it again later then.
        """
        restarted: list[str] = []
        if self.postgres is None or self.valkey is None:
            return restarted
        for server in (self.postgres, self.valkey):
            if server.process.ended:
                server.start()
                restarted.append(server.process.name)
        if restarted:
            self._stack = self._write_stack(self.postgres, self.valkey)
        return restarted

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
            raise _already_running(self._directory)
        self.postgres = Postgres(self._directory, run_as=run_as, durable=self._durable)
        self.valkey = Valkey(self._directory, run_as=run_as, durable=self._durable)
        self.postgres.start()
        self.valkey.start()
        return self._write_stack(self.postgres, self.valkey)

    def _write_stack(self, postgres: Postgres, valkey: Valkey) -> Stack:
        stack = Stack(
            database_url=postgres.url(),
            redis_url=valkey.url(),
            pids={"postgresql": postgres.process.pid, "valkey": valkey.process.pid},
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


def refuse_second_stack() -> None:
    """Raise ServiceUnavailableError where another process runs a stack in the default directory."""
    if running_stack() is not None:
        raise _already_running(default_directory())


def _already_running(directory: Path) -> ServiceUnavailableError:
    return ServiceUnavailableError(f"the servers in {directory} are already running, started by another `vibe8 up`")


def _make_directory(directory: Path, run_as: RunAs) -> None:
    """Create the directory, closed to other users; a server's own user must be able to traverse it."""
    try:
        directory.mkdir(mode=0o711 if run_as.uid is not None else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceUnavailableError(f"{directory} cannot be created: {error.strerror}; set VIBE8_HOME") from error
    if run_as.uid is None:
        return
    directory.chmod(0o711)
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            raise ServiceUnavailableError(
                f"PostgreSQL does not run as root, and other users cannot traverse {parent}: "
                "set VIBE8_HOME to another directory, or run vibe8 as another user"
            )
