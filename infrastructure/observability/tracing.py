"""Traces, where they are asked for: one from a job's submission to its end, each attempt, stage and collector a span.

OpenTelemetry is an extra (`tracing`), switched on by its own standard variables. Off or not installed, nothing of it is
imported and a span costs a call that does nothing.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

import structlog

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """A span that is over: seconds since 1970 (UTC) of its beginning and end, what it says, and the spans within it.

    `fault` says what made it fail.
    """

    name: str
    began: float
    ended: float
    attributes: Attributes = field(default_factory=dict)
    fault: str | None = None
    children: tuple["SpanRecord", ...] = ()


class Tracer(Protocol):
    """Where spans go. Nothing here raises, and nothing waits."""

    @property
    def on(self) -> bool:
        """Whether anybody hears; if not, spans need not be made."""
        ...

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[str | None]:
        """A span around the block, below the one that is current here: its W3C `traceparent`; None while off."""
        ...

    def record(self, span: SpanRecord, parent: str | None) -> None:
        """Tell a span that is over and those within it, below the `traceparent` if there is one."""
        ...

    def close(self) -> None:
        """Send what waits; takes a few seconds at most where nobody takes it."""
        ...


class NoTracer:
    """Tracing is off."""

    on = False

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[str | None]:  # noqa: ARG002 - nobody hears
        """No span, and no traceparent."""
        yield None

    def record(self, span: SpanRecord, parent: str | None) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Nothing waits."""


def switched_on(environment: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables ask for traces, or do not forbid them where it is set up already."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporters:
        return exporters != "none"
    return any(environment.get(name) for name in _ENDPOINTS) or _is_set_up()


def _is_set_up() -> bool:
    """Whether the program that we are part of (an API, say) traces already; asked without importing anything."""
    api, sdk = sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.sdk.trace")
    return api is not None and sdk is not None and isinstance(api.get_tracer_provider(), sdk.TracerProvider)


def open_tracer() -> Tracer:
    """The tracer that the environment asks for."""
    if not switched_on(os.environ):
        return NoTracer()
    try:
        adapter = import_module("infrastructure.observability.opentelemetry_tracer")
    except ImportError as error:
        log.warning("tracing.unavailable", reason=f"{error}; install vibe8-worker[tracing]")
        return NoTracer()
    tracer: Tracer = adapter.OpenTelemetryTracer.from_environment()
    return tracer


def valid_traceparent(value: object) -> str | None:
    """The value, if it is a W3C `traceparent`; rows are written by other programs too."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def trace_id(traceparent: str) -> str:
    """The trace's id, as tracing systems show it."""
    return traceparent.split("-")[1]
