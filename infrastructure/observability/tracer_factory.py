"""Opens the tracer that OpenTelemetry's own environment variables ask for.

The adapter is imported by name and only when tracing is enabled: OpenTelemetry is an optional dependency.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module

import structlog

from infrastructure.observability.tracing import NoTracer, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

log = structlog.get_logger(__name__)


def open_tracer() -> Tracer:
    """Return the OpenTelemetry tracer if the environment enables tracing and it is installed, else a NoTracer."""
    if not tracing_enabled(os.environ):
        return NoTracer()
    try:
        adapter = import_module("infrastructure.observability.opentelemetry_tracer")
    except ImportError as error:
        log.warning("tracing.unavailable", reason=f"{error}; install vibe8-worker[tracing]")
        return NoTracer()
    tracer: Tracer = adapter.OpenTelemetryTracer.from_environment()
    return tracer


def tracing_enabled(environment: Mapping[str, str]) -> bool:
    """Return whether the OTEL_* variables enable traces, or a surrounding program has set up OpenTelemetry already."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporters:
        return exporters != "none"
    return any(environment.get(name) for name in _ENDPOINTS) or _is_set_up()


def _is_set_up() -> bool:
    """Return whether the surrounding program (an API, for example) traces already, without importing anything."""
    api, sdk = sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.sdk.trace")
    return api is not None and sdk is not None and isinstance(api.get_tracer_provider(), sdk.TracerProvider)
