"""The forms of an evaluation's results."""

from collections.abc import Mapping

from domain.text import JSON
from infrastructure.json_codec import dumps
from worker.results.evaluations.csv_form import csv_form
from worker.results.evaluations.evaluation_format import EvaluationFormat


def export_evaluation(document: Mapping[str, JSON], export_format: EvaluationFormat) -> bytes:
    """Return the results, as `domain.evaluations.results.results_to_json` makes them, in this form, as UTF-8."""
    if export_format is EvaluationFormat.HTML:
        # Only this form needs the template engine.
        from worker.results.evaluations.page import evaluation_page  # noqa: PLC0415

        return evaluation_page(document)
    return csv_form(document) if export_format is EvaluationFormat.CSV else dumps(document)
