"""What a shared report shows: the run's HTML report without people's names, and its badge."""

from collections.abc import Mapping

from domain.history.document import without_names
from domain.runs import Run, RunSummary
from domain.text import JSON
from worker.client.serializers import run_summary_to_json, run_to_json
from worker.export.badge import badge_json, badge_svg
from worker.export.export_format import ExportFormat
from worker.export.exported_run import read_run

_AI = "ai"


def shared_html(run: Run) -> bytes:
    """Return the HTML report for readers other than the owner, in UTF-8. Search engines shall not list it."""
    # The template engine and the collectors, whose declarations a report needs, are loaded by who shows reports alone.
    from collectors.engine.discovery import declarations  # noqa: PLC0415
    from worker.export.html.report import html_report  # noqa: PLC0415

    return html_report(read_run(shared_document(run), declarations()), listed=False)


def shared_document(run: Run) -> dict[str, JSON]:
    """Return the result of a run without the names of people, and without what other runs say."""
    document = run_to_json(run, None)
    return {
        **document,
        "source": _without_author(document["source"]),
        "history": None if run.history is None else without_names(run.history),
        "trend": {"points": [], "reason": "a shared report is about one run"},
    }


def _without_author(source: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the source without the author's name: a model is named, a person is not."""
    model = source.get("author_model") if source.get("author_type") == _AI else None
    return {**source, "author_model": model}


def shared_badge(run: RunSummary | None, form: ExportFormat) -> bytes:
    """Return the badge of a run; without one, a grey badge that says `unknown`."""
    document: dict[str, JSON] = {}
    if run is not None:
        summary = run_summary_to_json(run)
        document = {**summary, "review": {"verdict": run.review_verdict}}
    exported = read_run(document, [])
    return badge_svg(exported) if form is ExportFormat.BADGE else badge_json(exported)
