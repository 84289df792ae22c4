"""Trends of a project's numbers over its runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.selection import ALL, Selection
from domain.statistics.formulas import mann_kendall_p, theil_sen_slope
from domain.text import JSON

LEAST_RUNS = 8
"""The fewest runs for which the normal approximation of the test is usual."""

MOST_RUNS = 500
"""The most runs of one series, the newest: the time of both formulas is quadratic."""

SIGNIFICANT = 0.05

LEFT_OUT = frozenset({"totalChurn"})
"""Keys of no trend: a number of the whole history only grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRun:
    """What a trend needs of a run: `numbers` by metric and key, and whether all that was asked for was measured."""

    run_id: UUID
    created_at: datetime
    commit: str | None
    numbers: Mapping[str, Mapping[str, float | None]]
    tool_versions: Mapping[str, str]
    complete: bool
    selection: Selection = ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The trend of one number over comparable runs.

    `slope` is the Theil-Sen estimate per run, and `p_value` that of the Mann-Kendall test; both are None with fewer
    than LEAST_RUNS values.
    """

    metric: str
    key: str
    values: tuple[float, ...]
    slope: float | None
    p_value: float | None

    @property
    def is_significant(self) -> bool:
        """Whether a trend this clear is expected by chance in fewer than 5 of 100 series without one."""
        return self.p_value is not None and self.p_value < SIGNIFICANT

    def to_json(self) -> dict[str, JSON]:
        """Return the form of the command's and the client's documents."""
        return {
            "metric": self.metric,
            "key": self.key,
            "values": list(self.values),
            "slope_per_run": self.slope,
            "p_value": self.p_value,
            "significant": self.is_significant,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Comparable runs, the oldest first, and why the series begins with its first run (None: there is no earlier)."""

    runs: tuple[TrendRun, ...]
    break_reason: str | None


def latest_series(runs: Iterable[TrendRun], most: int = MOST_RUNS) -> Series:
    """Return the newest runs that can be compared with each other, at most `most`.

    Of the runs of one commit the newest counts, and of all runs those with the collectors and files of the newest one,
    since others have other numbers. The series begins after the last incomplete run, and where the version
    of a tool changed: numbers before and after differ for another reason than the code.
    """
    chosen: list[TrendRun] = []
    reason = None
    commits: set[str] = set()
    newest_first = sorted(runs, key=lambda run: run.created_at, reverse=True)
    for run in newest_first:
        if run.selection != newest_first[0].selection or (run.commit is not None and run.commit in commits):
            continue
        if not run.complete:
            reason = "an earlier run is incomplete" if chosen else "the newest run is incomplete"
        elif chosen and run.tool_versions != chosen[-1].tool_versions:
            reason = f"another version of {', '.join(_differing(run.tool_versions, chosen[-1].tool_versions))}"
        elif len(chosen) == most:
            reason = f"only the newest {most} runs count"
        if reason is not None:
            break
        if run.commit is not None:
            commits.add(run.commit)
        chosen.append(run)
    return Series(runs=tuple(reversed(chosen)), break_reason=reason)


def trends(series: Series) -> list[Trend]:
    """Return the trend of each number that every run of the series has."""
    if not series.runs:
        return []
    found = []
    for metric, numbers in sorted(series.runs[-1].numbers.items()):
        for key in sorted(numbers.keys() - LEFT_OUT):
            values = [run.numbers.get(metric, {}).get(key) for run in series.runs]
            known = tuple(value for value in values if value is not None)
            if len(known) == len(values):
                found.append(_trend(metric, key, known))
    return found


def _trend(metric: str, key: str, values: tuple[float, ...]) -> Trend:
    enough = len(values) >= LEAST_RUNS
    return Trend(
        metric=metric,
        key=key,
        values=values,
        slope=theil_sen_slope(values) if enough else None,
        p_value=mann_kendall_p(values) if enough else None,
    )


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> Sequence[str]:
    return sorted(tool for tool in one.keys() | other.keys() if one.get(tool) != other.get(tool))
