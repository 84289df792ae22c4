"""Traces: one trace from a job's submission to its end, with a span for each attempt, stage and collector.

OpenTelemetry is an optional dependency (the extra `tracing`), enabled by its own standard variables. Without it a span
is a call that does nothing.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRecord:
    """A finished span and its child spans. `started` and `ended` are seconds since 1970 (UTC).

    `error` is the message of a failed span.
    """

    name: str
    started: float
    ended: float
    attributes: Attributes = field(default_factory=dict)
    error: str | None = None
    children: tuple["SpanRecord", ...] = ()


class Tracer(Protocol):
    """Receives spans. Its methods do not raise, and only `close` waits."""

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded; if not, callers need not create them."""
        ...

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[str | None]:
        """Record the block as a child of the current span. Yields its W3C `traceparent`, or None without tracing."""
        ...

    def record(self, span: SpanRecord, parent: str | None) -> None:
        """Record a finished span and its children, as a child of the `traceparent` if there is one."""
        ...

    def close(self) -> None:
        """Send the remaining spans; give up after a few seconds if the receiver does not answer."""
        ...


class NoTracer:
    """A tracer that records nothing: tracing is disabled."""

    enabled = False

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[str | None]:  # noqa: ARG002 - it records nothing
        """Yield no traceparent."""
        yield None

    def record(self, span: SpanRecord, parent: str | None) -> None:
        """Record nothing."""

    def close(self) -> None:
        """Do nothing."""


def valid_traceparent(value: object) -> str | None:
    """Return the value if it is a W3C `traceparent`, else None. Other programs write rows too."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def trace_id(traceparent: str) -> str:
    """Return the trace id of a `traceparent`."""
    return traceparent.split("-")[1]
