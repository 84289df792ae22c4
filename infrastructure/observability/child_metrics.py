"""Prometheus metrics of children and fetches, counted only in a process that exposes metrics.

A short command has no reader of metrics. It does not import the library, which is slow to import.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_METRICS = "infrastructure.observability.prometheus_metrics"


def _loaded() -> Any:
    """Return the module of the metrics; None in a process that does not use it."""
    return sys.modules.get(_METRICS)


@contextmanager
def running_child(kind: str) -> Iterator[None]:
    """Count a child of this kind as running during the block."""
    metrics = _loaded()
    if metrics is None:
        yield
        return
    with metrics.CHILD_PROCESSES.labels(kind).track_inprogress():
        yield


def add_child_cpu(kind: str, seconds: float) -> None:
    """Add the CPU time of a child of this kind."""
    metrics = _loaded()
    if metrics is not None:
        metrics.CHILD_CPU.labels(kind).inc(seconds)


def add_fetched_bytes(source_kind: str, size: int) -> None:
    """Add the size of a fetched source of this kind."""
    metrics = _loaded()
    if metrics is not None:
        metrics.FETCHED_BYTES.labels(source_kind).inc(size)
