"""Running one short command's coroutine: its signals, and its silence."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

from domain.errors import InvalidInputError
from infrastructure.observability.log_setup import configure_logging
from infrastructure.settings import load_settings


def run(command: Coroutine[Any, Any, int]) -> int:
    """The command's exit code. SIGTERM and a closed terminal end it as Ctrl-C does: it raises KeyboardInterrupt.

    A command says all in its own words, so the log is silent unless LOG_LEVEL asks for it. Raises InvalidInputError
    for a setting that cannot be read.
    """
    try:
        settings = load_settings(need_services=False)
    except InvalidInputError:
        command.close()  # it was never begun
        raise
    if "log_level" in settings.model_fields_set:
        configure_logging(settings.log_level, settings.log_format)
    else:
        logging.disable()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return asyncio.run(_ended_by_signals(command))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _ended_by_signals(command: Coroutine[Any, Any, int]) -> int:
    task = asyncio.current_task()
    assert task is not None  # nosec B101 # noqa: S101 - asyncio.run made it
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has SIGHUP ignored, and means it
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await command
