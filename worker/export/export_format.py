"""Names of the forms in which a run can be exported."""

from enum import StrEnum


class ExportFormat(StrEnum):
    """A form of export."""

    SARIF = "sarif"
    """SARIF 2.1.0 with the limits of GitHub's code scanning (profile `github`)."""
    SARIF_FULL = "sarif-full"
    """SARIF 2.1.0 with all findings, states and hashes (profile `full`)."""
    GITLAB = "gitlab"
    """GitLab's code quality report."""
    CSV = "csv"
    """All findings, one row each."""
    MARKDOWN = "markdown"
    """A comment on a pull request."""
    HTML = "html"
    """A report for people: one file without script."""
    BADGE = "badge"
    """An SVG image."""
    BADGE_JSON = "badge-json"
    """The JSON of a Shields endpoint."""

    @property
    def is_badge(self) -> bool:
        """Whether it can show a single metric."""
        return self in (ExportFormat.BADGE, ExportFormat.BADGE_JSON)
