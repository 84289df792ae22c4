"""Discovery of the collectors: every module of `collectors.metrics` that has a `COLLECTOR`."""

import importlib
import pkgutil
from functools import cache

import collectors.metrics
from collectors.contract import AnyCollector, FileCollector, TreeCollector

_DECLARED = ("name", "tool", "version", "revision", "fields")


class MalformedCollectorError(Exception):
    """A module's COLLECTOR is incomplete. The message names the file and what is missing."""


@cache
def discover() -> tuple[AnyCollector, ...]:
    """Return all collectors, sorted by name. Raises MalformedCollectorError."""
    found = []
    for module_info in pkgutil.iter_modules(collectors.metrics.__path__):
        module = importlib.import_module(f"collectors.metrics.{module_info.name}")
        if hasattr(module, "COLLECTOR"):
            found.append(_checked(module.COLLECTOR, str(module.__file__)))
    return tuple(sorted(found, key=lambda collector: collector.name))


def _checked(candidate: object, where: str) -> AnyCollector:
    missing = [name for name in _DECLARED if not hasattr(candidate, name)]
    if missing:
        raise MalformedCollectorError(f"{where}: COLLECTOR does not declare {', '.join(missing)}")
    if not isinstance(candidate, FileCollector | TreeCollector):
        raise MalformedCollectorError(
            f"{where}: COLLECTOR has neither inspect and summarize nor collect_tree and summarize"
        )
    return candidate
