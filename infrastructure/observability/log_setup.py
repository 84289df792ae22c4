"""Logging: structlog, dotted event names; JSON in production, readable lines on a terminal."""

import io
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from domain.text import printable, printable_line


def configure_logging(level: str, form: Literal["auto", "json", "console"]) -> None:
    """Set up structlog and the standard library's loggers (ARQ's, SQLAlchemy's) to write one form to standard error.

    `auto` means `console` on a terminal and `json` elsewhere.
    """
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _harmless,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=_traceback)
    )
    formatting: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *formatting, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for chatty in ("arq.worker", "httpx", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Names and messages come from analysed code: nothing in them may act on a terminal or forge a line."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable_line(value)
    return event


def _traceback(out: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """A plain one, each line behind a bar so that none of them passes for an entry of its own.

    structlog's own shows the values of local variables; a token or a password may be among them.
    """
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    out.writelines(f"\n  | {line}" if line else "" for line in printable(text.getvalue()).splitlines())
