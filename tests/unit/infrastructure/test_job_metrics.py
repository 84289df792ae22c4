"""The metrics that a finished job adds to."""

import pytest

from collectors.engine.collector_names import collector_names
from infrastructure.observability.prometheus_metrics import REGISTRY, STAGES, observe_timings


def series() -> int:
    return sum(len(family.samples) for family in REGISTRY.collect())


def seconds(metric: str, **labels: str) -> float:
    """Return a histogram's sum. Other tests of the process may have added to it."""
    return REGISTRY.get_sample_value(f"{metric}_sum", labels) or 0.0


def test_timings_with_unknown_names_add_no_time_series() -> None:
    observe_timings({"collecting": 10, "collect.mi": 5}, collector_names())
    before = series()
    observe_timings(
        {f"{kind}{number}": 1 for number in range(1000) for kind in ("", "collect.", "wall.")}, collector_names()
    )
    assert series() == before


def test_stages_and_collectors_are_observed_in_seconds() -> None:
    stage, collector = (
        seconds("vibe8_stage_duration_seconds", stage=STAGES[0]),
        seconds("vibe8_collector_cpu_seconds", collector="dupes"),
    )
    observe_timings({STAGES[0]: 1500, "collect.dupes": 20, "wall.dupes": 99}, collector_names())
    assert seconds("vibe8_stage_duration_seconds", stage=STAGES[0]) == pytest.approx(stage + 1.5)
    assert seconds("vibe8_collector_cpu_seconds", collector="dupes") == pytest.approx(collector + 0.02)
