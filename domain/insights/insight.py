"""An insight, the confidence in it, and what the rules know of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from domain.findings.roles import Role
from domain.text import JSON

MODEL_VERSION = "rules-1"
"""The version of the rules. It changes when a rule or a threshold does."""

SHOWN_PLACES = 10
"""The most places that one insight names; its numbers count all."""


class InsightType(StrEnum):
    """What an insight is about."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    HOTSPOT = "hotspot"
    HIDDEN_COUPLING = "hidden_coupling"
    KNOWLEDGE_RISK = "knowledge_risk"
    DUPLICATION_CLUSTER = "duplication_cluster"
    SECURITY_CLUSTER = "security_cluster"
    COMPLEXITY_OUTLIER = "complexity_outlier"
    AI_SHARE = "ai_share"
    TOOL_DRIFT = "tool_drift"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """One statement about a run. `data` has its numbers, its `places`, and `refuted_by`: what would show it wrong."""

    type: InsightType
    title: str
    description: str
    confidence: float
    data: Mapping[str, JSON] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        """Return the form that clients get; its keys are the columns of `insights`."""
        return {
            "type": str(self.type),
            "title": self.title,
            "description": self.description,
            "confidence_score": self.confidence,
            "data": dict(self.data),
            "tags": list(self.tags),
            "model_version": MODEL_VERSION,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """The documents of a run that the rules read; `comparison` and `history` are None where it has none."""

    findings: Sequence[Mapping[str, JSON]]
    roles: Mapping[str, str]
    completeness: Mapping[str, JSON]
    comparison: Mapping[str, JSON] | None = None
    history: Mapping[str, JSON] | None = None

    def of_source(self, metric: str) -> Iterator[Mapping[str, JSON]]:
        """Yield the metric's findings in files of role `source`."""
        for item in self.findings:
            if item["metric"] == metric and self.roles.get(item["path"]) == Role.SOURCE:
                yield item

    def completeness_of(self, *metrics: str) -> float:
        """Return the share of files that were analysed, 0..1; half of it where a collector of these gave only a part.

        0.0 where one of the collectors gave nothing.
        """
        files, analyzed = self.completeness.get("files", 0), self.completeness.get("analyzed", 0)
        share = analyzed / files if files else 0.0
        states = [self.completeness.get("collectors", {}).get(metric) for metric in metrics]
        if any(state not in ("ok", "partial") for state in states):
            return 0.0
        return share / 2 if "partial" in states else share


def confidence(completeness: float, *, sample: float, sample_half: float, effect: float, effect_half: float) -> float:
    """Return completeness * sample / (sample + sample_half) * effect / (effect + effect_half): 0..1, two decimals.

    `sample` is how much was observed and `effect` how strong it is; at its half point either factor is 0.5. A rule
    that counts everything, and infers nothing, has a sample_half of 0.
    """
    return round(completeness * _saturated(sample, sample_half) * _saturated(effect, effect_half), 2)


def _saturated(value: float, half: float) -> float:
    return max(0.0, value) / (value + half) if value > 0 else 0.0


def counted(number: int, noun: str) -> str:
    """Return the number and the noun, in the plural but for one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
