"""OpenTelemetry's implementation of `tracing.Tracer`. Imported only if tracing is enabled (an optional dependency)."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from domain.errors import InvalidInputError
from domain.text import one_line
from infrastructure.observability.tracing import Attributes, SpanRecord

SERVICE = "vibe8"
FLUSH_MILLISECONDS = 5_000

_PROPAGATOR = TraceContextTextMapPropagator()


class OpenTelemetryTracer:
    """Sends spans to a provider: that of the surrounding program if it has one, else one that OTEL_* configure."""

    enabled = True

    def __init__(self, provider: TracerProvider, *, owned: bool = True) -> None:
        """`close` shuts the provider down if it is `owned`."""
        self._provider = provider
        self._owned = owned
        self._tracer = provider.get_tracer("vibe8")

    @classmethod
    def from_environment(cls) -> Self:
        """Return a tracer that OTEL_* configure. Raises InvalidInputError for an exporter that is not installed."""
        existing = trace.get_tracer_provider()
        if isinstance(existing, TracerProvider):
            return cls(existing, owned=False)
        service = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: SERVICE}
        provider = TracerProvider(resource=Resource.create(service))
        for name in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
            provider.add_span_processor(BatchSpanProcessor(_exporter(name.strip())))
        return cls(provider)

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[str | None]:
        """Implement `tracing.Tracer.span`."""
        with self._tracer.start_as_current_span(name, attributes=dict(attributes), record_exception=False):
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier)
            yield carrier.get("traceparent")

    def record(self, span: SpanRecord, parent: str | None) -> None:
        """Implement `tracing.Tracer.record`."""
        carrier = {} if parent is None else {"traceparent": parent}
        self._record(span, _PROPAGATOR.extract(carrier, context=Context()))

    def _record(self, record: SpanRecord, context: Context) -> None:
        started, ended = _nanoseconds(record.started), _nanoseconds(max(record.started, record.ended))
        span = self._tracer.start_span(record.name, context, attributes=dict(record.attributes), start_time=started)
        if record.error is not None:
            span.set_status(Status(StatusCode.ERROR, one_line(record.error)))
        for child in record.children:
            self._record(child, trace.set_span_in_context(span, Context()))
        span.end(end_time=ended)

    def close(self) -> None:
        """Implement `tracing.Tracer.close`."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        if self._owned:
            self._provider.shutdown()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1_000_000_000)


def _exporter(name: str) -> SpanExporter:
    if name == "otlp":
        return OTLPSpanExporter()
    if name == "console":
        return ConsoleSpanExporter(out=sys.stderr)  # standard output belongs to the command's result
    found = entry_points(group="opentelemetry_traces_exporter", name=name)
    if not found:
        raise InvalidInputError(f"OTEL_TRACES_EXPORTER: there is no exporter {one_line(name, 40)!r}")
    exporter: SpanExporter = next(iter(found)).load()()
    return exporter
