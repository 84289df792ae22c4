"""Export of a run in any form."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from domain.errors import InvalidInputError
from domain.metrics.declaration import MetricDeclaration
from domain.text import JSON
from worker.export.badge import badge_json, badge_svg
from worker.export.csv_table import csv_table
from worker.export.export_format import ExportFormat
from worker.export.exported_run import ExportedRun, read_run
from worker.export.gitlab import gitlab
from worker.export.markdown import markdown
from worker.export.sarif import SarifProfile, sarif


def _html(run: ExportedRun) -> bytes:
    # A worker exports nothing, and need not load the template engine.
    from worker.export.html.report import html_report  # noqa: PLC0415

    return html_report(run)


_EXPORTS: Mapping[ExportFormat, Callable[[ExportedRun], bytes]] = {
    ExportFormat.SARIF: sarif,
    ExportFormat.SARIF_FULL: partial(sarif, profile=SarifProfile.FULL),
    ExportFormat.GITLAB: gitlab,
    ExportFormat.CSV: csv_table,
    ExportFormat.MARKDOWN: markdown,
    ExportFormat.HTML: _html,
}


def export_document(
    document: Mapping[str, JSON],
    export_format: ExportFormat,
    declarations: Sequence[MetricDeclaration],
    *,
    metric: str | None = None,
) -> bytes:
    """Return the result's document in this form, as UTF-8. `metric` is what a badge shows instead of the quality.

    Raises InvalidInputError for a metric that does not exist, or with another form than a badge.
    """
    check_metric_choice(export_format, metric)
    run = read_run(document, declarations)
    if export_format.is_badge:
        return (badge_svg if export_format is ExportFormat.BADGE else badge_json)(run, metric)
    return _EXPORTS[export_format](run)


def read_result(document: Mapping[str, JSON]) -> ExportedRun:
    """Return a result's document as the exports read it, for the collectors that exist."""
    from collectors.engine.discovery import declarations  # noqa: PLC0415 - see `export_result`

    return read_run(document, declarations())


def check_metric_choice(export_format: ExportFormat, metric: str | None) -> None:
    """Raise InvalidInputError for a metric with a form that shows all of them."""
    if metric is not None and not export_format.is_badge:
        raise InvalidInputError(f"a metric can be chosen for a badge only, and {export_format} is none")


def export_result(document: Mapping[str, JSON], export_format: ExportFormat, *, metric: str | None = None) -> bytes:
    """Return the result's document in this form, as UTF-8, as `export_document` does for the collectors that exist."""
    # Collectors import their tools, which a program that exports nothing does not need.
    from collectors.engine.discovery import declarations  # noqa: PLC0415

    return export_document(document, export_format, declarations(), metric=metric)
