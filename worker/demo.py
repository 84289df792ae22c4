"""`make demo`: one job from submission to result, on temporary servers.

Starts PostgreSQL and Valkey, migrates, starts a worker process, submits the working directory with its git history to
the queue, shows the progress and the result, and stops everything that it started.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from domain.errors import ServiceUnavailableError, Vibe8Error
from domain.text import one_line
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.embedded.stack_file import HOME_VARIABLE
from worker.cli.commands.up import handle_termination_signals
from worker.cli.exit_codes import INTERRUPTED, exit_code

UPLOAD_MB = 200
START_SECONDS = 60
VIBE8 = (sys.executable, "-P", "-m", "worker")  # -P: the working directory is analysed and must not be imported
_SERVICE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "REDIS_HOST")


def main() -> None:
    """Run the demonstration. Exits with 0 when the job completed, else with the exit code of what failed."""
    handle_termination_signals(signal.default_int_handler)
    try:
        code = _run_with_own_servers()
    except Vibe8Error as error:
        print(f"vibe8: {one_line(str(error), 2_000)}", file=sys.stderr)
        code = exit_code(error)
    except KeyboardInterrupt:
        print("vibe8: interrupted; the demonstration has stopped everything that it started", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _run_with_own_servers() -> int:
    with _temporary_directory() as directory:
        stack = EmbeddedStack(directory, durable=False)
        try:
            _print_line("1/4  starting PostgreSQL and Valkey in a temporary directory")
            stack.start()
            return _demonstrate(directory, _environment(directory))
        finally:
            handle_termination_signals(signal.SIG_IGN)  # a second Ctrl-C must not interrupt the stopping of the servers
            stack.stop()


def _environment(directory: Path) -> dict[str, str]:
    variables = {
        HOME_VARIABLE: str(directory),
        "SCRATCH_DIR": str(directory / "scratch"),
        "MAX_UPLOAD_MB": str(UPLOAD_MB),
        "LOG_FORMAT": "json",
    }
    return {**{name: value for name, value in os.environ.items() if name not in _SERVICE_VARIABLES}, **variables}


def _demonstrate(directory: Path, environment: Mapping[str, str]) -> int:
    _print_line("2/4  creating the schema")
    migrated = _run(("migrate",), environment)
    if migrated:
        return migrated
    _print_line("3/4  starting a worker process")
    with _worker(environment, directory / "worker.log"):
        _print_line("4/4  submitting this directory with its git history, and waiting for its job\n")
        return _run(("submit", ".", "--wait"), environment)


def _run(arguments: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Run `vibe8 ARGUMENTS` and return its exit code. Always waits for its end: Ctrl-C on a terminal reaches it too."""
    process = subprocess.Popen([*VIBE8, *arguments], env=environment)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        process.wait()


@contextmanager
def _worker(environment: Mapping[str, str], log_file: Path) -> Iterator[None]:
    """Start a worker process; at the end, drain it and wait for it."""
    with log_file.open("wb") as log:
        # A session of its own, so that Ctrl-C on a terminal reaches this process only, which then ends the worker.
        process = subprocess.Popen([*VIBE8, "worker"], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"worker.started" not in log_file.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceUnavailableError(f"the worker did not start: {log_file.read_text()[-1000:]}")
            time.sleep(0.05)
        yield
    finally:
        handle_termination_signals(signal.SIG_IGN)
        for _ in range(2):  # the first signal drains, the second sends running jobs back to the queue
            process.terminate()
        process.wait()


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="vibe8-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _print_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
