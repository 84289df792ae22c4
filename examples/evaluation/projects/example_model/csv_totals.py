"""Compute the totals of a numeric CSV column, grouped by another column."""

import csv
import sys
from collections import defaultdict
from pathlib import Path


class ColumnTotals:
    """Accumulates the totals of one column."""

    def __init__(self, key: str, column: str) -> None:
        """Remember the names of both columns."""
        self.key = key
        self.column = column
        self.totals: dict[str, float] = defaultdict(float)
        self.skipped = 0

    def add_row(self, row: dict[str, str]) -> None:
        """Add one row, or count it as skipped if its value is no number."""
        try:
            value = float(row[self.column])
        except (KeyError, ValueError):
            self.skipped += 1
            return
        self.totals[row[self.key]] += value

    def add_file(self, path: Path) -> None:
        """Add all rows of a file."""
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                self.add_row(row)


def main() -> int:
    """Print the totals and return an exit code."""
    if len(sys.argv) != 4:
        print("usage: csv_totals.py FILE KEY COLUMN", file=sys.stderr)
        return 2
    totals = ColumnTotals(sys.argv[2], sys.argv[3])
    totals.add_file(Path(sys.argv[1]))
    for key, value in sorted(totals.totals.items()):
        print(f"{key}\t{value:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
