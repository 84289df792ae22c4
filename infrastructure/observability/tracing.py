"""Traces, where they are asked for: one from a job's submission to its end, each attempt, stage and collector a span.

OpenTelemetry is an extra (`tracing`), switched on by its own standard variables. Off or not installed, nothing of it is
imported and a span costs a call that does nothing.
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
    def enabled(self) -> bool:
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

    enabled = False

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[str | None]:  # noqa: ARG002 - nobody hears
        """No span, and no traceparent."""
        yield None

    def record(self, span: SpanRecord, parent: str | None) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Nothing waits."""


def valid_traceparent(value: object) -> str | None:
    """The value, if it is a W3C `traceparent`; rows are written by other programs too."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def trace_id(traceparent: str) -> str:
    """The trace's id, as tracing systems show it."""
    return traceparent.split("-")[1]
