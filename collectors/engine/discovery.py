"""Discovery of the collectors: each module of `collectors.metrics` defines one as `COLLECTOR`."""

import importlib
from functools import cache
from types import ModuleType

from collectors.contract import AnyCollector, FileCollector, TreeCollector
from collectors.engine.collector_names import collector_names
from domain.metrics.declaration import InvalidDeclarationError, MetricDeclaration


class MalformedCollectorError(Exception):
    """A module of `collectors.metrics` does not define a collector. The message names the file and what is wrong."""


@cache
def discover() -> tuple[AnyCollector, ...]:
    """Import all collectors and return them, sorted by name. Raises MalformedCollectorError."""
    return tuple(_load(name) for name in collector_names())


def declarations() -> list[MetricDeclaration]:
    """Return what the collectors declare, sorted by name. Raises MalformedCollectorError."""
    return [collector.metric for collector in discover()]


def _load(name: str) -> AnyCollector:
    try:
        module = importlib.import_module(f"collectors.metrics.{name}")
    except InvalidDeclarationError as error:
        raise MalformedCollectorError(f"collectors/metrics/{name}.py: {error}") from error
    return _checked(module, name)


def _checked(module: ModuleType, name: str) -> AnyCollector:
    candidate = vars(module).get("COLLECTOR")
    if candidate is None:
        raise MalformedCollectorError(f"{module.__file__}: defines no COLLECTOR")
    if not isinstance(candidate, FileCollector | TreeCollector):
        raise MalformedCollectorError(
            f"{module.__file__}: COLLECTOR lacks attributes of both FileCollector and TreeCollector; "
            f"see collectors/contract.py"
        )
    if not isinstance(candidate.metric, MetricDeclaration):
        raise MalformedCollectorError(f"{module.__file__}: COLLECTOR.metric is not a MetricDeclaration")
    if candidate.metric.name != name:
        raise MalformedCollectorError(
            f"{module.__file__}: declares the metric {candidate.metric.name!r}; a module is named like its metric"
        )
    return candidate
