"""The names of the collectors, for programs that do not run them and must not import their tools."""

import pkgutil
from functools import cache

import collectors.metrics


@cache
def collector_names() -> tuple[str, ...]:
    """Return the names of all collectors, sorted: those of the modules in `collectors.metrics`."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(collectors.metrics.__path__)))
