"""Where a project stands among well-known packages that were measured by the same code."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.findings.roles import Role
from domain.statistics.formulas import percentile_rank
from domain.text import JSON

THOUSAND = 1_000.0

HIGHER_IS_BETTER: Mapping[str, bool] = {
    "quality_score": True,
    "average_complexity": False,
    "highest_complexity": False,
    "lint_per_1000_lines": False,
    "dead_code_per_1000_lines": False,
    "security_high_per_1000_lines": False,
    "security_medium_per_1000_lines": False,
    "security_low_per_1000_lines": False,
    "documented_share": True,
    "maintainability": True,
    "duplicated_share": False,
}
"""The numbers that are compared, each over files of role `source`, and which side is the better one."""

GRADES = "EDCBA"
"""By fifths of the packages' quality scores, the lowest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The packages' numbers: for each name the values of all packages, ascending, and what measured them."""

    packages: Mapping[str, str]
    tool_versions: Mapping[str, str]
    values: Mapping[str, Sequence[float]]

    @classmethod
    def from_json(cls, document: Mapping[str, JSON]) -> "Calibration":
        """Read what `to_json` made."""
        return cls(packages=document["packages"], tool_versions=document["tool_versions"], values=document["values"])

    def to_json(self) -> dict[str, JSON]:
        """Return the form of the file in the repository."""
        return {
            "packages": dict(self.packages),
            "tool_versions": dict(self.tool_versions),
            "values": {name: list(values) for name, values in self.values.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`percentiles` are mid-ranks, 0..100: the share of packages that are worse, plus half of those that are equal.

    `grade` is A to E, or None without a quality score. `reason` says why nothing is known, or is None.
    """

    percentiles: Mapping[str, float]
    grade: str | None
    reason: str | None = None


def source_numbers(
    metrics: Mapping[str, JSON], files: Sequence[Mapping[str, JSON]], quality: float | None
) -> dict[str, float | None]:
    """Return the numbers of a run that are compared. None for one that was not measured.

    `metrics` are those of the run, `files` the metrics of its files of role `source`, and `quality` its quality score.
    """
    of = {name: ((values or {}).get("by_role") or {}).get(Role.SOURCE, {}) for name, values in metrics.items()}
    lines = of.get("size", {}).get("sloc")
    highest = [file["complexity"]["value"] for file in files if (file.get("complexity") or {}).get("value") is not None]

    def density(metric: str, key: str) -> float | None:
        count = of.get(metric, {}).get(key)
        return count * THOUSAND / lines if lines and count is not None else None

    return {
        "quality_score": quality,
        "average_complexity": of.get("cyclomatic", {}).get("avg_cc"),
        "highest_complexity": max(highest, default=None),
        "lint_per_1000_lines": density("lint", "total"),
        "dead_code_per_1000_lines": density("dead_code", "unused_symbols"),
        "security_high_per_1000_lines": density("security", "high"),
        "security_medium_per_1000_lines": density("security", "medium"),
        "security_low_per_1000_lines": density("security", "low"),
        "documented_share": of.get("docs", {}).get("coverage_pct"),
        "maintainability": of.get("mi", {}).get("mi_avg"),
        "duplicated_share": of.get("dupes", {}).get("duplicate_pct"),
    }


def standing(
    numbers: Mapping[str, float | None], tool_versions: Mapping[str, str], calibration: Calibration
) -> Standing:
    """Compare a run's numbers with the packages'. Other versions of the tools give other numbers: nothing is known."""
    differing = sorted(
        tool for tool, version in calibration.tool_versions.items() if tool_versions.get(tool) != version
    )
    if differing:
        reason = f"the packages were measured with another version of {', '.join(differing)}"
        return Standing(percentiles={}, grade=None, reason=reason)
    percentiles = {
        name: _better_than(numbers[name], values, higher_is_better=HIGHER_IS_BETTER[name])
        for name, values in calibration.values.items()
        if numbers.get(name) is not None and values
    }
    score = percentiles.get("quality_score")
    return Standing(percentiles=percentiles, grade=None if score is None else _grade(score))


def _better_than(value: float | None, values: Sequence[float], *, higher_is_better: bool) -> float:
    rank = percentile_rank(value or 0.0, values)
    return round(rank if higher_is_better else 100.0 - rank, 1)


def _grade(percentile: float) -> str:
    return GRADES[min(int(percentile * len(GRADES) / 100), len(GRADES) - 1)]


def source_files(nodes: Iterable[Mapping[str, JSON]]) -> list[Mapping[str, JSON]]:
    """Return the metrics of the file nodes of role `source`."""
    return [node["metrics"] for node in nodes if node.get("role") == Role.SOURCE]
