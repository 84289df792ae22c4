from infrastructure.observability.prometheus_metrics import REGISTRY, STAGES, note_timings


def series() -> int:
    return sum(len(family.samples) for family in REGISTRY.collect())


def test_what_a_child_makes_up_becomes_no_time_series() -> None:
    note_timings({"collecting": 10, "collect.mi": 5})
    before = series()
    note_timings({f"{kind}{number}": 1 for number in range(1000) for kind in ("", "collect.", "wall.")})
    assert series() == before


def test_stages_and_collectors_are_observed_in_seconds() -> None:
    stage, collector = {"stage": STAGES[0]}, {"collector": "dupes"}
    before = REGISTRY.get_sample_value("vibe8_stage_seconds_sum", stage) or 0.0
    note_timings({STAGES[0]: 1500, "collect.dupes": 20, "wall.dupes": 99})
    assert REGISTRY.get_sample_value("vibe8_stage_seconds_sum", stage) == before + 1.5
    assert (REGISTRY.get_sample_value("vibe8_collector_seconds_sum", collector) or 0.0) >= 0.02
