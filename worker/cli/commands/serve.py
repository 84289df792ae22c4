"""`vibe8 serve`: the HTTP service."""

import asyncio
import os
import signal
from importlib.util import find_spec

import uvloop

from domain.errors import InvalidInputError
from infrastructure.observability.log_setup import configure_logging
from infrastructure.sandbox.privileges import set_parent_death_signal
from infrastructure.settings import Settings, load_settings

NOT_INSTALLED = "the HTTP service is an extra: pip install 'vibe8-worker[http]'"
PACKAGES = ("fastapi", "python_multipart", "uvicorn")


def http_installed() -> bool:
    """Return whether the packages of the extra `http` are installed."""
    return all(find_spec(package) is not None for package in PACKAGES)


def serve(*, with_parent: bool) -> None:
    """Serve until a signal; `with_parent`, also until the process that started this one ends.

    Raises InvalidInputError where the extra is missing or the port cannot be used.
    """
    if with_parent:
        set_parent_death_signal(os.getppid())
    if not http_installed():
        raise InvalidInputError(NOT_INSTALLED)
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from worker.http.server.serve import serve as serve_http

    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, signal.raise_signal, signal.SIGTERM)
    await serve_http(settings)
