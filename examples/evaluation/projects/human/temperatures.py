"""Reads a log of temperatures: date and degrees, one per line."""

import sys
from datetime import date


def read(lines):
    for line in lines:
        line = line.split("#")[0].strip()
        if line:
            day, degrees = line.split()
            yield date.fromisoformat(day), float(degrees)


def summary(readings):
    """Minimum, maximum and mean by month."""
    months = {}
    for day, degrees in readings:
        months.setdefault((day.year, day.month), []).append(degrees)
    return {m: (min(v), max(v), sum(v) / len(v)) for m, v in months.items()}


if __name__ == "__main__":
    for (year, month), (low, high, mean) in sorted(summary(read(sys.stdin)).items()):
        print(f"{year}-{month:02} {low:6.1f} {high:6.1f} {mean:6.1f}")
