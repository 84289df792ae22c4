"""All rules. Each looks at one side of a run and yields what it finds, the clearest first."""

from collections.abc import Callable, Iterator, Sequence

from domain.insights import finding_rules, history_rules
from domain.insights.insight import Insight, InsightType, RunFacts

RULES: Sequence[Callable[[RunFacts], Iterator[Insight]]] = (
    finding_rules.regression,
    finding_rules.improvement,
    history_rules.hotspots,
    history_rules.hidden_coupling,
    history_rules.knowledge_risk,
    finding_rules.clusters(
        "dupes",
        InsightType.DUPLICATION_CLUSTER,
        "duplicated block",
        "the copies are meant to diverge, or are generated",
    ),
    finding_rules.clusters(
        "security", InsightType.SECURITY_CLUSTER, "security finding", "the code never handles input from outside"
    ),
    finding_rules.complexity_outliers,
    history_rules.ai_share,
    finding_rules.tool_drift,
    finding_rules.incomplete,
)


def insights(run: RunFacts) -> list[Insight]:
    """Return the insights of a run, those with the highest confidence first."""
    found = [insight for rule in RULES for insight in rule(run)]
    return sorted(found, key=lambda insight: -insight.confidence)
