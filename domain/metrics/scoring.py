"""Scores of 0..100, higher is better: one for each metric of a tree, and one health score for each file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from domain.metrics.severity import density


def linting_score(issues: int, sloc: int | None) -> float | None:
    """Return max(0, 100 - 5 * issues per 100 sloc); None where the source lines are not known."""
    return None if sloc is None else max(0.0, 100.0 - 5 * density(issues, sloc))


def complexity_score(avg_cc: float) -> float:
    """Return max(0, 100 - 5 * average cyclomatic complexity). An average of 0.0, no function, scores 100."""
    return max(0.0, 100.0 - 5 * avg_cc)


def duplication_score(duplicate_pct: float | None) -> float | None:
    """Return max(0, 100 - percentage of duplicated lines); None where it is not known."""
    return None if duplicate_pct is None else max(0.0, 100.0 - duplicate_pct)


def security_weight(high: int, medium: int, low: int) -> int:
    """Return 10 high + 5 medium + low: findings weighted by severity."""
    return 10 * high + 5 * medium + low


def security_score(high: int, medium: int, low: int) -> float:
    """Return max(0, 100 - min(100, 10 high + 5 medium + low))."""
    return max(0.0, 100.0 - min(100, security_weight(high, medium, low)))


def churn_score(total_churn: int) -> float:
    """Return max(0, 100 - lines added and deleted / 10)."""
    return max(0.0, 100.0 - total_churn / 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One input of the health score: its share of the sum, and the function from its number to a penalty of 0..1.

    A `required` input is measured in every tree. One that is not may be missing, as churn is without git history.
    """

    share: float
    penalty: Callable[[float], float]
    required: bool = True


def _saturating(half: float) -> Callable[[float], float]:
    """Return a penalty that rises from 0 toward 1 and is 0.5 at `half`: continuous and strictly increasing."""

    def penalty(value: float) -> float:
        value = max(value, 0.0)
        return value / (value + half)

    return penalty


def _shortfall(value: float) -> float:
    return 1.0 - min(max(value, 0.0), 100.0) / 100.0


HISTORY_INPUT = "churn"
"""The input of the health score that comes from the git history."""

HEALTH_WEIGHTS: Mapping[str, Weight] = {
    # The half points are the thresholds of the metric's severity: from low to medium, or from medium to high.
    # The order is that of the sum, which decides the last digit of a score: keep it.
    "complexity": Weight(share=0.20, penalty=_saturating(10)),
    "maintainability": Weight(share=0.15, penalty=_shortfall),
    "docs": Weight(share=0.10, penalty=_shortfall),
    HISTORY_INPUT: Weight(share=0.05, penalty=_saturating(500), required=False),
    "lint": Weight(share=0.15, penalty=_saturating(8)),
    "dead_code": Weight(share=0.10, penalty=_saturating(4)),
    "duplication": Weight(share=0.10, penalty=_saturating(20)),
    "security": Weight(share=0.15, penalty=_saturating(10)),
}
"""The inputs of the health score and their weights. A collector refers to this table by `FileMetric.health_input`.

Inputs: `complexity` the file's highest McCabe number; `maintainability` and `docs` 0..100; `lint`, `dead_code` and
`duplication` per 100 sloc; `security` 10 high + 5 medium + low; `churn` lines.
"""


def health_score(inputs: Mapping[str, float]) -> float | None:
    """Return 100 * (1 - weighted mean of the penalties) over the inputs; 0..100, two decimals.

    The score is continuous and monotonic in each input: a worse input never scores higher. Without `churn`, which needs
    a git history, the other weights are scaled up to fill its share. If another input is missing, as in a file that
    does not parse, there is no score (null): a score from the rest could be higher than that of the whole file.
    """
    if any(weight.required and name not in inputs for name, weight in HEALTH_WEIGHTS.items()):
        return None
    measured = [(weight, inputs[name]) for name, weight in HEALTH_WEIGHTS.items() if name in inputs]
    total = sum([weight.share for weight, _ in measured])
    penalty = sum([weight.share * weight.penalty(value) for weight, value in measured]) / total
    return round(100 * (1 - penalty), 2)


def is_known_for_most(known: int, files: int) -> bool:
    """Return whether a score may be given where `known` of the files were measured: all, or more than half."""
    return known == files or 2 * known > files


def quality_score(files: Iterable[tuple[float | None, float | None]]) -> float | None:
    """Return the mean health of files weighted by their source lines, 0..100 with two decimals.

    Each file is its health without churn and its source lines; one without either counts for nothing. None if no file
    counts, or if at most half of the files that may have source lines have a health: breaking most files must not give
    a score. Churn is left out because it says how much was changed, and not how the code is.
    """
    rows = [(health, sloc) for health, sloc in files if sloc != 0]
    known = [(health, sloc) for health, sloc in rows if health is not None and sloc]
    if not known or not is_known_for_most(len(known), len(rows)):
        return None
    return round(sum(health * sloc for health, sloc in known) / sum(sloc for _, sloc in known), 2)
