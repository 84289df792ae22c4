"""The long-running commands: a worker, and a worker with its own servers."""

import asyncio
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from infrastructure.embedded import EmbeddedStack
from infrastructure.settings import Settings, load_settings
from infrastructure.stack_file import default_directory
from infrastructure.telemetry import configure_logging
from worker.commands import Output, migrate
from worker.run import WorkerProcess


def worker() -> None:
    """Run a worker until it is drained. Raises ServiceUnavailableError, InvalidInputError."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    if asyncio.run(_serve(settings)):
        # The same process with fresh memory: whoever supervises us sees no restart.
        os.execv(sys.executable, [sys.executable, "-m", "worker", "worker"])  # noqa: S606 - no shell on purpose


def up() -> None:
    """Start the embedded servers, migrate, and run a worker on them; everything ends together.

    Raises ServiceUnavailableError where the servers cannot be started.
    """
    # Until the worker handles signals itself, SIGTERM must leave the `with` block as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST"):
        os.environ.pop(name, None)
    with EmbeddedStack():
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        asyncio.run(migrate(Output(as_json=False)))
        print(f"vibe8 is up (its files are in {default_directory()}); in another terminal: vibe8 submit . --wait")
        sys.stdout.flush()
        while asyncio.run(_serve(settings)):
            pass


async def _serve(settings: Settings) -> bool:
    """Whether the worker is worn out and wants to be started anew."""
    process = WorkerProcess(settings)
    process.handle_signals()
    await process.run()
    return process.worn_out


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
