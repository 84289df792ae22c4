"""How long a property is tried: the same cases every time in `make test`, new and more of them in `make fuzz`."""

import os
from typing import Any

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("VIBE8_FUZZ", "0"))
"""0: the short, repeatable run; else so many times as many examples, chosen anew."""


def tried(examples: int, **more: Any) -> settings:
    """The settings of one property that `make test` tries with so many examples."""
    return settings(
        max_examples=examples * max(FACTOR, 1),
        derandomize=not FACTOR,
        database=None if not FACTOR else settings.default.database,  # type: ignore[union-attr]
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
