"""Scores of 0..100, higher is better: one a metric for a whole tree, and one health score a file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from domain.metrics.severity import density


def linting_score(issues: int, sloc: int) -> float:
    """max(0, 100 - 5 * issues per 100 sloc)."""
    return max(0.0, 100.0 - 5 * density(issues, sloc))


def complexity_score(avg_cc: float) -> float:
    """max(0, 100 - 5 * average cyclomatic complexity); callers give 100 where there is no function."""
    return max(0.0, 100.0 - 5 * avg_cc)


def duplication_score(duplicate_pct: float) -> float:
    """max(0, 100 - percentage of duplicated lines)."""
    return max(0.0, 100.0 - duplicate_pct)


def security_score(high: int, medium: int, low: int) -> float:
    """max(0, 100 - min(100, 10 high + 5 medium + low))."""
    return max(0.0, 100.0 - min(100, 10 * high + 5 * medium + low))


def churn_score(total_churn: int) -> float:
    """max(0, 100 - lines added and deleted / 10)."""
    return max(0.0, 100.0 - total_churn / 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One input of the health score: how much it counts, and how its number maps to a penalty of 0..1."""

    share: float
    penalty: Callable[[float], float]


def _saturating(half: float) -> Callable[[float], float]:
    """A penalty that grows from 0 toward 1 and is one half at `half`: continuous, never flat, never jumping."""
    return lambda value: max(value, 0.0) / (max(value, 0.0) + half)


def _shortfall(value: float) -> float:
    return 1.0 - min(max(value, 0.0), 100.0) / 100.0


HEALTH_WEIGHTS: Mapping[str, Weight] = {
    # The half points are where `domain.metrics.severity` changes from low to medium or from medium to high.
    "complexity": Weight(share=0.20, penalty=_saturating(10)),
    "maintainability": Weight(share=0.15, penalty=_shortfall),
    "lint": Weight(share=0.15, penalty=_saturating(8)),
    "security": Weight(share=0.15, penalty=_saturating(10)),
    "duplication": Weight(share=0.10, penalty=_saturating(20)),
    "docs": Weight(share=0.10, penalty=_shortfall),
    "dead_code": Weight(share=0.10, penalty=_saturating(4)),
    "churn": Weight(share=0.05, penalty=_saturating(500)),
}
"""The one table of the health score. Inputs: `complexity` the file's highest McCabe number; `maintainability` and
`docs` 0..100; `lint`, `dead_code` and `duplication` per 100 sloc; `security` 10 high + 5 medium + low; `churn` lines.
"""


def health_score(inputs: Mapping[str, float]) -> float:
    """100 * (1 - weighted mean of the penalties) over the inputs that were measured; 0..100, two decimals.

    Continuous and monotonic in each input: worse never scores higher. An input that was not measured is left out,
    and the other weights are scaled up to fill its share. No input at all scores 100.
    """
    measured = [(HEALTH_WEIGHTS[name], value) for name, value in inputs.items() if name in HEALTH_WEIGHTS]
    total = sum(weight.share for weight, _ in measured)
    if not total:
        return 100.0
    penalty = sum(weight.share * weight.penalty(value) for weight, value in measured) / total
    return round(100 * (1 - penalty), 2)
