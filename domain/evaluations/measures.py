"""What is compared of each project: ten numbers of its source files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.findings.roles import Role
from domain.text import JSON

THOUSAND = 1_000.0
PER_THOUSAND = "per 1,000 source lines"
PERCENT = "%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number of a project. `better` is `lower` or `higher`, as the collectors rate it."""

    name: str
    title: str
    unit: str
    better: str

    def to_json(self) -> dict[str, JSON]:
        """Return the form of the results."""
        return {"name": self.name, "title": self.title, "unit": self.unit, "better": self.better}


def _density(name: str, title: str) -> Measure:
    return Measure(name=name, title=title, unit=PER_THOUSAND, better="lower")


MEASURES: tuple[Measure, ...] = (
    _density("lint_density", "lint findings"),
    _density("dead_code_density", "unused symbols"),
    _density("security_density", "security findings"),
    _density("security_high_density", "security findings of high severity"),
    _density("security_medium_density", "security findings of medium severity"),
    _density("security_low_density", "security findings of low severity"),
    Measure(name="complex_share", title="functions above complexity 10", unit=PERCENT, better="lower"),
    Measure(name="documented_share", title="documented definitions", unit=PERCENT, better="higher"),
    Measure(name="maintainability", title="maintainability index", unit="0 to 100", better="higher"),
    Measure(name="duplicated_share", title="duplicated lines", unit=PERCENT, better="lower"),
)
"""The ten, in the order in which they are shown."""

COLLECTORS = frozenset({"size", "lint", "dead_code", "security", "cyclomatic", "docs", "mi", "dupes"})
"""The collectors whose numbers are compared."""

SEVERITIES = ("high", "medium", "low")


def project_numbers(metrics: Mapping[str, JSON]) -> dict[str, float | None]:
    """Return the measures of a run's `metrics`, over its files of role `source`; None for what was not measured.

    A density is null without a source line, and the share of complex functions without a function.
    """
    of = {name: ((values or {}).get("by_role") or {}).get(Role.SOURCE) or {} for name, values in metrics.items()}
    lines = of.get("size", {}).get("sloc")
    security: list[Any] = [of.get("security", {}).get(severity) for severity in SEVERITIES]
    cyclomatic = of.get("cyclomatic", {})
    return {
        "lint_density": _ratio(of.get("lint", {}).get("total"), lines, THOUSAND),
        "dead_code_density": _ratio(of.get("dead_code", {}).get("unused_symbols"), lines, THOUSAND),
        "security_density": _ratio(None if None in security else sum(security), lines, THOUSAND),
        **{
            f"security_{severity}_density": _ratio(number, lines, THOUSAND)
            for severity, number in zip(SEVERITIES, security, strict=True)
        },
        "complex_share": _ratio(cyclomatic.get("complex_functions"), cyclomatic.get("functions"), 100.0),
        "documented_share": of.get("docs", {}).get("coverage_pct"),
        "maintainability": of.get("mi", {}).get("mi_avg"),
        "duplicated_share": of.get("dupes", {}).get("duplicate_pct"),
    }


def source_lines(metrics: Mapping[str, JSON]) -> int | None:
    """Return the number of source lines in a run's files of role `source`; None if it is not known."""
    lines = (((metrics.get("size") or {}).get("by_role") or {}).get(Role.SOURCE) or {}).get("sloc")
    return lines if isinstance(lines, int) else None


def _ratio(count: float | None, whole: float | None, scale: float) -> float | None:
    return count * scale / whole if whole and count is not None else None
