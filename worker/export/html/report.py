"""The report as one HTML file: the template, filled with the parts of a run."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from worker.export.exported_run import ExportedRun
from worker.export.html.changes import changes
from worker.export.html.files import file_map, worst_files
from worker.export.html.findings import findings, fixed_findings
from worker.export.html.history import coupling, hotspots, ownership
from worker.export.html.metrics import quality, tiles
from worker.export.html.overview import gate, headline, insights
from worker.export.html.trend import trend
from worker.export.html.unmeasured import tool_versions, unmeasured

BYTES_LIMIT = 2_000_000
"""The largest report."""

FINDINGS_SHOWN, FILES_SHOWN, CELLS_SHOWN = 200, 25, 2_000
"""The most findings of a metric and the most files that are listed, and the most files with a cell in the treemap."""

_SHRINKING = (1.0, 0.5, 0.2, 0.05, 0.0)
"""Parts of the lists that are tried in turn; only texts that are extremely long need another than the first."""

REPORT_TEMPLATES = Path(__file__).with_name("templates")


def html_report(run: ExportedRun, *, listed: bool = True) -> bytes:
    """Return the report as UTF-8: at most BYTES_LIMIT, without script, and each cut of a list is counted.

    One that is not `listed` asks search engines to leave it out.
    """
    fixed_parts = _fixed_parts(run) | {"listed": listed}
    template = environment().get_template("report.html")
    for share in _SHRINKING:
        page = template.render(fixed_parts | _lists(run, share)).encode()
        if len(page) <= BYTES_LIMIT:
            break
    return page


def report_parts(run: ExportedRun) -> dict[str, Any]:
    """Return the values of the report's templates, for a page that includes them in a layout of its own."""
    return _fixed_parts(run) | _lists(run, 1.0)


@cache
def environment(*more: Path) -> jinja2.Environment:
    """Return the templates of the report, and those in `more` folders. What they show is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([REPORT_TEMPLATES, *more]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    add_filters(environment)
    return environment


def add_filters(environment: jinja2.Environment) -> None:
    """Add the filters that the parts of the report use."""
    environment.filters["breakable"] = _breakable


def _breakable(path: str) -> Markup:
    """Return a path as markup that may be broken into lines after each slash."""
    return Markup("/<wbr>").join(path.split("/"))


@cache
def style_sheet() -> tuple[str, str]:
    """Return the style sheet, and its hash as the content security policy names it."""
    text = (REPORT_TEMPLATES / "report.css").read_text().strip()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return text, f"sha256-{digest}"


def _fixed_parts(run: ExportedRun) -> dict[str, Any]:
    """Return the parts whose size hardly depends on the size of the run."""
    style, style_hash = style_sheet()
    return {
        "style": style,
        "style_hash": style_hash,
        "headline": headline(run),
        "gate": gate(run),
        "quality": quality(run),
        "tiles": tiles(run),
        "changes": changes(run),
        "insights": insights(run),
        "ownership": ownership(run),
        "trend": trend(run),
        "unmeasured": unmeasured(run),
        "tools": tool_versions(run),
    }


def _lists(run: ExportedRun, share: float) -> dict[str, Any]:
    """Return the long lists, with this part of their entries."""
    most_findings, most_files = int(FINDINGS_SHOWN * share), int(FILES_SHOWN * share)
    return {
        "map": file_map(run, int(CELLS_SHOWN * share)),
        "worst": worst_files(run, most_files),
        "findings": findings(run, most_findings),
        "fixed_findings": fixed_findings(run, most_findings),
        "hotspots": hotspots(run, most_files),
        "coupling": coupling(run, most_files),
    }
