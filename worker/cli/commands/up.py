"""`vibe8 worker`, and `vibe8 up`: a worker and the HTTP service with their own servers."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog
import uvloop

from domain.errors import ServiceUnavailableError
from infrastructure.embedded.server_process import SERVICE_USER
from infrastructure.embedded.stack import EmbeddedStack, refuse_second_stack
from infrastructure.embedded.stack_file import default_directory
from infrastructure.observability.log_setup import configure_logging
from infrastructure.observability.log_throttle import LogThrottle
from infrastructure.observability.status_server import StatusServer
from infrastructure.settings import PREFIX, Settings, load_settings
from worker.analysis.workspace import worker_workspace
from worker.cli.commands.accounts.sign_in import local_sign_in_link
from worker.cli.commands.http_beside import HttpBeside, http_beside
from worker.cli.commands.operators.database import migrate
from worker.cli.commands.serve import NOT_INSTALLED
from worker.cli.output.writer import OutputWriter
from worker.process.worker_process import WorkerProcess

_SERVICE_VARIABLES = tuple(
    prefix + name for prefix in ("", PREFIX) for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST")
)
log = structlog.get_logger(__name__)

SERVER_CHECK_SECONDS = 1.0
LOG_SECONDS = 60.0
_TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def worker() -> None:
    """Run a worker until it is drained. Raises ServiceUnavailableError, InvalidInputError."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if _run_worker(settings):
        # Restart in the same process, to give memory back: its supervisor sees no restart. -P keeps modules of the
        # working directory from being imported in place of the installed ones.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", "worker"])  # nosec B606 # noqa: S606 - no shell on purpose


def up() -> None:
    """Start the embedded servers, migrate, and run a worker and the HTTP service until a signal; then stop everything.

    A server that ends meanwhile is started again. Raises ServiceUnavailableError where the servers cannot be started
    or run already, and InvalidInputError, before anything is started, where the worker could not run.
    """
    handle_termination_signals(signal.default_int_handler)
    unconnected = load_settings(need_services=False)
    _check_before_start(unconnected)
    http = http_beside(unconnected)
    _ignore_service_variables()
    stack = EmbeddedStack()
    try:
        stack.start()
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        print(f"PostgreSQL and Valkey are up; their data is in {default_directory()}")
        if os.geteuid() == 0:
            print(
                f"vibe8 runs as root, which PostgreSQL refuses: they run as the user {SERVICE_USER}, made at first use"
            )
        asyncio.run(migrate(OutputWriter(as_json=False)))
        if http is None:
            print(f"without the HTTP API and its pages: {NOT_INSTALLED}")
        else:
            _start_http(http)
        print("vibe8 is up; in another terminal: vibe8 submit . --wait", flush=True)
        while _run_worker(settings, stack, http):
            handle_termination_signals(signal.default_int_handler)
    finally:
        # A second Ctrl-C makes the worker stop at once, but must not interrupt the stopping of the servers.
        handle_termination_signals(signal.SIG_IGN)
        if http is not None:
            http.stop()
        stack.stop()
    print("vibe8 has ended")


def _start_http(http: HttpBeside) -> None:
    http.start()
    if http.wait_until_listening():
        print(f"the HTTP API is at {http.address}/api/v1; `vibe8 keys create --name ci` makes a key for it")
        print(f"to read results in a browser, open {asyncio.run(local_sign_in_link(http.address))}")
    else:
        print("vibe8: the HTTP service does not answer; once it does, `vibe8 sign-in` prints a link", file=sys.stderr)


def handle_termination_signals(handler: signal.Handlers | Callable[[int, FrameType | None], Any]) -> None:
    """Handle SIGTERM, Ctrl-C and a closed terminal; a signal that is already ignored (as by `nohup`) stays ignored."""
    for number in _TERMINATION_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _ignore_service_variables() -> None:
    """Unset the variables that name other servers, and warn that other commands use those servers."""
    ignored = [name for name in _SERVICE_VARIABLES if os.environ.pop(name, None)]
    if ignored:
        names = " and ".join(ignored)
        print(f"vibe8: commands with {names} set use those servers, not the ones started here", file=sys.stderr)


def _check_before_start(settings: Settings) -> None:
    """Raise InvalidInputError where the worker could not use its scratch directory or its port.

    Raises ServiceUnavailableError where another `vibe8 up` runs, before its ports are found to be taken.
    """
    refuse_second_stack()
    with worker_workspace(settings.scratch_dir):
        pass
    if settings.status_port is not None:
        StatusServer(settings.status_host, settings.status_port, alive=lambda: None, ready=lambda: None).close()


def _run_worker(settings: Settings, stack: EmbeddedStack | None = None, http: HttpBeside | None = None) -> bool:
    """Run the worker until it has drained, and keep the stack's servers running. Returns True to be run again."""
    # Apart from PostgreSQL and Redis, the event loop is most of a job's cost here; uvloop's costs a third less.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run_worker_process(settings, stack, http))


async def _run_worker_process(settings: Settings, stack: EmbeddedStack | None, http: HttpBeside | None) -> bool:
    process = WorkerProcess(settings)
    process.handle_signals()
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, process.drain)
    restarts = None if stack is None else asyncio.create_task(_restart_ended_servers(stack, http))
    try:
        await process.run()
    finally:
        if restarts is not None:
            restarts.cancel()  # a start under way ends in its thread, before `asyncio.Runner` is closed
    return process.recycling


async def _restart_ended_servers(stack: EmbeddedStack, http: HttpBeside | None) -> None:
    throttle = LogThrottle(LOG_SECONDS)
    while True:
        await asyncio.sleep(SERVER_CHECK_SECONDS)
        try:
            for server in await asyncio.to_thread(stack.restart_ended_servers):
                log.warning("server.restarted", server=server)
            if http is not None and http.restart_if_ended():
                log.warning("server.restarted", server="the HTTP service")
        except ServiceUnavailableError as error:
            if throttle.allows("server.restart_failed"):
                log.warning("server.restart_failed", reason=str(error))
