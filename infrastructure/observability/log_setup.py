"""Logging with structlog and dotted event names: JSON in production, readable lines on a terminal."""

import io
import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, TextIO

import structlog

from domain.text import printable, printable_line

FIRST_KEYS = ("timestamp", "level", "event", "job_id", "attempt", "user_id", "trace_id")
"""Keys with which a line of JSON begins, as far as it has them."""


def configure_logging(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Make structlog and the standard library's loggers (ARQ's, SQLAlchemy's) write one format to standard error.

    `auto` means `console` on a terminal and `json` elsewhere.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _escape_values,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(shared, as_json=as_json))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for verbose in ("arq.worker", "httpx", "alembic"):
        logging.getLogger(verbose).setLevel(logging.WARNING)


def _formatter(shared: Sequence[structlog.typing.Processor], *, as_json: bool) -> structlog.stdlib.ProcessorFormatter:
    """Return the formatter of structlog's and the standard library's entries; `shared` runs on the latter."""
    output: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, _order_keys, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=_traceback)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *output],
    )


def _order_keys(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the entry with FIRST_KEYS in front, so that lines can be compared by eye; the others keep their order."""
    return {**{key: event[key] for key in FIRST_KEYS if key in event}, **event}


def _escape_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape the values: they come from analysed code, and must not control a terminal or forge a log line."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable_line(value)
    return event


def _traceback(out: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """Write a plain traceback, each line after a bar, so that no line looks like a log entry.

    structlog's own formatter shows the values of local variables, which may include a token or a password.
    """
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.writelines(f"\n  | {line}" if line else "" for line in printable(text.getvalue()).splitlines())
