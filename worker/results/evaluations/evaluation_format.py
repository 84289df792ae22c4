"""The names of the forms of an evaluation's results, which the command line reads before anything is loaded."""

from enum import StrEnum


class EvaluationFormat(StrEnum):
    """A form of the results."""

    HTML = "html"
    """A page with all tables and a forest plot of each pair of authors, without script."""
    CSV = "csv"
    """A row for each test, and for each task, measure and pair of authors."""
    JSON = "json"
    """The document itself."""
