"""Summarise a log of temperatures by month."""

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Reading:
    """One measurement."""

    day: date
    degrees: float


@dataclass(frozen=True)
class MonthSummary:
    """The extremes and the mean of one month."""

    low: float
    high: float
    mean: float


def parse_line(line: str) -> Reading | None:
    """Return the reading of a line, or None for an empty line or a comment."""
    content = line.split("#", maxsplit=1)[0].strip()
    if not content:
        return None
    day, degrees = content.split()
    return Reading(date.fromisoformat(day), float(degrees))


def parse_lines(lines: Iterable[str]) -> list[Reading]:
    """Return the readings of all lines."""
    readings = [parse_line(line) for line in lines]
    return [reading for reading in readings if reading is not None]


def summarise(readings: Iterable[Reading]) -> dict[tuple[int, int], MonthSummary]:
    """Return the summary of each month."""
    months: dict[tuple[int, int], list[float]] = defaultdict(list)
    for reading in readings:
        months[reading.day.year, reading.day.month].append(reading.degrees)
    return {
        month: MonthSummary(min(values), max(values), sum(values) / len(values)) for month, values in months.items()
    }


def main() -> None:
    """Print the summary of standard input."""
    for (year, month), found in sorted(summarise(parse_lines(sys.stdin)).items()):
        print(f"{year}-{month:02} {found.low:6.1f} {found.high:6.1f} {found.mean:6.1f}")


if __name__ == "__main__":
    main()
