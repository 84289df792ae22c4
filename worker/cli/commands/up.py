"""The long-running commands: a worker, and a worker with its own servers."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvloop

from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.embedded.stack_file import default_directory
from infrastructure.observability.log_setup import configure_logging
from infrastructure.settings import Settings, load_settings
from worker.cli.commands.database import migrate
from worker.cli.output.writer import OutputWriter
from worker.process.worker_process import WorkerProcess

_SERVICE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "REDIS_HOST")
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def worker() -> None:
    """Run a worker until it is drained. Raises ServiceUnavailableError, InvalidInputError."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if _serve(settings):
        # The same process with fresh memory: whoever supervises us sees no restart. -P: no module of the working
        # directory takes the place of ours.
        os.execv(sys.executable, [sys.executable, "-P", "-m", "worker", "worker"])  # nosec B606 # noqa: S606 - no shell on purpose


def up() -> None:
    """Start the embedded servers, migrate, and run a worker on them; everything ends together.

    Raises ServiceUnavailableError where the servers cannot be started.
    """
    handle_termination_signals(signal.default_int_handler)
    load_settings(need_services=False)  # what is wrong with them is told before anything is started
    _set_service_variables_aside()
    stack = EmbeddedStack()
    try:
        stack.start()
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        print(f"PostgreSQL and Valkey are up; their data is in {default_directory()}")
        asyncio.run(migrate(OutputWriter(as_json=False)))
        print("vibe8 is up; in another terminal: vibe8 submit . --wait", flush=True)
        while _serve(settings):
            handle_termination_signals(signal.default_int_handler)
    finally:
        # A second Ctrl-C may hurry the worker; stopping the servers takes a moment, and leaves none behind.
        handle_termination_signals(signal.SIG_IGN)
        stack.stop()
    print("vibe8 has ended")


def handle_termination_signals(handler: signal.Handlers | Callable[[int, FrameType | None], Any]) -> None:
    """Set what SIGTERM, Ctrl-C and a closed terminal do; one that is ignored (by `nohup`, say) stays so."""
    for number in _END_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _set_service_variables_aside() -> None:
    """`up` has servers of its own; but who has these variables set is told that other commands go elsewhere."""
    named = [name for name in _SERVICE_VARIABLES if os.environ.pop(name, None)]
    if named:
        words = " and ".join(named)
        print(f"vibe8: commands that see {words} use that, and not the servers started here", file=sys.stderr)


def _serve(settings: Settings) -> bool:
    """Whether the worker is worn out and wants to be started anew."""
    # Beside PostgreSQL and Redis, the loop itself is what a job costs here; uvloop's is a third cheaper.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(settings))


async def _work(settings: Settings) -> bool:
    process = WorkerProcess(settings)
    process.handle_signals()
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, process.drain)
    await process.run()
    return process.recycling
