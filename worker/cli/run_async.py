"""Run the coroutine of one short command: signals, and logging only where the user asks for it."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from domain.errors import InvalidInputError
from infrastructure.observability.log_setup import configure_logging
from infrastructure.settings import load_settings
from worker.cli.exit_codes import DONE
from worker.cli.output.errors import discard_output


def run_and_flush(command: Coroutine[Any, Any, int]) -> int:
    """Run the command, write out its output, and return its exit code. See `run_command` for what it raises."""
    try:
        code = run_command(command)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed it
        discard_output()
        return DONE
    return code


def run_command(command: Coroutine[Any, Any, int]) -> int:
    """Run the command, and return its exit code.

    A command reports everything itself, so nothing is logged unless LOG_LEVEL is set. Raises InvalidInputError for an
    invalid setting, and KeyboardInterrupt where SIGTERM, Ctrl-C or a closed terminal ends the command.
    """
    try:
        settings = load_settings(need_services=False)
    except InvalidInputError:
        command.close()  # or Python warns that it was never awaited
        raise
    if "log_level" in settings.model_fields_set:
        configure_logging(settings.log_level, settings.log_format)
    else:
        logging.disable()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # `nohup` ignores SIGHUP on purpose.
    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    try:
        return asyncio.run(_cancel_on_signals(command, handled))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


async def _cancel_on_signals(command: Coroutine[Any, Any, int], handled: Sequence[signal.Signals]) -> int:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None  # nosec B101 # noqa: S101 - asyncio.run made it
    for number in handled:
        loop.add_signal_handler(number, task.cancel)
    try:
        return await command
    finally:
        # The loop closes the descriptor to which signals are written before it removes the handlers: a signal in
        # between would print a traceback. Signals that come while the loop closes change nothing.
        for number in handled:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
