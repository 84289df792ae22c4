"""Findings as CSV, one row each, in which no cell is a formula."""

import csv
import io
import re

from worker.export.exported_run import ExportedFinding, ExportedRun

COLUMNS = (
    "metric", "rule", "severity", "path", "line", "column", "end_line", "end_column", "function", "message", "role",
    "state", "first_seen_at", "fingerprint",
)  # fmt: skip

_FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a spreadsheet may begin a formula: at the beginning of a cell, or after a semicolon, which separates cells in
countries with a decimal comma. It also takes the full-width forms of the four characters."""


def csv_table(run: ExportedRun) -> bytes:
    """Return the table as UTF-8, by RFC 4180, with a line of headings. What is not known is empty.

    A text that a spreadsheet could take for a formula gets an apostrophe in front.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    writer.writerows([_cell(finding, column) for column in COLUMNS] for finding in run.findings)
    return buffer.getvalue().encode()


def _cell(finding: ExportedFinding, column: str) -> str | int:
    value = getattr(finding, column)
    if value is None:
        return ""
    return value if isinstance(value, int) else without_formula(str(value))


def without_formula(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with an apostrophe in front where one could."""
    return _FORMULA.sub(r"\1\2'", text)
